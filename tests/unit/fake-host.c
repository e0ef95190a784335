/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-host: leaves the standard fake host on disk, for tests of whole programs, and prints where. Its files
 * are plain ones: what is written to them stays there and no driver answers.
 */
#include <stdio.h>

#include "fake-kernel.h"

int
main (void)
{
  FakeKernel *k = fake_standard (); /* not freed: that would remove it */

  fake_add_device (k, "0000:05:00.0", DISK_MODALIAS, "9", "vfio-pci");
  puts (k->root);
  return 0;
}
