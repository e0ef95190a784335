/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "one-line.h"

#include <glib/gi18n-lib.h>

char *
vv_one_line (const char *bytes, gsize length, gboolean cut)
{
  g_autofree char *valid = g_utf8_make_valid (bytes, (gssize)length);
  g_autoptr (GString) line = g_string_new (NULL);

  for (const char *p = g_strstrip (valid); *p; p = g_utf8_next_char (p)) {
    gunichar character = g_utf8_get_char (p);
    GUnicodeType type = g_unichar_type (character);
    /* Control and format characters (which include bidirectional marks) and separators could forge a log
     * line. */
    if (character == '\n')
      g_string_append (line, "; ");
    else if (character == '\t')
      g_string_append_c (line, ' ');
    else if (type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT || type == G_UNICODE_LINE_SEPARATOR ||
             type == G_UNICODE_PARAGRAPH_SEPARATOR)
      g_string_append_printf (line, "\\x%02x", character);
    else
      g_string_append_unichar (line, character);
  }
  if (cut)
    g_string_append (line, _ (" [and more]"));
  return line->len ? g_string_free (g_steal_pointer (&line), FALSE) : NULL;
}

gboolean
vv_can_be_shown (const char *name)
{
  for (const char *c = name; *c; c++)
    if (g_ascii_iscntrl (*c))
      return FALSE;
  return g_utf8_validate (name, -1, NULL);
}

char *
vv_printable (const char *text, guint characters)
{
  g_autofree char *valid = text ? g_utf8_make_valid (text, -1) : NULL;
  g_autoptr (GString) safe = g_string_new (NULL);
  const char *p = valid;

  if (!valid)
    return NULL;
  for (; *p && characters > 0; p = g_utf8_next_char (p), characters--) {
    gunichar c = g_utf8_get_char (p);
    g_string_append_unichar (safe, g_unichar_isspace (c) ? ' ' : g_unichar_isprint (c) ? c : '?');
  }
  if (*p)
    g_string_append (safe, "...");
  return g_string_free (g_steal_pointer (&safe), FALSE);
}
