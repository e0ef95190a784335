# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# One fault at each point at which a program changes the system (tests/faults): each write to sysfs, each load of a
# module, each write to the state store, each answer of the gate. A flow is an action of a user or of libvirt. It
# runs once undisturbed, to list its points, and then once for each point and fault. Afterwards the usual next step
# after an accident follows: another command, a restart of the daemon, a start or an end of a guest. Then the device
# must be on its host driver again, restored exactly.
#
# This file contains no scenarios: they are in the scripts that follow. With points-long.sh in between: both sides
# of each point, and all faults.

faults=/run/vfio-variant-faults
nic=$(bdf 1af4:1041 1)
idle_nic=$(bdf 1af4:1041 2)
home='virtio-pci virtio-pci' # with an override, to detect its loss
wanted=test_vfio_pci
stall=45 # seconds: the gate waits for 30 at most, the hook for 60

# --- the programs with faults ---

lay_over() {
  for program in bin/vfio-variant sbin/vfio-variantd sbin/vfio-variant-hook libexec/vfio-variant-domain \
    libexec/vfio-variant-monitor; do
    mount --bind "/usr/lib/vfio-variant-faults/${program##*/}" "/usr/$program"
  done
  mkdir -p "$faults"
}

# arm [ORDER]: starts to count points, and orders the fault at one of them
arm() {
  rm -f "$faults/done" "$faults/order"
  [ -z "${1:-}" ] || echo "$1" >"$faults/order"
  : >"$faults/trace"
}

disarm() {
  rm -f "$faults/order"
  [ ! -e "$faults/trace" ] || mv "$faults/trace" "$faults/last"
}

# --- flows: NAME_ready: initial state; NAME_run: action with the fault; NAME_mend: next step and checks ---

is_on_host() {
  state_is "$nic" "$home"
}

host_is_known() {
  [ "$(state_value "$nic" host-known)" = true ]
}

# host_may_be_lost: succeeds if no program could record the host driver: the ordered fault prevented exactly that
# write, or ended the daemon before it, while libvirt continued without the daemon. The device then loses its
# override.
host_may_be_lost() {
  awk -v "order=$order" -v "entry= replace $nic\$" '
    BEGIN {
      n = split(order, word, " ")
      for (i = 4; i <= n; i++) name = name (i > 4 ? " " : "") word[i]
    }
    $0 == name && ++seen == word[1] { ordered = NR }
    $0 ~ entry && !recorded { recorded = NR }
    END {
      is_entry = ordered == recorded && word[2] == "before"
      is_earlier = !recorded || ordered < recorded
      daemon_ends = name ~ /^vfio-variantd / && word[3] !~ /^E/
      exit !(is_entry && word[3] ~ /^E/ || daemon_ends && (is_entry || is_earlier))
    }' "$faults/last"
}

expect_host() {
  expect 'state afterwards' "$(state_of "$nic")" "$home"
  expect_no_state_file "$nic"
}

# to_host KNOWN COMMAND...: COMMAND ends the guest's use of the device
to_host() {
  known=$1
  shift
  "$@"
  [ -z "$known" ] || {
    expect_host
    return 0
  }
  host_may_be_lost || fail 'its host driver was not written down'
  expect 'driver afterwards' "$(driver_of "$nic")" "${home% *}"
  expect_no_state_file "$nic"
  echo "${home#* }" >"$sysfs/$nic/driver_override"
}

# As for any other device: the next program that runs recovers the interrupted operation
next_command() {
  vfio-variant restore "$idle_nic"
  driver=$(driver_of "$nic")
  [ "$driver" != none ] || fail "$nic has no driver"
}

known_host() {
  ! host_is_known || echo yes
}

vfio_driver() { # vfio_driver DRIVER: checks that DRIVER is allowed for the device
  case $1 in
    "$wanted" | vfio-pci) echo "as expected: on $1" ;;
    *) fail "$nic is on '$1', which is no VFIO driver of its" ;;
  esac
}

bind_ready() {
  is_on_host
  unload_variants # loading them is also a point
}

bind_run() {
  vfio-variant bind "$nic"
}

bind_mend() {
  next_command
  is_on_host || {
    vfio_driver "$driver"
    vfio-variant restore "$nic"
  }
  expect_host
}

restore_ready() {
  is_on_host
  vfio-variant bind "$nic"
  expect 'driver before' "$(driver_of "$nic")" "$wanted"
}

restore_run() {
  vfio-variant restore "$nic"
}

restore_mend() {
  bind_mend
}

guest_runs() {
  [ "$(virsh -q domstate guest 2>/dev/null)" = running ]
}

