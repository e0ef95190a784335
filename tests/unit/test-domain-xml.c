/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of domain-xml: the devices of a domain, from untrusted XML (rule R12).
 */
#include "domain-xml.h"

#include <string.h>

#include "fake-kernel.h"

#define DOMAIN(devices)                                                                                      \
  "<domain type='kvm'><name>vm1</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>"                     \
  "<devices>" devices "</devices></domain>"
#define ADDRESS "<source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source>"

static VvDomain *
parse (const char *xml, GError **error)
{
  return vv_domain_parse (xml, strlen (xml), error);
}

/* Returns: "ADDRESS managed model" for each device */
static char *
told (const VvDomain *domain)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    g_string_append_printf (text, "%s%s%s%s%s", i ? ", " : "", h->address, h->managed ? " managed" : "",
                            h->requested.model ? " " : "", h->requested.model ? h->requested.model : "");
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
test_devices (void)
{
  static const struct {
    const char *says, *xml, *devices;
  } cases[] = {
      {"none", DOMAIN (""), ""},
      {"no <devices>", "<domain><name>x</name></domain>", ""},
      {"a hostdev", DOMAIN ("<hostdev mode='subsystem' type='pci' managed='yes'>" ADDRESS "</hostdev>"),
       "0000:3b:00.1 managed"},
      {"managed='no'", DOMAIN ("<hostdev mode='subsystem' type='pci' managed='no'>" ADDRESS "</hostdev>"),
       "0000:3b:00.1"},
      {"managed not said", DOMAIN ("<hostdev mode='subsystem' type='pci'>" ADDRESS "</hostdev>"),
       "0000:3b:00.1"},
      {"mode not said", DOMAIN ("<hostdev type='pci'>" ADDRESS "</hostdev>"), "0000:3b:00.1"},
      {"an interface",
       DOMAIN ("<interface type='hostdev' managed='yes'><source><address type='pci' domain='0' bus='59' "
               "slot='0' function='2'/></source></interface>"),
       "0000:3b:00.2 managed"},
      {"an interface of another type",
       DOMAIN ("<interface type='network'><source network='default'/></interface>"), ""},
      {"driver vfio", DOMAIN ("<hostdev type='pci'><driver name='vfio'/>" ADDRESS "</hostdev>"),
       "0000:3b:00.1"},
      {"driver with a model",
       DOMAIN ("<hostdev type='pci'><driver name='vfio' model='mlx5_vfio_pci'/>" ADDRESS "</hostdev>"),
       "0000:3b:00.1 mlx5_vfio_pci"},
      {"only a model", DOMAIN ("<hostdev type='pci'><driver model='vfio-pci'/>" ADDRESS "</hostdev>"),
       "0000:3b:00.1 vfio-pci"},
      {"driver xen", DOMAIN ("<hostdev type='pci'><driver name='xen'/>" ADDRESS "</hostdev>"), ""},
      {"a mediated device",
       DOMAIN ("<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address "
               "uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>"),
       ""},
      {"a USB device",
       DOMAIN (
           "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='3'/></source></hostdev>"),
       ""},
      {"a capability", DOMAIN ("<hostdev mode='capabilities' type='pci'>" ADDRESS "</hostdev>"), ""},
      {"the guest's address is not the host's",
       DOMAIN ("<hostdev type='pci'><address type='pci' domain='0' bus='9' slot='9' function='0'/>" ADDRESS
               "</hostdev>"),
       "0000:3b:00.1"},
      {"two, in order",
       DOMAIN ("<hostdev type='pci'>" ADDRESS "</hostdev><disk/><hostdev type='pci' managed='yes'><source>"
               "<address bus='0xff' slot='0x1f' function='0x7'/></source></hostdev>"),
       "0000:3b:00.1, 0000:ff:1f.7 managed"},
      {"not in <devices>", "<domain><metadata><hostdev type='pci'>" ADDRESS "</hostdev></metadata></domain>",
       ""},
      {"in a comment", DOMAIN ("<!-- <hostdev type='pci'>" ADDRESS "</hostdev> -->"), ""},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].says);
    g_autoptr (VvDomain) domain = parse (cases[i].xml, &error);
    g_assert_no_error (error);
    g_autofree char *devices = told (domain);
    g_assert_cmpstr (devices, ==, cases[i].devices);
  }
}

