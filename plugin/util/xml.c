/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml.h"

#include <glib/gi18n-lib.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <string.h>

#define SHOWN 80 /* bytes of foreign text in a message */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlParserCtxt, xmlFreeParserCtxt)

gboolean
vv_xml_fail (const xmlNode *element, GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "%s:%u: %s", (const char *)element->doc->_private,
               vv_xml_line (element), text);
  return FALSE;
}

/* --- reading --- */

/* The first error of the document. The later errors that libxml2 reports are consequences of it. */
typedef struct {
  char *message;
  int line;
} Fault;

static void
note_fault (Fault *fault, const char *message, int line)
{
  if (fault->message)
    return;
  fault->message = g_strchomp (g_strdup (message ? message : _ ("not well-formed")));
  g_strdelimit (fault->message, "\n\r", ' '); /* some messages of libxml2 have two lines */
  fault->line = MAX (line, 1);
}

/* Our documents have no document type. A document type could only define entities. */
static void
refuse_doctype (void *data, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
  xmlParserCtxtPtr ctxt = data;

  (void)name, (void)external, (void)system;
  note_fault (ctxt->_private, _ ("a document type is not allowed"), ctxt->input->line);
  xmlStopParser (ctxt);
}

static void
note_error (void *data, const xmlError *problem)
{
  xmlParserCtxtPtr ctxt = data;

  if (problem->level == XML_ERR_FATAL)
    note_fault (ctxt->_private, problem->message, problem->line);
}

/* A node's line has 16 bits in libxml2, and XML_PARSE_BIG_LINES only estimates it for elements. At this point
 * the parser has read the whole start tag, and the tag is still in the input buffer: the attribute values
 * point into it (xmlParseStartTag2()). An attribute cannot contain '<'. */
static void
start_element (void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_namespaces,
               const xmlChar **namespaces, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
  xmlParserCtxtPtr ctxt = data;
  const xmlParserInput *input = ctxt->input;
  guint line = (guint)input->line;

  for (const xmlChar *c = input->cur; c > input->base && *c != '<'; c--)
    line -= *c == '\n';
  xmlSAX2StartElementNs (data, name, prefix, uri, n_namespaces, namespaces, n_attributes, n_defaulted,
                         attributes);
  if (ctxt->node)
    ctxt->node->_private = GUINT_TO_POINTER (line);
}

VvXml *
vv_xml_parse (const char *name, const char *text, gsize length, gsize limit, GError **error)
{
  Fault fault = {NULL, 1};
  g_autoptr (xmlParserCtxt) ctxt = xmlNewParserCtxt ();

  if (length > limit || length > G_MAXINT) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("%s is larger than %u MiB"), name,
                 (guint)(limit >> 20));
    return NULL;
  }
  ctxt->_private = &fault;
  ctxt->sax->internalSubset = refuse_doctype;
  ctxt->sax->startElementNs = start_element;
  ctxt->sax->serror = (xmlStructuredErrorFunc)note_error; /* libxml2 2.12 made the error parameter const */
  g_autoptr (VvXml) xml = xmlCtxtReadMemory (ctxt, text, (int)length, "document.xml", "UTF-8",
                                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  if (!fault.message && xml && xmlDocGetRootElement (xml)) {
    xml->_private = g_strdup (name);
    return g_steal_pointer (&xml);
  }
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "%s:%d: %s", name, fault.line,
               fault.message ? fault.message : _ ("the document has no element"));
  g_free (fault.message);
  return NULL;
}

void
vv_xml_free (VvXml *xml)
{
  if (!xml)
    return;
  g_free (xml->_private);
  xmlFreeDoc (xml);
}

/* --- access --- */

const xmlNode *
vv_xml_root (const VvXml *xml)
{
  return xmlDocGetRootElement (xml);
}

guint
vv_xml_line (const xmlNode *element)
{
  return GPOINTER_TO_UINT (element->_private);
}

gboolean
vv_xml_is_element (const xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && strcmp ((const char *)node->name, name) == 0;
}

const xmlNode *
vv_xml_child (const xmlNode *node, const char *name)
{
  for (const xmlNode *c = node ? node->children : NULL; c; c = c->next)
    if (vv_xml_is_element (c, name))
      return c;
  return NULL;
}

char *
vv_xml_attribute (const xmlNode *node, const char *name)
{
  xmlChar *value = node ? xmlGetNoNsProp (node, (const xmlChar *)name) : NULL;
  char *copy = g_strdup ((const char *)value);

  xmlFree (value);
  return copy;
}

char *
vv_xml_text (const xmlNode *node, const char *name)
{
  const xmlNode *found = vv_xml_child (node, name);
  xmlChar *text = found ? xmlNodeGetContent (found) : NULL;
  char *copy = g_strdup ((const char *)text);

  xmlFree (text);
  return copy;
}

