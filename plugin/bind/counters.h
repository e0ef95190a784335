/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * counters: how often devices changed hands since boot, how long that took, and what failed (rule R9).
 *
 * Owns: the file "counters" in the directory of the state store: its format, its lock, and what is counted as
 * what. Whoever moves a device counts; to fail at that never makes a change fail. Knows nothing of how
 * devices move, nor of how the numbers are shown.
 */
#pragma once

#include "change.h"
#include "histogram.h"
#include "state-store.h"

/** Rows at the most; what comes then is counted for the driver VV_COUNTERS_OTHER. */
#define VV_COUNTERS_ROWS 128

/** In place of a driver's name: none; not said which; those that have no row of their own */
#define VV_COUNTERS_NONE "none"
#define VV_COUNTERS_ANY "any"
#define VV_COUNTERS_OTHER "other"

/** VvCounterStep: the steps at which a candidate can fail, as VvAttempt has them */
typedef enum {
  VV_COUNTERS_LOAD,
  VV_COUNTERS_DRIVER,
  VV_COUNTERS_OVERRIDE,
  VV_COUNTERS_UNBIND,
  VV_COUNTERS_HOOK,
  VV_COUNTERS_BIND,
  VV_COUNTERS_VERIFY,
  VV_COUNTERS_DEADLINE,
  VV_COUNTERS_STEPS,
} VvCounterStep;

/** vv_counter_step_name: Returns: "load" and so on */
const char *vv_counter_step_name (VvCounterStep step);

/**
 * VvCounterRow:
 * @operation: the direction
 * @driver: the driver arrived at; of a failure the one that was wanted
 * @done: changes to the first choice
 * @fell_back: changes to @driver after a better one had failed
 * @failed: changes that came to nothing
 */
typedef struct {
  VvOperation operation;
  char *driver;
  guint64 done;
  guint64 fell_back;
  guint64 failed;
} VvCounterRow;

/**
 * VvCounters:
 * @rows: (element-type VvCounterRow): in the order in which they first came
 * @steps: candidates that failed, by step, whatever came of the change
 * @durations: of the changes that did not fail, by VvOperation
 */
typedef struct {
  GPtrArray *rows;
  guint64 steps[VV_COUNTERS_STEPS];
  VvHistogram durations[2];
} VvCounters;

/**
 * vv_counters_read:
 *
 * Returns: (transfer full): what was counted since boot, nothing when nobody counted yet; NULL with @error
 * set when the file cannot be read or is damaged
 */
VvCounters *vv_counters_read (const VvStateStore *store, GError **error);
void vv_counters_free (VvCounters *counters);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCounters, vv_counters_free)

/**
 * vv_counters_add:
 *
 * Counts a change, or that it came to nothing; one that found nothing to do and had nothing fail is none, and
 * one that was refused is no failure. Waits for other processes that count, at most for a second. A damaged
 * file is begun afresh, with a warning; whatever else keeps it from being counted is a debug message, once
 * for each process.
 */
void vv_counters_add (const VvStateStore *store, const VvChange *change);
