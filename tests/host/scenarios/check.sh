# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # lib.sh is read first
#
# Tests that an attach does what check predicts, and what status reports about the host.

nic=$(bdf 8086:10d3 1)
edu=$(bdf 1234:11e8 1)
edu_neighbour=$(bdf 1234:11e8 2)
hook_link=/etc/libvirt/hooks/qemu.d/vfio-variant

# checks CODE ARGUMENT...: runs check, expects the exit code CODE, and leaves its JSON in the file "checked"
checks() {
  checks_wanted=$1
  shift
  code=0
  vfio-variant check --json "$@" >checked || code=$?
  cat checked
  expect "exit code of check $*" "$code" "$checks_wanted"
}

would_get() { # would_get: prints the driver or module of each device, and whether it is ok
  jq -r '[.devices[] | (.driver // .module) + " " + (.ok | tostring)] | join(";")' checked
}

# found FILE ID: prints severity and subject of each finding ID
found() {
  jq -r --arg id "$2" '[(.devices | arrays | .[].findings[]), .findings[]] | map(select(.id == $id)) |
    map(.severity + " " + .subject) | join(";")' "$1"
}

what() { # what FILE ID: prints the text of the finding ID
  jq -r --arg id "$2" '[(.devices | arrays | .[].findings[]), .findings[]] | map(select(.id == $id)) | .[0].what' "$1"
}

# looks_around: writes the output of status to the file "looked"; ignores whether the daemon runs
looks_around() {
  vfio-variant status --json >looked || true
  cat looked
}

says_what_is_done() {
  unload_variants
  checks 0 "$nic"
  expect 'what it would get' "$(would_get)" 'test_vfio_pci true'
  [ ! -e /sys/module/test_vfio_pci ] || fail 'check loaded a module'
  expect 'state' "$(state_of "$nic")" 'e1000e (null)'
  is_detached_and_restored test_vfio_pci "$nic"
}

knows_of_flr() {
  wanted=''
  ! libvirt_is_older_than 9.7.0 || wanted="note $nic"
  checks 0 "$nic"
  expect 'no FLR' "$(found checked hotplug-generic)" "$wanted"
}

# would_fall_back FINDING: FINDING is the reason why test_vfio_pci is not available. From 10.0 on, libvirt refuses
# the device in that case.
would_fall_back() {
  if libvirt_chooses; then
    checks 1 "$nic"
    expect 'what libvirt does' "$(found checked libvirt-refuses)" "problem $nic"
    expect_failure start_domain guest "$(hostdev_xml "$nic")"
  else
    checks 0 "$nic"
    is_detached_and_restored vfio-pci "$nic"
  fi
  expect 'what it would get' "$(would_get | cut -d' ' -f1)" vfio-pci
  expect 'what keeps the variant away' "$(found checked "$1")" "warning $nic"
}

module_is_gone() {
  hide_module test_vfio_pci
  trap show_module EXIT
  would_fall_back module-missing
}

module_is_forbidden() {
  unload_variants
  echo 'install test_vfio_pci /bin/false' >/etc/modprobe.d/forbidden.conf
  trap 'rm /etc/modprobe.d/forbidden.conf' EXIT
  would_fall_back module-forbidden
}

# put_on_host_driver BDF: binds a driver of the host that accepts any device by override
put_on_host_driver() {
  for host_driver in uio_pci_generic pci-pf-stub; do
    modprobe "$host_driver" || continue
    echo "$host_driver" >"$sysfs/$1/driver_override"
    echo "$1" >/sys/bus/pci/drivers_probe
    ! has_driver "$1" "$host_driver" || return 0
  done
  echo >"$sysfs/$1/driver_override"
  skip 'there is no driver of the host that takes any device'
}

neighbour_is_in_the_way() {
  checks 0 "$edu"
  put_on_host_driver "$edu_neighbour"
  trap 'echo "$edu_neighbour" >"$sysfs/$edu_neighbour/driver/unbind"; echo >"$sysfs/$edu_neighbour/driver_override"' EXIT
  checks 1 "$edu"
  expect 'what is in the way' "$(found checked group)" "problem $edu"
  what checked group | grep "^$edu_neighbour, in the same IOMMU group $(group_of "$edu"), is on $(driver_of "$edu_neighbour")"
  checks 0 "$edu" "$edu_neighbour"
  hostdev_xml "$edu" >hostdev
  domain_xml guest "$(cat hostdev)" >guest.xml
  checks 1 guest.xml
  expect_failure start_domain guest "$(cat hostdev)"
}

