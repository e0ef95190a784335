/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml.h"

#include <glib/gi18n-lib.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>

#define SHOWN 80 /* bytes of somebody's text in a message */

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
static void
schema_free (xmlRelaxNGPtr schema)
{
  xmlRelaxNGFree (schema);
}
static void
schema_parser_free (xmlRelaxNGParserCtxtPtr parser)
{
  xmlRelaxNGFreeParserCtxt (parser);
}
static void
validator_free (xmlRelaxNGValidCtxtPtr validator)
{
  xmlRelaxNGFreeValidCtxt (validator);
}
typedef xmlDoc Document;
typedef xmlParserCtxt Parser;
typedef xmlRelaxNG Schema;
typedef xmlRelaxNGParserCtxt SchemaParser;
typedef xmlRelaxNGValidCtxt Validator;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Document, doc_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Parser, context_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Schema, schema_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SchemaParser, schema_parser_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Validator, validator_free)

typedef struct {
  guint line, column;
} Position;

struct VvXml {
  char *name;
  Document *doc;
  GArray *positions; /* of the elements, in the document's order; their nodes' _private point here */
};

static gboolean fail_at (const char *name, guint line, guint column, GError **error, const char *format,
                         va_list args) G_GNUC_PRINTF (5, 0);

static gboolean
fail_at (const char *name, guint line, guint column, GError **error, const char *format, va_list args)
{
  g_autofree char *text = g_strdup_vprintf (format, args);

  g_strdelimit (g_strchomp (text), "\n\r", ' '); /* libxml2 says some things in two lines */
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "%s:%u:%u: %s", name, line, column, text);
  return FALSE;
}

static gboolean fail_to_parse (const char *name, int line, int column, GError **error, const char *format,
                               ...) G_GNUC_PRINTF (5, 6);

static gboolean
fail_to_parse (const char *name, int line, int column, GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fail_at (name, (guint)MAX (line, 1), (guint)MAX (column, 1), error, format, args);
  va_end (args);
  return FALSE;
}

gboolean
vv_xml_fail (const VvXml *xml, const xmlNode *element, GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fail_at (xml->name, vv_xml_line (element), vv_xml_column (element), error, format, args);
  va_end (args);
  return FALSE;
}

/* --- reading --- */

/* What is wrong first: what libxml2 says afterwards follows from that. */
typedef struct {
  char *message;
  int line, column;
} Fault;

static void
note_fault (Fault *fault, const char *message, int line, int column)
{
  if (fault->message)
    return;
  fault->message = g_strdup (message ? message : _ ("not well-formed"));
  fault->line = line;
  fault->column = column;
}

/* Nobody here needs a document type; one that is there can only bring entities. */
static void
refuse_doctype (void *data, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
  xmlParserCtxtPtr ctxt = data;

  (void)name, (void)external, (void)system;
  note_fault (ctxt->_private, _ ("a document type is not allowed"), ctxt->input->line, ctxt->input->col);
  xmlStopParser (ctxt);
}

static void
note_error (void *data, const xmlError *problem)
{
  xmlParserCtxtPtr ctxt = data;

  if (problem->level == XML_ERR_FATAL)
    note_fault (ctxt->_private, problem->message, problem->line, problem->int2);
}

