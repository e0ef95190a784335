/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * notify: reports the daemon's state to the service manager.
 *
 * Owns: the protocol of sd_notify(3), which is one datagram. libsystemd implements it, too, but needs more
 * memory than the daemon itself. Knows nothing of the content.
 */
#pragma once

#include <glib.h>

/** vv_notify: sends @state, lines of KEY=VALUE; does nothing if no service manager listens */
void vv_notify (const char *state);
