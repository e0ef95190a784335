# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# The administrator's policy, and the requests in a domain's metadata: at domain start, at hot plug, at a restore.

virtio_nic=$(bdf 1af4:1041 1)
e1000e=$(bdf 8086:10d3 1)

virtio_rule() { # virtio_rule OPTIONS...: for both virtio-net devices
  echo "<device vendor='0x1af4' product='0x1041' $*/>"
}

# says WORDS...: checks that the last error message of virsh contains these words
says() {
  for word; do
    grep -qF -e "$word" complaint || fail "not said: $word; but: $(cat complaint)"
  done
}

# is_refused COMMAND...: checks that the command fails, and keeps its error message
is_refused() {
  ! "$@" 2>complaint || fail "succeeded, should have been refused: $*"
  cat complaint
}

is_on_host() { # is_on_host BDF STATE
  expect "$1 afterwards" "$(state_of "$1")" "$2"
  expect_no_state_file "$1"
}

# --- domain start ---

rule_says_generic() {
  set_policy "$(virtio_rule "driver='generic'")"
  expect 'match' "$(vfio-variant match --json "$virtio_nic" | jq -r '.candidates[0].driver, .rule.file, .rule.line' | xargs)" \
    "vfio-pci $policy_file 2"
  is_detached_and_restored vfio-pci "$virtio_nic"
  is_detached_and_restored test_vfio_pci "$e1000e"
}

rule_names_drivers() {
  set_policy "<device address='$e1000e' driver='test_named_vfio_pci test_vfio_pci'/>"
  load_variant test_named_vfio_pci probe_errno=5
  is_detached_and_restored test_vfio_pci "$e1000e"
  unload_variants
}

# The guest does not start, libvirt quotes the reason, and the device is unchanged.
no_fallback() {
  set_policy "$(virtio_rule "driver='auto' fallback='none'")"
  load_variant test_vfio_pci probe_errno=5
  before=$(state_of "$virtio_nic")
  is_refused start_domain guest "$(hostdev_xml "$virtio_nic")"
  says "policy $policy_file:2 allows no other driver" 'test_vfio_pci failed at bind' 'Input/output error'
  is_on_host "$virtio_nic" "$before"
  unload_variants
  is_detached_and_restored test_vfio_pci "$virtio_nic"
}

# The hook detects this before it moves a device
no_fallback_and_no_module() {
  set_policy "$(virtio_rule "driver='auto' fallback='none'")"
  hide_module test_vfio_pci
  before=$(state_of "$virtio_nic")
  mark_log
  is_refused start_domain guest "$(hostdev_xml "$virtio_nic")"
  says 'test_vfio_pci' "$policy_file:2"
  log_says 'prepare: ' >/dev/null || fail 'not refused at "prepare"'
  is_on_host "$virtio_nic" "$before"
  show_module
}

broken_policy() {
  set_policy "<device vendor='0x1af4' driver='generic' fallback='never'/>"
  mark_log
  is_detached_and_restored test_vfio_pci "$virtio_nic"
  log_says "policy: $policy_file:2: " >/dev/null || fail 'the log does not name file and line'
  is_refused vfio-variant policy
}

drop_in() {
  set_policy "<default driver='auto'/>"
  mkdir -p /etc/libvirt/vfio-variant.d
  trap 'rm -rf "$policy_file" /etc/libvirt/vfio-variant.d' EXIT
  echo "<vfio-variant>$(virtio_rule "driver='generic'")</vfio-variant>" >/etc/libvirt/vfio-variant.d/50-virtio.xml
  is_detached_and_restored vfio-pci "$virtio_nic"
}

unmanaged_by_us() {
  set_policy "<default unmanaged='manage'/>"
  before=$(state_of "$e1000e")
  start_domain guest "$(hostdev_xml "$e1000e" no)"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  virsh -q destroy guest
  is_on_host "$e1000e" "$before"
}

host_uses() {
  net=$(ls "$sysfs/$e1000e/net")
  ip address add 192.0.2.1/24 dev "$net"
  ip link set "$net" up
  set_policy "<default host-use='refuse'/>"
  before=$(state_of "$e1000e")
  is_refused start_domain guest "$(hostdev_xml "$e1000e")"
  says 'in use by the host' "$net"
  is_on_host "$e1000e" "$before"
  set_policy ''
  mark_log
  is_detached_and_restored test_vfio_pci "$e1000e"
  log_says "uses $e1000e, which is in use by the host" >/dev/null || fail 'no warning'
}

# --- requests ---

requesting_domain() { # requesting_domain REQUESTS [MORE]: starts a guest with the virtio device; MORE is XML for its hostdev
  domain_xml guest "$(hostdev_xml "$virtio_nic" yes "${2:-}")" |
    sed "s|</domain>|<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'>$1</v:hostdevs></metadata></domain>|" \
      >/run/tests/requesting.xml
  virsh -q create /run/tests/requesting.xml
}

request_is_granted() {
  requesting_domain "<v:hostdev address='$virtio_nic' driver='generic'/>"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  virsh -q destroy guest
}

