/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant status: prints the status of vfio-variantd and the findings of check-host.
 * vfio-variant metrics: prints counters and the state of the devices, for a monitoring system.
 *
 * Owns: the query of the daemon, which has a time limit; the text of status; and the sources of metrics.
 * These are the state store and the counters, which all users may read, and the daemon, which answers only
 * root.
 *
 * The JSON of status is the daemon's (service.c), with the findings added. The daemon makes texts of other
 * programs in it printable, and this file does so again before it prints them. plugin/bind/metrics owns the
 * text of metrics.
 */
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "command.h"
#include "metrics.h"
#include "one-line.h"

#define ERROR_CHARACTERS 160 /* the limit for texts of the daemon in an error */

/* --- the query of the daemon --- */

/* @what: the call that failed with @errnum: connect(2) or read(2) */
static void
set_ask_error (GError **error, int errnum, int timeout_ms, const char *path, const char *what)
{
  switch (errnum) {
  case ENOENT:
  case ECONNREFUSED: /* the socket of a daemon that died */
    g_set_error_literal (error, VV_ERROR, VV_ERROR_NOT_FOUND,
                         _ ("vfio-variantd is not running: hot plug uses the driver that libvirt chooses; "
                            "start it with 'systemctl start vfio-variantd'"));
    break;
  case EACCES:
  case EPERM:
    vv_set_errno (error, errnum, _ ("querying vfio-variantd requires root: %s"), path);
    break;
  case EAGAIN:
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("vfio-variantd did not answer within %g s; see 'journalctl -u vfio-variantd'"),
                 timeout_ms / 1000.0);
    break;
  default:
    vv_set_errno (error, errnum, "%s", what);
  }
}

/* Returns: 0 with @fd connected, or an errno */
static int
dial (const char *path, int timeout_ms, VvFd *fd)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* limits read(2), and connect(2) if the daemon does not accept and its queue is full */
  const struct timeval deadline = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    return ENAMETOOLONG;
  *fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (*fd < 0 || setsockopt (*fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline) < 0 ||
      setsockopt (*fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) < 0 ||
      connect (*fd, (const struct sockaddr *)&address, sizeof address) < 0)
    return errno;
  return 0;
}

/* Trusts the answer, because only root can create the socket in root's directory (status-socket.h). But the
 * answer is incomplete if the daemon ends while it answers, and can differ if the daemon has another
 * version. */
static JsonObject *
parse (const GString *reply, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) syntax = NULL;
  gboolean parsed = json_parser_load_from_data (parser, reply->str, (gssize)reply->len, &syntax);
  JsonNode *root = parsed ? json_parser_get_root (parser) : NULL;
  JsonObject *status = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;

  if (!status || !vv_json_get_string (status, "version")) { /* a daemon of any version reports its version */
    g_autofree char *what =
        vv_printable (syntax ? syntax->message : _ ("it contains no version"), ERROR_CHARACTERS);
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("cannot parse the status of vfio-variantd (%s); try again if it is restarting, else run "
                    "'systemctl restart vfio-variantd'"),
                 what);
    return NULL;
  }
  g_autofree char *version = vv_printable (vv_json_get_string (status, "version"), ERROR_CHARACTERS);
  if (g_strcmp0 (version, VV_VERSION) != 0)
    vv_warning (_ ("vfio-variantd is version %s, vfio-variant is version %s; run 'systemctl restart "
                   "vfio-variantd' to start the installed version"),
                version, VV_VERSION);
  return json_object_ref (status);
}

/* Prints a warning if the daemon and the command have different versions.
 * Returns: (transfer full): the status of the daemon (status.schema.json), or NULL with @error set:
 * VV_ERROR_NOT_FOUND if it is not running, VV_ERROR_PERMISSION if the caller may not query it */
