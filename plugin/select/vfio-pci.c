/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vfio-pci.h"

#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"

#define INTEL "pci:v00008086d"
#define HEADER_TYPE 0x0e      /* offset in the configuration space */
#define HEADER_TYPE_MASK 0x7f /* without the multi-function bit */
#define PCI_BRIDGE "sc04"
#define CARDBUS_BRIDGE "sc07"

/* vfio_pci_dev_in_denylist(), which has only devices of Intel. The ids are in the format of a modalias. */
static const char *const denylist[] = {
    "000019E2", "000019E3", /* QAT C3XXX and its virtual functions */
    "000037C8", "000037C9", /* QAT C62X */
    "00000435", "00000443", /* QAT DH895XCC */
    "00000B25", "00000CFE", /* DSA and IAX of Sapphire Rapids, since 6.9 */
};

/* vfio_pci_is_denylisted(). A loaded module without the parameter has no denylist. */
static gboolean
is_denylisted (const VvHost *host, VvModules *modules, const char *modalias)
{
  static const char parameters[] = "module/" VV_GENERIC_MODULE "/parameters";
  const char *device_id = g_str_has_prefix (modalias, INTEL) ? modalias + strlen (INTEL) : "";
  gboolean is_listed = FALSE;

  for (gsize i = 0; !is_listed && i < G_N_ELEMENTS (denylist); i++)
    is_listed = g_str_has_prefix (device_id, denylist[i]);
  if (!is_listed)
    return FALSE;
  if (!vv_io_exists (host->sys, parameters))
    return !vv_modules_option_is_on (modules, VV_GENERIC_MODULE, "disable_denylist");
  g_autofree char *off =
      vv_io_attribute (host->sys, "module/" VV_GENERIC_MODULE "/parameters/disable_denylist");
  return off && *off != 'Y';
}

/* The kernel checks the header type. pci_setup_device() makes sure that the class matches it. If the
 * header type cannot be read, the class decides. */
static gboolean
is_bridge (const VvPciDevice *device)
{
  const char *bridge = strstr (device->modalias, "bc06");
  guint8 type;

  if (!bridge)
    return FALSE;
  g_auto (VvFd) fd = openat (device->dir->fd, "config", O_RDONLY | O_CLOEXEC);
  gboolean is_read = fd >= 0 && pread (fd, &type, 1, HEADER_TYPE) == 1;
  bridge += strlen ("bc06");
  return is_read ? (type & HEADER_TYPE_MASK) != 0
                 : g_str_has_prefix (bridge, PCI_BRIDGE) || g_str_has_prefix (bridge, CARDBUS_BRIDGE);
}

VvVfioPciRefusal
vv_vfio_pci_refuses (const VvHost *host, VvModules *modules, const VvPciDevice *device)
{
  if (g_strcmp0 (device->now.driver, VV_GENERIC_DRIVER) == 0)
    return VV_VFIO_PCI_TAKES_IT;
  if (is_bridge (device))
    return VV_VFIO_PCI_BRIDGE;
  return is_denylisted (host, modules, device->modalias) ? VV_VFIO_PCI_DENYLISTED : VV_VFIO_PCI_TAKES_IT;
}

const char *
vv_vfio_pci_reason (VvVfioPciRefusal refusal)
{
  switch (refusal) {
  case VV_VFIO_PCI_BRIDGE:
    return _ ("vfio-pci does not bind bridges; assign the devices behind it instead");
  case VV_VFIO_PCI_DENYLISTED:
    return _ ("it is on vfio-pci's denylist of devices with errata; for trusted guests, 'options vfio-pci "
              "disable_denylist=1' in modprobe.d disables the list");
  default:
    return NULL;
  }
}
