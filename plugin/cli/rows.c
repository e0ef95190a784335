/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

#include <string.h>

gboolean
vv_listing_has (const VvListing *listing, const VvRow *row)
{
  if (!listing->named)
    return listing->all || vv_row_is_interesting (row);
  for (guint i = 0; i < listing->named->len; i++)
    if (strcmp (listing->named->pdata[i], row->device->address) == 0)
      return TRUE;
  return FALSE;
}

GPtrArray *
vv_rows_read (const VvContext *context, const VvListing *listing, gboolean rest)
{
  GPtrArray *rows = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_row_free);
  gboolean some = listing->named && !rest;
  g_autoptr (GPtrArray) present = some ? NULL : vv_io_list (context->host->sys, "bus/pci/devices");
  const GPtrArray *addresses = some ? listing->named : present;

  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvRow) row =
        vv_row_read (context, listing->names, addresses->pdata[i], listing->overrides, &error);
    if (!row)
      vv_warning ("%s", error->message);
    else if (rest || some || vv_listing_has (listing, row))
      g_ptr_array_add (rows, g_steal_pointer (&row));
  }
  return rows;
}
