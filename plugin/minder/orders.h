/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * orders: the words that the daemon says to the minder, a line each.
 *
 * Owns: cutting a stream of bytes into lines and knowing the words. Bounded; a line that is too long or no
 * order is passed over. Knows nothing of where the bytes come from, nor of what is done about an order.
 */
#pragma once

#include <glib.h>

/**
 * VvOrder:
 * @VV_ORDER_HELD: "held": a thread of libvirt's is held: it must not be asked anything
 * @VV_ORDER_FREE: "free": none is held any more
 * @VV_ORDER_LOOK: "look": something changed in the journal
 */
typedef enum {
  VV_ORDER_HELD,
  VV_ORDER_FREE,
  VV_ORDER_LOOK,
} VvOrder;

/** VvOrders: what was read of an unfinished line; begins as all zeros, needs no freeing */
typedef struct {
  char line[16];
  gsize length; /* a line that fills all of it is no order: the words are shorter */
} VvOrders;

typedef void (*VvOrderFunc) (VvOrder order, gpointer data);

/** vv_orders_feed: takes some more bytes and calls @func for each order that is complete */
void vv_orders_feed (VvOrders *orders, const char *bytes, gsize length, VvOrderFunc func, gpointer data);
