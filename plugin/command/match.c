/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant match: which drivers the kernel offers for a device, in which order, and what is out and why.
 */
#include <libsmartcols.h>
#include <stdio.h>

#include "command.h"

static void
add_row (struct libscols_table *table, const VvHost *host, const VvCandidate *c, guint rank)
{
  g_autofree char *driver = vv_candidate_driver (host, c);
  g_autofree char *number = rank ? g_strdup_printf ("%u", rank) : g_strdup ("-");
  g_autofree char *wildcards =
      c->alias ? g_strdup_printf ("%u wildcards", c->wildcards) : g_strdup ("no alias");
  g_autofree char *note = c->excluded ? g_strdup_printf ("out: %s", c->excluded) : NULL;
  const char *const cells[] = {"",
                               number,
                               driver ? driver : c->module,
                               wildcards,
                               c->alias ? c->alias : "-",
                               vv_source_name (c->source),
                               note     ? note
                               : driver ? ""
                                        : "module, not loaded"};
  struct libscols_line *line = scols_table_new_line (table, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (cells); i++)
    scols_line_set_data (line, i, cells[i]);
}

static void
print_text (const VvHost *host, const VvPciDevice *device, const VvSelection *selection, gboolean several)
{
  static const char *const columns[] = {"", "", "driver", "wildcards", "alias", "source", "note"};
  struct libscols_table *table = scols_new_table ();

  for (gsize i = 0; i < G_N_ELEMENTS (columns); i++)
    scols_table_new_column (table, columns[i], 0, 0);
  scols_table_enable_noheadings (table, TRUE);
  for (guint i = 0; i < selection->candidates->len; i++)
    add_row (table, host, selection->candidates->pdata[i], i + 1);
  for (guint i = 0; i < selection->excluded->len; i++)
    add_row (table, host, selection->excluded->pdata[i], 0);

  if (several)
    printf ("%s  ", device->address);
  printf ("%s\n", selection->key);
  scols_print_table (table);
  scols_unref_table (table);
  if (!selection->candidates->len)
    puts ("  no VFIO driver is left");
}

static void
json_candidate (JsonBuilder *b, const VvHost *host, const VvCandidate *c, guint rank)
{
  g_autofree char *driver = vv_candidate_driver (host, c);

  json_builder_begin_object (b);
  json_builder_set_member_name (b, "rank");
  json_builder_add_int_value (b, rank);
  vv_json_string (b, "module", c->module);
  vv_json_string (b, "driver", driver);
  vv_json_string (b, "alias", c->alias);
  json_builder_set_member_name (b, "wildcards");
  if (c->alias)
    json_builder_add_int_value (b, c->wildcards);
  else
    json_builder_add_null_value (b);
  vv_json_string (b, "source", vv_source_name (c->source));
  json_builder_end_object (b);
}

static void
json_exclusion (JsonBuilder *b, const VvCandidate *c)
{
  json_builder_begin_object (b);
  vv_json_string (b, "module", c->module);
  vv_json_string (b, "alias", c->alias);
  vv_json_string (b, "reason", c->excluded);
  json_builder_end_object (b);
}

static void
json_match (JsonBuilder *b, const VvHost *host, const VvPciDevice *device, const VvSelection *selection)
{
  json_builder_begin_object (b);
  vv_json_string (b, "device", device->address);
  vv_json_string (b, "modalias", device->modalias);
  vv_json_string (b, "key", selection->key);
  json_builder_set_member_name (b, "candidates");
  json_builder_begin_array (b);
  for (guint i = 0; i < selection->candidates->len; i++)
    json_candidate (b, host, selection->candidates->pdata[i], i + 1);
  json_builder_end_array (b);
  json_builder_set_member_name (b, "excluded");
  json_builder_begin_array (b);
  for (guint i = 0; i < selection->excluded->len; i++)
    json_exclusion (b, selection->excluded->pdata[i]);
  json_builder_end_array (b);
  json_builder_end_object (b);
}

int
vv_cmd_match (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  int code = vv_parse_options (
      &argc, &argv, "DEVICE...",
      "Lists the VFIO drivers that fit a device, the one with the fewest wildcards first, and "
      "those that fit but are excluded.",
      NULL, TRUE, &common);

  if (code >= 0)
    return code;
  if (argc < 2)
    return vv_usage_error (argv[0], "a DEVICE is missing");
  g_autoptr (VvSession) session = vv_open_session (&common, FALSE, &code);
  g_autoptr (GPtrArray) addresses = session ? vv_device_arguments (session->host, argc, argv, &code) : NULL;
  if (!addresses)
    return code;

  g_autoptr (JsonBuilder) builder = json_builder_new ();
  gboolean several = addresses->len > 1;
  if (several)
    json_builder_begin_array (builder);
  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvPciDevice) device = vv_pci_device_open (session->host, addresses->pdata[i], &error);
    g_autoptr (VvSelection) selection =
        device ? vv_catalog_select (session->catalog, device->modalias, &error) : NULL;
    if (!selection)
      return vv_print_error (error);
    if (common.json)
      json_match (builder, session->host, device, selection);
    else
      print_text (session->host, device, selection, several);
  }
  if (several)
    json_builder_end_array (builder);
  if (common.json)
    vv_json_print (builder);
  return VV_EXIT_DONE;
}
