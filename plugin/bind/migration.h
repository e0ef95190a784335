/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * migration: whether a domain can be migrated live with a device, as far as the device is concerned.
 *
 * Owns: the query, the recorded answers, and QEMU's conditions for migration. Only the driver and the IOMMU
 * can answer the query, and only through an open VFIO device. The answers are notes in the state store, one
 * for each driver and modalias. Does not choose drivers. Source of the interfaces: include/uapi/linux/vfio.h
 * and include/uapi/linux/iommufd.h of the kernel.
 */
#pragma once

#include "state-store.h"
#include "pci-device.h"
#include "policy.h"

/**
 * VvMigratability:
 * @VV_MIGRATION_UNKNOWN: unknown, or not queried yet
 * @VV_MIGRATION_NO: the device prevents the migration of a domain
 * @VV_MIGRATION_YES: the device does not prevent it
 */
typedef enum {
  VV_MIGRATION_UNKNOWN,
  VV_MIGRATION_NO,
  VV_MIGRATION_YES,
} VvMigratability;

/**
 * VvMigration:
 * @stop_copy: the device state can be saved and loaded while the device is stopped; if FALSE, the device
 * cannot be migrated, and all other flags are FALSE
 * @p2p: the device can stop DMA to other devices before it is stopped, so several devices can migrate
 * together
 * @pre_copy: part of the state can be sent while the guest runs
 * @dma_logging: the device reports which memory it wrote to
 * @iommu_logging: the IOMMU reports that for the device, to a program that uses iommufd; VV_ANSWER_NO also
 * when the kernel has no iommufd
 *
 * The features that a driver announces (VFIO_DEVICE_FEATURE_MIGRATION,
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_START), and the capability of the device's IOMMU
 * (IOMMU_HW_CAP_DIRTY_TRACKING, Linux 6.7).
 */
typedef struct {
  gboolean stop_copy;
  gboolean p2p;
  gboolean pre_copy;
  gboolean dma_logging;
  VvAnswer iommu_logging;
} VvMigration;

/**
 * vv_migration_probe:
 * @device: its present state, on a VFIO driver; the caller has its lock
 * @migration: (out): what its driver announces; set when TRUE is returned
 *
 * Opens the device through VFIO, queries its driver, and closes it. Uses iommufd if the kernel has it, else
 * the IOMMU group. Opening and closing enable and reset the device (vfio_pci_core_enable() and
 * vfio_pci_core_disable() in drivers/vfio/pci/vfio_pci_core.c). While the group is open, no guest can start
 * with it. Therefore, call this only for a device that no guest has yet. The generic driver is not queried:
 * it does not support migration (vfio_pci.c sets no mig_ops).
 *
 * Returns: TRUE, or FALSE with @error set: VV_ERROR_REFUSED when the device is not on a VFIO driver, when a
 * process has the device or another of its IOMMU group, or when VFIO does not allow access to it
 */
gboolean vv_migration_probe (const VvHost *host, const VvPciDevice *device, VvMigration *migration,
                             GError **error);

/**
 * vv_migration_judge:
 * @m: the features of the driver
 * @use: (nullable): how the domain uses the device; NULL: no domain is known
 * @why: (out) (optional): the reason, in words that follow the driver's name ("does not support migration");
 * NULL with VV_MIGRATION_YES
 *
 * Applies QEMU's conditions. vfio_migration_realize() in its hw/vfio/migration.c blocks the migration of a
 * domain unless each device has stop-copy and dirty page tracking. The tracking is either DMA logging or
 * (QEMU 9.1) an iommufd whose IOMMU tracks dirty pages. With several devices,
 * vfio_multiple_devices_migration_is_supported() requires P2P of each (QEMU 8.2).
 *
 * Returns: whether a domain can be migrated with the device
 */
VvMigratability vv_migration_judge (const VvMigration *m, const VvMigrationUse *use, const char **why);

/**
 * vv_migration_store:
 * @driver: the driver that was queried
 * @modalias: of the device that was queried
 * @m: the answer
 *
 * Records the answer for all devices with this modalias, until the next query or the next boot. This assumes
 * that one device answers for all. A driver may depend on the configuration of each device: mlx5_vfio_pci
 * checks the firmware's "migratable" (mlx5vf_cmd_set_migratable() in drivers/vfio/pci/mlx5/cmd.c).
 *
 * Returns: FALSE with @error set when the answer could not be written; VV_ERROR_INVALID when @driver or
 * @modalias is missing, or cannot be part of a file name
 */
gboolean vv_migration_store (const VvStateStore *store, const char *driver, const char *modalias,
                             const VvMigration *m, GError **error);

/**
 * vv_migration_known:
 * @driver: (nullable): a VFIO driver; for the generic driver the answer is always no
 * @modalias: of the device
 * @migration: (out) (optional): the recorded answer; all FALSE when there is none
 *
 * Reads the recorded answer. Does not touch a device. Ignores a note that cannot be read.
 *
 * Returns: whether that driver announces migration (stop-copy) for such a device, if recorded
 */
VvMigratability vv_migration_known (const VvStateStore *store, const char *driver, const char *modalias,
                                    VvMigration *migration);

/**
 * vv_migration_foresee:
 * @driver: (nullable): as for vv_migration_known()
 *
 * Applies vv_migration_judge() to the recorded answer.
 */
VvMigratability vv_migration_foresee (const VvStateStore *store, const char *driver, const char *modalias,
                                      const VvMigrationUse *use, const char **why);
