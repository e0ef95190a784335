# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# Error cases while libvirt is blocked: probes that fail or take long, killed processes, removed devices. libvirt
# always continues. The guest gets its device if that is possible at all. Afterwards the device is on its host
# driver, restored exactly.

nic=$(bdf 8086:10d3 1)
virtio_nic=$(bdf 1af4:1041 1)
native='virtio-pci (null)'

# The driver that libvirt selects itself
plain_driver=vfio-pci
! libvirt_chooses || plain_driver=test_vfio_pci

# attaches_meanwhile BDF: attaches in the background, waits until libvirt is blocked; sets $attach_pid
attaches_meanwhile() {
  attach_hostdev guest "$1" &
  attach_pid=$!
  wait_for 20 gate_is '.blocking | length == 1'
  expect 'what is held' "$(gate_status '.blocking[0] | "\(.device) for \(.executable)"')" "$1 for $libvirt_program"
}

# guest_has DRIVER: checks the driver of the device that was attached in the background
guest_has() {
  wait "$attach_pid"
  expect 'what QEMU uses' "$(qemu_vfio_devices guest)" "$virtio_nic $1"
}

guest_gives_back() {
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" "$native"
}

# --- the variant driver ---

probe_fails() {
  mark_log
  load_variant test_vfio_pci probe_errno=5
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  log_says "$virtio_nic: detach: virtio-pci -> vfio-pci.*test_vfio_pci failed at bind .*Input/output error"
  expect 'fell back' "$(gate_status .outcomes.fell_back)" 1
  guest_gives_back
}

module_is_missing() {
  ! libvirt_chooses || skip 'this libvirt looks for the module itself, and refuses'
  mark_log
  hide_module test_vfio_pci
  trap show_module EXIT
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  log_says "$virtio_nic.*test_vfio_pci failed at load"
  guest_gives_back
}

new_tables_are_seen() {
  mark_log
  table=/lib/modules/$(uname -r)/modules.alias
  sed -i.away '/test_vfio_pci$/d' "$table"
  trap 'mv -f "$table.away" "$table"; depmod' EXIT
  depmod_without_the_variant
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver before depmod' "$(qemu_vfio_driver guest)" vfio-pci
  guest_gives_back
  depmod
  attach_hostdev guest "$virtio_nic"
  expect 'driver after depmod' "$(qemu_vfio_driver guest)" test_vfio_pci
  guest_gives_back
}

# As before the installation of the package with the variant driver: the daemon uses the tables that exist
depmod_without_the_variant() {
  kill -HUP "$gate_pid"
  wait_for 10 log_says 'reloaded the policy'
}

# --- deadlines ---

# If the gate released libvirt during the probe, libvirt would find a device without a VFIO driver, and fail.
probe_outlasts_deadline() {
  mark_log
  waiting_variant
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  wait_for 20 log_says "$virtio_nic: the deadline has passed, but the kernel is still working on it"
  let_probe
  guest_has test_vfio_pci
  guest_gives_back
}

probe_outlasts_deadline_and_fails() {
  mark_log
  waiting_variant probe_errno=5
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  wait_for 20 log_says "$virtio_nic: the deadline has passed, but the kernel is still working on it"
  let_probe
  guest_has vfio-pci
  log_says "$virtio_nic: detach: virtio-pci -> vfio-pci.*test_vfio_pci failed at bind"
  guest_gives_back
}

module_outlasts_deadline() {
  ! libvirt_chooses || skip 'this libvirt loads the module itself, before'
  mark_log
  unload_variants
  echo 'install test_vfio_pci sleep 6; modprobe --ignore-install test_vfio_pci' >/etc/modprobe.d/slow.conf
  trap 'rm /etc/modprobe.d/slow.conf' EXIT
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  log_says "$virtio_nic: the deadline passed before anything was done"
  expect 'outcome' "$(gate_status .outcomes.deadline)" 1
  guest_gives_back
}

