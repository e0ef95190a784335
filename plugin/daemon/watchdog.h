/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watchdog: kills the daemon when others wait for it and it makes no progress.
 *
 * A daemon that is stopped or stuck would leave libvirt waiting and a device without driver; one that is dead
 * lets everybody through. This is a small process that sleeps until somebody waits.
 *
 * systemd's watchdog (WatchdogSec=) does not do. Switched on by WATCHDOG_USEC= (sd_notify(3)) only while
 * somebody waits, it does not see a daemon that is stopped before it has read the event and sent that
 * message. Always on, it wakes up an idle daemon every few seconds (rule R11). And there may be no systemd.
 *
 * Progress is a number that changes, not a queue that is empty: any local user can keep the queue full.
 *
 * Owns: that process. It dies with the daemon; when it dies itself, another one is started.
 */
#pragma once

#include <glib.h>

#define VV_WATCHDOG_FDS 3

typedef struct VvWatchdog VvWatchdog;

/**
 * vv_watchdog_new:
 * @fds: descriptors of which at least one is readable while somebody waits for the daemon
 * @progress: in memory that is shared between processes; while somebody waits the daemon changes it again and
 * again, many times within @deadline_ms
 * @deadline_ms: how long it may stay as it is while somebody waits, before the daemon is killed
 *
 * The main loop must run for another process to be started when the first one dies.
 *
 * Returns: (transfer full): the watchdog; that there can be no process is logged, and tried again later
 */
VvWatchdog *vv_watchdog_new (const int fds[VV_WATCHDOG_FDS], const guint64 *progress, guint deadline_ms);

/** vv_watchdog_free: ends it */
void vv_watchdog_free (VvWatchdog *watchdog);
