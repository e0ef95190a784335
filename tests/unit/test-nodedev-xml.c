/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of nodedev-xml: the document that hook scripts read, word by word, and against our schema and
 * libvirt's.
 */
#include "nodedev-xml.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>

#include "fixture.h"

#define PF "0000:3b:00.0"
#define LIBVIRT_SCHEMA "/usr/share/libvirt/schemas/nodedev.rng"

static void
link_device (const Fixture *f, const char *address, const char *file, const char *target)
{
  g_autofree char *path = fake_device_path (address, file);
  g_autofree char *relative = g_strconcat ("../", target, NULL);

  fake_link (f->k, path, relative);
}

static char *
xml_of (const Fixture *f, const char *address)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, address, &error);

  g_assert_no_error (error);
  return vv_nodedev_xml (f->host, device);
}

/* --- schemas --- */

static void
say (void *data, const char *format, ...)
{
  va_list args;

  (void)data;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_test_message ("%s", g_strchomp (text));
}

static gboolean
is_valid (const char *xml, const char *schema)
{
  xmlRelaxNGParserCtxtPtr parser = xmlRelaxNGNewParserCtxt (schema);
  xmlRelaxNGPtr grammar = xmlRelaxNGParse (parser);
  g_assert_nonnull (grammar);
  xmlRelaxNGValidCtxtPtr context = xmlRelaxNGNewValidCtxt (grammar);
  xmlDocPtr doc = xmlReadMemory (xml, (int)strlen (xml), "device.xml", NULL, XML_PARSE_NONET);
  g_assert_nonnull (doc);

  xmlRelaxNGSetValidErrors (context, say, say, NULL);
  int result = xmlRelaxNGValidateDoc (context, doc);
  xmlFreeDoc (doc);
  xmlRelaxNGFreeValidCtxt (context);
  xmlRelaxNGFree (grammar);
  xmlRelaxNGFreeParserCtxt (parser);
  return result == 0;
}

static void
assert_valid (const char *xml)
{
  g_assert_nonnull (xml);
  g_assert_true (is_valid (xml, SCHEMAS "/nodedev-hook.rng"));
  if (g_file_test (LIBVIRT_SCHEMA, G_FILE_TEST_EXISTS))
    g_assert_true (is_valid (xml, LIBVIRT_SCHEMA));
}

/* --- document --- */

static void
test_virtual_function (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_add_device (f->k, PF, NIC_MODALIAS, "40", "mlx5_core");
  link_device (f, NIC, "physfn", PF);
  fake_write_device (f->k, NIC, "numa_node", "1\n");
  g_autofree char *xml = xml_of (f, NIC);
  g_assert_cmpstr (xml, ==,
                   "<device>\n"
                   "  <name>pci_0000_3b_00_1</name>\n"
                   "  <path>/sys/devices/pci0000:00/0000:00:01.0/0000:3b:00.1</path>\n"
                   "  <parent>pci_0000_00_01_0</parent>\n"
                   "  <driver>\n"
                   "    <name>mlx5_core</name>\n"
                   "  </driver>\n"
                   "  <capability type='pci'>\n"
                   "    <class>0x020000</class>\n"
                   "    <domain>0</domain>\n"
                   "    <bus>59</bus>\n"
                   "    <slot>0</slot>\n"
                   "    <function>1</function>\n"
                   "    <product id='0x101e'/>\n"
                   "    <vendor id='0x15b3'/>\n"
                   "    <capability type='phys_function'>\n"
                   "      <address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/>\n"
                   "    </capability>\n"
                   "    <iommuGroup number='41'>\n"
                   "      <address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/>\n"
                   "    </iommuGroup>\n"
                   "    <numa node='1'/>\n"
                   "  </capability>\n"
                   "</device>\n");
  assert_valid (xml);
}

static void
test_physical_function (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_add_device (f->k, PF, NIC_MODALIAS, "40", NULL);
  fake_add_device (f->k, "0000:3b:10.2", NIC_MODALIAS, "40", NULL);
  fake_write_device (f->k, PF, "sriov_totalvfs", "8\n");
  link_device (f, PF, "virtfn0", NIC);
  link_device (f, PF, "virtfn1", "0000:3b:10.2");
  g_autofree char *xml = xml_of (f, PF);
  g_assert_nonnull (strstr (xml, "    <capability type='virt_functions' maxCount='8'>\n"
                                 "      <address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/>\n"
                                 "      <address domain='0x0000' bus='0x3b' slot='0x10' function='0x2'/>\n"
                                 "    </capability>\n"
                                 "    <iommuGroup number='40'>\n"
                                 "      <address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/>\n"
                                 "      <address domain='0x0000' bus='0x3b' slot='0x10' function='0x2'/>\n"
                                 "    </iommuGroup>\n"));
  g_assert_null (strstr (xml, "<driver>"));
  assert_valid (xml);
}

