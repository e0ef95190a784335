/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * reconcile: makes the state store agree with the domains that run, where no hook of libvirt's says so: at
 * hot plug and hot unplug.
 *
 * Owns: the comparison, and what follows from it for each entry. A device that a running domain has is marked
 * as that domain's. One that its domain has no more, and that libvirt has not brought home within a grace
 * period, is mended as the hook "release" would. Never touches an entry without a domain, or one whose domain
 * is on its way up: the administrator and the hook own those. Knows nothing of libvirt, of clocks or of the
 * daemon: it is told who runs and what time it is.
 */
#pragma once

#include "domain-xml.h"
#include "context.h"

/** VvReconciler: remembers since when a device is missed, and which problems were already said */
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
 * @running: (element-type VvDomain): all domains that run; one that is left out loses its devices
 * @starting: (element-type VvDomain): those that are not there yet: their devices are left alone
 * @now: monotonic time, microseconds
 *
 * Returns: in how many microseconds a grace period ends, so that it must be run again; -1 when none is under
 * way
 */
gint64 vv_reconciler_run (VvReconciler *reconciler, const GPtrArray *running, const GPtrArray *starting,
                          gint64 now);
