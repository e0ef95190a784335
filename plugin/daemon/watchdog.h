/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watchdog: kills the daemon when a process waits for the daemon and the daemon makes no progress.
 *
 * A daemon that is stopped or stuck would leave libvirt blocked and a device without a driver. When the
 * daemon is dead, the kernel allows all opens. The watchdog is a small process that sleeps until a process
 * waits for the daemon.
 *
 * systemd's watchdog (WatchdogSec=) is not sufficient. The daemon could enable it by WATCHDOG_USEC=
 * (sd_notify(3)) only while a process waits. But then it would miss a daemon that is stopped before it has
 * read the event and sent that message. If the watchdog were always enabled, an idle daemon would wake up
 * every few seconds (rule R11). The host may also run without systemd.
 *
 * Progress is a number that changes, not an empty queue: any local user can keep the queue full.
 *
 * Owns: the watchdog process. It dies with the daemon. If it dies first, the daemon starts another one.
 */
#pragma once

#include <glib.h>

#define VV_WATCHDOG_FDS 3

typedef struct VvWatchdog VvWatchdog;

/**
 * vv_watchdog_new:
 * @fds: descriptors; at least one is readable while a process waits for the daemon
 * @progress: a number in memory that is shared between processes; while a process waits, the daemon changes
 * it many times within @deadline_ms
 * @deadline_ms: how long @progress may stay the same while a process waits, before the watchdog kills the
 * daemon, in milliseconds
 *
 * Starts the watchdog process. The main loop must run to start another one when that process dies. If a
 * process cannot be started, logs that and tries again later.
 *
 * Returns: (transfer full): the watchdog
 */
VvWatchdog *vv_watchdog_new (const int fds[VV_WATCHDOG_FDS], const guint64 *progress, guint deadline_ms);

/** vv_watchdog_free: kills the watchdog process */
void vv_watchdog_free (VvWatchdog *watchdog);
