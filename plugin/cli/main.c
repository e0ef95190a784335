/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant: the command. Finds the sub-command and runs it.
 */
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <libintl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"

#define LONGEST 32 /* the longest word that gets a suggestion */
#define CHANGES 2

static const struct {
  const char *name;
  int (*run) (int argc, char **argv);
  gboolean logs; /* to the system's log: it moves or opens devices */
  const char *summary;
} commands[] = {
    {"list", vv_cmd_list, FALSE, N_ ("list devices with their current and best drivers")},
    {"match", vv_cmd_match, FALSE, N_ ("list the VFIO drivers that match a device, and why others do not")},
    {"probe", vv_cmd_probe, TRUE, N_ ("query whether the current drivers of devices support live migration")},
    {"check", vv_cmd_check, FALSE,
     N_ ("report which driver devices would get when attached, and what prevents it")},
    {"bind", vv_cmd_bind, TRUE, N_ ("detach devices from the host and bind the best VFIO driver")},
    {"restore", vv_cmd_restore, TRUE, N_ ("return devices to their host drivers")},
    {"policy", vv_cmd_policy, FALSE, N_ ("show the policy, or check policy files")},
    {"status", vv_cmd_status, FALSE, N_ ("show the status of vfio-variantd and the setup of the host")},
    {"metrics", vv_cmd_metrics, FALSE, N_ ("print counters and state for a monitoring system")},
};

static void
print_usage (FILE *stream)
{
  fprintf (stream, "%s\n\n%s\n\n%s\n", _ ("Usage: vfio-variant COMMAND [OPTION...] [DEVICE...]"),
           _ ("Binds PCI devices to the most specific VFIO driver and returns them to their host drivers."),
           _ ("Commands:"));
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (stream, "  %-9s %s\n", commands[i].name, _ (commands[i].summary));
  fprintf (
      stream, "\n%s\n%s\n",
      _ ("Run 'vfio-variant help COMMAND' for the options of a command; see vfio-variant(1)."),
      _ ("Exit status: 0 success, 1 failure, 2 usage error, 3 no such device, 4 refused, 5 not privileged."));
}

/* Returns: the optimal string alignment distance: Levenshtein's distance, with a swap of two neighbours as
 * one change */
static guint
distance (const char *a, const char *b)
{
  guint rows[3][LONGEST + 1] = {{0}}; /* row i is rows[i % 3] */
  gsize n = strlen (a);
  gsize m = strlen (b);

  for (gsize k = 0; k <= m; k++)
    rows[0][k] = (guint)k;
  for (gsize i = 1; i <= n; i++) {
    guint *row = rows[i % 3];
    const guint *above = rows[(i - 1) % 3];
    row[0] = (guint)i;
    for (gsize k = 1; k <= m; k++) {
      row[k] = MIN (MIN (above[k], row[k - 1]) + 1, above[k - 1] + (a[i - 1] != b[k - 1]));
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
        row[k] = MIN (row[k], rows[(i - 2) % 3][k - 2] + 1);
    }
  }
  return rows[n % 3][m];
}

/* Returns: (nullable): the word of @words with the smallest distance to @word, which must be at most CHANGES
 * and less than the length of @word; else the only word that begins with @word */
static const char *
nearest_word (const char *word, const char *const words[], gsize n)
{
  gsize length = strlen (word);
  guint least = CHANGES + 1;
  guint beginnings = 0;
  const char *nearest = NULL, *beginning = NULL;

  if (length == 0 || length > LONGEST)
    return NULL;
  for (gsize i = 0; i < n; i++) {
    guint d = strlen (words[i]) <= LONGEST ? distance (word, words[i]) : least;
    if (d < least && d < length) {
      least = d;
      nearest = words[i];
    }
    if (g_str_has_prefix (words[i], word)) {
      beginning = words[i];
      beginnings++;
    }
  }
  return nearest ? nearest : beginnings == 1 ? beginning : NULL;
}

/* A warning of the library reads like one of the command. journald gets it with its fields. */
static GLogWriterOutput
write_warning (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  if (!(level & G_LOG_LEVEL_WARNING) || g_log_writer_is_journald (STDERR_FILENO))
    return g_log_writer_default (level, fields, n, data);
  for (gsize i = 0; i < n; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      vv_warning ("%s", (const char *)fields[i].value);
  return G_LOG_WRITER_HANDLED;
}

/* @argv: argv[0] is the name of the sub-command */
static int
run_command (int argc, char **argv)
{
  const char *name = argv[0];
  const char *names[G_N_ELEMENTS (commands) + 1] = {[G_N_ELEMENTS (commands)] = "help"};

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++) {
    if (strcmp (name, commands[i].name) == 0) {
      if (commands[i].logs)
        vv_log_to_system ();
      else
        g_log_set_writer_func (write_warning, NULL, NULL);
      return commands[i].run (argc, argv);
    }
    names[i] = commands[i].name;
  }
  const char *meant = nearest_word (name, names, G_N_ELEMENTS (names));
  if (meant)
    fprintf (stderr,
             _ ("vfio-variant: unknown command '%s'; did you mean '%s'?\nTry 'vfio-variant --help'.\n"), name,
             meant);
  else
    fprintf (stderr, _ ("vfio-variant: unknown command '%s'\nTry 'vfio-variant --help'.\n"), name);
  return VV_EXIT_USAGE;
}

static int
run (int argc, char **argv)
{
  gboolean help = argc > 1 && strcmp (argv[1], "help") == 0;
  char option[] = "--help";

  if (argc < 2) {
    print_usage (stderr);
    return VV_EXIT_USAGE;
  }
  if (help && argc > 3)
    return vv_usage_error (argv[1], _ ("only one COMMAND at a time"));
  if (help && argc == 3) {
    char *arguments[] = {argv[2], option, NULL};
    return run_command (2, arguments);
  }
  if (help || strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0) {
    print_usage (stdout);
    return VV_EXIT_DONE;
  }
  if (strcmp (argv[1], "--version") == 0) {
    puts ("vfio-variant " VV_VERSION);
    puts ("built with " VV_BUILT_WITH);
    return VV_EXIT_DONE;
  }
  return run_command (argc - 1, argv + 1);
}

/* Reports a failed write to standard output as a failure, except EPIPE: the reader closed it.
 * Returns: the exit code */
static int
close_output (int code)
{
  gboolean failed = ferror (stdout);

  errno = 0;
  if ((fclose (stdout) == 0 && !failed) || errno == EPIPE)
    return code;
  fprintf (stderr, _ ("vfio-variant: standard output: %s\n"), errno ? g_strerror (errno) : _ ("write error"));
  return code == VV_EXIT_DONE ? VV_EXIT_FAILED : code;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, ""); /* the daemon, the hook and the log are always in English */
#ifdef VV_LOCALE_DIR
  bindtextdomain (GETTEXT_PACKAGE, VV_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
#endif
  return close_output (run (argc, argv));
}
