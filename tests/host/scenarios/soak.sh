# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# The same actions many times, in an order derived from a seed, while processes are killed. After each step every
# device is where the plan expects it. At the end nothing is left behind, and nothing has grown.
#
# Each step is one of: start a guest (with zero to three devices), destroy a guest, attach a device, detach a
# device, nodedev-detach and reattach, bind and restore. The choice depends only on the seed and the plan, never on
# results, so the same seed always gives the same steps. If a process is killed during the step of a guest, the
# guest is destroyed afterwards. A kill between two steps has no effect, except for a kill of QEMU.
#
# The optional file soak.conf, which boot copies, may set cycles= (number of start and destroy, and of attach and
# detach), seed= and kill_percent= (percentage of steps)

nic=$(bdf 8086:10d3 1)
special_nic=$(bdf 8086:10d3 2)
nvme=$(bdf 1b36:0010)
edu=$(bdf 1234:11e8 1),$(bdf 1234:11e8 2) # one IOMMU group: always used together

cycles=4 quiet_cycles=2 kill_percent=12 seed=1
# shellcheck disable=SC1091 # copied by boot --with
[ ! -e soak.conf ] || . ./soak.conf

# --- the plan: in files with one word each ---

plan=/run/tests/plan

owner_of() { # owner_of UNIT: sets $owner to "home" or to a guest
  read -r owner <"$plan/unit-$1"
}

# take RULE [GUEST]: sets $unit to a unit that matches RULE, empty if none does
take() {
  fitting=''
  for unit in $units; do
    owner_of "$unit"
    ! "$@" || fitting="$fitting $unit"
  done
  shift "$#"
  # shellcheck disable=SC2086 # word splitting is intended
  set -- $fitting
  unit=''
  [ "$#" -gt 0 ] || return 0
  random "$#"
  shift "$chosen"
  unit=$1
}

is_free() {
  [ "$owner" = home ]
}

is_free_and_single() {
  [ "$owner" = home ] && [ "$unit" = "${unit%,*}" ]
}

is_single_of() { # is_single_of GUEST
  [ "$owner" = "$1" ] && [ "$unit" = "${unit%,*}" ]
}

# give OWNER UNIT...
give() {
  new_owner=$1
  shift
  for given in "$@"; do
    echo "$new_owner" >"$plan/unit-$given"
  done
}

units_of() { # units_of GUEST: sets $had
  had=''
  for unit in $units; do
    owner_of "$unit"
    [ "$owner" != "$1" ] || had="$had $unit"
  done
}

devices_of() { # devices_of UNIT...
  while [ "$#" -gt 0 ]; do
    echo "${1%,*}"
    [ "$1" = "${1#*,}" ] || echo "${1#*,}"
    shift
  done
}

# The generator for all choices. random N: sets $chosen to 0 to N-1
random() {
  generator=$(((generator * 1103515245 + 12345) & 0x7fffffff))
  chosen=$(((generator >> 12) % $1))
}

# --- counters ---

count() { # count WHAT: in a file, since some callers are subshells
  counted "$1"
  echo $((counted + 1)) >"$plan/count-$1"
}

counted() { # counted WHAT: sets $counted
  counted=0
  [ ! -e "$plan/count-$1" ] || read -r counted <"$plan/count-$1"
}

figures() {
  line="seed=$first_seed steps=$steps"
  for what in start-destroy attach-detach nodedev command kill-libvirtd kill-qemu kill-daemon kill-worker kill-monitor \
    in-vain by-hand orphan; do
    counted "$what"
    line="$line $what=$counted"
  done
  diag "figures $line"
}

# --- where a device must be ---

# wanted BDF HOW: prints the expected driver, if nothing went wrong
wanted() {
  if [ "$2" = plug ] && ! libvirt_chooses && ! grep -q flr "$sysfs/$1/reset_method" 2>/dev/null; then
    echo vfio-pci
    return
  fi
  case $(cat "$sysfs/$1/device") in
    0x11e8) echo test-named-vfio ;;
    0x10d3) [ "$1" = "$special_nic" ] && echo test_special_vfio_pci || echo test_vfio_pci ;;
    *) echo test_vfio_pci ;;
  esac
}

