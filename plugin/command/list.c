/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant list: which device is where, where it comes from, and where it could be.
 */
#include <glib/gi18n-lib.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "placement.h"

/* What one row tells. @vfio: it is on a VFIO driver. */
typedef struct {
  gboolean vfio;
  VvPciDevice *device;
  VvEntry *entry;
  VvSelection *selection;
} Row;

static void
row_free (Row *row)
{
  vv_pci_device_free (row->device);
  vv_entry_free (row->entry);
  vv_selection_free (row->selection);
  g_free (row);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Row, row_free)

static const VvCandidate *
best (const Row *row)
{
  return row->selection->candidates->len ? row->selection->candidates->pdata[0] : NULL;
}

static gboolean
has_variant (const GPtrArray *candidates)
{
  for (guint i = 0; i < candidates->len; i++)
    if (strcmp (((VvCandidate *)candidates->pdata[i])->module, VV_GENERIC_MODULE) != 0)
      return TRUE;
  return FALSE;
}

/* Worth a row without --all: it has a driver of its own for VFIO, wanted or not, or is on VFIO, or was
 * touched by us. */
static gboolean
is_interesting (const Row *row)
{
  return row->entry || row->vfio || has_variant (row->selection->candidates) ||
         has_variant (row->selection->excluded);
}

/* @with_override: only then is driver_override read, each open of which goes through the daemon's gate */
static Row *
read_row (const VvSession *session, const char *address, gboolean with_override, GError **error)
{
  g_autoptr (Row) row = g_new0 (Row, 1);
  g_autoptr (GError) unreadable = NULL;

  row->device = with_override ? vv_pci_device_open (session->host, address, error)
                              : vv_pci_device_look (session->host, address, error);
  if (!row->device)
    return NULL;
  row->entry = vv_journal_load (session->journal, address, &unreadable);
  if (unreadable)
    fprintf (stderr, _ ("vfio-variant: warning: %s\n"), unreadable->message);
  g_autoptr (VvChoice) choice = vv_choose (session, row->device, row->entry, NULL, NULL, NULL, error);
  if (!choice)
    return NULL;
  row->selection = g_steal_pointer (&choice->selection);
  row->vfio = vv_on_vfio (session->host, row->device, row->selection);
  return g_steal_pointer (&row);
}

static const char *
native (const Row *row)
{
  if (row->entry && row->entry->home_known)
    return row->entry->home_driver;
  return row->vfio ? NULL : row->device->driver;
}

static char *
best_driver (const VvSession *session, const Row *row)
{
  const VvCandidate *c = best (row);

  return c ? vv_candidate_driver (session->host, c) : NULL;
}

/* About the driver that it is on for VFIO, or would get */
static VvMigratability
migratable (const VvSession *session, const Row *row, const char *best_driver)
{
  return vv_migration_known (session->journal, row->vfio ? row->device->driver : best_driver,
                             row->device->modalias, NULL);
}

/* --- table --- */

static void
set_cell (struct libscols_line *line, gsize column, const char *text)
{
  scols_line_set_data (line, column, text ? text : "-");
}

static void
print_table (const VvSession *session, const GPtrArray *rows)
{
  static const char *const answers[] = {
      [VV_MIGRATION_UNKNOWN] = NULL, [VV_MIGRATION_NO] = "no", [VV_MIGRATION_YES] = "yes"};
  static const char *const columns[] = {"DEVICE", "NATIVE", "NOW", "BEST", "GROUP", "DOMAIN", "MIGRATABLE"};
  struct libscols_table *table = scols_new_table ();

  for (gsize i = 0; i < G_N_ELEMENTS (columns); i++)
    scols_table_new_column (table, columns[i], 0, 0);
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = rows->pdata[i];
    struct libscols_line *line = scols_table_new_line (table, NULL);
    g_autofree char *driver = best_driver (session, row);
    set_cell (line, 0, row->device->address);
    set_cell (line, 1, native (row));
    set_cell (line, 2, row->device->driver);
    set_cell (line, 3, driver ? driver : best (row) ? best (row)->module : NULL);
    set_cell (line, 4, row->device->iommu_group);
    set_cell (line, 5, row->entry ? row->entry->domain : NULL);
    set_cell (line, 6, answers[migratable (session, row, driver)]);
  }
  scols_print_table (table);
  scols_unref_table (table);
}

