/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * stats: the daemon's statistics: counters, latencies, and the last rebinds.
 *
 * Owns: the numbers, in memory, and their form in the status (status.schema.json). Knows nothing of where
 * they are from.
 */
#pragma once

#include "json.h"
#include "metrics.h"

/** The key file group of a worker's report */
#define VV_REPORT "change"

typedef struct VvStats VvStats;

VvStats *vv_stats_new (void);
void vv_stats_free (VvStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvStats, vv_stats_free)

/**
 * vv_stats_change:
 * @report: a worker's report (worker.h), or at least device and outcome
 * @blocked_usec: how long libvirt was blocked, in microseconds
 *
 * Counts a rebind, and adds it to the last rebinds.
 */
void vv_stats_change (VvStats *stats, GKeyFile *report, gint64 blocked_usec);

/** vv_stats_write: adds the members outcomes, blocked, own and changes to an object */
void vv_stats_write (const VvStats *stats, JsonBuilder *builder);
