# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh comes before
#
# ./run demo: a device goes to a guest and comes home, in plain lines: as libvirt alone
# does it, and with the plugin. $status is 1 when it did not go as it should.

nic=$(bdf 8086:10d3 1)
status=0

show() {
  tap "$*"
}

# command COMMAND...: shown as typed, with what it prints
command_shown() {
  show "    # $*"
  "$@" 2>&1 | sed '/^$/d; s/^/    /' >&3
}

device_is() { # device_is WHEN DRIVER WANTED [DEVICE]
  show "  $1: ${4:-$nic} is on $2"
  [ "$2" = "$3" ] || {
    show "  !! expected $3"
    status=1
  }
}

# journey WANTED: the device before, during and after
journey() {
  domain_xml vm1 "$(hostdev_xml "$nic")" >/run/tests/vm1.xml
  device_is 'before' "$(driver_of "$nic")" e1000e
  command_shown virsh create /run/tests/vm1.xml
  device_is 'during, as QEMU holds it' "$(qemu_vfio_driver vm1)" "$1"
  command_shown vfio-variant list "$nic"
  command_shown virsh destroy vm1
  device_is 'after' "$(driver_of "$nic")" e1000e
}

# plug_and_unplug WANTED: $virtio_nic into vm1 and out again
plug_and_unplug() {
  hostdev_xml "$virtio_nic" >card.xml
  device_is 'before' "$(driver_of "$virtio_nic")" virtio-pci "$virtio_nic"
  command_shown virsh attach-device vm1 card.xml
  device_is 'in the guest, as QEMU holds it' "$(qemu_vfio_driver vm1)" "$1" "$virtio_nic"
  command_shown virsh detach-device vm1 card.xml
  wait_for 20 has_driver "$virtio_nic" virtio-pci
  device_is 'after' "$(driver_of "$virtio_nic")" virtio-pci "$virtio_nic"
}

show
show "This is an emulated host: Linux $(uname -r), libvirt $(libvirtd --version | awk '{ print $NF }'), an IOMMU,"
show "and a network card ($nic, driver e1000e) that a guest is going to get:"
hostdev_xml "$nic" | sed '/^ *$/d; s/^/    /' >&3
show
show 'Which VFIO drivers does this kernel offer for it?'
command_shown vfio-variant match "$nic"

show
show '--- 1. libvirt alone (the hook is taken away) ---'
hook=/etc/libvirt/hooks/qemu.d/vfio-variant
mv "$hook" /run/tests/hook
start_libvirt >/run/tests/libvirt.log 2>&1 || status=1
journey vfio-pci

show
show '--- 2. the same with vfio-variant: nothing is changed but the hook being there ---'
mv /run/tests/hook "$hook"
restart_libvirt >/run/tests/libvirt.log 2>&1 || status=1
journey test_vfio_pci
show '  and the log says:'
grep 'vfio-variant' /var/log/messages | sed 's/^.*vfio-variant/    vfio-variant/' >&3

show
show '--- 3. hot plug: the daemon holds libvirt until the card is on its driver ---'
virtio_nic=$(bdf 1af4:1041 1)
show "Another card ($virtio_nic, driver virtio-pci), and a guest that runs already. libvirt runs no hook at"
show 'attach-device; alone it does this:'
start_domain vm1
plug_and_unplug vfio-pci
show
show 'And with vfio-variantd:'
start_daemon on >/run/tests/gate.log 2>&1 || status=1
command_shown sh -c 'vfio-variant status | head -n 4'
plug_and_unplug test_vfio_pci
show '  and the log says:'
grep "vfio-variant.*$virtio_nic" /var/log/messages | sed 's/^.*vfio-variant/    vfio-variant/' >&3
stop_gate || status=1
virsh -q destroy vm1

show
if [ "$status" = 0 ]; then
  show "Done. Alone, libvirt used the generic vfio-pci; with the plugin the guest got the device's own"
  show 'variant driver, at the start of a guest and at hot plug. Each time the card came home.'
else
  show 'That did not go as it should; see the lines with !! above.'
fi