static Document *
read_document (const char *name, const char *text, gsize length, GError **error)
{
  Fault fault = {NULL, 1, 1};
  g_autoptr (Parser) ctxt = xmlNewParserCtxt ();

  ctxt->_private = &fault;
  ctxt->sax->internalSubset = refuse_doctype;
  ctxt->sax->serror = (xmlStructuredErrorFunc)note_error; /* libxml2 2.12 made the error constant */
  g_autoptr (Document) doc = xmlCtxtReadMemory (ctxt, text, (int)length, "document.xml", "UTF-8",
                                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  if (!fault.message && doc && xmlDocGetRootElement (doc))
    return g_steal_pointer (&doc);
  fail_to_parse (name, fault.line, fault.column, error, "%s",
                 fault.message ? fault.message : _ ("there is no element"));
  g_free (fault.message);
  return NULL;
}

/* --- positions --- */

/* What is read: the rest of a document that is known to be well-formed, and where that begins */
typedef struct {
  const char *at, *end;
  Position position;
} Scanner;

static void
advance (Scanner *s, const char *to)
{
  for (; s->at < to; s->at++) {
    if (*s->at == '\n') {
      s->position.line++;
      s->position.column = 1;
    } else if ((*s->at & 0xc0) != 0x80) { /* not the later bytes of a character */
      s->position.column++;
    }
  }
}

static void
skip_behind (Scanner *s, const char *ending)
{
  const char *found = memmem (s->at, s->end - s->at, ending, strlen (ending));

  advance (s, found ? found + strlen (ending) : s->end);
}

static gboolean
stands (const Scanner *s, const char *text)
{
  return (gsize)(s->end - s->at) >= strlen (text) && memcmp (s->at, text, strlen (text)) == 0;
}

/* In a well-formed document a '<' is markup, but for comments, CDATA sections and processing instructions;
 * attribute values cannot have one. So the n-th start tag is that of the n-th element, and libxml2, which
 * remembers no columns, need not be asked for them. */
static GArray *
find_start_tags (const char *text, gsize length)
{
  GArray *positions = g_array_new (FALSE, FALSE, sizeof (Position));
  Scanner s = {text, text + length, {1, 1}};

  if (stands (&s, "\xef\xbb\xbf")) /* a byte order mark is no column */
    s.at += 3;
  for (;;) {
    const char *markup = memchr (s.at, '<', s.end - s.at);
    if (!markup)
      return positions;
    advance (&s, markup);
    if (stands (&s, "<!--"))
      skip_behind (&s, "-->");
    else if (stands (&s, "<![CDATA["))
      skip_behind (&s, "]]>");
    else if (stands (&s, "<?"))
      skip_behind (&s, "?>");
    else if (!stands (&s, "</"))
      g_array_append_val (positions, s.position);
    if (s.at == markup)
      advance (&s, markup + 1);
  }
}

static xmlNode *
next_node (xmlNode *node, const xmlNode *root)
{
  if (node->type == XML_ELEMENT_NODE && node->children)
    return node->children;
  while (node != root && !node->next)
    node = node->parent;
  return node == root ? NULL : node->next;
}

/* The next element in the document's order, of those in @root */
static xmlNode *
next_element (xmlNode *node, const xmlNode *root)
{
  do
    node = next_node (node, root);
  while (node && node->type != XML_ELEMENT_NODE);
  return node;
}

static void
set_positions (VvXml *xml)
{
  xmlNode *root = xmlDocGetRootElement (xml->doc);
  guint i = 0;

  for (xmlNode *node = root; node && i < xml->positions->len; node = next_element (node, root), i++)
    node->_private = &g_array_index (xml->positions, Position, i);
}

VvXml *
vv_xml_parse (const char *name, const char *text, gsize length, gsize limit, GError **error)
{
  g_autoptr (Document) doc = NULL;

  if (length > limit || length > G_MAXINT) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("%s: it is over %u MiB"), name, (guint)(limit >> 20));
    return NULL;
  }
  doc = read_document (name, text, length, error);
  if (!doc)
    return NULL;
  VvXml *xml = g_new0 (VvXml, 1);
  xml->name = g_strdup (name);
  xml->doc = g_steal_pointer (&doc);
  xml->positions = find_start_tags (text, length);
  set_positions (xml);
  return xml;
}

void
vv_xml_free (VvXml *xml)
{
  if (!xml)
    return;
  xmlFreeDoc (xml->doc);
  g_array_unref (xml->positions);
  g_free (xml->name);
  g_free (xml);
}

/* --- looking --- */

const xmlNode *
vv_xml_root (const VvXml *xml)
{
  return xmlDocGetRootElement (xml->doc);
}

guint
vv_xml_line (const xmlNode *element)
{
  const Position *position = element->_private;

  return position ? position->line : 1;
}

