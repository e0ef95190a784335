/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of pci-device: addresses in all notations, and the sysfs attributes of a device.
 */
#include "pci-device.h"

#include <string.h>

#include "fixture.h"

static void
test_good_addresses (void)
{
  static const struct {
    const char *text, *address;
  } cases[] = {
      {"0000:3b:00.1", "0000:3b:00.1"},
      {"3b:00.1", "0000:3b:00.1"},
      {"pci_0000_3b_00_1", "0000:3b:00.1"},
      {"/sys/bus/pci/devices/0000:3b:00.1", "0000:3b:00.1"},
      {"/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.1/", "0000:3b:00.1"},
      {"./0000:3b:00.1", "0000:3b:00.1"},
      {"0000:3B:1F.7", "0000:3b:1f.7"},
      {"1:2:3.4", "0001:02:03.4"},
      {"10000:e1:00.0", "10000:e1:00.0"}, /* behind Intel VMD */
      {"pci_10000_e1_00_0", "10000:e1:00.0"},
      {"ffffffff:ff:1f.7", "ffffffff:ff:1f.7"},
      {"00010000:e1:00.0", "10000:e1:00.0"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *address = vv_pci_address_parse (cases[i].text, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (address, ==, cases[i].address);
  }
}

static void
test_bad_addresses (void)
{
  static const char *const cases[] = {
      "",
      ".",
      "/",
      "3b",
      "3b:00",
      "3b:00.",
      ":00.1",
      "3b:.1",
      "3b:00:1",
      "0000:3b:00:1",
      "3b.00.1",
      "3b.00:1",
      "0000.3b.00.1",
      "0000:3b.00.1",
      "0000:3b:00.1.2",
      "0000:3b:00.1:",
      ":3b:00.1",
      "0000:0000:3b:00.1",
      "3b:00.8",
      "3b:20.0",
      "100:00.0",
      "3b:000.0",
      "3b:00.10",
      "100000000:3b:00.1",
      "0x3b:00.1",
      "3g:00.1",
      "-1:00.1",
      "+3b:00.1",
      " 3b:00.1",
      "3b:00.1 ",
      "3b:00.1\n",
      "3b: 0.1",
      "pci_3b_00_1",
      "pci_0000_3b_00",
      "pci_0000_3b_00_1_2",
      "pci_0000:3b:00.1",
      "PCI_0000_3b_00_1",
      "0000_3b_00_1",
      "/sys/bus/pci/devices",
      "/sys/bus/pci/devices/0000:3b:00.1/driver",
      "\xff\xff",
      "eth0",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("case %" G_GSIZE_FORMAT, i);
    g_assert_null (vv_pci_address_parse (cases[i], &error));
    fake_assert_error (error, VV_ERROR_INVALID, "'*' is not a PCI address such as *");
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
  }
}

static void
test_long_address (void)
{
  g_autofree char *text = g_strnfill (100000, ':');
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_pci_address_parse (text, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
  g_assert_cmpuint (strlen (error->message), <, 300);
}

static Fixture *
pci_fixture (void)
{
  Fixture *f = host_fixture_new ();

  fake_add_device (f->k, "0000:3b:00.0", NIC_MODALIAS, "40", "mlx5_core");
  fake_add_device (f->k, "0001:3b:00.1", NIC_MODALIAS, "90", NULL);
  return f;
}

static void
test_which_devices_are_meant (void)
{
  static const struct {
    const char *text, *addresses;
  } cases[] = {
      {NIC, NIC},
      {"3b:00.1", NIC},
      {"pci_0000_3b_00_1", NIC},
      {"*", DISK " 0000:3b:00.0 " NIC " 0001:3b:00.1"},
      {"0000:3b:*", "0000:3b:00.0 " NIC},
      {"3b:*", "0000:3b:00.0 " NIC},
      {"3B:00.?", "0000:3b:00.0 " NIC},
      {"*:3b:00.1", NIC " 0001:3b:00.1"},
      {"3b:00.[01]", "0000:3b:00.0 " NIC},
      {"0000:04:*", DISK},
  };

  g_autoptr (Fixture) f = pci_fixture ();
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].text);
    g_autoptr (GPtrArray) addresses = vv_pci_addresses (f->host, cases[i].text, &error);
    g_assert_no_error (error);
    fake_assert_names (addresses, cases[i].addresses);
  }
}

static void
test_no_device_is_meant (void)
{
  static const struct {
    const char *text;
    VvError code;
    const char *message;
  } cases[] = {
      {"0000:ff:00.0", VV_ERROR_NO_DEVICE, "0000:ff:00.0: no such PCI device; 'lspci -D' lists them"},
      {"ff:*", VV_ERROR_NO_DEVICE, "no PCI device matches 'ff:?'; 'lspci -D' lists them"},
      {"[", VV_ERROR_NO_DEVICE, "no PCI device matches '?'; *"},
      {"*\x1b[31m", VV_ERROR_NO_DEVICE, "no PCI device matches '*\\033[31m'; *"},
      {"eth0", VV_ERROR_INVALID, "'eth0' is not a PCI address*"},
  };

  g_autoptr (Fixture) f = pci_fixture ();
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (vv_pci_addresses (f->host, cases[i].text, &error));
    fake_assert_error (error, cases[i].code, cases[i].message);
  }
}

