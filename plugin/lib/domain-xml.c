/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "pci-device.h"

#define HOSTDEV_LIMIT 4096 /* a bus has 256 functions */

static void
doc_free (xmlDocPtr doc)
{
  xmlFreeDoc (doc);
}
static void
context_free (xmlParserCtxtPtr ctxt)
{
  xmlFreeParserCtxt (ctxt);
}
typedef xmlDoc Document;
typedef xmlParserCtxt Parser;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Document, doc_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Parser, context_free)

/* libvirt writes no document type; one that is there can only bring entities. */
static void
refuse_doctype (void *data, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
  xmlParserCtxtPtr ctxt = data;
  gboolean *refused = ctxt->_private;

  (void)name, (void)external, (void)system;
  *refused = TRUE;
  xmlStopParser (ctxt);
}

static gboolean
fail (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_strdelimit (g_strchomp (text), "\n", ' '); /* libxml2 says some things in two lines */
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "domain XML: %s", text);
  return FALSE;
}

static Document *
parse (const char *xml, gsize length, GError **error)
{
  gboolean refused = FALSE;

  if (length > VV_DOMAIN_XML_LIMIT) {
    fail (error, "over %d MiB", VV_DOMAIN_XML_LIMIT >> 20);
    return NULL;
  }
  g_autoptr (Parser) ctxt = xmlNewParserCtxt ();
  ctxt->_private = &refused;
  ctxt->sax->internalSubset = refuse_doctype;
  g_autoptr (Document) doc = xmlCtxtReadMemory (ctxt, xml, (int)length, "domain.xml", NULL,
                                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  const xmlError *problem = xmlCtxtGetLastError (ctxt);
  if (refused)
    fail (error, "a document type is not allowed");
  else if (!doc || !xmlDocGetRootElement (doc))
    fail (error, "line %d: %s", problem ? problem->line : 0,
          problem && problem->message ? problem->message : "empty");
  else
    return g_steal_pointer (&doc);
  return NULL;
}

static gboolean
is_element (const xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && strcmp ((const char *)node->name, name) == 0;
}

static xmlNode *
child (const xmlNode *node, const char *name)
{
  for (xmlNode *c = node ? node->children : NULL; c; c = c->next)
    if (is_element (c, name))
      return c;
  return NULL;
}

static char *
attribute (const xmlNode *node, const char *name)
{
  xmlChar *value = node ? xmlGetNoNsProp (node, (const xmlChar *)name) : NULL;
  char *copy = g_strdup ((const char *)value);

  xmlFree (value);
  return copy;
}

static char *
text_of (const xmlNode *parent, const char *name)
{
  const xmlNode *node = child (parent, name);
  xmlChar *text = node ? xmlNodeGetContent (node) : NULL;
  char *copy = g_strdup (text ? (const char *)text : "");

  xmlFree (text);
  return copy;
}

/* libvirt's own reader takes decimal, 0x and octal numbers (virStrToLong_uip with base 0). */
static gboolean
number (const xmlNode *node, const char *name, guint most, guint *value)
{
  g_autofree char *text = attribute (node, name);
  char *end = NULL;
  guint64 n = text && g_ascii_isdigit (*text) ? g_ascii_strtoull (text, &end, 0) : 0;

  *value = n;
  return text ? end && !*end && n <= most : strcmp (name, "domain") == 0;
}

static char *
source_address (const xmlNode *device)
{
  const xmlNode *address = child (child (device, "source"), "address");
  guint domain, bus, slot, function;

  if (!address || !number (address, "domain", G_MAXUINT, &domain) || !number (address, "bus", 0xff, &bus) ||
      !number (address, "slot", 0x1f, &slot) || !number (address, "function", 7, &function))
    return NULL;
  return vv_pci_address (domain, bus, slot, function);
}

static gboolean
attribute_is (const xmlNode *node, const char *name, const char *wanted, gboolean when_absent)
{
  g_autofree char *value = attribute (node, name);

  return value ? strcmp (value, wanted) == 0 : when_absent;
}

static gboolean
is_pci_hostdev (const xmlNode *node)
{
  if (is_element (node, "interface"))
    return attribute_is (node, "type", "hostdev", FALSE) &&
           attribute_is (child (child (node, "source"), "address"), "type", "pci", TRUE);
  return is_element (node, "hostdev") && attribute_is (node, "mode", "subsystem", TRUE) &&
         attribute_is (node, "type", "pci", FALSE);
}

static void
hostdev_free (VvHostdev *h)
{
  g_free (h->address);
  g_free (h->model);
  g_free (h);
}

static void
add_hostdev (VvDomain *domain, const xmlNode *node)
{
  const xmlNode *driver = child (node, "driver");
  g_autofree char *address = is_pci_hostdev (node) ? source_address (node) : NULL;

  if (!address || (driver && !attribute_is (driver, "name", "vfio", TRUE)) ||
      domain->hostdevs->len == HOSTDEV_LIMIT)
    return;
  VvHostdev *h = g_new0 (VvHostdev, 1);
  h->address = g_steal_pointer (&address);
  h->managed = attribute_is (node, "managed", "yes", FALSE);
  h->model = attribute (driver, "model");
  g_ptr_array_add (domain->hostdevs, h);
}

VvDomain *
vv_domain_parse (const char *xml, gsize length, GError **error)
{
  g_autoptr (Document) doc = parse (xml, length, error);
  const xmlNode *root = doc ? xmlDocGetRootElement (doc) : NULL;

  if (!root)
    return NULL;
  if (!is_element (root, "domain")) {
    fail (error, "the root element is <%s>, not <domain>", root->name);
    return NULL;
  }
  VvDomain *domain = g_new0 (VvDomain, 1);
  domain->name = text_of (root, "name");
  domain->uuid = text_of (root, "uuid");
  domain->hostdevs = g_ptr_array_new_with_free_func ((GDestroyNotify)hostdev_free);
  const xmlNode *devices = child (root, "devices");
  for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next)
    add_hostdev (domain, node);
  return domain;
}

void
vv_domain_free (VvDomain *domain)
{
  if (!domain)
    return;
  g_free (domain->name);
  g_free (domain->uuid);
  g_ptr_array_unref (domain->hostdevs);
  g_free (domain);
}

gboolean
vv_domain_may_have_hostdevs (const char *xml, gsize length)
{
  return memmem (xml, length, "hostdev", strlen ("hostdev")) != NULL;
}
