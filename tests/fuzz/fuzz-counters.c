/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of counters: any file is read or refused. In both cases, the next rebind is counted: a number
 * that was read increases by one. The metrics are valid text.
 */
#include "fuzz.h"

#include "metrics.h"

static guint64
total (const VvCounters *counters)
{
  guint64 sum = 0;

  for (guint i = 0; i < counters->rows->len; i++) {
    const VvCounterRow *row = counters->rows->pdata[i];
    sum += row->done + row->fell_back + row->failed;
  }
  return sum;
}

/* The next increment would exceed the maximum, and the next reader would refuse the file. */
static gboolean
is_full (const VvCounters *counters)
{
  return total (counters) >= VV_COUNT_MAX ||
         vv_histogram_total (&counters->durations[VV_DETACH]) >= VV_COUNT_MAX;
}

/* Replacing a damaged file logs a warning each time. */
static GLogWriterOutput
drop_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  (void)level, (void)fields, (void)n, (void)data;
  return G_LOG_WRITER_HANDLED;
}

static void
keep_quiet (void)
{
  static gboolean done;

  if (!done)
    g_log_set_writer_func (drop_log, NULL, NULL);
  done = TRUE;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (VvStateStore) store = vv_state_store_open (fuzz_host (), FALSE, NULL);
  g_autoptr (VvChange) change = vv_change_new ("0000:3b:00.1", VV_DETACH, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *warning = NULL;

  keep_quiet ();
  fuzz_write ("run/vfio-variant/counters", data, size);
  g_autoptr (VvCounters) counters = vv_counters_read (store, &error);
  g_assert_true ((counters != NULL) == (error == NULL));
  g_autofree char *text = vv_metrics_text (store, NULL, VV_METRICS_OPENMETRICS, &warning);
  g_assert_true (g_utf8_validate (text, -1, NULL));
  g_assert_true ((warning != NULL) == (error != NULL));
  if (counters && is_full (counters))
    return 0;
  change->changed = TRUE;
  vv_counters_add (store, change);
  g_autoptr (VvCounters) again = vv_counters_read (store, NULL);
  g_assert_nonnull (again);
  g_assert_cmpuint (again->rows->len, <=, VV_COUNTERS_ROWS);
  g_assert_cmpuint (total (again), ==, (counters ? total (counters) : 0) + 1);
  return 0;
}
