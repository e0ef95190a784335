# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# Error cases: killed processes, a full /run, devices in use, concurrent operations.

nic=$(bdf 8086:10d3 1)
special_nic=$(bdf 8086:10d3 2)
root_disk=$(bdf 1af4:1042 1 || bdf 1af4:1001 1)

qemu_pid() {
  cat "/run/libvirt/qemu/$1.pid"
}

domain_is_gone() {
  ! virsh -q domstate "$1" >/dev/null 2>&1
}

qemu_is_killed() {
  start_domain guest "$(hostdev_xml "$nic")"
  kill -9 "$(qemu_pid guest)"
  wait_for 30 domain_is_gone guest
  wait_for 30 has_driver "$nic" e1000e
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
  wait_for 10 entry_is_gone "$nic"
}

libvirtd_is_killed() {
  start_domain guest "$(hostdev_xml "$nic")"
  pid=$(qemu_pid guest)
  kill -9 "$(libvirt_pid)"
  wait_for 10 libvirt_is_gone
  start_libvirt
  wait_for 30 domain_runs guest
  expect 'pid of QEMU' "$(qemu_pid guest)" "$pid"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  expect 'domain in the state store' "$(state_value "$nic" domain)" guest
  expect 'in use in the state store' "$(state_value "$nic" in-use)" true
  expect 'host driver in the state store' "$(state_value "$nic" host-driver)" e1000e
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
  expect_no_state_file "$nic"
}

domain_runs() {
  [ "$(virsh -q domstate "$1" 2>/dev/null)" = running ]
}

# The driver link exists during the probe. The kernel finishes the probe; the state store contains "detaching".
command_is_killed() {
  waiting_variant
  vfio-variant bind "$nic" &
  wait_for 20 has_driver "$nic" test_vfio_pci
  kill -9 $!
  let_probe
  wait $! || true
  expect 'driver' "$(driver_of "$nic")" test_vfio_pci
  expect 'state in the state store' "$(state_value "$nic" state)" detaching
  vfio-variant restore "$nic"
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
  expect_no_state_file "$nic"
}

# A kill after the unbind and before any bind: the next program that runs restores the device.
driverless_is_mended() {
  mark_log
  echo test_vfio_pci >"$sysfs/$nic/driver_override"
  echo "$nic" >/sys/bus/pci/drivers/e1000e/unbind
  cat >"/run/vfio-variant/$nic" <<ENTRY
[device]
address=$nic
modalias=$(cat "$sysfs/$nic/modalias")
state=detaching
host-known=true
host-driver=e1000e
host-module=e1000e
ENTRY
  vfio-variant restore --all
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
  expect_no_state_file "$nic"
  log_says "$nic.*a process died while moving it"
}

two_commands_at_once() {
  waiting_variant
  vfio-variant bind "$nic" >first &
  first_pid=$!
  wait_for 20 has_driver "$nic" test_vfio_pci
  vfio-variant bind "$nic" >second &
  sleep 1
  let_probe
  wait $!
  wait "$first_pid"
  expect 'one moved it, the other found it moved' "$(cat first second | sed 's/ (.*//' | sort | tr '\n' ';')" \
    "$nic: e1000e -> test_vfio_pci;$nic: test_vfio_pci -> test_vfio_pci;"
  vfio-variant restore "$nic"
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
}

state_store_is_full() {
  mark_log
  mkdir -p /run/vfio-variant
  mount -t tmpfs -o size=4k,nr_inodes=2,mode=755 tmpfs /run/vfio-variant
  trap 'umount /run/vfio-variant' EXIT
  echo x >/run/vfio-variant/full
  start_domain guest "$(hostdev_xml "$nic")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  log_says 'No space left on device'
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
}

state_store_is_damaged() {
  mark_log
  echo nonsense >"/run/vfio-variant/$nic"
  trap 'rm -f "/run/vfio-variant/$nic"' EXIT
  start_domain guest "$(hostdev_xml "$nic")"
  log_says "cannot read .*$nic as a state file"
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
}

bind_refuses() { # bind_refuses REASON BDF: exit code 4, and no change
  refuse_before=$(state_of "$2")
  code=0
  vfio-variant bind "$2" 2>refusal || code=$?
  cat refusal
  expect 'exit code' "$code" 4
  grep -E "$1" refusal
  expect 'state afterwards' "$(state_of "$2")" "$refuse_before"
  expect_no_state_file "$2"
}

