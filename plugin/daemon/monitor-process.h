/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * monitor-process: runs the libvirt client, vfio-variant-monitor(8), as a child while the daemon needs it.
 *
 * Owns: the start of the monitor, and the orders on its standard input. Knows nothing of libvirt. The daemon
 * does not use libvirt either: a client library with its connections has no place in a process that blocks
 * libvirt (rule R10).
 *
 * A systemd.path(5) unit on the state store is not sufficient. It would start a service as soon as an entry
 * is written, while libvirt is still blocked. It could not tell a running service not to call libvirt now.
 * The host may also run without systemd.
 */
#pragma once

#include <glib.h>

typedef struct VvMonitorProcess VvMonitorProcess;

/** vv_monitor_process_new: @path: path of the monitor's program; starts nothing yet */
VvMonitorProcess *vv_monitor_process_new (const char *path);
/** vv_monitor_process_end: sends SIGTERM to the monitor. The monitor ends at once, also during a call to
 * libvirt, but finishes a rebind that it has begun */
void vv_monitor_process_end (VvMonitorProcess *monitor);
/** vv_monitor_process_free: closes the monitor's standard input and frees @monitor */
void vv_monitor_process_free (VvMonitorProcess *monitor);

/** vv_monitor_process_look: starts the monitor, or tells it to look at the state store again */
void vv_monitor_process_look (VvMonitorProcess *monitor);

/** vv_monitor_process_hold: @blocked: the monitor must not call libvirt; FALSE: it may call libvirt again */
void vv_monitor_process_hold (VvMonitorProcess *monitor, gboolean blocked);

/** vv_monitor_process_reaped: handles the end of a child; Returns: whether it was the monitor */
gboolean vv_monitor_process_reaped (VvMonitorProcess *monitor, pid_t pid);

gboolean vv_monitor_process_runs (const VvMonitorProcess *monitor);
