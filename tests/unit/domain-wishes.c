/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-wishes: what the library makes of a domain's metadata, for test-policy-files.py: the domain's XML on
 * standard input; "ADDRESS WISHED" for each hostdev with a wish and then each problem, on standard output.
 */
#include <stdio.h>
#include <stdlib.h>

#include "domain-xml.h"

int
main (void)
{
  static char xml[65536];
  gsize length = fread (xml, 1, sizeof xml, stdin);
  g_autoptr (GError) error = NULL;
  g_autoptr (VvDomain) domain = vv_domain_parse (xml, length, &error);

  if (!domain) {
    fprintf (stderr, "%s\n", error->message);
    return EXIT_FAILURE;
  }
  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    if (h->wish)
      printf ("%s wished\n", h->address);
  }
  for (guint i = 0; i < domain->problems->len; i++)
    puts (domain->problems->pdata[i]);
  return EXIT_SUCCESS;
}
