/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "list.h"
#include "requested.h"

#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "group.h"

#define COLUMNS "DEVICE,HOST,NOW,BEST,GROUP,DOMAIN,MIGRATABLE"
#define TREE_COLUMNS "DEVICE,NOW,BEST,VIABLE,DOMAIN,NAME"

/* --- one device --- */

static void
row_free (VvRow *row)
{
  if (!row)
    return;
  vv_pci_device_free (row->device);
  vv_entry_free (row->entry);
  vv_choice_free (row->choice);
  g_free (row->name);
  g_free (row->best_driver);
  g_clear_pointer (&row->told, json_node_unref);
  g_free (row);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvRow, row_free)

/* Prints a warning if the state file is damaged. Returns: (transfer full): the row, or NULL with @error set
 * (VV_ERROR_NO_DEVICE) */
static VvRow *
row_read (const VvContext *context, const VvListing *listing, const char *address, GError **error)
{
  g_autoptr (VvRow) row = g_new0 (VvRow, 1);
  g_autoptr (GError) unreadable = NULL;

  row->context = context;
  row->device = listing->overrides ? vv_pci_device_open (context->host, address, error)
                                   : vv_pci_device_look (context->host, address, error);
  if (!row->device)
    return NULL;
  row->entry = vv_state_store_load (context->store, address, &unreadable);
  if (unreadable)
    vv_warning ("%s", unreadable->message);
  g_autoptr (VvChoice) choice = vv_choose (context, row->device, row->entry, NULL, NULL, NULL, error);
  if (!choice)
    return NULL;
  row->choice = g_steal_pointer (&choice);
  row->vfio = vv_on_vfio (context->host, row->device, row->choice);
  row->name = listing->names ? vv_names_find (listing->names, row->device->modalias) : NULL;
  if (row->choice->candidates->len) {
    const VvCandidate *best = row->choice->candidates->pdata[0];
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

static const char *
host_driver (const VvRow *row)
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

/* Returns: whether the domain of the device, else any domain, can be migrated live with it. Considers the
 * current VFIO driver, else the best driver, and the answers in the state store.
 * @needs_iommufd: (out): whether only the IOMMU can track the device's writes; VV_ANSWER_UNKNOWN: the driver
 * was not queried */
static VvMigratability
migratable (const VvRow *row, VvAnswer *needs_iommufd)
{
  const char *driver = row->vfio ? row->device->now.driver : row->best_driver;
  const VvEntry *entry = row->entry;
  g_auto (VvOptions) requested = {0};
  VvMigration m;

  *needs_iommufd = VV_ANSWER_UNKNOWN;
  if (vv_migration_known (row->context->store, driver, row->device->modalias, &m) == VV_MIGRATION_UNKNOWN)
    return VV_MIGRATION_UNKNOWN;
  *needs_iommufd =
      m.stop_copy && !m.dma_logging && m.iommu_logging != VV_ANSWER_NO ? VV_ANSWER_YES : VV_ANSWER_NO;
  if (entry && entry->domain)
    vv_requested_from_text (entry->requested, &requested);
  return vv_migration_judge (&m, &requested.use, NULL);
}

/* --- columns --- */

static const char *const column_names[VV_COLUMNS + 1] = {
    [VV_COLUMN_DEVICE] = "DEVICE", [VV_COLUMN_NAME] = "NAME",         [VV_COLUMN_HOST] = "HOST",
    [VV_COLUMN_NOW] = "NOW",       [VV_COLUMN_BEST] = "BEST",         [VV_COLUMN_GROUP] = "GROUP",
    [VV_COLUMN_VIABLE] = "VIABLE", [VV_COLUMN_DOMAIN] = "DOMAIN",     [VV_COLUMN_MIGRATABLE] = "MIGRATABLE",
    [VV_COLUMN_PF] = "PF",         [VV_COLUMN_OVERRIDE] = "OVERRIDE", [VV_COLUMNS] = NULL};

/* @text: names of columns, comma-separated, in upper or lower case
 * Returns: (transfer full) (element-type VvColumn): at least one, or NULL with @error set
 * (VV_ERROR_INVALID) */
static GArray *
columns_parse (const char *text, GError **error)
{
  g_autoptr (GArray) columns = g_array_new (FALSE, FALSE, sizeof (VvColumn));
  g_auto (GStrv) wanted = g_strsplit (text, ",", -1);

  for (char **name = wanted; *name; name++) {
    VvColumn column = 0;
    while (column < VV_COLUMNS && g_ascii_strcasecmp (*name, column_names[column]) != 0)
      column++;
    if (column == VV_COLUMNS) {
      g_autofree char *all = g_strjoinv (",", (char **)column_names);
      g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("unknown column '%.80s'; the columns are %s"), *name,
                   all);
      return NULL;
    }
    g_array_append_val (columns, column);
  }
  if (columns->len)
    return g_steal_pointer (&columns);
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("no column given"));
  return NULL;
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

char *
vv_row_text (const VvRow *row, VvColumn column)
{
  switch (column) {
  case VV_COLUMN_DEVICE:
    return g_strdup (row->device->address);
  case VV_COLUMN_NAME:
    return g_strdup (row->name);
  case VV_COLUMN_HOST:
    return g_strdup (host_driver (row));
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
  vv_json_string (b, "host_driver", host_driver (row));
  vv_json_string (b, "driver", row->device->now.driver);
  vv_json_string (b, "driver_override", row->device->now.override);
  vv_json_string (b, "best_module", row->best_module);
  vv_json_string (b, "best_driver", row->best_driver);
  vv_json_string (b, "iommu_group", row->device->iommu_group);
  vv_json_boolean (b, "viable", is_viable (row));
  vv_json_string (b, "physical_function", row->device->physfn);
  vv_json_boolean (b, "vfio", row->vfio);
  vv_json_string (b, "state", entry ? vv_state_name (entry->state) : NULL);
  vv_json_boolean (b, "pinned", entry && entry->pinned);
  vv_json_boolean (b, "at_boot", entry && entry->at_boot);
  vv_json_string (b, "domain", entry ? entry->domain : NULL);
  vv_json_string (b, "domain_uuid", entry ? entry->domain_uuid : NULL);
  vv_json_boolean (b, "domain_running", entry && entry->in_use);
  vv_json_answer (b, "migratable", verdict != VV_MIGRATION_UNKNOWN, verdict == VV_MIGRATION_YES);
  vv_json_answer (b, "needs_iommufd", iommufd != VV_ANSWER_UNKNOWN, iommufd == VV_ANSWER_YES);
  json_builder_end_object (b);
}

/* --- selection --- */

static gboolean
is_listed (const VvRow *row, const VvListing *listing)
{
  if (!listing->named) /* has a variant driver (even excluded), is on VFIO, or has a state file */
    return listing->all || row->entry || row->vfio || has_variant (row->choice->candidates) ||
           has_variant (row->choice->excluded);
  for (guint i = 0; i < listing->named->len; i++)
    if (strcmp (listing->named->pdata[i], row->device->address) == 0)
      return TRUE;
  return FALSE;
}

GPtrArray *
vv_rows_read (const VvContext *context, const VvListing *listing, gboolean rest)
{
  GPtrArray *rows = g_ptr_array_new_with_free_func ((GDestroyNotify)row_free);
  gboolean some = listing->named && !rest;
  g_autoptr (GPtrArray) present = some ? NULL : vv_io_list (context->host->sys, "bus/pci/devices");
  const GPtrArray *addresses = some ? listing->named : present;

  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvRow) row = row_read (context, listing, addresses->pdata[i], &error);
    if (!row)
      vv_warning ("%s", error->message);
    else if (rest || some || is_listed (row, listing))
      g_ptr_array_add (rows, g_steal_pointer (&row));
  }
  return rows;
}

