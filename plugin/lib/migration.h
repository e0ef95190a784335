/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * migration: whether the driver that a device is on can migrate it live.
 *
 * Owns: the question, which only the driver can answer and only through an open VFIO device, and the answers
 * that were given: notes in the journal, one for each driver and identity of a device. Which driver a device
 * gets is others' business. Source of the interface: include/uapi/linux/vfio.h of the kernel.
 */
#pragma once

#include "journal.h"
#include "pci-device.h"

/**
 * VvMigratability:
 * @VV_MIGRATION_UNKNOWN: nobody has asked yet
 * @VV_MIGRATION_NO: the driver announces no migration
 * @VV_MIGRATION_YES: it does
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
 *
 * What a driver announces (VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_DMA_LOGGING_START).
 */
typedef struct {
  gboolean stop_copy;
  gboolean p2p;
  gboolean pre_copy;
  gboolean dma_logging;
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
gboolean vv_migration_store (const VvJournal *journal, const char *driver, const char *modalias,
                             const VvMigration *m, GError **error);

/**
 * vv_migration_known:
 * @driver: (nullable): a VFIO driver; the generic one never migrates
 * @modalias: a device's
 * @migration: (out) (optional): the answer; all FALSE when there is none
 *
 * Touches no device. A note that cannot be read counts as none.
 *
 * Returns: what is known of that driver and such a device
 */
VvMigratability vv_migration_known (const VvJournal *journal, const char *driver, const char *modalias,
                                    VvMigration *migration);