# Called very often, for each device after each step: starts no process
is_on_host() { # is_on_host BDF
  read -r host_driver host_override <"$plan/home-$1"
  read -r override <"$sysfs/$1/driver_override"
  [ "$override" = "$host_override" ] && [ ! -e "/run/vfio-variant/$1" ] || return 1
  if [ "$host_driver" = none ]; then
    [ ! -e "$sysfs/$1/driver" ]
  else
    # shellcheck disable=SC3013 # dash and bash have it
    [ "$sysfs/$1/driver" -ef "/sys/bus/pci/drivers/$host_driver" ]
  fi
}

is_recorded() { # is_recorded BDF GUEST: checks the state store
  recorded=''
  [ ! -e "/run/vfio-variant/$1" ] || while read -r line; do
    [ "$line" != "domain=$2" ] || recorded=yes
  done <"/run/vfio-variant/$1"
  [ -n "$recorded" ]
}

soon() { # soon SECONDS COMMAND...: like wait_for, but starts no process if the command succeeds at once
  soon_seconds=$1
  shift
  "$@" || wait_for "$soon_seconds" "$@"
}

# opened_by GUEST: sets $opened to the VFIO files that QEMU really has open
opened_by() {
  opened=$(find "/proc/$(qemu_pid "$1")/fd" -lname '/dev/vfio/*' -printf '%l\n')
}

is_open() { # is_open BDF: checks $opened
  read -r group <"$plan/group-$1"
  case $opened in
    */dev/vfio/"$group" | */dev/vfio/"$group"[!0-9]*) ;;
    *) return 1 ;;
  esac
}

holds() { # holds GUEST HOW UNIT...: checks that each unit is on the expected driver
  guest_holds=$1 how=$2
  shift 2
  [ "$#" -gt 0 ] || return 0
  really=$(qemu_vfio_devices "$guest_holds")
  for device in $(devices_of "$@"); do
    echo "$really" | grep -qx "$device $(wanted "$device" "$how")" ||
      fail "$guest_holds has, of QEMU's: $really; wanted: $device on $(wanted "$device" "$how")"
  done
}

be_restored() { # be_restored UNIT...
  for device in $(devices_of "$@"); do
    soon 30 is_on_host "$device" || fail "$device is not home: $(state_of "$device"), $(entry_of "$device")"
  done
}

entry_of() {
  tr '\n' ' ' <"/run/vfio-variant/$1" 2>/dev/null || echo 'no entry'
}

# Checks all devices against the plan
look_around() {
  for unit in $units; do
    owner_of "$unit"
    [ "$owner" != home ] || be_restored "$unit"
  done
  for name in soak0 soak1 soak2; do
    [ ! -e "$plan/on-$name" ] || look_at_guest "$name"
  done
}

look_at_guest() { # look_at_guest NAME
  opened_by "$1"
  units_of "$1"
  [ -n "$had" ] || return 0
  # shellcheck disable=SC2086 # word splitting is intended
  for device in $(devices_of $had); do
    is_open "$device" || fail "$1 has $device no more: $(state_of "$device"), it has $opened"
    soon 20 is_recorded "$device" "$1" || fail "$device, of $1: $(entry_of "$device")"
  done
}

# --- the actions ---

# No libvirt command takes longer, even if a process died; otherwise it hangs
limited() {
  limited_code=0
  timeout 120 "$@" || limited_code=$?
  [ "$limited_code" != 124 ] || fail "hangs: $*"
  return "$limited_code"
}

# start_guest NAME UNIT...: with slots for all units
start_guest() {
  started=$1
  shift
  started_xml=''
  for number in 5 6 7 8 9 10; do
    started_xml="$started_xml<controller type='pci' index='$number' model='pcie-root-port'/>"
  done
  for device in $(devices_of "$@"); do
    started_xml="$started_xml$(hostdev_xml "$device")"
  done
  domain_xml "$started" "$started_xml" >"$started.xml"
  limited virsh -q create "$started.xml"
}

act_start() { # act_start GUEST UNIT...
  start_guest "$@"
  guest=$1
  shift
  holds "$guest" start "$@"
}

act_destroy() { # act_destroy GUEST UNIT...: UNITs are those that the guest has
  limited virsh -q destroy "$1"
  shift
  be_restored "$@"
}

act_attach() { # act_attach GUEST UNIT
  hostdev_xml "$2" >"hostdev-$2.xml"
  limited virsh -q attach-device "$1" "hostdev-$2.xml"
  holds "$1" plug "$2"
}

act_detach() { # act_detach GUEST UNIT
  hostdev_xml "$2" >"hostdev-$2.xml"
  limited virsh -q detach-device "$1" "hostdev-$2.xml"
  wait_for 60 has_no_hostdev "$1" "$2"
  be_restored "$2"
}