/* --- tables --- */

/* On a narrow terminal, only names are truncated. */
static struct libscols_table *
new_table (const VvListing *listing, gboolean tree)
{
  struct libscols_table *table = scols_new_table ();

  scols_table_enable_noheadings (table, listing->plain);
  scols_table_enable_colors (table, listing->colour);
  for (guint i = 0; i < listing->columns->len; i++) {
    VvColumn column = g_array_index (listing->columns, VvColumn, i);
    scols_table_new_column (table, column_names[column], 0,
                            (column == VV_COLUMN_NAME ? SCOLS_FL_TRUNC : 0) |
                                (tree && i == 0 ? SCOLS_FL_TREE : 0));
  }
  return table;
}

static void
add_row (struct libscols_table *table, struct libscols_line *parent, const VvRow *row,
         const VvListing *listing)
{
  struct libscols_line *line = scols_table_new_line (table, parent);

  for (guint i = 0; i < listing->columns->len; i++) {
    VvColumn column = g_array_index (listing->columns, VvColumn, i);
    g_autofree char *text = vv_row_text (row, column);
    scols_line_set_data (line, i, text ? text : "-");
    /* Colours only devices on VFIO: one colour for the best driver, another for any other VFIO driver. */
    if (column == VV_COLUMN_NOW && row->vfio)
      scols_cell_set_color (scols_line_get_cell (line, i),
                            g_strcmp0 (row->device->now.driver, row->best_driver) == 0 ? VV_COLOUR_GOOD
                                                                                       : VV_COLOUR_FAIR);
  }
}

