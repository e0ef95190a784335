# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154,SC2034 # lib.sh comes before, features.sh after
#
# No scenario: what those of features and features-network share. What an attach comes to, in a word: first with plain
# libvirt, then with the hook and the daemon, by the very same functions. Both are expected; what came of it is in the TAP as
# "# result: WHO | TITLE | WORD | REASON", of which tests/host/matrix makes the tables of docs/matrix.rst.

nic=$(bdf 8086:10d3 1) # no FLR
special_nic=$(bdf 8086:10d3 2)
virtio_nic=$(bdf 1af4:1041 1)
unmanaged_nic=$(bdf 1af4:1041 2) # libvirt remembers of a device that it did not manage it

# --- what came of it ---

# A feature's function ends with one of these; the words are collected in the file "came".
came_to() {
  echo "$1" >came
}

# fails REASON-FILE: libvirt's last word, without addresses, releases and folders
fails() {
  came_to refused
  grep -v '^error: Failed to \(create\|attach\|detach\)' "$1" | sed -n 's/^error: //p' | tail -n 1 |
    sed "s/$(uname -r)/RELEASE/g; s/0000:[0-9a-f:.]*/DEVICE/g; s/vfio.[0-9][0-9]*/vfio\/N/g" >reason
}

# ends_as BEFORE BDF: adds what is not as it was
ends_as() {
  wait_for 10 state_is "$2" "$1" >/dev/null || echo "$(cat came), then $(state_of "$2")" >came
}

# starts BDF [MANAGED [MORE]]: a guest's life with the device
starts() {
  before=$(state_of "$1")
  if start_domain guest "$(hostdev_xml "$@")" 2>refusal; then
    came_to "$(qemu_vfio_driver guest)"
    virsh -q destroy guest
  else
    fails refusal
  fi
  ends_as "$before" "$1"
}

# plugs BDF: into a running guest and out again
plugs() {
  before=$(state_of "$1")
  start_domain guest
  if attach_hostdev guest "$1" 2>refusal; then
    came_to "$(qemu_vfio_driver guest)"
    detach_hostdev guest "$1"
  else
    fails refusal
  fi
  ends_as "$before" "$1"
}

node_device() {
  before=$(state_of "$1")
  name=$(nodedev_name "$1")
  if virsh -q nodedev-detach "$name" 2>refusal; then
    came_to "$(driver_of "$1")"
    virsh -q nodedev-reattach "$name"
  else
    fails refusal
  fi
  ends_as "$before" "$1"
}

# --- both ways ---

# feature TITLE PLAIN OURS COMMAND...: what plain libvirt comes to, what this project does, and how it is tried
feature() {
  feature_title=$1 feature_wanted=$2
  [ "$who" = 'plain libvirt' ] || feature_wanted=$3
  shift 3
  rm -f /run/tests/result # of the one before: with --only this one may not be run
  scenario "$who: $feature_title" comes_to "$feature_wanted" "$@"
  set_right
  [ ! -s /run/tests/result ] || diag "result: $who | $feature_title | $(cat /run/tests/result)"
}

# What plain libvirt leaves behind is put right for the next one
set_right() {
  modprobe -a e1000e virtio_pci
  for device in "$nic" "$special_nic" "$virtio_nic" "$unmanaged_nic"; do
    case $(state_of "$device") in
      'e1000e (null)' | 'virtio-pci (null)') continue ;;
    esac
    echo >"$sysfs/$device/driver_override"
    has_driver "$device" none || echo "$device" >"$sysfs/$device/driver/unbind"
    echo "$device" >/sys/bus/pci/drivers_probe
  done
}

comes_to() {
  rm -f came reason
  comes_to_wanted=$1
  shift
  "$@"
  echo "$(cat came) | $(cat reason 2>/dev/null || true)" >/run/tests/result
  expect 'what it came to' "$(cat came)" "$comes_to_wanted"
}

# both_ways COMMAND: which calls feature; with plain libvirt, then with the hook and the daemon
both_ways() {
  need_libvirt
  who='plain libvirt'
  without_hooks "$@"
  who=vfio-variant
  need_libvirt
  start_daemon on >/run/tests/gate.log 2>&1 || bail_out 'the gate is not on'
  "$@"
  stop_gate
}

# The words: the variant that is the best for most devices, the generic driver; and what differs with libvirt
variant=test_vfio_pci
generic=vfio-pci
if libvirt_chooses; then
  plain=$variant hot=$variant absent=refused unmanaged=$variant
else
  plain=$generic hot=$generic absent=$generic unmanaged=refused
fi
libvirt_is_older_than 9.7.0 || unmanaged=$variant
best=$plain
! libvirt_chooses || best=test_special_vfio_pci