# With a user-defined alias, and with libvirt's own alias
request_by_alias() {
  requesting_domain "<v:hostdev alias='ua-nic' driver='generic'/>" "<alias name='ua-nic'/>"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  virsh -q destroy guest
  requesting_domain "<v:hostdev alias='hostdev0' driver='generic'/>"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  virsh -q destroy guest
}

request_is_strict() {
  load_variant test_vfio_pci probe_errno=5
  before=$(state_of "$virtio_nic")
  is_refused requesting_domain "<v:hostdev address='$virtio_nic' driver='test_vfio_pci' fallback='none'/>"
  says 'test_vfio_pci failed at bind'
  is_on_host "$virtio_nic" "$before"
  unload_variants
}

# A load of the module would leave a file.
request_of_no_candidate() {
  echo 'install vv_other touch /run/tests/was-loaded' >/etc/modprobe.d/other.conf
  trap 'rm /etc/modprobe.d/other.conf' EXIT
  mark_log
  requesting_domain "<v:hostdev address='$virtio_nic' driver='vv_other'/>"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  log_says 'requests vv_other, which no alias offers for the device' >/dev/null || fail 'not logged'
  virsh -q destroy guest
  before=$(state_of "$virtio_nic")
  is_refused requesting_domain "<v:hostdev address='$virtio_nic' driver='vv_other' fallback='none'/>"
  says 'requests vv_other, which no alias offers for the device'
  is_on_host "$virtio_nic" "$before"
  [ ! -e /run/tests/was-loaded ] || fail 'the module was loaded'
}

request_goes_too_far() {
  set_policy "$(virtio_rule "driver='generic'")"
  mark_log
  requesting_domain "<v:hostdev address='$virtio_nic' driver='test_vfio_pci'/>"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  log_says "requests test_vfio_pci, which policy $policy_file:2 does not allow" >/dev/null || fail 'not logged'
  virsh -q destroy guest
}

# --- migration ---

migratable_required() {
  set_policy "$(virtio_rule "migratable='require'")"
  load_variant test_vfio_pci migration=1 dma_logging=1
  is_detached_and_restored test_vfio_pci "$virtio_nic"
  before=$(state_of "$virtio_nic")
  load_variant test_vfio_pci migration=0
  is_refused start_domain guest "$(hostdev_xml "$virtio_nic")"
  says 'does not support migration'
  is_on_host "$virtio_nic" "$before"
  rm -f /run/vfio-variant/migration-*
  load_variant test_vfio_pci migration=1 # nothing tracks the dirty pages
  is_refused start_domain guest "$(hostdev_xml "$virtio_nic")"
  says 'has no DMA logging'
  is_on_host "$virtio_nic" "$before"
  rm -f /run/vfio-variant/migration-*
  unload_variants
}

bind_is_undone() {
  set_policy "$(virtio_rule "migratable='require'")"
  load_variant test_vfio_pci migration=0
  before=$(state_of "$virtio_nic")
  is_refused vfio-variant bind "$virtio_nic"
  says 'does not support migration'
  is_on_host "$virtio_nic" "$before"
  rm -f /run/vfio-variant/migration-*
  unload_variants
}

# add_hostdev_to_image FILE BDF: adds the hostdev to the domain XML of a saved guest (struct _virQEMUSaveHeader of
# libvirt)
add_hostdev_to_image() {
  hostdev_xml "$2" >saved-hostdev.xml
  perl -e '
    local $/; open my $i, "<", $ARGV[0]; my $d = <$i>; open my $h, "<", "saved-hostdev.xml"; my $x = <$h>;
    my ($len, $cookie) = (unpack("V", substr($d, 20, 4)), unpack("V", substr($d, 32, 4)));
    my $data = substr($d, 92, $len); my $n = length $x;
    $data =~ s{(</devices>)}{$x$1} or die "no devices";
    substr($d, 92, $len) = $data; substr($d, 20, 4) = pack("V", $len + $n);
    substr($d, 32, 4) = pack("V", $cookie + $n) if $cookie;
    open my $o, ">", $ARGV[0]; print $o $d' "$1"
}

# The recorded answer of the driver is sufficient: nothing is moved.
restore_is_refused() {
  load_variant test_vfio_pci migration=0
  vfio-variant bind "$virtio_nic"
  expect 'probe' "$(vfio-variant probe --json "$virtio_nic" | jq .migratable)" false
  vfio-variant restore "$virtio_nic"
  start_domain guest
  virsh -q save guest guest.save
  set_policy "$(virtio_rule "migratable='require'")"
  add_hostdev_to_image guest.save "$virtio_nic"
  before=$(state_of "$virtio_nic")
  mark_log
  is_refused virsh -q restore guest.save
  says 'cannot migrate'
  log_says 'incoming migration or restore: ' >/dev/null || fail 'not refused at "restore"'
  is_on_host "$virtio_nic" "$before"
  rm -f /run/vfio-variant/migration-*
  unload_variants
}

# --- hot plug ---

reload_daemon() {
  mark_log
  kill -HUP "$gate_pid"
  wait_for 10 gate_log_says 'reloaded the policy'
}

