# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Helpers for scenarios, read inside the emulated host: TAP, PCI devices in sysfs, libvirt, domains. Results go to
# descriptor 3. The output of a scenario goes to its log, which is shown if the scenario fails. Nothing here depends
# on the project.

sysfs=/sys/bus/pci/devices
scenario_count=0

# --- TAP ---

tap() {
  printf '%s\n' "$*" >&3
}

diag() {
  tap "# $*"
}

# The logs, and their lengths when the scenario began: a failing scenario shows only what was logged since.
marks=/run/tests/marks

logs() {
  for log in /var/log/messages /var/log/libvirt/*.log /var/log/libvirt/qemu/*.log /run/tests/dmesg; do
    [ ! -f "$log" ] || echo "$log"
  done
}

mark_logs() {
  dmesg >/run/tests/dmesg
  logs | while read -r log; do
    echo "$(wc -l <"$log") $log"
  done >"$marks"
}

# diag_file FILE [FIRST-LINE]: shows at most 60 lines, without QEMU's command lines
diag_file() {
  diag "--- $1"
  tail -n "+${2:-1}" "$1" | grep -v ' \\$' | tail -n 60 | tr -d '\r' | sed 's/^/# /' >&3
}

diag_logs() {
  dmesg >/run/tests/dmesg
  logs | while read -r log; do
    seen=$(awk -v name="$log" '$2 == name { print $1 }' "$marks")
    [ "$(wc -l <"$log")" -le "${seen:-0}" ] || diag_file "$log" $((${seen:-0} + 1))
  done
}

uptime_seconds() {
  read -r uptime_now _ </proc/uptime
  echo "$uptime_now"
}

# scenario NAME COMMAND...: prints one line of TAP. Runs the command, usually a function, in a subshell with
# set -eu; the scenario fails if any command in it fails. Destroys domains that are still running afterwards.
scenario() {
  scenario_name=$1
  shift
  # shellcheck disable=SC2254 # a pattern is intended
  case $scenario_name in
    ${ONLY:-*}) ;;
    *) return 0 ;;
  esac
  scenario_count=$((scenario_count + 1))
  scenario_log=/run/tests/scenario-$scenario_count.log
  scenario_begin=$(uptime_seconds)
  mark_logs
  (
    set -eu
    set -- "$@"
    "$@"
  ) >"$scenario_log" 2>&1
  report $? >/dev/null
  destroy_domains >>"$scenario_log" 2>&1
}

report() {
  case $1 in
    0) tap "ok $scenario_count - $scenario_name" ;;
    77) tap "ok $scenario_count - $scenario_name # SKIP $(tail -n 1 "$scenario_log")" ;;
    *) tap "not ok $scenario_count - $scenario_name" ;;
  esac
  diag "$(echo "$(uptime_seconds) $scenario_begin" | awk '{ printf "%.1f", $1 - $2 }') s"
  case $1 in
    0 | 77) ;;
    *) show_state ;;
  esac
}

show_state() {
  diag_file "$scenario_log"
  devices >/run/tests/devices
  diag_file /run/tests/devices
  diag_logs
}

plan() {
  tap "1..$scenario_count"
}

bail_out() {
  show_state
  tap "Bail out! $*"
  exit 1
}

# --- inside a scenario ---

fail() {
  echo "FAILED: $*"
  exit 1
}

skip() {
  echo "$*"
  exit 77
}

expect() { # expect DESCRIPTION ACTUAL WANTED
  if [ "$2" = "$3" ]; then
    echo "as expected: $1: $2"
  else
    fail "$1: got '$2', wanted '$3'"
  fi
}

expect_failure() { # expect_failure COMMAND...
  if "$@"; then
    fail "succeeded, should have failed: $*"
  fi
}

# wait_for SECONDS COMMAND...: waits until the command succeeds. Tries ten times a second.
wait_for() {
  wait_end=$(($(uptime_seconds | cut -d. -f1) + $1))
  shift
  until "$@"; do
    [ "$(uptime_seconds | cut -d. -f1)" -le "$wait_end" ] || {
      echo "waited in vain for: $*"
      return 1
    }
    sleep 0.1
  done
}

# --- PCI devices ---

# bdf VENDOR:DEVICE [N]: prints the address of the Nth such device, from 1, in the order of addresses
bdf() {
  bdf_left=${2:-1}
  for bdf_path in "$sysfs"/*; do
    read -r bdf_vendor <"$bdf_path/vendor"
    read -r bdf_device <"$bdf_path/device"
    [ "${bdf_vendor#0x}:${bdf_device#0x}" = "$1" ] || continue
    bdf_left=$((bdf_left - 1))
    [ "$bdf_left" = 0 ] || continue
    echo "${bdf_path##*/}"
    return 0
  done
  return 1
}