guint
vv_xml_column (const xmlNode *element)
{
  const Position *position = element->_private;

  return position ? position->column : 1;
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

/* --- checking: the tables --- */

/* One that is to be shown in a message: short, and without anything that moves a cursor */
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

static const VvXmlAttribute *
find_attribute (const VvXmlElement *element, const xmlAttr *attr)
{
  for (const VvXmlAttribute *a = element->attributes; a && a->name && !attr->ns; a++)
    if (strcmp (a->name, (const char *)attr->name) == 0)
      return a;
  return NULL;
}

static gboolean
refuse_attribute (const VvXml *xml, const xmlNode *node, const VvXmlElement *element, const xmlAttr *attr,
                  GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *name = shown ((const char *)attr->name);

  for (const VvXmlAttribute *a = element->attributes; a && a->name; a++)
    add_word (names, a->name, "%s");
  return vv_xml_fail (xml, node, error, _ ("<%s> has no attribute '%s%s%s'; it can have %s"), element->name,
                      attr->ns && attr->ns->prefix ? (const char *)attr->ns->prefix : "",
                      attr->ns && attr->ns->prefix ? ":" : "", name, names->len ? names->str : _ ("none"));
}

static gboolean
check_attributes (const VvXml *xml, const xmlNode *node, const VvXmlElement *element, GError **error)
{
  for (const xmlAttr *attr = node->properties; attr; attr = attr->next) {
    const VvXmlAttribute *a = find_attribute (element, attr);
    if (!a)
      return refuse_attribute (xml, node, element, attr, error);
    g_autofree char *value = vv_xml_attribute (node, a->name);
    if (value && a->is_good (value))
      continue;
    g_autofree char *text = shown (value ? value : "");
    return vv_xml_fail (xml, node, error, "<%s %s='%s'>: %s is %s", element->name, a->name, text, a->name,
                        _ (a->form));
  }
  return TRUE;
}

static const VvXmlElement *
find_child (const VvXmlElement *element, const xmlNode *node, const char *namespace)
{
  for (const VvXmlElement *const *c = element->children; c && *c && is_in (node, namespace); c++)
    if (vv_xml_is_element (node, (*c)->name))
      return *c;
  return NULL;
}

static gboolean
refuse_child (const VvXml *xml, const xmlNode *node, const VvXmlElement *element, const char *namespace,
              GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *name = shown ((const char *)node->name);

  for (const VvXmlElement *const *c = element->children; c && *c; c++)
    add_word (names, (*c)->name, "<%s>");
  return vv_xml_fail (xml, node, error,
                      is_in (node, namespace)
                          ? _ ("<%s> is not allowed in <%s>; it can have %s")
                          : _ ("<%s> is not allowed in <%s>, in this namespace; it can have %s"),
                      name, element->name, names->len ? names->str : _ ("no elements"));
}

static gboolean
is_second (const xmlNode *node)
{
  for (const xmlNode *n = node->prev; n; n = n->prev)
    if (vv_xml_is_element (n, (const char *)node->name))
      return TRUE;
  return FALSE;
}

static gboolean check_element (const VvXml *xml, const xmlNode *node, const VvXmlElement *element,
                               const char *namespace, GError **error);

static gboolean
check_child (const VvXml *xml, const xmlNode *node, const VvXmlElement *element, const char *namespace,
             GError **error)
{
  if ((node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) && !xmlIsBlankNode (node))
    return vv_xml_fail (xml, node->parent, error, _ ("text is not allowed in <%s>"), element->name);
  if (node->type != XML_ELEMENT_NODE)
    return TRUE;
  const VvXmlElement *shape = find_child (element, node, namespace);
  if (!shape)
    return refuse_child (xml, node, element, namespace, error);
  if (shape->once && is_second (node))
    return vv_xml_fail (xml, node, error, _ ("<%s> can be there only once"), shape->name);
  return check_element (xml, node, shape, namespace, error);
}

static gboolean
check_element (const VvXml *xml, const xmlNode *node, const VvXmlElement *element, const char *namespace,
               GError **error)
{
  if (!check_attributes (xml, node, element, error))
    return FALSE;
  if (element->needs && !xmlHasProp (node, (const xmlChar *)element->needs))
    return vv_xml_fail (xml, node, error, _ ("<%s> needs the attribute %s"), element->name, element->needs);
  for (const xmlNode *c = node->children; c; c = c->next)
    if (!check_child (xml, c, element, namespace, error))
      return FALSE;
  return TRUE;
}

gboolean
vv_xml_check (const VvXml *xml, const xmlNode *node, const VvXmlElement *element, const char *namespace,
              GError **error)
{
  if (!vv_xml_is_element (node, element->name)) {
    g_autofree char *name = shown ((const char *)node->name);
    return vv_xml_fail (xml, node, error, _ ("<%s> is here instead of <%s>"), name, element->name);
  }
  if (!is_in (node, namespace))
    return vv_xml_fail (xml, node, error, _ ("<%s> must be in %s%s"), element->name,
                        namespace ? _ ("the namespace ") : _ ("no namespace"), namespace ? namespace : "");
  return check_element (xml, node, element, namespace, error);
}

/* --- checking: the schema --- */

/* What libxml2 said first, and of which element. Its nodes do not outlive the validation, positions do. */
typedef struct {
  char *message;
  const Position *position;
} Verdict;

static void
note_verdict (void *data, const xmlError *problem)
{
  Verdict *verdict = data;
  const xmlNode *node = problem->node;

  if (verdict->message)
    return;
  while (node && node->type != XML_ELEMENT_NODE)
    node = node->parent;
  verdict->message = g_strdup (problem->message ? problem->message : _ ("not valid"));
  verdict->position = node ? node->_private : NULL;
}

#define NOTE_VERDICT ((xmlStructuredErrorFunc)note_verdict) /* as for note_error() */

/* By way of a document, for xmlRelaxNGNewMemParserCtxt() would let the parser print. */
static Schema *
parse_schema (const char *text)
{
  Verdict verdict = {NULL, NULL};
  g_autoptr (Document) doc = xmlReadMemory (text, (int)strlen (text), "schema.rng", NULL,
                                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  g_autoptr (SchemaParser) parser = doc ? xmlRelaxNGNewDocParserCtxt (doc) : NULL;

  if (!parser)
    return NULL;
  xmlRelaxNGSetParserStructuredErrors (parser, NOTE_VERDICT, &verdict);
  Schema *schema = xmlRelaxNGParse (parser);
  g_free (verdict.message);
  return schema;
}

/* @node and what is in it as a document of its own, its elements where they were */
static Document *
copy_part (const xmlNode *node)
{
  xmlNode *original = (xmlNode *)node;
  Document *part = xmlNewDoc ((const xmlChar *)"1.0");
  xmlNode *root = xmlDocCopyNode (original, part, 1), *copy = root;

  xmlDocSetRootElement (part, root);
  for (; original && copy; original = next_element (original, node), copy = next_element (copy, root))
    copy->_private = original->_private;
  return part;
}

gboolean
vv_xml_validate (const VvXml *xml, const xmlNode *node, const char *schema, GError **error)
{
  Verdict verdict = {NULL, NULL};
  g_autoptr (Schema) parsed = parse_schema (schema);
  g_autoptr (Validator) validator = parsed ? xmlRelaxNGNewValidCtxt (parsed) : NULL;
  g_autoptr (Document) part = copy_part (node);

  if (!validator) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("%s: libxml2 cannot read the schema"), xml->name);
    return FALSE;
  }
  xmlRelaxNGSetValidStructuredErrors (validator, NOTE_VERDICT, &verdict);
  gboolean valid = xmlRelaxNGValidateDoc (validator, part) == 0;
  const Position *at = verdict.position ? verdict.position : node->_private;
  if (!valid)
    fail_to_parse (xml->name, at ? (int)at->line : 1, at ? (int)at->column : 1, error, "%s",
                   verdict.message ? verdict.message : _ ("not valid"));
  g_free (verdict.message);
  return valid;
}
