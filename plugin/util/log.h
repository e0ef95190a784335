/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * log: the destination of a program's log. Libraries only call g_log(); each program's main() chooses the
 * destination.
 */
#pragma once

#include <glib.h>

/**
 * vv_log_to_system:
 *
 * Sends the log of this process to systemd-journald, with its fields. Without journald, sends it to syslog;
 * without both, to standard error. Drops debug and info messages unless G_MESSAGES_DEBUG is set.
 */
void vv_log_to_system (void);
