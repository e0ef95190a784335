# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Not a scenario: starts the daemon for the scenarios of the scripts that follow.

need_libvirt
start_daemon on >/run/tests/gate.log 2>&1 || bail_out 'the gate is not on'