/* --- checking --- */

/* Truncates and escapes @text for a message. */
static char *
shown (const char *text)
{
  g_autofree char *part = g_strndup (text, SHOWN);

  return g_strescape (part, NULL);
}

static void
add_word (GString *text, const char *word, const char *format)
{
  if (text->len)
    g_string_append (text, ", ");
  g_string_append_printf (text, format, word);
}

static gboolean
is_in (const xmlNode *node, const char *namespace)
{
  return g_strcmp0 (node->ns ? (const char *)node->ns->href : NULL, namespace) == 0;
}

static gboolean
refuse_attribute (const xmlNode *node, const VvXmlElement *element, const xmlAttr *attr, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *name = shown ((const char *)attr->name);

  for (const VvXmlAttribute *a = element->attributes; a && a->name; a++)
    add_word (names, a->name, "%s");
  return vv_xml_fail (node, error, _ ("<%s> has no attribute '%s%s%s'; it can have %s"), element->name,
                      attr->ns && attr->ns->prefix ? (const char *)attr->ns->prefix : "",
                      attr->ns && attr->ns->prefix ? ":" : "", name, names->len ? names->str : _ ("none"));
}

static gboolean
check_attributes (const xmlNode *node, const VvXmlElement *element, GError **error)
{
  for (const xmlAttr *attr = node->properties; attr; attr = attr->next) {
    const VvXmlAttribute *a = element->attributes;
    while (a && a->name && (attr->ns || strcmp (a->name, (const char *)attr->name) != 0))
      a++;
    if (!a || !a->name)
      return refuse_attribute (node, element, attr, error);
    g_autofree char *value = vv_xml_attribute (node, a->name);
    if (value && a->is_good (value))
      continue;
    g_autofree char *text = shown (value ? value : "");
    return vv_xml_fail (node, error, "<%s %s='%s'>: %s must be %s", element->name, a->name, text, a->name,
                        _ (a->form));
  }
  return TRUE;
}

static gboolean
refuse_child (const xmlNode *node, const VvXmlElement *element, const char *namespace, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *name = shown ((const char *)node->name);

  for (const VvXmlElement *const *c = element->children; c && *c; c++)
    add_word (names, (*c)->name, "<%s>");
  return vv_xml_fail (node, error,
                      is_in (node, namespace)
                          ? _ ("<%s> is not allowed in <%s>; it can have %s")
                          : _ ("<%s> is not allowed in <%s>, in this namespace; it can have %s"),
                      name, element->name, names->len ? names->str : _ ("no elements"));
}

static gboolean check_element (const xmlNode *node, const VvXmlElement *element, const char *namespace,
                               GError **error);

static gboolean
check_child (const xmlNode *node, const VvXmlElement *element, const char *namespace, GError **error)
{
  if ((node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) && !xmlIsBlankNode (node))
    return vv_xml_fail (node->parent, error, _ ("text is not allowed in <%s>"), element->name);
  if (node->type != XML_ELEMENT_NODE)
    return TRUE;
  const VvXmlElement *shape = NULL;
  for (const VvXmlElement *const *c = element->children; !shape && c && *c; c++)
    if (is_in (node, namespace) && vv_xml_is_element (node, (*c)->name))
      shape = *c;
  if (!shape)
    return refuse_child (node, element, namespace, error);
  if (shape->once && vv_xml_child (node->parent, shape->name) != node)
    return vv_xml_fail (node, error, _ ("<%s> is allowed only once"), shape->name);
  return check_element (node, shape, namespace, error);
}

static gboolean
check_element (const xmlNode *node, const VvXmlElement *element, const char *namespace, GError **error)
{
  if (!check_attributes (node, element, error))
    return FALSE;
  if (element->needs && !xmlHasProp (node, (const xmlChar *)element->needs))
    return vv_xml_fail (node, error, _ ("<%s> needs the attribute %s"), element->name, element->needs);
  for (const xmlNode *c = node->children; c; c = c->next)
    if (!check_child (c, element, namespace, error))
      return FALSE;
  return TRUE;
}

gboolean
vv_xml_check (const xmlNode *node, const VvXmlElement *element, const char *namespace, GError **error)
{
  if (!vv_xml_is_element (node, element->name)) {
    g_autofree char *name = shown ((const char *)node->name);
    return vv_xml_fail (node, error, _ ("found <%s> instead of <%s>"), name, element->name);
  }
  if (!is_in (node, namespace))
    return vv_xml_fail (node, error, _ ("<%s> must be in %s%s"), element->name,
                        namespace ? _ ("the namespace ") : _ ("no namespace"), namespace ? namespace : "");
  return check_element (node, element, namespace, error);
}
