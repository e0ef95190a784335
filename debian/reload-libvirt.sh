# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# A part of the maintainer scripts. libvirt remembers whether there are hooks until it is told to look again (SIGHUP).
# Running guests do not notice.
reload_libvirt() {
  for daemon in libvirtd virtqemud; do
    if [ -d /run/systemd/system ]; then
      ! systemctl -q is-active "$daemon.service" || deb-systemd-invoke reload "$daemon.service" || true
    elif pid=$(cat "/run/$daemon.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm")" = "$daemon" ]; then
      kill -HUP "$pid" || true
    fi
  done
}
