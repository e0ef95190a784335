/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-xml.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "pci-device.h"
#include "policy-xml.h"

#define HOSTDEV_LIMIT 4096 /* a bus has 256 functions */
#define NAMESPACE "urn:vfio-variant:domain:1"
#define ALIAS_LIMIT 256
#define PROBLEM_LIMIT 64 /* more would not be read */

static char *
text_of (const xmlNode *parent, const char *name)
{
  char *text = vv_xml_text (parent, name);

  return text ? text : g_strdup ("");
}

/* Like libvirt's parser, accepts decimal, 0x and octal numbers (virStrToLong_uip with base 0). */
static gboolean
number (const xmlNode *node, const char *name, guint most, guint *value)
{
  g_autofree char *text = vv_xml_attribute (node, name);
  char *end = NULL;
  guint64 n = text && g_ascii_isdigit (*text) ? g_ascii_strtoull (text, &end, 0) : 0;

  *value = n;
  return text ? end && !*end && n <= most : strcmp (name, "domain") == 0;
}

static char *
source_address (const xmlNode *device)
{
  const xmlNode *address = vv_xml_child (vv_xml_child (device, "source"), "address");
  guint domain, bus, slot, function;

  if (!address || !number (address, "domain", G_MAXUINT, &domain) || !number (address, "bus", 0xff, &bus) ||
      !number (address, "slot", 0x1f, &slot) || !number (address, "function", 7, &function))
    return NULL;
  return vv_pci_address (domain, bus, slot, function);
}

static gboolean
attribute_is (const xmlNode *node, const char *name, const char *wanted, gboolean when_absent)
{
  g_autofree char *value = vv_xml_attribute (node, name);

  return value ? strcmp (value, wanted) == 0 : when_absent;
}

static gboolean
is_pci_hostdev (const xmlNode *node)
{
  if (vv_xml_is_element (node, "interface"))
    return attribute_is (node, "type", "hostdev", FALSE) &&
           attribute_is (vv_xml_child (vv_xml_child (node, "source"), "address"), "type", "pci", TRUE);
  return vv_xml_is_element (node, "hostdev") && attribute_is (node, "mode", "subsystem", TRUE) &&
         attribute_is (node, "type", "pci", FALSE);
}

static void
hostdev_free (VvHostdev *h)
{
  g_free (h->address);
  g_free (h->alias);
  vv_options_clear (&h->requested);
  g_free (h);
}

static void
add_hostdev (VvDomain *domain, const xmlNode *node, gboolean iommufd)
{
  const xmlNode *driver = vv_xml_child (node, "driver");
  gboolean is_pci = is_pci_hostdev (node) && attribute_is (driver, "name", "vfio", TRUE);
  gboolean is_mediated = vv_xml_is_element (node, "hostdev") && attribute_is (node, "type", "mdev", FALSE);

  if (!is_pci && !is_mediated) /* QEMU has a VFIO device for both */
    return;
  domain->vfio_devices++;
  g_autofree char *address = is_pci ? source_address (node) : NULL;
  if (!address || domain->hostdevs->len == HOSTDEV_LIMIT)
    return;
  VvHostdev *h = g_new0 (VvHostdev, 1);
  h->address = g_steal_pointer (&address);
  h->managed = attribute_is (node, "managed", "yes", FALSE);
  h->requested.use.iommufd = attribute_is (driver, "iommufd", "yes", iommufd) ? VV_ANSWER_YES : VV_ANSWER_NO;
  h->requested.model = vv_xml_attribute (driver, "model");
  h->alias = vv_xml_attribute (vv_xml_child (node, "alias"), "name");
  g_ptr_array_add (domain->hostdevs, h);
}

/* --- metadata --- */

static gboolean
is_alias (const char *value)
{
  gsize length = strnlen (value, ALIAS_LIMIT + 1);

  for (const char *c = value; *c && length <= ALIAS_LIMIT; c++)
    if (!g_ascii_isalnum (*c) && !strchr ("_-", *c))
      return FALSE;
  return length > 0 && length <= ALIAS_LIMIT;
}

static gboolean
is_address (const char *value)
{
  g_autofree char *address = strpbrk (value, "\n\r") ? NULL : vv_pci_address_parse (value, NULL);

  return address != NULL;
}

static const VvXmlAttribute request_attributes[] = {
    {"alias", N_ ("the name in a device's <alias>"), is_alias},
    {"address", N_ ("a PCI address of the host, such as 0000:3b:00.1"), is_address},
    VV_DOMAIN_OPTIONS,
    {NULL},
};
static const VvXmlElement request_element = {"hostdev", request_attributes, NULL, FALSE, NULL};
static const VvXmlElement *const in_requests[] = {&request_element, NULL};
static const VvXmlElement requests_element = {"hostdevs", NULL, in_requests, FALSE, NULL};

/* Records an error in the metadata. It is not fatal: the start of a guest matters more than its requests
 * (rule R7). */
static void
add_problem (VvDomain *domain, const GError *error)
{
  if (domain->problems->len < PROBLEM_LIMIT)
    g_ptr_array_add (domain->problems, g_strdup (error->message));
}

/* Checks the rules that the table cannot express. */
static gboolean
is_whole_request (const xmlNode *node, GError **error)
{
  g_auto (VvOptions) request = {0};
  g_autofree char *alias = vv_xml_attribute (node, "alias");
  g_autofree char *address = vv_xml_attribute (node, "address");

  vv_options_from_xml (&request, node);
  if (!alias == !address)
    return vv_xml_fail (node, error, _ ("<hostdev> needs either an alias or an address"));
  if (vv_options_are_empty (&request))
    return vv_xml_fail (node, error,
                        _ ("<hostdev> requests nothing: it needs one of driver, fallback, migratable"));
  return TRUE;
}