static void
test_iommufd (void)
{
#define WITH(domain, driver)                                                                                 \
  "<domain>" domain "<devices><hostdev type='pci'>" driver ADDRESS "</hostdev></devices></domain>"
  static const struct {
    const char *says, *xml;
    gboolean iommufd;
  } cases[] = {
      {"nothing is said", WITH ("", ""), FALSE},
      {"the device", WITH ("", "<driver name='vfio' iommufd='yes'/>"), TRUE},
      {"the device, without a name", WITH ("", "<driver iommufd='yes'/>"), TRUE},
      {"the device says no", WITH ("", "<driver iommufd='no'/>"), FALSE},
      {"the domain", WITH ("<iommufd enabled='yes'/>", ""), TRUE},
      {"the domain, with a group of descriptors", WITH ("<iommufd enabled='yes' fdgroup='iommu'/>", ""),
       TRUE},
      {"the domain, and the device agrees", WITH ("<iommufd enabled='yes'/>", "<driver name='vfio'/>"), TRUE},
      {"the domain, and the device does not",
       WITH ("<iommufd enabled='yes'/>", "<driver name='vfio' iommufd='no'/>"), FALSE},
      {"the domain says no", WITH ("<iommufd enabled='no'/>", ""), FALSE},
      {"the domain says no, the device yes", WITH ("<iommufd enabled='no'/>", "<driver iommufd='yes'/>"),
       TRUE},
      {"an interface",
       DOMAIN ("<interface type='hostdev'><driver name='vfio' iommufd='yes'/>" ADDRESS "</interface>"), TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].says);
    g_autoptr (VvDomain) domain = parse (cases[i].xml, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (domain->hostdevs->len, ==, 1);
    g_assert_cmpint (((VvHostdev *)domain->hostdevs->pdata[0])->requested.use.iommufd, ==,
                     cases[i].iommufd ? VV_ANSWER_YES : VV_ANSWER_NO);
  }
}

/* Counts all devices that QEMU opens by VFIO, even those that the parser leaves out. */
static void
test_vfio_devices (void)
{
#define MDEV                                                                                                 \
  "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address "                                 \
  "uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>"
  static const struct {
    const char *xml;
    guint devices, hostdevs;
  } cases[] = {
      {DOMAIN (""), 0, 0},
      {DOMAIN ("<hostdev type='pci'>" ADDRESS "</hostdev>"), 1, 1},
      {DOMAIN ("<hostdev type='pci'>" ADDRESS "</hostdev>" MDEV), 2, 1},
      {DOMAIN ("<hostdev type='pci'>" ADDRESS "</hostdev><interface type='hostdev'>" ADDRESS "</interface>"),
       2, 2},
      {DOMAIN ("<hostdev type='pci'><source/></hostdev>"), 1, 0},
      {DOMAIN ("<hostdev type='usb'>" ADDRESS "</hostdev>"), 0, 0},
      {DOMAIN ("<hostdev type='pci'><driver name='xen'/>" ADDRESS "</hostdev>"), 0, 0},
      {DOMAIN ("<interface type='network'><source network='default'/></interface>"), 0, 0},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (VvDomain) domain = parse (cases[i].xml, NULL);
    g_test_message ("%s", cases[i].xml);
    g_assert_cmpuint (domain->vfio_devices, ==, cases[i].devices);
    g_assert_cmpuint (domain->hostdevs->len, ==, cases[i].hostdevs);
  }
}

/* libvirt accepts decimal, hexadecimal and octal numbers. A device without a valid address is left out. */
static void
test_addresses (void)
{
  static const struct {
    const char *attributes, *address;
  } cases[] = {
      {"domain='0x0000' bus='0x3b' slot='0x00' function='0x1'", "0000:3b:00.1"},
      {"domain='0' bus='59' slot='0' function='1'", "0000:3b:00.1"},
      {"bus='0x3B' slot='0x1F' function='07'", "0000:3b:1f.7"},
      {"bus='073' slot='0' function='1'", "0000:3b:00.1"},
      {"domain='0x10000' bus='1' slot='0' function='0'", "10000:01:00.0"},
      {"domain='0xffffffff' bus='0' slot='0' function='0'", "ffffffff:00:00.0"},
      {"", ""},
      {"slot='0' function='0'", ""},
      {"bus='1' function='0'", ""},
      {"bus='1' slot='0'", ""},
      {"bus='256' slot='0' function='0'", ""},
      {"bus='0' slot='32' function='0'", ""},
      {"bus='0' slot='0' function='8'", ""},
      {"domain='0x100000000' bus='0' slot='0' function='0'", ""},
      {"domain='99999999999999999999999' bus='0' slot='0' function='0'", ""},
      {"domain='' bus='0' slot='0' function='0'", ""},
      {"bus='-1' slot='0' function='0'", ""},
      {"bus='+1' slot='0' function='0'", ""},
      {"bus=' 1' slot='0' function='0'", ""},
      {"bus='1x' slot='0' function='0'", ""},
      {"bus='0x' slot='0' function='0'", ""},
      {"bus='3b' slot='0' function='0'", ""},
      {"bus='../..' slot='0' function='0'", ""},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *xml = g_strdup_printf (
        DOMAIN ("<hostdev type='pci'><source><address %s/></source></hostdev>"), cases[i].attributes);
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].attributes);
    g_autoptr (VvDomain) domain = parse (xml, &error);
    g_assert_no_error (error);
    g_autofree char *devices = told (domain);
    g_assert_cmpstr (devices, ==, cases[i].address);
  }
}

