/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-requests FILE...: prints how the library reads the metadata of domain XML, for test-policy-files.py.
 * For each file, prints "FILE: ADDRESS requested" for each hostdev with a request, then each problem, to
 * standard output.
 */
#include <stdio.h>
#include <stdlib.h>

#include "domain-xml.h"

static gboolean
tell (const char *path, GError **error)
{
  g_autofree char *xml = NULL;
  gsize length;
  g_autoptr (VvDomain) domain =
      g_file_get_contents (path, &xml, &length, error) ? vv_domain_parse (xml, length, error) : NULL;

  if (!domain)
    return FALSE;
  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    if (!vv_options_are_empty (&h->requested))
      printf ("%s: %s requested\n", path, h->address);
  }
  for (guint i = 0; i < domain->problems->len; i++)
    printf ("%s: %s\n", path, (char *)domain->problems->pdata[i]);
  return TRUE;
}

int
main (int argc, char **argv)
{
  for (int i = 1; i < argc; i++) {
    g_autoptr (GError) error = NULL;
    if (!tell (argv[i], &error)) {
      fprintf (stderr, "%s: %s\n", argv[i], error->message);
      return EXIT_FAILURE;
    }
  }
  return EXIT_SUCCESS;
}
