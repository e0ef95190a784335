# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --append host.systemd
#
# Modular daemons with socket activation, as on Fedora and RHEL: the first connection starts virtqemud, which exits
# after a time without work. Our daemon must not keep virtqemud running forever, and must handle its exit and
# restart.

virtio_nic=$(bdf 1af4:1041 1)
idle=5 # seconds; the default is 120

unit() { # unit NAME: installs the unit from standard input
  cat >"/run/systemd/system/$1"
}

install_units() {
  for daemon in $libvirt_daemons; do
    unit "$daemon.socket" <<UNIT
[Socket]
ListenStream=/run/libvirt/$daemon-sock
SocketMode=0666
RemoveOnStop=yes
UNIT
    unit "$daemon-ro.socket" <<UNIT
[Unit]
BindsTo=$daemon.socket
After=$daemon.socket
[Socket]
ListenStream=/run/libvirt/$daemon-sock-ro
Service=$daemon.service
SocketMode=0666
RemoveOnStop=yes
UNIT
    unit "$daemon.service" <<UNIT
[Unit]
Requires=$daemon.socket $daemon-ro.socket
After=$daemon.socket $daemon-ro.socket virtlogd.service
Wants=virtlogd.service
[Service]
Type=notify
ExecStartPre=modprobe vfio-pci
ExecStart=/usr/sbin/$daemon --timeout $idle
KillMode=process
TimeoutStartSec=180
UNIT
  done
}

listen() {
  install_units
  systemctl daemon-reload
  for daemon in $libvirt_daemons; do
    systemctl start "$daemon.socket" "$daemon-ro.socket"
  done
}

is_idle() { # for wait_for: virtqemud has exited by itself
  [ "$(systemctl show --value -p ActiveState virtqemud.service)" = inactive ]
}

becomes_idle() {
  wait_for 60 is_idle
  expect 'how it ended' "$(systemctl show --value -p Result virtqemud.service)" success
}

nothing_runs_yet() {
  listen
  systemctl start vfio-variantd.service
  is_idle || fail 'virtqemud runs already'
  expect 'problems that status finds' "$(gate_status '[.findings[] | select(.severity == "problem")] | length')" 0
  gate_status '.findings[].id' | grep -x libvirt-off
}

start_wakes_it() {
  is_detached_and_restored test_vfio_pci "$virtio_nic"
  becomes_idle
}

# While the guest has the device, the monitor keeps a connection; afterwards it closes the connection
plug_wakes_it() {
  gate_serves_hot_plug test_vfio_pci "$virtio_nic" 'virtio-pci (null)'
  virsh -q destroy guest
  becomes_idle
}

# While a device is on VFIO, the monitor waits for a domain to use it, which keeps virtqemud running.
nodedev_keeps_it() {
  is_idle || fail 'virtqemud runs'
  virsh -q nodedev-detach "$(nodedev_name "$virtio_nic")"
  expect 'driver after nodedev-detach' "$(driver_of "$virtio_nic")" test_vfio_pci
  sleep $((idle * 3))
  ! is_idle || fail 'virtqemud has ended'
  systemctl restart virtqemud.service # as an upgrade does
  expect 'driver when virtqemud was restarted' "$(driver_of "$virtio_nic")" test_vfio_pci
  virsh -q nodedev-reattach "$(nodedev_name "$virtio_nic")"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  becomes_idle
}

has_come_back() { # has_come_back PID, for wait_for: it runs with another PID
  [ "$(systemctl show --value -p ActiveState virtqemud.service)" = active ] &&
    [ "$(systemctl show --value -p MainPID virtqemud.service)" != "$1" ]
}

# The monitor reconnects, which starts virtqemud again
is_killed_with_a_guest() {
  start_domain guest
  attach_hostdev guest "$virtio_nic"
  wait_for 20 state_says "$virtio_nic" domain guest
  virtqemud_pid=$(systemctl show --value -p MainPID virtqemud.service)
  systemctl kill -s KILL virtqemud.service
  wait_for 60 has_come_back "$virtqemud_pid"
  wait_for 60 libvirt_answers
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  virsh -q destroy guest
  becomes_idle
}

[ "$libvirt_program" = virtqemud ] || bail_out 'no modular daemons here (see flavours/modular)'
scenario 'modular: sockets, and no daemon of libvirt yet' nothing_runs_yet
scenario 'modular: a start wakes virtqemud, which goes again' start_wakes_it
scenario 'modular: hot plug wakes virtqemud, which goes again' plug_wakes_it
scenario 'modular: nodedev-detach; virtqemud is restarted meanwhile' nodedev_keeps_it
scenario 'modular: virtqemud is killed with a device in a guest' is_killed_with_a_guest
