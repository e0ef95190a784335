# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # measure.sh is read first
#
# The results of an attach, feature by feature, with plain libvirt and with vfio-variant.

nvme_vf() { # nvme_vf COMMAND
  vf=$(make_vfs "$(bdf 1b36:0010)" 2 | head -n 1)
  "$1" "$vf"
}

with_override() { # with_override OVERRIDE COMMAND BDF
  echo "$1" >"$sysfs/$3/driver_override"
  trap 'echo >"$sysfs/$overridden/driver_override"' EXIT
  overridden=$3
  "$2" "$3"
}

bound_before() { # bound_before BDF: managed='no', and the administrator has bound the variant driver
  modprobe test_vfio_pci
  echo test_vfio_pci >"$sysfs/$1/driver_override"
  echo "$1" >"$sysfs/$1/driver/unbind"
  echo "$1" >/sys/bus/pci/drivers_probe
  starts "$1" no
}

module_is_gone() { # module_is_gone COMMAND BDF
  hide_module test_vfio_pci
  trap show_module EXIT
  "$@"
}

probe_fails() { # probe_fails COMMAND BDF
  load_variant test_vfio_pci probe_errno=5
  trap unload_variants EXIT
  "$@"
}

blacklisted() { # blacklisted COMMAND BDF
  unload_variants
  echo 'blacklist test_vfio_pci' >/etc/modprobe.d/not-this.conf
  trap 'rm /etc/modprobe.d/not-this.conf' EXIT
  "$@"
}

no_table() { # no_table COMMAND BDF
  table=/lib/modules/$(uname -r)/modules.alias
  mv "$table" "$table.away"
  trap 'mv "$table.away" "$table"' EXIT
  "$@"
}

# A user-defined alias, for a driver without a line in modules.alias
alias_of_ones_own() { # alias_of_ones_own COMMAND BDF
  alias_line="alias vfio_$(cat "$sysfs/$2/modalias") test_special_vfio_pci"
  echo "$alias_line" >/etc/modprobe.d/own.conf
  trap 'rm /etc/modprobe.d/own.conf' EXIT
  "$@"
}

rule_for() { # rule_for ATTRIBUTES COMMAND BDF: an administrator's policy; plain libvirt ignores it
  echo "<vfio-variant><default $1/></vfio-variant>" >/etc/libvirt/vfio-variant.xml
  trap 'rm /etc/libvirt/vfio-variant.xml; reload_policy' EXIT
  shift
  reload_policy
  "$@"
}

reload_policy() {
  [ "$who" != 'plain libvirt' ] || return 0
  mark_log
  kill -HUP "$gate_pid"
  wait_for 20 log_says 'reloaded the policy'
}

host_driver_is_unloaded() {
  before=$(state_of "$1")
  start_domain guest "$(hostdev_xml "$1")"
  came_to "$(qemu_vfio_driver guest)"
  modprobe -r e1000e
  virsh -q destroy guest
  ends_as "$before" "$1"
}

# Hooks that run while the device is between two drivers
hook_point_runs() { # hook_point_runs COMMAND BDF
  hook_script 10-count <<'SCRIPT'
#!/bin/sh
echo "$2 $3" >>/run/tests/calls
SCRIPT
  trap remove_hook_scripts EXIT
  rm -f calls
  touch calls
  "$@"
  came_to "$(sort -u calls | wc -l) of 4 moments"
}

iommufd() {
  libvirt_is_older_than 12.0.0 && came_to 'unknown to libvirt' && return
  [ -e /dev/iommu ] || { came_to 'not in this kernel' && return; }
  starts "$1" yes "<driver iommufd='yes'/>"
}

all_features() {
  feature 'virsh start: e1000e, no FLR' "$plain" "$variant" starts "$nic"
  feature 'virsh start: virtio-net, FLR' "$plain" "$variant" starts "$virtio_nic"
  feature 'virsh start: two variants fit, one better' "$best" test_special_vfio_pci starts "$special_nic"
  feature 'virsh start: SR-IOV VF without host driver' "$plain" "$variant" nvme_vf starts
  feature 'attach-device: e1000e, no FLR' "$plain" "$hot" plugs "$nic"
  feature 'attach-device: virtio-net, FLR' "$plain" "$variant" plugs "$virtio_nic"
  feature 'attach-device: SR-IOV VF without host driver' "$plain" "$variant" nvme_vf plugs
  feature 'nodedev-detach, nodedev-reattach' "$plain" "$variant" node_device "$virtio_nic"
  feature "managed='no', put on the variant before" "$unmanaged" "$unmanaged" bound_before "$unmanaged_nic"
  if libvirt_chooses; then
    feature "<driver model='vfio-pci'/>" "$generic" "$generic" starts "$nic" yes "<driver model='vfio-pci'/>"
    feature "<driver model='test_vfio_pci'/>, not the best" "$variant" "$variant" \
      starts "$special_nic" yes "<driver model='$variant'/>"
  fi
  feature 'start: the module is missing' "$absent" "$absent" module_is_gone starts "$nic"
  feature 'attach-device: the module is missing' "$absent" "$absent" module_is_gone plugs "$virtio_nic"
  feature 'start: the probe fails' "$probe_fails" "$generic" probe_fails starts "$nic"
  feature 'attach-device: the probe fails' "$probe_fails" "$generic" probe_fails plugs "$virtio_nic"
  feature 'start: blacklisted' "$absent" "$absent" blacklisted starts "$nic"
  feature 'start: no modules.alias' "$no_table" "$no_table" no_table starts "$nic"
  feature "start: an alias in modprobe.d, the administrator's" "$plain" test_special_vfio_pci alias_of_ones_own starts "$nic"
  feature 'start: driver_override was set before' "$override_start" "$variant" with_override e1000e starts "$nic"
  feature 'attach-device: driver_override was set before' "$override_plug" "$variant" with_override virtio-pci plugs "$virtio_nic"
  feature 'start: the host module is unloaded meanwhile' "$plain, then none (null)" "$variant" host_driver_is_unloaded "$nic"
  feature 'policy: vfio-pci, at start' "$plain" "$generic" rule_for "driver='vfio-pci'" starts "$nic"
  feature 'policy: vfio-pci, at attach-device' "$plain" "$generic" rule_for "driver='vfio-pci'" plugs "$virtio_nic"
  feature 'policy: only what can migrate live, at start' "$plain" refused rule_for "migratable='require'" starts "$nic"
  feature 'node-device hooks at attach-device' '0 of 4 moments' '4 of 4 moments' hook_point_runs plugs "$virtio_nic"
  feature 'iommufd' "$iommufd_word" "$iommufd_word" iommufd "$nic"
}

# The result in libvirt 10 and later when its variant driver rejects the device
if libvirt_chooses; then
  probe_fails=refused
else
  probe_fails=$generic
fi
override_start="$plain, then e1000e (null)" override_plug="$plain, then virtio-pci (null)"
no_table=$generic
! libvirt_needs_table || no_table=refused
iommufd_word='unknown to libvirt'
libvirt_is_older_than 12.0.0 || iommufd_word='not in this kernel'

both_ways all_features
