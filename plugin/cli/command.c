/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <glib/gi18n-lib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy-xml.h"
#include "recovery.h"

#define MOST_JOBS 256
#define MOST_TIMEOUT_MS 5000

void
vv_common_clear (VvCommon *common)
{
  g_free (common->sysroot);
  g_free (common->release);
}

void
vv_speak_english (void)
{
  setlocale (LC_MESSAGES, "C");
}

int
vv_usage_error (const char *command, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, _ ("vfio-variant %s: %s\nTry 'vfio-variant %s --help'.\n"), command, what, command);
  return VV_EXIT_USAGE;
}

gboolean
vv_colour_is_terminal (void)
{
  const char *terminal = g_getenv ("TERM");

  return isatty (STDOUT_FILENO) && terminal && *terminal && strcmp (terminal, "dumb") != 0;
}

/* Returns: FALSE if @when (nullable), the value of --color, is not valid */
static gboolean
read_colour (const char *when, gboolean *wanted)
{
  const char *no_color = g_getenv ("NO_COLOR");

  if (!when || strcmp (when, "auto") == 0)
    *wanted = vv_colour_is_terminal () && !(no_color && *no_color);
  else if (strcmp (when, "always") == 0 || strcmp (when, "never") == 0)
    *wanted = *when == 'a';
  else
    return FALSE;
  return TRUE;
}

/* @colour, @help: (out): set when the arguments are parsed */
static void
add_shared_options (GOptionContext *context, VvTakes takes, VvCommon *common, char **colour, gboolean *help)
{
  const GOptionEntry move[] = {
      {"jobs", 'j', 0, G_OPTION_ARG_INT, &common->jobs, N_ ("Move up to N devices in parallel (default: 1)"),
       "N"},
      {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &common->dry_run,
       N_ ("Print what would be done without doing it"), NULL},
      {NULL},
  };
  const GOptionEntry elsewhere[] = {
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common->sysroot,
       N_ ("Read sysfs, modules and modprobe.d below DIR"), "DIR"},
      {"kernel", 0, 0, G_OPTION_ARG_STRING, &common->release, N_ ("Use the modules of this kernel release"),
       "RELEASE"},
      {NULL},
  };
  const GOptionEntry timeout[] = {
      {"timeout-ms", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &common->timeout_ms, "For the tests", "N"},
      {NULL},
  };
  const GOptionEntry json[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &common->json, N_ ("Print JSON"), NULL},
      {"color", 0, 0, G_OPTION_ARG_STRING, colour, N_ ("Use colors: auto (the default), always or never"),
       "WHEN"},
      {NULL},
  };
  const GOptionEntry all[] = {
      {"help", 'h', 0, G_OPTION_ARG_NONE, help, N_ ("Show this help and exit"), NULL},
      {NULL},
  };

  if (takes & VV_TAKES_MOVE)
    g_option_context_add_main_entries (context, move, GETTEXT_PACKAGE);
  if (takes & VV_TAKES_ELSEWHERE)
    g_option_context_add_main_entries (context, elsewhere, GETTEXT_PACKAGE);
  if (takes & VV_TAKES_TIMEOUT)
    g_option_context_add_main_entries (context, timeout, GETTEXT_PACKAGE);
  if (!(takes & VV_TAKES_TEXT_ONLY))
    g_option_context_add_main_entries (context, json, GETTEXT_PACKAGE);
  g_option_context_add_main_entries (context, all, GETTEXT_PACKAGE);
}

int
vv_parse_options (int *argc, char ***argv, const char *arguments, const char *summary,
                  const GOptionEntry *entries, VvTakes takes, VvCommon *common)
{
  const char *command = (*argv)[0];
  gboolean help = FALSE;
  g_autoptr (GError) error = NULL;
  g_autofree char *colour = NULL;
  g_autoptr (GOptionContext) context = g_option_context_new (arguments);
  g_autofree char *name = g_strdup_printf ("vfio-variant %s", command);

  common->jobs = 1;
  common->timeout_ms = MOST_TIMEOUT_MS;
  g_set_prgname (name); /* for the usage line */
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_translation_domain (context, GETTEXT_PACKAGE);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (
      context, strstr (arguments, "DEVICE")
                   ? _ ("DEVICE is 0000:3b:00.1, 3b:00.1, pci_0000_3b_00_1, a sysfs path, or a glob of "
                        "addresses such as '0000:3b:*'.\nSee vfio-variant(1).")
                   : _ ("See vfio-variant(1)."));
  if (entries)
    g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  add_shared_options (context, takes, common, &colour, &help);
  if (!g_option_context_parse (context, argc, argv, &error))
    return vv_usage_error (command, "%s", error->message);
  if (help) {
    g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);
    fputs (text, stdout);
    return VV_EXIT_DONE;
  }
  if (!read_colour (colour, &common->colour))
    return vv_usage_error (command, _ ("--color must be auto, always or never"));
  if (common->jobs < 1 || common->jobs > MOST_JOBS)
    return vv_usage_error (command, _ ("--jobs must be a number from 1 to %d"), MOST_JOBS);
  if (takes & VV_TAKES_TIMEOUT && *argc > 1)
    return vv_usage_error (command, _ ("this command takes no arguments"));
  if (common->timeout_ms < 1 || common->timeout_ms > MOST_TIMEOUT_MS)
    return vv_usage_error (command, _ ("--timeout-ms must be a number from 1 to %d"), MOST_TIMEOUT_MS);
  if (common->json)
    vv_speak_english ();
  return -1;
}