act_nodedev() { # act_nodedev GUEST UNIT: no guest has the unit
  limited virsh -q nodedev-detach "$(nodedev_name "$2")"
  expect 'driver after nodedev-detach' "$(driver_of "$2")" "$(wanted "$2" plug)"
  limited virsh -q nodedev-reattach "$(nodedev_name "$2")"
  be_restored "$2"
}

act_command() { # act_command GUEST UNIT
  # shellcheck disable=SC2046 # word splitting is intended
  limited vfio-variant bind $(devices_of "$2")
  for device in $(devices_of "$2"); do
    expect 'driver after bind' "$(driver_of "$device")" "$(wanted "$device" command)"
  done
  # shellcheck disable=SC2046
  limited vfio-variant restore $(devices_of "$2")
  be_restored "$2"
}

# Sets $action, $guest and $with for the step
choose_action() {
  random 3
  guest=soak$chosen with=''
  random 20
  dice=$chosen
  if [ ! -e "$plan/on-$guest" ]; then
    choose_without_guest
  else
    choose_with_guest
  fi
}

choose_without_guest() {
  case $dice in
    0) action=nodedev && take is_free_and_single && with=$unit ;;
    1) action='command' && take is_free && with=$unit ;;
    *) action=start && choose_devices ;;
  esac
  [ "$action" = start ] || [ -n "$with" ] || action=start
}

choose_devices() {
  random 4
  many=$chosen
  while [ "$many" -gt 0 ]; do
    take is_free
    [ -z "$unit" ] || {
      with="$with $unit"
      give "$guest" "$unit" # excludes the unit from the next choice
    }
    many=$((many - 1))
  done
}

choose_with_guest() {
  counted attach-detach
  enough_plugs=$((counted >= cycles))
  counted start-destroy
  enough_starts=$((counted >= cycles))
  action=destroy
  if [ "$enough_plugs" = 1 ] || { [ "$dice" -lt 5 ] && [ "$enough_starts" = 0 ]; }; then
    units_of "$guest"
    with=$had
    return
  fi
  if [ "$dice" -lt 12 ]; then
    action=attach && take is_free_and_single
  else
    action=detach && take is_single_of "$guest"
  fi
  with=$unit
  [ -z "$with" ] || return 0
  if [ "$action" = attach ]; then
    action=detach && take is_single_of "$guest"
  else
    action=attach && take is_free_and_single
  fi
  with=$unit
  [ -z "$with" ] || return 0
  action=destroy # no device to detach, and no device left to attach
  units_of "$guest"
  with=$had
}

is_destroyed() {
  # shellcheck disable=SC2086 # word splitting is intended
  give home $with
  rm "$plan/on-$guest"
  count start-destroy
}

# Updates the plan
act_is_done() {
  case $action in
    start) : >"$plan/on-$guest" ;;
    destroy) is_destroyed ;;
    attach) give "$guest" "$with" ;;
    detach) give home "$with" && count attach-detach ;;
    *) count "$action" ;;
  esac
}

# --- the kills ---

# Sets $victim, and $moment (milliseconds after the start of the step, or "before")
choose_kill() {
  victim='' moment=''
  random 100
  [ "$chosen" -lt "${kill_percent:?}" ] || return 0
  random 5
  victim=$(echo libvirtd qemu daemon worker monitor | cut -d' ' -f$((chosen + 1)))
  random 2
  [ "$chosen" = 0 ] || [ "$victim" = worker ] || {
    moment=before
    return
  }
  random 30
  moment=$((chosen * 50))
}

qemu_pid() {
  cat "/run/libvirt/qemu/$1.pid" 2>/dev/null
}

workers() {
  pgrep -P "$gate_pid" -x vfio-variantd
}

domain_is_gone() {
  ! virsh -q domstate "$1" >/dev/null 2>&1
}

kill_victim() {
  code=0
  case $victim in
    libvirtd) kill -9 "$(libvirt_pid)" ;;
    qemu) kill -9 "$(qemu_pid "$guest")" ;;
    daemon) kill_gate ;;
    worker) pkill -KILL -P "$gate_pid" -x vfio-variantd || code=1 ;;
    monitor) pkill -KILL -P "$gate_pid" -x vfio-variant-mo || code=1 ;;
  esac 2>/dev/null || code=1
  if [ "$code" = 0 ]; then count "kill-$victim"; else count in-vain; fi
}