driver_of() { # driver_of BDF: prints its driver, or "none"
  driver_link=$(readlink "$sysfs/$1/driver") || driver_link=none
  echo "${driver_link##*/}"
}

override_of() { # override_of BDF: prints the content of the file, "(null)" without an override
  cat "$sysfs/$1/driver_override"
}

group_of() { # group_of BDF: prints the number of its IOMMU group
  basename "$(readlink "$sysfs/$1/iommu_group")"
}

has_driver() { # has_driver BDF DRIVER, for wait_for
  [ "$(driver_of "$1")" = "$2" ]
}

nodedev_name() { # nodedev_name BDF: prints libvirt's name of the device
  echo "pci_$1" | tr ':.' '__'
}

# make_vfs BDF N [AUTOPROBE]: makes N virtual functions of a physical function; prints their addresses. They get no
# host driver unless AUTOPROBE is 1. nvme cannot start its VFs: they would have this driver for half a second,
# and then no driver.
make_vfs() {
  echo 0 >"$sysfs/$1/sriov_numvfs"
  echo "${3:-0}" >"$sysfs/$1/sriov_drivers_autoprobe"
  echo "$2" >"$sysfs/$1/sriov_numvfs"
  udevadm settle
  for vf_link in "$sysfs/$1"/virtfn*; do
    basename "$(readlink "$vf_link")"
  done
}

# devices: prints every function except bridges: address, ids, driver, override, group
devices() {
  for device_path in "$sysfs"/*; do
    case $(cat "$device_path/class") in
      0x06*) continue ;;
    esac
    device=${device_path##*/}
    echo "$device $(cat "$device_path/vendor"):$(cat "$device_path/device")" \
      "driver=$(driver_of "$device") override=$(override_of "$device") group=$(group_of "$device")"
  done
}

# --- libvirt ---

# The libvirt daemons; the daemon that runs guests is last. Uses the modular daemons if the host has them (see
# flavours/modular).
libvirt_daemons=libvirtd
if command -v virtqemud >/dev/null; then
  libvirt_daemons='virtnodedevd virtnetworkd virtqemud'
  export LIBVIRT_DEFAULT_URI='qemu:///system?mode=direct' # Debian's own library looks for libvirtd
fi
libvirt_program=${libvirt_daemons##* }

libvirt_answers() {
  virsh -q version >/dev/null 2>&1
}

libvirt_version() {
  "$libvirt_program" --version | awk '{ print $NF }'
}

daemon_pid() { # daemon_pid NAME: prints the PID in its PID file
  cat "/run/$1.pid" 2>/dev/null || echo gone
}

libvirt_pid() {
  daemon_pid "$libvirt_program"
}

# libvirt looks for VFIO when it first starts a domain, hence the module.
start_libvirt() {
  modprobe vfio-pci
  [ -S /run/libvirt/virtlogd-sock ] || virtlogd -d
  for libvirt_daemon in $libvirt_daemons; do
    [ -e "/proc/$(daemon_pid "$libvirt_daemon")" ] || "$libvirt_daemon" -d
  done
  wait_for 60 libvirt_answers
}

# Every script calls this first: without libvirt no scenario can run
need_libvirt() {
  ! libvirt_answers || return 0
  scenario_log=/run/tests/libvirt.log
  mark_logs
  start_libvirt >"$scenario_log" 2>&1 || bail_out 'libvirt does not start'
  diag "libvirt $(libvirt_version) answers (up for $(uptime_seconds) s)"
  diag "versions: libvirt $(libvirt_version) | Linux $(uname -r) | QEMU $(qemu-system-x86_64 --version | awk 'NR == 1 { print $4 }')"
}

stop_libvirt() {
  for libvirt_daemon in $libvirt_daemons; do
    kill "$(daemon_pid "$libvirt_daemon")"
    wait_for 30 daemon_is_gone "$libvirt_daemon"
  done
}

daemon_is_gone() { # daemon_is_gone NAME, for wait_for
  ! [ -e "/proc/$(daemon_pid "$1")" ]
}

libvirt_is_gone() {
  daemon_is_gone "$libvirt_program"
}

# libvirt_chooses: succeeds if this libvirt selects variant drivers itself
libvirt_chooses() {
  [ "$(libvirt_version | cut -d. -f1)" -ge 10 ]
}

# libvirt_needs_table: succeeds if libvirt refuses managed devices without modules.alias: 11.3 does, 12.8 does not
libvirt_needs_table() {
  libvirt_chooses && libvirt_is_older_than 12.0.0
}

libvirt_is_older_than() { # libvirt_is_older_than VERSION
  [ "$(libvirt_version)" != "$1" ] && [ "$(printf '%s\n' "$(libvirt_version)" "$1" | sort -V | head -n 1)" != "$1" ]
}

# without_hooks COMMAND...: runs COMMAND with a libvirt that finds no qemu hook
without_hooks() {
  ! libvirt_answers || stop_libvirt
  [ ! -e /etc/libvirt/hooks/qemu.d ] || mv /etc/libvirt/hooks/qemu.d /etc/libvirt/hooks/aside
  need_libvirt
  "$@"
  stop_libvirt
  [ ! -e /etc/libvirt/hooks/aside ] || mv /etc/libvirt/hooks/aside /etc/libvirt/hooks/qemu.d
}

restart_libvirt() {
  stop_libvirt
  start_libvirt
}

# --- domains ---

address_xml() { # address_xml BDF
  echo "$1" | sed 's/\(.*\):\(..\):\(..\)\.\(.\)/<address domain="0x\1" bus="0x\2" slot="0x\3" function="0x\4"\/>/'
}

# If the host assigns devices through iommufd (see flavours/iommufd): the driver element for QEMU
hostdev_driver=''
[ ! -e /usr/lib/host-iommufd ] || hostdev_driver="iommufd='yes'"

# hostdev_xml BDF [MANAGED [MORE]]: MORE is additional XML; a <driver model='...'/> must be its first element
hostdev_xml() {
  hostdev_more=${3:-}
  case $hostdev_driver,$hostdev_more in
    ,*) ;;
    *'<driver '*) hostdev_more="<driver $hostdev_driver ${hostdev_more#<driver }" ;;
    *) hostdev_more="<driver $hostdev_driver/>$hostdev_more" ;;
  esac
  cat <<XML