# libvirt itself serializes its operations. So a shell under the name libvirtd, with the same writes, moves the
# other device.
slow_one_holds_no_other() {
  cp /bin/dash libvirtd
  waiting_variant
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  # shellcheck disable=SC2016 # for the inner shell
  ./libvirtd -ec '
    echo vfio-pci >/sys/bus/pci/devices/$0/driver_override
    echo $0 >/sys/bus/pci/devices/$0/driver/unbind
    echo $0 >/sys/bus/pci/drivers_probe' "$nic"
  expect 'what is still held' "$(gate_status '.blocking[].device')" "$virtio_nic"
  expect 'driver of the other one' "$(driver_of "$nic")" vfio-pci
  expect 'home of the other one' "$(state_value "$nic" host-driver)" e1000e
  vfio-variant restore "$nic"
  let_probe
  guest_has test_vfio_pci
  guest_gives_back
}

is_on() { # is_on BDF DRIVER, for wait_for
  [ "$(driver_of "$1")" = "$2" ]
}

# Older kernels (6.1) block reads of a device's driver_override during its probe, so a libvirt that opens this file
# waits for the end of the probe. Callers for other devices must not wait. Kernels with device_set_driver_override()
# (6.12.117, but not 6.1) show the file at once, so libvirt does not wait. The script opens the file and writes
# nothing.
device_in_a_probe_holds_no_other() {
  cp /bin/dash libvirtd
  waiting_variant
  vfio-variant bind "$virtio_nic" &
  bind_pid=$!
  wait_for 20 is_on "$virtio_nic" test_vfio_pci     # the kernel sets the driver link before the probe
  cat "$sysfs/$virtio_nic/driver_override" >shown & # cannot be killed while it waits
  reader_pid=$!
  sleep 1
  waits=''
  [ -s shown ] || waits=libvirt
  # shellcheck disable=SC2016 # for the inner shell
  ./libvirtd -ec 'exec 3<>/sys/bus/pci/devices/$0/driver_override' "$virtio_nic" &
  asker_pid=$!
  sleep 1
  timeout 20 cat "$sysfs/$nic/driver_override"
  expect 'who waits' "$(kill -0 "$asker_pid" && echo libvirt)" "$waits"
  let_probe
  wait "$reader_pid"
  wait "$asker_pid"
  wait "$bind_pid"
  vfio-variant restore "$virtio_nic"
  expect 'home' "$(state_of "$virtio_nic")" "$native"
}

# --- the daemon ---

daemon_is_killed_before() {
  start_domain guest
  kill_gate
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$plain_driver"
  start_daemon on
  guest_gives_back
}

# The probe continues in the kernel. libvirt finds a device with a driver that is not yet a VFIO device, fails to
# attach it, and reattaches it to the host.
daemon_is_killed_while_blocking() {
  waiting_variant
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  kill_gate
  sleep 2 # libvirt finds it during its probe
  let_probe
  wait "$attach_pid" || echo 'it was not attached'
  start_daemon on
  expect 'the guest runs' "$(virsh -q domstate guest)" running
  [ -z "$(qemu_vfio_devices guest)" ] || guest_gives_back
  is_restored "$virtio_nic" "$native"
  unload_variants
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  guest_gives_back
}

# The script runs between the unbind and the bind: the kernel is idle, and the device has no driver.
daemon_is_killed_between() {
  waiting_script
  start_domain guest
  attaches_into_script "$virtio_nic"
  kill_gate
  guest_has test_vfio_pci # by libvirt's own probe, with the override already written
  let_script
  start_daemon on
  guest_gives_back
}

# A script that blocks between the unbind and the bind, until let_script
waiting_script() {
  hook_script 10-waits <<'SCRIPT'
#!/bin/sh
[ "$2 $3" = 'detach begin' ] || exit 0
touch /run/tests/script-waits
while [ -e /run/tests/script-waits ]; do sleep 0.1; done
SCRIPT
  trap 'let_script; remove_hook_scripts' EXIT
}

let_script() {
  rm -f script-waits
}

attaches_into_script() { # attaches_into_script BDF: until waiting_script runs; sets $attach_pid
  attach_hostdev guest "$1" &
  attach_pid=$!
  wait_for 20 test -e script-waits
}

