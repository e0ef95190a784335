/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of group: drivers of other devices that prevent a guest from getting the IOMMU group.
 */
#include "group.h"
#include "fixture.h"
#include "modalias.h"

#define SIBLING "0000:3b:00.2"

static void
test_obstacles (void)
{
  static const struct {
    const char *says, *driver;
    gboolean along;
    const char *obstacle; /* or NULL */
  } cases[] = {
      {"on no driver", NULL, FALSE, NULL},
      {"on vfio-pci", "vfio-pci", FALSE, NULL},
      {"on a variant", "special-vfio", FALSE, NULL},
      {"a bridge", "pcieport", FALSE, NULL},
      {"kept by pci-stub", "pci-stub", FALSE, NULL},
      {"on a driver of the host", "mlx5_core", FALSE,
       "0000:3b:00.2 in the same IOMMU group " NIC_GROUP " is on mlx5_core; assign it to the guest too*"},
      {"on a driver of the host, but comes along", "mlx5_core", TRUE, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = host_fixture_new ();
    g_autoptr (GPtrArray) along = g_ptr_array_new ();
    fake_add_driver (f->k, "pcieport", NULL, NULL, FALSE);
    fake_add_driver (f->k, "pci-stub", NULL, NULL, FALSE);
    fake_add_device (f->k, "0000:3b:00.2", NIC_MODALIAS, NIC_GROUP, cases[i].driver);
    g_ptr_array_add (along, (gpointer) "0000:3b:00.2");
    g_autoptr (VvPciDevice) nic = vv_pci_device_open (f->host, NIC, NULL);
    g_autoptr (GPtrArray) obstacles = vv_group_obstacles (f->host, NULL, nic, cases[i].along ? along : NULL);
    g_assert_cmpuint (obstacles->len, ==, cases[i].obstacle ? 1 : 0);
    if (cases[i].obstacle)
      fake_assert_matches (obstacles->pdata[0], cases[i].obstacle);
  }
}

static void
test_no_iommu (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_add_device (f->k, "0000:05:00.0", NIC_MODALIAS, NULL, NULL);
  g_autoptr (VvPciDevice) d = vv_pci_device_open (f->host, "0000:05:00.0", NULL);
  g_autoptr (GPtrArray) obstacles = vv_group_obstacles (f->host, NULL, d, NULL);
  g_assert_cmpuint (obstacles->len, ==, 1);
  fake_assert_matches (obstacles->pdata[0], "it has no IOMMU group; enable the IOMMU *");
  fake_write (f->k, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
  g_autoptr (GPtrArray) unsafe = vv_group_obstacles (f->host, NULL, d, NULL);
  g_assert_cmpuint (unsafe->len, ==, 0);
}

/* Kernels before 6.1 have no vfio-dev/; kernels since 5.16 have aliases. */
static void
test_variants_without_vfio_dev (void)
{
  static const struct {
    const char *says, *driver;
    gboolean asked, blocks;
  } cases[] = {
      {"a variant for the sibling", "special-vfio", TRUE, FALSE},
      {"the same, and the aliases are not at hand", "special-vfio", FALSE, TRUE},
      {"a driver of the host", "mlx5_core", TRUE, TRUE},
      {"a driver of the host whose module has no alias for VFIO", "e1000e", TRUE, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = host_fixture_new ();
    fake_remove (f->k, "sys/class/vfio-dev");
    fake_add_driver (f->k, "e1000e", "e1000e", NULL, FALSE);
    fake_register (f->k, "special-vfio");
    fake_add_device (f->k, SIBLING, NIC_MODALIAS, NIC_GROUP, cases[i].driver);
    g_autoptr (VvModules) modules = vv_modules_new (f->host, NULL);
    g_autoptr (VvCatalog) catalog = vv_catalog_new (f->host, modules, VV_PREFIX_VFIO);
    g_autoptr (VvPciDevice) nic = vv_pci_device_open (f->host, NIC, NULL);
    g_autoptr (GPtrArray) blockers = vv_group_blockers (f->host, cases[i].asked ? catalog : NULL, nic, NULL);
    g_assert_cmpuint (blockers->len, ==, cases[i].blocks ? 1 : 0);
  }
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/group/obstacles", test_obstacles);
  g_test_add_func ("/group/none", test_no_iommu);
  g_test_add_func ("/group/variants-without-vfio-dev", test_variants_without_vfio_dev);
  return g_test_run ();
}
