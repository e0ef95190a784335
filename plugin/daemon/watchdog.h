/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watchdog: kills the daemon when it holds others up and does not get on.
 *
 * A daemon that is stopped or stuck would leave libvirt waiting and a device without driver; one that is dead
 * lets everybody through. systemd's watchdog wants a sign of life every few seconds, day and night; this one
 * is a small process of its own that sleeps until there is something to watch, so that an idle daemon never
 * wakes up. It wakes when somebody waits at the gate's descriptors and looks until they have been read; and
 * while an open is held it wants a beat.
 *
 * Owns: that process. It dies with the daemon.
 */
#pragma once

#include <glib.h>

typedef struct VvWatchdog VvWatchdog;

/**
 * vv_watchdog_new:
 * @fds: descriptors that are readable while somebody waits for the daemon
 * @patience_ms: how long that may last, or a beat be missing, before the daemon is killed
 *
 * Returns: (transfer full): the watchdog; NULL when there can be no process, which is logged
 */
VvWatchdog *vv_watchdog_new (const int fds[2], guint patience_ms);

/** vv_watchdog_free: ends it */
void vv_watchdog_free (VvWatchdog *watchdog);

/** vv_watchdog_hold: something is held now: a beat is sent from the main loop until vv_watchdog_rest() */
void vv_watchdog_hold (VvWatchdog *watchdog);

/** vv_watchdog_rest: nothing is held any more */
void vv_watchdog_rest (VvWatchdog *watchdog);
