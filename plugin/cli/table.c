/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "table.h"

#include <glib/gi18n-lib.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "colour.h"

/* A name is what a terminal that is narrow can do without. */
static struct libscols_table *
new_table (const VvStyle *style, gboolean tree)
{
  struct libscols_table *table = scols_new_table ();

  scols_table_enable_noheadings (table, style->plain);
  scols_table_enable_colors (table, style->colour);
  for (guint i = 0; i < style->columns->len; i++) {
    VvColumn column = g_array_index (style->columns, VvColumn, i);
    scols_table_new_column (table, vv_column_name (column), 0,
                            (column == VV_COLUMN_NAME ? SCOLS_FL_TRUNC : 0) |
                                (tree && i == 0 ? SCOLS_FL_TREE : 0));
  }
  return table;
}

static void
add_row (struct libscols_table *table, struct libscols_line *parent, const VvRow *row, const VvStyle *style)
{
  struct libscols_line *line = scols_table_new_line (table, parent);

  for (guint i = 0; i < style->columns->len; i++) {
    VvColumn column = g_array_index (style->columns, VvColumn, i);
    g_autofree char *text = vv_row_text (row, column);
    scols_line_set_data (line, i, text ? text : "-");
    /* On VFIO it is where it should be, or only somewhere; on a driver of the host it is at home. */
    if (column == VV_COLUMN_NOW && row->vfio)
      scols_cell_set_color (scols_line_get_cell (line, i),
                            g_strcmp0 (row->device->now.driver, row->best_driver) == 0 ? VV_COLOUR_GOOD
                                                                                       : VV_COLOUR_FAIR);
  }
}

void
vv_rows_print (const GPtrArray *rows, const VvStyle *style)
{
  struct libscols_table *table = new_table (style, FALSE);

  for (guint i = 0; i < rows->len; i++)
    add_row (table, NULL, rows->pdata[i], style);
  scols_print_table (table);
  scols_unref_table (table);
}

/* --- IOMMU groups --- */

static void
group_free (VvGroup *group)
{
  g_free (group->number);
  g_ptr_array_unref (group->rows);
  g_free (group);
}

/* That there is none comes last. */
static gint
by_number (gconstpointer a, gconstpointer b)
{
  const VvGroup *first = *(const VvGroup *const *)a;
  const VvGroup *second = *(const VvGroup *const *)b;

  if (!first->number || !second->number)
    return (second->number != NULL) - (first->number != NULL);
  gulong n = strtoul (first->number, NULL, 10);
  gulong m = strtoul (second->number, NULL, 10);
  return (n > m) - (n < m);
}

static VvGroup *
group_of (GPtrArray *groups, const char *number)
{
  for (guint i = 0; i < groups->len; i++) {
    VvGroup *group = groups->pdata[i];
    if (g_strcmp0 (group->number, number) == 0)
      return group;
  }
  VvGroup *group = g_new0 (VvGroup, 1);
  group->number = g_strdup (number);
  group->rows = g_ptr_array_new ();
  g_ptr_array_add (groups, group);
  return group;
}

GPtrArray *
vv_groups_of (const GPtrArray *rows)
{
  GPtrArray *groups = g_ptr_array_new_with_free_func ((GDestroyNotify)group_free);

  for (guint i = 0; i < rows->len; i++) {
    VvRow *row = rows->pdata[i];
    g_ptr_array_add (group_of (groups, row->device->iommu_group)->rows, row);
  }
  g_ptr_array_sort (groups, by_number);
  return groups;
}

void
vv_groups_print (const GPtrArray *groups, const VvStyle *style)
{
  struct libscols_table *table = new_table (style, TRUE);

  for (guint i = 0; i < groups->len; i++) {
    const VvGroup *group = groups->pdata[i];
    struct libscols_line *line = scols_table_new_line (table, NULL);
    g_autofree char *title =
        group->number ? g_strdup_printf (_ ("group %s"), group->number) : g_strdup (_ ("no group"));
    scols_line_set_data (line, 0, title);
    for (guint k = 0; k < group->rows->len; k++)
      add_row (table, line, group->rows->pdata[k], style);
  }
  scols_print_table (table);
  scols_unref_table (table);
}
