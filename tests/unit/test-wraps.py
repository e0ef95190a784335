#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""That what the tests put in the place of a function by --wrap is really called. The linker wraps what an object needs and does
not have: a function that becomes static or inline, or whose callers move into its own file, is silently not wrapped any more.

Usage: test-wraps.py SOURCE LIBRARY...; prints TAP."""
import glob
import os
import re
import subprocess
import sys

from tap import equal, run_tests

SOURCE, LIBRARIES = sys.argv[1], sys.argv[2:]


def wrapped():
    """Each function that some test wraps."""
    names = set()
    for path in glob.glob(os.path.join(SOURCE, "tests", "*", "meson.build")):
        with open(path, encoding="utf-8") as file:
            names.update(re.findall(r"--wrap=(\w+)", file.read()))
    return names


def needed():
    """Each function that an object of the libraries has from elsewhere."""
    symbols = subprocess.run(["nm", "--undefined-only", "--no-sort", *LIBRARIES], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^ +U ([^@\s]+)", symbols, flags=re.MULTILINE))


def each_wrapped_function_is_called():
    names = wrapped()
    assert len(names) > 5, names
    equal(sorted(names - needed()), [])


run_tests([each_wrapped_function_is_called])
