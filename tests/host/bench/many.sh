# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh and lines.sh are read first
#
# ./run bench: rebinds many virtual functions of one nvme to vfio-pci and back to no driver, in parallel and one
# after another: with one vfio-variant with --jobs, with the bare writes to sysfs in as many processes, and with
# driverctl. Needs boot --vfs 127, and the programs bare-moves and run-time (tests/bench) in the same folder.

generic=vfio-pci
blocks=3
nvme=$(bdf 1b36:0010)

# by_driverctl detach|reattach BDF...: an administrator's loop. Does not probe afterwards, as nvme rejects its VFs.
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

# are_on DRIVER BDF...: prints how many of the devices are on DRIVER
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

# driverctl is slow, and slower with more devices: it does not run in every block
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
    # shellcheck disable=SC2086 # word splitting is intended
    for contestant in $(in_turn "$count_block" $contestants); do
      there_and_back "$contestant" "$jobs_now" "$count_block" "$@"
    done
  done
}

first_of() { # first_of COUNT BDF...: prints the first COUNT devices
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
# shellcheck disable=SC2046 # word splitting is intended
set -- $(make_vfs "$nvme" "$(cat "$sysfs/$nvme/sriov_totalvfs")")
remark "virtual functions: $#"
# shellcheck disable=SC2046 # word splitting is intended
with_count 1 $(first_of 16 "$@") 3>/dev/null # warms up
for block in $(seq "$blocks"); do
  for count in 1 16 64 127; do
    # shellcheck disable=SC2046 # word splitting is intended
    with_count "$block" $(first_of "$count" "$@")
  done
done
echo 0 >"$sysfs/$nvme/sriov_numvfs"
