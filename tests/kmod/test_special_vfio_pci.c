// SPDX-License-Identifier: GPL-2.0-only
/* A more specific variant driver: it also matches the subsystem of one of the host's two e1000e. */
#include <linux/pci.h>

#define VARIANT_DRIVER_NAME "test_special_vfio_pci"

static const struct pci_device_id variant_ids[] = {{
                                                       .vendor = 0x8086,
                                                       .device = 0x10d3,
                                                       .subvendor = 0x1af4,
                                                       .subdevice = 0x5ec1,
                                                       .override_only = PCI_ID_F_VFIO_DRIVER_OVERRIDE,
                                                   },
                                                   {}};

#include "variant.h"

MODULE_DESCRIPTION ("VFIO variant driver for tests, by subsystem");
