/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of state-store: any state file is read or refused. A file that was read is unchanged after it
 * is written and read again. So are the domain's requests in it.
 */
#include "fuzz.h"
#include "requested.h"

#define ADDRESS "0000:3b:00.1"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (VvStateStore) store = vv_state_store_open (fuzz_host (), FALSE, NULL);
  g_autoptr (GError) error = NULL;

  fuzz_write ("run/vfio-variant/" ADDRESS, data, size);
  g_autoptr (VvEntry) entry = vv_state_store_load (store, ADDRESS, &error);
  g_assert_true ((entry != NULL) == (error == NULL));
  if (!entry)
    return 0;
  g_assert_true (vv_state_store_save (store, entry, NULL));
  g_autoptr (VvEntry) again = vv_state_store_load (store, ADDRESS, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again->host.driver, ==, entry->host.driver);
  g_assert_cmpstr (again->host.override, ==, entry->host.override);
  g_assert_cmpint (again->state, ==, entry->state);
  g_assert_cmpstr (again->failed, ==, entry->failed);
  g_auto (VvOptions) requested = {0};
  if (vv_requested_from_text (entry->requested, &requested) && entry->requested) {
    g_autofree char *text = vv_requested_to_text (&requested);
    g_auto (VvOptions) same = {0};
    g_assert_true (vv_requested_from_text (text, &same));
  }
  return 0;
}
