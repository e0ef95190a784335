/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * worker: a process that handles one device while libvirt moves it.
 *
 * A slow module load, a probe of 30 seconds or a crash must not keep the gate from answering other threads.
 * A thread of the daemon would not do: if it hung in the kernel when the daemon is killed, the fanotify
 * descriptors would stay open. Hence a process. The daemon forks it when a device is announced. The daemon
 * has one thread, and its context is loaded. Therefore the worker starts at once, and is ready when libvirt
 * has unbound the device. The worker dies with the daemon.
 *
 * Owns: the fork, the messages in both directions, and the report. Knows nothing of fanotify.
 */
#pragma once

#include "gate.h"
#include "hotplug.h"

typedef struct VvWorker VvWorker;

/**
 * VvWorkerClient:
 * @read: The worker has read driver_override. @override: (nullable): its value
 * @finished: The work is done and @report has the result, or the process died and @report is NULL. The
 * caller must still free the worker. The report's group VV_REPORT has the keys device, operation, from, to,
 * outcome, why, failed (what went wrong), and kernel-us (time in the kernel and in scripts). It also has the
 * phases (vv_phase_timer_write()).
 */
typedef struct {
  void (*read) (const char *override, gpointer data);
  void (*finished) (GKeyFile *report, gpointer data);
} VvWorkerClient;

/** The outcome when the gate must deny libvirt's open. */
#define VV_REFUSED "refused"

/**
 * vv_worker_start:
 *
 * Starts a process that reads the driver_override of the device, while the thread of @announcement is
 * blocked there. The process then prepares the rebind, and waits for vv_worker_go().
 *
 * Returns: (transfer full): the worker, or NULL with @error set if the process cannot be started
 */
VvWorker *vv_worker_start (const VvContext *context, const VvAnnouncement *announcement,
                           const VvWorkerClient *client, gpointer data, GError **error);

/**
 * vv_worker_release:
 *
 * Starts a process after a worker died that had changed the device. The process resets driver_override at
 * once, so that libvirt's own drivers_probe can bind the device (vv_binding_reset_override()). After the
 * gate has released libvirt, the process completes an interrupted reattach: it restores the host's
 * driver_override and removes the entry.
 *
 * Returns: (transfer full) (nullable): as vv_worker_start(); the report says that the first worker died
 */
VvWorker *vv_worker_release (const VvContext *context, const VvAnnouncement *announcement,
                             const VvWorkerClient *client, gpointer data);

/** vv_worker_go: starts the rebind; libvirt is blocked since @since, until @deadline (both by
 * g_get_monotonic_time()) */
void vv_worker_go (VvWorker *worker, gint64 since, gint64 deadline);

/** vv_worker_touched: Returns: whether the worker made changes in sysfs that are not undone (VvDeadline) */
gboolean vv_worker_touched (VvWorker *worker);

/** vv_worker_free: frees the worker; kills its process if that has not sent its report */
void vv_worker_free (VvWorker *worker);

/**
 * vv_worker_run:
 *
 * Runs @func in a process like a worker's, for work that may wait for the kernel. The daemon does not wait
 * for the process.
 */
void vv_worker_run (void (*func) (const VvContext *context), const VvContext *context);

/**
 * vv_worker_rescue:
 *
 * Runs vv_hotplug_rescue() in a process, as vv_worker_run() does. For an @announcement whose process died
 * before it opened drivers_probe.
 */
void vv_worker_rescue (const VvContext *context, const VvAnnouncement *announcement);
