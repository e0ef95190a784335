# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
# needs: --append host.systemd --image bare
#
# The Debian packages on a host that never had the project: first installation, and later administration while
# guests run. libvirtd, the hook and the daemon run under their AppArmor profiles all the time; guests do not.

nic=$(bdf 8086:10d3 1)        # at domain start
virtio_nic=$(bdf 1af4:1041 1) # at hot plug
third_nic=$(bdf 1af4:1041 2)  # by hand
unit=vfio-variantd.service
hook=/etc/libvirt/hooks/qemu.d/vfio-variant
profiles=/sys/kernel/security/apparmor/profiles
our_profiles='vfio-variant-domain vfio-variant-hook vfio-variantd'
package=$(echo packages/vfio-variant_*.deb)

# --- packages ---

install_package() { # install_package [FILE]
  dpkg --install "${1:-$package}"
}

# newer_package: makes the same package with a higher version; prints its file
newer_package() {
  if [ ! -e newer.deb ]; then
    dpkg-deb --raw-extract "$package" newer
    sed -i 's/^Version: .*/&+newer/' newer/DEBIAN/control
    dpkg-deb -Znone --build newer newer.deb >/dev/null
  fi
  echo newer.deb
}

remove_package() { # remove_package: leaves the output in the file "said"
  dpkg --remove vfio-variant 2>&1 | tee said
}

purge_package() {
  dpkg --purge vfio-variant
}

# All files that a package could leave. Excludes files that the logs, dpkg and libvirt write, and an empty directory
# of AppArmor's, which debhelper's scripts remove.
files() {
  find / /run -xdev \( -path /etc/apparmor.d/disable -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/libvirt -o -path /var/cache/libvirt -o \
    -path /run/log -o -path /run/tests -o -path /run/libvirt -o -path /run/udev -o -path /run/systemd \) -prune -o -print | sort
  find /run/systemd -name '*vfio-variant*'
  cat "$profiles"
}

expect_no_trace() {
  systemctl daemon-reload
  files >files.now
  diff files.before files.now
  expect 'the unit' "$(systemctl show --value -p LoadState "$unit")" not-found
  ! dpkg-query -W vfio-variant || fail 'dpkg still knows it'
}

# --- running processes ---

unit_says() { # unit_says PROPERTY
  systemctl show --value -p "$1" "$unit"
}

confined_as() { # confined_as PID: prints its AppArmor profile, with the mode
  cat "/proc/$1/attr/current"
}

expect_daemon() {
  expect 'the unit' "$(unit_says ActiveState) $(unit_says UnitFileState)" 'active enabled'
  expect 'the timer for metrics' "$(systemctl show --value -p UnitFileState vfio-variant-metrics.timer)" disabled
  expect 'the gate' "$(gate_status .gate)" on
  expect 'its process' "$(gate_status .pid)" "$(unit_says MainPID)"
  expect 'its profile' "$(confined_as "$(unit_says MainPID)")" 'vfio-variantd (enforce)'
}

expect_guest() { # expect_guest PID DEVICES: checks that the process is the same, with these devices
  expect 'process of the guest' "$(cat /run/libvirt/qemu/guest.pid)" "$1"
  expect 'devices that QEMU uses' "$(qemu_vfio_devices guest | sort)" "$2"
}

plugs() { # plugs BDF: attaches the device to the guest and detaches it
  before=$(state_of "$1")
  attach_hostdev guest "$1"
  expect 'driver that QEMU uses' "$(qemu_vfio_devices guest | grep "^$1 ")" "$1 test_vfio_pci"
  detach_hostdev guest "$1"
  is_restored "$1" "$before"
}

state_says() { # state_says BDF KEY VALUE, for wait_for
  [ "$(state_value "$1" "$2")" = "$3" ]
}

# denials: prints AppArmor's denials for the project's programs since boot
denials() {
  journalctl -q --sync
  { dmesg && journalctl -q --no-pager -o cat; } | grep 'apparmor="DENIED".* profile="vfio-variant' | sort -u
}

# --- preparation ---

