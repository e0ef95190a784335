/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-host: creates the standard fake host on disk, for tests of whole programs, and prints its path. Its
 * files are regular files: they keep what is written, and no driver core reacts.
 */
#include <stdio.h>

#include "fake-kernel.h"

int
main (void)
{
  FakeKernel *k = fake_standard (); /* not freed: fake_free() would remove the host */

  fake_add_device (k, "0000:05:00.0", DISK_MODALIAS, "9", "vfio-pci");
  puts (k->root);
  return 0;
}
