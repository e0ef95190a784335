/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * row: what list tells of one device: its columns as text, and its object in JSON.
 *
 * Owns: which columns there are, and what stands in them. Knows nothing of tables, trees and changes.
 */
#pragma once

#include "command.h"
#include "udev.h"
#include "attach.h"

/**
 * VvRow:
 * @context: where it was read; not owned
 * @entry: (nullable): its journal entry
 * @name: (nullable): what people call it; NULL also when no names were asked for
 * @best_driver: (nullable): NULL also while the best driver's module is not loaded
 * @best_module: (nullable): not owned
 * @vfio: it is on a VFIO driver
 */
typedef struct {
  const VvContext *context;
  VvPciDevice *device;
  VvEntry *entry;
  VvSelection *selection;
  char *name;
  char *best_driver;
  const char *best_module;
  gboolean vfio;
} VvRow;

void vv_row_free (VvRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvRow, vv_row_free)

/**
 * vv_row_read:
 * @names: (nullable): where its name is looked up
 * @with_override: only then is driver_override read, each open of which goes through the daemon's gate
 *
 * A journal entry that is damaged is warned of.
 *
 * Returns: (transfer full): the row, or NULL with @error set (VV_ERROR_NO_DEVICE)
 */
VvRow *vv_row_read (const VvContext *context, const VvNames *names, const char *address,
                    gboolean with_override, GError **error);

/** vv_row_is_interesting: Returns: whether it is worth a row without --all: it has a driver of its own for
 * VFIO, wanted or not, or is on VFIO, or was touched by us */
gboolean vv_row_is_interesting (const VvRow *row);

/** VvColumn: in the order in which --help names them */
typedef enum {
  VV_COLUMN_DEVICE,
  VV_COLUMN_NAME,
  VV_COLUMN_NATIVE,
  VV_COLUMN_NOW,
  VV_COLUMN_BEST,
  VV_COLUMN_GROUP,
  VV_COLUMN_VIABLE,
  VV_COLUMN_DOMAIN,
  VV_COLUMN_MIGRATABLE,
  VV_COLUMN_PF,
  VV_COLUMN_OVERRIDE,
  VV_COLUMNS
} VvColumn;

/** vv_column_name: Returns: "DEVICE" and so on */
const char *vv_column_name (VvColumn column);

/**
 * vv_columns_parse:
 * @text: names of columns, in any case, comma-separated
 *
 * Returns: (transfer full) (element-type VvColumn): the columns, at least one, or NULL with @error set
 * (VV_ERROR_INVALID)
 */
GArray *vv_columns_parse (const char *text, GError **error);

/** vv_row_text: Returns: (transfer full) (nullable): what stands in @column */
char *vv_row_text (const VvRow *row, VvColumn column);

/** vv_row_json: adds the object of list.schema.json */
void vv_row_json (const VvRow *row, JsonBuilder *builder);
