/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Domain XML: whatever comes in, a domain comes out whose devices have addresses, or an error.
 */
#include <string.h>

#include "domain-xml.h"
#include "fuzz.h"
#include "pci-device.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvDomain) domain = vv_domain_parse ((const char *)data, size, &error);

  g_assert_true ((domain != NULL) == (error == NULL));
  for (guint i = 0; domain && i < domain->hostdevs->len; i++) {
    const VvHostdev *hostdev = domain->hostdevs->pdata[i];
    g_autofree char *address = vv_pci_address_parse (hostdev->address, NULL);
    g_assert_cmpstr (address, ==, hostdev->address);
    g_assert_true (vv_domain_may_have_hostdevs ((const char *)data, size));
  }
  return 0;
}
