/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant match: which VFIO drivers match a device, in which order, and which are excluded and why.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "attach.h"

/* Returns: (nullable): the first other candidate whose alias has the same number of wildcards */
static const VvCandidate *
tied_with (const VvChoice *choice, const VvCandidate *c)
{
  for (guint i = 0; c->alias && i < choice->candidates->len; i++) {
    const VvCandidate *other = choice->candidates->pdata[i];
    if (other != c && other->alias && other->wildcards == c->wildcards)
      return other;
  }
  return NULL;
}

static void
add_row (struct libscols_table *table, const VvHost *host, const VvChoice *choice, const VvCandidate *c,
         guint rank)
{
  const VvCandidate *tied = rank ? tied_with (choice, c) : NULL;
  g_autofree char *driver = vv_candidate_driver (host, c);
  g_autofree char *number = rank ? g_strdup_printf ("%u", rank) : g_strdup ("-");
  g_autofree char *wildcards =
      c->alias ? g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u wildcard", "%u wildcards", c->wildcards),
                                  c->wildcards)
               : g_strdup (_ ("no alias"));
  g_autoptr (GString) note = g_string_new (driver ? NULL : _ ("module, not loaded"));

  if (!rank)
    g_string_printf (note, _ ("excluded: %s"), c->excluded);
  if (tied && note->len)
    g_string_append (note, "; ");
  if (tied)
    g_string_append_printf (note, _ ("tie with %s"), tied->module);
  vv_table_add (table,
                (const char *[]){"", number, driver ? driver : c->module, wildcards,
                                 c->alias ? c->alias : "-", vv_source_name (c->source), note->str, NULL});
}

/* Prints the rule in the syntax of the policy. */
static void
print_rule (const VvChoice *choice)
{
  g_autofree char *rule = vv_choice_rule (choice);
  g_autofree char *drivers = g_strjoinv (" ", choice->options.drivers);

  if (!choice->file)
    return;
  printf (_ ("%s: driver='%s'"), rule, drivers);
  for (int i = 0; i < VV_OPTIONS; i++)
    if (choice->said[i])
      printf (" %s='%s'", vv_option_name (i), vv_option_value (i, choice->options.values[i]));
  putchar ('\n');
}

static void
print_text (const VvHost *host, const VvPciDevice *device, const VvChoice *choice, gboolean several)
{
  static const char *const columns[] = {"", "", "driver", "wildcards", "alias", "source", "note", NULL};
  struct libscols_table *table = vv_table_new (columns, FALSE);

  for (guint i = 0; i < choice->candidates->len; i++)
    add_row (table, host, choice, choice->candidates->pdata[i], i + 1);
  for (guint i = 0; i < choice->excluded->len; i++)
    add_row (table, host, choice, choice->excluded->pdata[i], 0);

  if (several)
    printf ("%s  ", device->address);
  printf ("%s\n", choice->key);
  print_rule (choice);
  vv_table_print (table, NULL);
  if (!choice->candidates->len)
    puts (_ ("  no usable VFIO driver"));
}

static void
json_candidate (JsonBuilder *b, const VvHost *host, const VvChoice *choice, guint i)
{
  const VvCandidate *c = choice->candidates->pdata[i];
  g_autofree char *driver = vv_candidate_driver (host, c);

  json_builder_begin_object (b);
  vv_json_number (b, "rank", i + 1);
  vv_json_string (b, "module", c->module);
  vv_json_string (b, "driver", driver);
  vv_json_string (b, "alias", c->alias);
  if (c->alias)
    vv_json_number (b, "wildcards", c->wildcards);
  else
    vv_json_string (b, "wildcards", NULL);
  vv_json_string (b, "source", vv_source_name (c->source));
  vv_json_boolean (b, "tie", tied_with (choice, c) != NULL);
  json_builder_end_object (b);
}

static void
json_match (JsonBuilder *b, const VvHost *host, const VvPciDevice *device, const VvChoice *choice)
{
  const VvOptions *options = &choice->options;

  json_builder_begin_object (b);
  vv_json_string (b, "device", device->address);
  vv_json_string (b, "modalias", device->modalias);
  vv_json_string (b, "key", choice->key);
  vv_json_rule (b, choice->file, choice->line);
  vv_json_strings (b, "drivers", options->drivers, -1);
  for (int i = 0; i < VV_OPTIONS; i++) {
    const char *value = vv_option_value (i, options->values[i]);
    g_autofree char *name = vv_json_key (vv_option_name (i));
    vv_json_string (b, name, *value ? value : NULL);
  }
  vv_json_begin_array (b, "candidates");
  for (guint i = 0; i < choice->candidates->len; i++)
    json_candidate (b, host, choice, i);
  json_builder_end_array (b);
  vv_json_begin_array (b, "excluded");
  for (guint i = 0; i < choice->excluded->len; i++) {
    const VvCandidate *c = choice->excluded->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "module", c->module);
    vv_json_string (b, "alias", c->alias);
    vv_json_string (b, "reason", c->excluded);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
  json_builder_end_object (b);
}

/* Warns about built-in variant drivers that publish no aliases (vv_catalog_silent()): they may support the
 * device, but are not candidates. */
static void
warn_of_silent (const VvContext *context, const VvPciDevice *device, const VvChoice *choice)
{
  const VvCandidate *best = choice->candidates->len ? choice->candidates->pdata[0] : NULL;
  g_autoptr (GPtrArray) silent = vv_catalog_silent (context->catalog, context->host);

  if (!silent->len || (best && strcmp (best->module, VV_GENERIC_MODULE) != 0))
    return;
  g_ptr_array_add (silent, NULL);
  g_autofree char *modules = g_strjoinv (", ", (char **)silent->pdata);
  vv_warning (_ ("%s: these built-in VFIO drivers publish no aliases and are not candidates: %s; see "
                 "'vfio-variant check %s'"),
              device->address, modules, device->address);
}

int
vv_cmd_match (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  int code = vv_parse_options (&argc, &argv, "DEVICE...",
                               N_ ("Lists the VFIO drivers that match a device, fewest wildcards first, then "
                                   "those that match but are excluded."),
                               NULL, VV_TAKES_ELSEWHERE, &common);

  if (code >= 0)
    return code;
  if (argc < 2)
    return vv_usage_error (argv[0], _ ("missing DEVICE argument"));
  g_autoptr (VvContext) context = vv_open_context (&common, FALSE, &code);
  g_autoptr (GPtrArray) addresses = context ? vv_device_arguments (context->host, argc, argv, &code) : NULL;
  if (!addresses)
    return code;

  g_autoptr (JsonBuilder) builder = json_builder_new ();
  gboolean several = addresses->len > 1;
  if (several)
    json_builder_begin_array (builder);
  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvPciDevice) device = vv_pci_device_open (context->host, addresses->pdata[i], &error);
    g_autoptr (VvEntry) entry = vv_state_store_load (context->store, addresses->pdata[i], NULL);
    g_autoptr (VvChoice) choice =
        device ? vv_choose (context, device, entry, NULL, NULL, NULL, &error) : NULL;
    if (!choice)
      return vv_print_error (error);
    warn_of_silent (context, device, choice);
    if (common.json)
      json_match (builder, context->host, device, choice);
    else
      print_text (context->host, device, choice, several);
  }
  if (several)
    json_builder_end_array (builder);
  if (common.json)
    vv_json_print (builder);
  return VV_EXIT_DONE;
}