<hostdev mode='subsystem' type='pci' managed='${2:-yes}'>
  $hostdev_more
  <source>$(address_xml "$1")</source>
</hostdev>
XML
}

# domain_xml NAME [DEVICES]: prints a guest whose operating system is inner-boot.S: it boots at once and ejects
# hot-unplugged devices. Has some free slots for hot plug.
domain_xml() {
  cat <<XML
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/inner.img'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>
    <controller type='usb' model='none'/>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-root-port'/>
    <controller type='pci' index='2' model='pcie-root-port'/>
    <controller type='pci' index='3' model='pcie-root-port'/>
    <controller type='pci' index='4' model='pcie-root-port'/>
    <memballoon model='none'/>
    ${2:-}
  </devices>
</domain>
XML
}

start_domain() { # start_domain NAME [DEVICES]
  domain_xml "$@" >"/run/tests/$1.xml"
  virsh -q create "/run/tests/$1.xml"
}

attach_hostdev() { # attach_hostdev DOMAIN BDF [MANAGED [MORE]]
  hostdev_xml "$2" "${3:-yes}" "${4:-}" >"/run/tests/hostdev-$2.xml"
  virsh -q attach-device "$1" "/run/tests/hostdev-$2.xml"
}

# detach_hostdev DOMAIN BDF: reverses attach_hostdev; returns when the guest has released the device
detach_hostdev() {
  virsh -q detach-device "$1" "/run/tests/hostdev-$2.xml"
  wait_for 30 has_no_hostdev "$1" "$2"
}

has_no_hostdev() { # has_no_hostdev DOMAIN BDF
  ! qemu_vfio_devices "$1" | grep -q "^$2 "
}

destroy_domains() {
  for domain_pidfile in /run/libvirt/qemu/*.pid; do
    [ ! -e "$domain_pidfile" ] || virsh -q destroy "$(basename "$domain_pidfile" .pid)"
  done
}

# qemu_vfio_devices DOMAIN: prints "BDF DRIVER" of each device that QEMU has open. Reads the VFIO groups (or, with
# iommufd, devices) that the process has open, not what libvirt reports.
qemu_vfio_devices() {
  qemu_pid=$(cat "/run/libvirt/qemu/$1.pid") || return
  find "/proc/$qemu_pid/fd" -type l -printf '%l\n' | sort -u | while read -r qemu_file; do
    case $qemu_file in
      /dev/vfio/devices/*) readlink -f "/sys/class/vfio-dev/${qemu_file##*/}/device" ;;
      /dev/vfio/[0-9]*) find "/sys/kernel/iommu_groups/${qemu_file##*/}/devices" -type l ;;
    esac
  done | while read -r qemu_device; do
    echo "${qemu_device##*/} $(driver_of "${qemu_device##*/}")"
  done
}

qemu_uses() { # qemu_uses DOMAIN FILE: prints "yes" if its QEMU has FILE open
  ! find "/proc/$(cat "/run/libvirt/qemu/$1.pid")/fd" -lname "$2" | grep -q . || echo yes
}

# qemu_vfio_driver DOMAIN: prints the drivers of these devices, without duplicates
qemu_vfio_driver() {
  qemu_vfio_devices "$1" | cut -d' ' -f2 | sort -u | tr '\n' ' ' | sed 's/ $//'
}
