# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shared by the tests of whole programs: assertions that print their values, and a runner of
functions as tests, with TAP output."""
import sys
import traceback


class Skip(Exception):
    """The test cannot run here; the text gives the reason."""


def equal(value, expected):
    assert value == expected, f"{value!r} is not {expected!r}"


def run_tests(tests):
    """Runs each function as a test; an exception is a failure. Exits."""
    print(f"1..{len(tests)}")
    failed = False
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", "-")
        try:
            test()
            print(f"ok {number} {name}")
        except Skip as reason:
            print(f"ok {number} {name} # SKIP {reason}")
        except Exception:  # pylint: disable=broad-except
            failed = True
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            print(f"not ok {number} {name}")
        sys.stdout.flush()
    sys.exit(failed)
