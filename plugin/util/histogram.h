/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * histogram: counts durations in buckets, and stores the counts in a key file.
 *
 * Owns: the bounds of the buckets, which all histograms share. Knows nothing of what is measured, nor of the
 * readers of the numbers.
 */
#pragma once

#include <glib.h>

/** Number of buckets with an upper bound. One more bucket counts longer durations. */
#define VV_BUCKETS 12

/** Largest count, 2^53 - 1: every JSON reader represents integers exactly up to this value. */
#define VV_COUNT_MAX G_GUINT64_CONSTANT (9007199254740991)

/**
 * VvHistogram:
 * @counts: number of durations in each bucket; not cumulative
 * @sum_usec: sum of all durations, microseconds
 */
typedef struct {
  guint64 counts[VV_BUCKETS + 1];
  guint64 sum_usec;
} VvHistogram;

/** vv_histogram_bound: Returns: the longest duration of bucket @bucket (below VV_BUCKETS), microseconds */
guint64 vv_histogram_bound (guint bucket);

/** vv_histogram_add: Counts a duration in microseconds; a negative duration counts as 0 */
void vv_histogram_add (VvHistogram *histogram, gint64 usec);

/** vv_histogram_total: Returns: the number of durations in all buckets */
guint64 vv_histogram_total (const VvHistogram *histogram);

/** vv_histogram_write: Sets the keys buckets (a list) and sum-us in @group */
void vv_histogram_write (const VvHistogram *histogram, GKeyFile *file, const char *group);

/**
 * vv_histogram_read:
 *
 * Reads what vv_histogram_write() writes.
 *
 * Returns: FALSE, with @histogram empty, if @group does not have one number for each bucket, or if a number
 * or the total exceeds VV_COUNT_MAX
 */
gboolean vv_histogram_read (VvHistogram *histogram, GKeyFile *file, const char *group);
