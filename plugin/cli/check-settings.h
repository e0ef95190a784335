/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check-settings: what the administrator has set for a device or for vfio-pci, and what follows.
 *
 * Owns: the findings about vfio-pci's options, a device that is on vfio-pci already, and a driver_override
 * that no driver answers to. Reads sysfs and modprobe.d only.
 */
#pragma once

#include "check-context.h"

/**
 * vv_find_settings:
 * @entry: (nullable): its journal entry
 * @variant: (nullable): the variant driver, or its module, that @device would get; NULL: it would get
 * vfio-pci or none, or it stays where it is
 */
void vv_find_settings (const VvCheckContext *s, const VvPciDevice *device, const VvEntry *entry,
                       const char *variant, GPtrArray *findings);