# QEMU really has the device open
guest_has_device() {
  vfio_driver "$(qemu_vfio_driver guest)"
}

start_ready() {
  is_on_host
  unload_variants
  rm -f /run/vfio-variant/hook-caller # the hook writes it once for each libvirt process
}

start_run() {
  start_domain guest "$(hostdev_xml "$nic")"
}

# After a kill while the device is between drivers, the device returns to its host driver, and QEMU has nothing to
# open.
between_drivers() {
  case $order in
    *' after kill '*/unbind | *' before kill '*/bind) ;;
    *) return 1 ;;
  esac
}

start_mend() {
  guest_runs || {
    between_drivers || fail 'the guest did not start'
    echo 'the guest did not start, and is started again'
    start_run
  }
  guest_has_device
  known=$(known_host)
  to_host "$known" ends_guest
}

ends_guest() {
  virsh -q destroy guest
  next_command
}

destroy_ready() {
  is_on_host
  start_run
  expect 'driver before' "$(qemu_vfio_driver guest)" "$wanted"
}

destroy_run() {
  virsh -q destroy guest
}

destroy_mend() {
  ! guest_runs || fail 'the guest runs'
  libvirt_answers
  next_command
  case $order in
    *' E'*) [ ! -e "/run/vfio-variant/$nic" ] || vfio-variant restore --force "$nic" ;; # a failure needs the administrator
  esac
  expect_host
}

reconnect_ready() {
  guest_runs || destroy_ready
  guest_pid=$(cat /run/libvirt/qemu/guest.pid)
}

reconnect_run() {
  restart_libvirt
  wait_for 20 guest_runs
  wait_for 20 no_hook_runs
}

no_hook_runs() {
  ! pgrep -x vfio-variant >/dev/null
}

reconnect_mend() {
  libvirt_answers
  guest_runs || fail 'the guest is gone'
  expect 'pid of QEMU' "$(cat /run/libvirt/qemu/guest.pid)" "$guest_pid"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$wanted"
  expect 'host driver in the state store' "$(state_value "$nic" host-driver-override)" "${home#* }"
}

# The daemon of an earlier case may still run.
daemon_lives() {
  gate_pid=$(pgrep -o -x vfio-variantd) && [ -e "/proc/$gate_pid/fd/0" ]
}

revive_daemon() {
  daemon_lives || start_daemon on --deadline 2
}

attach_ready() {
  is_on_host
  unload_variants
  revive_daemon
  guest_runs || start_domain guest
  guest_pid=$(cat /run/libvirt/qemu/guest.pid)
}

attach_run() {
  result=0
  attach_hostdev guest "$nic" || result=$?
  wait_for 12 has_settled || echo 'it does not settle'
  return "$result"
}

# The worker has ended, and the monitor has recorded all that it can learn.
has_settled() {
  ! pgrep -P "$gate_pid" -x vfio-variantd >/dev/null || return 1
  [ ! -e "/run/vfio-variant/$nic" ] || [ "$(state_value "$nic" in-use)" = true ]
}

guest_lives() {
  expect 'pid of QEMU' "$(cat /run/libvirt/qemu/guest.pid)" "$guest_pid"
  guest_runs || fail 'the guest does not run'
}

is_released() {
  wait_for 20 gate_is '.blocking | length == 0'
}

attach_mend() {
  revive_daemon
  is_released
  guest_lives
  if [ -n "$(qemu_vfio_devices guest)" ]; then
    guest_has_device
    known=$(known_host)
    to_host "$known" unplug
  else
    is_restored "$nic" "$home"
  fi
}

unplug() {
  detach_hostdev guest "$nic"
  wait_for 20 has_driver "$nic" "${home% *}"
  wait_for 20 has_settled_on_host_driver
}

has_settled_on_host_driver() {
  ! pgrep -P "$gate_pid" -x vfio-variantd >/dev/null && [ ! -e "/run/vfio-variant/$nic" ]
}

detach_ready() {
  attach_ready
  attach_run
  expect 'driver before' "$(qemu_vfio_driver guest)" "$wanted"
  expect 'in use in the state store' "$(state_value "$nic" in-use)" true
}

detach_run() {
  detach_hostdev guest "$nic"
  wait_for 15 has_settled_on_host_driver || echo 'it does not settle'
}

detach_mend() {
  revive_daemon
  is_released
  guest_lives
  expect 'what QEMU uses' "$(qemu_vfio_devices guest)" ''
  is_restored "$nic" "$home"
}

# --- one case ---

run_has_ended() {
  [ -e run.status ]
}

fault_is_done() {
  [ -s "$faults/done" ]
}

