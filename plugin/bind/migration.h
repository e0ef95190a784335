/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * migration: whether a domain can be migrated live with a device, as far as the device is concerned.
 *
 * Owns: the question, which only the driver and the IOMMU can answer and only through an open VFIO device,
 * the answers that were given (notes in the state store, one for each driver and identity of a device), and
 * what QEMU makes of them. Which driver a device gets is others' business. Source of the interfaces:
 * include/uapi/linux/vfio.h and include/uapi/linux/iommufd.h of the kernel.
 */
#pragma once

#include "state-store.h"
#include "pci-device.h"
#include "policy.h"

/**
 * VvMigratability:
 * @VV_MIGRATION_UNKNOWN: it cannot be told, or nobody has asked yet
 * @VV_MIGRATION_NO: the device keeps a domain from being migrated
 * @VV_MIGRATION_YES: it does not
 */
typedef enum {
  VV_MIGRATION_UNKNOWN,
  VV_MIGRATION_NO,
  VV_MIGRATION_YES,
} VvMigratability;

/**
 * VvMigration:
 * @stop_copy: the state can be saved and loaded while the device is stopped; FALSE: it cannot be migrated,
 * and all others are FALSE
 * @p2p: the device can be kept from DMA to other devices before it is stopped, so several can migrate
 * together
 * @pre_copy: the state can be sent in part while the guest runs
 * @dma_logging: the device tells which memory it wrote to
 * @iommu_logging: the IOMMU tells that of the device, to a program that uses iommufd; VV_ANSWER_NO also where
 * the kernel has no iommufd
 *
 * What a driver announces (VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_DMA_LOGGING_START), and the
 * device's IOMMU (IOMMU_HW_CAP_DIRTY_TRACKING, Linux 6.7).
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
 * @device: as it is now, on a VFIO driver; the caller has its lock
 * @migration: (out): what its driver announces; set when TRUE is returned
 *
 * Opens the device through VFIO, by iommufd where the kernel has it and else by its group, asks, and closes
 * it. Opening and closing enable and reset the device (vfio_pci_core_enable() and vfio_pci_core_disable() in
 * drivers/vfio/pci/vfio_pci_core.c), and a group that is open keeps a starting guest out; so this is for a
 * device that nobody has or is about to get. The generic driver is not asked: it has no migration
 * (vfio_pci.c sets no mig_ops).
 *
 * Returns: TRUE, or FALSE with @error set: VV_ERROR_REFUSED when the device is not on a VFIO driver, a
 * process has it or another of its IOMMU group, or VFIO does not give it out as things are
 */
gboolean vv_migration_probe (const VvHost *host, const VvPciDevice *device, VvMigration *migration,
                             GError **error);

/**
 * vv_migration_judge:
 * @m: what was announced
 * @use: (nullable): how a domain has the device; NULL: nothing is known of a domain
 * @why: (out) (optional): what decides, in words that go on after the driver's name ("announces no
 * migration"); NULL with VV_MIGRATION_YES
 *
 * The conditions are QEMU's: vfio_migration_realize() in its hw/vfio/migration.c blocks the migration of a
 * domain unless a device has stop-copy and either DMA logging or (QEMU 9.1) an iommufd whose IOMMU tracks
 * dirty pages; vfio_multiple_devices_migration_is_supported() wants P2P of each, when there are several (QEMU
 * 8.2).
 *
 * Returns: whether a domain can be migrated with the device
 */
VvMigratability vv_migration_judge (const VvMigration *m, const VvMigrationUse *use, const char **why);

/**
 * vv_migration_store:
 * @driver: the driver that was asked
 * @modalias: of the device that was asked for
 * @m: the answer
 *
 * Notes the answer for all devices with this modalias, until the next boot or until it is asked again. That
 * one device answers for all is an assumption: a driver may look at what is set up for each (mlx5_vfio_pci at
 * the firmware's "migratable", mlx5vf_cmd_set_migratable() in drivers/vfio/pci/mlx5/cmd.c).
 *
 * Returns: FALSE with @error set when it could not be written; VV_ERROR_INVALID when @driver or @modalias is
 * none
 */
gboolean vv_migration_store (const VvStateStore *store, const char *driver, const char *modalias,
                             const VvMigration *m, GError **error);

/**
 * vv_migration_known:
 * @driver: (nullable): a VFIO driver; the generic one never migrates
 * @modalias: a device's
 * @migration: (out) (optional): the answer; all FALSE when there is none
 *
 * Touches no device. A note that cannot be read counts as none.
 *
 * Returns: whether that driver announces migration (stop-copy) for such a device, as far as is known
 */
VvMigratability vv_migration_known (const VvStateStore *store, const char *driver, const char *modalias,
                                    VvMigration *migration);

/**
 * vv_migration_foresee:
 * @driver: (nullable): as for vv_migration_known()
 *
 * vv_migration_judge() of what is known.
 */
VvMigratability vv_migration_foresee (const VvStateStore *store, const char *driver, const char *modalias,
                                      const VvMigrationUse *use, const char **why);
