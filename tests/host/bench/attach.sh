# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh and lines.sh come before
#
# ./run bench, what the daemon costs others: hot plug with it and without, opens, itself at rest. In any of the suites. Needs the
# program open-time (tests/bench) beside it. A file attach.conf beside it may set "pairs" and "idle_seconds".

nic=$(bdf 1af4:1041 1) # has FLR, so the gate may give it to its variant driver
override=$sysfs/$nic/driver_override
probe=/sys/bus/pci/drivers_probe
pairs=15
idle_seconds=60
# shellcheck disable=SC1091 # comes with the boot
[ ! -e attach.conf ] || . ./attach.conf

# --- hot plug: with the plugin and without, by turns ---

# timed DOMAIN-COMMAND...: in milliseconds, as virsh itself takes the time of one command: without its own start and
# without connecting to libvirtd, which the command before it has done
timed() {
  virsh -t "version; $*" | sed -n 's/^(Time: \(.*\) ms)$/\1/p' | tail -n 1
}

# add MILLISECONDS SINCE-UPTIME: what has passed since is added
add_since() {
  echo "$1 $(uptime_seconds) $2" | awk '{ print $1 + ($2 - $3) * 1000 }'
}

# Mostly libvirt has brought the device home by the time that detach-device returns.
timed_detach() {
  took=$(timed detach-device guest "$hostdev")
  detach_end=$(uptime_seconds)
  if [ ! -e "/sys/bus/pci/drivers/virtio-pci/$nic" ]; then
    wait_for 30 has_driver "$nic" virtio-pci >/dev/null
    took=$(add_since "$took" "$detach_end")
  fi
  echo "$took"
}

# Nothing else is under way when the clock starts: neither udev nor the monitor
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

# What the daemon says of the two moves of a round
# shellcheck disable=SC2016 # the dollar is jq's
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

# Which one goes first changes from pair to pair.
hot_plug() {
  variant=test_vfio_pci plain=vfio-pci
  ! libvirt_chooses || plain=$variant # this libvirt looks for the variant by itself
  start_domain guest
  hostdev_xml "$nic" >"$hostdev"
  plug 0 without "$plain" 3>/dev/null # the first ones of all warm up
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

# --- how long others wait ---

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

# --- the daemon at rest ---

# From the fork until an answer: asks without pause, since a sleep would be what is measured
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

# --- all ---

remark "attach: Linux $(uname -r), libvirt $(libvirtd --version | awk '{ print $NF }'), an emulated processor (TCG)"
hostdev=/run/tests/hostdev.xml
modprobe vfio-pci
modprobe test_vfio_pci # both are there before: what is compared is the binding, not the loading
need_libvirt
at_rest
start_up
opens
hot_plug
