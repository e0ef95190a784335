/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of libvirt-version: /proc/PID/maps with arbitrary paths yields a valid version, or unknown.
 */
#include "libvirt-version.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const VvHost *host = fuzz_host ();

  fuzz_write ("proc/1/maps", data, size);
  guint version = vv_libvirt_version_of (host, 1);
  g_assert_cmpuint (version, <=, VV_LIBVIRT_VERSION (999, 999, 999));
  return 0;
}
