/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * schema: what RELAX NG says of what our tables took.
 */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

/** schema_takes: Returns: whether @node, with all that is in it, is a document of the schema with this name
 */
gboolean schema_takes (const char *name, xmlNode *node);
