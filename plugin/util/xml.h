/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * xml: reads untrusted XML and reports the location of errors.
 *
 * Owns: libxml2 and its limits (no network, no entities, no document type, UTF-8 only, a maximum size). Also
 * owns the line of each element, and the checks by tables, whose messages name the allowed values. Knows
 * nothing of policies or domains. Prints nothing, and libxml2 prints nothing either.
 */
#pragma once

#include <libxml/tree.h>

#include "error.h"

/** VvXml: a document; its _private is its name, and the _private of each element is its line */
typedef xmlDoc VvXml;

/**
 * vv_xml_parse:
 * @name: name of the document for messages: a file's path, or "domain XML"
 * @text: the document, @length bytes
 * @limit: maximum size in bytes
 *
 * Returns: (transfer full): the document, or NULL with @error set (VV_ERROR_INVALID, "NAME:LINE: WHAT",
 * or "NAME is larger than N MiB")
 */
VvXml *vv_xml_parse (const char *name, const char *text, gsize length, gsize limit, GError **error);
void vv_xml_free (VvXml *xml);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvXml, vv_xml_free)

/** vv_xml_root: Returns: (transfer none): the root element */
const xmlNode *vv_xml_root (const VvXml *xml);

/** vv_xml_line: Returns: the line of an element's '<', from 1 */
guint vv_xml_line (const xmlNode *element);

/** vv_xml_is_element: Returns: whether @node is an element with this name, in any namespace */
gboolean vv_xml_is_element (const xmlNode *node, const char *name);

/** vv_xml_child: Returns: (transfer none) (nullable): the first child element with this name; @node:
 * (nullable) */
const xmlNode *vv_xml_child (const xmlNode *node, const char *name);

/** vv_xml_attribute: Returns: (transfer full) (nullable): the attribute with this name and without a
 * namespace; @node: (nullable) */
char *vv_xml_attribute (const xmlNode *node, const char *name);

/** vv_xml_text: Returns: (transfer full) (nullable): all text in the first child element with this name, or
 * NULL if there is no such element; @node: (nullable) */
char *vv_xml_text (const xmlNode *node, const char *name);

/** vv_xml_fail: Sets @error to "NAME:LINE: " of @element and the text (VV_ERROR_INVALID). Returns: FALSE */
gboolean vv_xml_fail (const xmlNode *element, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/**
 * VvXmlAttribute:
 * @name: its name; NULL ends a table
 * @form: its allowed values, in words
 * @is_good: returns whether a value is allowed
 */
typedef struct {
  const char *name;
  const char *form;
  gboolean (*is_good) (const char *value);
} VvXmlAttribute;

/**
 * VvXmlElement:
 * @name: its name
 * @attributes: (nullable): allowed attributes
 * @children: (nullable) (array zero-terminated=1): allowed child elements; text is never allowed
 * @once: whether the parent may have only one such element
 * @needs: (nullable): the required attribute
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
 * @element: the description of @node and its contents
 * @namespace: (nullable): the namespace of all elements
 *
 * Checks @node against the tables. They reject the same documents as the RELAX NG schemas in schemas/;
 * test-policy-files.py compares them. libxml2's validation reports only that the attributes are invalid. This
 * function names the attribute and its allowed values.
 *
 * Returns: TRUE, or FALSE with @error set as by vv_xml_fail()
 */
gboolean vv_xml_check (const xmlNode *node, const VvXmlElement *element, const char *namespace,
                       GError **error);
