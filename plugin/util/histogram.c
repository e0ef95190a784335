/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "histogram.h"

#include <string.h>

#define BUCKETS_KEY "buckets"
#define SUM_KEY "sum-us"

/* From a check that finds nothing to do, up to the deadline of the gate */
static const guint64 bounds[VV_BUCKETS] = {100,    300,    1000,    3000,    10000,    30000,
                                           100000, 300000, 1000000, 3000000, 10000000, 30000000};

guint64
vv_histogram_bound (guint bucket)
{
  return bounds[bucket];
}

void
vv_histogram_add (VvHistogram *histogram, gint64 usec)
{
  guint64 duration = (guint64)MAX (usec, 0);
  guint bucket = 0;

  while (bucket < VV_BUCKETS && duration > bounds[bucket])
    bucket++;
  histogram->counts[bucket]++;
  histogram->sum_usec = MIN (histogram->sum_usec + duration, VV_COUNT_MAX);
}

guint64
vv_histogram_total (const VvHistogram *histogram)
{
  guint64 total = 0;

  for (guint i = 0; i <= VV_BUCKETS; i++)
    total += histogram->counts[i];
  return total;
}

void
vv_histogram_write (const VvHistogram *histogram, GKeyFile *file, const char *group)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i <= VV_BUCKETS; i++)
    g_string_append_printf (list, "%" G_GUINT64_FORMAT ";", histogram->counts[i]);
  g_key_file_set_value (file, group, BUCKETS_KEY, list->str);
  g_key_file_set_uint64 (file, group, SUM_KEY, histogram->sum_usec);
}

static gboolean
read_number (const char *text, guint64 *number)
{
  return text && g_ascii_string_to_unsigned (text, 10, 0, VV_COUNT_MAX, number, NULL);
}

static gboolean
read_all (VvHistogram *histogram, GKeyFile *file, const char *group)
{
  g_autofree char *sum = g_key_file_get_value (file, group, SUM_KEY, NULL);
  g_auto (GStrv) numbers = g_key_file_get_string_list (file, group, BUCKETS_KEY, NULL, NULL);

  if (!numbers || g_strv_length (numbers) != VV_BUCKETS + 1 || !read_number (sum, &histogram->sum_usec))
    return FALSE;
  for (guint i = 0; i <= VV_BUCKETS; i++)
    if (!read_number (numbers[i], &histogram->counts[i]))
      return FALSE;
  return vv_histogram_total (histogram) <= VV_COUNT_MAX;
}

gboolean
vv_histogram_read (VvHistogram *histogram, GKeyFile *file, const char *group)
{
  gboolean sound = read_all (histogram, file, group);

  if (!sound)
    memset (histogram, 0, sizeof *histogram);
  return sound;
}
