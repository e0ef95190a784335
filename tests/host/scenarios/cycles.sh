# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh comes before
#
# The same thing very often: nothing is left behind, nothing grows. And the daemon at rest.

virtio_nic=$(bdf 1af4:1041 1)

cycles=100 # the emulator itself crashes once in some hundreds

open_files() { # open_files PID
  find "/proc/$1/fd" -type l | wc -l
}

resident_kib() { # resident_kib PID
  awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"
}

plugs_once() {
  virsh -q attach-device guest "hostdev-$virtio_nic.xml"
  [ "$(driver_of "$virtio_nic")" = test_vfio_pci ] || fail "cycle $1: on $(driver_of "$virtio_nic")"
  virsh -q detach-device guest "hostdev-$virtio_nic.xml"
  wait_for 20 state_is "$virtio_nic" 'virtio-pci (null)' || fail "cycle $1: not home"
}

many_cycles() {
  hostdev_xml "$virtio_nic" >"hostdev-$virtio_nic.xml"
  start_domain guest
  number=0
  while [ "$number" -lt "$cycles" ]; do
    plugs_once "$number"
    number=$((number + 1))
    [ "$number" != 20 ] || { # by now everything has been used once
      wait_for 20 gate_is '.minder == "idle"'
      files=$(open_files "$gate_pid")
      resident=$(resident_kib "$gate_pid")
    }
  done
  wait_for 20 gate_is '.minder == "idle"'
  expect 'open files' "$(open_files "$gate_pid")" "$files"
  resident_now=$(resident_kib "$gate_pid")
  echo "resident: $resident KiB after 20 cycles, $resident_now KiB after $cycles"
  [ "$resident_now" -le $((resident + 128)) ] || fail 'the daemon grows'
  expect 'outcomes' "$(gate_status '.outcomes | "\(.detached) \(.reattached) \(.failed) \(.crashed)"')" \
    "$cycles $cycles 0 0"
  expect 'processes of the daemon' "$(pgrep -c -P "$gate_pid")" 1 # its watchdog
  expect 'left in the run directory' "$(find /run/vfio-variant -name '0*' | wc -l)" 0
}

# Nothing but a kernel's event wakes it: no context switch in ten seconds
is_idle() {
  sleep 2
  idle_before=$(switches)
  sleep 10
  expect 'context switches in ten seconds' "$(($(switches) - idle_before))" 0
}

# of the daemon and its watchdog
switches() {
  for idle_pid in $gate_pid $(pgrep -P "$gate_pid"); do
    awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$idle_pid/status"
  done | awk '{ n += $1 } END { print n }'
}

need_libvirt
gate_scenario "cycles: $cycles times attach-device and detach-device" many_cycles
gate_scenario 'idle: the daemon does not wake up' is_idle
