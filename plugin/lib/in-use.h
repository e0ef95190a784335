/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * in-use: who would miss a device.
 *
 * Two questions: does the host work with it (network, disks, console, its virtual functions), and does a
 * process hold it through VFIO (a running guest)? Reads sysfs and procfs only: opening a VFIO group to try
 * would itself keep a starting guest out. Decides nothing.
 */
#pragma once

#include "pci-device.h"

/**
 * vv_host_use:
 *
 * What the host does with the device or with anything below it in the device tree: a network interface that
 * is up with an address, or in a bridge, bond or VLAN; a block device that is mounted, swap, or held by LVM,
 * md or dm; a display that shows the console; virtual functions that are enabled.
 *
 * Returns: (transfer full) (element-type utf8): the reasons, a sentence each; empty when the host does not
 * use it
 */
GPtrArray *vv_host_use (const VvHost *host, const VvPciDevice *device);

/**
 * vv_vfio_user:
 *
 * The process that holds the device's VFIO group (/dev/vfio/N) or VFIO device (/dev/vfio/devices/vfioN) open,
 * found by device number below /proc/PID/fd, so in any mount namespace. Processes of others are seen by root
 * only.
 *
 * Returns: (transfer full) (nullable): "qemu-system-x86 (pid 812)", or NULL when nobody does
 */
char *vv_vfio_user (const VvHost *host, const VvPciDevice *device);
