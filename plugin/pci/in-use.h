/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * in-use: who would miss a device.
 *
 * Two questions: does the host work with it (network, disks, console, its virtual functions), and does a
 * process hold it through VFIO (a running guest)? Reads sysfs and procfs only: opening a VFIO group to try
 * would itself keep a starting guest out. Decides nothing.
 */
#pragma once

#include <sys/types.h>

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

/** VV_HOLDER_UNKNOWN: instead of a process's id: some process may have it open */
#define VV_HOLDER_UNKNOWN (-1)

/**
 * vv_vfio_holder:
 *
 * The process that has the device's VFIO group (/dev/vfio/N, without an IOMMU /dev/vfio/noiommu-N) or its
 * VFIO device (/dev/vfio/devices/vfioN) open, found by device number below /proc/PID/fd, so in any mount
 * namespace. Processes of other users are seen by root only. No file system is asked anything: only names,
 * and what the kernel knows itself of files that are called like nodes of VFIO.
 *
 * All calls with the same @host share one look through /proc, for ten seconds. Processes that had something
 * of VFIO open then are asked again at each call. A process that opened the device later is found too, for
 * the device is enabled while it is open ("enable" in sysfs); one that later opened its group, but no device,
 * is not. Against that the kernel has its own guard: it takes a device from its driver only when no process
 * has it open (vfio_unregister_group_dev() in drivers/vfio/vfio_main.c waits).
 *
 * A look that takes too long (VvProcLook) is cut. Then a device that is enabled counts as open.
 *
 * May be called from several threads at the same time.
 *
 * Returns: its process id, or VV_HOLDER_UNKNOWN; 0: no process has it open
 */
pid_t vv_vfio_holder (const VvHost *host, const VvPciDevice *device);

/**
 * vv_vfio_user: vv_vfio_holder(), in words
 *
 * Returns: (transfer full) (nullable): "qemu-system-x86 (pid 812)", or NULL when no process has it open
 */
char *vv_vfio_user (const VvHost *host, const VvPciDevice *device);
