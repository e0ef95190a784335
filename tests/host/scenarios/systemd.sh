# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --append host.systemd
#
# The daemon as a unit of a real systemd (boot --append host.systemd): the unit's sandboxing is in effect, and the
# daemon works in it.
#
# All but the first scenarios run twice: with the unit as shipped, where system calls outside the filter fail, and
# in a strict variant, where such calls kill the process. The strict variant detects denied calls that otherwise
# would go unnoticed.

virtio_nic=$(bdf 1af4:1041 1)
unit=vfio-variantd.service
drop_ins=/run/systemd/system/$unit.d
exposure_limit=30 # tenths, see the end of the unit

# --- reports of systemd and journald ---

unit_says() { # unit_says PROPERTY
  systemctl show --value -p "$1" "$unit"
}

unit_is() { # unit_is PROPERTY VALUE, for wait_for
  [ "$(unit_says "$1")" = "$2" ]
}

# Call this first in a scenario: records then prints only newer records. (By time: with --after-cursor and a filter,
# journalctl skips the first record that matches.)
mark_records() {
  records_since=$(date +@%s.%6N)
}

records() { # records [OPTION...]
  journalctl -q --sync
  journalctl -q --no-pager --since "$records_since" "$@"
}

record_says() { # record_says EXTENDED-REGEXP, for wait_for
  records -o cat GLIB_DOMAIN=vfio-variant | grep -E "$1"
}

# Messages that a system call filter, a missing capability, or a read-only file system would cause
expect_nothing_denied() {
  records -o cat -k >kernel
  ! grep -E 'type=1326|SIGSYS|vfio-variantd.*(segfault|trap)' kernel || fail 'the kernel denied a system call'
  records -o cat -u "$unit" >said
  ! grep -iE 'not permitted|permission denied|read-only file system|bad system call' said || fail 'something was denied'
}

# --- the unit ---

# A call outside the filter kills the process, except for the call that libvirt's library can do without (see the
# unit).
be_strict() {
  mkdir -p "$drop_ins"
  printf '[Service]\nSystemCallErrorNumber=kill\nSystemCallFilter=set_mempolicy\n' >"$drop_ins/strict.conf"
  systemctl daemon-reload
}

be_as_shipped() {
  rm -rf "$drop_ins"
  systemctl daemon-reload
}

# with_unit COMMAND...: runs COMMAND while the unit runs. Fails if the unit is disturbed or does not stop cleanly.
with_unit() {
  systemctl reset-failed "$unit" 2>/dev/null || true # fails if the unit is not loaded
  mark_records
  systemctl start "$unit"
  restarts=$(unit_says NRestarts)
  "$@"
  expect 'state' "$(unit_says ActiveState)" active
  expect 'restarts' "$(unit_says NRestarts)" "$restarts"
  expect 'held at the end' "$(gate_status '.blocking | length')" 0
  systemctl stop "$unit"
  expect 'result' "$(unit_says Result)" success
  expect_nothing_denied
}

unit_scenario() { # unit_scenario NAME COMMAND...
  unit_name=$1
  shift
  scenario "$variant: $unit_name" with_unit "$@"
  systemctl stop "$unit"
}

# plugs DRIVER BDF: attaches the device to a running guest and detaches it
plugs() {
  before=$(state_of "$2")
  attach_hostdev guest "$2"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$1"
  expect 'host driver in the state store' "$(state_value "$2" host-driver)" "$(echo "$before" | sed 's/ .*//; s/^none$//')"
  detach_hostdev guest "$2"
  is_restored "$2" "$before"
}

# --- start and sandbox ---

starts_by_notify() {
  mark_records
  systemctl start "$unit"
  expect 'state' "$(unit_says ActiveState) $(unit_says SubState) $(unit_says Type)" 'active running notify'
  expect 'what it told systemd' "$(unit_says StatusText)" 'The gate is on.'
  expect 'the gate' "$(gate_status .gate)" on
  expect 'its process' "$(gate_status .pid)" "$(unit_says MainPID)"
  expect 'exit status of who is not root' "$(as_nobody vfio-variant status >said 2>&1 || echo $?)" 5
  systemctl stop "$unit"
  expect 'result' "$(unit_says Result)" success
  expect_nothing_denied
}

