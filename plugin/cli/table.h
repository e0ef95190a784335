/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * table: rows of list as a table or, by IOMMU group, as a tree.
 *
 * Owns: what of libsmartcols list uses, and which cells have colours. What stands in the cells is row's
 * business.
 */
#pragma once

#include "row.h"

/**
 * VvStyle:
 * @columns: (element-type VvColumn): in this order
 * @plain: without headings
 * @colour: with colours
 */
typedef struct {
  GArray *columns;
  gboolean plain;
  gboolean colour;
} VvStyle;

/** vv_rows_print: @rows: (element-type VvRow) */
void vv_rows_print (const GPtrArray *rows, const VvStyle *style);

/**
 * VvGroup: one IOMMU group
 * @number: (nullable): NULL: the devices that have none
 * @rows: (element-type VvRow): its members; not owned
 */
typedef struct {
  char *number;
  GPtrArray *rows;
} VvGroup;

/** vv_groups_of: Returns: (transfer full) (element-type VvGroup): @rows by group, in the order of their
 * numbers */
GPtrArray *vv_groups_of (const GPtrArray *rows);

/** vv_groups_print: @groups: as of vv_groups_of(); the first of @style's columns is the one with the branches
 */
void vv_groups_print (const GPtrArray *groups, const VvStyle *style);
