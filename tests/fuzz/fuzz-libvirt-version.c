/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * /proc/PID/maps: paths in it are whatever files are called; the version is one, or not known.
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
