/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant metrics: the counters and the state of the devices, for a monitoring system.
 *
 * Owns: which sources there are: the journal and the counters, which anybody may read, and the daemon, which
 * is for root; and whether the text is printed or replaces a file. A source that is missing is no failure:
 * its families are missing then. The text is metrics's. It has no --json: the text is the machine's format
 * already.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "metrics.h"

static void
warn (const char *what)
{
  vv_warning ("%s", what);
}

static void
read_histogram (JsonObject *latency, VvHistogram *histogram)
{
  g_autoptr (GList) buckets = vv_json_get_array (latency, "buckets", JSON_NODE_OBJECT);
  guint i = 0;

  histogram->sum_usec = (guint64)vv_json_get_number (latency, "sum_us");
  for (GList *bucket = buckets; bucket && i <= VV_BUCKETS; bucket = bucket->next)
    histogram->counts[i++] = (guint64)vv_json_get_number (json_node_get_object (bucket->data), "count");
}

static void
read_figures (JsonObject *status, VvDaemonFigures *figures)
{
  JsonObject *opens = vv_json_get_object (status, "opens");
  JsonObject *outcomes = vv_json_get_object (status, "outcomes");

  figures->up = TRUE;
  figures->gate_on = g_strcmp0 (vv_json_get_string (status, "gate"), "on") == 0;
  figures->passed = (guint64)vv_json_get_number (opens, "passed");
  figures->held_opens = (guint64)vv_json_get_number (opens, "held");
  for (guint i = 0; i < VV_GATE_OUTCOMES; i++) {
    g_autofree char *name = vv_json_key (vv_gate_outcomes[i]);
    figures->outcomes[i] = (guint64)vv_json_get_number (outcomes, name);
  }
  read_histogram (vv_json_get_object (status, "held"), &figures->held);
  read_histogram (vv_json_get_object (status, "own"), &figures->own);
}

/* Returns: FALSE when the caller may not ask. A daemon that gives no sound answer is not up. */
static gboolean
ask (const VvHost *host, int timeout_ms, VvDaemonFigures *figures)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) status = vv_ask_daemon (host, timeout_ms, &error);

  if (status)
    read_figures (status, figures);
  else if (g_error_matches (error, VV_ERROR, VV_ERROR_PERMISSION))
    return FALSE;
  else if (!g_error_matches (error, VV_ERROR, VV_ERROR_NOT_FOUND))
    warn (error->message);
  return TRUE;
}

/* Whoever reads the file finds the text of before or the new one, and whatever was in its place, a link to
 * another file among it, is replaced and not opened. */
static gboolean
replace_file (const char *path, const char *text, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  const char *slash = strrchr (path, '/');
  g_autoptr (VvDir) dir = vv_dir_open (NULL, folder, error);

  return dir && vv_io_replace (dir, slash ? slash + 1 : path, text, error);
}

/* @output: (nullable): a file; NULL: standard output */
static int
tell (const VvHost *host, VvMetricsFormat format, const char *output, int timeout_ms)
{
  VvDaemonFigures figures = {0};
  g_autofree char *warning = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (VvJournal) journal = vv_journal_open (host, FALSE, &error);

  if (!journal)
    return vv_print_error (error);
  gboolean asked = ask (host, timeout_ms, &figures);
  g_autofree char *text = vv_metrics_text (journal, asked ? &figures : NULL, format, &warning);
  if (warning)
    warn (warning);
  if (!output)
    fputs (text, stdout);
  else if (!replace_file (output, text, &error))
    return vv_print_error (error);
  return VV_EXIT_DONE;
}

int
vv_cmd_metrics (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  g_autofree char *name = NULL;
  g_autofree char *output = NULL;
  int timeout_ms = VV_DEADLINE_MS;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_STRING, &name, N_ ("openmetrics (the default) or prometheus"),
       "FORMAT"},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
       N_ ("Replace FILE instead, as the textfile collector of Prometheus's node exporter wants it"), "FILE"},
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot,
       N_ ("Read the journal and ask the daemon whose /run is below DIR"), "DIR"},
      {"timeout-ms", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &timeout_ms, "For the tests", "N"},
      {NULL},
  };
  int code = vv_parse_options (&argc, &argv, "",
                               N_ ("Prints counters of the changes of hands and the state of the devices as "
                                   "OpenMetrics. What the daemon counts is there for root only."),
                               entries, VV_TAKES_TEXT_ONLY, &common);

  if (code >= 0)
    return code;
  if (argc > 1)
    return vv_usage_error (argv[0], _ ("it takes no arguments"));
  gboolean prometheus = g_strcmp0 (name, "prometheus") == 0;
  if (name && !prometheus && strcmp (name, "openmetrics") != 0)
    return vv_usage_error (argv[0], _ ("--format takes openmetrics or prometheus"));
  if (timeout_ms < 1 || timeout_ms > VV_DEADLINE_MS)
    return vv_usage_error (argv[0], _ ("--timeout-ms takes a number from 1 to %d"), VV_DEADLINE_MS);
  g_autoptr (VvHost) host = vv_host_new (common.sysroot, NULL, &error);
  return host ? tell (host, prometheus ? VV_METRICS_PROMETHEUS : VV_METRICS_OPENMETRICS, output, timeout_ms)
              : vv_print_error (error);
}
