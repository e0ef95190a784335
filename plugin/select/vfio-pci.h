/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-pci: which devices the generic driver refuses, though its alias matches all.
 *
 * Owns: the kernel's own rules about that (drivers/vfio/pci/vfio_pci.c). Knows nothing of the other VFIO
 * drivers, nor of what follows for a choice.
 */
#pragma once

#include "modules.h"
#include "pci-device.h"

/**
 * VvVfioPciRefusal:
 * @VV_VFIO_PCI_TAKES_IT: nothing is known against it
 * @VV_VFIO_PCI_BRIDGE: its header is a bridge's (vfio_pci_core_register_device()): EINVAL
 * @VV_VFIO_PCI_DENYLISTED: it is on the denylist of devices with errata (vfio_pci_is_denylisted(), Linux 5.9
 * and later): EINVAL unless the module has the parameter disable_denylist
 */
typedef enum {
  VV_VFIO_PCI_TAKES_IT,
  VV_VFIO_PCI_BRIDGE,
  VV_VFIO_PCI_DENYLISTED,
} VvVfioPciRefusal;

/**
 * vv_vfio_pci_refuses:
 *
 * Whether vfio-pci's probe is sure to fail. The parameter is the loaded module's, else what modprobe.d and
 * the kernel command line say. A device that is on vfio-pci is not refused. Linux before 6.9 and without
 * stable updates does not have the last two of the denylist, which is not looked at.
 *
 * Returns: why
 */
VvVfioPciRefusal vv_vfio_pci_refuses (const VvHost *host, VvModules *modules, const VvPciDevice *device);

/** vv_vfio_pci_reason: Returns: (nullable): @refusal in words, with the remedy; NULL when there is none */
const char *vv_vfio_pci_reason (VvVfioPciRefusal refusal);
