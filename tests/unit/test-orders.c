/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * orders: what is an order, however its bytes arrive, and what is none.
 */
#include "orders.h"

#include <string.h>

#include "fake-kernel.h"

#define NONE "a line that is no order was passed over"

static void
append (VvOrder order, gpointer data)
{
  static const char letters[] = "hfl";

  g_string_append_c (data, letters[order]);
}

/* The orders' first letters; "-" for what was passed over; the text comes in pieces of @piece bytes */
static void
assert_orders (const char *text, gsize piece, const char *expected)
{
  g_autoptr (GString) got = g_string_new (NULL);
  VvOrders orders = {0};
  gsize length = strlen (text);

  for (gsize at = 0; at < length; at += piece)
    vv_orders_feed (&orders, text + at, MIN (piece, length - at), append, got);
  g_assert_cmpstr (got->str, ==, expected);
}

static void
test_words (void)
{
  for (gsize piece = 1; piece < 20; piece++)
    assert_orders ("held\nfree\nlook\nheld\n", piece, "hflh");
}

static void
test_unfinished_line (void)
{
  assert_orders ("look\nhel", 100, "l");
}

static void
test_rubbish_is_passed_over (void)
{
  assert_orders ("\nLOOK\nlook \n look\nlooks\nhe\x01ld\nfree\n", 100, "f");
  for (guint i = 0; i < 6; i++)
    fake_assert_logged (NONE);
}

/* A line of any length takes no more room than the longest word, and none of its parts is an order. */
static void
test_long_lines (void)
{
  g_autofree char *blanks = g_strnfill (100000, 'x');
  g_autofree char *text = g_strconcat ("look\n", blanks, "look\n", "look", blanks, "\nfree\n", NULL);

  assert_orders (text, 7, "lf");
  for (guint i = 0; i < 2; i++)
    fake_assert_logged (NONE);
  for (guint n = 10; n < 20; n++) { /* around the room that there is */
    g_autofree char *line = g_strnfill (n, 'x');
    g_autofree char *with = g_strconcat (line, "\nheld\n", NULL);
    assert_orders (with, 3, "h");
    fake_assert_logged (NONE);
  }
}

static void
test_nul_bytes (void)
{
  g_autoptr (GString) got = g_string_new (NULL);
  VvOrders orders = {0};

  vv_orders_feed (&orders, "look\0\nlook\n", 11, append, got);
  g_assert_cmpstr (got->str, ==, "l");
  fake_assert_logged (NONE);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/orders/words", test_words);
  g_test_add_func ("/orders/unfinished-line", test_unfinished_line);
  g_test_add_func ("/orders/rubbish", test_rubbish_is_passed_over);
  g_test_add_func ("/orders/long-lines", test_long_lines);
  g_test_add_func ("/orders/nul-bytes", test_nul_bytes);
  return g_test_run ();
}
