# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# The emulated host itself, without the project: libvirt gives devices to guests, on the
# driver that this libvirt takes, and back.

# starts BDF NATIVE: a guest with the device, and the device back afterwards
starts() {
  expect 'driver before' "$(driver_of "$1")" "$2"
  start_domain plain "$(hostdev_xml "$1")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver plain)" "$vfio_driver"
  virsh -q destroy plain
  wait_for 10 has_driver "$1" "$2"
  expect 'override after' "$(override_of "$1")" '(null)'
}

hot_plugs() {
  start_domain plain
  attach_hostdev plain "$1"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver plain)" "$vfio_driver"
  detach_hostdev plain "$1"
  wait_for 10 has_driver "$1" "$2"
}

nvme_vf_starts() {
  vfs=$(make_vfs "$(bdf 1b36:0010)" 2)
  expect 'number of VFs' "$(echo "$vfs" | wc -l)" 2
  starts "$(echo "$vfs" | head -n 1)" none
}

plain_scenarios() {
  vfio_driver=vfio-pci
  ! libvirt_chooses || vfio_driver=test_vfio_pci
  scenario 'plain libvirt: e1000e, start and destroy' starts "$(bdf 8086:10d3)" e1000e
  scenario 'plain libvirt: virtio-net, start and destroy' starts "$(bdf 1af4:1041)" virtio-pci
  scenario 'plain libvirt: nvme VF, start and destroy' nvme_vf_starts
  scenario 'plain libvirt: e1000e, hot-plug and unplug' hot_plugs "$(bdf 8086:10d3)" e1000e
}

without_hooks plain_scenarios
