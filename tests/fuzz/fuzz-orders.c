/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the daemon says to the minder: however the bytes are cut into pieces, the same orders come.
 */
#include <string.h>

#include "fuzz.h"
#include "orders.h"

static void
note (VvOrder order, gpointer data)
{
  g_string_append_c (data, (char)('0' + order));
}

/* Which orders the lines are, told the plain way */
static void
tell_plainly (const char *bytes, gsize size, GString *told)
{
  static const char *const words[] = {"held\n", "free\n", "look\n"};

  for (const char *at = bytes, *end = bytes + size, *next; at < end; at = next) {
    const char *newline = memchr (at, '\n', (gsize)(end - at));
    next = newline ? newline + 1 : end;
    for (gsize i = 0; newline && i < G_N_ELEMENTS (words); i++)
      if ((gsize)(next - at) == strlen (words[i]) && memcmp (at, words[i], strlen (words[i])) == 0)
        g_string_append_c (told, (char)('0' + i));
  }
}

/* The first byte is how many come at once. */
int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GString) told = g_string_new (NULL);
  g_autoptr (GString) wanted = g_string_new (NULL);
  VvOrders orders = {0};

  if (!size)
    return 0;
  gsize piece = MAX (data[0], 1);
  for (gsize at = 1; at < size; at += piece)
    vv_orders_feed (&orders, (const char *)data + at, MIN (piece, size - at), note, told);
  tell_plainly ((const char *)data + 1, size - 1, wanted);
  g_assert_cmpstr (told->str, ==, wanted->str);
  g_assert_cmpuint (orders.length, <=, sizeof orders.line);
  return 0;
}
