/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant status: asks vfio-variantd how it is, and tells, with what check-host finds.
 *
 * Owns: the text for people. What the reply may say is report's business; no text of the reply is printed
 * that did not come through it.
 */
#include <glib/gi18n-lib.h>
#include <libsmartcols.h>
#include <stdio.h>

#include "ask.h"
#include "check-host.h"
#include "command.h"

/* --- text --- */

static char *
duration (guint64 usec)
{
  if (usec < 1000)
    return g_strdup_printf (_ ("%d us"), (int)usec);
  if (usec < G_USEC_PER_SEC)
    return g_strdup_printf (_ ("%.1f ms"), (double)usec / 1e3);
  return g_strdup_printf ("%.1f s", (double)usec / 1e6);
}

static char *
duration_of (const VvReport *r, const char *group, const char *key)
{
  return duration (vv_report_number (r, group, key));
}

/* ISO 8601, local time */
static char *
moment_of (const VvReport *r, const char *group, const char *key)
{
  gint64 usec = (gint64)vv_report_number (r, group, key);
  g_autoptr (GDateTime) local = g_date_time_new_from_unix_local (usec / G_USEC_PER_SEC);

  return local ? g_date_time_format (local, "%Y-%m-%dT%H:%M:%S%z") : g_strdup ("-");
}

static void
print_line (const char *label, const char *text)
{
  printf ("%-9s %s\n", label, text);
}

static void
print_gate (const VvReport *r)
{
  g_autofree char *gate = vv_report_text (r, "daemon", "gate");
  g_autofree char *reason = vv_report_text (r, "daemon", "reason");
  g_auto (GStrv) executables = vv_report_names (r, "daemon", "executables");
  g_autofree char *names = g_strjoinv (", ", executables);
  g_autofree char *deadline = duration (vv_report_number (r, "daemon", "deadline-ms") * 1000);
  gboolean on = g_str_equal (gate, "on");
  g_autofree char *text =
      on ? g_strdup_printf (_ ("on for %s; deadline %s"), *names ? names : _ ("nobody"), deadline)
         : g_strdup_printf (_ ("off: %s"), reason ? reason : _ ("no reason was given"));

  print_line ("gate", text);
}

static void
print_daemon (const VvReport *r)
{
  g_autofree char *version = vv_report_text (r, "daemon", "version");
  g_autofree char *started = moment_of (r, "daemon", "started");
  g_autofree char *minder = vv_report_text (r, "daemon", "minder");

  g_autofree char *pid = vv_report_text (r, "daemon", "pid");
  g_autofree char *devices = vv_report_text (r, "daemon", "devices");
  g_autofree char *daemon =
      g_strdup_printf (_ ("vfio-variantd %s, process %s, since %s"), version, pid, started);
  g_autofree char *watched =
      g_strdup_printf (g_str_equal (minder, "running") ? _ ("%s watched; the minder is running")
                                                       : _ ("%s watched; the minder is idle"),
                       devices);

  print_line ("daemon", daemon);
  print_line ("devices", watched);
}

static void
print_counters (const VvReport *r, const char *group, const char *const keys[], const char *const words[],
                gsize n)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (gsize i = 0; i < n; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT " %s", i ? ", " : "",
                            vv_report_number (r, group, keys[i]), _ (words[i]));
  print_line (group, text->str);
}

static void
print_latency (const VvReport *r, const char *group, const char *note)
{
  guint64 count = vv_report_number (r, group, "count");
  g_autofree char *mean = duration (vv_report_number (r, group, "sum-us") / MAX (count, 1));
  g_autofree char *longest = duration_of (r, group, "max-us");

  if (count > 0)
    printf (_ ("%-9s mean %s, max %s%s\n"), group, mean, longest, note);
}

static struct libscols_table *
new_table (const char *const columns[], gsize n)
{
  struct libscols_table *table = scols_new_table ();

  for (gsize i = 0; i < n; i++)
    scols_table_new_column (table, columns[i], 0, 0);
  return table;
}

static void
add_row (struct libscols_table *table, const char *const cells[], gsize n)
{
  struct libscols_line *line = scols_table_new_line (table, NULL);

  for (gsize i = 0; i < n; i++)
    scols_line_set_data (line, i, cells[i] ? cells[i] : "-");
}

static void
print_table (const char *title, struct libscols_table *table)
{
  printf ("\n%s\n", title);
  scols_print_table (table);
  scols_unref_table (table);
}

static void
print_holding (const VvReport *r)
{
  static const char *const columns[] = {"DEVICE", "EXECUTABLE", "PID", "FOR"};
  struct libscols_table *table = new_table (columns, G_N_ELEMENTS (columns));

  for (guint i = 1; i <= r->holding; i++) {
    g_autofree char *group = g_strdup_printf ("holding %u", i);
    g_autofree char *device = vv_report_text (r, group, "device");
    g_autofree char *executable = vv_report_text (r, group, "executable");
    g_autofree char *pid = vv_report_text (r, group, "pid");
    g_autofree char *since = duration_of (r, group, "since-us");
    const char *const cells[] = {device, executable, pid, since};
    add_row (table, cells, G_N_ELEMENTS (cells));
  }
  print_table (_ ("Held now:"), table);
}

