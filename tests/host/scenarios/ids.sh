# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --variants --ids
#
# Functions with the ids of real devices, and the kernel's own variant drivers for them: the driver's own probe
# decides. These functions have only the ids of the real devices (see vfio-user-device).

connectx=$(bdf 15b3:101e)
qat=$(bdf 8086:4941)
gpu=$(bdf 10de:2342)

# best_is DRIVER BDF: checks the results of match and check
best_is() {
  expect 'match' "$(vfio-variant match --json "$2" | jq -r '.candidates[0].module')" "$1"
  vfio-variant check --json "$2" >checked || true
  expect 'check' "$(jq -r '.devices[0].module' checked)" "$1"
}

starts_on() { # starts_on DRIVER BDF
  is_built "$1" || fail "$1 was not built"
  best_is "$1" "$2"
  is_detached_and_restored "$1" "$2"
}

plugs_on() { # plugs_on DRIVER BDF
  is_built "$1" || fail "$1 was not built"
  before=$(state_of "$2")
  start_domain guest
  attach_hostdev guest "$2"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$1"
  detach_hostdev guest "$2"
  is_restored "$2" "$before"
}

probes_as() { # probes_as MIGRATABLE DRIVER BDF
  is_built "$2" || fail "$2 was not built"
  probed=$3
  vfio-variant bind "$probed"
  trap 'vfio-variant restore "$probed"' EXIT
  expect 'driver' "$(driver_of "$probed")" "$2"
  vfio-variant probe --json "$probed" >answer || true
  cat answer
  expect 'migratable' "$(jq .migratable answer)" "$1"
}

# Its probe looks for features of the real device and returns ENODEV. The kernel does not treat that as an error, so
# libvirt does not notice it.
qat_falls_back() {
  is_built qat_vfio_pci || fail 'qat_vfio_pci was not built'
  best_is qat_vfio_pci "$qat"
  mark_log
  is_detached_and_restored vfio-pci "$qat"
  log_says "$qat.*qat_vfio_pci failed at bind"
}

qat_falls_back_at_hot_plug() {
  is_built qat_vfio_pci || fail 'qat_vfio_pci was not built'
  plugs_on vfio-pci "$qat"
}

use_real_variants || bail_out 'no variant drivers'
need_libvirt
scenario 'ids: a ConnectX VF starts on mlx5_vfio_pci' starts_on mlx5_vfio_pci "$connectx"
gate_scenario 'ids: a ConnectX VF at hot plug' plugs_on mlx5_vfio_pci "$connectx"
scenario 'ids: a ConnectX VF without its physical function does not support migration' probes_as false mlx5_vfio_pci "$connectx"
scenario 'ids: a GH100 starts on nvgrace_gpu_vfio_pci' starts_on nvgrace_gpu_vfio_pci "$gpu"
gate_scenario 'ids: a GH100 at hot plug' plugs_on nvgrace_gpu_vfio_pci "$gpu"
scenario "ids: a QAT VF, whose driver's probe fails: fallback" qat_falls_back
gate_scenario 'ids: a QAT VF at hot plug: fallback' qat_falls_back_at_hot_plug
