/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-pci: which devices the generic driver refuses, although its alias matches all devices.
 *
 * Owns: the kernel's rules for this (drivers/vfio/pci/vfio_pci.c). Knows nothing of other VFIO drivers, nor
 * of the effect on a choice.
 */
#pragma once

#include "modules.h"
#include "pci-device.h"

/**
 * VvVfioPciRefusal:
 * @VV_VFIO_PCI_TAKES_IT: no reason to refuse the device is known
 * @VV_VFIO_PCI_BRIDGE: the device has the header type of a bridge (vfio_pci_core_register_device()): EINVAL
 * @VV_VFIO_PCI_DENYLISTED: the device is on the denylist of devices with errata (vfio_pci_is_denylisted(),
 * Linux 5.9 and later): EINVAL unless the module parameter disable_denylist is set
 */
typedef enum {
  VV_VFIO_PCI_TAKES_IT,
  VV_VFIO_PCI_BRIDGE,
  VV_VFIO_PCI_DENYLISTED,
} VvVfioPciRefusal;

/**
 * vv_vfio_pci_refuses:
 *
 * Checks whether vfio-pci's probe is certain to fail. Reads disable_denylist from the loaded module, else
 * from modprobe.d and the kernel command line. A device that is on vfio-pci is not refused. Kernels
 * before 6.9 without stable updates do not have the last two entries of the denylist, but the check includes
 * them.
 *
 * Returns: the reason
 */
VvVfioPciRefusal vv_vfio_pci_refuses (const VvHost *host, VvModules *modules, const VvPciDevice *device);

/** vv_vfio_pci_reason: Returns: (nullable): @refusal in words, with the fix; NULL if the device is not
 * refused */
const char *vv_vfio_pci_reason (VvVfioPciRefusal refusal);
