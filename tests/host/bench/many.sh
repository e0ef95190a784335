# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh and lines.sh come before
#
# ./run bench: many virtual functions of one nvme change hands, to vfio-pci and home, in parallel and one after another: by one
# vfio-variant with --jobs, by the bare writes to sysfs in as many processes, and by driverctl. Needs boot --vfs 127,
# and beside it the programs bare-moves and run-time (tests/bench).

generic=vfio-pci
blocks=3
nvme=$(bdf 1b36:0010)

# by_driverctl detach|reattach BDF...: an administrator's loop; no driver is probed for at the end, as nvme takes no VF
by_driverctl() {
  case $1 in
    detach) set -- "set-override \$d $generic" "$@" ;;
    reattach) set -- "--noprobe unset-override \$d" "$@" ;;
  esac
  loop="for d; do driverctl $1 || exit; done"
  shift 2
  milliseconds sh -c "$loop" sh "$@"
}

move_all() { # move_all WHO JOBS detach|reattach BDF...
  who=$1 jobs=$2 operation=$3
  shift 3
  case $who-$operation in
    ours-detach) milliseconds vfio-variant bind --driver "$generic" --jobs "$jobs" "$@" ;;
    ours-reattach) milliseconds vfio-variant restore --jobs "$jobs" "$@" ;;
    bare-detach) milliseconds ./bare-moves --jobs "$jobs" detach "$generic" "$@" ;;
    bare-reattach) milliseconds ./bare-moves --jobs "$jobs" reattach none "$@" ;;
    driverctl-*) by_driverctl "$operation" "$@" ;;
  esac
}

# are_on DRIVER BDF...: how many of them are
are_on() {
  wanted=$1
  shift
  for vf in "$@"; do
    driver_of "$vf"
  done | grep -cx "$wanted"
}

there_and_back() { # there_and_back WHO JOBS BLOCK BDF...
  back_who=$1 back_jobs=$2 back_block=$3
  shift 3
  for way in detach reattach; do
    took=$(move_all "$back_who" "$back_jobs" "$way" "$@")
    sample "many.$way.$#.j$back_jobs=$back_who" "$back_block" "$took"
    [ "$way" = detach ] && on=$generic || on=none
    is_expected "$back_who, $back_jobs jobs, $way, of $# on $on" "$(are_on "$on" "$@")" $#
  done
}

# driverctl is slow, and the more so the more devices: not in each block
driverctl_takes_part() { # driverctl_takes_part BLOCK COUNT
  [ "$2" -le 16 ] || [ "$1" = 1 ]
}

with_count() { # with_count BLOCK BDF...
  count_block=$1
  shift
  for jobs_now in 1 2 4 8; do
    contestants='ours bare'
    [ "$jobs_now" != 1 ] || ! driverctl_takes_part "$count_block" $# || contestants='ours bare driverctl'
    [ "$jobs_now" = 1 ] || [ $# -gt 1 ] || continue
    # shellcheck disable=SC2086 # words
    for contestant in $(in_turn "$count_block" $contestants); do
      there_and_back "$contestant" "$jobs_now" "$count_block" "$@"
    done
  done
}

first_of() { # first_of COUNT BDF...: the first so many
  left=$1
  shift
  while [ "$left" -gt 0 ]; do
    echo "$1"
    shift
    left=$((left - 1))
  done
}

remark "many: Linux $(uname -r), $(nproc) emulated processors (TCG), virtual functions of one nvme, each in an IOMMU group of its own"
modprobe "$generic"
# shellcheck disable=SC2046 # words
set -- $(make_vfs "$nvme" "$(cat "$sysfs/$nvme/sriov_totalvfs")")
remark "virtual functions: $#"
# shellcheck disable=SC2046 # words
with_count 1 $(first_of 16 "$@") 3>/dev/null # warms up
for block in $(seq "$blocks"); do
  for count in 1 16 64 127; do
    # shellcheck disable=SC2046 # words
    with_count "$block" $(first_of "$count" "$@")
  done
done
echo 0 >"$sysfs/$nvme/sriov_numvfs"
