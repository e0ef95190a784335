/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * log: where a program's log goes. The library itself only calls g_log; a program's main() chooses here.
 */
#pragma once

#include <glib.h>

/**
 * vv_log_to_system:
 *
 * Sends this process's log to systemd-journald with its fields, or where there is none to syslog, or where
 * there is neither to standard error. Debug and info messages are kept back unless G_MESSAGES_DEBUG is set.
 */
void vv_log_to_system (void);
