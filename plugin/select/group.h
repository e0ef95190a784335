/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * group: whether QEMU can use an IOMMU group through VFIO.
 *
 * Owns: which members of a group prevent this. Reads sysfs only, and the aliases, which identify VFIO drivers
 * where sysfs does not.
 */
#pragma once

#include "catalog.h"
#include "pci-device.h"

/**
 * vv_group_blockers:
 * @catalog: (nullable): identifies VFIO drivers before Linux 6.1, where their devices have no vfio-dev/;
 * NULL: recognizes only vfio-pci there
 * @along: (nullable) (element-type utf8): addresses of devices that go to VFIO together with @device
 *
 * Returns: (transfer full) (element-type VvPciDevice): the other members of the IOMMU group that are on a
 * host driver, which prevents QEMU from using the group
 */
GPtrArray *vv_group_blockers (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *device,
                              const GPtrArray *along);

/**
 * vv_group_obstacles:
 * @catalog, @along: as for vv_group_blockers()
 *
 * Finds why QEMU could not use @device even on a VFIO driver: it has no IOMMU group, or another member of the
 * group is on a host driver (kernel: vfio_group_viable() before 6.0, iommu_group_claim_dma_owner() since).
 *
 * Returns: (transfer full) (element-type utf8): the reasons, each with the fix; empty if there are none
 */
GPtrArray *vv_group_obstacles (const VvHost *host, const VvCatalog *catalog, const VvPciDevice *device,
                               const GPtrArray *along);
