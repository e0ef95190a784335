# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --igb
#
# Hot plug: through the gate, virsh attach-device and nodedev-detach bind a device to the best variant driver.
# detach-device and nodedev-reattach restore it exactly.

nic=$(bdf 8086:10d3 1) # no FLR
virtio_nic=$(bdf 1af4:1041 1)
second_nic=$(bdf 1af4:1041 2)

# The driver that libvirt selects itself
plain_driver=vfio-pci
! libvirt_chooses || plain_driver=test_vfio_pci

# plugs DRIVER BDF: attaches the device to a running guest and detaches it
plugs() {
  before=$(state_of "$2")
  attach_hostdev guest "$2"
  expect 'driver that QEMU uses' "$(qemu_vfio_devices guest | grep "^$2 ")" "$2 $1"
  expect 'host driver in the state store' "$(state_value "$2" host-driver)" "$(echo "$before" | sed 's/ .*//; s/^none$//')"
  detach_hostdev guest "$2"
  is_restored "$2" "$before"
}

hot_plugs() {
  start_domain guest
  plugs "$@"
}

nvme_vf_hot_plugs() {
  vf=$(make_vfs "$(bdf 1b36:0010)" 2 | head -n 1)
  start_domain guest
  plugs test_vfio_pci "$vf"
}

no_flr_stays_generic() {
  ! libvirt_chooses || skip 'this libvirt leaves every reset to the kernel'
  mark_log
  start_domain guest
  plugs vfio-pci "$nic"
  log_says "$nic: detach: e1000e -> vfio-pci.*libvirt 9.0 cannot reliably reset a device.*without FLR"
}

override_comes_back() {
  echo virtio-pci >"$sysfs/$virtio_nic/driver_override"
  trap 'echo >"$sysfs/$virtio_nic/driver_override"' EXIT
  start_domain guest
  plugs test_vfio_pci "$virtio_nic"
  expect 'driver_override' "$(override_of "$virtio_nic")" virtio-pci
}

second_while_first_is_in_use() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  plugs test_vfio_pci "$second_nic"
  expect 'the first one is still there' "$(qemu_vfio_devices guest)" "$virtio_nic test_vfio_pci"
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

two_guests_at_once() {
  start_domain guest
  start_domain other
  attach_hostdev guest "$virtio_nic" &
  first=$!
  attach_hostdev other "$second_nic"
  wait "$first"
  expect 'what the first guest has' "$(qemu_vfio_devices guest)" "$virtio_nic test_vfio_pci"
  expect 'what the other guest has' "$(qemu_vfio_devices other)" "$second_nic test_vfio_pci"
  virsh -q destroy guest &
  first=$!
  virsh -q destroy other
  wait "$first"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  is_restored "$second_nic" 'virtio-pci (null)'
}

# A guest ends while it has a hot-plugged device
guest_is_destroyed() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  wait_for 20 state_says "$virtio_nic" domain guest
  virsh -q destroy guest
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

domain_is_told() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  wait_for 20 state_says "$virtio_nic" domain guest
  expect 'in use' "$(state_value "$virtio_nic" in-use)" true
  expect 'domain in the list' "$(vfio-variant list --json "$virtio_nic" | jq -r '.[0].domain')" guest
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  wait_for 20 gate_is '.monitor == "idle"'
}

nodedev_is_detached_and_restored() {
  virsh -q nodedev-detach "$(nodedev_name "$virtio_nic")"
  expect 'driver after nodedev-detach' "$(driver_of "$virtio_nic")" test_vfio_pci
  virsh -q nodedev-reattach "$(nodedev_name "$virtio_nic")"
  expect 'state afterwards' "$(state_of "$virtio_nic")" 'virtio-pci (null)'
  expect_no_state_file "$virtio_nic"
}

unmanaged_after_nodedev_detach() {
  virsh -q nodedev-detach "$(nodedev_name "$virtio_nic")"
  start_domain guest
  attach_hostdev guest "$virtio_nic" no
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  detach_hostdev guest "$virtio_nic"
  expect 'driver when the guest has let go' "$(driver_of "$virtio_nic")" test_vfio_pci
  wait_for 20 reattaches "$virtio_nic"
  expect 'state afterwards' "$(state_of "$virtio_nic")" 'virtio-pci (null)'
}

