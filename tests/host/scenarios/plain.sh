# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# The emulated host itself, without the project: libvirt gives devices to guests, on
# vfio-pci, and back.

# starts_on_vfio_pci BDF NATIVE: a guest with the device, and the device back afterwards
starts_on_vfio_pci() {
  expect 'driver before' "$(driver_of "$1")" "$2"
  start_domain plain "$(hostdev_xml "$1")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver plain)" vfio-pci
  virsh -q destroy plain
  wait_for 10 has_driver "$1" "$2"
  expect 'override after' "$(override_of "$1")" '(null)'
}

hot_plugs() {
  start_domain plain
  attach_hostdev plain "$1"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver plain)" vfio-pci
  detach_hostdev plain "$1"
  wait_for 10 has_driver "$1" "$2"
}

nvme_vf_starts() {
  vfs=$(make_vfs "$(bdf 1b36:0010)" 2)
  expect 'number of VFs' "$(echo "$vfs" | wc -l)" 2
  starts_on_vfio_pci "$(echo "$vfs" | head -n 1)" none
}

need_libvirt
scenario 'e1000e: start and destroy' starts_on_vfio_pci "$(bdf 8086:10d3)" e1000e
scenario 'virtio-net: start and destroy' starts_on_vfio_pci "$(bdf 1af4:1041)" virtio-pci
scenario 'nvme VF: start and destroy' nvme_vf_starts
scenario 'e1000e: hot-plug and unplug' hot_plugs "$(bdf 8086:10d3)" e1000e