as_nobody() {
  setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

is_exposed_little() {
  systemd-analyze security --no-pager "$unit" | grep -v '^. *✓' || true
  systemd-analyze security --no-pager --threshold "$exposure_limit" "$unit" >/dev/null
}

# Reads the state of its processes from the kernel, not from the unit
is_shut_in() {
  # shellcheck disable=SC2013 # a number in each line
  for pid in $(cat "/sys/fs/cgroup$(unit_says ControlGroup)/cgroup.procs"); do
    grep -xP 'Seccomp:\t2' "/proc/$pid/status" || fail "process $pid has no filter"
    grep -xP 'NoNewPrivs:\t1' "/proc/$pid/status" || fail "process $pid may gain privileges"
    # NET_ADMIN 12, SYS_MODULE 16, SYS_PTRACE 19, SYS_ADMIN 21, DAC_READ_SEARCH 2
    expect "bounding set of $pid" "$(sed -n 's/^CapBnd:\t//p' "/proc/$pid/status")" 0000000000291004
  done
}

# Hook scripts inherit the sandbox, so a script shows its limits. This one runs like a driver's script.
hook_is_shut_in() {
  hook_script 10-nosy <<'SCRIPT'
#!/bin/sh
[ "$2 $3" = 'detach begin' ] || exit 0
denied() {
  if "$@" 2>/dev/null; then
    echo "not denied: $*"
    exit 1
  fi
}
denied touch /etc/nosy
denied touch /usr/nosy
denied touch /root/nosy
denied sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
denied sh -c 'echo 0 >/sys/module/kernel/parameters/crash_kexec_post_notifiers'
denied sh -c 'echo mem >/sys/power/state'
denied dd if=/dev/vda of=/dev/null count=1
denied mount -t tmpfs tmpfs /tmp
denied unshare --net true
denied renice -n 5 $$
denied chroot / true
touch /tmp/nosy
SCRIPT
  trap remove_hook_scripts EXIT
  start_domain guest
  plugs test_vfio_pci "$virtio_nic"
  [ ! -e /tmp/nosy ] || fail 'it writes to the /tmp of others'
}

# The strict variant detects a denied call
filter_kills() {
  mark_records
  systemctl start "$unit"
  hook_script 10-forbidden <<'SCRIPT'
#!/bin/sh
[ "$2 $3 $4" != 'detach begin test_vfio_pci' ] || exec nice -n 5 true
SCRIPT
  trap remove_hook_scripts EXIT
  start_domain guest
  plugs vfio-pci "$virtio_nic"
  record_says 'test_vfio_pci failed at hook .*killed by signal 31'
  systemctl stop "$unit"
}

# --- functions of the daemon ---

hot_plugs() {
  start_domain guest
  plugs test_vfio_pci "$virtio_nic"
}

# The daemon loads the variant driver inside the sandbox.
loads_modules() {
  unload_variants
  hot_plugs
}

# A device that appears after the start of the daemon, by netlink
new_device_is_served() {
  vf=$(make_vfs "$(bdf 1b36:0010)" 1)
  start_domain guest
  plugs test_vfio_pci "$vf"
  echo 0 >"$sysfs/$(bdf 1b36:0010)/sriov_numvfs"
}

domain_is_told() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  wait_for 20 state_says "$virtio_nic" domain guest
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  wait_for 20 gate_is '.monitor == "idle"'
}

# All users can read the state store, in spite of the unit's UMask=.
everybody_reads() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'mode of the directory' "$(stat -c '%a %U' /run/vfio-variant)" '755 root'
  expect 'mode of the entry' "$(stat -c '%a %U' "/run/vfio-variant/$virtio_nic")" '644 root'
  expect 'mode of the socket' "$(stat -c '%a %U' /run/vfio-variant/vfio-variantd.sock)" '600 root'
  expect 'what nobody is told' "$(as_nobody vfio-variant list --json "$virtio_nic" | jq -r '.[0].state')" detached
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

