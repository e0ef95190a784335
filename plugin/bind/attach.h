/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * attach: binds a device to the driver that the policy and the domain allow.
 *
 * Owns: the path from the catalog's candidates through the policy to a binding, and the final check whether
 * the bound driver can migrate the device. Knows nothing of its callers: the hook, the gate and the command
 * use it alike.
 */
#pragma once

#include "binding.h"
#include "migration.h"

/**
 * vv_choose:
 * @entry: (nullable): the device's state file, which may have its host driver
 * @seen_driver: (nullable): the driver that the device was on before libvirt unbound it; NULL: use the
 * present driver
 * @requested: (nullable): what a domain requests for the device; its model excludes all other drivers
 * @whose: (nullable): the domain that requests it, for messages
 *
 * Selects the drivers to try. Does not touch the device.
 *
 * Returns: (transfer full): the choice, or NULL with @error set when the device's modalias is malformed, or
 * when the model cannot be a driver name
 */
VvChoice *vv_choose (const VvContext *context, const VvPciDevice *device, const VvEntry *entry,
                     const char *seen_driver, const VvOptions *requested, const char *whose, GError **error);

/**
 * vv_choice_cannot_migrate:
 * @driver: (nullable): the driver that the device would be on
 *
 * Returns: (transfer none) (nullable): why a domain with @device on @driver cannot be migrated, in words that
 * follow "it"; NULL when it can be migrated, or when that is unknown
 */
const char *vv_choice_cannot_migrate (const VvContext *context, const VvPciDevice *device,
                                      const VvChoice *choice, const char *driver);

/**
 * vv_choice_takes:
 * @driver: a driver that libvirt or an administrator chose
 *
 * Returns: whether the policy and the requests allow @device to be on @driver
 */
gboolean vv_choice_takes (const VvContext *context, const VvPciDevice *device, const VvChoice *choice,
                          const char *driver);

/**
 * vv_choice_check:
 *
 * Loads the module of the first usable candidate in advance. Fails early when no allowed driver is available
 * and the policy or the domain is strict.
 *
 * Returns: FALSE with @error set (VV_ERROR_POLICY) in that case
 */
gboolean vv_choice_check (const VvContext *context, const VvPciDevice *device, const VvChoice *choice,
                          GError **error);

/**
 * vv_attach:
 * @choice: excludes drivers that fail, or that cannot migrate when migration is required
 *
 * Binds the device to the first driver of @choice that works, like vv_binding_detach(). Skips the drivers
 * that the state file lists as failed. If migration is required, queries the bound driver
 * (vv_migration_probe()) and tries the next driver when the domain could not be migrated. If no driver is
 * left, restores the driver, the driver_override and the entry that the device had at the call. A device that
 * had no driver at the call is not restored, unless it is new: only the caller knows its former driver.
 *
 * Returns: FALSE with @error set; VV_ERROR_POLICY when a strict requirement cannot be met. @binding->change
 * has the record of the rebind.
 */
gboolean vv_attach (VvBinding *binding, VvChoice *choice, GError **error);

/**
 * vv_attach_opened:
 * @must_know: whether to reject a driver whose migration support is unknown, when migration is required
 *
 * Checks a device that libvirt has already opened, in place of vv_attach(). Such a device cannot be rebound,
 * because the kernel's unbind would wait for libvirt, and its driver cannot be queried. Accepts any driver
 * that the choice allows, even if it is not the best.
 *
 * Returns: FALSE with @error set (VV_ERROR_POLICY, with a fix) when the device is on a driver that is not
 * allowed
 */
gboolean vv_attach_opened (const VvBinding *binding, VvChoice *choice, gboolean must_know, GError **error);

/**
 * vv_attach_record_failed:
 *
 * Writes the drivers that just failed to the device's state file, if it has one. vv_attach() then skips them
 * until the domain runs. Logs a warning if the state file cannot be written.
 */
void vv_attach_record_failed (VvBinding *binding);

/**
 * vv_attach_can_migrate:
 * @use: how the domain uses the device
 *
 * Queries the driver that @device is on, and records the answer in the state store.
 *
 * Returns: TRUE when a domain could be migrated with the device, or when that is unknown; FALSE with @error
 * set when it could not (VV_ERROR_POLICY), or when the driver could not be queried
 */
gboolean vv_attach_can_migrate (const VvContext *context, const VvPciDevice *device,
                                const VvMigrationUse *use, GError **error);