static JsonObject *
ask_daemon (const VvHost *host, int timeout_ms, GError **error)
{
  g_autofree char *path = g_build_filename (host->run_path, VV_DAEMON_SOCKET, NULL);
  g_autofree char *what = g_strdup_printf ("%s: connect", path);
  g_autoptr (GString) reply = g_string_new (NULL);
  g_auto (VvFd) fd = -1;
  int errnum = dial (path, timeout_ms, &fd);
  char chunk[4096];
  ssize_t n;

  if (errnum) {
    set_ask_error (error, errnum, timeout_ms, path, what);
    return NULL;
  }
  while ((n = TEMP_FAILURE_RETRY (read (fd, chunk, sizeof chunk))) > 0)
    g_string_append_len (reply, chunk, n);
  if (n == 0)
    return parse (reply, error);
  set_ask_error (error, errno, timeout_ms, path, "the answer of vfio-variantd");
  return NULL;
}

/* --- status as text --- */

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
  g_autofree char *reason = vv_printable (said ? said : _ ("no reason given"), VV_JSON_CHARACTERS);
  g_autofree char *deadline = duration ((guint64)vv_json_get_number (status, "deadline_ms") * 1000);
  g_autoptr (GList) executables = vv_json_get_array (status, "executables", JSON_NODE_VALUE);
  g_autoptr (GString) all = g_string_new (NULL); /* "libvirtd, virtqemud" */

  for (GList *i = executables; i; i = i->next)
    g_string_append_printf (all, "%s%s", all->len ? ", " : "", json_node_get_string (i->data));
  g_autofree char *names = vv_printable (all->len ? all->str : _ ("no programs"), VV_JSON_CHARACTERS);
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
add_blocking (JsonObject *blocking, struct libscols_table *table)
{
  g_autofree char *device = text_of (blocking, "device");
  g_autofree char *executable = text_of (blocking, "executable");
  g_autofree char *pid = g_strdup_printf ("%d", (int)vv_json_get_number (blocking, "pid"));
  g_autofree char *since = duration_of (blocking, "since_us");
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
  g_autofree char *blocked = duration_of (change, "blocked_us");
  g_autofree char *own = duration_of (change, "own_us");
  g_autofree char *why = text_of (change, "why");
  g_autofree char *failed = text_of (change, "failed");
  g_autofree char *note =
      vv_json_get_string (change, "failed") ? g_strdup_printf (_ ("%s; failed: %s"), why, failed) : NULL;
  const char *const cells[] = {time,    device, operation,         from, to, outcome,
                               blocked, own,    note ? note : why, NULL};

  vv_table_add (table, cells);
}

/* @name: the name of an array; prints nothing if it is empty */
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
  static const char *const opens[] = {"seen", "passed", "blocked", NULL};
  static const char *const open_words[] = {N_ ("seen"), N_ ("passed"), N_ ("blocked")};
  static const char *const outcomes[] = {"detached", "fell_back", "reattached", "left_alone", "failed",
                                         "refused",  "deadline",  "crashed",    NULL};
  static const char *const outcome_words[] = {N_ ("detached"),        N_ ("fell back"), N_ ("reattached"),
                                              N_ ("left alone"),      N_ ("failed"),    N_ ("refused"),
                                              N_ ("deadline passed"), N_ ("crashed")};
  static const char *const blocking[] = {"DEVICE", "EXECUTABLE", "PID", "FOR", NULL};
  static const char *const changes[] = {"TIME",    "DEVICE",  "OPERATION", "FROM", "TO",
                                        "OUTCOME", "BLOCKED", "OWN",       "WHY",  NULL};

  print_gate (status);
  print_daemon (status);
  print_counters (status, "opens", opens, open_words);
  print_counters (status, "outcomes", outcomes, outcome_words);
  print_latency (status, "blocked", "");
  print_latency (status, "own", _ (" (without binds, module loads and hook scripts)"));
  print_array (status, "blocking", _ ("Blocked now:"), vv_table_new (blocking, TRUE), add_blocking);
  print_array (status, "changes", _ ("Last rebinds:"), vv_table_new (changes, TRUE), add_change);
}

/* --- status --- */

static void
copy_member (JsonObject *object, const char *name, JsonNode *node, gpointer builder)
{
  (void)object;
  json_builder_set_member_name (builder, name);
  json_builder_add_value (builder, json_node_copy (node));
}

