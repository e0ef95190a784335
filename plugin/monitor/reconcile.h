/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * reconcile: makes the state store consistent with the running domains at hot plug and hot unplug, where
 * libvirt runs no hook.
 *
 * Owns: the comparison, and the action for each entry. Marks a device that a running domain has as that
 * domain's. If a domain no longer has its device, libvirt may restore the device within a grace period. After
 * that, reconcile restores it, as the hook does at "release". Does not restore the device of an entry without
 * a domain, or whose domain is starting: the administrator or the hook owns that entry. Knows nothing of
 * libvirt, of clocks or of the daemon: the caller passes the domains and the time.
 */
#pragma once

#include "domain-xml.h"
#include "context.h"

/** VvReconciler: remembers since when a device is missing in its domain, and which problems were logged */
typedef struct VvReconciler VvReconciler;

/**
 * vv_reconciler_new:
 * @grace_ms: how long libvirt may take to restore a device, in milliseconds
 *
 * Returns: (transfer full): the reconciler; @context must live longer
 */
VvReconciler *vv_reconciler_new (const VvContext *context, guint grace_ms);
void vv_reconciler_free (VvReconciler *reconciler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvReconciler, vv_reconciler_free)

/**
 * vv_reconciler_run:
 * @running: (element-type VvDomain): all running domains; a domain that is not in it loses its devices
 * @starting: (element-type VvDomain): domains that are starting; their devices are left alone
 * @now: monotonic time, in microseconds
 *
 * Compares each entry with the domains, and acts on it. Logs each problem once.
 *
 * Returns: in how many microseconds the next grace period ends, after which the caller must run this
 * function again; -1: none has begun
 */
gint64 vv_reconciler_run (VvReconciler *reconciler, const GPtrArray *running, const GPtrArray *starting,
                          gint64 now);