static VvPciDevice *
open_device (const Fixture *f, const char *address)
{
  g_autoptr (GError) error = NULL;
  VvPciDevice *device = vv_pci_device_open (f->host, address, &error);

  g_assert_no_error (error);
  return device;
}

static void
test_attributes (void)
{
  g_autoptr (Fixture) f = pci_fixture ();
  g_autofree char *physfn = fake_device_path (NIC, "physfn");

  fake_link (f->k, physfn, "../0000:3b:00.0");
  g_autoptr (VvPciDevice) d = open_device (f, NIC);
  g_assert_cmpstr (d->address, ==, NIC);
  g_assert_cmpstr (d->modalias, ==, NIC_MODALIAS);
  g_assert_cmpstr (d->now.driver, ==, "mlx5_core");
  g_assert_cmpstr (d->now.module, ==, "mlx5_core");
  g_assert_cmpstr (d->now.override, ==, NULL);
  g_assert_cmpstr (d->iommu_group, ==, NIC_GROUP);
  g_assert_cmpstr (d->vfio_dev, ==, NULL);
  g_assert_cmpstr (d->physfn, ==, "0000:3b:00.0");
}

static void
test_override (void)
{
  static const struct {
    const char *text, *override;
  } cases[] = {{"(null)\n", NULL}, {"(null)", NULL}, {"\n", NULL}, {"", NULL}, {"vfio-pci\n", "vfio-pci"}};
  g_autoptr (Fixture) f = pci_fixture ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    fake_write_device (f->k, NIC, "driver_override", cases[i].text);
    g_autoptr (VvPciDevice) d = open_device (f, NIC);
    g_assert_cmpstr (d->now.override, ==, cases[i].override);
  }
}

static void
test_reload (void)
{
  g_autoptr (Fixture) f = pci_fixture ();
  g_autoptr (VvPciDevice) d = open_device (f, NIC);
  g_autoptr (GError) error = NULL;
  g_autofree char *driver = fake_device_path (NIC, "driver");

  fake_write_device (f->k, NIC, "vfio-dev/vfio3/dev", "241:3");
  fake_remove (f->k, driver);
  g_assert_true (vv_pci_device_reload (d, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (d->vfio_dev, ==, "vfio3");
  g_assert_cmpstr (d->now.driver, ==, NULL);
  g_assert_cmpstr (d->now.module, ==, NULL);
}

/* An open device stays that device, even if another device gets its address. */
static void
test_gone_is_gone (void)
{
  g_autoptr (Fixture) f = pci_fixture ();
  g_autoptr (VvPciDevice) d = open_device (f, NIC);
  g_autoptr (GError) error = NULL;

  fake_remove_device (f->k, NIC);
  fake_add_device (f->k, NIC, DISK_MODALIAS, NIC_GROUP, NULL);
  g_assert_false (vv_pci_device_reload (d, &error));
  fake_assert_error (error, VV_ERROR_NO_DEVICE, NIC ": no such PCI device*");
}

static void
test_half_a_device (void)
{
  g_autoptr (Fixture) f = pci_fixture ();
  g_autoptr (GError) error = NULL;
  g_autofree char *modalias = fake_device_path (NIC, "modalias");

  fake_remove (f->k, modalias);
  g_assert_null (vv_pci_device_open (f->host, NIC, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_NO_DEVICE);
}

/* --- IOMMU groups --- */

static void
test_group_members (void)
{
  g_autoptr (Fixture) f = pci_fixture ();

  fake_add_device (f->k, "0000:3b:00.2", NIC_MODALIAS, NIC_GROUP, NULL);
  fake_add_device (f->k, "0000:05:00.0", NIC_MODALIAS, NULL, NULL);
  g_autoptr (VvPciDevice) nic = open_device (f, NIC);
  g_autoptr (VvPciDevice) alone = open_device (f, "0000:05:00.0");
  g_autoptr (GPtrArray) members = vv_pci_group_members (f->host, nic);
  g_autoptr (GPtrArray) none = vv_pci_group_members (f->host, alone);
  fake_assert_names (members, NIC " 0000:3b:00.2");
  fake_assert_names (none, "");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/pci-device/address/spellings", test_good_addresses);
  g_test_add_func ("/pci-device/address/what-is-none", test_bad_addresses);
  g_test_add_func ("/pci-device/address/length", test_long_address);
  g_test_add_func ("/pci-device/meant/some", test_which_devices_are_meant);
  g_test_add_func ("/pci-device/meant/none", test_no_device_is_meant);
  g_test_add_func ("/pci-device/attributes", test_attributes);
  g_test_add_func ("/pci-device/driver_override", test_override);
  g_test_add_func ("/pci-device/reload", test_reload);
  g_test_add_func ("/pci-device/gone-is-gone", test_gone_is_gone);
  g_test_add_func ("/pci-device/without-a-modalias-is-none", test_half_a_device);
  g_test_add_func ("/pci-device/group/members", test_group_members);
  return g_test_run ();
}