run_in_background() {
  rm -f run.status
  (
    status=0
    (
      set -eu
      "${flow}_run"
    ) >run.log 2>&1 || status=$?
    echo "$status" >run.status
  ) &
}

# Kills the stalled process. Exceptions: points where the flow waits for the whole stall, and the daemon, whose
# watchdog kills it if a caller waits for it.
stall_ends() {
  wait_for 60 fault_is_done || return 0
  case $order in
    *"$waited_for") return 0 ;;
    *'vfio-variantd answer'*) ! wait_for 15 run_has_ended || return 0 ;;
    *) ! wait_for 3 run_has_ended || return 0 ;;
  esac
  [ "$flow" = reconnect ] || libvirt_answers || fail 'libvirt does not answer'
  kill_stalled
}

kill_stalled() {
  ! kill -9 "$(cat "$faults/done")" 2>/dev/null || echo 'the process that stood still was killed'
}

# one_case FLOW ORDER: runs in a subshell of its own
one_case() {
  flow=$1 order=$2
  "${flow}_ready"
  arm "$order"
  run_in_background
  [ "$fault" != "$stall" ] || stall_ends
  wait_for 100 run_has_ended || fail 'it does not come to an end'
  disarm
  cat run.log
  echo "it ended with status $(cat run.status)"
  fault_is_done || fail 'the point was not reached'
  [ "$fault" != "$stall" ] || kill_stalled
  "${flow}_mend"
}

# After a failure: restores the initial state of the next case by force
by_force() {
  disarm
  destroy_domains
  ! pkill -KILL -x vfio-variantd || sleep 0.2
  vfio-variant restore --force "$nic"
  rm -f "/run/vfio-variant/$nic"
  echo "${home#* }" >"$sysfs/$nic/driver_override"
  is_on_host || {
    [ "$(driver_of "$nic")" = none ] || echo "$nic" >"$sysfs/$nic/driver/unbind"
    echo "$nic" >/sys/bus/pci/drivers/virtio-pci/bind
  }
  libvirt_answers || start_libvirt
}

# --- all cases ---

undisturbed() { # undisturbed FLOW
  flow=$1 order=''
  "${flow}_ready"
  arm
  "${flow}_run"
  disarm
  "${flow}_mend"
  awk '{ print ++seen[$0] " " $0 }' "$faults/last" >"points-$flow"
  diag "$flow: $(wc -l <"points-$flow") points"
  sed 's/^/#   /' "points-$flow" >&3
}

# all_points FLOW FAULT SIDE...
all_points() {
  flow=$1 fault=$2
  shift 2
  waited_for=$(awk '/ write / { $1 = ""; last = $0 } END { print last }' "points-$flow") # lets this stall last its full time
  waited_for=${waited_for:-none}
  cases=0 failures=0 begun=$(uptime_seconds | cut -d. -f1)
  for side; do
    while read -r number name; do
      cases=$((cases + 1))
      set +e
      (
        set -eu
        one_case "$flow" "$number $side $fault $name"
      ) >case.log 2>&1 </dev/null
      result=$?
      set -e
      [ "$result" != 0 ] || continue
      failures=$((failures + 1))
      echo "FAILED POINT: $number $side $fault $name"
      diag "failed: $number $side $fault $name"
      sed 's/^/  /' case.log
      by_force >case.log 2>&1 || true
    done <"points-$flow"
  done
  took=$(($(uptime_seconds | cut -d. -f1) - begun))
  echo "$flow $fault $cases $failures" >>totals
  diag "$flow, $fault: $cases cases, $failures failures, $took s"
  [ "$failures" = 0 ]
}

totals() {
  awk '{ cases += $3; failures += $4 } END { print cases " cases (points x faults), " failures " failures" }' totals
}

# one_side FAULT: prints the side to test; the other side adds the least
one_side() {
  case $1 in
    kill) echo after ;;
    *) echo before ;;
  esac
}

# points_of FAULTS FLOW...: with points_long, all faults on both sides
points_of() {
  few_faults=$1
  shift
  for each; do
    scenario "points of $each: undisturbed" undisturbed "$each"
    if [ -n "${points_long:-}" ]; then
      for fault in kill EIO "$stall" ENOSPC; do
        scenario "points of $each: $fault" all_points "$each" "$fault" before after
      done
    else
      for fault in $few_faults; do
        scenario "points of $each: $fault" all_points "$each" "$fault" "$(one_side "$fault")"
      done
    fi
    by_force >by-force.log 2>&1
  done
  diag "so far: $(totals)"
}

need_libvirt
lay_over
echo "${home#* }" >"$sysfs/$nic/driver_override"
