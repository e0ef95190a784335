/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stats.h"

#include <string.h>

#define CHANGES 16

typedef struct {
  gint64 most;
  VvHistogram histogram;
} Latency;

struct VvStats {
  guint64 outcomes[VV_GATE_OUTCOMES];
  Latency held, own;
  GQueue changes; /* of GKeyFile with the group "change", newest first */
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
  g_queue_clear_full (&stats->changes, (GDestroyNotify)g_key_file_unref);
  g_free (stats);
}

void
vv_stats_outcome (VvStats *stats, const char *outcome)
{
  for (gsize i = 0; i < VV_GATE_OUTCOMES; i++)
    if (strcmp (vv_gate_outcomes[i], outcome) == 0)
      stats->outcomes[i]++;
}

static void
add_duration (Latency *latency, gint64 usec)
{
  latency->most = MAX (latency->most, usec);
  vv_histogram_add (&latency->histogram, usec);
}

static void
copy_group (GKeyFile *from, const char *from_group, GKeyFile *to, const char *to_group)
{
  g_auto (GStrv) keys = g_key_file_get_keys (from, from_group, NULL, NULL);

  for (char **key = keys; key && *key; key++) {
    g_autofree char *value = g_key_file_get_value (from, from_group, *key, NULL);
    g_key_file_set_value (to, to_group, *key, value);
  }
}

void
vv_stats_change (VvStats *stats, GKeyFile *report, const char *group, gint64 held_usec, gint64 own_usec)
{
  GKeyFile *change = g_key_file_new ();

  copy_group (report, group, change, "change");
  g_key_file_set_int64 (change, "change", "time", g_get_real_time ());
  g_key_file_set_int64 (change, "change", "held-us", held_usec);
  g_key_file_set_int64 (change, "change", "own-us", own_usec);
  g_queue_push_head (&stats->changes, change);
  if (stats->changes.length > CHANGES)
    g_key_file_unref (g_queue_pop_tail (&stats->changes));
  add_duration (&stats->held, held_usec);
  add_duration (&stats->own, own_usec);
}

static void
write_latency (const Latency *latency, GKeyFile *file, const char *group)
{
  guint64 count = vv_histogram_total (&latency->histogram);

  g_key_file_set_uint64 (file, group, "count", count);
  if (!count)
    return;
  g_key_file_set_int64 (file, group, "max-us", latency->most);
  vv_histogram_write (&latency->histogram, file, group);
}

void
vv_stats_write (const VvStats *stats, GKeyFile *file)
{
  guint number = 1;

  for (gsize i = 0; i < VV_GATE_OUTCOMES; i++)
    g_key_file_set_uint64 (file, "outcomes", vv_gate_outcomes[i], stats->outcomes[i]);
  write_latency (&stats->held, file, "held");
  write_latency (&stats->own, file, "own");
  for (GList *i = stats->changes.head; i; i = i->next) {
    g_autofree char *group = g_strdup_printf ("change %u", number++);
    copy_group (i->data, "change", file, group);
  }
}

void
vv_stats_figures (const VvStats *stats, VvDaemonFigures *figures)
{
  memcpy (figures->outcomes, stats->outcomes, sizeof figures->outcomes);
  figures->held = stats->held.histogram;
  figures->own = stats->own.histogram;
}
