# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# Helpers for scenarios that depend on the project: its state store, its log, its hook, the test variant drivers.
# The runner reads this file before the scenarios.

variants='test_special_vfio_pci test_vfio_pci test_named_vfio_pci'

# --- the log ---

# Call this first in a scenario: log_says then checks only messages logged since
mark_log() {
  log_begin=$(($(wc -l </var/log/messages) + 1))
}

log_says() { # log_says EXTENDED-REGEXP
  tail -n "+$log_begin" /var/log/messages | grep -E "vfio-variant.*$1"
}

# --- the state store ---

state_value() { # state_value BDF KEY: prints the value in the state file, or nothing
  [ ! -e "/run/vfio-variant/$1" ] || sed -n "s/^$2=//p" "/run/vfio-variant/$1"
}

state_says() { # state_says BDF KEY VALUE, for wait_for
  [ "$(state_value "$1" "$2")" = "$3" ]
}

expect_no_state_file() { # expect_no_state_file BDF
  [ ! -e "/run/vfio-variant/$1" ] || fail "a state file was left: $(cat "/run/vfio-variant/$1")"
}

# --- the test variant drivers ---

unload_variants() {
  for variant in $variants; do
    [ ! -e "/sys/module/$variant" ] || modprobe -r "$variant"
  done
}

# load_variant NAME PARAMETER=VALUE...: reloads the module with these parameters (see tests/kmod/variant.h)
load_variant() {
  unload_variants
  modprobe "$@"
}

# waiting_variant [PARAMETER=VALUE...]: its probes wait until let_probe, or until the scenario ends
waiting_variant() {
  load_variant test_vfio_pci probe_waits=1 "$@"
  trap let_probe EXIT
}

let_probe() {
  [ ! -e /sys/module/test_vfio_pci ] || echo 0 >/sys/module/test_vfio_pci/parameters/probe_waits
}

# hide_module NAME: removes its .ko, as a broken update would; show_module restores it
hide_module() {
  unload_variants
  hidden=$(modinfo -F filename "$1")
  mv "$hidden" "$hidden.hidden"
}

show_module() {
  mv "$hidden.hidden" "$hidden"
}

