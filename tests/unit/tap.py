# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of whole programs share: an assertion that tells, and running functions as
tests, in TAP."""
import sys
import traceback


class Skip(Exception):
    """The test cannot be had here; the text says why."""


def equal(value, expected):
    assert value == expected, f"{value!r} is not {expected!r}"


def run_tests(tests):
    """One line of TAP for each function, which fails by an exception. Does not return."""
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
