/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * list: which device is where, where it comes from, and where it could be: once, or (list-watch) as it
 * changes.
 *
 * Owns: which devices are listed, and what is told of one: its columns as text, and its object in JSON.
 */
#pragma once

#include "command.h"
#include "udev.h"

/**
 * VvRow:
 * @context: where it was read; not owned
 * @entry: (nullable): its state file
 * @name: (nullable): what people call it; NULL also when no names were asked for
 * @best_driver: (nullable): NULL also while the best driver's module is not loaded
 * @best_module: (nullable): not owned
 * @vfio: it is on a VFIO driver
 * @told: (nullable): its object of list.schema.json, for --watch
 */
typedef struct {
  const VvContext *context;
  VvPciDevice *device;
  VvEntry *entry;
  VvChoice *choice;
  char *name;
  char *best_driver;
  const char *best_module;
  gboolean vfio;
  JsonNode *told;
} VvRow;

/** VvColumn: in the order in which --help names them */
typedef enum {
  VV_COLUMN_DEVICE,
  VV_COLUMN_NAME,
  VV_COLUMN_HOST,
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

/** vv_row_text: Returns: (transfer full) (nullable): what stands in @column */
char *vv_row_text (const VvRow *row, VvColumn column);

/** vv_row_json: adds the object of list.schema.json */
void vv_row_json (const VvRow *row, JsonBuilder *builder);

/**
 * VvListing:
 * @named: (nullable) (element-type utf8): these and no others
 * @all: also what is not interesting
 * @names: (nullable): where the devices' names are looked up
 * @overrides: only then is driver_override read, each open of which goes through the daemon's gate
 * @columns: (element-type VvColumn): in this order
 * @plain: without headings
 * @colour: with colours
 * @json: as JSON
 */
typedef struct {
  const GPtrArray *named;
  gboolean all;
  const VvNames *names;
  gboolean overrides;
  GArray *columns;
  gboolean plain;
  gboolean colour;
  gboolean json;
} VvListing;

/**
 * vv_rows_read:
 * @rest: also those of all other devices
 *
 * A device that goes away meanwhile is warned of.
 *
 * Returns: (transfer full) (element-type VvRow): in the order of addresses or of @listing's names
 */
GPtrArray *vv_rows_read (const VvContext *context, const VvListing *listing, gboolean rest);

/** vv_rows_print: prints a table; @rows: (element-type VvRow) */
void vv_rows_print (const GPtrArray *rows, const VvListing *listing);

/**
 * vv_list_watch:
 * @context: in which the devices were named; others are opened later
 *
 * list --watch: prints the devices of @listing, and again what changes of them: on a terminal the table as it
 * is now, else a line or a JSON object for each device that changed. Ends at SIGINT, SIGTERM and SIGHUP, and
 * when nobody reads standard output any more.
 *
 * Returns: the exit code
 */
int vv_list_watch (const VvContext *context, const VvListing *listing);
