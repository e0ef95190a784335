/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of lsm-denials: any process can write to the logs of the kernel and auditd. The line that is
 * found is one of theirs, and its text is printable.
 */
#include <string.h>

#include "check.h"
#include "fuzz.h"
#include "one-line.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const VvHost *host;
  g_autofree char *unreadable = NULL;

  if (!host) {
    host = fuzz_host ();
    g_autofree char *folder = g_build_filename (host->sysroot, "var/log/audit", NULL);
    g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  }
  fuzz_write ("var/log/audit/audit.log", data, size);
  g_autofree char *line = vv_denials_newest (host, &unreadable);
  g_assert_null (unreadable);
  if (!line)
    return 0;
  g_assert_null (strchr (line, '\n'));
  g_assert_nonnull (memmem (data, size, line, strlen (line)));
  g_autofree char *shown = vv_printable (line, 500);
  for (const char *p = shown; *p; p = g_utf8_next_char (p))
    g_assert_true (g_unichar_isprint (g_utf8_get_char (p)));
  return 0;
}