static void
test_no_virtual_functions_yet (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write_device (f->k, NIC, "sriov_totalvfs", "127\n");
  g_autofree char *xml = xml_of (f, NIC);
  g_assert_nonnull (strstr (xml, "<capability type='virt_functions' maxCount='127'/>\n"));
  assert_valid (xml);
  fake_write_device (f->k, NIC, "sriov_totalvfs", "0\n");
  g_autofree char *without = xml_of (f, NIC);
  g_assert_null (strstr (without, "virt_functions"));
  assert_valid (without);
}

static void
test_least (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_add_device (f->k, "10000:e1:1f.7", "pci:v00001234d000011E8sv00000000sd00000000bc00scFFi00", NULL,
                   NULL);
  fake_write_device (f->k, "10000:e1:1f.7", "numa_node", "-1\n");
  g_autofree char *xml = xml_of (f, "10000:e1:1f.7");
  g_assert_cmpstr (xml, ==,
                   "<device>\n"
                   "  <name>pci_10000_e1_1f_7</name>\n"
                   "  <path>/sys/devices/pci0000:00/0000:00:01.0/10000:e1:1f.7</path>\n"
                   "  <parent>pci_0000_00_01_0</parent>\n"
                   "  <capability type='pci'>\n"
                   "    <class>0x00ff00</class>\n"
                   "    <domain>65536</domain>\n"
                   "    <bus>225</bus>\n"
                   "    <slot>31</slot>\n"
                   "    <function>7</function>\n"
                   "    <product id='0x11e8'/>\n"
                   "    <vendor id='0x1234'/>\n"
                   "  </capability>\n"
                   "</device>\n");
  assert_valid (xml);
}

/* The closest ancestor that libvirt knows: root buses and the domain behind Intel VMD have no node device. */
static void
test_parents (void)
{
  static const struct {
    const char *folder, *parent;
  } cases[] = {
      {"pci0000:3a", "<parent>computer</parent>"},
      {"pci0000:3a/0000:3a:00.0", "<parent>pci_0000_3a_00_0</parent>"},
      {"pci0000:00/0000:00:0e.0/pci10000:e0", "<parent>pci_0000_00_0e_0</parent>"},
  };
  g_autoptr (Fixture) f = host_fixture_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *modalias =
        g_build_filename ("sys/devices", cases[i].folder, "0000:77:00.0/modalias", NULL);
    g_autofree char *target = g_build_filename ("../../../devices", cases[i].folder, "0000:77:00.0", NULL);
    fake_write (f->k, modalias, NIC_MODALIAS);
    fake_link (f->k, "sys/bus/pci/devices/0000:77:00.0", target);
    g_autofree char *xml = xml_of (f, "0000:77:00.0");
    g_assert_nonnull (strstr (xml, cases[i].parent));
    assert_valid (xml);
  }
}

/* --- hostile data --- */

static void
test_names_are_escaped (void)
{
  static const struct {
    const char *driver, *text;
  } cases[] = {
      {"<b>&'\"", "<name>&lt;b&gt;&amp;'"},
      {"a\x01\x1b[31mb", "<name>a\xef\xbf\xbd\xef\xbf\xbd[31mb</name>"},
      {"a\xff\xfe", "<name>a\xef\xbf\xbd\xef\xbf\xbd</name>"},
      {"a\xef\xbf\xbf", "<name>a\xef\xbf\xbd</name>"}, /* U+FFFF */
      {"]]>", "<name>]]&gt;</name>"},
  };
  g_autoptr (Fixture) f = host_fixture_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, NIC, NULL);
    g_free (device->now.driver);
    device->now.driver = g_strdup (cases[i].driver);
    g_autofree char *xml = vv_nodedev_xml (f->host, device);
    g_assert_nonnull (strstr (xml, cases[i].text));
    assert_valid (xml);
  }
}

