/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An answer of the daemon: it is read or refused; either way nothing gets out that a terminal acts on.
 */
#include "fuzz.h"
#include "report.h"

static void
assert_safe (const char *text)
{
  g_assert_true (g_utf8_validate (text, -1, NULL));
  for (const char *p = text; *p; p = g_utf8_next_char (p))
    g_assert_true (g_unichar_isprint (g_utf8_get_char (p)) || *p == '\n');
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvReport) report = vv_report_parse ((const char *)data, size, &error);

  g_assert_true ((report != NULL) == (error == NULL));
  if (!report) {
    assert_safe (error->message);
    return 0;
  }
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  json_builder_begin_object (builder);
  vv_report_json (report, builder);
  json_builder_end_object (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_assert_nonnull (root);
  g_autofree char *text = json_to_string (root, TRUE);
  assert_safe (text);
  return 0;
}