static void
test_identity (void)
{
  g_autoptr (VvDomain) domain = parse (DOMAIN (""), NULL);
  g_autoptr (VvDomain) nameless = parse ("<domain/>", NULL);
  g_autoptr (VvDomain) odd = parse ("<domain><name>a &lt;b&gt; &#228;<!-- c --></name></domain>", NULL);

  g_assert_cmpstr (domain->name, ==, "vm1");
  g_assert_cmpstr (domain->uuid, ==, "6695eb01-f6a4-8304-79aa-97f2502e193f");
  g_assert_cmpstr (nameless->name, ==, "");
  g_assert_cmpstr (nameless->uuid, ==, "");
  g_assert_cmpstr (odd->name, ==, "a <b> \xc3\xa4");
}

static void
test_status_document (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvDomain) domain = parse ("<?xml version='1.0'?><!-- WARNING -->" DOMAIN (""), &error);

  g_assert_no_error (error);
  g_assert_cmpstr (domain->name, ==, "vm1");
}

static void
test_malformed (void)
{
  static const struct {
    const char *says, *xml, *message;
  } cases[] = {
      {"nothing", "", "domain XML:?:*"},
      {"blanks", " \n\n", "domain XML:?:*"},
      {"no XML", "hello hostdev", "domain XML:1: *"},
      {"truncated", "<domain>\n<devices>\n<hostdev type='pci'><sour", "domain XML:3: *"},
      {"another root", "<network/>", "domain XML:1: the root element is <network>, not <domain>"},
      {"the wrong end", "<domain>\n</doman>", "domain XML:2: *"},
      {"an unknown entity", "<domain>&hostdev;</domain>", "domain XML:1: *"},
      {"two roots", "<domain/><domain/>", "domain XML:1: *"},
      {"bad UTF-8", "<domain><name>\xff\xfe</name></domain>", "domain XML:1: *"},
      {"a document type", "<!DOCTYPE domain><domain/>", "domain XML:1: a document type is not allowed"},
      {"an external entity",
       "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><domain><name>&x;</name></domain>",
       "domain XML:1: a document type is not allowed"},
      {"an external document type", "<!DOCTYPE d SYSTEM 'http://127.0.0.1/d.dtd'><domain/>",
       "domain XML:1: a document type is not allowed"},
      {"an entity bomb",
       "<!DOCTYPE d [<!ENTITY a 'hahahahaha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
       "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
       "<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'>]>"
       "<domain><name>&f;&f;&f;&f;</name></domain>",
       "domain XML:1: a document type is not allowed"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].says);
    g_assert_null (parse (cases[i].xml, &error));
    fake_assert_error (error, VV_ERROR_INVALID, cases[i].message);
    g_assert_null (strchr (error->message, '\n')); /* one line in the log */
  }
}

static void
test_every_prefix (void)
{
  const char *whole = DOMAIN ("<hostdev mode='subsystem' type='pci' managed='yes'>" ADDRESS "</hostdev>");

  for (gsize length = 0; length < strlen (whole); length++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *part = g_strndup (whole, length); /* own block: sanitizers see overreads */
    g_assert_null (vv_domain_parse (part, length, &error));
    g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
  }
}

