/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * json: JSON as the programs write and read it.
 *
 * Owns: that what is written is valid, whatever bytes it quotes, and that what is missing can be asked for.
 * Knows nothing of what is said (schemas/), nor where the text goes.
 */
#pragma once

#include <json-glib/json-glib.h>

/** vv_json_string: adds a member that is a string, or null */
void vv_json_string (JsonBuilder *builder, const char *name, const char *value);

/** vv_json_boolean: adds a member that is true or false */
void vv_json_boolean (JsonBuilder *builder, const char *name, gboolean value);

/** vv_json_answer: adds a member that is true or false, or null when the @answer is not @known */
void vv_json_answer (JsonBuilder *builder, const char *name, gboolean known, gboolean answer);

/** vv_json_number: adds a member that is an integer */
void vv_json_number (JsonBuilder *builder, const char *name, gint64 value);

/**
 * vv_json_strings:
 * @values: (nullable): texts; NULL: none, and @n is -1
 * @n: how many, or -1: NULL ends them
 *
 * Adds a member that is an array, or null.
 */
void vv_json_strings (JsonBuilder *builder, const char *name, char *const *values, int n);

/** vv_json_begin_array: begins a member that is an array; json_builder_end_array() ends it */
void vv_json_begin_array (JsonBuilder *builder, const char *name);

/** vv_json_begin_object: begins a member that is an object; json_builder_end_object() ends it */
void vv_json_begin_object (JsonBuilder *builder, const char *name);

/** vv_json_key: Returns: (transfer full): @name as a member is called: "_" for "-" */
char *vv_json_key (const char *name);

/** The characters of a text of others in JSON, at most; "..." follows when there were more */
#define VV_JSON_CHARACTERS 1000

/**
 * vv_json_printable:
 * @value: (nullable): any bytes, of the kernel or of another process
 *
 * Adds a member that is what vv_printable() makes of @value, or null.
 */
void vv_json_printable (JsonBuilder *builder, const char *name, const char *value);

/**
 * vv_json_text:
 * @builder: (transfer none): a whole document; it can be added to no more
 * @pretty: on many lines; else on one, for a reader that waits for the end of it
 *
 * Returns: (transfer full): the document, valid UTF-8 without control characters but line feeds, and without
 * one at its end
 */
char *vv_json_text (JsonBuilder *builder, gboolean pretty);

/** vv_json_get_number: Returns: the number @name of @object; 0 when there is none, or @object is NULL */
gint64 vv_json_get_number (JsonObject *object, const char *name);

/** vv_json_get_string: Returns: (transfer none) (nullable): the string @name of @object, NULL when there is
 * none */
const char *vv_json_get_string (JsonObject *object, const char *name);

/** vv_json_get_object: Returns: (transfer none) (nullable): the object @name of @object, NULL when there is
 * none */
JsonObject *vv_json_get_object (JsonObject *object, const char *name);

/**
 * vv_json_get_array:
 *
 * Returns: (transfer container) (element-type JsonNode): those elements of the array @name of @object that
 * are of @type; none when there is no such array
 */
GList *vv_json_get_array (JsonObject *object, const char *name, JsonNodeType type);
