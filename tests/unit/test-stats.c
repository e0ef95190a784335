/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * stats: counters, durations, and the last changes, as they come out in the key file.
 */
#include "stats.h"

#define MANY 1024
#define CHANGES 16

static GKeyFile *
written (const VvStats *stats)
{
  GKeyFile *file = g_key_file_new ();

  vv_stats_write (stats, file);
  return file;
}

static void
assert_number (GKeyFile *file, const char *group, const char *key, gint64 expected)
{
  g_autoptr (GError) error = NULL;
  gint64 number = g_key_file_get_int64 (file, group, key, &error);

  g_assert_no_error (error);
  g_assert_cmpint (number, ==, expected);
}

static void
add_change (VvStats *stats, const char *device, gint64 held, gint64 own)
{
  g_autoptr (GKeyFile) report = g_key_file_new ();

  g_key_file_set_string (report, "change", "device", device);
  vv_stats_change (stats, report, "change", held, own);
}

static void
test_nothing_yet (void)
{
  static const char *const outcomes[] = {"detached", "fell-back", "reattached", "left-alone",
                                         "failed",   "refused",   "deadline",   "crashed"};
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) file = written (stats);

  for (gsize i = 0; i < G_N_ELEMENTS (outcomes); i++)
    assert_number (file, "outcomes", outcomes[i], 0);
  assert_number (file, "held", "count", 0);
  assert_number (file, "own", "count", 0);
  g_assert_false (g_key_file_has_key (file, "held", "max-us", NULL));
  g_assert_false (g_key_file_has_group (file, "change 1"));
}

static void
test_outcomes_are_counted (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  vv_stats_outcome (stats, "detached");
  vv_stats_outcome (stats, "detached");
  vv_stats_outcome (stats, "crashed");
  vv_stats_outcome (stats, "unheard-of");
  g_autoptr (GKeyFile) file = written (stats);
  assert_number (file, "outcomes", "detached", 2);
  assert_number (file, "outcomes", "crashed", 1);
  assert_number (file, "outcomes", "failed", 0);
  g_assert_false (g_key_file_has_key (file, "outcomes", "unheard-of", NULL));
}

static void
test_one_change (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  add_change (stats, "0000:3b:00.1", 700, 30);
  g_autoptr (GKeyFile) file = written (stats);
  g_autofree char *device = g_key_file_get_string (file, "change 1", "device", NULL);
  g_assert_cmpstr (device, ==, "0000:3b:00.1");
  assert_number (file, "change 1", "held-us", 700);
  assert_number (file, "change 1", "own-us", 30);
  g_assert_cmpint (g_key_file_get_int64 (file, "change 1", "time", NULL), >, 0);
  assert_number (file, "held", "count", 1);
  assert_number (file, "held", "max-us", 700);
  assert_number (file, "own", "max-us", 30);
}

/* Text of a script's may have every character; a key file has its own spelling for them. */
static void
test_text_is_kept (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) report = g_key_file_new ();

  g_key_file_set_string (report, "change", "failed", " a\\b\nc;\t[d]\xc3\xbc ");
  vv_stats_change (stats, report, "change", 1, 1);
  g_autoptr (GKeyFile) file = written (stats);
  g_autofree char *text = g_key_file_get_string (file, "change 1", "failed", NULL);
  g_assert_cmpstr (text, ==, " a\\b\nc;\t[d]\xc3\xbc ");
}

static void
test_newest_changes_come_first (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  for (guint i = 0; i < CHANGES + 5; i++)
    add_change (stats, "0000:3b:00.1", i, 0);
  g_autoptr (GKeyFile) file = written (stats);
  assert_number (file, "change 1", "held-us", CHANGES + 4);
  assert_number (file, "change 16", "held-us", 5);
  g_assert_false (g_key_file_has_group (file, "change 17"));
}

/* The buckets are of all, and come out the same in the key file and as figures. */
static void
test_buckets (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  VvDaemonFigures figures = {0};
  VvHistogram read;

  add_change (stats, "0000:3b:00.1", 100, 0);
  for (guint i = 0; i < MANY; i++)
    add_change (stats, "0000:3b:00.1", 101, 99);
  add_change (stats, "0000:3b:00.1", 30000001, -5);
  vv_stats_outcome (stats, "fell-back");
  vv_stats_figures (stats, &figures);
  g_assert_cmpuint (figures.held.counts[0], ==, 1);
  g_assert_cmpuint (figures.held.counts[1], ==, MANY);
  g_assert_cmpuint (figures.held.counts[VV_BUCKETS], ==, 1);
  g_assert_cmpuint (figures.held.sum_usec, ==, 100 + MANY * 101 + 30000001);
  g_assert_cmpuint (figures.own.counts[0], ==, MANY + 2);
  g_assert_cmpuint (figures.outcomes[1], ==, 1);
  g_autoptr (GKeyFile) file = written (stats);
  assert_number (file, "held", "count", MANY + 2);
  assert_number (file, "held", "max-us", 30000001);
  g_assert_true (vv_histogram_read (&read, file, "held"));
  g_assert_cmpmem (&read, sizeof read, &figures.held, sizeof figures.held);
  g_assert_false (vv_histogram_read (&read, file, "opens"));
  g_assert_cmpuint (vv_histogram_total (&read), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stats/nothing-yet", test_nothing_yet);
  g_test_add_func ("/stats/outcomes-are-counted", test_outcomes_are_counted);
  g_test_add_func ("/stats/one-change", test_one_change);
  g_test_add_func ("/stats/text-is-kept", test_text_is_kept);
  g_test_add_func ("/stats/buckets", test_buckets);
  g_test_add_func ("/stats/newest-changes-come-first", test_newest_changes_come_first);
  return g_test_run ();
}
