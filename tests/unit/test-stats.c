/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of stats: counters, durations and the last rebinds, in the JSON output.
 */
#include "stats.h"

#define MANY 1024
#define CHANGES 16

static JsonNode *
written (const VvStats *stats)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();

  json_builder_begin_object (b);
  vv_stats_write (stats, b);
  json_builder_end_object (b);
  return json_builder_get_root (b);
}

static JsonObject *
object (JsonNode *status, const char *name)
{
  JsonObject *found = json_object_get_object_member (json_node_get_object (status), name);

  g_assert_nonnull (found);
  return found;
}

static JsonArray *
changes_of (JsonNode *status)
{
  return json_object_get_array_member (json_node_get_object (status), "changes");
}

static JsonObject *
change (JsonNode *status, guint n)
{
  return json_array_get_object_element (changes_of (status), n);
}

static void
assert_number (JsonObject *o, const char *name, gint64 expected)
{
  g_assert_true (json_object_has_member (o, name));
  g_assert_cmpint (json_object_get_int_member (o, name), ==, expected);
}

static gint64
bucket (JsonNode *status, const char *name, guint n)
{
  JsonArray *buckets = json_object_get_array_member (object (status, name), "buckets");

  g_assert_cmpuint (json_array_get_length (buckets), ==, VV_BUCKETS + 1);
  return json_object_get_int_member (json_array_get_object_element (buckets, n), "count");
}

static void
add_change (VvStats *stats, const char *device, gint64 blocked, gint64 own)
{
  g_autoptr (GKeyFile) report = g_key_file_new ();

  g_key_file_set_string (report, "change", "device", device);
  g_key_file_set_int64 (report, "change", "kernel-us", blocked - own);
  vv_stats_change (stats, report, blocked);
}

static void
add_outcome (VvStats *stats, const char *outcome)
{
  g_autoptr (GKeyFile) report = g_key_file_new ();

  g_key_file_set_string (report, "change", "outcome", outcome);
  vv_stats_change (stats, report, 1);
}

static void
test_nothing_yet (void)
{
  static const char *const outcomes[] = {"detached", "fell_back", "reattached", "left_alone",
                                         "failed",   "refused",   "deadline",   "crashed"};
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (JsonNode) status = written (stats);

  for (gsize i = 0; i < G_N_ELEMENTS (outcomes); i++)
    assert_number (object (status, "outcomes"), outcomes[i], 0);
  assert_number (object (status, "blocked"), "count", 0);
  assert_number (object (status, "own"), "count", 0);
  assert_number (object (status, "blocked"), "max_us", 0);
  g_assert_cmpint (bucket (status, "blocked", 0), ==, 0);
  g_assert_cmpuint (json_array_get_length (changes_of (status)), ==, 0);
}

static void
test_outcomes_are_counted (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  add_outcome (stats, "detached");
  add_outcome (stats, "detached");
  add_outcome (stats, "crashed");
  add_outcome (stats, "unheard-of");
  g_autoptr (JsonNode) status = written (stats);
  assert_number (object (status, "outcomes"), "detached", 2);
  assert_number (object (status, "outcomes"), "crashed", 1);
  assert_number (object (status, "outcomes"), "failed", 0);
  g_assert_false (json_object_has_member (object (status, "outcomes"), "unheard_of"));
}

static void
test_one_change (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  add_change (stats, "0000:3b:00.1", 700, 30);
  g_autoptr (JsonNode) status = written (stats);
  g_assert_cmpstr (json_object_get_string_member (change (status, 0), "device"), ==, "0000:3b:00.1");
  g_assert_true (json_object_get_null_member (change (status, 0), "why"));
  assert_number (change (status, 0), "blocked_us", 700);
  assert_number (change (status, 0), "own_us", 30);
  g_assert_cmpint (json_object_get_int_member (change (status, 0), "time"), >, 0);
  assert_number (object (status, "blocked"), "count", 1);
  assert_number (object (status, "blocked"), "max_us", 700);
  assert_number (object (status, "own"), "max_us", 30);
}

/* The text may come from a script. */
static void
test_text_can_be_shown (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) report = g_key_file_new ();
  g_autofree char *endless = g_strnfill (2000, 'y');
  g_autofree char *failed = g_strconcat ("a\033[2Jb\302\233c\342\200\256d\ne\\f\";\303\274", endless, NULL);

  g_key_file_set_string (report, "change", "failed", failed);
  vv_stats_change (stats, report, 1);
  g_autoptr (JsonNode) status = written (stats);
  const char *text = json_object_get_string_member (change (status, 0), "failed");
  g_assert_true (g_str_has_prefix (text, "a?[2Jb?c?d e\\f\";\303\274yyy"));
  g_assert_true (g_str_has_suffix (text, "yyy..."));
  g_assert_cmpint (g_utf8_strlen (text, -1), ==, 1003);
}