/* Prints the JSON on standard output, even if the daemon is not running.
 * @status: (nullable): the status of the daemon; NULL: it is not running
 * @message: (nullable): the impact and the fix, if it is not running */
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
  const VvSubject host = {check, VV_SUBJECT_HOST, findings};

  vv_check_host (&host, status);
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
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) problem = NULL;
  const GOptionEntry entries[] = {
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot,
       N_ ("Check the host, and query the daemon, below DIR"), "DIR"},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "",
      N_ ("Reports the status of vfio-variantd and whether this host is set up correctly. Requires root."),
      entries, VV_TAKES_TIMEOUT, &common);

  if (code >= 0)
    return code;
  VvContext *context = vv_context_new (common.sysroot, NULL, FALSE, &error);
  if (!context)
    return vv_print_error (error);
  g_autoptr (JsonObject) status = ask_daemon (context->host, common.timeout_ms, &problem);
  if (!status && !g_error_matches (problem, VV_ERROR, VV_ERROR_NOT_FOUND)) {
    vv_context_free (context);
    return vv_print_error (problem);
  }
  return tell (context, status, problem ? problem->message : NULL, &common);
}

/* --- metrics --- */

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
  figures->blocked_opens = (guint64)vv_json_get_number (opens, "blocked");
  for (guint i = 0; i < VV_GATE_OUTCOMES; i++) {
    g_autofree char *name = vv_json_key (vv_gate_outcomes[i]);
    figures->outcomes[i] = (guint64)vv_json_get_number (outcomes, name);
  }
  read_histogram (vv_json_get_object (status, "blocked"), &figures->blocked);
  read_histogram (vv_json_get_object (status, "own"), &figures->own);
}

/* Replaces the file atomically: a reader sees either the old text or the new text. Replaces a link at @path,
 * and does not follow it. */
static gboolean
replace_file (const char *path, const char *text, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  const char *slash = strrchr (path, '/');
  g_autoptr (VvDir) dir = vv_dir_open (NULL, folder, error);

  return dir && vv_io_replace (dir, slash ? slash + 1 : path, text, error);
}

/* A missing source is not an error: the output lacks its metric families. A daemon without a valid answer
 * counts as down.
 * @output: (nullable): a file; NULL: standard output */
static int
tell_metrics (const VvCommon *common, VvMetricsFormat format, const char *output)
{
  VvDaemonFigures figures = {0};
  g_autofree char *warning = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) problem = NULL;
  g_autoptr (VvHost) host = vv_host_new (common->sysroot, NULL, &error);
  g_autoptr (VvStateStore) store = host ? vv_state_store_open (host, FALSE, &error) : NULL;

  if (!store)
    return vv_print_error (error);
  g_autoptr (JsonObject) status = ask_daemon (host, common->timeout_ms, &problem);
  gboolean may_ask = !g_error_matches (problem, VV_ERROR, VV_ERROR_PERMISSION);
  if (status)
    read_figures (status, &figures);
  else if (problem && may_ask && !g_error_matches (problem, VV_ERROR, VV_ERROR_NOT_FOUND))
    vv_warning ("%s", problem->message);
  g_autofree char *text = vv_metrics_text (store, may_ask ? &figures : NULL, format, &warning);
  if (warning)
    vv_warning ("%s", warning);
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
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_STRING, &name,
       N_ ("Print openmetrics (the default) or prometheus format"), "FORMAT"},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
       N_ ("Replace FILE with the output, for the textfile collector of the Prometheus node exporter"),
       "FILE"},
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot,
       N_ ("Read the state store and query the daemon below DIR"), "DIR"},
      {NULL},
  };
  int code = vv_parse_options (&argc, &argv, "",
                               N_ ("Prints counters of rebinds and the state of devices as OpenMetrics. "
                                   "Counters of the daemon require root."),
                               entries, VV_TAKES_TEXT_ONLY | VV_TAKES_TIMEOUT, &common);

  if (code >= 0)
    return code;
  gboolean prometheus = g_strcmp0 (name, "prometheus") == 0;
  if (name && !prometheus && strcmp (name, "openmetrics") != 0)
    return vv_usage_error (argv[0], _ ("--format must be openmetrics or prometheus"));
  return tell_metrics (&common, prometheus ? VV_METRICS_PROMETHEUS : VV_METRICS_OPENMETRICS, output);
}
