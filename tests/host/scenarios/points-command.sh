# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# The command, with one fault at each point (points.sh).

points_of 'kill EIO' bind restore
