# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --igb
#
# The main task: virsh start binds a managed hostdev to the best variant driver, and the end of the guest restores
# it exactly.

nic=$(bdf 8086:10d3 1)
special_nic=$(bdf 8086:10d3 2)
virtio_nic=$(bdf 1af4:1041 1)

# The driver that libvirt selects itself
plain_driver=vfio-pci
! libvirt_chooses || plain_driver=test_vfio_pci

nvme_vf_is_detached_and_restored() {
  vf=$(make_vfs "$(bdf 1b36:0010)" 2 | head -n 1)
  expect 'driver before' "$(driver_of "$vf")" none
  is_detached_and_restored test_vfio_pci "$vf"
}

two_guests_in_a_row() {
  is_detached_and_restored test_vfio_pci "$nic"
  is_detached_and_restored test_vfio_pci "$nic"
}

no_hostdev_costs_nothing() {
  start_domain guest
  expect 'state files' "$(find /run/vfio-variant -name '0*' | wc -l)" 0
  virsh -q destroy guest
}

# libvirt_refuses FINDING: libvirt 10 and later loads the best module of modules.alias itself, before any hook runs,
# and fails if that fails. check reports this, and its advice works.
libvirt_refuses() {
  expect_failure start_domain guest "$(hostdev_xml "$nic")"
  expect 'state' "$(state_of "$nic")" 'e1000e (null)'
  expect_no_state_file "$nic"
  ! vfio-variant check --json "$nic" >checked || fail 'check finds nothing wrong'
  jq -e --arg id "$1" '[.devices[].findings[], .findings[]] | any(.id == $id)' checked
  start_domain guest "$(hostdev_xml "$nic" yes "<driver model='vfio-pci'/>")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$nic")" 'e1000e (null)'
}

# falls_back FINDING [REGEXP]: to the generic driver, and the log contains the reason; or libvirt refuses, if it
# selects the driver
falls_back() {
  if libvirt_chooses; then
    libvirt_refuses "$1"
  else
    mark_log
    is_detached_and_restored vfio-pci "$nic"
    [ -z "${2:-}" ] || log_says "$2"
  fi
}

variant_is_missing() {
  hide_module test_vfio_pci
  trap show_module EXIT
  falls_back libvirt-refuses "$nic.*test_vfio_pci failed at load"
}

variant_probe_fails() {
  mark_log
  load_variant test_vfio_pci probe_errno=5
  trap unload_variants EXIT
  is_detached_and_restored vfio-pci "$nic"
  log_says "$nic.*test_vfio_pci failed at bind .*Input/output error"
}

install_command_forbids() {
  unload_variants
  echo 'install test_vfio_pci /bin/false' >/etc/modprobe.d/forbid.conf
  trap 'rm /etc/modprobe.d/forbid.conf' EXIT
  falls_back libvirt-refuses "$nic.*test_vfio_pci failed at load .*/bin/false"
}

variant_is_blacklisted() {
  unload_variants
  echo 'blacklist test-vfio-pci' >/etc/modprobe.d/blacklist-it.conf
  trap 'rm /etc/modprobe.d/blacklist-it.conf' EXIT
  falls_back libvirt-refuses
  expect 'loaded' "$(find /sys/module -maxdepth 1 -name test_vfio_pci)" ''
}

modules_alias_is_missing() {
  table=/lib/modules/$(uname -r)/modules.alias
  mv "$table" "$table.away"
  trap 'mv "$table.away" "$table"' EXIT
  if libvirt_needs_table; then
    libvirt_refuses libvirt-blind
  else
    mark_log
    is_detached_and_restored vfio-pci "$nic"
    log_says 'modules.alias.*only the generic driver'
  fi
}

override_comes_back() {
  echo e1000e >"$sysfs/$nic/driver_override"
  trap 'echo >"$sysfs/$nic/driver_override"' EXIT
  is_detached_and_restored test_vfio_pci "$nic"
  expect 'driver_override' "$(override_of "$nic")" e1000e
}

host_module_is_loaded_again() {
  start_domain guest "$(hostdev_xml "$nic")"
  modprobe -r e1000e
  virsh -q destroy guest
  expect 'driver afterwards' "$(driver_of "$nic")" e1000e
  expect_no_state_file "$nic"
}

managed_no_is_left_alone() {
  virsh -q nodedev-detach "$(nodedev_name "$nic")"
  expect 'driver after nodedev-detach' "$(driver_of "$nic")" "$plain_driver"
  start_domain guest "$(hostdev_xml "$nic" no)"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$plain_driver"
  gate_is '.gate == "on"' || expect_no_state_file "$nic" # the gate handled the nodedev-detach
  virsh -q destroy guest
  expect 'driver after destroy' "$(driver_of "$nic")" "$plain_driver"
  virsh -q nodedev-reattach "$(nodedev_name "$nic")"
  expect 'driver after nodedev-reattach' "$(driver_of "$nic")" e1000e
}

# Before 9.7 libvirt accepts only vfio-pci here
bound_by_hand_and_unmanaged() {
  vfio-variant bind "$nic"
  trap 'vfio-variant restore "$nic"' EXIT
  if libvirt_is_older_than 9.7.0; then
    expect_failure start_domain guest "$(hostdev_xml "$nic" no)"
  else
    start_domain guest "$(hostdev_xml "$nic" no)"
    expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
    virsh -q destroy guest
  fi
  expect 'driver afterwards' "$(driver_of "$nic")" test_vfio_pci
  vfio-variant restore "$nic"
  expect 'state after restore' "$(state_of "$nic")" 'e1000e (null)'
}