static void
test_phases (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) report = g_key_file_new ();

  g_key_file_set_int64 (report, "change", "bind-us", 8500);
  vv_stats_change (stats, report, 1);
  g_autoptr (JsonNode) status = written (stats);
  JsonObject *phases = json_object_get_object_member (change (status, 0), "phases");
  assert_number (phases, "bind_us", 8500);
  g_assert_true (json_object_get_null_member (phases, "reply_us"));
  g_assert_cmpuint (json_object_get_size (phases), ==, 9);
}

/* A worker that crashed reports no phases. */
static void
test_phases_of_a_crash (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) report = g_key_file_new ();

  g_key_file_set_string (report, "change", "outcome", "crashed");
  vv_stats_change (stats, report, 1000);
  g_autoptr (JsonNode) status = written (stats);
  JsonObject *phases = json_object_get_object_member (change (status, 0), "phases");
  g_autoptr (GList) names = json_object_get_members (phases);
  g_assert_cmpuint (g_list_length (names), ==, 9);
  for (GList *i = names; i; i = i->next)
    g_assert_true (json_object_get_null_member (phases, i->data));
}

static void
test_phases_add_up (void)
{
  static const char *const phases[] = {"wait",   "find",  "select", "module", "bind",
                                       "script", "state", "other",  "reply"};
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) report = g_key_file_new ();

  for (guint i = 0; i < 8; i++) {
    g_autofree char *key = g_strconcat (phases[i], "-us", NULL);
    g_key_file_set_int64 (report, "change", key, 1 << i);
  }
  vv_stats_change (stats, report, 1000);
  g_autoptr (JsonNode) status = written (stats);
  JsonObject *told = json_object_get_object_member (change (status, 0), "phases");
  for (guint i = 0; i < 9; i++) {
    g_autofree char *name = g_strconcat (phases[i], "_us", NULL);
    assert_number (told, name, i < 8 ? 1 << i : 1000 - 255);
  }
}

static void
test_newest_changes_come_first (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  for (guint i = 0; i < CHANGES + 5; i++)
    add_change (stats, "0000:3b:00.1", i, 0);
  g_autoptr (JsonNode) status = written (stats);
  assert_number (change (status, 0), "blocked_us", CHANGES + 4);
  assert_number (change (status, 15), "blocked_us", 5);
  g_assert_cmpuint (json_array_get_length (changes_of (status)), ==, CHANGES);
}

static void
test_buckets (void)
{
  g_autoptr (VvStats) stats = vv_stats_new ();

  add_change (stats, "0000:3b:00.1", 100, 0);
  for (guint i = 0; i < MANY; i++)
    add_change (stats, "0000:3b:00.1", 101, 99);
  add_change (stats, "0000:3b:00.1", 30000001, -5);
  g_autoptr (JsonNode) status = written (stats);
  g_assert_cmpint (bucket (status, "blocked", 0), ==, 1);
  g_assert_cmpint (bucket (status, "blocked", 1), ==, MANY);
  g_assert_cmpint (bucket (status, "blocked", VV_BUCKETS), ==, 1);
  g_assert_cmpint (bucket (status, "own", 0), ==, MANY + 2);
  assert_number (object (status, "blocked"), "count", MANY + 2);
  assert_number (object (status, "blocked"), "max_us", 30000001);
  assert_number (object (status, "blocked"), "sum_us", 100 + MANY * 101 + 30000001);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stats/nothing-yet", test_nothing_yet);
  g_test_add_func ("/stats/outcomes-are-counted", test_outcomes_are_counted);
  g_test_add_func ("/stats/one-change", test_one_change);
  g_test_add_func ("/stats/text-can-be-shown", test_text_can_be_shown);
  g_test_add_func ("/stats/phases", test_phases);
  g_test_add_func ("/stats/phases/of-a-crash", test_phases_of_a_crash);
  g_test_add_func ("/stats/phases/add-up", test_phases_add_up);
  g_test_add_func ("/stats/buckets", test_buckets);
  g_test_add_func ("/stats/newest-changes-come-first", test_newest_changes_come_first);
  return g_test_run ();
}