/* --- JSON --- */

static void
json_migratable (JsonBuilder *b, VvMigratability known)
{
  json_builder_set_member_name (b, "migratable");
  if (known == VV_MIGRATION_UNKNOWN)
    json_builder_add_null_value (b);
  else
    json_builder_add_boolean_value (b, known == VV_MIGRATION_YES);
}

static void
json_row (JsonBuilder *b, const VvSession *session, const Row *row)
{
  g_autofree char *driver = best_driver (session, row);

  json_builder_begin_object (b);
  vv_json_string (b, "device", row->device->address);
  vv_json_string (b, "modalias", row->device->modalias);
  vv_json_string (b, "native", native (row));
  vv_json_string (b, "driver", row->device->driver);
  vv_json_string (b, "driver_override", row->device->driver_override);
  vv_json_string (b, "best_module", best (row) ? best (row)->module : NULL);
  vv_json_string (b, "best_driver", driver);
  vv_json_string (b, "iommu_group", row->device->iommu_group);
  vv_json_string (b, "physical_function", row->device->physfn);
  json_builder_set_member_name (b, "vfio");
  json_builder_add_boolean_value (b, row->vfio);
  vv_json_string (b, "state", row->entry ? vv_state_name (row->entry->state) : NULL);
  json_builder_set_member_name (b, "held");
  json_builder_add_boolean_value (b, row->entry && row->entry->held);
  vv_json_string (b, "domain", row->entry ? row->entry->domain : NULL);
  vv_json_string (b, "domain_uuid", row->entry ? row->entry->domain_uuid : NULL);
  json_builder_set_member_name (b, "domain_running");
  json_builder_add_boolean_value (b, row->entry && row->entry->in_use);
  json_migratable (b, migratable (session, row, driver));
  json_builder_end_object (b);
}

static void
print_json (const VvSession *session, const GPtrArray *rows)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_array (builder);
  for (guint i = 0; i < rows->len; i++)
    json_row (builder, session, rows->pdata[i]);
  json_builder_end_array (builder);
  vv_json_print (builder);
}

int
vv_cmd_list (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  gboolean all = FALSE;
  const GOptionEntry entries[] = {
      {"all", 'a', 0, G_OPTION_ARG_NONE, &all, N_ ("Every PCI device, also those with nothing but vfio-pci"),
       NULL},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "[DEVICE...]",
      N_ ("Lists the devices that have a VFIO variant driver, are on VFIO now, or are in the "
          "journal."),
      entries, TRUE, &common);

  if (code >= 0)
    return code;
  g_autoptr (VvSession) session = vv_open_session (&common, FALSE, &code);
  if (!session)
    return code;
  g_autoptr (GPtrArray) addresses = argc > 1 ? vv_device_arguments (session->host, argc, argv, &code)
                                             : vv_io_list (session->host->sys, "bus/pci/devices");
  if (!addresses)
    return code;

  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify)row_free);
  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (Row) row = read_row (session, addresses->pdata[i], common.json, &error);
    if (!row) { /* it went away while the list was made */
      fprintf (stderr, _ ("vfio-variant: warning: %s\n"), error->message);
      continue;
    }
    if (all || argc > 1 || is_interesting (row))
      g_ptr_array_add (rows, g_steal_pointer (&row));
  }
  if (common.json)
    print_json (session, rows);
  else if (rows->len)
    print_table (session, rows);
  else
    fputs (_ ("No device here has a VFIO variant driver or is on VFIO; 'vfio-variant list --all' lists every "
              "PCI device.\n"),
           stderr);
  return VV_EXIT_DONE;
}
