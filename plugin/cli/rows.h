/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rows: the rows of all devices that a list is about.
 *
 * Owns: which devices those are. What is told of one is row's business.
 */
#pragma once

#include "row.h"

/**
 * VvListing:
 * @named: (nullable) (element-type utf8): these and no others
 * @all: also what is not interesting
 * @names: (nullable): as for vv_row_read()
 * @overrides: driver_override is wanted, as for vv_row_read()
 */
typedef struct {
  const GPtrArray *named;
  gboolean all;
  const VvNames *names;
  gboolean overrides;
} VvListing;

/** vv_listing_has: Returns: whether @row is listed */
gboolean vv_listing_has (const VvListing *listing, const VvRow *row);

/**
 * vv_rows_read:
 * @rest: also those of all other devices
 *
 * A device that goes away meanwhile is warned of.
 *
 * Returns: (transfer full) (element-type VvRow): in the order of addresses or of @listing's names
 */
GPtrArray *vv_rows_read (const VvContext *context, const VvListing *listing, gboolean rest);