# Restarts the victim like systemd would
revive() {
  case $victim in
    libvirtd) wait_for 20 libvirt_is_gone && start_libvirt ;;
    daemon) start_daemon on && note_daemon ;;
  esac
}

# Between two steps: only the death of QEMU may have an effect
kill_at_rest() {
  random 3
  guest=soak$chosen
  kill_victim
  revive
  [ "$victim" != qemu ] || [ ! -e "$plan/on-$guest" ] || guest_is_gone
  look_around
}

guest_is_gone() {
  wait_for 60 domain_is_gone "$guest"
  units_of "$guest"
  # shellcheck disable=SC2086 # word splitting is intended
  be_restored $had
  # shellcheck disable=SC2086
  give home $had
  rm "$plan/on-$guest"
}

# The action may succeed or fail, but it must end
act_and_kill() {
  # shellcheck disable=SC2086 # word splitting is intended
  ("act_$action" "$guest" $with) >action.log 2>&1 &
  action_pid=$!
  case $victim in
    worker) wait_for 3 workers >/dev/null || true ;;
    qemu) [ "$action" != start ] || wait_for 5 qemu_pid "$guest" >/dev/null || true ;;
  esac
  [ "$victim" != worker ] || moment=$((moment / 10))
  sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
  kill_victim
  wait "$action_pid" || true
  cat action.log
  ! grep -q 'FAILED: hangs' action.log || fail 'the action hangs'
  revive
  clear_away
}

# In all cases, ends the guest, and with it the use of its devices
clear_away() {
  [ "$action" != nodedev ] || is_on_host "$with" || limited virsh -q nodedev-reattach "$(nodedev_name "$with")" || true
  limited virsh -q destroy "$guest" || true
  wait_for 60 domain_is_gone "$guest"
  kill_orphans
  units_of "$guest"
  # shellcheck disable=SC2046,SC2086 # word splitting is intended
  for device in $(devices_of $(echo $had $with | tr ' ' '\n' | sort -u)); do
    restored "$device"
  done
  # shellcheck disable=SC2086
  give home $had $with
  rm -f "$plan/on-$guest"
}

# A libvirtd killed while it starts a guest does not know the QEMU process afterwards
kill_orphans() {
  for orphan in $(pgrep -f "guest=$guest,"); do
    echo "QEMU $orphan of $guest is unknown to libvirt"
    kill -9 "$orphan"
    count orphan
  done
}

# After a kill of libvirtd or the daemon, the command may be needed: no other process knows that the guest no longer
# needs the device. But a device of the host always has a driver.
restored() { # restored BDF
  settle=20
  [ -n "$(state_value "$1" domain)" ] || settle=5
  ! soon "$settle" is_on_host "$1" || return 0
  echo "$victim was killed: $(state_of "$1"), $(entry_of "$1")"
  [ "$(driver_of "$1")" != none ] || [ "$host_driver" = none ] || fail "$1 is without a driver: $(entry_of "$1")"
  case $victim in
    qemu | monitor | worker) fail "$1 did not return to its host driver by itself" ;;
  esac
  limited vfio-variant restore --force "$1"
  count by-hand
  is_on_host "$1" || fail "$1 was not brought home: $(state_of "$1"), $(entry_of "$1")"
}

# --- nothing is left, nothing grows ---

open_files() { # open_files PID
  find "/proc/$1/fd" -type l | wc -l
}

resident_kib() { # resident_kib PID
  awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"
}

# A new daemon may grow for some steps, until all its code has run once
note_daemon() {
  daemon_steps=0
}

daemon_does_not_grow() {
  daemon_steps=$((daemon_steps + 1))
  if [ "$daemon_steps" = 20 ]; then
    resident=$(resident_kib "$gate_pid")
  elif [ "$daemon_steps" -gt 20 ]; then
    [ "$(resident_kib "$gate_pid")" -le $((resident + 256)) ] ||
      fail "the daemon grows: $resident KiB after 20 steps, $(resident_kib "$gate_pid") KiB after $daemon_steps"
  fi
}

