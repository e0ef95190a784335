# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh and lines.sh are read first
#
# ./run bench: rebinds one device to vfio-pci and back to its host driver: with vfio-variant, with the bare writes
# to sysfs, with driverctl and with DPDK's script. Needs the programs bare-moves and run-time (tests/bench) in the
# same folder, and for the last contestant dpdk-devbind.py. Also measures an igb if the host has one.

blocks=10
generic=vfio-pci

# command_of WHO detach|reattach BDF HOST-DRIVER: prints the command line. "told" is vfio-variant again, with --json
# to report the duration. Printing JSON takes time that a plain rebind does not need, hence a contestant of its own.
# driverctl does not probe for a device that had no driver.
command_of() {
  case $1-$2 in
    ours-detach) echo "vfio-variant bind --driver $generic $3" ;;
    ours-reattach) echo "vfio-variant restore $3" ;;
    told-detach) echo "vfio-variant bind --json --driver $generic $3" ;;
    told-reattach) echo "vfio-variant restore --json $3" ;;
    bare-detach) echo "./bare-moves detach $generic $3" ;;
    bare-reattach) echo "./bare-moves reattach $4 $3" ;;
    driverctl-detach) echo "driverctl set-override $3 $generic" ;;
    driverctl-reattach) echo "driverctl$([ "$4" != none ] || echo ' --noprobe') unset-override $3" ;;
    devbind-detach) echo "python3 dpdk-devbind.py -b $generic $3" ;;
    devbind-reattach) echo "python3 dpdk-devbind.py -b $4 $3" ;;
  esac
}

# The duration of the rebind alone, as the contestant reports it
inside() { # inside NAME BLOCK WHO
  case $3 in
    told) sample "hands.inside.$1=ours" "$2" "$(jq .microseconds said)" ;;
    bare)
      sample "hands.inside.$1=bare" "$2" "$(cat said)"
      awk '{ print $1 / 1000 }' said >"bare-$1"
      ;;
  esac
}

moves() { # moves WHO detach|reattach NAME BLOCK BDF HOST-DRIVER
  # shellcheck disable=SC2046 # word splitting is intended
  whole=$(milliseconds $(command_of "$1" "$2" "$5" "$6"))
  if [ "$1" != told ]; then
    sample "hands.whole.$2.$3=$1" "$4" "$whole"
    echo "$2.$3 $1 $whole" >>wholes
  fi
  inside "$2.$3" "$4" "$1"
}

# The overhead of a command beyond the kernel's own time, which the bare writes of this block measure
besides() { # besides BLOCK
  while read -r name who whole; do
    [ "$who" = bare ] || sample "hands.besides.$name=$who" "$1" "$(echo "$whole $(cat "bare-$name")" | awk '{ print $1 - $2 }')"
  done <wholes
  rm wholes
}

# To vfio-pci and back
round() { # round NAME BLOCK BDF HOST-DRIVER WHO...
  round_name=$1 round_block=$2 round_bdf=$3 round_host=$4
  shift 4
  for who in $(in_turn "$round_block" "$@"); do
    moves "$who" detach "$round_name" "$round_block" "$round_bdf" "$round_host"
    is_expected "$who, $round_name on" "$(driver_of "$round_bdf")" "$generic"
    moves "$who" reattach "$round_name" "$round_block" "$round_bdf" "$round_host"
    is_expected "$who, $round_name returned to" "$(driver_of "$round_bdf")" "$round_host"
    [ "$who" != devbind ] || echo >"$sysfs/$round_bdf/driver_override" # dpdk-devbind.py leaves an empty override
    is_expected "$who, $round_name" "$(override_of "$round_bdf")" '(null)'
  done
  besides "$round_block"
}

# The first round warms up.
compare() { # compare NAME BDF HOST-DRIVER WHO...
  is_expected "$1 before" "$(state_of "$2")" "$3 (null)"
  compare_name=$1
  shift
  round "$compare_name" 0 "$@" 3>/dev/null
  for block in $(seq "$blocks"); do
    round "$compare_name" "$block" "$@"
  done
}

igb_vf_if_there() {
  bdf 8086:10c9 >/dev/null || { remark 'no igb here' && return; }
  make_igb_vf
  # shellcheck disable=SC2086 # word splitting is intended
  compare igbvf "$igb_vf" igbvf ours told bare driverctl $devbind
  echo 0 >"$sysfs/$igb/sriov_numvfs"
}

devbind=''
[ ! -e dpdk-devbind.py ] || devbind=devbind
modprobe "$generic"
remark "hands: Linux $(uname -r), $(dpkg-query -W -f '${Package} ${Version}' driverctl), an emulated processor (TCG)"
# shellcheck disable=SC2086 # word splitting is intended
compare virtio "$(bdf 1af4:1041 1)" virtio-pci ours told bare driverctl $devbind
igb_vf_if_there
nvme=$(bdf 1b36:0010)
compare nvmevf "$(make_vfs "$nvme" 1)" none ours told bare driverctl
echo 0 >"$sysfs/$nvme/sriov_numvfs"
