/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json.h"

#include "one-line.h"

void
vv_json_string (JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  if (value)
    json_builder_add_string_value (builder, value);
  else
    json_builder_add_null_value (builder);
}

void
vv_json_boolean (JsonBuilder *builder, const char *name, gboolean value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_boolean_value (builder, value);
}

void
vv_json_answer (JsonBuilder *builder, const char *name, gboolean known, gboolean answer)
{
  if (known)
    vv_json_boolean (builder, name, answer);
  else
    vv_json_string (builder, name, NULL);
}

void
vv_json_number (JsonBuilder *builder, const char *name, gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

void
vv_json_strings (JsonBuilder *builder, const char *name, char *const *values, int n)
{
  if (!values && n < 0) {
    vv_json_string (builder, name, NULL);
    return;
  }
  vv_json_begin_array (builder, name);
  for (int i = 0; values && (n < 0 ? values[i] != NULL : i < n); i++)
    json_builder_add_string_value (builder, values[i]);
  json_builder_end_array (builder);
}

void
vv_json_begin_array (JsonBuilder *builder, const char *name)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
}

void
vv_json_begin_object (JsonBuilder *builder, const char *name)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
}

char *
vv_json_key (const char *name)
{
  return g_strdelimit (g_strdup (name), "-", '_');
}

void
vv_json_printable (JsonBuilder *builder, const char *name, const char *value)
{
  g_autofree char *text = vv_printable (value, VV_JSON_CHARACTERS);

  vv_json_string (builder, name, text);
}

/* Strings from sysfs, a policy or a domain may contain any bytes. JsonGenerator copies invalid UTF-8, and
 * json-glib 1.6 does not escape 0x1f. JsonGenerator's own syntax is ASCII, without control characters other
 * than line feeds. */
static char *
valid_json (const char *text)
{
  g_autofree char *utf8 = g_utf8_make_valid (text, -1);
  GString *valid = g_string_new (NULL);

  for (const char *p = utf8; *p; p++)
    if ((guchar)*p < 0x20 && *p != '\n')
      g_string_append_printf (valid, "\\u%04x", (guint)*p);
    else
      g_string_append_c (valid, *p);
  return g_string_free (valid, FALSE);
}

char *
vv_json_text (JsonBuilder *builder, gboolean pretty)
{
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = json_builder_get_root (builder);

  json_generator_set_pretty (generator, pretty);
  json_generator_set_root (generator, root);
  g_autofree char *text = json_generator_to_data (generator, NULL);
  return valid_json (text);
}

static JsonNode *
member_of (JsonObject *object, const char *name, JsonNodeType type)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_TYPE (node) == type ? node : NULL;
}

gint64
vv_json_get_number (JsonObject *object, const char *name)
{
  JsonNode *node = member_of (object, name, JSON_NODE_VALUE);

  return node ? json_node_get_int (node) : 0;
}

const char *
vv_json_get_string (JsonObject *object, const char *name)
{
  JsonNode *node = member_of (object, name, JSON_NODE_VALUE);

  return node ? json_node_get_string (node) : NULL;
}

JsonObject *
vv_json_get_object (JsonObject *object, const char *name)
{
  JsonNode *node = member_of (object, name, JSON_NODE_OBJECT);

  return node ? json_node_get_object (node) : NULL;
}

GList *
vv_json_get_array (JsonObject *object, const char *name, JsonNodeType type)
{
  JsonNode *node = member_of (object, name, JSON_NODE_ARRAY);
  g_autoptr (GList) all = node ? json_array_get_elements (json_node_get_array (node)) : NULL;
  GList *elements = NULL;

  for (GList *i = all; i; i = i->next)
    if (JSON_NODE_TYPE (i->data) == type)
      elements = g_list_prepend (elements, i->data);
  return g_list_reverse (elements);
}
