# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034 # for points.sh
# needs: --timeout 6000
#
# Not a scenario: selects all faults, on both sides of each point, for points.sh.

points_long=yes
