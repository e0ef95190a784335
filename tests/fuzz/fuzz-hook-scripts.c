/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of the reader of libvirt's other hook scripts: it terminates for any text, and names an
 * existing line.
 */
#include <string.h>

#include "check.h"
#include "fuzz.h"

static void
look (VvHookUse use, guint line, const char *what, gpointer data)
{
  guint *lines = data;

  g_assert_cmpuint (use, <=, VV_HOOK_MOVES_DEVICES);
  g_assert_cmpuint (line, >=, 1);
  g_assert_cmpuint (line, <=, *lines);
  g_assert_cmpuint (strlen (what), >, 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  guint lines = 1;

  for (const char *p = text; *p; p++)
    lines += *p == '\n';
  vv_hook_script_read (text, look, &lines);
  return 0;
}
