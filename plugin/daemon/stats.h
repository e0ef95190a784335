/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * stats: what the daemon tells of itself: counters, latencies, the last rebinds.
 *
 * Owns: the numbers, in memory, and how they are written in the status (status.schema.json). Knows nothing of
 * where they come from.
 */
#pragma once

#include "json.h"
#include "metrics.h"

/** The group of a report */
#define VV_REPORT "change"

typedef struct VvStats VvStats;

VvStats *vv_stats_new (void);
void vv_stats_free (VvStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvStats, vv_stats_free)

/**
 * vv_stats_change:
 * @report: what a worker has written (worker.h), or at least device and outcome: the newest change
 * @blocked_usec: how long libvirt was blocked, microseconds
 */
void vv_stats_change (VvStats *stats, GKeyFile *report, gint64 blocked_usec);

/** vv_stats_write: adds the members outcomes, held, own and changes to an object */
void vv_stats_write (const VvStats *stats, JsonBuilder *builder);
