# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --vfs 64 --timeout 3000
#
# Concurrency: 64 virtual functions for 8 guests, each attached by its own virsh; then the gate, the hook and the
# command race for the same few devices.

nvme=$(bdf 1b36:0010)
guests='crowd1 crowd2 crowd3 crowd4 crowd5 crowd6 crowd7 crowd8'
crowd=64

# --- many devices ---

# small_guest NAME: has slots for more than eight devices
small_guest() {
  ports=''
  for number in 5 6 7 8 9 10; do
    ports="$ports<controller type='pci' index='$number' model='pcie-root-port'/>"
  done
  domain_xml "$1" "$ports" | sed "s/<memory unit='MiB'>64/<memory unit='MiB'>32/" >"$1.xml"
  virsh -q create "$1.xml"
}

# insists COMMAND...: repeats a virsh command. libvirt serves the callers of a domain one after another, and rejects
# a caller that has waited for 30 seconds.
insists() {
  insists_tries=0
  while ! timeout 300 virsh -q -k 0 "$@" >"insists-$insists_name" 2>&1; do
    cat "insists-$insists_name"
    insists_tries=$((insists_tries + 1))
    grep -q 'cannot acquire state change lock' "insists-$insists_name" && [ "$insists_tries" -lt 20 ] || return 1
  done
}

# all_at_once FUNCTION: runs FUNCTION for each "GUEST BDF" of the plan, each in a process of its own
all_at_once() {
  crowd_pids=''
  while read -r crowd_guest crowd_device; do
    (
      insists_name=$crowd_device
      "$1" "$crowd_guest" "$crowd_device"
    ) &
    crowd_pids="$crowd_pids $!"
  done <plan
  crowd_failed=0
  for crowd_pid in $crowd_pids; do
    wait "$crowd_pid" || crowd_failed=$((crowd_failed + 1))
  done
  expect "processes that failed at $1" "$crowd_failed" 0
}

crowd_attaches() { # crowd_attaches GUEST BDF
  hostdev_xml "$2" >"hostdev-$2.xml"
  insists attach-device "$1" "hostdev-$2.xml"
}

crowd_detaches() { # crowd_detaches GUEST BDF
  insists detach-device "$1" "hostdev-$2.xml"
}

# Distributes the VFs over the guests in turn
plan_crowd() { # plan_crowd VF...
  : >plan
  while [ "$#" -gt 0 ]; do
    for guest in $guests; do
      echo "$guest $1" >>plan
      shift
    done
  done
}

has_no_hostdevs() { # has_no_hostdevs GUEST, for wait_for
  [ -z "$(qemu_vfio_devices "$1")" ]
}

state_store_is_empty() {
  [ -z "$(find /run/vfio-variant -name '0*')" ]
}

open_files() {
  find "/proc/$gate_pid/fd" -type l | wc -l
}

crowd_has_its_devices() {
  for guest in $guests; do
    expect "what $guest has" "$(qemu_vfio_devices "$guest" | sort)" \
      "$(sed -n "s/^$guest \(.*\)/\1 test_vfio_pci/p" plan | sort)"
  done
}

# Half of the guests detach their devices; the other half are destroyed with them.
crowd_leaves() {
  sed -n '/^crowd[1-4] /p' plan >leaving
  mv leaving plan
  destroyed=''
  for guest in crowd5 crowd6 crowd7 crowd8; do
    timeout 300 virsh -q -k 0 destroy "$guest" &
    destroyed="$destroyed $!"
  done
  all_at_once crowd_detaches
  for pid in $destroyed; do
    wait "$pid"
  done
  for guest in crowd1 crowd2 crowd3 crowd4; do
    wait_for 120 has_no_hostdevs "$guest"
  done
}

# they_are_restored VF...
they_are_restored() {
  for vf in "$@"; do
    expect "$vf" "$(state_of "$vf")" 'none (null)'
  done
}

crowd_comes_and_goes() {
  # shellcheck disable=SC2046 # word splitting is intended
  set -- $(make_vfs "$nvme" "$crowd")
  expect 'virtual functions' "$#" "$crowd"
  trap 'echo 0 >"$sysfs/$nvme/sriov_numvfs"' EXIT
  wait_for 30 gate_is '.monitor == "idle"'
  files=$(open_files)
  plan_crowd "$@"
  for guest in $guests; do
    small_guest "$guest"
  done
  since=$(uptime_seconds)
  all_at_once crowd_attaches
  diag "$crowd devices attached from $since s to $(uptime_seconds) s"
  crowd_has_its_devices
  for vf in "$@"; do
    wait_for 30 is_given "$vf"
  done
  crowd_leaves
  diag "all given back at $(uptime_seconds) s"
  wait_for 60 state_store_is_empty
  they_are_restored "$@"
  wait_for 30 gate_is '.monitor == "idle"'
  expect 'open files of the daemon' "$(open_files)" "$files"
  expect 'threads of the daemon' "$(find "/proc/$gate_pid/task" -mindepth 1 -maxdepth 1 | wc -l)" 1
  expect 'outcomes' "$(gate_status '.outcomes | "\(.detached) \(.fell_back) \(.failed) \(.crashed) \(.deadline)"')" \
    "$crowd 0 0 0 0"
}

is_given() { # is_given BDF, for wait_for: the state store records a guest
  [ "$(state_value "$1" in-use)" = true ]
}

