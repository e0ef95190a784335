/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a worker reports to the daemon: whatever it is, what the daemon then tells of itself can be read.
 */
#include <string.h>

#include "fuzz.h"
#include "report.h"
#include "stats.h"
#include "worker.h"

/* As worker.c and service.c have it: a key file with one group that counts. The bytes are reports, with a NUL
 * between. */
static void
take_reports (VvStats *stats, const char *data, gsize size)
{
  for (const char *at = data, *end = data + size; at < end;) {
    const char *next = memchr (at, 0, (gsize)(end - at));
    gsize length = (gsize)((next ? next : end) - at);
    g_autoptr (GKeyFile) report = g_key_file_new ();
    if (g_key_file_load_from_data (report, at, length, G_KEY_FILE_NONE, NULL)) {
      g_autofree char *outcome = g_key_file_get_string (report, VV_REPORT, "outcome", NULL);
      gint64 kernel = g_key_file_get_int64 (report, VV_REPORT, "kernel-us", NULL);
      if (outcome) {
        vv_stats_change (stats, report, VV_REPORT, 1000, MAX (1000 - kernel, 0));
        vv_stats_outcome (stats, outcome);
      }
    }
    at += length + 1;
  }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) error = NULL;
  gsize length;

  take_reports (stats, (const char *)data, size);
  g_key_file_set_string (file, "daemon", "version", "1");
  g_key_file_set_string (file, "daemon", "gate", "on");
  vv_stats_write (stats, file);
  g_autofree char *text = g_key_file_to_data (file, &length, NULL);
  g_autoptr (GKeyFile) again = g_key_file_new ();
  g_assert_true (g_key_file_load_from_data (again, text, length, G_KEY_FILE_NONE, NULL));
  g_autoptr (VvReport) report = vv_report_parse (text, length, &error);
  g_assert_true ((report != NULL) == (error == NULL));
  return 0;
}