static void
test_nonsense_is_left_out (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_link (f->k, "sys/kernel/iommu_groups/" NIC_GROUP "/devices/no-address", "../x");
  link_device (f, NIC, "virtfn0", "nonsense");
  fake_write_device (f->k, NIC, "sriov_totalvfs", "99999999999999999999999\n");
  fake_write_device (f->k, NIC, "numa_node", "0 or so\n");
  g_autofree char *xml = xml_of (f, NIC);
  g_assert_null (strstr (xml, "no-address"));
  g_assert_null (strstr (xml, "nonsense"));
  g_assert_null (strstr (xml, "<numa"));
  g_assert_nonnull (strstr (xml, "maxCount='65535'"));
  assert_valid (xml);
  link_device (f, NIC, "physfn", "nonsense");
  fake_remove (f->k, "sys/kernel/iommu_groups/" NIC_GROUP "/devices/" NIC);
  g_autofree char *less = xml_of (f, NIC);
  g_assert_null (strstr (less, "phys_function"));
  g_assert_null (strstr (less, "<iommuGroup"));
  assert_valid (less);
}

static void
test_bounded (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write_device (f->k, NIC, "sriov_totalvfs", "65535\n");
  for (guint i = 0; i < VV_NODEDEV_ADDRESS_LIMIT + 10; i++) {
    g_autofree char *link = g_strdup_printf ("virtfn%u", i);
    link_device (f, NIC, link, PF);
  }
  g_autofree char *xml = xml_of (f, NIC);
  g_auto (GStrv) addresses = g_strsplit (xml, "<address", -1);
  g_assert_cmpuint (g_strv_length (addresses), ==, VV_NODEDEV_ADDRESS_LIMIT + 2); /* includes its own */
  g_assert_cmpuint (strlen (xml), <, 1 << 20);
}

static void
test_gone (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();
  g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, NIC, NULL);

  fake_remove_device (f->k, NIC);
  g_assert_null (vv_nodedev_xml (f->host, device));
  fake_add_device (f->k, NIC, NIC_MODALIAS, NIC_GROUP, NULL); /* another device */
  g_assert_null (vv_nodedev_xml (f->host, device));
}

static void
test_strange_modalias (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write_device (f->k, NIC, "modalias", "usb:v1234\n");
  g_assert_null (xml_of (f, NIC));
}

/* --- schema --- */

static void
test_schema_is_strict (void)
{
  static const struct {
    const char *from, *to;
  } cases[] = {
      {"<parent>pci_0000_00_01_0</parent>", ""},
      {"<parent>pci_0000_00_01_0</parent>", "<parent>net_eth0</parent>"},
      {"<path>/sys/devices/", "<path>/tmp/"},
      {"<name>mlx5_core</name>", "<name></name>"},
      {"<class>0x020000</class>", "<class>2</class>"},
      {"<bus>59</bus>", "<bus>256</bus>"},
      {"<product id='0x101e'/>", "<product id='0x101e'>ConnectX</product>"},
      {"slot='0x00'", "slot='0x20'"},
      {" number='41'", ""},
      {"</capability>", "<more/></capability>"},
  };
  g_autoptr (Fixture) f = host_fixture_new ();
  g_autofree char *xml = xml_of (f, NIC);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (GStrv) parts = g_strsplit (xml, cases[i].from, 2);
    g_assert_cmpuint (g_strv_length (parts), ==, 2);
    g_autofree char *changed = g_strconcat (parts[0], cases[i].to, parts[1], NULL);
    g_test_message ("%s", cases[i].to);
    g_assert_false (is_valid (changed, SCHEMAS "/nodedev-hook.rng"));
  }
}

static void
test_libvirt_schema_is_there (void)
{
  if (!g_file_test (LIBVIRT_SCHEMA, G_FILE_TEST_EXISTS))
    g_test_skip ("no " LIBVIRT_SCHEMA ": the documents were held against our schema only");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/nodedev-xml/virtual-function", test_virtual_function);
  g_test_add_func ("/nodedev-xml/physical-function", test_physical_function);
  g_test_add_func ("/nodedev-xml/no-virtual-functions-yet", test_no_virtual_functions_yet);
  g_test_add_func ("/nodedev-xml/least", test_least);
  g_test_add_func ("/nodedev-xml/parents", test_parents);
  g_test_add_func ("/nodedev-xml/names-are-escaped", test_names_are_escaped);
  g_test_add_func ("/nodedev-xml/nonsense-is-left-out", test_nonsense_is_left_out);
  g_test_add_func ("/nodedev-xml/bounded", test_bounded);
  g_test_add_func ("/nodedev-xml/gone", test_gone);
  g_test_add_func ("/nodedev-xml/strange-modalias", test_strange_modalias);
  g_test_add_func ("/nodedev-xml/schema-is-strict", test_schema_is_strict);
  g_test_add_func ("/nodedev-xml/libvirt-schema-is-there", test_libvirt_schema_is_there);
  return g_test_run ();
}
