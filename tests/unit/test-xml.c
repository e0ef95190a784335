/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * xml: where an element is, and where and what is wrong.
 */
#include "xml.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fake-kernel.h"

#define LIMIT 4096

static VvXml *
parse (const char *text, GError **error)
{
  return vv_xml_parse ("a.xml", text, strlen (text), LIMIT, error);
}

static void
add_places (GString *text, const xmlNode *node)
{
  if (node->type != XML_ELEMENT_NODE)
    return;
  g_string_append_printf (text, "%s%s %u:%u", text->len ? ", " : "", node->name, vv_xml_line (node),
                          vv_xml_column (node));
  for (const xmlNode *c = node->children; c; c = c->next)
    add_places (text, c);
}

static void
test_positions (void)
{
  static const struct {
    const char *says, *xml, *places;
  } cases[] = {
      {"the root", "<a/>", "a 1:1"},
      {"behind a declaration", "<?xml version='1.0'?><a/>", "a 1:22"},
      {"behind another encoding, which is not heeded", "<?xml version='1.0' encoding='UTF-8'?>\n<a/>",
       "a 2:1"},
      {"behind a byte order mark", "\xef\xbb\xbf<a/>", "a 1:1"},
      {"several on a line", "<a><b/> <c><d/></c></a>", "a 1:1, b 1:4, c 1:9, d 1:12"},
      {"of siblings and their children", "<a>\n <b>\n  <c/>\n </b>\n <d/></a>", "a 1:1, b 2:2, c 3:3, d 5:2"},
      {"a tag over several lines", "<a\n x='1'\n>\n  <b\n/><c/></a>", "a 1:1, b 4:3, c 5:3"},
      {"tags that are none",
       "<a><!-- <x/> -->\n<?p <x/> ?><![CDATA[<x/>]]><b y='&lt;x/>'/>&lt;x/></a><!-- <x> -->",
       "a 1:1, b 2:28"},
      {"a value with a greater-than sign", "<a x='>'><b/></a>", "a 1:1, b 1:10"},
      {"columns are characters", "<a>\xc3\xa4\xe2\x82\xac<b/></a>", "a 1:1, b 1:6"},
      {"lines of another system", "<a>\r\n <b/>\r\n</a>", "a 1:1, b 2:2"},
      {"with prefixes", "<p:a xmlns:p='u'>\n<p:b/></p:a>", "a 1:1, b 2:1"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GString) places = g_string_new (NULL);
    g_test_message ("%s", cases[i].says);
    g_autoptr (VvXml) xml = parse (cases[i].xml, &error);
    g_assert_no_error (error);
    add_places (places, vv_xml_root (xml));
    g_assert_cmpstr (places->str, ==, cases[i].places);
  }
}

