# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --igb
#
# Devices that the policy binds to VFIO at boot: virtual functions appear, and udev runs the command of our rule. If
# the host driver is probing at that moment, it does not keep the device.

nvme=$(bdf 1b36:0010)
igb=$(bdf 8086:10c9) || igb=''
policy_file=/etc/libvirt/vfio-variant.xml
rounds=3 # of making and removing VFs

set_policy() { # set_policy XML: until the scenario ends
  printf '<vfio-variant>\n%s\n</vfio-variant>\n' "$1" >"$policy_file"
  trap 'echo 0 >"$sysfs/$nvme/sriov_numvfs"; [ -z "$igb" ] || echo 0 >"$sysfs/$igb/sriov_numvfs"
    unload_variants; modprobe -a igbvf nvme; rm -f "$policy_file"' EXIT
}

need_igb() {
  [ -n "$igb" ] || skip 'no igb: the QEMU that runs this host is older than 8.0 (see make-emulator)'
}

# vfs_of PF: prints the rule that binds the functions of PF at boot
vfs_of() {
  echo "<device physical-function='$1' at-boot='yes'/>"
}

expect_state() { # expect_state STATE VF...: STATE is expected of each VF
  wanted=$1
  shift
  for vf in "$@"; do
    expect "state of $vf" "$(state_of "$vf")" "$wanted"
  done
}

# --- VFs that appear ---

# appear PF N AUTOPROBE: makes VFs several times. After "udevadm settle" all of them are on the variant driver and
# recorded as bound at boot.
appear() {
  set_policy "$(vfs_of "$1")"
  mark_log
  for round in $(seq "$rounds"); do
    echo "round $round"
    vfs=$(make_vfs "$@")
    # shellcheck disable=SC2086 # word splitting is intended
    expect_state 'test_vfio_pci test_vfio_pci' $vfs
    for vf in $vfs; do
      expect "in the state store of $vf" "$(state_value "$vf" pinned) $(state_value "$vf" at-boot)" 'true true'
    done
    [ "$((round % 2))" = 0 ] || unload_variants_after "$1"
  done
  diag "driver at first: $(log_says '-> test_vfio_pci' | sed -E 's/.*: (no driver|[a-z]+) -> test_vfio_pci.*/\1/' |
    sort | uniq -c | awk '{ n = $1; $1 = ""; printf "%s %d times; ", substr($0, 2), n }')"
}

# Every second time, the modules of both drivers are loaded while the device appears; udev loads the host driver's
# module.
unload_variants_after() {
  echo 0 >"$sysfs/$1/sriov_numvfs"
  unload_variants
  [ "$1" = "$nvme" ] || modprobe -r igbvf
}

igb_appear() { # igb_appear AUTOPROBE
  need_igb
  appear "$igb" 4 "$1"
}

others_are_left_alone() {
  need_igb
  first=$(make_vfs "$igb" 3 1 | head -n 1)
  set_policy "<device address='$first' at-boot='yes'/>"
  # shellcheck disable=SC2046 # word splitting is intended
  set -- $(make_vfs "$igb" 3 1)
  expect 'the first' "$1" "$first"
  expect_state 'test_vfio_pci test_vfio_pci' "$1"
  expect_state 'igbvf (null)' "$2" "$3"
  expect_no_state_file "$2"
}

# The variant driver fails and the policy allows no fallback: the kernel binds the host driver, as it would without
# the policy.
none_stays_without_a_driver() { # none_stays_without_a_driver AUTOPROBE STATE
  need_igb
  set_policy "<device physical-function='$igb' at-boot='yes' driver='test_vfio_pci' fallback='none'/>"
  load_variant test_vfio_pci probe_errno=5
  mark_log
  # shellcheck disable=SC2046 # word splitting is intended
  set -- "$2" $(make_vfs "$igb" 2 "$1")
  expect_state "$@"
  expect_no_state_file "$2"
  log_says "$2: no VFIO driver could be bound, returned to (no driver|igbvf)"
}

# "udevadm trigger" also reports existing devices; the rule ignores them.
given_back_stays_back() {
  need_igb
  set_policy "$(vfs_of "$igb")"
  vf=$(make_vfs "$igb" 1 1)
  vfio-variant restore "$vf"
  udevadm trigger --action=add --subsystem-match=pci
  udevadm settle
  expect_state 'igbvf (null)' "$vf"
  vfio-variant status --json | jq -e ".findings[] | select(.id == \"at-boot-missed\" and .subject == \"$vf\")"
}

# --- the command ---

# The unit does this at boot, for devices that appeared before udev had our rule
bound_by_the_command() {
  need_igb
  vfs=$(make_vfs "$igb" 2 1)
  set_policy "$(vfs_of "$igb")"
  # shellcheck disable=SC2086 # word splitting is intended
  expect_state 'igbvf (null)' $vfs
  vfio-variant bind --at-boot
  # shellcheck disable=SC2086
  expect_state 'test_vfio_pci test_vfio_pci' $vfs
  expect 'what is left to do' "$(vfio-variant bind --at-boot 2>&1)" ''
  vfio-variant restore --at-boot
  # shellcheck disable=SC2086
  expect_state 'igbvf (null)' $vfs
}

