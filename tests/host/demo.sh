# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# ./run demo: a device goes to a guest and returns to its host driver, with libvirt alone and with the plugin.
# Prints plain lines. $status is 1 after an unexpected result. ./run demo --real uses the kernel's own variant
# drivers; of these, virtio_vfio_pci has devices in this host.

status=0
if [ -d /run/tests/variants ]; then
  use_real_variants >/run/tests/variants.log 2>&1 || status=1
  variant=virtio_vfio_pci
  nic=$(bdf 1af4:1041 1) native=virtio-pci
  hot_nic=$(bdf 1af4:1041 2)
else
  variant=test_vfio_pci
  nic=$(bdf 8086:10d3 1) native=e1000e
  hot_nic=$(bdf 1af4:1041 1)
fi
alone=vfio-pci
! libvirt_chooses || alone=$variant

show() {
  tap "$*"
}

# command_shown COMMAND...: shows the command as typed, with its output
command_shown() {
  show "    # $*"
  "$@" 2>&1 | sed '/^$/d; s/^/    /' >&3
}

value_is() { # value_is DESCRIPTION VALUE WANTED
  show "  $1 $2"
  [ "$2" = "$3" ] || {
    show "  !! expected $3"
    status=1
  }
}

device_is() { # device_is WHEN DEVICE DRIVER WANTED
  value_is "$1: $2 is on" "$3" "$4"
}

# journey WANTED OVERRIDE: shows the device before, during and after its use by a guest. If libvirt selects WANTED
# itself, also shows what happens to an administrator's driver_override.
journey() {
  domain_xml vm1 "$(hostdev_xml "$nic")" >/run/tests/vm1.xml
  device_is 'before' "$nic" "$(driver_of "$nic")" "$native"
  ! libvirt_chooses || command_shown sh -c "echo $native >$sysfs/$nic/driver_override"
  command_shown virsh create /run/tests/vm1.xml
  device_is 'during, as opened by QEMU' "$nic" "$(qemu_vfio_driver vm1)" "$1"
  command_shown vfio-variant list "$nic"
  command_shown virsh destroy vm1
  device_is 'after' "$nic" "$(driver_of "$nic")" "$native"
  ! libvirt_chooses || value_is 'after: its driver_override is' "$(override_of "$nic")" "$2"
}

# plug_and_unplug WANTED: attaches $hot_nic to vm1 and detaches it
plug_and_unplug() {
  hostdev_xml "$hot_nic" >card.xml
  device_is 'before' "$hot_nic" "$(driver_of "$hot_nic")" virtio-pci
  command_shown virsh attach-device vm1 card.xml
  device_is 'in the guest, as opened by QEMU' "$hot_nic" "$(qemu_vfio_driver vm1)" "$1"
  command_shown virsh detach-device vm1 card.xml
  wait_for 20 has_driver "$hot_nic" virtio-pci
  device_is 'after' "$hot_nic" "$(driver_of "$hot_nic")" virtio-pci
}

show
show "This is an emulated host: Linux $(uname -r), libvirt $(libvirt_version), an IOMMU,"
show "and a network card ($nic, driver $native) for a guest:"
hostdev_xml "$nic" | sed '/^ *$/d; s/^/    /' >&3
show
show 'The VFIO drivers that this kernel offers for it:'
command_shown vfio-variant match "$nic"

show
show '--- 1. libvirt alone (without the hook) ---'
hook=/etc/libvirt/hooks/qemu.d/vfio-variant
mv "$hook" /run/tests/hook
start_libvirt >/run/tests/libvirt.log 2>&1 || status=1
journey "$alone" '(null)'

show
show '--- 2. the same with vfio-variant: the hook is the only change ---'
mv /run/tests/hook "$hook"
restart_libvirt >/run/tests/libvirt.log 2>&1 || status=1
journey "$variant" "$native"
show '  and the log says:'
grep 'vfio-variant' /var/log/messages | sed 's/^.*vfio-variant/    vfio-variant/' >&3

show
show '--- 3. hot plug: the daemon blocks libvirt until the card is on its variant driver ---'
show "Another card ($hot_nic, driver virtio-pci), and a running guest. libvirt runs no hook for"
show 'attach-device. libvirt alone:'
start_domain vm1
plug_and_unplug "$alone"
show
show 'With vfio-variantd:'
start_daemon on >/run/tests/gate.log 2>&1 || status=1
command_shown sh -c 'vfio-variant status | head -n 4'
plug_and_unplug "$variant"
show '  and the log says:'
grep "vfio-variant.*$hot_nic" /var/log/messages | sed 's/^.*vfio-variant/    vfio-variant/' >&3
stop_gate || status=1
virsh -q destroy vm1

show
if [ "$status" != 0 ]; then
  show 'Unexpected results: see the lines with !! above.'
elif libvirt_chooses; then
  show "Done. This libvirt selects variant drivers itself, so the guest got the variant driver with and without the plugin."
  show 'With the plugin, the card returned to its host driver with its previous driver_override. libvirt alone cleared the'
  show 'driver_override. For further uses of the plugin: docs/guides/libvirt-10.rst'
else
  show 'Done. libvirt alone used the generic vfio-pci. With the plugin the guest got the variant driver of the'
  show 'device, at domain start and at hot plug. Each time the card returned to its host driver.'
fi
show
if [ "$variant" = test_vfio_pci ]; then
  show "The variant driver was test_vfio_pci, a test driver of this project. To use the kernel's own virtio_vfio_pci,"
  show 'and a newer libvirt: ./run demo --real'
else
  show "The variant driver was $variant of the kernel, built from Debian's source of Linux $(uname -r)."
fi
