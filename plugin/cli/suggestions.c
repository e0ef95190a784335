/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suggestions.h"

#include <string.h>

#define LONGEST 32
#define CHANGES 2

/* Levenshtein's distance with swaps of neighbours as one change (optimal string alignment) */
static guint
distance (const char *a, const char *b)
{
  guint rows[3][LONGEST + 1] = {{0}}; /* of row i: rows[i % 3] */
  gsize n = strlen (a);
  gsize m = strlen (b);

  for (gsize k = 0; k <= m; k++)
    rows[0][k] = (guint)k;
  for (gsize i = 1; i <= n; i++) {
    guint *row = rows[i % 3];
    const guint *above = rows[(i - 1) % 3];
    row[0] = (guint)i;
    for (gsize k = 1; k <= m; k++) {
      row[k] = MIN (MIN (above[k], row[k - 1]) + 1, above[k - 1] + (a[i - 1] != b[k - 1]));
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
        row[k] = MIN (row[k], rows[(i - 2) % 3][k - 2] + 1);
    }
  }
  return rows[n % 3][m];
}

static const char *
only_beginning (const char *word, const char *const words[], gsize n)
{
  const char *found = NULL;

  for (gsize i = 0; i < n; i++) {
    if (!g_str_has_prefix (words[i], word))
      continue;
    if (found)
      return NULL;
    found = words[i];
  }
  return found;
}

const char *
vv_nearest (const char *word, const char *const words[], gsize n)
{
  gsize length = strlen (word);
  guint least = CHANGES + 1;
  const char *nearest = NULL;

  if (length == 0 || length > LONGEST)
    return NULL;
  for (gsize i = 0; i < n; i++) {
    guint d = strlen (words[i]) <= LONGEST ? distance (word, words[i]) : least;
    if (d < least && d < length) {
      least = d;
      nearest = words[i];
    }
  }
  return nearest ? nearest : only_beginning (word, words, n);
}
