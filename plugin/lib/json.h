/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * json: JSON as the programs write it.
 *
 * Owns: that it is valid, whatever bytes it quotes. Knows nothing of what is written (schemas/), nor where the
 * text goes.
 */
#pragma once

#include <json-glib/json-glib.h>

/** vv_json_string: adds a member that is a string, or null */
void vv_json_string (JsonBuilder *builder, const char *name, const char *value);

/** vv_json_boolean: adds a member that is true or false */
void vv_json_boolean (JsonBuilder *builder, const char *name, gboolean value);

/**
 * vv_json_text:
 * @builder: (transfer none): a whole document; it can be added to no more
 * @pretty: on many lines; else on one, for a reader that waits for the end of it
 *
 * Returns: (transfer full): the document, valid UTF-8 without control characters but line feeds, and without
 * one at its end
 */
char *vv_json_text (JsonBuilder *builder, gboolean pretty);