restored_by_the_command() { # restored_by_the_command AUTOPROBE STATE: not the device bound by hand
  need_igb
  set_policy "$(vfs_of "$igb")"
  vfs=$(make_vfs "$igb" 3 "$1")
  by_hand=$(bdf 8086:10d3 1)
  vfio-variant bind "$by_hand"
  vfio-variant restore --at-boot
  # shellcheck disable=SC2086 # word splitting is intended
  expect_state "$2" $vfs
  expect_state 'test_vfio_pci test_vfio_pci' "$by_hand"
  vfio-variant restore "$by_hand"
  expect 'the state store' "$(find /run/vfio-variant -name '0000:*')" ''
}

# The state files of removed devices are obsolete.
entries_go_with_the_devices() {
  need_igb
  set_policy "$(vfs_of "$igb")"
  vf=$(make_vfs "$igb" 1 1)
  [ -e "/run/vfio-variant/$vf" ]
  echo 0 >"$sysfs/$igb/sriov_numvfs"
  vfio-variant bind --at-boot
  expect_no_state_file "$vf"
}

# --- guests ---

# As in Nova's XML. Before 9.7 libvirt accepts only vfio-pci here.
guest_without_managing() {
  need_igb
  set_policy "$(vfs_of "$igb")"
  vf=$(make_vfs "$igb" 1 1)
  if libvirt_is_older_than 9.7.0; then
    expect_failure start_domain guest "$(hostdev_xml "$vf" no)"
  else
    start_domain guest "$(hostdev_xml "$vf" no)"
    expect 'driver that QEMU uses' "$(qemu_vfio_devices guest)" "$vf test_vfio_pci"
    expect 'what is left to do' "$(vfio-variant bind --at-boot 2>&1)" ''
    virsh -q destroy guest
  fi
  expect_state 'test_vfio_pci test_vfio_pci' "$vf"
  expect 'at boot in the state store' "$(state_value "$vf" at-boot)" true
}

# comes_back_to_the_variant VF: checks that VF returns to the variant driver, not to igbvf, and is still recorded as
# bound at boot
comes_back_to_the_variant() {
  wait_for 20 has_driver "$1" test_vfio_pci
  wait_for 20 state_says "$1" domain ''
  expect 'in the state store' "$(state_value "$1" pinned) $(state_value "$1" at-boot)" 'true true'
  vfio-variant restore --at-boot
  expect_state 'igbvf (null)' "$1"
}

managed_guest() {
  need_igb
  set_policy "$(vfs_of "$igb")"
  vf=$(make_vfs "$igb" 1 1)
  start_domain guest "$(hostdev_xml "$vf")"
  expect 'driver that QEMU uses' "$(qemu_vfio_devices guest)" "$vf test_vfio_pci"
  virsh -q destroy guest
  comes_back_to_the_variant "$vf"
}

managed_at_hot_plug() {
  need_igb
  set_policy "$(vfs_of "$igb")"
  vf=$(make_vfs "$igb" 1 1)
  start_domain guest
  attach_hostdev guest "$vf"
  expect 'driver that QEMU uses' "$(qemu_vfio_devices guest)" "$vf test_vfio_pci"
  # From 10.0 on, libvirt finds the device on the right driver and moves nothing, so the gate is not involved.
  libvirt_chooses || wait_for 20 state_says "$vf" domain guest
  detach_hostdev guest "$vf"
  comes_back_to_the_variant "$vf"
}

scenario "at boot: igb's functions appear, $rounds times; autoprobe on" igb_appear 1
scenario "at boot: igb's functions appear, $rounds times; autoprobe off" igb_appear 0
scenario "at boot: nvme's functions, which its driver gives up, appear $rounds times; autoprobe on" appear "$nvme" 4 1
scenario "at boot: nvme's functions appear, $rounds times; autoprobe off" appear "$nvme" 4 0
scenario 'at boot: what the policy does not name is left alone' others_are_left_alone
scenario 'at boot: no driver works; autoprobe on: the host driver' none_stays_without_a_driver 1 'igbvf (null)'
scenario 'at boot: no driver works; autoprobe off: none' none_stays_without_a_driver 0 'none (null)'
scenario 'at boot: what was given back stays back' given_back_stays_back
scenario 'at boot: bind --at-boot' bound_by_the_command
scenario 'at boot: restore --at-boot; autoprobe on: the host driver' restored_by_the_command 1 'igbvf (null)'
scenario 'at boot: restore --at-boot; autoprobe off: none' restored_by_the_command 0 'none (null)'
scenario 'at boot: entries go with their devices' entries_go_with_the_devices
need_libvirt
scenario "at boot: a guest with managed='no'" guest_without_managing
scenario "at boot: a guest with managed='yes'" managed_guest
gate_scenario 'at boot: managed at hot plug, with the gate' managed_at_hot_plug
