/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant status: asks vfio-variantd how it is, and tells, with what check-host finds.
 *
 * Owns: the text for people. The JSON is the daemon's own (service.c), with the findings added. Texts of
 * others that are in it were made safe to show there, and are again before they are printed here.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>

#include "ask.h"
#include "check-host.h"
#include "command.h"
#include "one-line.h"

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
duration_of (JsonObject *o, const char *name)
{
  return duration ((guint64)vv_json_get_number (o, name));
}

/* ISO 8601, local time */
static char *
moment_of (JsonObject *o, const char *name)
{
  g_autoptr (GDateTime) local =
      g_date_time_new_from_unix_local (vv_json_get_number (o, name) / G_USEC_PER_SEC);

  return local ? g_date_time_format (local, "%Y-%m-%dT%H:%M:%S%z") : g_strdup ("-");
}

static char *
text_of (JsonObject *o, const char *name)
{
  const char *text = vv_json_get_string (o, name);

  return vv_printable (text ? text : "-", VV_JSON_CHARACTERS);
}

static void
print_line (const char *label, const char *text)
{
  printf ("%-9s %s\n", label, text);
}

static void
print_gate (JsonObject *status)
{
  const char *said = vv_json_get_string (status, "reason");
  g_autofree char *reason = vv_printable (said ? said : _ ("no reason was given"), VV_JSON_CHARACTERS);
  g_autofree char *deadline = duration ((guint64)vv_json_get_number (status, "deadline_ms") * 1000);
  g_autoptr (GList) executables = vv_json_get_array (status, "executables", JSON_NODE_VALUE);
  g_autoptr (GString) all = g_string_new (NULL); /* "libvirtd, virtqemud" */

  for (GList *i = executables; i; i = i->next)
    g_string_append_printf (all, "%s%s", all->len ? ", " : "", json_node_get_string (i->data));
  g_autofree char *names = vv_printable (all->len ? all->str : _ ("nobody"), VV_JSON_CHARACTERS);
  gboolean on = g_strcmp0 (vv_json_get_string (status, "gate"), "on") == 0;
  g_autofree char *text = on ? g_strdup_printf (_ ("on for %s; deadline %s"), names, deadline)
                             : g_strdup_printf (_ ("off: %s"), reason);
  print_line ("gate", text);
}

static void
print_daemon (JsonObject *status)
{
  g_autofree char *version = text_of (status, "version");
  g_autofree char *started = moment_of (status, "started");
  gboolean runs = g_strcmp0 (vv_json_get_string (status, "monitor"), "running") == 0;
  g_autofree char *daemon = g_strdup_printf (_ ("vfio-variantd %s, process %d, since %s"), version,
                                             (int)vv_json_get_number (status, "pid"), started);
  g_autofree char *watched = g_strdup_printf (runs ? _ ("%d watched; the monitor is running")
                                                   : _ ("%d watched; the monitor is idle"),
                                              (int)vv_json_get_number (status, "devices"));

  print_line ("daemon", daemon);
  print_line ("devices", watched);
}

static void
print_counters (JsonObject *status, const char *name, const char *const counters[], const char *const words[])
{
  JsonObject *object = vv_json_get_object (status, name);
  g_autoptr (GString) text = g_string_new (NULL);

  for (gsize i = 0; counters[i]; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT " %s", i ? ", " : "",
                            vv_json_get_number (object, counters[i]), _ (words[i]));
  print_line (name, text->str);
}

static void
print_latency (JsonObject *status, const char *name, const char *note)
{
  JsonObject *latency = vv_json_get_object (status, name);
  gint64 count = vv_json_get_number (latency, "count");
  g_autofree char *mean = duration ((guint64)(vv_json_get_number (latency, "sum_us") / MAX (count, 1)));
  g_autofree char *longest = duration_of (latency, "max_us");

  if (count > 0)
    printf (_ ("%-9s mean %s, max %s%s\n"), name, mean, longest, note);
}

static void
add_holding (JsonObject *holding, struct libscols_table *table)
{
  g_autofree char *device = text_of (holding, "device");
  g_autofree char *executable = text_of (holding, "executable");
  g_autofree char *pid = g_strdup_printf ("%d", (int)vv_json_get_number (holding, "pid"));
  g_autofree char *since = duration_of (holding, "since_us");
  const char *const cells[] = {device, executable, pid, since, NULL};

  vv_table_add (table, cells);
}

static void
add_change (JsonObject *change, struct libscols_table *table)
{
  g_autofree char *time = moment_of (change, "time");
  g_autofree char *device = text_of (change, "device");
  g_autofree char *operation = text_of (change, "operation");
  g_autofree char *from = text_of (change, "from");
  g_autofree char *to = text_of (change, "to");
  g_autofree char *outcome = text_of (change, "outcome");
  g_autofree char *held = duration_of (change, "held_us");
  g_autofree char *own = duration_of (change, "own_us");
  g_autofree char *why = text_of (change, "why");
  g_autofree char *failed = text_of (change, "failed");
  g_autofree char *note =
      vv_json_get_string (change, "failed") ? g_strdup_printf (_ ("%s; failed: %s"), why, failed) : NULL;
  const char *const cells[] = {time, device, operation,         from, to, outcome,
                               held, own,    note ? note : why, NULL};

  vv_table_add (table, cells);
}