void
vv_warning (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, _ ("vfio-variant: warning: %s\n"), what);
}

/* Returns: the exit code for an error of the library */
static int
exit_for (const GError *error)
{
  static const VvExit exits[] = {
      [VV_ERROR_FAILED] = VV_EXIT_FAILED,          [VV_ERROR_INVALID] = VV_EXIT_USAGE,
      [VV_ERROR_NO_DEVICE] = VV_EXIT_NO_DEVICE,    [VV_ERROR_NOT_FOUND] = VV_EXIT_FAILED,
      [VV_ERROR_REFUSED] = VV_EXIT_REFUSED,        [VV_ERROR_POLICY] = VV_EXIT_REFUSED,
      [VV_ERROR_PERMISSION] = VV_EXIT_UNPRIVILEGED};

  return error->domain == VV_ERROR ? (int)exits[error->code] : VV_EXIT_FAILED;
}

int
vv_exit_merge (int so_far, const GError *error)
{
  if (!error)
    return so_far;
  int code = exit_for (error);
  return so_far == VV_EXIT_DONE || so_far == code ? code : VV_EXIT_FAILED;
}

int
vv_print_error (const GError *error)
{
  fprintf (stderr, "vfio-variant: %s\n", error->message);
  return exit_for (error);
}

VvContext *
vv_open_context (const VvCommon *common, gboolean change, int *exit_code)
{
  g_autoptr (GError) error = NULL;

  if (change && geteuid () != 0) {
    fputs (_ ("vfio-variant: moving devices requires root\n"), stderr);
    *exit_code = VV_EXIT_UNPRIVILEGED;
    return NULL;
  }
  VvContext *context = vv_context_new (common->sysroot, common->release, change, &error);
  if (!context) {
    *exit_code = vv_print_error (error);
    return NULL;
  }
  vv_context_set_policy (context, vv_policy_read (context->host));
  for (guint i = 0; i < context->policy->files->len; i++) {
    const VvPolicyFile *file = context->policy->files->pdata[i];
    if (file->problem)
      vv_warning (_ ("policy: %s"), file->problem);
  }
  if (change)
    vv_recover (context);
  if (vv_catalog_warning (context->catalog))
    vv_warning ("%s", vv_catalog_warning (context->catalog));
  return context;
}

GPtrArray *
vv_device_arguments (const VvHost *host, int argc, char **argv, int *exit_code)
{
  g_autoptr (GPtrArray) addresses = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

  for (int i = 1; i < argc; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) meant = vv_pci_addresses (host, argv[i], &error);
    if (!meant) {
      *exit_code = vv_print_error (error);
      return NULL;
    }
    for (guint k = 0; k < meant->len; k++) {
      if (g_hash_table_contains (known, meant->pdata[k]))
        continue;
      g_ptr_array_add (addresses, g_strdup (meant->pdata[k]));
      g_hash_table_add (known, addresses->pdata[addresses->len - 1]);
    }
  }
  return g_steal_pointer (&addresses);
}

struct libscols_table *
vv_table_new (const char *const columns[], gboolean headings)
{
  struct libscols_table *table = scols_new_table ();

  scols_table_enable_noheadings (table, !headings);
  for (gsize i = 0; columns[i]; i++)
    scols_table_new_column (table, columns[i], 0, 0);
  return table;
}

void
vv_table_add (struct libscols_table *table, const char *const cells[])
{
  struct libscols_line *line = scols_table_new_line (table, NULL);

  for (gsize i = 0; cells[i]; i++)
    scols_line_set_data (line, i, cells[i]);
}

void
vv_table_print (struct libscols_table *table, const char *title)
{
  if (!scols_table_is_empty (table)) {
    if (title)
      puts (title);
    scols_print_table (table);
  }
  scols_unref_table (table);
}

void
vv_json_rule (JsonBuilder *builder, const char *file, guint line)
{
  if (!file) {
    vv_json_string (builder, "rule", NULL);
    return;
  }
  vv_json_begin_object (builder, "rule");
  vv_json_string (builder, "file", file);
  vv_json_number (builder, "line", line);
  json_builder_end_object (builder);
}

void
vv_json_print (JsonBuilder *builder)
{
  g_autofree char *text = vv_json_text (builder, TRUE);

  puts (text);
}