# The kernel's own variant drivers instead of the test drivers, with boot --variants
use_real_variants() {
  modules=/lib/modules/$(uname -r)
  unload_variants
  rm -r "$modules/updates"
  mkdir "$modules/updates"
  cp /run/tests/variants/*.ko "$modules/updates/"
  depmod
}

is_built() { # is_built MODULE
  modinfo "$1" >/dev/null 2>&1
}

# --- the policy ---

policy_file=/etc/libvirt/vfio-variant.xml

# set_policy XML: sets the rules until the scenario ends
set_policy() {
  printf '<vfio-variant>\n%s\n</vfio-variant>\n' "$1" >"$policy_file"
  trap 'rm -f "$policy_file"' EXIT
}

# --- the daemon ---

gate_status() { # gate_status JQ-EXPRESSION
  vfio-variant status --json | jq -r "$1"
}

gate_is() { # gate_is JQ-CONDITION, for wait_for
  [ "$(gate_status "$1" 2>/dev/null)" = true ]
}

start_daemon() { # start_daemon on|off [OPTION...]: on or off is the expected state of the gate
  daemon_gate=$1
  shift
  vfio-variantd "$@" &
  gate_pid=$!
  wait_for 20 gate_is ".gate == \"$daemon_gate\""
}

stop_gate() {
  kill "$gate_pid"
  wait "$gate_pid"
}

kill_gate() {
  kill -9 "$gate_pid"
  wait "$gate_pid" || true
}

# gate_scenario NAME COMMAND...: a scenario with a running daemon. Fails if the daemon does not exit cleanly.
gate_scenario() {
  gate_name=$1
  shift
  scenario "$gate_name" with_gate "$@"
  killall_gates
}

with_gate() {
  start_daemon on
  "$@"
  expect 'held at the end' "$(gate_status '.blocking | length')" 0
  stop_gate
}

killall_gates() {
  ! pkill -KILL -x vfio-variantd || sleep 0.2
}

entry_is_gone() { # entry_is_gone BDF, for wait_for
  [ ! -e "/run/vfio-variant/$1" ]
}

state_is() { # state_is BDF STATE, for wait_for
  [ "$(state_of "$1")" = "$2" ]
}

# is_restored BDF STATE: waits, since libvirt reattaches a device a moment after the guest releases it
is_restored() {
  wait_for 20 state_is "$1" "$2"
  wait_for 20 entry_is_gone "$1"
}

# need_systemd: scripts that test the unit call this first
need_systemd() {
  [ -d /run/systemd/system ] || bail_out 'not booted with host.systemd'
}

# --- the node-device hook point ---

hook_point=/etc/libvirt/hooks/nodedev.d

# hook_script NAME: installs the script from standard input; all scripts write to one log
hook_script() {
  mkdir -p "$hook_point"
  cat >"$hook_point/$1"
  chmod 755 "$hook_point/$1"
}

remove_hook_scripts() {
  rm -rf "$hook_point"
}

# --- virtual functions of the SR-IOV network card ---

# make_igb_vf: sets $igb to the card, which is up, and $igb_vf to a virtual function of it on its host driver
make_igb_vf() {
  igb=$(bdf 8086:10c9) || skip 'no igb: the QEMU that runs this host is older than 8.0 (see make-emulator)'
  igb_vf=$(make_vfs "$igb" 1 1)
  wait_for 10 has_driver "$igb_vf" igbvf
  ip link set "$(ls "$sysfs/$igb/net")" up
}

# create_hostdev_network: creates the network "vfs" of virtual functions, until the scenario ends
create_hostdev_network() {
  cat >network.xml <<XML
<network><name>vfs</name><forward mode='hostdev' managed='yes'><pf dev='$(ls "$sysfs/$igb/net")'/></forward></network>
XML
  virsh -q net-create network.xml
  trap 'virsh -q net-destroy vfs' EXIT
}

# --- guests with devices ---

# state_of BDF: prints the state that must be restored afterwards
state_of() {
  echo "$(driver_of "$1") $(override_of "$1")"
}

# is_detached_and_restored VARIANT BDF...: runs one guest with the devices. Checks that QEMU has them open on
# VARIANT while it runs, and that they are restored afterwards.
is_detached_and_restored() {
  wanted=$1
  shift
  before='' xml=''
  for device in "$@"; do
    before="$before$(state_of "$device");"
    xml="$xml$(hostdev_xml "$device")"
  done
  start_domain guest "$xml"
  expect 'drivers that QEMU uses' "$(qemu_vfio_driver guest)" "$wanted"
  expect 'devices that QEMU uses' "$(qemu_vfio_devices guest | wc -l)" $#
  [ -z "$hostdev_driver" ] || expect 'by iommufd' "$(qemu_uses guest /dev/iommu)" yes
  for device in "$@"; do
    expect 'domain in the state store' "$(state_value "$device" domain)" guest
    expect 'in use in the state store' "$(state_value "$device" in-use)" true
  done
  virsh -q destroy guest
  after=''
  for device in "$@"; do
    after="$after$(state_of "$device");"
    expect_no_state_file "$device"
  done
  expect 'driver and driver_override afterwards' "$after" "$before"
}

# gate_serves_hot_plug VARIANT BDF STATE: attaches the device to a running guest, for which the gate blocks libvirt
# once, and detaches it. Checks that the device is in STATE afterwards. The guest keeps running.
gate_serves_hot_plug() {
  start_domain guest
  before=$(gate_status .opens.blocked)
  attach_hostdev guest "$2"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$1"
  expect 'held' "$(($(gate_status .opens.blocked) - before))" 1
  wait_for 20 state_says "$2" domain guest
  detach_hostdev guest "$2"
  is_restored "$2" "$3"
}
