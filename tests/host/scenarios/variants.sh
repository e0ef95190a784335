# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --variants
#
# The kernel's own variant drivers instead of the test drivers: their aliases, as depmod writes them, and their
# probes.

nic=$(bdf 8086:10d3 1)
virtio_nic=$(bdf 1af4:1041 1)
modules=/lib/modules/$(uname -r)

# describe_host DIR: makes a root file system with the tables of these modules, for --sysroot
describe_host() {
  mkdir -p "$1/sys/bus/pci/devices" "$1$modules"
  cp "$modules"/modules.* "$1$modules/"
}

# describe_device DIR ADDRESS MODALIAS
describe_device() {
  mkdir "$1/sys/bus/pci/devices/$2"
  echo "$3" >"$1/sys/bus/pci/devices/$2/modalias"
}

best_module() { # best_module DIR ADDRESS
  vfio-variant match --sysroot "$1" --kernel "$(uname -r)" --json "$2" | jq -r '.candidates[0].module'
}

# Each alias of each module selects its module for a matching device
every_alias_selects_its_module() {
  describe_host described
  number=0
  for variant in "$modules"/updates/*.ko; do
    for alias in $(modinfo -F alias "$variant" | grep '^vfio_pci:'); do
      number=$((number + 1))
      described=$(printf '0000:%02x:00.0' "$number")
      modalias=$(echo "${alias#vfio_}" | sed 's/sv\*/sv00000000/; s/sd\*/sd00000000/; s/bc\*/bc02/; s/sc\*/sc00/; s/i\*/i00/')
      describe_device described "$described" "$modalias"
      expect "$modalias" "$(best_module described "$described")" "$(modinfo -F name "$variant")"
    done
  done
  [ "$number" -gt 0 ] || fail 'no module has an alias'
}

# selects MODALIAS MODULE
selects() {
  is_built "$2" || skip "$2 cannot be built for this kernel"
  rm -rf described
  describe_host described
  describe_device described 0000:3b:00.2 "$1"
  expect 'best' "$(best_module described 0000:3b:00.2)" "$2"
}

virtio_starts() {
  is_built virtio_vfio_pci || skip 'this kernel has no virtio_vfio_pci'
  is_detached_and_restored virtio_vfio_pci "$virtio_nic"
}

virtio_hot_plugs() {
  is_built virtio_vfio_pci || skip 'this kernel has no virtio_vfio_pci'
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" virtio_vfio_pci
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

virtio_announces_no_migration() {
  is_built virtio_vfio_pci || skip 'this kernel has no virtio_vfio_pci'
  vfio-variant bind "$virtio_nic"
  trap 'vfio-variant restore "$virtio_nic"' EXIT
  expect 'driver' "$(driver_of "$virtio_nic")" virtio_vfio_pci
  vfio-variant probe --json "$virtio_nic" >probed || true
  cat probed
  expect 'migratable' "$(jq .migratable probed)" false
}

# The driver does not support the network card: the policy selects the driver, and the driver's own probe decides.
real_probe_fails() {
  is_built qat_vfio_pci || skip 'this kernel has no qat_vfio_pci'
  set_policy "<device address='$nic' driver='qat_vfio_pci'/>"
  mark_log
  is_detached_and_restored vfio-pci "$nic"
  log_says "$nic.*qat_vfio_pci failed at bind"
}

# Debian's kernels do not export the symbols that these modules need.
real_load_fails() { # real_load_fails MODULE
  is_built "$1" || skip "this kernel has no $1"
  set_policy "<device address='$nic' driver='$1'/>"
  mark_log
  is_detached_and_restored vfio-pci "$nic"
  log_says "$nic.*$1 failed at load"
}

real_probe_succeeds() {
  is_built mlx5_vfio_pci || skip 'this kernel has no mlx5_vfio_pci'
  set_policy "<device address='$nic' driver='mlx5_vfio_pci'/>"
  is_detached_and_restored mlx5_vfio_pci "$nic"
}

use_real_variants
diag "variant drivers: $(cd "$modules/updates" && echo *.ko)"
need_libvirt
scenario 'variants: every alias selects its module' every_alias_selects_its_module
scenario 'variants: a ConnectX VF' selects pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00 mlx5_vfio_pci
scenario 'variants: a QAT 4xxx VF' selects pci:v00008086d00004941sv00008086sd00000000bc0Bsc40i00 qat_vfio_pci
scenario 'variants: a GH100' selects pci:v000010DEd00002342sv000010DEsd000016EBbc03sc02i00 nvgrace_gpu_vfio_pci
scenario 'variants: a VF of a Battlemage GPU' selects pci:v00008086d0000E20Bsv00008086sd00001100bc03sc00i00 xe_vfio_pci
scenario 'variants: virtio_vfio_pci at start' virtio_starts
gate_scenario 'variants: virtio_vfio_pci at hot plug' virtio_hot_plugs
scenario 'variants: virtio_vfio_pci does not support migration' virtio_announces_no_migration
scenario "variants: qat_vfio_pci's probe fails: fallback" real_probe_fails
scenario 'variants: pds_vfio_pci does not load: fallback' real_load_fails pds_vfio_pci
scenario 'variants: xe_vfio_pci does not load: fallback' real_load_fails xe_vfio_pci
scenario "variants: mlx5_vfio_pci's probe, forced by the policy" real_probe_succeeds
