# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# libvirt and the hook, with one fault at each point (points.sh).

points_of kill start destroy reconnect