# --- a race for few devices ---

race_seconds=90

# race NAME COMMAND...: repeats the command until the race is over. Its output goes to a log of its own.
race() {
  race_name=$1
  shift
  while [ ! -e race-over ]; do
    "$@" || exit 1
  done >"race-$race_name" 2>&1
}

# Accepts success, failure and refusal of the command, but only with a message
command_once() { # command_once WHAT BDF
  code=0
  timeout 100 vfio-variant "$1" "$2" >"said-$race_name" 2>&1 || code=$?
  cat "said-$race_name"
  case $code in
    0) ;;
    1 | 4) [ -s "said-$race_name" ] || fail "vfio-variant $1 $2: status $code, and not a word" ;;
    *) fail "vfio-variant $1 $2: status $code" ;;
  esac
  echo "$1 $code" >>race-codes
}

moves_by_command() { # moves_by_command BDF
  command_once bind "$1"
  command_once restore "$1"
}

# libvirt may refuse: another guest has the device, or its driver is not the one that libvirt expects. It must not
# hang.
libvirt_once() { # libvirt_once ARGUMENT...
  code=0
  timeout 100 virsh -q -k 0 "$@" || code=$?
  [ "$code" != 124 ] || fail "hangs: virsh $*"
  echo "$1 $code" >>race-codes
  return "$code"
}

moves_by_nodedev() { # moves_by_nodedev BDF
  libvirt_once nodedev-detach "$(nodedev_name "$1")" || true
  libvirt_once nodedev-reattach "$(nodedev_name "$1")" || true
}

# A device stays with the running guest that has it, on its driver
stays_with() { # stays_with GUEST BDF
  stays=$(qemu_vfio_devices "$1" | grep "^$2 ") || fail "$1 was given $2 and does not have it"
  for look in 1 2 3 4 5; do
    sleep 0.2
    [ "$(qemu_vfio_devices "$1" | grep "^$2 ")" = "$stays" ] ||
      fail "look $look: $2 was taken from $1: $stays before, now on $(driver_of "$2")"
  done
}

moves_by_plug() { # moves_by_plug GUEST BDF
  hostdev_xml "$2" >"race-hostdev-$2.xml"
  libvirt_once attach-device "$1" "race-hostdev-$2.xml" || return 0
  stays_with "$1" "$2"
  insists_name=race-$2
  insists detach-device "$1" "race-hostdev-$2.xml" || fail "it cannot be detached"
  wait_for 60 has_no_hostdev "$1" "$2"
}

moves_by_start() { # moves_by_start GUEST BDF
  domain_xml "$1" "$(hostdev_xml "$2")" >"$1.xml"
  libvirt_once create "$1.xml" || return 0
  stays_with "$1" "$2"
  insists_name=race-$1
  insists destroy "$1" || fail "it cannot be destroyed"
}

# Checks that no device has lost its host driver. The state store records devices that the command left on VFIO, and
# restores them.
settles() { # settles BDF STATE
  vfio-variant list --json "$1" | jq -c '.[0]'
  timeout 60 virsh -q nodedev-reattach "$(nodedev_name "$1")" || true
  timeout 60 vfio-variant restore --force "$1"
  expect "$1 in the end" "$(state_of "$1")" "$2"
  expect_no_state_file "$1"
}

all_race() {
  first=$(bdf 1af4:1041 1) second=$(bdf 1af4:1041 2)
  third=$(make_vfs "$nvme" 2 | head -n 1)
  trap 'echo 0 >"$sysfs/$nvme/sriov_numvfs"' EXIT
  rm -f race-*
  : >race-codes
  wait_for 30 gate_is '.monitor == "idle"'
  files=$(open_files)
  start_domain guest
  racers=''
  for device in "$first" "$second" "$third"; do
    start_race "command-$device" moves_by_command "$device"
    start_race "nodedev-$device" moves_by_nodedev "$device"
    start_race "plug-$device" moves_by_plug guest "$device"
  done
  start_race "command-again-$first" moves_by_command "$first"
  start_race "start-$second" moves_by_start other "$second"
  sleep "$race_seconds"
  : >race-over
  race_ends
  virsh -q destroy guest
  for device in "$first" "$second"; do
    settles "$device" 'virtio-pci (null)'
  done
  settles "$third" 'none (null)'
  wait_for 30 gate_is '.monitor == "idle"'
  expect 'open files of the daemon' "$(open_files)" "$files"
}

start_race() {
  race "$@" &
  racers="$racers $!"
}

race_ends() {
  race_failed=''
  for pid in $racers; do
    wait "$pid" || race_failed="$race_failed $pid"
  done
  diag "race: $(sort race-codes | uniq -c | awk '{ printf "%s %s: %s times; ", $2, $3, $1 }')"
  tail -n 15 race-*[0-9]
  [ -z "$race_failed" ] || fail 'a racer failed'
  for needed in 'bind 0' 'restore 0' 'nodedev-detach 0' 'attach-device 0' 'create 0'; do
    grep -q "^$needed\$" race-codes || fail "no $needed in all this time: it was no race"
  done
}

need_libvirt
gate_scenario "crowd: $crowd virtual functions go to 8 guests at once, and return to their host driver" crowd_comes_and_goes
gate_scenario 'race: gate, hook and command on the same devices' all_race
