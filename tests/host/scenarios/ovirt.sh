# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --igb
#
# oVirt: the calls of its vdsm for a host device. vdsm gives guests all devices with managed='no'. It calls libvirt
# to detach each device before (virNodeDeviceDetachFlags, without a driver) and to reattach it afterwards. vdsm
# itself is not in Debian. These are its calls, with the same Python binding, in the order of its
# vmdevices/hostdevice.py and network.py.

# vdsm_does detach|reattach BDF
vdsm_does() {
  python3 - "$1" "$(nodedev_name "$2")" <<'PYTHON'
import sys
import libvirt

device = libvirt.open("qemu:///system").nodeDeviceLookupByName(sys.argv[2])
if sys.argv[1] == "detach":
    device.detachFlags(None)
else:
    device.reAttach()
PYTHON
}

vdsm_hostdev() { # vdsm_hostdev BDF
  hostdev_xml "$1" no
}

vdsm_interface() { # vdsm_interface BDF: a vNIC with passthrough, in a network with a VLAN
  cat <<XML
<interface type='hostdev' managed='no'>
  <mac address='00:1a:4a:16:01:51'/>
  <source>$(address_xml "$1" | sed "s/<address/<address type='pci'/")</source>
  <vlan><tag id='100'/></vlan>
</interface>
XML
}

detached() { # detached BDF: it is on the variant driver before any guest has it
  before=$(state_of "$1")
  vdsm_does detach "$1"
  expect 'driver while detached' "$(driver_of "$1")" test_vfio_pci
}

reattached() { # reattached BDF
  expect 'driver after the guest' "$(driver_of "$1")" test_vfio_pci
  wait_for 20 vdsm_does reattach "$1" # libvirt may consider it active for a moment
  is_restored "$1" "$before"
}

starts() { # starts XML-COMMAND BDF
  detached "$2"
  start_domain guest "$("$1" "$2")"
  expect 'what QEMU uses' "$(qemu_vfio_devices guest)" "$2 test_vfio_pci"
  virsh -q destroy guest
  reattached "$2"
}

plugs() { # plugs XML-COMMAND BDF
  detached "$2"
  start_domain guest
  "$1" "$2" >device.xml
  virsh -q attach-device --live guest device.xml
  expect 'what QEMU uses' "$(qemu_vfio_devices guest)" "$2 test_vfio_pci"
  virsh -q detach-device --live guest device.xml
  wait_for 30 has_no_hostdev guest "$2"
  reattached "$2"
}

with_vf() { # with_vf COMMAND...: runs COMMAND for a virtual function
  make_igb_vf
  "$@" "$igb_vf"
}

need_libvirt
gate_scenario 'ovirt, start: a host device' with_vf starts vdsm_hostdev
gate_scenario 'ovirt, hot plug: a vNIC with passthrough' with_vf plugs vdsm_interface
