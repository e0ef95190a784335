/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * json: helpers to write and read JSON.
 *
 * Owns: valid output for any input bytes, and lookups that tolerate missing members. Knows nothing of the
 * schemas (schemas/), nor of the destination of the text.
 */
#pragma once

#include <json-glib/json-glib.h>

/** vv_json_string: Adds a string member, or null if @value is NULL */
void vv_json_string (JsonBuilder *builder, const char *name, const char *value);

/** vv_json_boolean: Adds a boolean member */
void vv_json_boolean (JsonBuilder *builder, const char *name, gboolean value);

/** vv_json_answer: Adds a boolean member, or null if @answer is not @known */
void vv_json_answer (JsonBuilder *builder, const char *name, gboolean known, gboolean answer);

/** vv_json_number: Adds an integer member */
void vv_json_number (JsonBuilder *builder, const char *name, gint64 value);

/**
 * vv_json_strings:
 * @values: (nullable): strings
 * @n: number of strings, or -1 if @values is NULL-terminated
 *
 * Adds an array member, or null if @values is NULL and @n is -1.
 */
void vv_json_strings (JsonBuilder *builder, const char *name, char *const *values, int n);

/** vv_json_begin_array: Begins an array member; json_builder_end_array() ends it */
void vv_json_begin_array (JsonBuilder *builder, const char *name);

/** vv_json_begin_object: Begins an object member; json_builder_end_object() ends it */
void vv_json_begin_object (JsonBuilder *builder, const char *name);

/** vv_json_key: Returns: (transfer full): @name as a member name, with "_" for "-" */
char *vv_json_key (const char *name);

/** Maximum number of characters of a foreign string in JSON; "..." is appended to a longer string */
#define VV_JSON_CHARACTERS 1000

/**
 * vv_json_printable:
 * @value: (nullable): any bytes, from the kernel or from another process
 *
 * Adds a string member with the result of vv_printable(), or null.
 */
void vv_json_printable (JsonBuilder *builder, const char *name, const char *value);

/**
 * vv_json_text:
 * @builder: (transfer none): a complete document; nothing can be added afterwards
 * @pretty: TRUE: indented; FALSE: one line, for readers that read by line
 *
 * Returns: (transfer full): the document in valid UTF-8, without a trailing line feed, and without control
 * characters other than line feeds
 */
char *vv_json_text (JsonBuilder *builder, gboolean pretty);

/** vv_json_get_number: Returns: the number @name of @object; 0 if there is none, or if @object is NULL */
gint64 vv_json_get_number (JsonObject *object, const char *name);

/** vv_json_get_string: Returns: (transfer none) (nullable): the string @name of @object, or NULL */
const char *vv_json_get_string (JsonObject *object, const char *name);

/** vv_json_get_object: Returns: (transfer none) (nullable): the object @name of @object, or NULL */
JsonObject *vv_json_get_object (JsonObject *object, const char *name);

/**
 * vv_json_get_array:
 *
 * Returns: (transfer container) (element-type JsonNode): the elements of type @type in the array @name of
 * @object; empty if there is no such array
 */
GList *vv_json_get_array (JsonObject *object, const char *name, JsonNodeType type);
