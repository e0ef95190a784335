/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * in-use: what uses a device.
 *
 * Answers two questions. Does the host use the device (network, disks, console, its virtual functions)? Does
 * a process have it open through VFIO (a running guest)? Only reads sysfs and procfs: a trial open of a VFIO
 * group would itself make the start of a guest fail. Decides nothing.
 */
#pragma once

#include <sys/types.h>

#include "pci-device.h"

/**
 * vv_host_use:
 *
 * Checks how the host uses the device, or anything below it in the device tree: a network interface that is
 * up with an address, or in a bridge, bond or VLAN; a block device that is mounted, is swap, or is in use by
 * LVM, md or dm; a display that is active or shows the console; virtual functions that are enabled.
 *
 * Returns: (transfer full) (element-type utf8): the reasons, one sentence each; empty if the host does not
 * use the device
 */
GPtrArray *vv_host_use (const VvHost *host, const VvPciDevice *device);

/** VV_HOLDER_UNKNOWN: instead of a process id: a process may have the device open */
#define VV_HOLDER_UNKNOWN (-1)

/**
 * vv_vfio_holder:
 *
 * Finds a process that has the device's VFIO group (/dev/vfio/N, without an IOMMU /dev/vfio/noiommu-N) or its
 * VFIO device (/dev/vfio/devices/vfioN) open. Compares device numbers of the files below /proc/PID/fd, so it
 * works for any mount namespace. Only root sees the processes of other users. Queries no file system: reads
 * the names of open files, and cached attributes of those named like VFIO nodes.
 *
 * All calls with the same @host share one scan of /proc for ten seconds. Each call checks again the processes
 * that had a VFIO node open at that scan. It also finds a process that opened the device later, because the
 * device is enabled while it is open ("enable" in sysfs). It does not find a process that later opened only
 * the group. The kernel protects that case: it unbinds the driver of a device only when no process has the
 * device open (vfio_unregister_group_dev() in drivers/vfio/vfio_main.c waits).
 *
 * A scan that exceeds its time limit (VvProcLook) stops. Then an enabled device counts as open.
 *
 * Several threads may call this at the same time.
 *
 * Returns: the process id, or VV_HOLDER_UNKNOWN; 0: no process has the device open
 */
pid_t vv_vfio_holder (const VvHost *host, const VvPciDevice *device);

/**
 * vv_vfio_user:
 *
 * Describes the process that vv_vfio_holder() finds.
 *
 * Returns: (transfer full) (nullable): for example "qemu-system-x86 (pid 812)"; NULL if no process has the
 * device open
 */
char *vv_vfio_user (const VvHost *host, const VvPciDevice *device);
