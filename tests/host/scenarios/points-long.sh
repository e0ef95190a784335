# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034 # for points.sh
# needs: --timeout 6000
#
# No scenario: points.sh with all faults, on both sides of each point.

points_long=yes