confine_libvirt() {
  echo 'Optimize=no-expr-simplify' >>/etc/apparmor/parser.conf # halves the time to compile profiles
  echo 'security_driver = "none"' >>/etc/libvirt/qemu.conf     # no profile for each guest, which takes long here
  apparmor_parser --replace --write-cache /etc/apparmor.d/usr.sbin.libvirtd
  systemctl restart libvirtd.service
  wait_for 120 libvirt_answers
  expect 'profile of libvirtd' "$(confined_as "$(libvirt_pid)")" 'libvirtd (enforce)'
}

# --- first installation ---

newcomer() {
  libvirt=$(libvirt_pid)
  install_package
  expect_daemon
  for profile in $our_profiles; do
    grep -x "$profile (enforce)" "$profiles"
  done
  sh ./smoke
  vfio-variant status || fail 'status finds a problem'
  start_domain guest "$(hostdev_xml "$nic")"
  attach_hostdev guest "$virtio_nic"
  expect_guest "$(cat /run/libvirt/qemu/guest.pid)" "$nic test_vfio_pci
$virtio_nic test_vfio_pci"
  vfio-variant list
  vfio-variant status | tee said
  grep "$virtio_nic.*detached" said
  ! grep '\[denied\]' said || fail 'it tells of denials'
  journalctl -q --sync
  journalctl -q -o cat -u "$unit" | grep "$virtio_nic: detach: virtio-pci -> test_vfio_pci"
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  virsh -q destroy guest
  is_restored "$nic" 'e1000e (null)'
  purge_package
  expect_no_trace
  expect 'process of libvirtd' "$(libvirt_pid)" "$libvirt"
}

# --- upgrade ---

is_upgraded_under_a_guest() {
  install_package
  libvirt=$(libvirt_pid)
  daemon=$(unit_says MainPID)
  start_domain guest "$(hostdev_xml "$nic")"
  attach_hostdev guest "$virtio_nic"
  qemu=$(cat /run/libvirt/qemu/guest.pid)
  install_package "$(newer_package)"
  expect_daemon
  [ "$(unit_says MainPID)" != "$daemon" ] || fail 'the old daemon still runs'
  expect_guest "$qemu" "$nic test_vfio_pci
$virtio_nic test_vfio_pci"
  expect 'host driver in the state store' "$(state_value "$nic" host-driver) $(state_value "$virtio_nic" host-driver)" 'e1000e virtio-pci'
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci (null)'
  plugs "$virtio_nic"
  virsh -q destroy guest
  is_restored "$nic" 'e1000e (null)'
  expect 'process of libvirtd' "$(libvirt_pid)" "$libvirt"
}

what_is_off_stays_off() {
  rm "$hook"
  systemctl disable --now "$unit"
  install_package "$(newer_package)"
  [ ! -L "$hook" ] || fail 'the upgrade turned the hook on'
  expect 'the unit' "$(systemctl is-active "$unit") $(systemctl is-enabled "$unit")" 'inactive disabled'
  remove_package
  install_package "$(newer_package)"
  [ ! -L "$hook" ] || fail 'removing and installing turned the hook on'
  ln -s /usr/sbin/vfio-variant-hook "$hook"
  systemctl reload libvirtd.service
  systemctl enable --now "$unit"
}

# --- AppArmor ---

