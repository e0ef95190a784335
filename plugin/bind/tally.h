/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tally: how often devices changed hands since boot, how long that took, and what failed (rule R9).
 *
 * Owns: the file "tally" in the directory of the journal: its format, its lock, and what is counted as what.
 * Whoever moves a device counts; to fail at that never makes a change fail. Knows nothing of how devices
 * move, nor of how the numbers are shown.
 */
#pragma once

#include "change.h"
#include "histogram.h"
#include "journal.h"

/** Rows that a tally has at the most; what comes then is counted for the driver VV_TALLY_OTHER. */
#define VV_TALLY_ROWS 128

/** In place of a driver's name: none; not said which; those that have no row of their own */
#define VV_TALLY_NONE "none"
#define VV_TALLY_ANY "any"
#define VV_TALLY_OTHER "other"

/** VvTallyStep: the steps at which a candidate can fail, as VvAttempt has them */
typedef enum {
  VV_TALLY_LOAD,
  VV_TALLY_DRIVER,
  VV_TALLY_OVERRIDE,
  VV_TALLY_UNBIND,
  VV_TALLY_HOOK,
  VV_TALLY_BIND,
  VV_TALLY_VERIFY,
  VV_TALLY_DEADLINE,
  VV_TALLY_STEPS,
} VvTallyStep;

/** vv_tally_step_name: Returns: "load" and so on */
const char *vv_tally_step_name (VvTallyStep step);

/**
 * VvTallyRow:
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
} VvTallyRow;

/**
 * VvTally:
 * @rows: (element-type VvTallyRow): in the order in which they first came
 * @steps: candidates that failed, by step, whatever came of the change
 * @durations: of the changes that did not fail, by VvOperation
 */
typedef struct {
  GPtrArray *rows;
  guint64 steps[VV_TALLY_STEPS];
  VvHistogram durations[2];
} VvTally;

/**
 * vv_tally_read:
 *
 * Returns: (transfer full): what was counted since boot, nothing when nobody counted yet; NULL with @error
 * set when the file cannot be read or is damaged
 */
VvTally *vv_tally_read (const VvJournal *journal, GError **error);
void vv_tally_free (VvTally *tally);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvTally, vv_tally_free)

/**
 * vv_tally_count:
 *
 * Counts a change, or that it came to nothing; one that found nothing to do and had nothing fail is none, and
 * one that was refused is no failure. Waits for other processes that count, at most for a second. A damaged
 * file is begun afresh, with a warning; whatever else keeps it from being counted is a debug message, once
 * for each process.
 */
void vv_tally_count (const VvJournal *journal, const VvChange *change);
