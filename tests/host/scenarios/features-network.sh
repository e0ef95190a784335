# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # measure.sh is read first
# needs: --igb
#
# The same for virtual functions of a network card, which have a host driver, a MAC address, and libvirt networks.

igb_vf() { # igb_vf COMMAND
  make_igb_vf
  "$1" "$igb_vf"
}

interface_starts() {
  make_igb_vf
  before=$(state_of "$igb_vf")
  if start_domain guest "$1" 2>refusal; then
    came_to "$(qemu_vfio_driver guest)"
    virsh -q destroy guest
  else
    fails refusal
  fi
  ends_as "$before" "$igb_vf"
}

hostdev_network() { # hostdev_network COMMAND: with a network of virtual functions
  make_igb_vf
  create_hostdev_network
  "$1" "<interface type='network'><source network='vfs'/></interface>"
}

interface_plugs() {
  before=$(state_of "$igb_vf")
  echo "$1" | sed "s/<interface[^>]*>/&<mac address='52:54:00:00:0a:01'\/>/" >interface.xml
  start_domain guest
  if virsh -q attach-device guest interface.xml 2>refusal; then
    came_to "$(qemu_vfio_driver guest)"
    virsh -q detach-device guest interface.xml
    wait_for 30 has_no_hostdev guest "$igb_vf"
  else
    fails refusal
  fi
  ends_as "$before" "$igb_vf"
}

network_features() {
  feature 'virsh start: SR-IOV VF with host driver' "$plain" "$variant" igb_vf starts
  feature 'virsh start: VF of a hostdev network' "$plain" "$variant" hostdev_network interface_starts
  feature 'attach-device: SR-IOV VF with host driver' "$plain" "$variant" igb_vf plugs
  feature 'attach-device: VF of a hostdev network' "$plain" "$variant" hostdev_network interface_plugs
}

both_ways network_features