static VvHostdev *
find_hostdev (const VvDomain *domain, const char *alias, const char *address)
{
  for (guint i = 0; i < domain->hostdevs->len; i++) {
    VvHostdev *h = domain->hostdevs->pdata[i];
    if (alias ? g_strcmp0 (h->alias, alias) == 0 : g_strcmp0 (h->address, address) == 0)
      return h;
  }
  return NULL;
}

static gboolean
take_request (VvDomain *domain, const xmlNode *node, GError **error)
{
  g_autofree char *alias = vv_xml_attribute (node, "alias");
  g_autofree char *text = vv_xml_attribute (node, "address");
  g_autofree char *address = text ? vv_pci_address_parse (text, NULL) : NULL;
  VvHostdev *hostdev = find_hostdev (domain, alias, address);

  if (!hostdev)
    return vv_xml_fail (node, error, _ ("the domain has no PCI hostdev with %s %s"),
                        alias ? _ ("the alias") : _ ("the address"), alias ? alias : address);
  if (!vv_options_are_empty (&hostdev->requested))
    return vv_xml_fail (node, error, _ ("second request for %s; only the first applies"), hostdev->address);
  vv_options_from_xml (&hostdev->requested, node);
  return TRUE;
}

static void
take_requests (VvDomain *domain, const xmlNode *requests)
{
  g_autoptr (GError) invalid = NULL;
  gboolean good = vv_xml_check (requests, &requests_element, NAMESPACE, &invalid);

  for (const xmlNode *node = requests->children; good && node; node = node->next)
    good = node->type != XML_ELEMENT_NODE || is_whole_request (node, &invalid);
  if (!good) {
    add_problem (domain, invalid);
    return;
  }
  guint taken = 0;
  for (const xmlNode *node = requests->children; node; node = node->next) {
    g_autoptr (GError) error = NULL;
    if (node->type != XML_ELEMENT_NODE)
      continue;
    if (taken++ == HOSTDEV_LIMIT) {
      vv_xml_fail (node, &error, _ ("more than %d <hostdev> elements; ignoring the rest"), HOSTDEV_LIMIT);
      add_problem (domain, error);
      return;
    }
    if (!take_request (domain, node, &error))
      add_problem (domain, error);
  }
}

/* libvirt keeps one metadata element of each namespace, and chooses its prefix. */
static void
read_metadata (VvDomain *domain, const xmlNode *root)
{
  const xmlNode *metadata = vv_xml_child (root, "metadata");

  for (const xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next)
    if (node->type == XML_ELEMENT_NODE && node->ns &&
        g_strcmp0 ((const char *)node->ns->href, NAMESPACE) == 0)
      take_requests (domain, node);
}

/* --- QEMU properties --- */

/* Reads <qemu:override> (libvirt's docs/drvqemu.rst), which identifies a device by its alias. */
static void
read_overrides (VvDomain *domain, const xmlNode *root)
{
  const xmlNode *override = vv_xml_child (root, "override");

  for (const xmlNode *node = override ? override->children : NULL; node; node = node->next) {
    g_autofree char *alias = vv_xml_is_element (node, "device") ? vv_xml_attribute (node, "alias") : NULL;
    VvHostdev *hostdev = alias ? find_hostdev (domain, alias, NULL) : NULL;
    const xmlNode *frontend = hostdev ? vv_xml_child (node, "frontend") : NULL;
    for (const xmlNode *p = frontend ? frontend->children : NULL; p; p = p->next)
      if (vv_xml_is_element (p, "property") && attribute_is (p, "name", "enable-migration", FALSE) &&
          attribute_is (p, "value", "on", FALSE))
        hostdev->requested.use.forced = TRUE;
  }
}

/* --- the domain --- */

VvDomain *
vv_domain_parse (const char *xml, gsize length, GError **error)
{
  g_autoptr (VvXml) doc = vv_xml_parse (_ ("domain XML"), xml, length, VV_DOMAIN_XML_LIMIT, error);
  const xmlNode *root = doc ? vv_xml_root (doc) : NULL;

  if (!root)
    return NULL;
  if (!vv_xml_is_element (root, "domain")) {
    vv_xml_fail (root, error, _ ("the root element is <%s>, not <domain>"), root->name);
    return NULL;
  }
  VvDomain *domain = g_new0 (VvDomain, 1);
  const xmlNode *devices = vv_xml_child (root, "devices");
  domain->name = text_of (root, "name");
  domain->uuid = text_of (root, "uuid");
  domain->emulator = vv_xml_text (devices, "emulator");
  domain->hostdevs = g_ptr_array_new_with_free_func ((GDestroyNotify)hostdev_free);
  domain->problems = g_ptr_array_new_with_free_func (g_free);
  gboolean iommufd = attribute_is (vv_xml_child (root, "iommufd"), "enabled", "yes", FALSE);
  for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next)
    add_hostdev (domain, node, iommufd);
  for (guint i = 0; i < domain->hostdevs->len; i++)
    ((VvHostdev *)domain->hostdevs->pdata[i])->requested.use.others = domain->vfio_devices > 1;
  read_overrides (domain, root);
  read_metadata (domain, root);
  return domain;
}

void
vv_domain_free (VvDomain *domain)
{
  if (!domain)
    return;
  g_free (domain->name);
  g_free (domain->uuid);
  g_free (domain->emulator);
  g_ptr_array_unref (domain->hostdevs);
  g_ptr_array_unref (domain->problems);
  g_free (domain);
}