# A hook script logs its profile: under the qemu hook (which moves nothing if libvirt selects the driver), and under
# the daemon.
hook_scripts_run() {
  hook_script 10-who <<'SCRIPT'
#!/bin/sh
[ "$2 $3" != 'detach end' ] || logger -t who "$1 $(cat /proc/self/attr/current)"
SCRIPT
  cp /usr/share/vfio-variant/hooks/* "$hook_point"
  trap remove_hook_scripts EXIT
  systemctl stop "$unit"
  start_domain guest "$(hostdev_xml "$nic")"
  systemctl start "$unit"
  plugs "$virtio_nic"
  virsh -q destroy guest
  is_restored "$nic" 'e1000e (null)'
  wanted="$(nodedev_name "$virtio_nic") vfio-variantd (enforce)"
  libvirt_chooses || wanted="$(nodedev_name "$nic") unconfined
$wanted"
  journalctl -q --sync
  expect 'their profiles' "$(journalctl -q -o cat -t who)" "$wanted"
}

nothing_was_denied() {
  expect 'denied' "$(denials)" ''
}

# without_rule WORDS: copies our profiles without the lines that contain these words
without_rule() {
  rm -rf weaker
  cp -r /etc/apparmor.d weaker
  grep -rlF "$1" weaker | xargs sed -i "\\|$1|d"
  ! diff -r /etc/apparmor.d weaker || fail "no rule has the words $1"
  load_profiles weaker
}

load_profiles() { # load_profiles DIRECTORY
  for profile in $our_profiles; do
    apparmor_parser --replace --skip-cache --base "$1" "$1/$profile"
  done
}

# A missing rule has visible effects: in the result, and in the kernel's log
missing_rule_is_noticed() {
  without_rule '/run/vfio-variant/'
  trap 'load_profiles /etc/apparmor.d' EXIT
  start_domain guest "$(hostdev_xml "$nic")"
  expect 'driver that QEMU uses' "$(qemu_vfio_driver guest)" "$plain_driver"
  denials >denied
  for profile in $our_profiles; do
    grep "profile=\"$profile\" name=\"/run/vfio-variant/" denied
  done
  virsh -q destroy guest
  wait_for 20 state_is "$nic" 'e1000e (null)'
}

# --- removal ---

# The guest has one device since its start and one that was hot-plugged, with an override that libvirt does not
# know. A third device was bound by hand.
is_removed_under_a_guest() {
  echo virtio-pci >"$sysfs/$virtio_nic/driver_override"
  start_domain guest "$(hostdev_xml "$nic")"
  attach_hostdev guest "$virtio_nic"
  wait_for 20 state_says "$virtio_nic" domain guest
  vfio-variant bind "$third_nic"
  qemu=$(cat /run/libvirt/qemu/guest.pid)

  remove_package
  grep "$nic stays on test_vfio_pci: domain guest has it" said
  grep "$virtio_nic stays on test_vfio_pci: domain guest has it" said
  grep "$virtio_nic had the driver_override virtio-pci" said
  grep "$third_nic stays on test_vfio_pci: no domain has it" said
  [ ! -L "$hook" ] || fail 'the link is still there'
  ! grep -F vfio-variant "$profiles" || fail 'its profiles are still loaded'
  expect_guest "$qemu" "$nic test_vfio_pci
$virtio_nic test_vfio_pci"

  install_package
  [ -L "$hook" ] || fail 'the hook is not on again'
  detach_hostdev guest "$virtio_nic"
  is_restored "$virtio_nic" 'virtio-pci virtio-pci'
  echo >"$sysfs/$virtio_nic/driver_override"

  purge_package
  expect_guest "$qemu" "$nic test_vfio_pci"
  virsh -q destroy guest
  wait_for 20 state_is "$nic" 'e1000e (null)'
  by_the_words_of_the_removal "$third_nic"
  expect 'state' "$(state_of "$third_nic")" 'virtio-pci (null)'
  expect_no_trace
}

by_the_words_of_the_removal() { # by_the_words_of_the_removal BDF
  sed -n "s/^  echo/echo/; s/DEVICE/$1/gp" said | grep '^echo' >words
  expect 'commands' "$(wc -l <words)" 3
  sh -e words
}

need_systemd
journalctl -q -f -n 0 >/var/log/messages & # shown if a scenario fails
wait_for 120 libvirt_answers || bail_out 'libvirt does not start'
diag "systemd $(systemctl --version | awk 'NR == 1 { print $2 }'), libvirt $(libvirt_version)"
plain_driver=vfio-pci
! libvirt_chooses || plain_driver=test_vfio_pci
scenario 'packages: before: libvirtd under its AppArmor profile' confine_libvirt
files >files.before
scenario 'packages: a newcomer installs, attaches, reads what happened, and leaves no trace' newcomer
scenario 'packages: upgrade while a guest runs' is_upgraded_under_a_guest
scenario 'packages: hook and daemon that were turned off stay off' what_is_off_stays_off
scenario 'packages: node-device hooks under AppArmor' hook_scripts_run
scenario 'packages: AppArmor denied nothing' nothing_was_denied
scenario 'packages: a rule that is missing is noticed' missing_rule_is_noticed
scenario 'packages: removal, return and purge while a guest runs' is_removed_under_a_guest
