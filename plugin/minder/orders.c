/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "orders.h"

#include <string.h>

static void
end_of_line (const VvOrders *o, VvOrderFunc func, gpointer data)
{
  static const char *const words[] = {"held", "free", "look"};

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (o->length == strlen (words[i]) && memcmp (o->line, words[i], o->length) == 0) {
      func (i, data);
      return;
    }
  g_debug ("a line that is no order was passed over");
}

void
vv_orders_feed (VvOrders *o, const char *bytes, gsize length, VvOrderFunc func, gpointer data)
{
  for (gsize i = 0; i < length; i++) {
    if (bytes[i] == '\n') {
      end_of_line (o, func, data);
      o->length = 0;
    } else if (o->length < sizeof o->line) {
      o->line[o->length++] = bytes[i];
    }
  }
}