daemon_is_killed_after() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  kill_gate
  expect 'what QEMU uses' "$(qemu_vfio_devices guest)" "$virtio_nic test_vfio_pci"
  start_daemon on
  expect 'what QEMU uses after the restart' "$(qemu_vfio_devices guest)" "$virtio_nic test_vfio_pci"
  guest_gives_back
}

daemon_ends_while_blocking() {
  waiting_variant
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  kill "$gate_pid"
  sleep 1
  let_probe
  wait "$gate_pid"
  guest_has test_vfio_pci
  start_daemon on
  guest_gives_back
}

# A stopped daemon releases no caller; its watchdog kills it.
daemon_is_stopped_while_blocking() {
  waiting_variant
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  kill -STOP "$gate_pid"
  let_probe
  guest_has test_vfio_pci
  daemon_was_killed
  start_daemon on
  guest_gives_back
}

daemon_is_stopped_while_idle() {
  start_domain guest
  kill -STOP "$gate_pid"
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$plain_driver"
  daemon_was_killed
  start_daemon on
  guest_gives_back
}

daemon_was_killed() {
  code=0
  wait "$gate_pid" || code=$?
  expect 'exit status of the daemon' "$code" 137
}

worker_is_killed() {
  mark_log
  waiting_script
  start_domain guest
  attaches_into_script "$virtio_nic"
  pkill -KILL -P "$gate_pid" -x vfio-variantd
  guest_has "$plain_driver"
  log_says "$virtio_nic: the process that moved it died"
  expect 'crashed' "$(gate_status .outcomes.crashed)" 1
  guest_gives_back
}

second_daemon_is_refused() {
  code=0
  vfio-variantd 2>refusal || code=$?
  expect 'exit status' "$code" 1
  grep 'another vfio-variantd is running' refusal
}

# --- libvirt ---

libvirtd_is_killed_while_blocked() {
  waiting_variant
  start_domain guest
  attaches_meanwhile "$virtio_nic"
  kill -9 "$(libvirt_pid)"
  let_probe
  wait "$attach_pid" || true
  wait_for 20 gate_is '.blocking | length == 0'
  wait_for 20 libvirt_is_gone
  start_libvirt
  expect 'the guest runs' "$(virsh -q domstate guest)" running
  expect 'driver' "$(driver_of "$virtio_nic")" test_vfio_pci
  vfio-variant restore "$virtio_nic"
  expect 'state afterwards' "$(state_of "$virtio_nic")" "$native"
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  guest_gives_back
}

# A shell under the name libvirtd, with the same writes. Only the gate knows the previous driver of the device.
libvirtd_is_killed_between() {
  mark_log
  cp /bin/dash libvirtd
  # shellcheck disable=SC2016 # for the inner shell
  ./libvirtd -ec '
    echo vfio-pci >/sys/bus/pci/devices/$0/driver_override
    echo $0 >/sys/bus/pci/devices/$0/driver/unbind
    kill -9 $$' "$nic" || true
  is_restored "$nic" 'e1000e (null)'
  log_says "$nic: reattach: no driver -> e1000e: as it was before: libvirt died"
}

# libvirtd is killed while the guest has the device, and the guest is killed before libvirtd runs again
libvirtd_and_guest_are_killed() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  pid=$(cat /run/libvirt/qemu/guest.pid)
  kill -9 "$(libvirt_pid)"
  wait_for 20 libvirt_is_gone
  kill -9 "$pid"
  start_libvirt
  is_restored "$virtio_nic" "$native"
}

# --- devices ---

device_is_removed() {
  waiting_script
  start_domain guest
  attaches_into_script "$virtio_nic"
  echo 1 >"$sysfs/$virtio_nic/remove"
  let_script
  expect_failure wait "$attach_pid"
  wait_for 20 gate_is '.blocking | length == 0'
  expect_no_state_file "$virtio_nic"
  expect 'the guest runs' "$(virsh -q domstate guest)" running
  remove_hook_scripts
  echo 1 >/sys/bus/pci/rescan
  wait_for 20 has_driver "$virtio_nic" virtio-pci
  attach_hostdev guest "$virtio_nic"
  expect 'driver of the device that came back' "$(qemu_vfio_driver guest)" test_vfio_pci
  guest_gives_back
}