void
vv_rows_print (const GPtrArray *rows, const VvListing *listing)
{
  struct libscols_table *table = new_table (listing, FALSE);

  for (guint i = 0; i < rows->len; i++)
    add_row (table, NULL, rows->pdata[i], listing);
  scols_print_table (table);
  scols_unref_table (table);
}

/* --- IOMMU groups --- */

/* Devices without a group are last. */
static gint
by_group (gconstpointer a, gconstpointer b)
{
  const char *first = (*(const VvRow *const *)a)->device->iommu_group;
  const char *second = (*(const VvRow *const *)b)->device->iommu_group;

  if (!first || !second)
    return (second != NULL) - (first != NULL);
  gulong n = strtoul (first, NULL, 10);
  gulong m = strtoul (second, NULL, 10);
  return (n > m) - (n < m);
}

/* Keeps all devices of a group if one of them is listed. Devices without a group do not form a group. */
static void
sort_by_group (GPtrArray *rows, const VvListing *listing)
{
  g_autoptr (GHashTable) groups = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    if (row->device->iommu_group && is_listed (row, listing))
      g_hash_table_add (groups, row->device->iommu_group);
  }
  for (guint i = rows->len; i-- > 0;) {
    const VvRow *row = rows->pdata[i];
    if (row->device->iommu_group ? !g_hash_table_contains (groups, row->device->iommu_group)
                                 : !is_listed (row, listing))
      g_ptr_array_remove_index (rows, i);
  }
  g_ptr_array_sort (rows, by_group);
}

static gboolean
begins_group (const GPtrArray *rows, guint i)
{
  return i == 0 || by_group (&rows->pdata[i - 1], &rows->pdata[i]) != 0;
}

static void
print_tree (const GPtrArray *rows, const VvListing *listing)
{
  struct libscols_table *table = new_table (listing, TRUE);
  struct libscols_line *line = NULL;

  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    const char *group = row->device->iommu_group;
    g_autofree char *title = group ? g_strdup_printf (_ ("group %s"), group) : g_strdup (_ ("no group"));
    if (begins_group (rows, i)) {
      line = scols_table_new_line (table, NULL);
      scols_line_set_data (line, 0, title);
    }
    add_row (table, line, row, listing);
  }
  scols_print_table (table);
  scols_unref_table (table);
}

static void
json_tree (JsonBuilder *b, const GPtrArray *rows)
{
  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    if (begins_group (rows, i)) {
      json_builder_begin_object (b);
      vv_json_string (b, "iommu_group", row->device->iommu_group);
      vv_json_begin_array (b, "devices");
    }
    vv_row_json (row, b);
    if (i + 1 == rows->len || begins_group (rows, i + 1)) {
      json_builder_end_array (b);
      json_builder_end_object (b);
    }
  }
}

