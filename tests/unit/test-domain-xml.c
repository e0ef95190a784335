/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-xml: which devices a domain takes, from XML that may be anything (rule R12).
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

/* "ADDRESS managed model", one device after the other */
static char *
told (const VvDomain *domain)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    g_string_append_printf (text, "%s%s%s%s%s", i ? ", " : "", h->address, h->managed ? " managed" : "",
                            h->model ? " " : "", h->model ? h->model : "");
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

/* libvirt takes decimal, hexadecimal and octal; a device without a good address is left out. */
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
      {"nothing", "", "domain XML: line *"},
      {"blanks", " \n\n", "domain XML: line *"},
      {"no XML", "hello hostdev", "domain XML: line 1: *"},
      {"truncated", "<domain>\n<devices>\n<hostdev type='pci'><sour", "domain XML: line 3: *"},
      {"another root", "<network/>", "domain XML: the root element is <network>, not <domain>"},
      {"the wrong end", "<domain>\n</doman>", "domain XML: line 2: *"},
      {"an unknown entity", "<domain>&hostdev;</domain>", "domain XML: line 1: *"},
      {"two roots", "<domain/><domain/>", "domain XML: line 1: *"},
      {"bad UTF-8", "<domain><name>\xff\xfe</name></domain>", "domain XML: line 1: *"},
      {"a document type", "<!DOCTYPE domain><domain/>", "domain XML: a document type is not allowed"},
      {"an external entity",
       "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><domain><name>&x;</name></domain>",
       "domain XML: a document type is not allowed"},
      {"an external document type", "<!DOCTYPE d SYSTEM 'http://127.0.0.1/d.dtd'><domain/>",
       "domain XML: a document type is not allowed"},
      {"an entity bomb",
       "<!DOCTYPE d [<!ENTITY a 'hahahahaha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
       "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
       "<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'>]>"
       "<domain><name>&f;&f;&f;&f;</name></domain>",
       "domain XML: a document type is not allowed"},
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
    g_autofree char *part = g_strndup (whole, length); /* its own block: a read past its end is seen */
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
  fake_assert_error (error, VV_ERROR_INVALID, "domain XML: over 8 MiB");
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

static void
test_cheap_look (void)
{
  const char *with = DOMAIN ("<hostdev/>"), *interface = DOMAIN ("<interface type='hostdev'/>");
  const char *without = DOMAIN ("<disk/>");

  g_assert_true (vv_domain_may_have_hostdevs (with, strlen (with)));
  g_assert_true (vv_domain_may_have_hostdevs (interface, strlen (interface)));
  g_assert_false (vv_domain_may_have_hostdevs (without, strlen (without)));
  g_assert_false (vv_domain_may_have_hostdevs ("", 0));
  g_assert_true (vv_domain_may_have_hostdevs ("\0\0hostdev", 9));
  g_assert_false (vv_domain_may_have_hostdevs ("hostdev", 6));
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-xml/devices", test_devices);
  g_test_add_func ("/domain-xml/addresses", test_addresses);
  g_test_add_func ("/domain-xml/identity", test_identity);
  g_test_add_func ("/domain-xml/declaration-and-comment-may-come-first", test_status_document);
  g_test_add_func ("/domain-xml/malformed-is-refused", test_malformed);
  g_test_add_func ("/domain-xml/every-truncation-is-refused", test_every_prefix);
  g_test_add_func ("/domain-xml/NUL-bytes-are-refused", test_nul_bytes);
  g_test_add_func ("/domain-xml/length-is-bounded", test_too_long);
  g_test_add_func ("/domain-xml/depth-is-bounded", test_deep_nesting);
  g_test_add_func ("/domain-xml/number-of-devices-is-bounded", test_many_devices);
  g_test_add_func ("/domain-xml/the-cheap-look-misses-none", test_cheap_look);
  return g_test_run ();
}