static void
test_nul_bytes (void)
{
  static const char xml[] = "<domain>\0<devices/></domain>";
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_domain_parse (xml, sizeof xml - 1, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
}

static void
test_too_long (void)
{
  gsize length = 64 * 1024 * 1024;
  g_autofree char *xml = g_strnfill (length, ' ');
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) at_limit = NULL;

  g_assert_null (vv_domain_parse (xml, length, &error));
  fake_assert_error (error, VV_ERROR_INVALID, "domain XML is larger than 8 MiB");
  memcpy (xml + VV_DOMAIN_XML_LIMIT - strlen ("<domain/>"), "<domain/>", strlen ("<domain/>"));
  g_autoptr (VvDomain) longest = vv_domain_parse (xml, VV_DOMAIN_XML_LIMIT, &at_limit);
  g_assert_no_error (at_limit);
  g_assert_nonnull (longest);
}

static void
test_deep_nesting (void)
{
  g_autoptr (GString) xml = g_string_new ("<domain><devices>");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 100000; i++)
    g_string_append (xml, "<hostdev type='pci'>");
  g_assert_null (vv_domain_parse (xml->str, xml->len, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
}

static void
test_many_devices (void)
{
  g_autoptr (GString) xml = g_string_new ("<domain><devices>");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 5000; i++)
    g_string_append (xml, "<hostdev type='pci'>" ADDRESS "</hostdev>");
  g_string_append (xml, "</devices></domain>");
  g_autoptr (VvDomain) domain = vv_domain_parse (xml->str, xml->len, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (domain->hostdevs->len, ==, 4096);
}

/* --- requests --- */

#define NAMESPACE "urn:vfio-variant:domain:1"
#define REQUESTS(prefix, requests)                                                                           \
  "<domain>\n<metadata>\n<" prefix "hostdevs xmlns:vfio='" NAMESPACE "'>" requests "</" prefix               \
  "hostdevs>\n</metadata>\n<devices>"                                                                        \
  "<hostdev type='pci' managed='yes'>" ADDRESS "<alias name='ua-nic0'/></hostdev>"                           \
  "<interface type='hostdev'><source><address type='pci' bus='0x3b' slot='0' function='2'/></source>"        \
  "<alias name='net0'/></interface>"                                                                         \
  "<hostdev type='pci'><source><address bus='4' slot='0' function='0'/></source></hostdev>"                  \
  "</devices></domain>"
#define REQUEST(attributes) REQUESTS ("vfio:", "\n  <vfio:hostdev " attributes "/>")

/* Returns: "ADDRESS drivers fallback migratable" for each device with a request */
static char *
requested (const VvDomain *domain)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    if (vv_options_are_empty (&h->requested))
      continue;
    g_autofree char *drivers = h->requested.drivers ? g_strjoinv ("+", h->requested.drivers) : g_strdup ("-");
    g_string_append_printf (
        text, "%s%s %s %s %s", text->len ? ", " : "", h->address, drivers,
        vv_option_value (VV_OPTION_FALLBACK, h->requested.values[VV_OPTION_FALLBACK]),
        vv_option_value (VV_OPTION_MIGRATABLE, h->requested.values[VV_OPTION_MIGRATABLE]));
    g_assert_cmpint (h->requested.values[VV_OPTION_UNMANAGED], ==, 0);
    g_assert_cmpint (h->requested.values[VV_OPTION_HOST_USE], ==, 0);
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
assert_requests (const char *says, const char *xml, const char *requests, const char *problems)
{
  g_autoptr (GError) error = NULL;

  g_test_message ("%s", says);
  g_autoptr (VvDomain) domain = parse (xml, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (domain->hostdevs->len, ==, 3); /* requests do not affect the devices */
  g_autofree char *found = requested (domain);
  g_assert_cmpstr (found, ==, requests);
  g_ptr_array_add (domain->problems, NULL);
  g_autofree char *said = g_strjoinv ("\n", (char **)domain->problems->pdata);
  g_assert_cmpstr (said, ==, problems);
}

static void
test_requests (void)
{
  static const struct {
    const char *says, *xml, *requests;
  } cases[] = {
      {"by alias, all of it",
       REQUEST ("alias='ua-nic0' driver='mlx5_vfio_pci generic' fallback='none' migratable='require'"),
       "0000:3b:00.1 mlx5_vfio_pci+generic none require"},
      {"in another order of attributes",
       REQUEST ("migratable=\"prefer\"   fallback=\"next\" driver=\" a\n b \" alias=\"ua-nic0\""),
       "0000:3b:00.1 a+b next prefer"},
      {"an interface, by an alias of libvirt's", REQUEST ("alias='net0' fallback='generic'"),
       "0000:3b:00.2 - generic "},
      {"by address", REQUEST ("address='0000:3b:00.1' driver='auto'"), "0000:3b:00.1 auto  "},
      {"by a short address", REQUEST ("address='3B:00.1' driver='generic'"), "0000:3b:00.1 generic  "},
      {"by libvirt's name of it", REQUEST ("address='pci_0000_04_00_0' driver='generic'"),
       "0000:04:00.0 generic  "},
      {"two",
       REQUESTS ("vfio:",
                 "<vfio:hostdev alias='net0' driver='x'/><!-- and --><vfio:hostdev address='04:00.0' "
                 "driver='y'/>"),
       "0000:3b:00.2 x  , 0000:04:00.0 y  "},
      {"none", REQUESTS ("vfio:", ""), ""},
      {"another prefix",
       "<domain><metadata><a:hostdevs xmlns:a='" NAMESPACE "'><a:hostdev alias='i' driver='x'/></a:hostdevs>"
       "</metadata><devices><hostdev type='pci'>" ADDRESS "<alias name='i'/></hostdev>"
       "<hostdev type='pci'>" ADDRESS "</hostdev><hostdev type='pci'>" ADDRESS
       "</hostdev></devices></domain>",
       "0000:3b:00.1 x  "},
      {"no prefix",
       "<domain><metadata><hostdevs xmlns='" NAMESPACE "'><hostdev alias='i' driver='x'/></hostdevs>"
       "</metadata><devices><hostdev type='pci'>" ADDRESS "<alias name='i'/></hostdev>"
       "<hostdev type='pci'>" ADDRESS "</hostdev><hostdev type='pci'>" ADDRESS
       "</hostdev></devices></domain>",
       "0000:3b:00.1 x  "},
      {"the namespace is declared above",
       "<domain xmlns:v='" NAMESPACE "'><metadata><v:hostdevs><v:hostdev alias='i' driver='x'/></v:hostdevs>"
       "</metadata><devices><hostdev type='pci'>" ADDRESS "<alias name='i'/></hostdev>"
       "<hostdev type='pci'>" ADDRESS "</hostdev><hostdev type='pci'>" ADDRESS
       "</hostdev></devices></domain>",
       "0000:3b:00.1 x  "},
      {"somebody else's metadata", REQUESTS ("", "<hostdev alias='ua-nic0' driver='x'/>"), ""},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_requests (cases[i].says, cases[i].xml, cases[i].requests, "");
}

/* An invalid request voids all requests of the domain, but does not affect its devices. */
static void
test_bad_requests (void)
{
#define GOOD "\n  <vfio:hostdev alias='net0' driver='x'/>"
  static const struct {
    const char *request, *problem;
  } cases[] = {
      {"<vfio:hostdev alias='ua-nic0'/>",
       "domain XML:5: <hostdev> requests nothing: it needs one of driver, fallback, migratable"},
      {"<vfio:hostdev driver='x'/>", "domain XML:5: <hostdev> needs either an alias or an address"},
      {"<vfio:hostdev alias='ua-nic0' address='3b:00.1' driver='x'/>",
       "domain XML:5: <hostdev> needs either an alias or an address"},
      {"<vfio:hostdev alias='ua-nic0' drivers='x'/>",
       "domain XML:5: <hostdev> has no attribute 'drivers'; it can have alias, address, driver, fallback, "
       "migratable"},
      {"<vfio:hostdev alias='ua-nic0' driver='x' unmanaged='manage'/>",
       "domain XML:5: <hostdev> has no attribute 'unmanaged'; it can have alias, address, driver, "
       "fallback, migratable"},
      {"<vfio:hostdev alias='ua-nic0' vfio:driver='x'/>",
       "domain XML:5: <hostdev> has no attribute 'vfio:driver'; it can have alias, address, driver, "
       "fallback, migratable"},
      {"   <vfio:hostdev alias='ua-nic0' fallback='no'/>",
       "domain XML:5: <hostdev fallback='no'>: fallback must be next, generic or none"},
      {"<vfio:hostdev alias='ua-nic0' migratable='yes'/>",
       "domain XML:5: <hostdev migratable='yes'>: migratable must be ignore, prefer or require"},
      {"<vfio:hostdev alias='ua-nic0' driver='../x'/>", "domain XML:5: <hostdev driver='../x'>: driver must "
                                                        "be 'auto', or up to 32 names of drivers or modules, "
                                                        "'generic' among them"},
      {"<vfio:hostdev alias='ua nic0' driver='x'/>",
       "domain XML:5: <hostdev alias='ua nic0'>: alias must be the name in a device's <alias>"},
      {"<vfio:hostdev address='3b:00.9' driver='x'/>",
       "domain XML:5: <hostdev address='3b:00.9'>: address "
       "must be a PCI address of the host, such as 0000:3b:00.1"},
      {"<vfio:hostdev address='3b:*' driver='x'/>", "domain XML:5: <hostdev address='3b:*'>: address must be "
                                                    "a PCI address of the host, such as 0000:3b:00.1"},
      {"<vfio:device/>", "domain XML:5: <device> is not allowed in <hostdevs>; it can have <hostdev>"},
      {"<hostdev alias='ua-nic0' driver='x'/>",
       "domain XML:5: <hostdev> is not allowed in <hostdevs>, in this namespace; it can have <hostdev>"},
      {"text", "domain XML:3: text is not allowed in <hostdevs>"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *xml = g_strdup_printf (REQUESTS ("vfio:", GOOD "\n%s"), cases[i].request);
    assert_requests (cases[i].request, xml, "", cases[i].problem);
  }
  assert_requests ("a request outside", REQUESTS ("vfio:other", ""), "",
                   "domain XML:3: found <otherhostdevs> instead of <hostdevs>");
#undef GOOD
}

/* A request without a matching device does not affect the other requests. */
static void
test_requests_for_none (void)
{
  assert_requests ("no such alias",
                   REQUESTS ("vfio:",
                             "\n<vfio:hostdev alias='ua-x' driver='a'/>\n <vfio:hostdev alias='net0' "
                             "driver='b'/>"),
                   "0000:3b:00.2 b  ", "domain XML:4: the domain has no PCI hostdev with the alias ua-x");
  assert_requests ("no such address", REQUEST ("address='3b:00.7' driver='a'"), "",
                   "domain XML:4: the domain has no PCI hostdev with the address 0000:3b:00.7");
  assert_requests ("two for one",
                   REQUESTS ("vfio:", "<vfio:hostdev alias='net0' driver='a'/>\n<vfio:hostdev "
                                      "address='3b:00.2' driver='b'/>"),
                   "0000:3b:00.2 a  ",
                   "domain XML:4: second request for 0000:3b:00.2; only the first applies");
}

static void
test_many_problems (void)
{
  g_autoptr (GString) requests = g_string_new (NULL);

  for (guint i = 0; i < 1000; i++)
    g_string_append (requests, "<vfio:hostdev alias='x' driver='y'/>");
  g_autofree char *xml = g_strdup_printf (REQUESTS ("vfio:", "%s"), requests->str);
  g_autoptr (VvDomain) domain = parse (xml, NULL);
  g_assert_cmpuint (domain->problems->len, ==, 64);
}

static void
test_emulator (void)
{
  g_autoptr (VvDomain) with = parse (DOMAIN ("<emulator>/usr/bin/qemu-system-x86_64</emulator>"), NULL);
  g_autoptr (VvDomain) without = parse (DOMAIN (""), NULL);

  g_assert_cmpstr (with->emulator, ==, "/usr/bin/qemu-system-x86_64");
  g_assert_null (without->emulator);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-xml/devices", test_devices);
  g_test_add_func ("/domain-xml/iommufd", test_iommufd);
  g_test_add_func ("/domain-xml/vfio-devices", test_vfio_devices);
  g_test_add_func ("/domain-xml/addresses", test_addresses);
  g_test_add_func ("/domain-xml/identity", test_identity);
  g_test_add_func ("/domain-xml/declaration-and-comment-may-come-first", test_status_document);
  g_test_add_func ("/domain-xml/malformed-is-refused", test_malformed);
  g_test_add_func ("/domain-xml/every-truncation-is-refused", test_every_prefix);
  g_test_add_func ("/domain-xml/NUL-bytes-are-refused", test_nul_bytes);
  g_test_add_func ("/domain-xml/length-is-bounded", test_too_long);
  g_test_add_func ("/domain-xml/depth-is-bounded", test_deep_nesting);
  g_test_add_func ("/domain-xml/number-of-devices-is-bounded", test_many_devices);
  g_test_add_func ("/domain-xml/requests", test_requests);
  g_test_add_func ("/domain-xml/a-request-that-is-not-valid-voids-all", test_bad_requests);
  g_test_add_func ("/domain-xml/a-request-for-no-device-is-a-problem", test_requests_for_none);
  g_test_add_func ("/domain-xml/number-of-problems-is-bounded", test_many_problems);
  g_test_add_func ("/domain-xml/emulator", test_emulator);
  return g_test_run ();
}
