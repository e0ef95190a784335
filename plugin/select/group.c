/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Returns: whether the member leaves the group to VFIO: it has no driver, its driver does not use DMA itself
 * (struct pci_driver.driver_managed_dma in the kernel), or its driver is a VFIO driver */
static gboolean
shares_group (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *member)
{
  const char *driver = member->now.driver;

  if (!driver || member->vfio_dev || strcmp (driver, "vfio-pci") == 0 || strcmp (driver, "pci-stub") == 0 ||
      strcmp (driver, "pcieport") == 0)
    return TRUE;
  /* Before Linux 6.1, there is no vfio-dev/: a driver whose module has a VFIO alias is a VFIO driver */
  g_autoptr (VvChoice) choice = catalog ? vv_catalog_select (catalog, member->modalias, NULL) : NULL;
  return choice && vv_choice_has_driver (host, choice, driver, member->now.module);
}

GPtrArray *
vv_group_blockers (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *device,
                   const GPtrArray *along)
{
  GPtrArray *blockers = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_pci_device_free);
  g_autoptr (GPtrArray) members = vv_pci_group_members (host, device);
  const VvCatalog *aliases = vv_io_exists (host->sys, "class/vfio-dev") ? NULL : catalog;

  for (guint i = 0; i < members->len; i++) {
    const char *address = members->pdata[i];
    g_autoptr (VvPciDevice) member = vv_pci_device_look (host, address, NULL);
    gboolean goes_along = strcmp (address, device->address) == 0;
    for (guint k = 0; along && k < along->len; k++)
      goes_along = goes_along || strcmp (along->pdata[k], address) == 0;
    if (member && !goes_along && !shares_group (host, aliases, member))
      g_ptr_array_add (blockers, g_steal_pointer (&member));
  }
  return blockers;
}

GPtrArray *
vv_group_obstacles (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *device,
                    const GPtrArray *along)
{
  GPtrArray *reasons = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) blockers = vv_group_blockers (host, catalog, device, along);
  g_autofree char *unsafe = vv_io_attribute (host->sys, "module/vfio/parameters/enable_unsafe_noiommu_mode");

  if (!device->iommu_group && g_strcmp0 (unsafe, "Y") != 0)
    g_ptr_array_add (reasons,
                     g_strdup (_ ("it has no IOMMU group; enable the IOMMU in the firmware and on the kernel "
                                  "command line (intel_iommu=on; AMD: on by default)")));
  for (guint i = 0; i < blockers->len; i++) {
    const VvPciDevice *member = blockers->pdata[i];
    g_ptr_array_add (reasons, g_strdup_printf (_ ("%s in the same IOMMU group %s is on %s; assign it to the "
                                                  "guest too, or bind it if the host does not need it"),
                                               member->address, device->iommu_group, member->now.driver));
  }
  return reasons;
}
