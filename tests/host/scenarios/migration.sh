# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# What drivers report about migration when the command probes them, and which devices the command does not probe.

nic=$(bdf 8086:10d3 1)
special_nic=$(bdf 8086:10d3 2)
twin=$(bdf 1234:11e8 1)
other_twin=$(bdf 1234:11e8 2)
root_port=$(basename "$(dirname "$(readlink -f "$sysfs/$nic")")")

probe_of() { # probe_of BDF JQ-EXPRESSION: evaluates the JSON of a probe that must succeed
  vfio-variant probe --json "$1" >probed
  jq -r "$2" probed
}

announced() { # announced BDF: prints its driver's capabilities, in the order of the schema
  probe_of "$1" '[.migratable, .stop_copy, .p2p, .pre_copy, .dma_logging, .iommu_logging] | map(tostring) | join(" ")'
}

listed() { # listed BDF: prints the JSON member and the last column
  vfio-variant list "$1" >table
  cat table >&2
  echo "$(vfio-variant list --json "$1" | jq '.[0].migratable') $(awk -v device="$1" '$1 == device { print $NF }' table)"
}

# The recorded answers remain after a scenario; each scenario starts without them.
forget_answers() {
  rm -f /run/vfio-variant/migration-*
}

# bound_to DRIVER BDF: binds DRIVER by hand until the scenario ends
bound_to() {
  vfio-variant bind --driver "$1" "$2"
  trap 'vfio-variant restore --all; unload_variants; forget_answers' EXIT
  expect 'driver' "$(driver_of "$2")" "$1"
}

can_migrate() {
  forget_answers
  load_variant test_vfio_pci migration=1 dma_logging=1
  bound_to test_vfio_pci "$nic"
  expect 'listed before it is asked' "$(listed "$nic")" 'null -'
  expect 'what is said' "$(vfio-variant probe "$nic" | sed 's/ (.*//')" "$nic: test_vfio_pci: can migrate"
  expect 'what is announced' "$(announced "$nic")" 'true true false false true false'
  expect 'listed' "$(listed "$nic")" 'true yes'
  expect 'driver afterwards' "$(driver_of "$nic")" test_vfio_pci
  dmesg | tail -n 200 | grep "$nic.*test_vfio_pci: opened"
  vfio-variant restore "$nic"
  expect 'state on its host driver' "$(state_of "$nic")" 'e1000e (null)'
  expect 'listed on its host driver, by the best driver' "$(listed "$nic")" 'true yes'
  is_detached_and_restored test_vfio_pci "$nic"
}

# Twice, since the first close must leave nothing that affects the second open
can_migrate_by_all_means() {
  forget_answers
  options='p2p=1 dma_logging=1'
  wanted='true true true false true false'
  if modinfo -p test_vfio_pci | grep -q '^pre_copy:'; then # since Linux 6.2
    options="$options pre_copy=1"
    wanted='true true true true true false'
  fi
  # shellcheck disable=SC2086 # word splitting is intended
  load_variant test_vfio_pci migration=1 $options
  bound_to test_vfio_pci "$nic"
  expect 'what is announced' "$(announced "$nic")" "$wanted"
  expect 'what is announced again' "$(announced "$nic")" "$wanted"
  expect 'what is said' "$(vfio-variant probe "$nic" | grep -c '(stop-copy, P2P.*; DMA logging)$')" 1
}

cannot_migrate() {
  forget_answers
  load_variant test_vfio_pci migration=0
  bound_to test_vfio_pci "$nic"
  vfio-variant probe "$nic" >said
  expect 'what is said' "$(cat said)" \
    "$nic: test_vfio_pci: cannot migrate: the driver does not support it"
  expect 'what is announced' "$(announced "$nic")" 'false false false false false null'
  expect 'listed' "$(listed "$nic")" 'false no'
}

# Debian's kernels have no iommufd: nothing tracks the DMA writes of such a device.
cannot_migrate_untracked() {
  forget_answers
  load_variant test_vfio_pci migration=1 p2p=1
  bound_to test_vfio_pci "$nic"
  vfio-variant probe "$nic" >said
  expect 'what is said' "$(grep -c 'cannot migrate (stop-copy, P2P): it has no DMA logging' said)" 1
  expect 'what is announced' "$(announced "$nic")" 'false true true false false false'
  expect 'listed' "$(listed "$nic")" 'false no'
  expect 'needs iommufd' "$(vfio-variant list --json "$nic" | jq '.[0].needs_iommufd')" false
}

# A new answer replaces the old one.
changes_its_mind() {
  cannot_migrate
  vfio-variant restore "$nic"
  load_variant test_vfio_pci migration=1 dma_logging=1
  vfio-variant bind "$nic"
  expect 'listed before it is asked again' "$(listed "$nic")" 'false no'
  expect 'what is announced' "$(announced "$nic")" 'true true false false true false'
  expect 'listed' "$(listed "$nic")" 'true yes'
}

