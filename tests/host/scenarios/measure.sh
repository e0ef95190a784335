# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154,SC2034 # lib.sh is read first, features.sh afterwards
#
# Not a scenario: shared functions of features and features-network. They try the same attach first with plain
# libvirt, then with the hook and the daemon. The expected result of both is one word. The TAP contains the result
# as "# result: WHO | TITLE | WORD | REASON". From these lines tests/host/matrix makes the tables of
# docs/matrix.rst.

nic=$(bdf 8086:10d3 1) # no FLR
special_nic=$(bdf 8086:10d3 2)
virtio_nic=$(bdf 1af4:1041 1)
unmanaged_nic=$(bdf 1af4:1041 2) # libvirt remembers that it did not manage this device

# --- the result ---

# The function of a feature ends with one of these; they write the word to the file "came".
came_to() {
  echo "$1" >came
}

# fails REASON-FILE: extracts libvirt's last error message, without addresses, versions and paths
fails() {
  came_to refused
  grep -v '^error: Failed to \(create\|attach\|detach\)' "$1" | sed -n 's/^error: //p' | tail -n 1 |
    sed "s/$(uname -r)/RELEASE/g; s/0000:[0-9a-f:.]*/DEVICE/g; s/vfio.[0-9][0-9]*/vfio\/N/g" >reason
}

# ends_as BEFORE BDF: adds the final state if it differs from BEFORE
ends_as() {
  wait_for 10 state_is "$2" "$1" >/dev/null || echo "$(cat came), then $(state_of "$2")" >came
}

# starts BDF [MANAGED [MORE]]: starts and destroys a guest with the device
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

# plugs BDF: attaches the device to a running guest and detaches it
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

# --- with and without vfio-variant ---

# feature TITLE PLAIN OURS COMMAND...: PLAIN is the expected result with plain libvirt, OURS the one with this
# project, COMMAND tries the attach
feature() {
  feature_title=$1 feature_wanted=$2
  [ "$who" = 'plain libvirt' ] || feature_wanted=$3
  shift 3
  rm -f /run/tests/result # the previous result: with --only, this scenario may not run
  scenario "$who: $feature_title" comes_to "$feature_wanted" "$@"
  set_right
  [ ! -s /run/tests/result ] || diag "result: $who | $feature_title | $(cat /run/tests/result)"
}

# Restores devices that plain libvirt leaves in another state
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

# both_ways COMMAND: COMMAND calls feature. Runs it with plain libvirt, then with the hook and the daemon.
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

# The words: the best variant driver of most devices, the generic driver, and the words that depend on libvirt's
# version
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
