# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh comes before
# needs: --igb
#
# Devices that the policy wants on VFIO from boot on: virtual functions appear, udev runs what our rule says, and the
# host driver that was trying them at that very moment does not have them in the end.

nvme=$(bdf 1b36:0010)
igb=$(bdf 8086:10c9) || igb=''
policy_file=/etc/libvirt/vfio-variant.xml
rounds=3 # of VFs that appear and go

set_policy() { # set_policy XML: for as long as the scenario takes
  printf '<vfio-variant>\n%s\n</vfio-variant>\n' "$1" >"$policy_file"
  trap 'echo 0 >"$sysfs/$nvme/sriov_numvfs"; [ -z "$igb" ] || echo 0 >"$sysfs/$igb/sriov_numvfs"
    unload_variants; modprobe -a igbvf nvme; rm -f "$policy_file"' EXIT
}

need_igb() {
  [ -n "$igb" ] || skip 'no igb: the QEMU that runs this host is older than 8.0 (see make-emulator)'
}

# vfs_of PF: whose functions are at boot on VFIO
vfs_of() {
  echo "<device physical-function='$1' at-boot='yes'/>"
}

expect_state() { # expect_state STATE VF...: of each
  wanted=$1
  shift
  for vf in "$@"; do
    expect "state of $vf" "$(state_of "$vf")" "$wanted"
  done
}

# --- they appear ---------------------------------------------------------------------------------------

# appear PF N AUTOPROBE: again and again; after "udevadm settle" all are on the variant, recorded as bound at boot
appear() {
  set_policy "$(vfs_of "$1")"
  mark_log
  for round in $(seq "$rounds"); do
    echo "round $round"
    vfs=$(make_vfs "$@")
    # shellcheck disable=SC2086 # words
    expect_state 'test_vfio_pci test_vfio_pci' $vfs
    for vf in $vfs; do
      expect "in the state store of $vf" "$(state_value "$vf" pinned) $(state_value "$vf" at-boot)" 'true true'
    done
    [ "$((round % 2))" = 0 ] || unload_variants_after "$1"
  done
  diag "driver at first: $(log_says '-> test_vfio_pci' | sed -E 's/.*: (no driver|[a-z]+) -> test_vfio_pci.*/\1/' |
    sort | uniq -c | awk '{ n = $1; $1 = ""; printf "%s %d times; ", substr($0, 2), n }')"
}

# Every other time the modules of both drivers come with the device, the native one's by udev.
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
  # shellcheck disable=SC2046 # words
  set -- $(make_vfs "$igb" 3 1)
  expect 'the first' "$1" "$first"
  expect_state 'test_vfio_pci test_vfio_pci' "$1"
  expect_state 'igbvf (null)' "$2" "$3"
  expect_no_state_file "$2"
}

# A driver that fails, and no other is allowed: the kernel gives them the native one, as it would have.
none_stays_without_a_driver() { # none_stays_without_a_driver AUTOPROBE STATE
  need_igb
  set_policy "<device physical-function='$igb' at-boot='yes' driver='test_vfio_pci' fallback='none'/>"
  load_variant test_vfio_pci probe_errno=5
  mark_log
  # shellcheck disable=SC2046 # words
  set -- "$2" $(make_vfs "$igb" 2 "$1")
  expect_state "$@"
  expect_no_state_file "$2"
  log_says "$2: no VFIO driver could be bound, returned to (no driver|igbvf)"
}

# What is there already is told by "udevadm trigger", too, and is no news.
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

# --- the command -------------------------------------------------------------------------------------------

# What the unit does at boot, for what was there before udev had our rule
bound_by_the_command() {
  need_igb
  vfs=$(make_vfs "$igb" 2 1)
  set_policy "$(vfs_of "$igb")"
  # shellcheck disable=SC2086 # words
  expect_state 'igbvf (null)' $vfs
  vfio-variant bind --at-boot
  # shellcheck disable=SC2086
  expect_state 'test_vfio_pci test_vfio_pci' $vfs
  expect 'what is left to do' "$(vfio-variant bind --at-boot 2>&1)" ''
  vfio-variant restore --at-boot
  # shellcheck disable=SC2086
  expect_state 'igbvf (null)' $vfs
}

restored_by_the_command() { # restored_by_the_command AUTOPROBE STATE: hand-bound devices are not in it
  need_igb
  set_policy "$(vfs_of "$igb")"
  vfs=$(make_vfs "$igb" 3 "$1")
  by_hand=$(bdf 8086:10d3 1)
  vfio-variant bind "$by_hand"
  vfio-variant restore --at-boot
  # shellcheck disable=SC2086 # words
  expect_state "$2" $vfs
  expect_state 'test_vfio_pci test_vfio_pci' "$by_hand"
  vfio-variant restore "$by_hand"
  expect 'the state store' "$(find /run/vfio-variant -name '0000:*')" ''
}

# Their entries are about nothing.
entries_go_with_the_devices() {
  need_igb
  set_policy "$(vfs_of "$igb")"
  vf=$(make_vfs "$igb" 1 1)
  [ -e "/run/vfio-variant/$vf" ]
  echo 0 >"$sysfs/$igb/sriov_numvfs"
  vfio-variant bind --at-boot
  expect_no_state_file "$vf"
}

# --- guests -------------------------------------------------------------------------------------------------

# As Nova has it. Before 9.7 libvirt takes only vfio-pci there.
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

# comes_back_to_the_variant VF: not to igbvf, and is still one of those that were bound at boot
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
  # From 10.0 on libvirt finds it where it wants it, and moves nothing: nobody tells the gate.
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