static void
test_malformed (void)
{
  static const struct {
    const char *xml, *message;
  } cases[] = {
      {"", "a.xml:1:1: *"},
      {"<a>\n <b>\n </a>", "a.xml:3:*: Opening and ending tag mismatch: b line 2 and a"},
      {"<a>\n<b x='<'/></a>", "a.xml:2:*: *"},
      {"<a x='1' x='2'/>", "a.xml:1:*: Attribute x redefined"},
      {"<a>&b;</a>", "a.xml:1:*: Entity 'b' not defined"},
      {"<a/>\n<b/>", "a.xml:2:1: Extra content at the end of the document"},
      {"<!-- -->\n<!DOCTYPE a><a/>", "a.xml:2:*: a document type is not allowed"},
      {"<?xml version='1.0' encoding='UTF-16'?>\n<a>\xff\xfe</a>", "a.xml:2:*: *"},
      {"<\0a\0/\0>\0", "a.xml:1:*: *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (parse (cases[i].xml, &error));
    fake_assert_error (error, VV_ERROR_INVALID, cases[i].message);
    g_assert_null (strchr (error->message, '\n'));
  }
}

static void
test_too_long (void)
{
  g_autofree char *text = g_strnfill (LIMIT + 1, ' ');
  g_autoptr (GError) error = NULL;

  memcpy (text, "<a/>", strlen ("<a/>"));
  g_assert_null (vv_xml_parse ("a.xml", text, LIMIT + 1, LIMIT, &error));
  fake_assert_error (error, VV_ERROR_INVALID, "a.xml: it is over *");
  g_autoptr (VvXml) longest = vv_xml_parse ("a.xml", text, LIMIT, LIMIT, NULL);
  g_assert_nonnull (longest);
}

static void
test_looking (void)
{
  g_autoptr (VvXml) xml = parse ("<a x='1 &amp; 2' y=''><b>t<!-- c -->u</b><b/></a>", NULL);
  const xmlNode *root = vv_xml_root (xml);
  g_autofree char *x = vv_xml_attribute (root, "x");
  g_autofree char *y = vv_xml_attribute (root, "y");
  g_autofree char *text = vv_xml_text (root, "b");

  g_assert_cmpstr (x, ==, "1 & 2");
  g_assert_cmpstr (y, ==, "");
  g_assert_cmpstr (text, ==, "tu");
  g_assert_null (vv_xml_attribute (root, "z"));
  g_assert_null (vv_xml_attribute (NULL, "z"));
  g_assert_null (vv_xml_child (NULL, "b"));
  g_assert_null (vv_xml_child (root, "c"));
  g_assert_null (vv_xml_text (root, "c"));
  g_assert_cmpuint (vv_xml_column (vv_xml_child (root, "b")), ==, 23);
}

/* --- checks --- */

static gboolean
is_one (const char *value)
{
  return strcmp (value, "1") == 0;
}

static const VvXmlAttribute attributes[] = {{"x", "1", is_one}, {"y", "1, too", is_one}, {NULL}};
static const VvXmlElement leaf = {"leaf", attributes, NULL, FALSE, NULL};
static const VvXmlElement needy = {"needy", attributes, NULL, FALSE, "x"};
static const VvXmlElement single = {"single", NULL, NULL, TRUE, NULL};
static const VvXmlElement *const children[] = {&leaf, &single, &needy, NULL};
static const VvXmlElement tree = {"tree", NULL, children, FALSE, NULL};

static void
test_tables (void)
{
  static const struct {
    const char *xml, *message;
  } cases[] = {
      {"<tree/>", NULL},
      {"<tree>\n <leaf y='1' x='1'/> <!-- c --> <single/><?p?><leaf/></tree>", NULL},
      {"<three/>", "a.xml:1:1: <three> is here instead of <tree>"},
      {"<tree xmlns='u'/>", "a.xml:1:1: <tree> must be in no namespace"},
      {"<tree z=''/>", "a.xml:1:1: <tree> has no attribute 'z'; it can have none"},
      {"<tree>\n <leaf z='1'/></tree>", "a.xml:2:2: <leaf> has no attribute 'z'; it can have x, y"},
      {"<tree xmlns:p='u'>\n <leaf p:x='1'/></tree>",
       "a.xml:2:2: <leaf> has no attribute 'p:x'; it can have x, y"},
      {"<tree><leaf x='2&#10;'/></tree>", "a.xml:1:7: <leaf x='2\\n'>: x is 1"},
      {"<tree><leaf x='1' y=''/></tree>", "a.xml:1:7: <leaf y=''>: y is 1, too"},
      {"<tree><branch/></tree>",
       "a.xml:1:7: <branch> is not allowed in <tree>; it can have <leaf>, <single>, <needy>"},
      {"<tree><leaf><leaf/></leaf></tree>",
       "a.xml:1:13: <leaf> is not allowed in <leaf>; it can have no elements"},
      {"<tree xmlns:p='u'><p:leaf/></tree>", "a.xml:1:19: <leaf> is not allowed in <tree>, in this "
                                             "namespace; it can have <leaf>, <single>, <needy>"},
      {"<tree><single/><leaf/><single/></tree>", "a.xml:1:23: <single> can be there only once"},
      {"<tree><needy x='1'/> <needy y='1'/></tree>", "a.xml:1:22: <needy> needs the attribute x"},
      {"<tree>\n<leaf>x</leaf></tree>", "a.xml:2:1: text is not allowed in <leaf>"},
      {"<tree><![CDATA[x]]></tree>", "a.xml:1:1: text is not allowed in <tree>"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvXml) xml = parse (cases[i].xml, NULL);
    g_test_message ("%s", cases[i].xml);
    gboolean good = vv_xml_check (xml, vv_xml_root (xml), &tree, NULL, &error);
    g_assert_true (good == !cases[i].message);
    if (!good)
      fake_assert_error (error, VV_ERROR_INVALID, cases[i].message);
  }
}

#define SCHEMA                                                                                               \
  "<element name='b' xmlns='http://relaxng.org/ns/structure/1.0'><zeroOrMore><element name='c'>"             \
  "<optional><attribute name='x'><value>1</value></attribute></optional></element></zeroOrMore></element>"

/* Nothing may come out at standard error, where libxml2 writes when nobody tells it not to. */
static gboolean
validate_silently (const VvXml *xml, const xmlNode *node, const char *schema, GError **error)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "stderr-XXXXXX", NULL);
  int saved = dup (STDERR_FILENO), fd = g_mkstemp (path);

  g_assert_cmpint (fd, >=, 0);
  dup2 (fd, STDERR_FILENO);
  gboolean valid = vv_xml_validate (xml, node, schema, error);
  dup2 (saved, STDERR_FILENO);
  close (saved);
  g_assert_cmpint (lseek (fd, 0, SEEK_END), ==, 0);
  close (fd);
  unlink (path);
  return valid;
}

