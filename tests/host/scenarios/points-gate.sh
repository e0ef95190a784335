# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# The gate, and the monitor, with one fault at each point (points.sh).

points_of kill attach
[ -z "${points_long:-}" ] || points_of kill detach
