# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Part of the maintainer scripts. libvirt looks for hooks only when it starts or reloads (SIGHUP). A reload
# does not affect running guests.
reload_libvirt() {
  for daemon in libvirtd virtqemud; do
    if [ -d /run/systemd/system ]; then
      ! systemctl -q is-active "$daemon.service" || deb-systemd-invoke reload "$daemon.service" || true
    elif pid=$(cat "/run/$daemon.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm")" = "$daemon" ]; then
      kill -HUP "$pid" || true
    fi
  done
}
