/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * counters: the number, duration and failures of rebinds since boot (rule R9).
 *
 * Owns: the file "counters" in the directory of the state store: its format, its lock, and the classification
 * of rebinds. Each process that rebinds a device counts. A counter that cannot be written never makes a
 * rebind fail. Knows nothing of how devices are rebound, nor of how the numbers are shown.
 */
#pragma once

#include "change.h"
#include "histogram.h"
#include "state-store.h"

/** The maximum number of rows. Further drivers are counted as VV_COUNTERS_OTHER. */
#define VV_COUNTERS_ROWS 128

/** In place of a driver name: no driver; no particular driver; drivers without a row of their own */
#define VV_COUNTERS_NONE "none"
#define VV_COUNTERS_ANY "any"
#define VV_COUNTERS_OTHER "other"

/** VvCounterStep: the steps at which a candidate can fail, as in VvAttempt */
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
 * @driver: the resulting driver; for a failure, the requested driver
 * @done: rebinds to the first choice
 * @fell_back: rebinds to @driver after a better driver failed
 * @failed: failed rebinds
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
 * @rows: (element-type VvCounterRow): in the order in which they were added
 * @steps: failed candidates by step, whether or not the rebind succeeded
 * @durations: of the rebinds that succeeded, by VvOperation
 */
typedef struct {
  GPtrArray *rows;
  guint64 steps[VV_COUNTERS_STEPS];
  VvHistogram durations[2];
} VvCounters;

/**
 * vv_counters_read:
 *
 * Returns: (transfer full): the counters since boot, empty if there is no file yet; NULL with @error set when
 * the file cannot be read or is damaged
 */
VvCounters *vv_counters_read (const VvStateStore *store, GError **error);
void vv_counters_free (VvCounters *counters);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCounters, vv_counters_free)

/**
 * vv_counters_add:
 *
 * Counts a successful or failed rebind. Ignores a rebind that changed nothing without a failed candidate.
 * Ignores errors that are not failures of vfio-variant: VV_ERROR_REFUSED, VV_ERROR_NO_DEVICE and
 * VV_ERROR_INVALID. Waits up to one second for other processes that count. Replaces a damaged file, with a
 * warning. Logs any other failure to count as a debug message, once for each process.
 */
void vv_counters_add (const VvStateStore *store, const VvChange *change);
