#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests that the library calls the functions that the tests replace by --wrap. The linker wraps only undefined symbols: a
function that becomes static or inline, or whose callers move into its file, is silently no longer wrapped.

Usage: test-wraps.py SOURCE LIBRARY...; prints TAP."""
import glob
import os
import re
import subprocess
import sys

from tap import equal, run_tests

SOURCE, LIBRARIES = sys.argv[1], sys.argv[2:]


def wrapped():
    """The functions that the tests wrap."""
    names = set()
    for path in glob.glob(os.path.join(SOURCE, "tests", "*", "meson.build")):
        with open(path, encoding="utf-8") as file:
            names.update(re.findall(r"--wrap=(\w+)", file.read()))
    return names


def needed():
    """The undefined symbols of the libraries' objects."""
    symbols = subprocess.run(["nm", "--undefined-only", "--no-sort", *LIBRARIES], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^ +U ([^@\s]+)", symbols, flags=re.MULTILINE))


def each_wrapped_function_is_called():
    names = wrapped()
    assert len(names) > 5, names
    equal(sorted(names - needed()), [])


run_tests([each_wrapped_function_is_called])