# The usual tools of hooks work: the shell, its pipes, logger, ip, devlink
hooks_work() {
  hook_script 10-work <<'SCRIPT'
#!/bin/sh
set -eu
xmllint --noout --relaxng /usr/share/libvirt/schemas/nodedev.rng -
links=$(ip -o link show | wc -l)
devlink dev show
ip link set lo up
logger -t hook-work "$* links=$links $(date -u +%Y | sed 's/^20..$/now/')"
SCRIPT
  cp /usr/share/vfio-variant/hooks/* "$hook_point"
  trap remove_hook_scripts EXIT
  start_domain guest
  plugs test_vfio_pci "$virtio_nic"
  name=$(nodedev_name "$virtio_nic")
  expect 'what the script logged' "$(records -o cat -t hook-work | sed 's/links=[1-9][0-9]* now//')" \
    "$name detach begin test_vfio_pci 
$name detach end test_vfio_pci 
$name reattach begin virtio-pci 
$name reattach end virtio-pci "
  expect 'what audit-log logged' "$(records -o cat -t vfio-variant-audit | grep -c "device=$name")" 4
}

policy_counts() {
  expect 'driver' "$(vfio-variant match --json "$virtio_nic" | jq -r '.candidates[0].driver')" vfio-pci
  start_domain guest
  plugs vfio-pci "$virtio_nic"
}

reloads() {
  hot_plugs
  virsh -q destroy guest
  set_policy "<device vendor='0x1af4' product='0x1041' driver='generic'/>"
  main=$(unit_says MainPID)
  systemctl reload "$unit"
  wait_for 20 record_says 'reloaded the policy'
  wait_for 20 unit_is ActiveState active
  expect 'its process' "$(unit_says MainPID)" "$main"
  start_domain guest
  plugs vfio-pci "$virtio_nic"
}

# The daemon can open VFIO devices inside the sandbox: it probes the driver.
asks_about_migration() {
  set_policy "<device vendor='0x1af4' product='0x1041' migratable='require'/>"
  systemctl reload "$unit"
  wait_for 20 record_says 'reloaded the policy'
  load_variant test_vfio_pci migration=0
  start_domain guest
  expect_failure attach_hostdev guest "$virtio_nic"
  expect 'state' "$(state_of "$virtio_nic")" 'virtio-pci (null)'
  record_says 'does not support migration'
  rm -f /run/vfio-variant/migration-*
  load_variant test_vfio_pci migration=1 dma_logging=1
  plugs test_vfio_pci "$virtio_nic"
  unload_variants
  rm -f /run/vfio-variant/migration-*
}

# The records have the unit, although the process that wrote them has ended
structured_records() {
  hot_plugs
  records -o json -u "$unit" VFIO_VARIANT_DEVICE="$virtio_nic" >changes
  expect 'fields of the changes' "$(jq -r '[.VFIO_VARIANT_OPERATION, .VFIO_VARIANT_FROM, .VFIO_VARIANT_TO,
    .VFIO_VARIANT_OUTCOME, .PRIORITY, .GLIB_DOMAIN] | join(" ")' changes)" \
    'detach virtio-pci test_vfio_pci done 5 vfio-variant
reattach test_vfio_pci virtio-pci done 5 vfio-variant'
  expect 'fields with more' "$(jq -r 'select(.VFIO_VARIANT_OPERATION == "detach") |
    (.VFIO_VARIANT_USEC | tonumber > 0), .VFIO_VARIANT_WILDCARDS, (.VFIO_VARIANT_ALIAS | startswith("vfio_pci:v00001AF4"))' \
    changes | xargs)" 'true 5 true'
}

# --- stop and restart ---

# The guest keeps running, the state store remains, and the next daemon restores the device.
stops_while_a_guest_runs() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  systemctl stop "$unit"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  expect 'host driver in the state store' "$(state_value "$virtio_nic" host-driver)" virtio-pci
  [ -d /run/vfio-variant ] || fail 'the state store is gone'
  systemctl start "$unit"
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

# metrics_say SAMPLE NUMBER, for wait_for
metrics_say() {
  grep -qxF "vfio_variant_$1 $2" "$node_exporter/vfio-variant.prom"
}

writes_metrics() {
  node_exporter=/var/lib/prometheus/node-exporter
  systemd-analyze verify --man=no vfio-variant-metrics.timer
  systemd-analyze security --no-pager --threshold 10 vfio-variant-metrics.service >/dev/null
  ! systemctl start vfio-variant-metrics.service 2>/dev/null || fail 'there is no directory, and it is content'
  mkdir -p "$node_exporter"
  systemctl start vfio-variant-metrics.service
  metrics_say daemon_up 1
  metrics_say gate_on 1
  expect 'mode' "$(stat -c %a "$node_exporter/vfio-variant.prom")" 644
  systemctl stop "$unit"
  systemctl start vfio-variant-metrics.timer
  wait_for 30 metrics_say daemon_up 0
  systemctl stop vfio-variant-metrics.timer
  rm -r "$node_exporter"
  systemctl start "$unit"
}

# Without with_unit: the unit must restart here.
comes_back_after_kill() {
  systemctl reset-failed "$unit" 2>/dev/null || true # fails if the unit is not loaded
  systemctl start "$unit"
  main=$(unit_says MainPID)
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  kill -9 "$main"
  wait_for 30 unit_is NRestarts 1
  wait_for 30 unit_is ActiveState active
  [ "$(unit_says MainPID)" != "$main" ] || fail 'it is still the old process'
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  plugs test_vfio_pci "$virtio_nic"
  systemctl stop "$unit"
}

# A restart cannot fix wrong options.
stays_away_after_wrong_options() {
  mkdir -p /etc/default
  echo 'OPTIONS="--deadline never"' >/etc/default/vfio-variantd
  trap 'rm -f /etc/default/vfio-variantd; systemctl reset-failed "$unit"' EXIT
  expect_failure systemctl start "$unit"
  sleep 3
  expect 'state' "$(unit_says ActiveState) $(unit_says ExecMainStatus) $(unit_says NRestarts)" 'failed 2 0'
}

# --- at boot ---

nvme=$(bdf 1b36:0010)
no_functions() {
  echo 0 >"$sysfs/$nvme/sriov_numvfs"
  rm -f "$policy_file"
}

want_functions_at_boot() {
  set_policy "<device physical-function='$nvme' at-boot='yes'/>"
  trap 'no_functions; remove_hook_scripts' EXIT
}

on_the_variant() { # on_the_variant BDF...
  for vf in "$@"; do
    expect "state of $vf" "$(state_of "$vf")" 'test_vfio_pci test_vfio_pci'
  done
}

# udev runs the command in the sandbox of systemd-udevd: it can load modules there, and the scripts work.
udevd_is_no_obstacle() {
  want_functions_at_boot
  unload_variants
  hook_script 10-work <<'SCRIPT'
#!/bin/sh
devlink dev show && logger -t hook-boot "$3 $(grep Seccomp: /proc/self/status | xargs)"
SCRIPT
  mark_records
  # shellcheck disable=SC2046 # word splitting is intended
  on_the_variant $(make_vfs "$nvme" 2 1)
  expect 'what the scripts logged' "$(records -o cat -t hook-boot | sort | uniq -c | xargs)" \
    '2 begin Seccomp: 2 2 end Seccomp: 2'
  records -o cat -k >kernel
  ! grep -E 'type=1326|SIGSYS' kernel || fail 'the kernel denied a system call'
  records -o cat -u systemd-udevd.service >said
  ! grep -iE 'vfio-variant.*(failed|timed out|killed)' said || fail 'udev was not content'
}

# The boot unit binds existing devices. Stopping the unit does not restore them.
boot_unit_binds() {
  unit=vfio-variant-boot.service
  systemd-analyze verify --man=no "$unit"
  for libvirt in libvirtd.service virtqemud.service; do
    unit_says Before | grep -w "$libvirt"
  done
  systemctl start "$unit"
  expect 'without a policy' "$(unit_says ActiveState) $(unit_says ConditionResult)" 'inactive no'
  vfs=$(make_vfs "$nvme" 2)
  want_functions_at_boot
  systemctl start "$unit"
  expect 'with one' "$(unit_says ActiveState) $(unit_says Result)" 'active success'
  # shellcheck disable=SC2086 # word splitting is intended
  on_the_variant $vfs
  systemctl stop "$unit"
  # shellcheck disable=SC2086
  on_the_variant $vfs
}

# --- both variants ---

whole_life() { # whole_life VARIANT
  variant=$1
  unit_scenario 'its processes are shut in' is_shut_in
  unit_scenario 'attach-device and detach-device' hot_plugs
  unit_scenario 'a module is loaded' loads_modules
  unit_scenario 'a device that came later' new_device_is_served
  unit_scenario 'the monitor tells the domain' domain_is_told
  unit_scenario 'everybody may read the state store' everybody_reads
  unit_scenario 'hook point: shell, logger, ip, devlink, the scripts that are shipped' hooks_work
  unit_scenario 'reload: the policy' reloads
  unit_scenario 'a driver is asked about migration' asks_about_migration
  unit_scenario 'journald has the fields of a change' structured_records
  unit_scenario 'metrics for the node exporter' writes_metrics
  unit_scenario 'stop and start while a guest has the device' stops_while_a_guest_runs
}

need_systemd
journalctl -q -f -n 0 >/var/log/messages & # shown if a scenario fails
wait_for 120 libvirt_answers || bail_out 'libvirt does not start'
diag "systemd $(systemctl --version | awk 'NR == 1 { print $2 }'), libvirt $(libvirt_version)"
scenario 'systemd: start: active by Type=notify, and stop' starts_by_notify
scenario 'systemd: its exposure' is_exposed_little
whole_life systemd
unit_scenario 'hook point: what a script is kept from' hook_is_shut_in
scenario 'systemd: restart after kill -9, with a guest' comes_back_after_kill
scenario 'systemd: wrong options: no restart' stays_away_after_wrong_options
scenario 'systemd: at boot: functions that appear, by udev' udevd_is_no_obstacle
scenario 'systemd: at boot: the unit' boot_unit_binds
be_strict
scenario 'strict: a call that is not in the filter kills' filter_kills
whole_life strict
scenario 'strict: restart after kill -9, with a guest' comes_back_after_kill
be_as_shipped
