# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# Counters: the hook, the command and the gate's workers count their operations. The command prints the counters,
# also to a file for Prometheus's node exporter.

nic=$(bdf 8086:10d3 1)
virtio_nic=$(bdf 1af4:1041 1)
textfile=/run/tests/metrics/vfio-variant.prom

# metric SAMPLE: prints its value, 0 if it does not exist
metric() {
  vfio-variant metrics | awk -v name="vfio_variant_$1" '$1 == name { number = $2 } END { print number + 0 }'
}

metric_is() { # metric_is SAMPLE NUMBER, for wait_for
  [ "$(metric "$1")" = "$2" ]
}

file_says() { # file_says SAMPLE NUMBER: writes the file first
  vfio-variant metrics --format=prometheus --output "$textfile"
  grep -qxF "vfio_variant_$1 $2" "$textfile"
}

changes() { # changes OPERATION DRIVER OUTCOME: prints the name of their sample
  echo "changes_total{operation=\"$1\",driver=\"$2\",outcome=\"$3\"}"
}

duration_count() { # duration_count OPERATION: prints the name of the sample with the number of durations
  echo "change_duration_seconds_count{operation=\"$1\"}"
}

detached() { # detached DRIVER HOST IN-USE: prints the name of the sample of such devices
  echo "devices_detached{driver=\"$1\",host_driver=\"$2\",in_use=\"$3\"}"
}

hook_counts() {
  moved=$(changes detach test_vfio_pci 'done')
  before=$(metric "$moved")
  durations=$(metric "$(duration_count detach)")
  by_hook=1
  ! libvirt_chooses || by_hook=0 # the hook has nothing to do
  start_domain guest "$(hostdev_xml "$nic")"
  expect 'changes after the start' "$(metric "$moved")" $((before + by_hook))
  expect 'durations' "$(metric "$(duration_count detach)")" $((durations + by_hook))
  expect 'devices of guests' "$(metric "$(detached test_vfio_pci e1000e true)")" 1
  expect 'entries' "$(metric 'state_files{state="detached"}')" 1
  expect 'the daemon' "$(metric daemon_up)" 0
  virsh -q destroy guest
  expect 'devices of guests afterwards' "$(metric "$(detached test_vfio_pci e1000e true)")" 0
  expect 'entries afterwards' "$(metric 'state_files{state="detached"}')" 0
  expect 'changes afterwards' "$(metric "$moved")" $((before + by_hook))
}

command_counts() {
  fell_back=$(metric "$(changes detach vfio-pci fell-back)")
  restored=$(metric "$(changes reattach e1000e 'done')")
  failed=$(metric 'attempt_failures_total{step="bind"}')
  load_variant test_vfio_pci probe_errno=5
  vfio-variant bind "$nic"
  expect 'driver' "$(driver_of "$nic")" vfio-pci
  expect 'fallen back' "$(metric "$(changes detach vfio-pci fell-back)")" $((fell_back + 1))
  expect 'failed binds' "$(metric 'attempt_failures_total{step="bind"}')" $((failed + 1))
  expect 'devices of no guest' "$(metric "$(detached vfio-pci e1000e false)")" 1
  vfio-variant restore "$nic"
  expect 'return to its host driver' "$(metric "$(changes reattach e1000e 'done')")" $((restored + 1))
  unload_variants
}

gate_counts() {
  mkdir -p "${textfile%/*}"
  start_daemon on
  file_says daemon_up 1
  went=$(metric "$(changes detach test_vfio_pci 'done')")
  came=$(metric "$(changes reattach virtio-pci 'done')")
  durations=$(metric "$(duration_count reattach)")
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  wait_for 20 metric_is "$(changes detach test_vfio_pci 'done')" $((went + 1))
  file_says "$(changes detach test_vfio_pci 'done')" $((went + 1))
  wait_for 20 file_says "$(detached test_vfio_pci virtio-pci true)" 1 # the monitor records this
  file_says 'gate_outcomes_total{outcome="detached"}' 1
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  wait_for 20 metric_is "$(changes reattach virtio-pci 'done')" $((came + 1))
  expect 'durations' "$(metric "$(duration_count reattach)")" $((durations + 1))
  file_says "$(duration_count reattach)" $((durations + 1))
  file_says 'gate_outcomes_total{outcome="reattached"}' 1
  expect 'held' "$(metric gate_blocked_seconds_count)" "$(gate_status '.blocked.count')"
  file_says gate_blocked_seconds_count "$(gate_status '.blocked.count')"
  expect 'gate' "$(metric gate_on)" 1
  stop_gate
  file_says daemon_up 0
}

need_libvirt
scenario 'metrics: the hook counts' hook_counts
scenario 'metrics: the command counts, with what failed' command_counts
scenario 'metrics: the gate counts, and the file says so' gate_counts
killall_gates
