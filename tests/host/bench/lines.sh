# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034 # runner reads $status
#
# Shared functions of the ./run bench scripts in the emulated host. The runner reads this file after variant.sh and before
# those scripts. Prints lines for tests/bench/report.py: "NAME BLOCK VALUE" or, where contestants are compared in
# turns, "NAME=WHO BLOCK VALUE". $status is 1 after an unexpected result, which makes the figures invalid.

status=0

sample() { # sample NAME BLOCK VALUE
  tap "$*"
}

remark() {
  tap "# $*"
}

broken() {
  remark "NOT AS IT SHOULD BE: $*"
  status=1
}

is_expected() { # is_expected WHAT ACTUAL WANTED
  [ "$2" = "$3" ] || broken "$1: $2, not $3"
}

# in_turn BLOCK WHO...: prints the order of this block, rotated by one from block to block
in_turn() {
  turn=$(($1 % ($# - 1)))
  shift
  while [ "$turn" -gt 0 ]; do
    first_of_turn=$1
    shift
    set -- "$@" "$first_of_turn"
    turn=$((turn - 1))
  done
  echo "$@"
}

# milliseconds COMMAND...: prints the duration of the command and writes its output to the file "said". udevd pauses
# meanwhile, and handles its events before and after. Otherwise udevd would use both processors while the command
# runs, and slow down the slower contestants more.
milliseconds() {
  udevadm settle --timeout=30
  udevadm control --stop-exec-queue
  ./run-time said "$@" 2>complaints || broken "$*: $(cat complaints)"
  udevadm control --start-exec-queue
}