# begin_vendor: test_vfio_pci represents a vendor's own VFIO driver, which binds its devices itself and has no
# alias. A running daemon notices the new table by the timestamp of its index.
begin_vendor() {
  table=/lib/modules/$(uname -r)/modules.alias
  unload_variants
  mv "$table" "$table.away"
  trap end_vendor EXIT
  grep -v ' test_vfio_pci$' "$table.away" >"$table"
  touch "$table.bin"
  modprobe test_vfio_pci
  modprobe -r e1000e
  echo 8086 10d3 >/sys/bus/pci/drivers/test_vfio_pci/new_id
}

end_vendor() {
  mv "$table.away" "$table"
  touch "$table.bin"
  unload_variants
  modprobe e1000e
}

# vendor_finding MANAGED: prints the severity that check assigns
vendor_finding() {
  domain_xml guest "$(hostdev_xml "$nic" "$1")" >vendor.xml
  vfio-variant check --json vendor.xml | jq -r '.devices[].findings[] | select(.id == "vendor-driver").severity'
}

# check predicts libvirt's behaviour: with managed='yes', libvirt unbinds the device from any driver other than the
# one that it wants.
vendor_driver() {
  begin_vendor
  expect 'driver before' "$(state_of "$nic")" 'test_vfio_pci (null)'
  expect 'finding, managed' "$(vendor_finding yes)" problem
  is_detached_and_restored vfio-pci "$nic"
  if libvirt_is_older_than 9.7.0; then
    expect 'finding, unmanaged' "$(vendor_finding no)" problem
    expect_failure start_domain guest "$(hostdev_xml "$nic" no)"
  else
    expect 'finding, unmanaged' "$(vendor_finding no)" note
    start_domain guest "$(hostdev_xml "$nic" no)"
    expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
    virsh -q destroy guest
  fi
  expect 'driver afterwards' "$(state_of "$nic")" 'test_vfio_pci (null)'
}

# model_is_obeyed MODEL: libvirt's <driver model=>, since 10.0
model_is_obeyed() {
  libvirt_chooses || skip 'this libvirt knows no <driver model=.../>'
  start_domain guest "$(hostdev_xml "$special_nic" yes "<driver model='$1'/>")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$1"
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$special_nic")" 'e1000e (null)'
  expect_no_state_file "$special_nic"
}

bound_by_hand_stays_after_the_guest() {
  vfio-variant bind "$nic"
  start_domain guest "$(hostdev_xml "$nic")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  virsh -q destroy guest
  expect 'driver after destroy' "$(driver_of "$nic")" test_vfio_pci
  vfio-variant restore "$nic"
  expect 'state after restore' "$(state_of "$nic")" 'e1000e (null)'
}

# interface_is_detached_and_restored XML: the VF is the domain's only hostdev
interface_is_detached_and_restored() {
  start_domain guest "$1"
  expect 'driver that QEMU uses' "$(qemu_vfio_devices guest)" "$igb_vf test_vfio_pci"
  expect 'domain in the state store' "$(state_value "$igb_vf" domain)" guest
  virsh -q destroy guest
  expect 'state afterwards' "$(state_of "$igb_vf")" 'igbvf (null)'
  expect_no_state_file "$igb_vf"
}

hostdev_interface() {
  make_igb_vf
  interface_is_detached_and_restored "<interface type='hostdev' managed='yes'><mac address='52:54:00:00:0a:01'/>
    <source>$(address_xml "$igb_vf" | sed "s/<address/<address type='pci'/")</source></interface>"
}

hostdev_network() {
  make_igb_vf
  create_hostdev_network
  interface_is_detached_and_restored "<interface type='network'><source network='vfs'/></interface>"
}

need_libvirt
scenario 'start: e1000e, which has no FLR' is_detached_and_restored test_vfio_pci "$nic"
scenario 'start: virtio-net' is_detached_and_restored test_vfio_pci "$virtio_nic"
scenario 'start: an SR-IOV virtual function' nvme_vf_is_detached_and_restored
scenario 'start: the more specific of two variants' is_detached_and_restored test_special_vfio_pci "$special_nic"
scenario 'start: two functions of one group, driver and module of different names' \
  is_detached_and_restored test-named-vfio "$(bdf 1234:11e8 1)" "$(bdf 1234:11e8 2)"
scenario 'start: a hostdev interface' hostdev_interface
scenario 'start: an interface of a hostdev network' hostdev_network
scenario 'start: two hostdevs in one guest' is_detached_and_restored test_vfio_pci "$nic" "$virtio_nic"
scenario 'start: two guests in a row' two_guests_in_a_row
scenario 'start: a domain without hostdevs' no_hostdev_costs_nothing
scenario 'fallback: the variant is missing' variant_is_missing
scenario 'fallback: the probe of the variant fails' variant_probe_fails
scenario 'fallback: modprobe.d forbids the variant' install_command_forbids
scenario 'fallback: the variant is blacklisted' variant_is_blacklisted
scenario 'fallback: no modules.alias' modules_alias_is_missing
scenario "restore: an administrator's driver_override" override_comes_back
scenario 'restore: the host module was unloaded meanwhile' host_module_is_loaded_again
scenario "managed='no' is left alone" managed_no_is_left_alone
scenario "managed='no', and bound to the variant by hand" bound_by_hand_and_unmanaged
scenario '<driver model="vfio-pci"/> is obeyed' model_is_obeyed vfio-pci
scenario '<driver model="test_vfio_pci"/>, not the best, is obeyed' model_is_obeyed test_vfio_pci
scenario 'bound by hand: still on the variant after the guest' bound_by_hand_stays_after_the_guest
scenario "a vendor's VFIO driver" vendor_driver