# State that must not change: devices, /dev/vfio, the run directory, the daemon's files, processes except those of
# the kernel
surroundings() {
  devices
  find /dev/vfio /sys/kernel/iommu_groups -mindepth 1 | sort
  find /run/vfio-variant -type f ! -name 'lock-*' ! -name counters ! -name hook-caller | sort
  echo "open files of the daemon: $(open_files "$gate_pid")"
  ps -e -o ppid=,comm= | awk '$1 != 2 { print $2 }' | grep -E 'qemu|vfio|vv-|virsh|dnsmasq' | sort
  ls /run/libvirt/qemu/*.xml /run/libvirt/qemu/*.pid 2>/dev/null || true
}

note_surroundings() {
  wait_for 30 gate_is '.monitor == "idle"'
  surroundings >before
  libvirt_before="$(open_files "$(libvirt_pid)") files, $(resident_kib "$(libvirt_pid)") KiB"
}

expect_surroundings() {
  wait_for 30 gate_is '.monitor == "idle"'
  surroundings >after
  diff before after || fail 'something is left, or gone'
  echo "libvirtd had $libvirt_before; now $(open_files "$(libvirt_pid)") files," \
    "$(resident_kib "$(libvirt_pid)") KiB"
}

# --- main ---

prepare() { # prepare SEED
  first_seed=$1 generator=$1 steps=0
  rm -rf "$plan"
  mkdir "$plan"
  # shellcheck disable=SC2046 # word splitting is intended
  set -- "$nic" "$special_nic" "$(bdf 1af4:1041 1)" "$(bdf 1af4:1041 2)" "$edu" $(make_vfs "$nvme" 2)
  units=$*
  give home "$@"
  for device in $(devices_of "$@"); do
    state_of "$device" >"$plan/home-$device"
    group_of "$device" >"$plan/group-$device"
  done
  note_surroundings
  note_daemon
  # shellcheck disable=SC2154
  trap 'tell_end $?' EXIT
}

tell_end() {
  figures
  [ "$1" = 0 ] || diag "seed $first_seed, step $steps: ${action:-} ${guest:-} ${with:-}; killed: ${victim:-none} ${moment:-}"
}

all_done() {
  counted start-destroy
  [ "$counted" -ge "$cycles" ] || return 1
  counted attach-detach
  [ "$counted" -ge "$cycles" ]
}

say_step() {
  line="$(uptime_seconds) s, step $steps: $*"
  echo "$line"
  [ -z "${verbose:-}" ] || diag "$line"
}

one_step() {
  steps=$((steps + 1)) action='at rest' guest='' with=''
  choose_kill
  [ "$moment" != before ] || {
    say_step "at rest; kill: $victim"
    kill_at_rest
    victim=''
  }
  choose_action
  say_step "$action $guest $with; kill: ${victim:-nobody} ${victim:+$moment}"
  if [ -n "$victim" ]; then
    act_and_kill
  else
    # shellcheck disable=SC2086 # word splitting is intended
    "act_$action" "$guest" $with
    act_is_done
  fi
  look_around
  daemon_does_not_grow
}

last_guests_end() {
  for guest in soak0 soak1 soak2; do
    [ ! -e "$plan/on-$guest" ] || {
      units_of "$guest"
      # shellcheck disable=SC2086 # word splitting is intended
      act_destroy "$guest" $had
      # shellcheck disable=SC2086
      give home $had
      rm "$plan/on-$guest"
      count start-destroy
    }
  done
}

soak() { # soak SEED KILL-PERCENT CYCLES
  kill_percent=$2 cycles=$3
  prepare "$1"
  until all_done; do
    one_step
  done
  last_guests_end
  look_around
  expect_surroundings
  echo 0 >"$sysfs/$nvme/sriov_numvfs"
}

quiet_soak() {
  soak "$1" 0 "$2"
  expect 'outcomes' "$(gate_status '.outcomes | "\(.fell_back) \(.failed) \(.crashed) \(.deadline)"')" '0 0 0 0'
}

# Only a kernel event wakes the daemon: no context switch in ten seconds
is_idle() {
  sleep 2
  idle_before=$(switches)
  sleep 10
  expect 'context switches in ten seconds' "$(($(switches) - idle_before))" 0
}

# switches: prints those of the daemon and its watchdog
switches() {
  for idle_pid in $gate_pid $(pgrep -P "$gate_pid"); do
    awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$idle_pid/status"
  done | awk '{ n += $1 } END { print n }'
}

need_libvirt
gate_scenario "soak: $quiet_cycles times start and destroy, attach and detach, undisturbed (seed $seed)" \
  quiet_soak "$seed" "$quiet_cycles"
gate_scenario "soak: $cycles times start and destroy, attach and detach, with kills (seed $seed)" soak "$seed" "$kill_percent" "$cycles"
gate_scenario 'idle: the daemon does not wake up' is_idle