/* @name: an array; nothing is printed where it is empty */
static void
print_array (JsonObject *status, const char *name, const char *title, struct libscols_table *table,
             void (*add) (JsonObject *, struct libscols_table *))
{
  g_autoptr (GList) elements = vv_json_get_array (status, name, JSON_NODE_OBJECT);

  for (GList *i = elements; i; i = i->next)
    add (json_node_get_object (i->data), table);
  if (elements)
    putchar ('\n');
  vv_table_print (table, title);
}

static void
print_text (JsonObject *status)
{
  static const char *const opens[] = {"seen", "passed", "held", NULL};
  static const char *const open_words[] = {N_ ("seen"), N_ ("passed"), N_ ("held")};
  static const char *const outcomes[] = {"detached", "fell_back", "reattached", "left_alone", "failed",
                                         "refused",  "deadline",  "crashed",    NULL};
  static const char *const outcome_words[] = {N_ ("detached"),          N_ ("fell back"), N_ ("reattached"),
                                              N_ ("left alone"),        N_ ("failed"),    N_ ("refused"),
                                              N_ ("past the deadline"), N_ ("crashed")};
  static const char *const holding[] = {"DEVICE", "EXECUTABLE", "PID", "FOR", NULL};
  static const char *const changes[] = {"TIME",    "DEVICE", "OPERATION", "FROM", "TO",
                                        "OUTCOME", "HELD",   "OWN",       "WHY",  NULL};

  print_gate (status);
  print_daemon (status);
  print_counters (status, "opens", opens, open_words);
  print_counters (status, "outcomes", outcomes, outcome_words);
  print_latency (status, "held", "");
  print_latency (status, "own", _ (" (without binds, module loads and hook scripts)"));
  print_array (status, "holding", _ ("Held now:"), vv_table_new (holding, TRUE), add_holding);
  print_array (status, "changes", _ ("Last changes of hands:"), vv_table_new (changes, TRUE), add_change);
}

/* --- the answers --- */

static void
copy_member (JsonObject *object, const char *name, JsonNode *node, gpointer builder)
{
  (void)object;
  json_builder_set_member_name (builder, name);
  json_builder_add_value (builder, json_node_copy (node));
}

/* That the daemon does not run is an answer, too, and goes where the others go.
 * @status: (nullable): what it says; NULL: it does not run, and @message says so */
static void
tell_json (JsonObject *status, const char *message, const GPtrArray *findings)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  if (status)
    json_object_foreach_member (status, copy_member, builder);
  else
    vv_json_boolean (builder, "running", FALSE);
  vv_json_string (builder, "error", message);
  vv_findings_json (findings, builder);
  json_builder_end_object (builder);
  vv_json_print (builder);
}

static int
tell (VvContext *context, JsonObject *status, const char *message, const VvCommon *common)
{
  g_autoptr (VvCheckContext) check = vv_check_context_new (context);
  g_autoptr (GPtrArray) findings = vv_findings_new ();

  vv_check_host (check, status, findings);
  if (common->json) {
    tell_json (status, message, findings);
  } else {
    if (status)
      print_text (status);
    else
      puts (message);
    if (findings->len)
      putchar ('\n');
    vv_findings_print (findings, TRUE, common->colour);
  }
  return status && vv_findings_worst (findings) != VV_PROBLEM ? VV_EXIT_DONE : VV_EXIT_FAILED;
}

int
vv_cmd_status (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  int timeout_ms = VV_DEADLINE_MS;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) problem = NULL;
  /* not among the options of the commands that only read: those have --kernel, which means nothing here */
  const GOptionEntry entries[] = {
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot,
       N_ ("Look at the host, and ask the daemon, below DIR"), "DIR"},
      {"timeout-ms", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &timeout_ms, "For the tests", "N"},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "",
      N_ ("Asks vfio-variantd how it is, and looks whether this host is set up as it should be. Needs root."),
      entries, VV_TAKES_DEFAULT, &common);

  if (code >= 0)
    return code;
  if (argc > 1)
    return vv_usage_error (argv[0], _ ("it takes no arguments"));
  if (timeout_ms < 1 || timeout_ms > VV_DEADLINE_MS)
    return vv_usage_error (argv[0], _ ("--timeout-ms takes a number from 1 to %d"), VV_DEADLINE_MS);
  g_autoptr (VvHost) host = vv_host_new (common.sysroot, NULL, &error);
  if (!host)
    return vv_print_error (error);
  g_autoptr (JsonObject) status = vv_ask_daemon (host, timeout_ms, &problem);
  if (!status && !g_error_matches (problem, VV_ERROR, VV_ERROR_NOT_FOUND))
    return vv_print_error (problem);
  VvContext *context = vv_context_new (common.sysroot, NULL, FALSE, &error);
  if (!context)
    return vv_print_error (error);
  return tell (context, status, problem ? problem->message : NULL, &common);
}
