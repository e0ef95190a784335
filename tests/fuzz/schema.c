/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "schema.h"

#include <libxml/relaxng.h>

/* A target uses one schema and parses it once. */
static xmlRelaxNGPtr
schema_named (const char *name)
{
  static xmlRelaxNGPtr schema;
  g_autofree char *path = g_build_filename (SCHEMAS, name, NULL);

  if (!schema) {
    xmlRelaxNGParserCtxtPtr parser = xmlRelaxNGNewParserCtxt (path);
    schema = xmlRelaxNGParse (parser);
    xmlRelaxNGFreeParserCtxt (parser);
  }
  g_assert_nonnull (schema);
  return schema;
}

gboolean
schema_takes (const char *name, xmlNode *node)
{
  xmlRelaxNGValidCtxtPtr validator = xmlRelaxNGNewValidCtxt (schema_named (name));
  xmlDocPtr doc = xmlNewDoc ((const xmlChar *)"1.0");

  xmlDocSetRootElement (doc, xmlDocCopyNode (node, doc, 1));
  gboolean takes = xmlRelaxNGValidateDoc (validator, doc) == 0;
  xmlFreeDoc (doc);
  xmlRelaxNGFreeValidCtxt (validator);
  return takes;
}
