# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# virt-install and virt-xml, the command-line tools of virt-manager: the XML that they generate for a device given
# by its usual short name, and its result.

virtio_nic=$(bdf 1af4:1041 1)
short_name=${virtio_nic#0000:}

# is_installed [OPTION...]: installs and starts a guest; its definition remains until the scenario ends
is_installed() {
  trap 'virsh -q undefine guest' EXIT
  virt-install --name guest --memory 64 --vcpus 1 --virt-type qemu --machine q35 --osinfo generic --import \
    --disk path=/var/lib/libvirt/images/inner.img,bus=virtio,readonly=on --network none --graphics none --noautoconsole "$@"
}

is_with_guest() {
  expect 'what QEMU uses' "$(qemu_vfio_devices guest)" "$virtio_nic test_vfio_pci"
}

is_on_host() {
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

hostdevs() { # hostdevs: prints the number of hostdevs in the definition
  virsh dumpxml --inactive guest | xmllint --xpath 'count(//hostdev[@managed="yes"])' -
}

installs() {
  is_installed --hostdev "$short_name"
  is_with_guest
  expect 'managed hostdevs of the definition' "$(hostdevs)" 1
  virsh -q destroy guest
  is_on_host
  virt-xml guest --remove-device --hostdev all
  expect 'managed hostdevs of the definition afterwards' "$(hostdevs)" 0
}

edits() {
  is_installed
  virt-xml guest --add-device --hostdev "$(nodedev_name "$virtio_nic")" --update
  is_with_guest
  expect 'managed hostdevs of the definition' "$(hostdevs)" 1
  virt-xml guest --remove-device --hostdev all --update
  wait_for 30 has_no_hostdev guest "$virtio_nic"
  is_on_host
  expect 'managed hostdevs of the definition afterwards' "$(hostdevs)" 0
  virsh -q destroy guest
}

need_libvirt
scenario 'virt-install: --hostdev, and virt-xml takes it away' installs
gate_scenario 'virt-xml: --add-device and --remove-device of a guest that runs' edits
