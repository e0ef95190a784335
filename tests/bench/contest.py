# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shared functions of the benches in Python: contestants in turns, and lines for report.py."""

import os
import time


def run(argv, stdin="/dev/null", environment=None):
    """Returns: milliseconds of a whole process, its standard output discarded; a failed process ends the bench"""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
    ]
    begin = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, environment or os.environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - begin) * 1000
    if status:
        raise SystemExit(f"{argv}: wait status {status}")
    return took


def contest(name, contestants, blocks):
    """contestants: {who: function that returns a figure}. In each block all contestants run, in another order. An
    additional first block warms up."""
    order = list(contestants)
    for block in range(blocks + 1):
        for who in order:
            figure = contestants[who]()
            if block:
                print(f"{name}={who} {block} {figure:.4f}")
        order = order[1:] + order[:1]


def remark(text):
    print(f"# {text}")
