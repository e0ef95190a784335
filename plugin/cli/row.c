/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "row.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "group.h"

void
vv_row_free (VvRow *row)
{
  if (!row)
    return;
  vv_pci_device_free (row->device);
  vv_entry_free (row->entry);
  vv_selection_free (row->selection);
  g_free (row->name);
  g_free (row->best_driver);
  g_free (row);
}

/* --- reading --- */

VvRow *
vv_row_read (const VvContext *context, const VvNames *names, const char *address, gboolean with_override,
             GError **error)
{
  g_autoptr (VvRow) row = g_new0 (VvRow, 1);
  g_autoptr (GError) unreadable = NULL;

  row->context = context;
  row->device = with_override ? vv_pci_device_open (context->host, address, error)
                              : vv_pci_device_look (context->host, address, error);
  if (!row->device)
    return NULL;
  row->entry = vv_journal_load (context->journal, address, &unreadable);
  if (unreadable)
    vv_warning ("%s", unreadable->message);
  g_autoptr (VvChoice) choice = vv_choose (context, row->device, row->entry, NULL, NULL, NULL, error);
  if (!choice)
    return NULL;
  row->selection = g_steal_pointer (&choice->selection);
  row->vfio = vv_on_vfio (context->host, row->device, row->selection);
  row->name = names ? vv_names_find (names, row->device->modalias) : NULL;
  if (row->selection->candidates->len) {
    const VvCandidate *best = row->selection->candidates->pdata[0];
    row->best_module = best->module;
    row->best_driver = vv_candidate_driver (context->host, best);
  }
  return g_steal_pointer (&row);
}

static gboolean
has_variant (const GPtrArray *candidates)
{
  for (guint i = 0; i < candidates->len; i++)
    if (strcmp (((VvCandidate *)candidates->pdata[i])->module, VV_GENERIC_MODULE) != 0)
      return TRUE;
  return FALSE;
}

gboolean
vv_row_is_interesting (const VvRow *row)
{
  return row->entry || row->vfio || has_variant (row->selection->candidates) ||
         has_variant (row->selection->excluded);
}

/* --- what it tells --- */

static const char *
native (const VvRow *row)
{
  if (row->entry && row->entry->host_known)
    return row->entry->host.driver;
  return row->vfio ? NULL : row->device->now.driver;
}

static gboolean
is_viable (const VvRow *row)
{
  g_autoptr (GPtrArray) obstacles =
      vv_group_obstacles (row->context->host, row->context->catalog, row->device, NULL);

  return obstacles->len == 0;
}

/* About the driver that it is on for VFIO, or would get, and the domain that has it, as far as the journal
 * knows.
 * @needs_iommufd: (out): whether only the IOMMU can track what it writes; VV_ANSWER_UNKNOWN: nobody has asked
 */
static VvMigratability
migratable (const VvRow *row, VvAnswer *needs_iommufd)
{
  const char *driver = row->vfio ? row->device->now.driver : row->best_driver;
  const VvEntry *entry = row->entry;
  g_auto (VvRequested) requested = {0};
  VvMigration m;

  *needs_iommufd = VV_ANSWER_UNKNOWN;
  if (vv_migration_known (row->context->journal, driver, row->device->modalias, &m) == VV_MIGRATION_UNKNOWN)
    return VV_MIGRATION_UNKNOWN;
  *needs_iommufd =
      m.stop_copy && !m.dma_logging && m.iommu_logging != VV_ANSWER_NO ? VV_ANSWER_YES : VV_ANSWER_NO;
  if (entry && entry->domain)
    vv_requested_from_text (entry->requested, &requested);
  return vv_migration_judge (&m, &requested.use, NULL);
}

static const char *
migratable_text (const VvRow *row)
{
  VvAnswer needs_iommufd;

  switch (migratable (row, &needs_iommufd)) {
  case VV_MIGRATION_NO:
    return _ ("no");
  case VV_MIGRATION_YES:
    return _ ("yes");
  default:
    return needs_iommufd == VV_ANSWER_YES ? "iommufd" : NULL;
  }
}

/* --- columns --- */

