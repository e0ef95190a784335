/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * monitor-process: the libvirt client, vfio-variant-monitor(8), as a child that is there when it is needed.
 *
 * Owns: starting it, and the orders on its standard input. Knows nothing of libvirt, and no more does the
 * daemon: a client library with its connections has no place in a process that holds libvirt (rule R10).
 *
 * A systemd.path(5) unit on the state store does not do: it starts a service as soon as an entry is written,
 * while libvirt is still held, and has nothing to tell a running one that must not call libvirt now. And
 * there may be no systemd.
 */
#pragma once

#include <glib.h>

typedef struct VvMonitorProcess VvMonitorProcess;

/** vv_monitor_process_new: @path: its program; nothing is started yet */
VvMonitorProcess *vv_monitor_process_new (const char *path);
/** vv_monitor_process_end: it gets SIGTERM, which ends it at once, also in a call to libvirt, but not before
 * the move that it may be at */
void vv_monitor_process_end (VvMonitorProcess *monitor);
/** vv_monitor_process_free: its standard input ends, and it is forgotten */
void vv_monitor_process_free (VvMonitorProcess *monitor);

/** vv_monitor_process_look: there is something in the state store: start it, or have it look again */
void vv_monitor_process_look (VvMonitorProcess *monitor);

/** vv_monitor_process_hold: @blocked: no call to libvirt from now on; else: it may call again */
void vv_monitor_process_hold (VvMonitorProcess *monitor, gboolean blocked);

/** vv_monitor_process_reaped: a child has ended; Returns: whether it was this one */
gboolean vv_monitor_process_reaped (VvMonitorProcess *monitor, pid_t pid);

gboolean vv_monitor_process_runs (const VvMonitorProcess *monitor);
