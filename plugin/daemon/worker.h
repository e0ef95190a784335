/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * worker: a process of its own for one device that libvirt is moving.
 *
 * A module that takes long to load, a probe of 30 seconds, a crash: none of it may keep the gate from
 * answering others, nor keep the fanotify descriptors open when the daemon is killed, as a thread that is
 * stuck in the kernel would. Hence a process. It is forked when a device is announced, from a daemon that
 * has one thread and a context with everything read already; so it starts at once and is ready by the time
 * that libvirt has unbound the device. It dies with the daemon.
 *
 * Owns: the fork, the messages to and fro, the report that comes back. Knows nothing of fanotify.
 */
#pragma once

#include "gate.h"
#include "hotplug.h"

typedef struct VvWorker VvWorker;

/**
 * VvWorkerClient:
 * @read: driver_override was read; @override: (nullable): it
 * @finished: the work is done and @report says how it went, or the process died and @report is NULL; the
 * worker is still to be freed. The report's group VV_REPORT has the keys device, operation, from, to,
 * outcome, why, failed (what went wrong), kernel-us (spent in the kernel and in scripts), and the phases
 * (vv_phase_timer_write())
 */
typedef struct {
  void (*read) (const char *override, gpointer data);
  void (*finished) (GKeyFile *report, gpointer data);
} VvWorkerClient;

/** The outcome of a device that libvirt is refused. */
#define VV_REFUSED "refused"

/**
 * vv_worker_start:
 *
 * A process that reads the driver_override which the blocked thread of @announcement is going to write, gets
 * ready for what it says, and then waits.
 *
 * Returns: (transfer full): the worker; NULL with @error set when there can be no process
 */
VvWorker *vv_worker_start (const VvContext *context, const VvAnnouncement *announcement,
                           const VvWorkerClient *client, gpointer data, GError **error);

/**
 * vv_worker_release:
 *
 * After one died that had touched the device: a process that makes the device fit for libvirt's own way
 * (vv_binding_reset_override()), at once. When libvirt was released, and has restored it, that process puts
 * its driver_override and its entry right.
 *
 * Returns: (transfer full) (nullable): as vv_worker_start(); its report says that the first one died
 */
VvWorker *vv_worker_release (const VvContext *context, const VvAnnouncement *announcement,
                             const VvWorkerClient *client, gpointer data);

/** vv_worker_go: libvirt is blocked @since, until @deadline (both by g_get_monotonic_time()): do it */
void vv_worker_go (VvWorker *worker, gint64 since, gint64 deadline);

/** vv_worker_touched: Returns: whether it has written to sysfs what is not undone yet (VvDeadline) */
gboolean vv_worker_touched (VvWorker *worker);

/** vv_worker_free: kills it when it still works */
void vv_worker_free (VvWorker *worker);

/**
 * vv_worker_run:
 *
 * Runs @func in a process like a worker's, for work that may wait for the kernel; nobody waits for it.
 */
void vv_worker_run (void (*func) (const VvContext *context), const VvContext *context);

/**
 * vv_worker_rescue:
 *
 * After the process died that made @announcement and had gone no further: a process that undoes or finishes
 * what it had begun (vv_hotplug_rescue()), as vv_worker_run() has it.
 */
void vv_worker_rescue (const VvContext *context, const VvAnnouncement *announcement);
