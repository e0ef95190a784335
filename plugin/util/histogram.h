/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * histogram: durations counted in buckets, and their spelling in a key file.
 *
 * Owns: the bounds of the buckets, which are the same for everything that is counted. Knows nothing of what
 * takes the time, nor of who reads the numbers.
 */
#pragma once

#include <glib.h>

/** Buckets with an upper bound; one more takes what is longer than the last bound. */
#define VV_BUCKETS 12

/** The most that is counted, 2^53 - 1: up to there a number is the same in every reader. */
#define VV_COUNT_MAX G_GUINT64_CONSTANT (9007199254740991)

/**
 * VvHistogram:
 * @counts: durations in each bucket, not those in the buckets before it
 * @sum_usec: of all durations, microseconds
 */
typedef struct {
  guint64 counts[VV_BUCKETS + 1];
  guint64 sum_usec;
} VvHistogram;

/** vv_histogram_bound: Returns: the longest duration in bucket @bucket (below VV_BUCKETS), microseconds */
guint64 vv_histogram_bound (guint bucket);

/** vv_histogram_add: counts a duration in microseconds; a negative one as none */
void vv_histogram_add (VvHistogram *histogram, gint64 usec);

/** vv_histogram_total: Returns: how many durations were counted */
guint64 vv_histogram_total (const VvHistogram *histogram);

/** vv_histogram_write: sets the keys buckets (a list) and sum-us of @group */
void vv_histogram_write (const VvHistogram *histogram, GKeyFile *file, const char *group);

/**
 * vv_histogram_read:
 *
 * Returns: FALSE, with @histogram empty, when @group does not hold what vv_histogram_write() writes: a number
 * for each bucket, each number and their total at most VV_COUNT_MAX
 */
gboolean vv_histogram_read (VvHistogram *histogram, GKeyFile *file, const char *group);
