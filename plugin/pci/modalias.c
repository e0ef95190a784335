/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modalias.h"

#include <fnmatch.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#define MODALIAS_LIMIT 1024 /* a PCI modalias has 57 bytes */

char *
vv_modalias_key (const char *prefix, const char *modalias, GError **error)
{
  const char *colon = strchr (modalias, ':');
  size_t length = strnlen (modalias, MODALIAS_LIMIT + 1);
  gboolean good = colon && colon > modalias && colon[1] && length <= MODALIAS_LIMIT;

  for (const char *c = modalias; good && *c; c++)
    good = c < colon ? g_ascii_isalnum (*c) || *c == '_' || *c == '-'
                     : g_ascii_isgraph (*c) && !strchr ("*?[]\\", *c);
  if (!good) {
    g_autofree char *shown = g_strndup (modalias, MIN (length, 80));
    g_autofree char *escaped = g_strescape (shown, NULL);
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("'%s' is not a modalias (BUS:FIELDS)"), escaped);
    return NULL;
  }
  return g_strconcat (prefix, "_", modalias, NULL);
}

/* Returns: the end of the bracket expression that starts at @open, or NULL if it is not closed and '[' is
 * literal */
static const char *
bracket_end (const char *open)
{
  const char *c = open + 1;

  if (*c == '!' || *c == '^')
    c++;
  if (*c == ']') /* a ']' in first place belongs to the set */
    c++;
  while (*c && *c != ']')
    c += *c == '\\' && c[1] ? 2 : 1; /* so does an escaped ']' */
  return *c ? c : NULL;
}

guint
vv_modalias_wildcards (const char *pattern)
{
  guint count = 0;

  for (const char *c = pattern; *c; c++) {
    if (*c == '*')
      count++;
    else if (*c == '\\' && c[1])
      c++;
    else if (*c == '[' && bracket_end (c))
      c = bracket_end (c);
  }
  return count;
}

/* Most patterns do not match, and differ in the literal prefix. strncmp() rejects them much faster than
 * fnmatch() does in a UTF-8 locale. */
gboolean
vv_modalias_match (const char *pattern, const char *key)
{
  size_t plain = strcspn (pattern, "*?[\\");

  return strncmp (pattern, key, plain) == 0 && fnmatch (pattern + plain, key + plain, 0) == 0;
}

char *
vv_module_name (const char *name)
{
  return g_strdelimit (g_strdup (name), "-", '_');
}

gboolean
vv_name_is_safe (const char *name)
{
  size_t length = strnlen (name, 65);

  if (length == 0 || length > 64 || *name == '.')
    return FALSE;
  for (const char *c = name; *c; c++)
    if (!g_ascii_isalnum (*c) && !strchr ("_.+-", *c))
      return FALSE;
  return TRUE;
}
