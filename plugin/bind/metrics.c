/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "metrics.h"

#include <string.h>

#define PREFIX "vfio_variant_"
#define SECONDS "seconds"
#define UNKNOWN "unknown"

const char *const vv_gate_outcomes[] = {"detached", "fell-back", "reattached", "left-alone", "failed",
                                        "refused",  "deadline",  "crashed",    NULL};
G_STATIC_ASSERT (G_N_ELEMENTS (vv_gate_outcomes) == VV_GATE_OUTCOMES + 1);

typedef enum {
  COUNTER,
  GAUGE,
  HISTOGRAM,
  INFO,
} Type;

/* The text under construction. @family and @type belong to the next samples; the name has no prefix and no
 * suffix. */
typedef struct {
  GString *text;
  VvMetricsFormat format;
  const char *family;
  Type type;
} Writer;

/* --- the formats --- */

/* Prometheus names a family like its samples. OpenMetrics omits the suffix of the type. */
static const char *
suffix_of (Type type)
{
  return type == COUNTER ? "_total" : type == INFO ? "_info" : "";
}

/* @unit: (nullable): the last word of the family's name */
static void
family (Writer *w, const char *name, Type type, const char *unit, const char *help)
{
  static const char *const types[] = {"counter", "gauge", "histogram", "info"};
  gboolean open = w->format == VV_METRICS_OPENMETRICS;

  w->family = name;
  w->type = type;
  const char *suffix = open ? "" : suffix_of (type);
  g_string_append_printf (w->text, "# TYPE " PREFIX "%s%s %s\n", name, suffix,
                          type == INFO && !open ? "gauge" : types[type]);
  if (open && unit)
    g_string_append_printf (w->text, "# UNIT " PREFIX "%s %s\n", name, unit);
  g_string_append_printf (w->text, "# HELP " PREFIX "%s%s %s\n", name, suffix, help);
}

/* Both formats escape three characters. All other UTF-8 is allowed. */
static void
append_escaped (GString *text, const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value, -1);

  for (const char *p = valid; *p; p++)
    if (*p == '\n')
      g_string_append (text, "\\n");
    else if (*p == '\\' || *p == '"')
      g_string_append_printf (text, "\\%c", *p);
    else
      g_string_append_c (text, *p);
}

/* @labels: names and values in turn, terminated by NULL */
static void
sample (const Writer *w, guint64 value, const char *const labels[])
{
  char before = '{';

  g_string_append_printf (w->text, PREFIX "%s%s", w->family, suffix_of (w->type));
  for (const char *const *label = labels; *label; label += 2) {
    g_string_append_printf (w->text, "%c%s=\"", before, label[0]);
    append_escaped (w->text, label[1]);
    g_string_append_c (w->text, '"');
    before = ',';
  }
  g_string_append_printf (w->text, "%s %" G_GUINT64_FORMAT "\n", *labels ? "}" : "", value);
}

/* Writes a sample with one label, or without a label if @label is NULL. */
static void
plain_sample (const Writer *w, guint64 number, const char *label, const char *value)
{
  const char *const labels[] = {label, value, NULL};

  sample (w, number, labels);
}

/* Formats seconds exactly, independent of the locale, and in OpenMetrics' canonical form for bounds: 0.001,
 * 1.0. */
static char *
seconds (guint64 usec)
{
  g_autofree char *text =
      g_strdup_printf ("%" G_GUINT64_FORMAT ".%06u", usec / G_USEC_PER_SEC, (guint)(usec % G_USEC_PER_SEC));
  char *end = text + strlen (text) - 1;

  while (*end == '0' && end[-1] != '.')
    *end-- = '\0';
  return g_steal_pointer (&text);
}

/* @label: (nullable): with @value, a label that identifies this histogram in its family */
static void
histogram (const Writer *w, const VvHistogram *h, const char *label, const char *value)
{
  g_autofree char *pair = label ? g_strdup_printf ("%s=\"%s\"", label, value) : NULL;
  g_autofree char *labels = pair ? g_strdup_printf ("{%s}", pair) : g_strdup ("");
  g_autofree char *sum = seconds (h->sum_usec);
  guint64 so_far = 0;

  for (guint i = 0; i <= VV_BUCKETS; i++) {
    g_autofree char *bound = i < VV_BUCKETS ? seconds (vv_histogram_bound (i)) : g_strdup ("+Inf");
    so_far += h->counts[i];
    g_string_append_printf (w->text, PREFIX "%s_bucket{%s%sle=\"%s\"} %" G_GUINT64_FORMAT "\n", w->family,
                            pair ? pair : "", pair ? "," : "", bound, so_far);
  }
  g_string_append_printf (w->text, PREFIX "%s_count%s %" G_GUINT64_FORMAT "\n", w->family, labels, so_far);
  g_string_append_printf (w->text, PREFIX "%s_sum%s %s\n", w->family, labels, sum);
}

/* --- counters --- */

/* Also writes zeros, so that the first event is visible as an increase. */
static void
write_row (const Writer *w, const VvCounterRow *row)
{
  const struct {
    const char *name;
    guint64 count;
  } outcomes[] = {{"done", row->done}, {"fell-back", row->fell_back}, {"failed", row->failed}};

  for (gsize i = 0; i < G_N_ELEMENTS (outcomes); i++) {
    const char *const labels[] = {
        "operation", vv_operation_name (row->operation), "driver", row->driver, "outcome", outcomes[i].name,
        NULL};
    sample (w, outcomes[i].count, labels);
  }
}