/* A part is validated as if it were a document; what is said of it stands where the part is. */
static void
test_schema (void)
{
  static const struct {
    const char *xml, *message;
  } cases[] = {
      {"<a>\n<b/></a>", NULL},
      {"<a>\n<b><c/>\n<c x='1'/></b></a>", NULL},
      {"<a>\n<b><c/>\n <c x='2'/></b></a>", "a.xml:3:2: *"},
      {"<a>\n<b><c/>\n <d/></b></a>", "a.xml:3:2: *"},
      {"<a>\n<b>\n<c>text</c></b></a>", "a.xml:3:1: *"},
      {"<a>\n <b x='1'/></a>", "a.xml:2:2: *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvXml) xml = parse (cases[i].xml, NULL);
    g_test_message ("%s", cases[i].xml);
    gboolean good = validate_silently (xml, vv_xml_child (vv_xml_root (xml), "b"), SCHEMA, &error);
    g_assert_true (good == !cases[i].message);
    if (!good)
      fake_assert_error (error, VV_ERROR_INVALID, cases[i].message);
    g_assert_false (error && strchr (error->message, '\n'));
  }
}

static void
test_bad_schema (void)
{
  g_autoptr (VvXml) xml = parse ("<a/>", NULL);
  g_autoptr (GError) error = NULL, malformed = NULL;

  g_assert_false (validate_silently (xml, vv_xml_root (xml), "<a/>", &error));
  fake_assert_error (error, VV_ERROR_FAILED, "a.xml: libxml2 cannot read the schema");
  g_assert_false (validate_silently (xml, vv_xml_root (xml), "<a", &malformed));
  fake_assert_error (malformed, VV_ERROR_FAILED, "a.xml: libxml2 cannot read the schema");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/xml/positions", test_positions);
  g_test_add_func ("/xml/malformed-is-refused", test_malformed);
  g_test_add_func ("/xml/length-is-bounded", test_too_long);
  g_test_add_func ("/xml/looking", test_looking);
  g_test_add_func ("/xml/tables", test_tables);
  g_test_add_func ("/xml/schema", test_schema);
  g_test_add_func ("/xml/schema-that-is-none", test_bad_schema);
  return g_test_run ();
}
