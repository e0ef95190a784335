# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh and lines.sh are read first
#
# ./run bench: the cost of the daemon for other processes. Measures hot plug with and without the daemon, opens of
# the watched files, and the idle daemon. Runs in every suite. Needs the program open-time (tests/bench) in the same
# folder. An optional file attach.conf in that folder may set "pairs" and "idle_seconds".

nic=$(bdf 1af4:1041 1) # has FLR, so the gate may bind it to its variant driver
override=$sysfs/$nic/driver_override
probe=/sys/bus/pci/drivers_probe
pairs=15
idle_seconds=60
# shellcheck disable=SC1091 # copied by boot
[ ! -e attach.conf ] || . ./attach.conf

# --- hot plug: alternately with and without the plugin ---

# timed DOMAIN-COMMAND...: prints the milliseconds that virsh reports for one command. This excludes the start of
# virsh and its connection to libvirtd, which the preceding command made.
timed() {
  virsh -t "version; $*" | sed -n 's/^(Time: \(.*\) ms)$/\1/p' | tail -n 1
}

# add_since MILLISECONDS SINCE-UPTIME: adds the time since SINCE-UPTIME to MILLISECONDS
add_since() {
  echo "$1 $(uptime_seconds) $2" | awk '{ print $1 + ($2 - $3) * 1000 }'
}

# Usually libvirt has restored the host driver when detach-device returns.
timed_detach() {
  took=$(timed detach-device guest "$hostdev")
  detach_end=$(uptime_seconds)
  if [ ! -e "/sys/bus/pci/drivers/virtio-pci/$nic" ]; then
    wait_for 30 has_driver "$nic" virtio-pci >/dev/null
    took=$(add_since "$took" "$detach_end")
  fi
  echo "$took"
}

# Waits until udev and the monitor are idle, before the timer starts
settle() {
  udevadm settle
  sleep 1
}

plug() { # plug BLOCK with|without DRIVER
  settle
  sample "attach=$2" "$1" "$(timed attach-device guest "$hostdev")"
  is_expected 'driver of the guest' "$(qemu_vfio_driver guest)" "$3"
  [ "$2" = without ] || wait_for 20 state_says "$nic" domain guest >/dev/null
  settle
  sample "detach=$2" "$1" "$(timed_detach)"
  is_expected 'driver afterwards' "$(driver_of "$nic")" virtio-pci
}

# What the daemon reports about the two rebinds of a round
# shellcheck disable=SC2016 # a variable of jq
blocked_times() { # blocked_times BLOCK
  gate_status '.changes[] | "held.\(.operation) \(.blocked_us)", "own.\(.operation) \(.own_us)", (.operation as $operation |
    .phases | to_entries[] | select(.value) | "phase.\(.key | rtrimstr("_us")).\($operation) \(.value)")' |
    while read -r name usec; do
      sample "$name" "$1" "$usec"
    done
}

with_plugin() { # with_plugin BLOCK
  start_daemon on
  plug "$1" with "$variant"
  blocked_times "$1"
  stop_gate
}

# The order changes from pair to pair.
hot_plug() {
  variant=test_vfio_pci plain=vfio-pci
  ! libvirt_chooses || plain=$variant # this libvirt selects the variant driver itself
  start_domain guest
  hostdev_xml "$nic" >"$hostdev"
  plug 0 without "$plain" 3>/dev/null # the first pair warms up
  with_plugin 0 3>/dev/null
  for pair in $(seq "$pairs"); do
    for way in $(in_turn "$pair" with without); do
      case $way in
        with) with_plugin "$pair" ;;
        without) plug "$pair" without "$plain" ;;
      esac
    done
  done
  destroy_domains
}

# --- how long other processes wait ---

open_block() { # open_block NAME BLOCK FILE
  ./open-time 200 "$3" | sed "s/^/$1 $2 /" >&3
}

opens() {
  for block in $(seq 10); do
    for way in $(in_turn "$block" with without); do
      [ "$way" = without ] || start_daemon on
      open_block "open.drivers_probe=$way" "$block" "w:$probe"
      open_block "open.driver_override=$way" "$block" "r:$override"
      [ "$way" = without ] || stop_gate
    done
  done
}

# --- the idle daemon ---

# From the fork until an answer: polls without a pause, since a sleep would distort the measurement
start_up() {
  for block in 1 2 3 4 5; do
    start=$(uptime_seconds)
    vfio-variantd &
    gate_pid=$!
    until gate_is '.gate == "on"'; do :; done
    sample ready "$block" "$(add_since 0 "$start")"
    stop_gate
  done
}

switches() { # switches PID
  awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$1/status"
}

memory() { # memory NAME PID
  for field in Rss Pss; do
    sample "memory.$1.$(echo "$field" | tr RP rp)" 1 \
      "$(awk -v field="$field:" '$1 == field { print $2 }' "/proc/$2/smaps_rollup")"
  done
  sample "memory.$1.private" 1 "$(awk '/^Private/ { n += $2 } END { print n }' "/proc/$2/smaps_rollup")"
}

at_rest() {
  start_daemon on
  watchdog=$(pgrep -P "$gate_pid")
  settle
  memory daemon "$gate_pid"
  memory watchdog "$watchdog"
  before_daemon=$(switches "$gate_pid") before_watchdog=$(switches "$watchdog")
  sleep "$idle_seconds"
  sample idle.daemon.switches 1 $(($(switches "$gate_pid") - before_daemon))
  sample idle.watchdog.switches 1 $(($(switches "$watchdog") - before_watchdog))
  stop_gate
}

# --- main ---

remark "attach: Linux $(uname -r), libvirt $(libvirtd --version | awk '{ print $NF }'), an emulated processor (TCG)"
hostdev=/run/tests/hostdev.xml
modprobe vfio-pci
modprobe test_vfio_pci # loads both beforehand: the bench compares binding, not loading
need_libvirt
at_rest
start_up
opens
hot_plug
