// SPDX-License-Identifier: GPL-2.0-only
/* The typical variant driver: matches vendor and device, like mlx5_vfio_pci and most others. */
#include <linux/pci.h>

#define VARIANT_DRIVER_NAME "test_vfio_pci"

static const struct pci_device_id variant_ids[] = {
    {PCI_DRIVER_OVERRIDE_DEVICE_VFIO (0x8086, 0x10d3)}, /* e1000e */
    {PCI_DRIVER_OVERRIDE_DEVICE_VFIO (0x8086, 0x10ca)}, /* the VFs of igb */
    {PCI_DRIVER_OVERRIDE_DEVICE_VFIO (0x1af4, 0x1041)}, /* virtio-net */
    {PCI_DRIVER_OVERRIDE_DEVICE_VFIO (0x1b36, 0x0010)}, /* QEMU's nvme and its VFs */
    {}};

#include "variant.h"

MODULE_DESCRIPTION ("VFIO variant driver for tests");
