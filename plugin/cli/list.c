/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant list: which device is where, where it comes from, and where it could be.
 *
 * Owns: which devices are listed, and in which form. What is told of one is row's business, how a table looks
 * table's, what follows when they change hands changes'.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>

#include "changes.h"

#define COLUMNS "DEVICE,NATIVE,NOW,BEST,GROUP,DOMAIN,MIGRATABLE"
#define TREE_COLUMNS "DEVICE,NOW,BEST,VIABLE,DOMAIN,NAME"

typedef struct {
  gboolean all;
  gboolean tree;
  gboolean watch;
  gboolean plain;
  char *columns;
} Options;

/* --- as JSON --- */

static void
json_rows (JsonBuilder *b, const GPtrArray *rows)
{
  json_builder_begin_array (b);
  for (guint i = 0; i < rows->len; i++)
    vv_row_json (rows->pdata[i], b);
  json_builder_end_array (b);
}

static void
json_groups (JsonBuilder *b, const GPtrArray *groups)
{
  json_builder_begin_array (b);
  for (guint i = 0; i < groups->len; i++) {
    const VvGroup *group = groups->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "iommu_group", group->number);
    json_builder_set_member_name (b, "devices");
    json_rows (b, group->rows);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

/* --- once --- */

/* Rows, or groups of them: each with its two forms */
static int
print_listed (const GPtrArray *listed, const VvStyle *style, gboolean json,
              void (*as_json) (JsonBuilder *b, const GPtrArray *listed),
              void (*as_table) (const GPtrArray *listed, const VvStyle *style))
{
  if (json) {
    g_autoptr (JsonBuilder) builder = json_builder_new ();
    as_json (builder, listed);
    vv_json_print (builder);
  } else if (listed->len) {
    as_table (listed, style);
  } else {
    fprintf (stderr, "vfio-variant: %s\n",
             _ ("no device here has a VFIO variant driver or is on VFIO; 'vfio-variant list --all' lists "
                "every PCI device"));
  }
  return VV_EXIT_DONE;
}

/* A group is told as a whole when one of its devices is listed; what has no group is none. */
static GPtrArray *
listed_groups (const GPtrArray *rows, const VvListing *listing)
{
  GPtrArray *groups = vv_groups_of (rows);

  for (guint i = groups->len; i-- > 0;) {
    const VvGroup *group = groups->pdata[i];
    gboolean any = FALSE;
    for (guint k = 0; k < group->rows->len; k++)
      any |= vv_listing_has (listing, group->rows->pdata[k]);
    for (guint k = group->rows->len; k-- > 0;)
      if (!(group->number ? any : vv_listing_has (listing, group->rows->pdata[k])))
        g_ptr_array_remove_index (group->rows, k);
    if (!group->rows->len)
      g_ptr_array_remove_index (groups, i);
  }
  return groups;
}

/* --- the command --- */

/* Returns: what is wrong with what was asked for, or NULL */
static const char *
contradiction (const Options *o, const VvCommon *common)
{
  if (o->watch && o->tree)
    return _ ("--tree or --watch, not both");
  if (o->watch && common->sysroot)
    return _ ("--watch or --sysroot, not both: what happens elsewhere is not seen here");
  if (common->json && o->columns)
    return _ ("--json or --output, not both: --json has everything");
  return NULL;
}

static gboolean
has (const GArray *columns, VvColumn column)
{
  for (guint i = 0; i < columns->len; i++)
    if (g_array_index (columns, VvColumn, i) == column)
      return TRUE;
  return FALSE;
}

static int
list (const Options *o, const VvCommon *common, const VvStyle *style, int argc, char **argv)
{
  int code;
  g_autoptr (VvContext) context = vv_open_context (common, FALSE, &code);
  g_autoptr (GPtrArray) named =
      context && argc > 1 ? vv_device_arguments (context->host, argc, argv, &code) : NULL;

  if (!context || (argc > 1 && !named))
    return code;
  g_autoptr (VvNames) names = common->json || has (style->columns, VV_COLUMN_NAME) ? vv_names_open () : NULL;
  const VvListing listing = {named, o->all, names, common->json || has (style->columns, VV_COLUMN_OVERRIDE)};
  if (o->watch)
    return vv_changes_follow (context, &listing, style, common->json);
  g_autoptr (GPtrArray) rows = vv_rows_read (context, &listing, o->tree);
  if (!o->tree)
    return print_listed (rows, style, common->json, json_rows, vv_rows_print);
  g_autoptr (GPtrArray) groups = listed_groups (rows, &listing);
  return print_listed (groups, style, common->json, json_groups, vv_groups_print);
}

int
vv_cmd_list (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  Options o = {0};
  g_autofree char *columns = NULL;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
      {"all", 'a', 0, G_OPTION_ARG_NONE, &o.all,
       N_ ("Every PCI device, also those with nothing but vfio-pci"), NULL},
      {"tree", 't', 0, G_OPTION_ARG_NONE, &o.tree, N_ ("By IOMMU group, with all devices of each"), NULL},
      {"watch", 'w', 0, G_OPTION_ARG_NONE, &o.watch, N_ ("Go on, and tell what changes"), NULL},
      {"output", 'o', 0, G_OPTION_ARG_STRING, &columns,
       N_ ("These columns: of DEVICE, NAME, NATIVE, NOW, BEST, GROUP, VIABLE, DOMAIN, MIGRATABLE, PF, "
           "OVERRIDE"),
       "LIST"},
      {"noheadings", 'n', 0, G_OPTION_ARG_NONE, &o.plain, N_ ("No headings"), NULL},
      {NULL},
  };
  int code =
      vv_parse_options (&argc, &argv, "[DEVICE...]",
                        N_ ("Lists the devices that have a VFIO variant driver, are on VFIO now, or are in "
                            "the journal."),
                        entries, VV_TAKES_ELSEWHERE, &common);

  if (code >= 0)
    return code;
  o.columns = columns;
  if (contradiction (&o, &common))
    return vv_usage_error (argv[0], "%s", contradiction (&o, &common));
  g_autoptr (GArray) chosen = vv_columns_parse (columns ? columns : o.tree ? TREE_COLUMNS : COLUMNS, &error);
  if (!chosen)
    return vv_usage_error (argv[0], "%s", error->message);
  const VvStyle style = {chosen, o.plain, common.colour};
  return list (&o, &common, &style, argc, argv);
}
