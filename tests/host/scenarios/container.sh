# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --igb
#
# libvirt in a container, as Kolla-Ansible runs it: mount and UTS namespaces of its own, a fresh mount of sysfs, the
# processes and the network of the host, and no hook inside. The daemon runs on the host.

nic=$(bdf 8086:10d3 1) # no FLR
virtio_nic=$(bdf 1af4:1041 1)

# The driver that libvirt selects itself
plain_driver=vfio-pci
! libvirt_chooses || plain_driver=test_vfio_pci

# in_container [OPTION...] COMMAND: runs COMMAND in a container, with additional options of unshare
in_container() {
  container_command=$1
  shift
  unshare --mount --uts --propagation slave "$@" sh -euc "
    hostname container
    umount -R /sys
    mount -t sysfs sysfs /sys
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -t tmpfs tmpfs /etc/libvirt/hooks
    exec $container_command"
}

# start_contained_libvirt [OPTION...]: passes the options to unshare
start_contained_libvirt() {
  ! libvirt_answers || stop_libvirt
  modprobe vfio-pci
  [ -S /run/libvirt/virtlogd-sock ] || virtlogd -d
  in_container 'libvirtd -d' "$@"
  wait_for 60 libvirt_answers
}

has_finding() { # has_finding ID
  vfio-variant status --json | jq -e --arg id "$1" '.findings | any(.id == $id)' >/dev/null
}

# start_gets DRIVER BDF STATE
start_gets() {
  start_domain guest "$(hostdev_xml "$2")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$1"
  virsh -q destroy guest
  is_restored "$2" "$3"
}

plug_gets() { # plug_gets DRIVER BDF STATE
  start_domain guest
  attach_hostdev guest "$2"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$1"
  detach_hostdev guest "$2"
  is_restored "$2" "$3"
}

gate_serves_a_container() {
  start_contained_libvirt
  ! has_finding libvirt-sysfs || fail 'status complains of the sysfs'
  start_gets test_vfio_pci "$virtio_nic" 'virtio-pci (null)'
  plug_gets test_vfio_pci "$virtio_nic" 'virtio-pci (null)'
}

# Before 9.7 libvirt resets a device without FLR itself, which may fail on a variant driver. The gate therefore
# keeps the generic driver, and without the hook nothing rebinds the device at the start of the guest.
gate_without_hook_and_flr() {
  start_contained_libvirt
  if libvirt_is_older_than 9.7.0; then
    start_gets vfio-pci "$nic" 'e1000e (null)'
  else
    start_gets test_vfio_pci "$nic" 'e1000e (null)'
  fi
}

gate_does_not_see_another_network() {
  start_contained_libvirt --net
  has_finding libvirt-sysfs || fail 'status does not tell'
  start_gets "$plain_driver" "$virtio_nic" 'virtio-pci (null)'
  expect 'opens that the gate saw' "$(gate_status '.opens.blocked')" 0
}

gate_scenario 'container: start and hot plug by the gate alone' gate_serves_a_container
gate_scenario 'container: a device without FLR, without a hook' gate_without_hook_and_flr
gate_scenario 'container: a network namespace of its own is not seen, and status says so' gate_does_not_see_another_network
