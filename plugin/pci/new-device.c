/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "new-device.h"

#include <string.h>

#define SHOWN_LIMIT_US (2 * G_USEC_PER_SEC)
#define LOOK_US 5000
#define TRIED_US 100000

void
vv_new_device_wait_shown (const VvHost *host, const char *address)
{
  gint64 end = g_get_monotonic_time () + SHOWN_LIMIT_US;
  g_autofree char *device = g_build_filename ("bus/pci/devices", address, NULL);
  g_autofree char *driver = g_build_filename (device, "driver", NULL);

  if (!host->proc || !vv_io_exists (host->proc, "bus/pci") || vv_io_exists (host->sys, driver))
    return;
  /* pci_proc_attach_device() in drivers/pci/proc.c: the bus's directory has the domain in its name where
   * there may be several */
  const char *bus = strchr (address, ':') + 1;
  g_autofree char *path = g_strdup_printf ("bus/pci/%.2s/%s", bus, bus + strlen ("3b:"));
  g_autofree char *with_domain = g_strdup_printf ("bus/pci/%.*s/%s", (int)(bus + strlen ("3b") - address),
                                                  address, bus + strlen ("3b:"));
  while (!vv_io_exists (host->proc, path) && !vv_io_exists (host->proc, with_domain) &&
         vv_io_exists (host->sys, device) && g_get_monotonic_time () < end)
    g_usleep (LOOK_US);
}

void
vv_new_device_wait_tried (const VvPciDevice *device)
{
  g_autofree char *count = vv_io_attribute (device->dir, "physfn/sriov_numvfs");

  if (!count)
    g_usleep (TRIED_US);
}

gboolean
vv_new_device_is_left_alone (const VvPciDevice *device)
{
  g_autofree char *probed = vv_io_attribute (device->dir, "physfn/sriov_drivers_autoprobe");

  return g_strcmp0 (probed, "0") == 0;
}
