/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * schema: RELAX NG validation of input that our parsers accept.
 */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

/** schema_takes: Returns: whether @node and its contents are valid by the schema with this name */
gboolean schema_takes (const char *name, xmlNode *node);
