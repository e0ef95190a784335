/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of the workers' reports to the daemon: for any report, the daemon's status is valid JSON with
 * printable texts.
 */
#include <string.h>

#include "fuzz.h"
#include "stats.h"

/* As in worker.c and service.c: key files, of which one group counts. The input is reports, separated by NUL.
 */
static void
take_reports (VvStats *stats, const char *data, gsize size)
{
  for (const char *at = data, *end = data + size; at < end;) {
    const char *next = memchr (at, 0, (gsize)(end - at));
    gsize length = (gsize)((next ? next : end) - at);
    g_autoptr (GKeyFile) report = g_key_file_new ();
    if (g_key_file_load_from_data (report, at, length, G_KEY_FILE_NONE, NULL))
      vv_stats_change (stats, report, 1000);
    at += length + 1;
  }
}

static void
assert_safe (const char *text)
{
  for (const char *p = text; *p; p = g_utf8_next_char (p))
    g_assert_true (g_unichar_isprint (g_utf8_get_char (p)));
}

static void
assert_change_is_safe (JsonArray *changes, guint i, JsonNode *change, gpointer data)
{
  static const char *const texts[] = {"device", "operation", "from", "to", "outcome", "why", "failed"};
  JsonObject *object = json_node_get_object (change);

  (void)changes;
  (void)i;
  (void)data;
  for (gsize k = 0; k < G_N_ELEMENTS (texts); k++) {
    g_assert_true (json_object_has_member (object, texts[k]));
    if (vv_json_get_string (object, texts[k]))
      assert_safe (vv_json_get_string (object, texts[k]));
  }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (VvStats) stats = vv_stats_new ();
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (GError) error = NULL;

  take_reports (stats, (const char *)data, size);
  json_builder_begin_object (builder);
  vv_stats_write (stats, builder);
  json_builder_end_object (builder);
  g_autofree char *text = vv_json_text (builder, FALSE);
  g_autoptr (JsonNode) root = json_from_string (text, &error);
  g_assert_no_error (error);
  json_array_foreach_element (json_object_get_array_member (json_node_get_object (root), "changes"),
                              assert_change_is_safe, NULL);
  return 0;
}
