// SPDX-License-Identifier: GPL-2.0-only
/* A driver whose name cannot be derived from its module's name, like xe-vfio-pci and others. */
#include <linux/pci.h>

#define VARIANT_DRIVER_NAME "test-named-vfio"

static const struct pci_device_id variant_ids[] = {
    {PCI_DRIVER_OVERRIDE_DEVICE_VFIO (0x1234, 0x11e8)}, /* edu */
    {}};

#include "variant.h"

MODULE_DESCRIPTION ("VFIO variant driver for tests, with a name of its own");