static void
write_counters (Writer *w, const VvCounters *counters)
{
  static const VvOperation operations[] = {VV_DETACH, VV_REATTACH};

  family (w, "changes", COUNTER, NULL, "Rebinds since boot, by resulting or requested driver.");
  for (guint i = 0; i < counters->rows->len; i++)
    write_row (w, counters->rows->pdata[i]);
  family (w, "attempt_failures", COUNTER, NULL, "Failed candidates since boot, by failed step.");
  for (guint i = 0; i < VV_COUNTERS_STEPS; i++)
    plain_sample (w, counters->steps[i], "step", vv_counter_step_name (i));
  family (w, "change_duration_seconds", HISTOGRAM, SECONDS, "Duration of successful rebinds.");
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    histogram (w, &counters->durations[operations[i]], "operation", vv_operation_name (operations[i]));
}

/* --- the state store --- */

/* @places: the number of devices for each "DRIVER/HOST DRIVER/IN USE"; no name contains a slash */
static void
count_place (GHashTable *places, const VvEntry *entry)
{
  const char *host_driver = entry->host.driver ? entry->host.driver : VV_COUNTERS_NONE;
  char *place = g_strjoin ("/", entry->vfio_driver ? entry->vfio_driver : UNKNOWN,
                           entry->host_known ? host_driver : UNKNOWN, entry->in_use ? "true" : "false", NULL);
  guint known = GPOINTER_TO_UINT (g_hash_table_lookup (places, place));

  g_hash_table_replace (places, place, GUINT_TO_POINTER (known + 1));
}

static void
write_state (Writer *w, const VvStateStore *store)
{
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (store);
  g_autoptr (GHashTable) places = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  guint64 states[VV_STATE_REATTACHING + 1] = {0}, unreadable = 0;

  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (GError) problem = NULL;
    g_autoptr (VvEntry) entry = vv_state_store_load (store, addresses->pdata[i], &problem);
    if (entry)
      states[entry->state]++;
    else if (problem) /* otherwise it has just returned to its host driver */
      unreadable++;
    if (entry && entry->state != VV_STATE_RECORDED)
      count_place (places, entry);
  }
  family (w, "devices_detached", GAUGE, NULL,
          "Devices not on their host driver, according to the state store.");
  g_autoptr (GList) sorted = g_list_sort (g_hash_table_get_keys (places), (GCompareFunc)strcmp);
  for (GList *i = sorted; i; i = i->next) {
    g_auto (GStrv) place = g_strsplit (i->data, "/", 3);
    const char *const labels[] = {"driver", place[0], "host_driver", place[1], "in_use", place[2], NULL};
    sample (w, GPOINTER_TO_UINT (g_hash_table_lookup (places, i->data)), labels);
  }
  family (w, "state_files", GAUGE, NULL, "State files, by state.");
  for (guint i = 0; i < G_N_ELEMENTS (states); i++)
    plain_sample (w, states[i], "state", vv_state_name (i));
  plain_sample (w, unreadable, "state", "unreadable");
}

/* --- the daemon --- */

static void
write_daemon (Writer *w, const VvDaemonFigures *daemon)
{
  family (w, "daemon_up", GAUGE, NULL, "Whether vfio-variantd is running.");
  plain_sample (w, daemon->up, NULL, NULL);
  if (!daemon->up)
    return;
  family (w, "gate_on", GAUGE, NULL, "Whether vfio-variantd handles hot plug.");
  plain_sample (w, daemon->gate_on, NULL, NULL);
  family (w, "gate_opens", COUNTER, NULL, "Opens of drivers_probe since the start of the daemon.");
  plain_sample (w, daemon->passed, "result", "passed");
  plain_sample (w, daemon->blocked_opens, "result", "blocked");
  family (w, "gate_outcomes", COUNTER, NULL, "Results of blocked opens.");
  for (guint i = 0; i < VV_GATE_OUTCOMES; i++)
    plain_sample (w, daemon->outcomes[i], "outcome", vv_gate_outcomes[i]);
  family (w, "gate_blocked_seconds", HISTOGRAM, SECONDS, "Time that libvirt was blocked.");
  histogram (w, &daemon->blocked, NULL, NULL);
  family (w, "gate_own_seconds", HISTOGRAM, SECONDS,
          "Time that libvirt was blocked, without binds, module loads and hook scripts.");
  histogram (w, &daemon->own, NULL, NULL);
}

char *
vv_metrics_text (const VvStateStore *store, const VvDaemonFigures *daemon, VvMetricsFormat format,
                 char **warning)
{
  g_autoptr (GString) text = g_string_new (NULL);
  Writer w = {.text = text, .format = format};
  g_autoptr (GError) problem = NULL;
  g_autoptr (VvCounters) counters = vv_counters_read (store, &problem);

  *warning = problem ? g_strdup (problem->message) : NULL;
  family (&w, "build", INFO, NULL, "The version of vfio-variant.");
  plain_sample (&w, 1, "version", VV_VERSION);
  if (counters)
    write_counters (&w, counters);
  write_state (&w, store);
  if (daemon)
    write_daemon (&w, daemon);
  if (format == VV_METRICS_OPENMETRICS)
    g_string_append (text, "# EOF\n");
  return g_string_free (g_steal_pointer (&text), FALSE);
}
