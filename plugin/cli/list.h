/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * list: the host driver, the current driver and the best driver of each device, once or on each change
 * (list-watch).
 *
 * Owns: the selection of the devices to list, and the output for one device: its columns as text, and its
 * JSON object.
 */
#pragma once

#include "command.h"
#include "udev.h"

/**
 * VvRow:
 * @context: the context from which it was read; not owned
 * @entry: (nullable): its state file
 * @name: (nullable): vendor and model; NULL: unknown, or names were not requested
 * @best_driver: (nullable): NULL: no VFIO driver is usable, or the module of the best driver is not loaded
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

/** VvColumn: the columns, in the order of --help */
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

/** vv_row_text: Returns: (transfer full) (nullable): the text for @column */
char *vv_row_text (const VvRow *row, VvColumn column);

/** vv_row_json: Adds the object of list.schema.json */
void vv_row_json (const VvRow *row, JsonBuilder *builder);

/**
 * VvListing:
 * @named: (nullable) (element-type utf8): list only these devices
 * @all: list every PCI device
 * @names: (nullable): the database for the names of devices
 * @overrides: read driver_override; each open of that file passes the daemon's gate
 * @columns: (element-type VvColumn): the columns, in this order
 * @plain: print no headings
 * @colour: print colours
 * @json: print JSON
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
 * @rest: read all PCI devices, whatever @listing selects
 *
 * Prints a warning for a device that disappears during the read.
 *
 * Returns: (transfer full) (element-type VvRow): in the order of addresses, or of the devices named in
 * @listing
 */
GPtrArray *vv_rows_read (const VvContext *context, const VvListing *listing, gboolean rest);

/** vv_rows_print: Prints a table. @rows: (element-type VvRow) */
void vv_rows_print (const GPtrArray *rows, const VvListing *listing);

/**
 * vv_list_watch:
 * @context: the context in which the devices were named; each update opens another one
 *
 * Implements list --watch. Prints the devices of @listing, and then each change. On a terminal, prints the
 * whole table again; else prints one line or JSON object for each changed device. Ends at SIGINT, SIGTERM and
 * SIGHUP, and when the reader of standard output closes it.
 *
 * Returns: the exit code
 */
int vv_list_watch (const VvContext *context, const VvListing *listing);
