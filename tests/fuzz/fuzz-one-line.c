/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of one-line: any bytes, as hook scripts print them or users name mount points, yield one line
 * that is valid in the log, and one that is safe on a terminal.
 */
#include <string.h>

#include "fuzz.h"
#include "one-line.h"

/* make_valid turns a byte into at most three; escaping turns a character of two or more bytes into ten. */
#define MOST_GROWTH 10
#define CHARACTERS 100

static void
print (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  g_autofree char *shown = vv_printable (text, CHARACTERS);

  g_assert_true (g_utf8_validate (shown, -1, NULL));
  g_assert_cmpint (g_utf8_strlen (shown, -1), <=, CHARACTERS + (glong)strlen ("..."));
  for (const char *p = shown; *p; p = g_utf8_next_char (p))
    g_assert_true (g_unichar_isprint (g_utf8_get_char (p)));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  gboolean cut = size > 0 && data[0] & 1;
  g_autofree char *line = vv_one_line ((const char *)data, size, cut);

  print (data, size);
  if (!line) {
    g_assert_false (cut);
    return 0;
  }
  g_assert_true (g_utf8_validate (line, -1, NULL));
  g_assert_cmpuint (strlen (line), <=, size * MOST_GROWTH + strlen (" [and more]"));
  g_assert_true (g_str_has_suffix (line, " [and more]") || !cut);
  for (const char *p = line; *p; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);
    g_assert_false (g_unichar_iscntrl (c));
    g_assert_true (g_unichar_type (c) != G_UNICODE_FORMAT && g_unichar_type (c) != G_UNICODE_LINE_SEPARATOR);
  }
  return 0;
}
