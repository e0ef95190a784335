# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034 # runner reads $status
#
# What the scripts of ./run bench in the emulated host share; given to boot after variant.sh and before them: the lines for
# tests/bench/report.py, "NAME BLOCK VALUE" or, where contestants are compared in turns, "NAME=WHO BLOCK VALUE". $status is 1
# when something did not go as it should: then the figures are worth nothing.

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

# in_turn BLOCK WHO...: the order of this block: it begins with another one than the block before
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

# milliseconds COMMAND...: how long it takes; what it prints goes to the file "said". udevd does what it has to do before and
# after: while it handles the events of a move, it takes both processors from whoever is still at work, and so the more from
# the slower one.
milliseconds() {
  udevadm settle --timeout=30
  udevadm control --stop-exec-queue
  ./run-time said "$@" 2>complaints || broken "$*: $(cat complaints)"
  udevadm control --start-exec-queue
}