gate_log_says() {
  log_says "$1" >/dev/null
}

hot_plug_by_rule() {
  set_policy "$(virtio_rule "driver='generic'")"
  reload_daemon
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" vfio-pci
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

# libvirt reports the refusal; the device is on its host driver with its previous driver_override
hot_plug_is_refused() {
  set_policy "$(virtio_rule "fallback='none'")"
  reload_daemon
  load_variant test_vfio_pci probe_errno=5
  echo virtio-pci >"$sysfs/$virtio_nic/driver_override"
  start_domain guest
  is_refused attach_hostdev guest "$virtio_nic"
  is_on_host "$virtio_nic" 'virtio-pci virtio-pci'
  expect 'refused' "$(gate_status '.outcomes.refused')" 1
  is_refused virsh nodedev-detach "$(nodedev_name "$virtio_nic")"
  is_on_host "$virtio_nic" 'virtio-pci virtio-pci'
  echo 0 >/sys/module/test_vfio_pci/parameters/probe_errno
  attach_hostdev guest "$virtio_nic"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci virtio-pci'
  echo >"$sysfs/$virtio_nic/driver_override"
  unload_variants
}

# The gate refuses: libvirt before 9.7 cannot use the driver that the rule requires
hot_plug_without_flr() {
  ! libvirt_chooses || skip 'this libvirt can do with any driver'
  set_policy "<device address='$e1000e' fallback='none'/>"
  reload_daemon
  before=$(state_of "$e1000e")
  start_domain guest
  is_refused attach_hostdev guest "$e1000e"
  is_on_host "$e1000e" "$before"
}

# At domain start the hook refuses, with a message that libvirt quotes. The hook supports more drivers than the
# gate.
start_with_gate() {
  set_policy "<default fallback='none'/>"
  reload_daemon
  is_detached_and_restored test_vfio_pci "$e1000e"
  is_detached_and_restored test_vfio_pci "$virtio_nic"
  load_variant test_vfio_pci probe_errno=5
  before=$(state_of "$virtio_nic")
  mark_log
  is_refused start_domain guest "$(hostdev_xml "$virtio_nic")"
  says "policy $policy_file:2 allows no other driver" 'failed recently at bind'
  log_says 'not trying test_vfio_pci again: it failed recently at bind' >/dev/null || fail 'the hook tried it again'
  is_on_host "$virtio_nic" "$before"
  unload_variants
}

hot_plug_migratable() {
  set_policy "$(virtio_rule "migratable='require'")"
  reload_daemon
  load_variant test_vfio_pci migration=0
  start_domain guest
  is_refused attach_hostdev guest "$virtio_nic"
  is_on_host "$virtio_nic" 'virtio-pci (null)'
  rm -f /run/vfio-variant/migration-*
  load_variant test_vfio_pci migration=1 dma_logging=1
  attach_hostdev guest "$virtio_nic"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  rm -f /run/vfio-variant/migration-*
  unload_variants
}

gate_by_policy() {
  set_policy "<gate enabled='no'/>"
  kill -HUP "$gate_pid"
  wait_for 10 gate_is '.gate == "off"'
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  plain=vfio-pci
  ! libvirt_chooses || plain=test_vfio_pci
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" "$plain"
  detach_hostdev guest "$virtio_nic"
  wait_for 20 state_is "$virtio_nic" 'virtio-pci (null)'
  set_policy "<gate enabled='yes' deadline='20'/>"
  kill -HUP "$gate_pid"
  wait_for 10 gate_is '.gate == "on" and .deadline_ms == 20000'
  attach_hostdev guest "$virtio_nic"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" test_vfio_pci
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
}

need_libvirt
scenario 'policy: a rule says generic' rule_says_generic
scenario 'policy: a rule names drivers' rule_names_drivers
scenario 'policy: no fallback, and the probe fails' no_fallback
scenario 'policy: no fallback, and the module is missing' no_fallback_and_no_module
scenario 'policy: a broken file counts for nothing' broken_policy
scenario 'policy: a file in vfio-variant.d' drop_in
scenario "policy: managed='no' is ours" unmanaged_by_us
scenario 'policy: the host uses the device' host_uses
scenario 'request: granted' request_is_granted
scenario 'request: by alias' request_by_alias
scenario 'request: strict' request_is_strict
scenario 'request: further than the policy allows' request_goes_too_far
scenario 'request: a module that no alias offers' request_of_no_candidate
scenario 'policy: migration is required' migratable_required
scenario 'policy: migration is required, by hand' bind_is_undone
scenario 'policy: migration is required, at a restore' restore_is_refused
gate_scenario 'policy, hot plug: a rule says generic' hot_plug_by_rule
gate_scenario 'policy, hot plug: refused' hot_plug_is_refused
gate_scenario 'policy, hot plug: refused without FLR' hot_plug_without_flr
gate_scenario 'policy, start with the gate: no fallback' start_with_gate
gate_scenario 'policy, hot plug: migration is required' hot_plug_migratable
gate_scenario 'policy, hot plug: it turns the gate off and on' gate_by_policy