reattaches() { # reattaches BDF, for wait_for: libvirt may consider the device active for a moment
  virsh -q nodedev-reattach "$(nodedev_name "$1")" 2>&1
}

at_domain_start() { # at_domain_start VARIANT BDF: with both the gate and the hook
  is_detached_and_restored "$@"
}

# On libvirt 10 and later, a forced driver looks in sysfs like libvirt's own choice.
forced_driver_stays() {
  libvirt_chooses || skip 'this libvirt knows no <driver model=.../>'
  mark_log
  start_domain guest
  before=$(state_of "$virtio_nic")
  attach_hostdev guest "$virtio_nic" yes "<driver model='vfio-pci'/>"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  log_says "$virtio_nic: detach: virtio-pci -> vfio-pci.*chose it, or was told to use it"
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" "$before"
}

# --- network interfaces: virtual functions of igb ---

# interface_plugs XML: attaches the interface and detaches it; its device is the VF
interface_plugs() {
  echo "$1" >interface.xml
  virsh -q attach-device guest interface.xml
  expect 'devices that QEMU uses' "$(qemu_vfio_devices guest)" "$igb_vf test_vfio_pci"
}

interface_unplugs() {
  virsh -q detach-device guest interface.xml
  wait_for 30 has_no_hostdev guest "$igb_vf"
  is_restored "$igb_vf" 'igbvf (null)'
}

hostdev_interface() {
  make_igb_vf
  start_domain guest
  interface_plugs "<interface type='hostdev' managed='yes'><mac address='52:54:00:00:0a:01'/>
    <source>$(address_xml "$igb_vf" | sed "s/<address/<address type='pci'/")</source></interface>"
  ip link show "$(ls "$sysfs/$igb/net")" | grep 'vf 0.*52:54:00:00:0a:01'
  interface_unplugs
}

hostdev_network() {
  make_igb_vf
  create_hostdev_network
  start_domain guest
  interface_plugs "<interface type='network'><mac address='52:54:00:00:0a:01'/><source network='vfs'/></interface>"
  interface_unplugs
}

# --- processes that the gate does not serve ---

daemon_is_absent() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$plain_driver"
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

gate_is_turned_off() {
  start_daemon off --no-gate
  daemon_is_absent
  stop_gate
}

# driverctl writes driver_override and drivers_probe as libvirt does; it gets the driver that it requests
others_are_undisturbed() {
  passed=$(gate_status .opens.passed)
  driverctl --nosave set-override "$virtio_nic" vfio-pci
  expect 'driver after set-override' "$(state_of "$virtio_nic")" 'vfio-pci vfio-pci'
  driverctl --nosave unset-override "$virtio_nic"
  expect 'driver after unset-override' "$(state_of "$virtio_nic")" 'virtio-pci (null)'
  [ "$(gate_status .opens.passed)" -gt "$passed" ] || fail 'the gate has not seen its opens'
  expect 'held' "$(gate_status .opens.blocked)" 0
  expect_no_state_file "$virtio_nic"
}

# --- node-device hooks ---

record_calls() {
  hook_script 10-record <<'SCRIPT'
#!/bin/sh
xmllint --noout --relaxng /usr/share/libvirt/schemas/nodedev.rng - || echo 'not valid' >>/run/tests/calls
echo "$*" >>/run/tests/calls
SCRIPT
  rm -f calls
  trap remove_hook_scripts EXIT
}

hooks_are_told() {
  record_calls
  start_domain guest
  plugs test_vfio_pci "$virtio_nic"
  name=$(nodedev_name "$virtio_nic")
  expect 'calls' "$(cat calls)" "$name detach begin test_vfio_pci
$name detach end test_vfio_pci
$name reattach begin virtio-pci
$name reattach end virtio-pci"
}

