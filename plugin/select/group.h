/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * group: whether VFIO can give out an IOMMU group.
 *
 * Owns: which members of a group keep QEMU from using it. Reads sysfs only, and the aliases, which tell VFIO
 * drivers where sysfs does not.
 */
#pragma once

#include "catalog.h"
#include "pci-device.h"

/**
 * vv_group_blockers:
 * @catalog: (nullable): before Linux 6.1 it tells which drivers are VFIO drivers, which then have no
 * vfio-dev/; NULL: only vfio-pci is known
 * @along: (nullable) (element-type utf8): addresses of devices that go to VFIO together with @device
 *
 * Returns: (transfer full) (element-type VvPciDevice): the other members of its IOMMU group that are on a
 * driver of the host, so that QEMU could not use it
 */
GPtrArray *vv_group_blockers (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *device,
                              const GPtrArray *along);

/**
 * vv_group_obstacles:
 * @catalog, @along: as for vv_group_blockers()
 *
 * Why QEMU could not use @device even on a VFIO driver: it has no IOMMU group, or another member of the group
 * is on a driver of the host (vfio_group_viable() of the kernel before 6.0, iommu_group_claim_dma_owner()
 * since).
 *
 * Returns: (transfer full) (element-type utf8): the reasons, each with the remedy; empty when there are none
 */
GPtrArray *vv_group_obstacles (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *device,
                               const GPtrArray *along);
