/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stats.h"

#include <string.h>

#include "phase-timer.h"

#define CHANGES 16

typedef struct {
  gint64 most;
  VvHistogram histogram;
} Latency;

struct VvStats {
  guint64 outcomes[VV_GATE_OUTCOMES];
  Latency blocked, own;
  GQueue changes; /* of JsonNode, newest first */
};

VvStats *
vv_stats_new (void)
{
  VvStats *stats = g_new0 (VvStats, 1);

  g_queue_init (&stats->changes);
  return stats;
}

void
vv_stats_free (VvStats *stats)
{
  if (!stats)
    return;
  g_queue_clear_full (&stats->changes, (GDestroyNotify)json_node_unref);
  g_free (stats);
}

static void
add_duration (Latency *latency, gint64 usec)
{
  latency->most = MAX (latency->most, usec);
  vv_histogram_add (&latency->histogram, usec);
}

/* Returns a time of a report, limited to the valid range. */
static gint64
usec_of (GKeyFile *report, const char *key)
{
  return CLAMP (g_key_file_get_int64 (report, VV_REPORT, key, NULL), 0, (gint64)VV_COUNT_MAX);
}

static void
write_phase (JsonBuilder *b, const char *key, gboolean known, gint64 usec)
{
  g_autofree char *name = vv_json_key (key);

  if (known)
    vv_json_number (b, name, usec);
  else
    vv_json_string (b, name, NULL);
}

/* All phases are null if the worker did not finish. The worker cannot measure the last phase: it is the rest
 * of @blocked_usec. */
static void
write_phases (JsonBuilder *b, GKeyFile *report, gint64 blocked_usec)
{
  gint64 rest = blocked_usec;
  gboolean known = FALSE;

  json_builder_set_member_name (b, "phases");
  json_builder_begin_object (b);
  for (guint i = 0; i < VV_PHASE_REPLY; i++) {
    gint64 usec = usec_of (report, vv_phase_keys[i]);
    known = g_key_file_has_key (report, VV_REPORT, vv_phase_keys[i], NULL);
    write_phase (b, vv_phase_keys[i], known, usec);
    rest -= usec;
  }
  write_phase (b, vv_phase_keys[VV_PHASE_REPLY], known, rest);
  json_builder_end_object (b);
}

static JsonNode *
change_new (GKeyFile *report, gint64 blocked_usec, gint64 own_usec)
{
  static const char *const texts[] = {"device", "operation", "from", "to", "outcome", "why", "failed"};
  g_autoptr (JsonBuilder) b = json_builder_new ();

  json_builder_begin_object (b);
  vv_json_number (b, "time", g_get_real_time ());
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autofree char *text = g_key_file_get_string (report, VV_REPORT, texts[i], NULL);
    vv_json_printable (b, texts[i], text);
  }
  vv_json_number (b, "blocked_us", blocked_usec);
  vv_json_number (b, "own_us", own_usec);
  write_phases (b, report, blocked_usec);
  json_builder_end_object (b);
  return json_builder_get_root (b);
}

void
vv_stats_change (VvStats *stats, GKeyFile *report, gint64 blocked_usec)
{
  g_autofree char *outcome = g_key_file_get_string (report, VV_REPORT, "outcome", NULL);
  gint64 own_usec = MAX (blocked_usec - usec_of (report, "kernel-us"), 0);

  for (gsize i = 0; i < VV_GATE_OUTCOMES; i++)
    if (g_strcmp0 (vv_gate_outcomes[i], outcome) == 0)
      stats->outcomes[i]++;
  add_duration (&stats->blocked, blocked_usec);
  add_duration (&stats->own, own_usec);
  g_queue_push_head (&stats->changes, change_new (report, blocked_usec, own_usec));
  if (stats->changes.length > CHANGES)
    json_node_unref (g_queue_pop_tail (&stats->changes));
}

static void
write_buckets (JsonBuilder *b, const VvHistogram *histogram)
{
  json_builder_set_member_name (b, "buckets");
  json_builder_begin_array (b);
  for (guint i = 0; i <= VV_BUCKETS; i++) {
    json_builder_begin_object (b);
    if (i < VV_BUCKETS)
      vv_json_number (b, "up_to_us", (gint64)vv_histogram_bound (i));
    else
      vv_json_string (b, "up_to_us", NULL);
    vv_json_number (b, "count", (gint64)histogram->counts[i]);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

static void
write_latency (JsonBuilder *b, const char *name, const Latency *latency)
{
  json_builder_set_member_name (b, name);
  json_builder_begin_object (b);
  vv_json_number (b, "count", (gint64)vv_histogram_total (&latency->histogram));
  vv_json_number (b, "max_us", latency->most);
  vv_json_number (b, "sum_us", (gint64)latency->histogram.sum_usec);
  write_buckets (b, &latency->histogram);
  json_builder_end_object (b);
}

void
vv_stats_write (const VvStats *stats, JsonBuilder *b)
{
  json_builder_set_member_name (b, "outcomes");
  json_builder_begin_object (b);
  for (gsize i = 0; i < VV_GATE_OUTCOMES; i++) {
    g_autofree char *name = vv_json_key (vv_gate_outcomes[i]);
    vv_json_number (b, name, (gint64)stats->outcomes[i]);
  }
  json_builder_end_object (b);
  write_latency (b, "blocked", &stats->blocked);
  write_latency (b, "own", &stats->own);
  json_builder_set_member_name (b, "changes");
  json_builder_begin_array (b);
  for (GList *i = stats->changes.head; i; i = i->next)
    json_builder_add_value (b, json_node_copy (i->data));
  json_builder_end_array (b);
}