vfs_are_removed() {
  nvme=$(bdf 1b36:0010)
  vf=$(make_vfs "$nvme" 2 | head -n 1)
  waiting_script
  start_domain guest
  attaches_into_script "$vf"
  echo 0 >"$sysfs/$nvme/sriov_numvfs"
  let_script
  expect_failure wait "$attach_pid"
  wait_for 20 gate_is '.blocking | length == 0'
  expect_no_state_file "$vf"
  expect 'the guest runs' "$(virsh -q domstate guest)" running
}

# The kernel keeps the inode of a removed file while the file has a mark. The daemon replaces its marks; the new
# ones must work too.
marks_are_made_afresh() {
  nvme=$(bdf 1b36:0010)
  i=0
  while [ "$i" -lt 20 ]; do
    make_vfs "$nvme" 4 >vfs
    echo 0 >"$sysfs/$nvme/sriov_numvfs"
    i=$((i + 1))
  done
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  guest_gives_back
  kill -STOP "$gate_pid" # the watchdog also watches the new marks
  attach_hostdev guest "$virtio_nic"
  daemon_was_killed
  start_daemon on
  guest_gives_back
}

state_store_is_full() {
  mark_log
  stop_gate
  mount -t tmpfs -o size=4k,mode=755 tmpfs /run/vfio-variant
  trap 'umount -l /run/vfio-variant' EXIT
  head -c 4096 /dev/zero >/run/vfio-variant/full
  start_daemon on
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$plain_driver"
  log_says 'No space left on device'
  detach_hostdev guest "$virtio_nic"
  wait_for 20 state_is "$virtio_nic" "$native"
}

# deadline SECONDS COMMAND...: runs COMMAND with a daemon that has this deadline
deadline() {
  stop_gate
  start_daemon on --deadline "$1"
  shift
  "$@"
}

need_libvirt
gate_scenario 'gate: the probe of the variant fails' probe_fails
unload_variants
gate_scenario 'gate: the module of the variant is gone' module_is_missing
gate_scenario 'gate: tables that depmod made anew are seen' new_tables_are_seen
gate_scenario 'gate: a probe that takes longer than the deadline' deadline 2 probe_outlasts_deadline
gate_scenario 'gate: a probe that takes longer than the deadline, and fails' deadline 2 probe_outlasts_deadline_and_fails
gate_scenario 'gate: a module that takes longer to load than the deadline' deadline 2 module_outlasts_deadline
gate_scenario 'gate: a slow device holds no other' slow_one_holds_no_other
gate_scenario 'gate: a device in a long probe holds no other' device_in_a_probe_holds_no_other
gate_scenario 'gate: the daemon is killed before' daemon_is_killed_before
gate_scenario 'gate: the daemon is killed while it holds libvirt' daemon_is_killed_while_blocking
unload_variants
gate_scenario 'gate: the daemon is killed while the device is between drivers' daemon_is_killed_between
gate_scenario 'gate: the daemon is killed afterwards' daemon_is_killed_after
gate_scenario 'gate: the daemon is told to end while it holds libvirt' daemon_ends_while_blocking
gate_scenario 'gate: the daemon is stopped while it holds libvirt' daemon_is_stopped_while_blocking
gate_scenario 'gate: the daemon is stopped while it is idle' daemon_is_stopped_while_idle
unload_variants
gate_scenario 'gate: the process that moves the device is killed' worker_is_killed
gate_scenario 'gate: a second daemon is refused' second_daemon_is_refused
gate_scenario 'gate: libvirtd is killed while it is held' libvirtd_is_killed_while_blocked
unload_variants
gate_scenario 'gate: libvirtd is killed between its unbind and drivers_probe' libvirtd_is_killed_between
gate_scenario 'gate: libvirtd and the guest are killed' libvirtd_and_guest_are_killed
gate_scenario 'gate: the device is removed while libvirt is held' device_is_removed
gate_scenario 'gate: virtual functions are removed while libvirt is held' vfs_are_removed
gate_scenario 'gate: marks are made afresh after many removals' marks_are_made_afresh
gate_scenario 'gate: the state store cannot be written' state_store_is_full
