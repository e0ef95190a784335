/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of xml: line numbers of elements, and the line and message of errors.
 */
#include "xml.h"

#include <string.h>

#include "fake-kernel.h"

#define LIMIT 4096

static VvXml *
parse (const char *text, GError **error)
{
  return vv_xml_parse ("a.xml", text, strlen (text), LIMIT, error);
}

/* Appends "NAME LINE" for each element */
static void
add_lines (GString *text, const xmlNode *node)
{
  if (node->type != XML_ELEMENT_NODE)
    return;
  g_string_append_printf (text, "%s%s %u", text->len ? ", " : "", node->name, vv_xml_line (node));
  for (const xmlNode *c = node->children; c; c = c->next)
    add_lines (text, c);
}

static void
test_lines (void)
{
  static const struct {
    const char *says, *xml, *lines;
  } cases[] = {
      {"the root", "<a/>", "a 1"},
      {"behind a declaration", "<?xml version='1.0'?>\n<a/>", "a 2"},
      {"behind another encoding, which is not heeded", "<?xml version='1.0' encoding='latin1'?>\n<a/>",
       "a 2"},
      {"behind a byte order mark", "\xef\xbb\xbf<a>\n<b/></a>", "a 1, b 2"},
      {"several on a line", "<a><b/> <c><d/></c></a>", "a 1, b 1, c 1, d 1"},
      {"of siblings and their children", "<a>\n <b>\n  <c/>\n </b>\n <d/></a>", "a 1, b 2, c 3, d 5"},
      {"a tag over several lines", "<a\n x='1'\n>\n  <b\n\ny='\n\n'\n/><c/></a>", "a 1, b 4, c 9"},
      {"tags that are none",
       "<a><!-- <x/> -->\n<?p <x/> ?><![CDATA[<x/>\n]]><b y='&lt;x/>\n'/>&lt;x/>\n<c/></a><!-- <x> -->",
       "a 1, b 3, c 5"},
      {"lines of another system", "<a>\r\n <b\r\n/>\r\n<c/></a>", "a 1, b 2, c 4"},
      {"with prefixes", "<p:a xmlns:p='u'\n>\n<p:b/></p:a>", "a 1, b 3"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GString) lines = g_string_new (NULL);
    g_test_message ("%s", cases[i].says);
    g_autoptr (VvXml) xml = parse (cases[i].xml, &error);
    g_assert_no_error (error);
    add_lines (lines, vv_xml_root (xml));
    g_assert_cmpstr (lines->str, ==, cases[i].lines);
  }
}

/* libxml2 stores lines in 16 bits, and parses in chunks, which it discards. */
static void
test_many_lines (void)
{
  g_autoptr (GString) text = g_string_new ("<a>");
  g_autofree char *value = g_strnfill (100000, 'x');
  g_autofree char *breaks = g_strnfill (100000, '\n');
  g_autoptr (GError) error = NULL;
  guint line = 1;

  g_string_append_printf (text, "<b x='%s\n'/>%s<b\nx='%s'/>", value, breaks, breaks);
  for (guint i = 0; i < 100000; i++)
    g_string_append_printf (text, "<b\nx='%u'/>%s", i, i % 3 ? "" : "\n");
  g_string_append (text, "</a>");
  g_autoptr (VvXml) xml = vv_xml_parse ("a.xml", text->str, text->len, text->len, &error);
  g_assert_no_error (error);
  const xmlNode *node = vv_xml_root (xml)->children;
  g_assert_cmpuint (vv_xml_line (node), ==, line);
  node = node->next->next;
  line += 100001;
  g_assert_cmpuint (vv_xml_line (node), ==, line);
  line += 100001;
  for (guint i = 0; i < 100000; i++, line++) {
    node = node->next->type == XML_ELEMENT_NODE ? node->next : node->next->next;
    g_assert_cmpuint (vv_xml_line (node), ==, line);
    line += i % 3 ? 0 : 1;
  }
  vv_xml_fail (node, &error, "wrong");
  fake_assert_error (error, VV_ERROR_INVALID, "a.xml:333335: wrong");
}

static void
test_malformed (void)
{
  static const struct {
    const char *xml, *message;
  } cases[] = {
      {"", "a.xml:1: *"},
      {"<a>\n <b>\n </a>", "a.xml:3: Opening and ending tag mismatch: b line 2 and a"},
      {"<a>\n<b x='<'/></a>", "a.xml:2: *"},
      {"<a x='1' x='2'/>", "a.xml:1: Attribute x redefined"},
      {"<a>&b;</a>", "a.xml:1: Entity 'b' not defined"},
      {"<a/>\n<b/>", "a.xml:2: Extra content at the end of the document"},
      {"<!-- -->\n<!DOCTYPE a><a/>", "a.xml:2: a document type is not allowed"},
      {"<?xml version='1.0' encoding='UTF-16'?>\n<a>\xff\xfe</a>", "a.xml:2: *"},
      {"<\0a\0/\0>\0", "a.xml:1: *"},
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
  fake_assert_error (error, VV_ERROR_INVALID, "a.xml is larger than *");
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
      {"<three/>", "a.xml:1: found <three> instead of <tree>"},
      {"<tree xmlns='u'/>", "a.xml:1: <tree> must be in no namespace"},
      {"<tree z=''/>", "a.xml:1: <tree> has no attribute 'z'; it can have none"},
      {"<tree>\n <leaf z='1'/></tree>", "a.xml:2: <leaf> has no attribute 'z'; it can have x, y"},
      {"<tree xmlns:p='u'>\n <leaf p:x='1'/></tree>",
       "a.xml:2: <leaf> has no attribute 'p:x'; it can have x, y"},
      {"<tree><leaf x='2&#10;'/></tree>", "a.xml:1: <leaf x='2\\n'>: x must be 1"},
      {"<tree><leaf x='1' y=''/></tree>", "a.xml:1: <leaf y=''>: y must be 1, too"},
      {"<tree><branch/></tree>",
       "a.xml:1: <branch> is not allowed in <tree>; it can have <leaf>, <single>, <needy>"},
      {"<tree><leaf><leaf/></leaf></tree>",
       "a.xml:1: <leaf> is not allowed in <leaf>; it can have no elements"},
      {"<tree xmlns:p='u'><p:leaf/></tree>", "a.xml:1: <leaf> is not allowed in <tree>, in this "
                                             "namespace; it can have <leaf>, <single>, <needy>"},
      {"<tree><single/><leaf/><single/></tree>", "a.xml:1: <single> is allowed only once"},
      {"<tree><needy x='1'/> <needy y='1'/></tree>", "a.xml:1: <needy> needs the attribute x"},
      {"<tree>\n<leaf>x</leaf></tree>", "a.xml:2: text is not allowed in <leaf>"},
      {"<tree><![CDATA[x]]></tree>", "a.xml:1: text is not allowed in <tree>"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvXml) xml = parse (cases[i].xml, NULL);
    g_test_message ("%s", cases[i].xml);
    gboolean good = vv_xml_check (vv_xml_root (xml), &tree, NULL, &error);
    g_assert_true (good == !cases[i].message);
    if (!good)
      fake_assert_error (error, VV_ERROR_INVALID, cases[i].message);
  }
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/xml/lines", test_lines);
  g_test_add_func ("/xml/many-lines", test_many_lines);
  g_test_add_func ("/xml/malformed-is-refused", test_malformed);
  g_test_add_func ("/xml/length-is-bounded", test_too_long);
  g_test_add_func ("/xml/looking", test_looking);
  g_test_add_func ("/xml/tables", test_tables);
  return g_test_run ();
}