generic_cannot() {
  forget_answers
  bound_to vfio-pci "$nic"
  expect 'listed before it is asked' "$(listed "$nic")" 'false no'
  expect 'what is announced' "$(announced "$nic")" 'false false false false false null'
}

probe_refuses() { # probe_refuses REASON BDF: exit code 4, and no change
  refuse_before=$(state_of "$2")
  code=0
  vfio-variant probe "$2" 2>refusal || code=$?
  cat refusal
  expect 'exit code' "$code" 4
  grep -E "$1" refusal
  expect 'state afterwards' "$(state_of "$2")" "$refuse_before"
}

host_driver_is_refused() {
  forget_answers
  probe_refuses "is on e1000e.*vfio-variant bind $nic" "$nic"
  expect_no_state_file "$nic"
  [ -z "$(find /run/vfio-variant -name 'migration-*')" ] || fail 'an answer was recorded'
}

# The device of the guest is undisturbed: no second open and no reset.
guest_is_not_disturbed() {
  forget_answers
  load_variant test_vfio_pci migration=1
  trap 'unload_variants; forget_answers' EXIT
  start_domain guest "$(hostdev_xml "$nic")"
  pid=$(cat /run/libvirt/qemu/guest.pid)
  opened=$(dmesg | grep -c "$nic.*opened" || true)
  probe_refuses "$nic belongs to domain guest" "$nic"
  mv "/run/vfio-variant/$nic" entry # so that only the process indicates the use
  probe_refuses "IOMMU group $(group_of "$nic") is in use by qemu" "$nic"
  mv entry "/run/vfio-variant/$nic"
  expect 'opened meanwhile' "$(dmesg | grep -c "$nic.*opened" || true)" "$opened"
  expect 'domain' "$(virsh -q domstate guest)" running
  expect 'pid of QEMU' "$(cat /run/libvirt/qemu/guest.pid)" "$pid"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  virsh -q destroy guest
  wait_for 10 has_driver "$nic" e1000e
}

# Two functions in one IOMMU group: while a guest has one function, the command does not probe the other one.
neighbour_is_not_disturbed() {
  forget_answers
  load_variant test_named_vfio_pci migration=1 dma_logging=1
  vfio-variant bind "$twin" "$other_twin"
  trap 'virsh -q destroy guest || true; vfio-variant restore --all; unload_variants; forget_answers' EXIT
  expect 'what is announced' "$(announced "$twin")" 'true true false false true false'
  start_domain guest "$(hostdev_xml "$other_twin")"
  probe_refuses "IOMMU group $(group_of "$twin") is in use by qemu" "$twin"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test-named-vfio
}

neighbour_without_a_driver() {
  forget_answers
  load_variant test_named_vfio_pci migration=1 dma_logging=1
  expect 'driver of the neighbour' "$(driver_of "$other_twin")" none
  bound_to test-named-vfio "$twin"
  expect 'what is announced' "$(announced "$twin")" 'true true false false true false'
}

several_at_once() {
  forget_answers
  load_variant test_vfio_pci migration=1 dma_logging=1
  vfio-variant bind "$nic" "$special_nic"
  trap 'vfio-variant restore --all; unload_variants; forget_answers' EXIT
  vfio-variant probe --json "$nic" "$special_nic" >probed
  expect 'answers' "$(jq -c '[.[] | [.driver, .migratable]]' probed)" \
    '[["test_vfio_pci",true],["test_special_vfio_pci",false]]'
  code=0
  vfio-variant probe --json "$nic" "$root_port" >probed 2>refusal || code=$?
  expect 'exit code with one that is refused' "$code" 4
  expect 'answers' "$(jq -c '[.[].migratable]' probed)" '[true,null]'
}

need_libvirt
scenario 'migration: a driver that announces it can' can_migrate
scenario 'migration: and by all means' can_migrate_by_all_means
scenario 'migration: a driver that does not announce it cannot' cannot_migrate
scenario 'migration: nor one of which nothing tracks the dirty pages' cannot_migrate_untracked
scenario 'migration: a new answer takes the place of the old' changes_its_mind
scenario 'migration: vfio-pci cannot' generic_cannot
scenario 'migration: several are asked at once' several_at_once
scenario 'migration: a neighbour without a driver is no obstacle' neighbour_without_a_driver
scenario 'migration: a device on its host driver is not asked' host_driver_is_refused
scenario 'migration: nor one that a running guest has' guest_is_not_disturbed
scenario 'migration: nor its neighbour in the IOMMU group' neighbour_is_not_disturbed