hooks_are_told_by_command_and_hook() {
  record_calls
  vfio-variant bind "$nic"
  vfio-variant restore "$nic"
  name=$(nodedev_name "$nic")
  by_command=$(cat calls)
  expect 'calls' "$by_command" "$name detach begin test_vfio_pci
$name detach end test_vfio_pci
$name reattach begin e1000e
$name reattach end e1000e"
  rm calls
  is_detached_and_restored test_vfio_pci "$nic"
  grep -Fx "$name detach begin test_vfio_pci" calls
  grep -Fx "$name detach end test_vfio_pci" calls
}

hook_vetoes() {
  mark_log
  hook_script 10-veto <<'SCRIPT'
#!/bin/sh
[ "$2 $3 $4" != 'detach begin test_vfio_pci' ] || { echo 'not this one today' >&2; exit 3; }
SCRIPT
  trap remove_hook_scripts EXIT
  start_domain guest
  plugs vfio-pci "$virtio_nic"
  log_says "$virtio_nic.*test_vfio_pci failed at hook .*10-veto.*not this one today"
  expect 'outcome' "$(gate_status .outcomes.fell_back)" 1
}

hook_hangs() {
  mark_log
  hook_script 10-hang <<'SCRIPT'
#!/bin/sh
[ "$2 $3 $4" != 'detach begin test_vfio_pci' ] || sleep 300
SCRIPT
  trap remove_hook_scripts EXIT
  start_domain guest
  plugs vfio-pci "$virtio_nic"
  log_says "$virtio_nic.*test_vfio_pci failed at hook .*10-hang.*killed"
  expect 'left over' "$(pgrep -fc 'sleep 300' || true)" 0
}

hook_of_a_user_is_not_run() {
  mark_log
  record_calls
  chown nobody "$hook_point/10-record"
  start_domain guest
  plugs test_vfio_pci "$virtio_nic"
  [ ! -e calls ] || fail "it was run: $(cat calls)"
  log_says '10-record.*skipped.*chown root'
}

need_libvirt
scenario 'hot plug: daemon absent: as plain libvirt' daemon_is_absent
scenario 'hot plug: gate turned off: as plain libvirt' gate_is_turned_off
killall_gates
gate_scenario 'hot plug: virtio-net' hot_plugs test_vfio_pci "$virtio_nic"
gate_scenario 'hot plug: an SR-IOV virtual function without a host driver' nvme_vf_hot_plugs
gate_scenario 'hot plug: without FLR it stays generic, and the log says why' no_flr_stays_generic
gate_scenario "hot plug: the administrator's driver_override comes back" override_comes_back
gate_scenario 'hot plug: a second device while the first is in use' second_while_first_is_in_use
gate_scenario 'hot plug: two guests at the same moment' two_guests_at_once
gate_scenario 'hot plug: the guest is destroyed with it' guest_is_destroyed
gate_scenario 'hot plug: the state store knows the domain' domain_is_told
gate_scenario 'hot plug: <driver model="vfio-pci"/> stays' forced_driver_stays
gate_scenario 'hot plug: <interface type="hostdev"> with a MAC' hostdev_interface
gate_scenario 'hot plug: <interface type="network"> of a hostdev network' hostdev_network
gate_scenario 'nodedev-detach and nodedev-reattach' nodedev_is_detached_and_restored
gate_scenario 'managed="no" after nodedev-detach' unmanaged_after_nodedev_detach
gate_scenario 'start with the gate: virtio-net' at_domain_start test_vfio_pci "$virtio_nic"
gate_scenario 'start with the gate: e1000e, which has no FLR' at_domain_start test_vfio_pci "$nic"
gate_scenario 'others: driverctl is undisturbed' others_are_undisturbed
gate_scenario 'hook point: told of all four steps, with valid XML' hooks_are_told
gate_scenario 'hook point: told by the command and the qemu hook alike' hooks_are_told_by_command_and_hook
gate_scenario 'hook point: a veto' hook_vetoes
gate_scenario 'hook point: a script that hangs' hook_hangs
gate_scenario "hook point: a user's script is not run" hook_of_a_user_is_not_run
