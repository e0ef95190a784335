/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * xml: reading XML that may be anything, and saying where in it something is wrong.
 *
 * Owns: libxml2: the bounds (no network, no entities, no document type at all, UTF-8 only, a length), the
 * line of each element, and checking by tables, with messages that name what is allowed. Knows nothing of
 * policies or domains. Prints nothing, whatever libxml2 has to say.
 */
#pragma once

#include <libxml/tree.h>

#include "error.h"

/** VvXml: a document whose _private is its name, and those of its elements their lines */
typedef xmlDoc VvXml;

/**
 * vv_xml_parse:
 * @name: what it is, for messages: a file's path, or "domain XML"
 * @text: the document, @length bytes
 * @limit: the most bytes it may have
 *
 * Returns: (transfer full): the document, or NULL with @error set (VV_ERROR_INVALID, "NAME:LINE: WHAT",
 * or "NAME: it is over N MiB")
 */
VvXml *vv_xml_parse (const char *name, const char *text, gsize length, gsize limit, GError **error);
void vv_xml_free (VvXml *xml);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvXml, vv_xml_free)

/** vv_xml_root: Returns: (transfer none): the root element */
const xmlNode *vv_xml_root (const VvXml *xml);

/** vv_xml_line: Returns: the line of an element's '<', from 1 */
guint vv_xml_line (const xmlNode *element);

/** vv_xml_is_element: Returns: whether @node is an element of this name, in whatever namespace */
gboolean vv_xml_is_element (const xmlNode *node, const char *name);

/** vv_xml_child: Returns: (transfer none) (nullable): the first child element of this name; @node: (nullable)
 */
const xmlNode *vv_xml_child (const xmlNode *node, const char *name);

/** vv_xml_attribute: Returns: (transfer full) (nullable): an attribute without a namespace; @node: (nullable)
 */
char *vv_xml_attribute (const xmlNode *node, const char *name);

/** vv_xml_text: Returns: (transfer full) (nullable): all text in the first child element of this name; NULL
 * when there is none */
char *vv_xml_text (const xmlNode *node, const char *name);

/** vv_xml_fail: sets @error to "NAME:LINE: ", where @element is, and the text; Returns: FALSE */
gboolean vv_xml_fail (const xmlNode *element, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/**
 * VvXmlAttribute:
 * @name: its name; NULL ends a table
 * @form: what it can be, in words
 * @is_good: whether a value is that
 */
typedef struct {
  const char *name;
  const char *form;
  gboolean (*is_good) (const char *value);
} VvXmlAttribute;

/**
 * VvXmlElement:
 * @name: its name
 * @attributes: (nullable): those that it can have
 * @children: (nullable) (array zero-terminated=1): elements that can be in it; text never can
 * @once: whether its parent can have only one
 * @needs: (nullable): the attribute that it cannot be without
 */
typedef struct VvXmlElement VvXmlElement;
struct VvXmlElement {
  const char *name;
  const VvXmlAttribute *attributes;
  const VvXmlElement *const *children;
  gboolean once;
  const char *needs;
};

/**
 * vv_xml_check:
 * @element: its shape, @node and all that is in it
 * @namespace: (nullable): the namespace that all of them are in
 *
 * What is refused by a RELAX NG schema in schemas/ is refused by its tables: test-policy-files.py compares
 * them. Unlike libxml2's validation, which says only that the attributes are wrong, this names the one, and
 * what it could be.
 *
 * Returns: TRUE, or FALSE with @error set as by vv_xml_fail()
 */
gboolean vv_xml_check (const xmlNode *node, const VvXmlElement *element, const char *namespace,
                       GError **error);