domain_by_name() {
  start_domain guest "$(hostdev_xml "$nic")"
  checks 0 --domain guest
  expect 'domain' "$(jq -r .domain checked)" guest
  expect 'what it has' "$(would_get)" 'test_vfio_pci true'
  expect 'who has it' "$(found checked in-use-guest)" "note $nic"
  checks 1 "$nic"
  expect 'who has it' "$(found checked in-use-guest)" "problem $nic"
  expect 'whose it is' "$(found checked claimed)" "problem $nic"
  code=0
  vfio-variant check --domain nobody 2>refusal || code=$?
  cat refusal
  expect 'exit code' "$code" 1
  grep 'domain nobody: virsh' refusal
}

host_uses_it() {
  name=$(ls "$sysfs/$nic/net")
  ip link add br0 type bridge
  ip link set "$name" master br0
  trap 'ip link delete br0' EXIT
  checks 0 "$nic"
  expect 'who uses it' "$(found checked in-use-host)" "warning $nic"
}

denial_is_found() {
  line='apparmor="DENIED" operation="open" profile="libvirtd" name="/run/vfio-variant/x" comm="vfio-variant-ho"'
  echo "audit: type=1400 audit(9999999999.000:1): $line" >/dev/kmsg
  checks 0 "$nic"
  expect 'denial' "$(found checked denied)" 'warning host'
  what checked denied | grep -F "$line"
}

libvirt_is_told() {
  checks 0 "$nic"
  what checked libvirt-version | grep -F "libvirt $(libvirt_version) ($libvirt_program, process $(libvirt_pid))"
  kill -STOP "$(libvirt_pid)" # check does not need an answer from libvirt
  trap 'kill -CONT "$(libvirt_pid)"' EXIT
  checks 0 "$nic"
  expect 'libvirt' "$(found checked libvirt-version)" 'note host'
}

hook_is_seen() {
  restart_libvirt
  looks_around
  expect 'hook before any guest' "$(found looked hook-seen)" 'ok host'
  what looked hook-seen | grep 'is older than'
  sleep 1
  ln -sfn "$(readlink "$hook_link")" "$hook_link"
  looks_around
  expect 'hook that is newer than libvirt' "$(found looked hook-unseen)" 'warning host'
  start_domain guest # without devices
  looks_around
  expect 'hook that was run' "$(found looked hook-seen)" 'ok host'
  what looked hook-seen | grep "process $(libvirt_pid), runs the hook"
}

journal_is_looked_through() {
  vfio-variant bind "$nic"
  trap 'rm -f /run/vfio-variant/0000:ff:00.0; vfio-variant restore --all' EXIT
  looks_around
  expect 'half done' "$(found looked half-done)" ''
  sed 's/^address=.*/address=0000:ff:00.0/' "/run/vfio-variant/$nic" >/run/vfio-variant/0000:ff:00.0
  sed -i 's/^state=.*/state=reattaching/' "/run/vfio-variant/$nic"
  looks_around
  expect 'half done' "$(found looked half-done)" "warning $nic"
  expect 'gone' "$(found looked state-gone)" 'warning 0000:ff:00.0'
}

reload_is_due() {
  looks_around
  expect 'reload' "$(found looked reload-due)" ''
  mkdir -p /etc/libvirt/vfio-variant.d
  trap 'rm -r /etc/libvirt/vfio-variant.d' EXIT
  sleep 1
  echo '<vfio-variant/>' >/etc/libvirt/vfio-variant.d/10-new.xml
  looks_around
  [ "$(jq .policy_read looked)" != null ] || skip 'this daemon does not say when it read the policy'
  expect 'reload' "$(found looked reload-due)" 'warning host'
  expect 'running' "$(jq .running looked)" true
}

need_libvirt
scenario 'check: what it says is what is done' says_what_is_done
scenario 'check: hot plug of a device without FLR' knows_of_flr
scenario 'check: the module is gone' module_is_gone
scenario 'check: modprobe.d forbids the module' module_is_forbidden
scenario 'check: a neighbour in the IOMMU group' neighbour_is_in_the_way
scenario 'check: a domain of libvirt, which is running' domain_by_name
scenario 'check: the host uses it' host_uses_it
scenario 'check: a denial in the kernel log' denial_is_found
scenario 'check: which libvirt' libvirt_is_told
scenario 'status: whether libvirt knows the hook is reported' hook_is_seen
scenario 'status: what is left in the state store' journal_is_looked_through
gate_scenario 'status: a policy that was changed' reload_is_due