static void
add_change (const VvReport *r, const char *group, struct libscols_table *table)
{
  g_autofree char *time = moment_of (r, group, "time");
  g_autofree char *device = vv_report_text (r, group, "device");
  g_autofree char *operation = vv_report_text (r, group, "operation");
  g_autofree char *from = vv_report_text (r, group, "from");
  g_autofree char *to = vv_report_text (r, group, "to");
  g_autofree char *outcome = vv_report_text (r, group, "outcome");
  g_autofree char *held = duration_of (r, group, "held-us");
  g_autofree char *own = duration_of (r, group, "own-us");
  g_autofree char *why = vv_report_text (r, group, "why");
  g_autofree char *failed = vv_report_text (r, group, "failed");
  g_autofree char *note = failed ? g_strdup_printf (_ ("%s; failed: %s"), why ? why : "-", failed) : NULL;
  const char *const cells[] = {time, device, operation, from, to, outcome, held, own, note ? note : why};

  add_row (table, cells, G_N_ELEMENTS (cells));
}

static void
print_changes (const VvReport *r)
{
  static const char *const columns[] = {"TIME",    "DEVICE", "OPERATION", "FROM", "TO",
                                        "OUTCOME", "HELD",   "OWN",       "WHY"};
  struct libscols_table *table = new_table (columns, G_N_ELEMENTS (columns));

  for (guint i = 1; i <= r->changes; i++) {
    g_autofree char *group = g_strdup_printf ("change %u", i);
    add_change (r, group, table);
  }
  print_table (_ ("Last changes of hands:"), table);
}

static void
print_text (const VvReport *r)
{
  static const char *const opens[] = {"seen", "passed", "held"};
  static const char *const open_words[] = {N_ ("seen"), N_ ("passed"), N_ ("held")};
  static const char *const outcomes[] = {"detached", "fell-back", "reattached", "left-alone",
                                         "failed",   "refused",   "deadline",   "crashed"};
  static const char *const outcome_words[] = {N_ ("detached"),          N_ ("fell back"), N_ ("reattached"),
                                              N_ ("left alone"),        N_ ("failed"),    N_ ("refused"),
                                              N_ ("past the deadline"), N_ ("crashed")};

  print_gate (r);
  print_daemon (r);
  print_counters (r, "opens", opens, open_words, G_N_ELEMENTS (opens));
  print_counters (r, "outcomes", outcomes, outcome_words, G_N_ELEMENTS (outcomes));
  print_latency (r, "held", "");
  print_latency (r, "own", _ (" (without binds, module loads and hook scripts)"));
  if (r->holding)
    print_holding (r);
  if (r->changes)
    print_changes (r);
}

/* --- the answers --- */

/* That the daemon does not run is an answer, too, and goes where the others go.
 * @report: (nullable): NULL: it does not run, and @message says so */
static void
tell_json (const VvReport *report, const char *message, const GPtrArray *findings)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  if (report) {
    vv_report_json (report, builder);
  } else {
    json_builder_set_member_name (builder, "running");
    json_builder_add_boolean_value (builder, FALSE);
    vv_json_string (builder, "error", message);
  }
  vv_findings_json (findings, builder);
  json_builder_end_object (builder);
  vv_json_print (builder);
}

static void
tell_text (const VvReport *report, const char *message, const GPtrArray *findings, gboolean colour)
{
  if (report)
    print_text (report);
  else
    puts (message);
  if (findings->len)
    putchar ('\n');
  vv_findings_print (findings, TRUE, colour);
}

static int
tell (VvSession *session, const VvReport *report, const char *message, const VvCommon *common)
{
  g_autoptr (VvSurroundings) surroundings = vv_surroundings_new (session);
  g_autoptr (GPtrArray) findings = vv_findings_new ();

  vv_check_host (surroundings, report, findings);
  if (common->json)
    tell_json (report, message, findings);
  else
    tell_text (report, message, findings, common->colour);
  return report && vv_findings_worst (findings) != VV_PROBLEM ? VV_EXIT_DONE : VV_EXIT_FAILED;
}

int
vv_cmd_status (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  int patience_ms = VV_PATIENCE_MS;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) problem = NULL;
  /* not among the options of the commands that only read: those have --kernel, which means nothing here */
  const GOptionEntry entries[] = {
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot,
       N_ ("Look at the host, and ask the daemon, below DIR"), "DIR"},
      {"timeout-ms", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &patience_ms, "For the tests", "N"},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "",
      N_ ("Asks vfio-variantd how it is, and looks whether this host is set up as it should be. Needs root."),
      entries, FALSE, &common);

  if (code >= 0)
    return code;
  if (argc > 1)
    return vv_usage_error (argv[0], _ ("it takes no arguments"));
  if (patience_ms < 1 || patience_ms > VV_PATIENCE_MS)
    return vv_usage_error (argv[0], _ ("--timeout-ms takes a number from 1 to %d"), VV_PATIENCE_MS);
  g_autoptr (VvHost) host = vv_host_new (common.sysroot, NULL, &error);
  if (!host)
    return vv_print_error (error);
  g_autoptr (VvReport) report = vv_ask_daemon (host, patience_ms, &problem);
  if (!report && !g_error_matches (problem, VV_ERROR, VV_ERROR_NOT_FOUND))
    return vv_print_error (problem);
  VvSession *session = vv_session_new (common.sysroot, NULL, FALSE, &error);
  if (!session)
    return vv_print_error (error);
  return tell (session, report, problem ? problem->message : NULL, &common);
}
