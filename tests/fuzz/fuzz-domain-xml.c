/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of domain-xml: any input yields an error, or a domain whose devices have valid addresses and
 * whose requests are not empty. The schema accepts all requests that the parser accepts.
 */
#include <libxml/parser.h>
#include <string.h>

#include "domain-xml.h"
#include "fuzz.h"
#include "modalias.h"
#include "pci-device.h"
#include "schema.h"
#include "xml.h"

#define NAMESPACE "urn:vfio-variant:domain:1"

static void
assert_requested (const VvOptions *requested)
{
  for (VvOption option = 0; option < VV_OPTIONS; option++)
    if (option != VV_OPTION_FALLBACK && option != VV_OPTION_MIGRATABLE)
      g_assert_cmpint (requested->values[option], ==, 0);
  for (guint i = 0; requested->drivers && requested->drivers[i]; i++)
    g_assert_true (vv_name_is_safe (requested->drivers[i]));
}

static void
assert_metadata (const char *data, gsize size)
{
  xmlDocPtr doc = xmlReadMemory (data, (int)size, "domain.xml", "UTF-8", XML_PARSE_NONET);
  const xmlNode *metadata = vv_xml_child (xmlDocGetRootElement (doc), "metadata");

  for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next)
    if (node->type == XML_ELEMENT_NODE && node->ns && strcmp ((const char *)node->ns->href, NAMESPACE) == 0)
      g_assert_true (schema_takes ("domain-metadata.rng", node));
  xmlFreeDoc (doc);
}

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
    g_assert_nonnull (memmem (data, size, "hostdev", strlen ("hostdev"))); /* as hooks/qemu.c assumes */
    assert_requested (&hostdev->requested);
  }
  for (guint i = 0; domain && i < domain->problems->len; i++) {
    g_assert_true (g_str_has_prefix (domain->problems->pdata[i], "domain XML:"));
    g_assert_null (strchr (domain->problems->pdata[i], '\n'));
  }
  if (domain && !domain->problems->len)
    assert_metadata ((const char *)data, size);
  return 0;
}
