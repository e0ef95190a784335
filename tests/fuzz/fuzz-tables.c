/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of modules.alias and modules.builtin.modinfo: for any contents, the ranking is consistent. The
 * input after the first NUL byte is the second file.
 */
#include <string.h>

#include "fuzz.h"
#include "modalias.h"

#define MODALIAS "pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00"

static void
check_rank (const GPtrArray *candidates)
{
  for (guint i = 0; i < candidates->len; i++) {
    const VvCandidate *c = candidates->pdata[i], *before = i ? candidates->pdata[i - 1] : NULL;
    g_assert_true (vv_name_is_safe (c->module));
    g_assert_true (!before || c->source == VV_SOURCE_DEFAULT || before->wildcards <= c->wildcards);
  }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const VvHost *host = fuzz_host ();
  const guint8 *split = size ? memchr (data, 0, size) : NULL;
  gsize first = split ? (gsize)(split - data) : size;

  fuzz_write ("lib/modules/fuzz/modules.alias", data, first);
  fuzz_write ("lib/modules/fuzz/modules.builtin.modinfo", data + first, size - first);
  g_autoptr (VvModules) modules = vv_modules_new (host, NULL);
  g_autoptr (VvCatalog) catalog = vv_catalog_new (host, modules, VV_PREFIX_VFIO);
  g_autoptr (VvChoice) selection = vv_catalog_select (catalog, MODALIAS, NULL);
  g_assert_nonnull (selection);
  check_rank (selection->candidates);
  return 0;
}