/* --- the command --- */

static void
print_once (const VvContext *context, const VvListing *listing, gboolean tree)
{
  g_autoptr (GPtrArray) rows = vv_rows_read (context, listing, tree);
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (tree)
    sort_by_group (rows, listing);
  if (listing->json) {
    json_builder_begin_array (builder);
    if (tree)
      json_tree (builder, rows);
    for (guint i = 0; !tree && i < rows->len; i++)
      vv_row_json (rows->pdata[i], builder);
    json_builder_end_array (builder);
    vv_json_print (builder);
  } else if (!rows->len) {
    fprintf (stderr, "vfio-variant: %s\n",
             _ ("no device has a VFIO variant driver or is on VFIO; 'vfio-variant list --all' lists every "
                "PCI device"));
  } else if (tree) {
    print_tree (rows, listing);
  } else {
    vv_rows_print (rows, listing);
  }
}

static gboolean
has (const VvListing *listing, VvColumn column)
{
  gboolean found = listing->json; /* JSON has every column */

  for (guint i = 0; i < listing->columns->len; i++)
    found |= g_array_index (listing->columns, VvColumn, i) == column;
  return found;
}

int
vv_cmd_list (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  VvListing listing = {0};
  gboolean tree = FALSE;
  gboolean watch = FALSE;
  g_autofree char *columns = NULL;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
      {"all", 'a', 0, G_OPTION_ARG_NONE, &listing.all,
       N_ ("List every PCI device, including those with vfio-pci only"), NULL},
      {"tree", 't', 0, G_OPTION_ARG_NONE, &tree, N_ ("Group by IOMMU group, with all devices of each group"),
       NULL},
      {"watch", 'w', 0, G_OPTION_ARG_NONE, &watch, N_ ("Keep running and print each change"), NULL},
      {"output", 'o', 0, G_OPTION_ARG_STRING, &columns,
       N_ ("Print these columns: DEVICE, NAME, HOST, NOW, BEST, GROUP, VIABLE, DOMAIN, MIGRATABLE, PF, "
           "OVERRIDE"),
       "LIST"},
      {"noheadings", 'n', 0, G_OPTION_ARG_NONE, &listing.plain, N_ ("Print no headings"), NULL},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "[DEVICE...]",
      N_ ("Lists the devices that have a VFIO variant driver, are on VFIO, or have a state file."), entries,
      VV_TAKES_ELSEWHERE, &common);

  if (code >= 0)
    return code;
  if (watch && tree)
    return vv_usage_error (argv[0], _ ("--tree and --watch exclude each other"));
  if (watch && common.sysroot)
    return vv_usage_error (
        argv[0],
        _ ("--watch and --sysroot exclude each other: changes can be watched on the running system only"));
  if (common.json && columns)
    return vv_usage_error (argv[0],
                           _ ("--json and --output exclude each other: --json always has every column"));
  g_autoptr (GArray) chosen = columns_parse (columns ? columns : tree ? TREE_COLUMNS : COLUMNS, &error);
  if (!chosen)
    return vv_usage_error (argv[0], "%s", error->message);
  g_autoptr (VvContext) context = vv_open_context (&common, FALSE, &code);
  g_autoptr (GPtrArray) named =
      context && argc > 1 ? vv_device_arguments (context->host, argc, argv, &code) : NULL;
  if (!context || (argc > 1 && !named))
    return code;
  listing.named = named;
  listing.columns = chosen;
  listing.colour = common.colour;
  listing.json = common.json;
  listing.overrides = has (&listing, VV_COLUMN_OVERRIDE);
  g_autoptr (VvNames) names = has (&listing, VV_COLUMN_NAME) ? vv_names_open () : NULL;
  listing.names = names;
  if (watch)
    return vv_list_watch (context, &listing);
  print_once (context, &listing, tree);
  return VV_EXIT_DONE;
}