address_is_in_use() {
  name=$(ls "$sysfs/$nic/net")
  ip address add 192.0.2.1/24 dev "$name"
  ip link set "$name" up
  trap 'ip address flush dev "$(ls "$sysfs/$nic/net")"' EXIT
  bind_refuses "$name is up with address 192.0.2.1" "$nic"
  vfio-variant bind --force "$nic"
  expect 'driver with --force' "$(driver_of "$nic")" test_vfio_pci
  vfio-variant restore "$nic"
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
}

bridge_is_in_use() {
  name=$(ls "$sysfs/$nic/net")
  ip link add br0 type bridge
  ip link set "$name" master br0
  trap 'ip link delete br0' EXIT
  bind_refuses "$name is part of br0" "$nic"
}

vfs_are_in_use() {
  nvme=$(bdf 1b36:0010)
  make_vfs "$nvme" 2
  trap 'echo 0 >"$sysfs/$nvme/sriov_numvfs"' EXIT
  bind_refuses '2 virtual functions are enabled' "$nvme"
}

running_guest_is_never_touched() {
  start_domain guest "$(hostdev_xml "$nic")"
  code=0
  vfio-variant restore --force "$nic" 2>refusal || code=$?
  cat refusal
  expect 'exit code' "$code" 4
  grep 'in use by qemu' refusal
  code=0
  vfio-variant bind --force --driver vfio-pci "$nic" || code=$?
  expect 'exit code' "$code" 4
  code=0
  vfio-variant bind "$nic" || code=$?
  expect 'exit code' "$code" 4
  expect 'pinned in the state store' "$(state_value "$nic" pinned)" false
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
}

second_guest_cannot_take_it() {
  start_domain guest "$(hostdev_xml "$nic")"
  expect_failure start_domain thief "$(hostdev_xml "$nic")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  expect 'domain in the state store' "$(state_value "$nic" domain)" guest
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
  expect_no_state_file "$nic"
}

many_at_once() {
  vfio-variant bind --jobs 4 --json "$nic" "$special_nic" "$(bdf 1234:11e8 1)" "$(bdf 1234:11e8 2)" >results
  expect 'drivers' "$(jq -r '.[].to' results | tr '\n' ' ')" 'test_vfio_pci test_special_vfio_pci test-named-vfio test-named-vfio '
  expect 'held' "$(vfio-variant list --json | jq '[.[] | select(.pinned)] | length')" 4
  vfio-variant restore --all --jobs 4
  expect 'states afterwards' "$(state_of "$nic");$(state_of "$special_nic");$(state_of "$(bdf 1234:11e8 1)")" \
    'e1000e (null);e1000e (null);none (null)'
}

# --dry-run prints the required steps: the same steps by hand have the same result.
dry_run_is_true() { # dry_run_is_true BDF DRIVER
  unload_variants
  dry_run_before=$(state_of "$1")
  vfio-variant bind --dry-run "$1" >steps
  cat steps
  expect 'state after a dry run' "$(state_of "$1")" "$dry_run_before"
  sh -e steps
  expect 'driver after its steps' "$(driver_of "$1")" "$2"
  vfio-variant restore "$1"
  expect 'state afterwards' "$(state_of "$1")" "$dry_run_before"
}

device_vanishes() {
  modprobe test_vfio_pci
  echo 1 >"$sysfs/$special_nic/remove"
  trap 'echo 1 >/sys/bus/pci/rescan' EXIT
  code=0
  vfio-variant bind "$special_nic" || code=$?
  expect 'exit code' "$code" 3
  expect_failure start_domain guest "$(hostdev_xml "$special_nic")"
}

need_libvirt
scenario 'fault: QEMU is killed' qemu_is_killed
scenario 'fault: libvirtd is killed and comes back while the guest runs' libvirtd_is_killed
scenario 'fault: the command is killed in the middle of a bind' command_is_killed
scenario 'fault: a device left without driver is restored' driverless_is_mended
scenario 'fault: the state store cannot be written' state_store_is_full
scenario 'fault: a state file is damaged' state_store_is_damaged
scenario 'fault: the device is gone' device_vanishes
scenario 'lock: two commands at once' two_commands_at_once
scenario 'in use: a running guest is never touched' running_guest_is_never_touched
scenario 'in use: a second guest cannot take the device' second_guest_cannot_take_it
scenario 'in use: network interface with an address' address_is_in_use
scenario 'in use: network interface in a bridge' bridge_is_in_use
scenario 'in use: the disk that / is on' bind_refuses 'is mounted on /' "$root_disk"
scenario 'in use: virtual functions' vfs_are_in_use
scenario 'command: many devices at once' many_at_once
scenario 'command: --dry-run tells the truth' dry_run_is_true "$nic" test_vfio_pci
scenario 'command: --dry-run, driver and module of different names' dry_run_is_true "$(bdf 1234:11e8 1)" test-named-vfio
