# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --igb --nova
#
# OpenStack: the XML that Nova's own code generates (see make-nova), at the start of a guest and at hot plug, for a
# virtual function of a network card. The scenarios use every XML file at least once.

# nova_device NAME: prints Nova's XML, with its example address replaced by that of the VF
nova_device() {
  [ "$(grep -c 'domain="0x0000" bus="0x3b" slot="0x00" function="0x2"' "nova-xml/$1.xml")" = 1 ] ||
    fail "not one address in $(cat "nova-xml/$1.xml")"
  sed "s/domain=.*function=\"0x2\"/$(address_xml "$igb_vf" | sed 's/<address \(.*\)\/>/\1/')/" "nova-xml/$1.xml"
}

vf_is_with() { # vf_is_with DOMAIN
  expect "what the QEMU of $1 uses" "$(qemu_vfio_devices "$1")" "$igb_vf test_vfio_pci"
}

vf_is_restored() {
  is_restored "$igb_vf" 'igbvf (null)'
}

starts() { # starts NAME [COMMAND]: Nova's spawn and destroy; COMMAND runs in between
  make_igb_vf
  start_domain guest "$(nova_device "$1")"
  vf_is_with guest
  expect 'domain in the state store' "$(state_value "$igb_vf" domain)" guest
  ${2:-true}
  virsh -q destroy guest
  vf_is_restored
}

# libvirt sets both through the physical function
mac_and_vlan_are_set() {
  ip link show "$(ls "$sysfs/$igb/net")" | grep 'vf 0.*fa:16:3e:00:00:01.*vlan 100'
}

plugs() { # plugs DOMAIN: with device.xml
  virsh -q attach-device --live "$1" device.xml
  vf_is_with "$1"
  virsh -q detach-device --live "$1" device.xml
  wait_for 30 has_no_hostdev "$1" "$igb_vf"
}

attaches() { # attaches NAME: a port attached to a server, or the device of a resumed server
  make_igb_vf
  start_domain guest
  nova_device "$1" >device.xml
  plugs guest
  vf_is_restored
}

# --- managed='no' ---
# After a guest has had such a device, libvirt considers it detached and does not check again, hence this order.

# The device was not detached: libvirt reports that, and the device stays on its host driver.
unmanaged_and_on_host_driver() {
  make_igb_vf
  start_domain guest
  nova_device hostdev-managed-no >device.xml
  expect_failure virsh -q attach-device --live guest device.xml 2>complaint
  grep 'must be manually detached from the host' complaint || fail "libvirt said: $(cat complaint)"
  vf_is_restored
}

# Before 9.7 libvirt accepts only vfio-pci here
unmanaged_on_the_variant() {
  make_igb_vf
  vfio-variant bind "$igb_vf"
  trap 'vfio-variant restore "$igb_vf"' EXIT
  start_domain other
  nova_device hostdev-managed-no >device.xml
  if libvirt_is_older_than 9.7.0; then
    expect_failure start_domain guest "$(cat device.xml)"
    expect_failure virsh -q attach-device --live other device.xml
  else
    start_domain guest "$(cat device.xml)"
    vf_is_with guest
    virsh -q destroy guest
    expect 'driver between two guests' "$(driver_of "$igb_vf")" test_vfio_pci
    plugs other
  fi
  expect 'driver afterwards' "$(driver_of "$igb_vf")" test_vfio_pci
  vfio-variant restore "$igb_vf"
  vf_is_restored
}

unmanaged_by_policy() {
  set_policy "<default unmanaged='manage'/>"
  starts hostdev-managed-no
}

need_libvirt
scenario 'nova, start: the device of a flavor' starts hostdev-managed-yes
scenario 'nova, start: a port with MAC and VLAN' starts interface-vlan mac_and_vlan_are_set
gate_scenario 'nova, attach: a port of a switch in hardware' attaches interface-switch
gate_scenario 'nova, attach: a direct-physical port' attaches hostdev-port
gate_scenario "nova, attach: managed='no', and the device is on its host driver" unmanaged_and_on_host_driver
gate_scenario "nova: managed='no', and the device is on the variant" unmanaged_on_the_variant
scenario "nova, start: managed='no', and the policy manages" unmanaged_by_policy
