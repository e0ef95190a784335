/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * new-device: a device that the kernel is adding right now, as the virtual functions that a write to
 * sriov_numvfs makes.
 *
 * The kernel tells user space of a device (device_add() in drivers/base/core.c) before it has shown all of
 * it, and before it lets drivers have it: pci_iov_add_virtfn() (drivers/pci/iov.c) makes the link to the
 * physical function after that, and pci_bus_add_device() (drivers/pci/bus.c) then makes its file below
 * /proc/bus/pci, sets match_driver, without which no driver matches, not even one that is bound by hand, and
 * tries the drivers.
 *
 * Owns: the waits for that, all of them bounded. Knows nothing of what is done with the device.
 */
#pragma once

#include "pci-device.h"

/**
 * vv_new_device_wait_shown:
 *
 * Waits until the kernel has shown all of the device, its link to the physical function among it; for 2
 * seconds at most. Returns at once for any other device, one with a driver among them, and where there is no
 * /proc/bus/pci to tell by.
 */
void vv_new_device_wait_shown (const VvHost *host, const char *address);

/**
 * vv_new_device_wait_tried:
 *
 * Waits until the kernel has let drivers try the device: of a virtual function, until whoever makes it and
 * its siblings is done (sriov_numvfs_show() takes the physical function's lock, which sriov_numvfs_store()
 * holds meanwhile); of another, for a tenth of a second.
 */
void vv_new_device_wait_tried (const VvPciDevice *device);

/** vv_new_device_is_left_alone: Returns: whether the kernel is told not to look for a driver for this virtual
 * function (its physical function's sriov_drivers_autoprobe is 0) */
gboolean vv_new_device_is_left_alone (const VvPciDevice *device);
