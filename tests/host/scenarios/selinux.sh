# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --append host.systemd --append security=selinux --append log_buf_len=4M
#
# SELinux in enforcing mode, with the project's policy module: the hook and the daemon run in their domains, at
# domain start, at hot plug and at nodedev-detach, without denials.

virtio_nic=$(bdf 1af4:1041 1)
nic=$(bdf 8086:10d3 1)

# Denials that involve the project's domains, types or programs
denials() {
  dmesg | grep 'avc:.*denied' | grep -E 'vfio_variant|vfio-variant'
}

domain_of() { # domain_of PID: prints its type
  cut -d: -f3 "/proc/$1/attr/current" | tr -d '\0'
}

is_enforced() {
  echo 0 >/proc/sys/kernel/printk_ratelimit # without auditd, denials go to the kernel log
  wait_for 120 libvirt_answers
  expect 'mode' "$(getenforce)" Enforcing
  expect 'domain of libvirtd' "$(domain_of "$(libvirt_pid)")" virtd_t
}

# As described in docs/install.rst. The other domains are not tested: Debian's policy denies modprobe to libvirt,
# its socket to virtlogd, and the files of the scenarios to virsh.
module_is_loaded() {
  printf '(typepermissive %s)\n' virsh_t virtd_t virtlogd_t >scenarios.cil
  semodule -i /usr/share/selinux/packages/vfio_variant.pp scenarios.cil
  restorecon -iR /usr/sbin/vfio-variant* /usr/libexec/vfio-variant* /run/vfio-variant
  ls -Z /usr/sbin/vfio-variantd /usr/sbin/vfio-variant-hook /usr/libexec/vfio-variant*
  setsebool virt_use_execmem=on virt_use_sysfs=on virt_use_vfio=on # for QEMU without KVM, with devices
  systemctl restart virtlogd.service libvirtd.service
  wait_for 120 libvirt_answers
  systemctl start vfio-variantd.service
  expect 'domain of the daemon' "$(domain_of "$(systemctl show --value -p MainPID vfio-variantd.service)")" vfio_variantd_t
  expect 'gate' "$(gate_status .gate)" on
}

starts() {
  is_detached_and_restored test_vfio_pci "$nic"
  is_detached_and_restored test_vfio_pci "$virtio_nic"
}

nodedev() {
  virsh -q nodedev-detach "$(nodedev_name "$virtio_nic")"
  expect 'driver after nodedev-detach' "$(driver_of "$virtio_nic")" test_vfio_pci
  virsh -q nodedev-reattach "$(nodedev_name "$virtio_nic")"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

nothing_is_denied() {
  ! denials || fail 'something was denied'
  expect 'denials that status finds' "$(gate_status '[.findings[] | select(.id == "denied")] | length')" 0
}

denial_is_noticed() {
  set_policy ''
  chcon -t shadow_t "$policy_file"
  systemctl restart vfio-variantd.service
  wait_for 20 denials
  expect 'denials that status finds' "$(gate_status '[.findings[] | select(.id == "denied")] | length')" 1
}

scenario 'selinux: libvirt runs, enforced' is_enforced
scenario 'selinux: our module is loaded, and the daemon in its domain' module_is_loaded
scenario 'selinux: start, with hook and daemon' starts
scenario 'selinux: hot plug' gate_serves_hot_plug test_vfio_pci "$virtio_nic" 'virtio-pci (null)'
scenario 'selinux: nodedev-detach and nodedev-reattach' nodedev
scenario 'selinux: nothing of ours was denied' nothing_is_denied
scenario 'selinux: a denial is noticed' denial_is_noticed