static const char *const column_names[VV_COLUMNS + 1] = {
    [VV_COLUMN_DEVICE] = "DEVICE", [VV_COLUMN_NAME] = "NAME",         [VV_COLUMN_NATIVE] = "NATIVE",
    [VV_COLUMN_NOW] = "NOW",       [VV_COLUMN_BEST] = "BEST",         [VV_COLUMN_GROUP] = "GROUP",
    [VV_COLUMN_VIABLE] = "VIABLE", [VV_COLUMN_DOMAIN] = "DOMAIN",     [VV_COLUMN_MIGRATABLE] = "MIGRATABLE",
    [VV_COLUMN_PF] = "PF",         [VV_COLUMN_OVERRIDE] = "OVERRIDE", [VV_COLUMNS] = NULL};

const char *
vv_column_name (VvColumn column)
{
  return column_names[column];
}

GArray *
vv_columns_parse (const char *text, GError **error)
{
  g_autoptr (GArray) columns = g_array_new (FALSE, FALSE, sizeof (VvColumn));
  g_auto (GStrv) wanted = g_strsplit (text, ",", -1);

  for (char **name = wanted; *name; name++) {
    VvColumn column = 0;
    while (column < VV_COLUMNS && g_ascii_strcasecmp (*name, column_names[column]) != 0)
      column++;
    if (column == VV_COLUMNS) {
      g_autofree char *all = g_strjoinv (",", (char **)column_names);
      g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("'%.80s' is no column; there are %s"), *name, all);
      return NULL;
    }
    g_array_append_val (columns, column);
  }
  if (columns->len)
    return g_steal_pointer (&columns);
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("no column is named"));
  return NULL;
}

char *
vv_row_text (const VvRow *row, VvColumn column)
{
  switch (column) {
  case VV_COLUMN_DEVICE:
    return g_strdup (row->device->address);
  case VV_COLUMN_NAME:
    return g_strdup (row->name);
  case VV_COLUMN_NATIVE:
    return g_strdup (native (row));
  case VV_COLUMN_NOW:
    return g_strdup (row->device->now.driver);
  case VV_COLUMN_BEST:
    return g_strdup (row->best_driver ? row->best_driver : row->best_module);
  case VV_COLUMN_GROUP:
    return g_strdup (row->device->iommu_group);
  case VV_COLUMN_VIABLE:
    return g_strdup (is_viable (row) ? _ ("yes") : _ ("no"));
  case VV_COLUMN_DOMAIN:
    return g_strdup (row->entry ? row->entry->domain : NULL);
  case VV_COLUMN_MIGRATABLE:
    return g_strdup (migratable_text (row));
  case VV_COLUMN_PF:
    return g_strdup (row->device->physfn);
  case VV_COLUMN_OVERRIDE:
    return g_strdup (row->device->now.override);
  case VV_COLUMNS:
    break;
  }
  return NULL;
}

/* --- JSON --- */

void
vv_row_json (const VvRow *row, JsonBuilder *b)
{
  const VvEntry *entry = row->entry;
  VvAnswer iommufd;
  VvMigratability verdict = migratable (row, &iommufd);

  json_builder_begin_object (b);
  vv_json_string (b, "device", row->device->address);
  vv_json_string (b, "name", row->name);
  vv_json_string (b, "modalias", row->device->modalias);
  vv_json_string (b, "native", native (row));
  vv_json_string (b, "driver", row->device->now.driver);
  vv_json_string (b, "driver_override", row->device->now.override);
  vv_json_string (b, "best_module", row->best_module);
  vv_json_string (b, "best_driver", row->best_driver);
  vv_json_string (b, "iommu_group", row->device->iommu_group);
  vv_json_boolean (b, "viable", is_viable (row));
  vv_json_string (b, "physical_function", row->device->physfn);
  vv_json_boolean (b, "vfio", row->vfio);
  vv_json_string (b, "state", entry ? vv_state_name (entry->state) : NULL);
  vv_json_boolean (b, "held", entry && entry->held);
  vv_json_boolean (b, "at_boot", entry && entry->at_boot);
  vv_json_string (b, "domain", entry ? entry->domain : NULL);
  vv_json_string (b, "domain_uuid", entry ? entry->domain_uuid : NULL);
  vv_json_boolean (b, "domain_running", entry && entry->in_use);
  vv_json_answer (b, "migratable", verdict != VV_MIGRATION_UNKNOWN, verdict == VV_MIGRATION_YES);
  vv_json_answer (b, "needs_iommufd", iommufd != VV_ANSWER_UNKNOWN, iommufd == VV_ANSWER_YES);
  json_builder_end_object (b);
}
