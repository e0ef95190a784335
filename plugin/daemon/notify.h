/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * notify: tells the service manager how the daemon is.
 *
 * Owns: the protocol of sd_notify(3), which is one datagram. libsystemd, which has it too, brings along more
 * memory than the daemon itself needs. Knows nothing of what is told.
 */
#pragma once

#include <glib.h>

/** vv_notify: @state: lines KEY=VALUE. Without a service manager that listens, nothing happens. */
void vv_notify (const char *state);
