# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh comes before
#
# One fault at each point at which a program changes the world (tests/faults): each write to sysfs, each load of a
# module, each write to the state store, each answer of the gate. A flow is what a user or libvirt does; it runs once
# undisturbed, which tells its points, and then once for each point and fault. Afterwards somebody comes along as after
# any accident: the next command, a daemon that is started again, a guest that is started again or ended. Then the
# device must be home, as it was.
#
# No scenarios here: they are in the scripts that follow. With points-long.sh between: both sides of each point, and all
# faults.

faults=/run/vfio-variant-faults
nic=$(bdf 1af4:1041 1)
idle_nic=$(bdf 1af4:1041 2)
home='virtio-pci virtio-pci' # with an override, so that losing it shows
wanted=test_vfio_pci
stall=45 # seconds: the gate waits for 30 at the most, the hook for 60

# --- the programs with faults ---

lay_over() {
  for program in bin/vfio-variant sbin/vfio-variantd sbin/vfio-variant-hook libexec/vfio-variant-domain \
    libexec/vfio-variant-monitor; do
    mount --bind "/usr/lib/vfio-variant-faults/${program##*/}" "/usr/$program"
  done
  mkdir -p "$faults"
}

# arm [ORDER]: points count from now on, and the ordered one has its fault
arm() {
  rm -f "$faults/done" "$faults/order"
  [ -z "${1:-}" ] || echo "$1" >"$faults/order"
  : >"$faults/trace"
}

disarm() {
  rm -f "$faults/order"
  [ ! -e "$faults/trace" ] || mv "$faults/trace" "$faults/last"
}

# --- flows: NAME_ready: the state before; NAME_run: what is disturbed; NAME_mend: what comes after, and is looked at ---

is_on_host() {
  state_is "$nic" "$home"
}

host_is_known() {
  [ "$(state_value "$nic" host-known)" = true ]
}

# host_may_be_lost: whether nobody could write down where the device comes from: the ordered fault kept just that from
# being written, or ended the daemon before, when libvirt went on without it. The device then loses its override.
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

# to_host KNOWN COMMAND...: which ends the guest's use of the device
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

# As at any other device: whatever runs next mends what was cut off
next_command() {
  vfio-variant restore "$idle_nic"
  driver=$(driver_of "$nic")
  [ "$driver" != none ] || fail "$nic has no driver"
}

known_host() {
  ! host_is_known || echo yes
}

vfio_driver() { # vfio_driver DRIVER: one of those that the device may be on
  case $1 in
    "$wanted" | vfio-pci) echo "as expected: on $1" ;;
    *) fail "$nic is on '$1', which is no VFIO driver of its" ;;
  esac
}

bind_ready() {
  is_on_host
  unload_variants # loading them is a point, too
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

# its QEMU really has the device
guest_has_device() {
  vfio_driver "$(qemu_vfio_driver guest)"
}

start_ready() {
  is_on_host
  unload_variants
  rm -f /run/vfio-variant/hook-caller # which it writes once for each libvirt
}

start_run() {
  start_domain guest "$(hostdev_xml "$nic")"
}

# Killed while the device is between drivers: it returns to its host driver, and QEMU has nothing to open.
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
    *' E'*) [ ! -e "/run/vfio-variant/$nic" ] || vfio-variant restore --force "$nic" ;; # what failed is for somebody to mend
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

# The one of an earlier case may still run.
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

# The worker has ended, and the monitor knows as much as it ever will.
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

# Who stands still is killed, but for where the point is to be waited for, and for the daemon, which its watchdog kills
# when somebody waits for it.
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

# one_case FLOW ORDER: in a subshell of its own
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

# After a failure: the state that the next case begins with, by force
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

# --- all of them ---

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
  waited_for=$(awk '/ write / { $1 = ""; last = $0 } END { print last }' "points-$flow") # of the stalls, the whole time
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

# one_side FAULT: that of which the other one differs least
one_side() {
  case $1 in
    kill) echo after ;;
    *) echo before ;;
  esac
}

# points_of FAULTS FLOW...: with points_long all faults, on both sides
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
