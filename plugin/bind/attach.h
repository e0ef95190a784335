/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * attach: puts a device where the policy, and the owner of a domain, want it.
 *
 * Owns: the way from the catalog's offer through the policy to a binding, and the last question, whether the
 * driver that was bound can migrate the device. Knows nothing of who asks: hook, gate and command alike.
 */
#pragma once

#include "binding.h"
#include "migration.h"

/**
 * vv_choose:
 * @entry: (nullable): its state file, which knows its driver on the host
 * @seen_driver: (nullable): the driver it was seen on before somebody unbound it; NULL: as it is now
 * @requested: (nullable): what a domain requests for the device; its model admits no other driver
 * @whose: (nullable): which domain that is, in words
 *
 * Touches no device.
 *
 * Returns: (transfer full): the choice, or NULL with @error set: the device's modalias is malformed, or the
 * model is no driver's name
 */
VvChoice *vv_choose (const VvContext *context, const VvPciDevice *device, const VvEntry *entry,
                     const char *seen_driver, const VvOptions *requested, const char *whose, GError **error);

/** vv_choice_cannot_migrate: Returns: (transfer none) (nullable): why a domain cannot be migrated with
 * @device on @driver (nullable), as what follows "it"; NULL: it can, or that is not known */
const char *vv_choice_cannot_migrate (const VvContext *context, const VvPciDevice *device,
                                      const VvChoice *choice, const char *driver);

/** vv_choice_takes: Returns: whether @device may be on @driver, if somebody else chose that */
gboolean vv_choice_takes (const VvContext *context, const VvPciDevice *device, const VvChoice *choice,
                          const char *driver);

/**
 * vv_choice_check:
 *
 * Loads ahead the module that is going to be needed. When nothing that was decided can be had, and that was
 * asked for strictly, there is no point in going on.
 *
 * Returns: FALSE with @error set (VV_ERROR_POLICY) then
 */
gboolean vv_choice_check (const VvContext *context, const VvPciDevice *device, const VvChoice *choice,
                          GError **error);

/**
 * vv_attach:
 * @choice: it loses what turns out to fail, or not to migrate where that is required
 *
 * As vv_binding_detach() with what was chosen; drivers that failed a moment ago, as the entry says, are not
 * tried again. Where migration is required the driver is asked (vv_migration_probe()), and the next one tried
 * when the domain could not be migrated with it. When none is left the device goes back to the driver, the
 * driver_override and the entry it had at the call; one that had no driver then does not, for only the caller
 * knows what it was before that.
 *
 * Returns: FALSE with @error set: VV_ERROR_POLICY when the device cannot have what was asked for strictly;
 * @binding->change says what happened
 */
gboolean vv_attach (VvBinding *binding, VvChoice *choice, GError **error);

/**
 * vv_attach_opened:
 * @must_know: whether a driver whose answer is not known will not do where migration is required
 *
 * What remains of vv_attach() when libvirt has the device open: it can neither be moved, for the kernel's
 * unbind would wait for libvirt, nor asked. A driver that the device may be on is good enough, the best or
 * not.
 *
 * Returns: FALSE with @error set (VV_ERROR_POLICY, with a remedy) when the device is where it must not be
 */
gboolean vv_attach_opened (const VvBinding *binding, VvChoice *choice, gboolean must_know, GError **error);

/**
 * vv_attach_record_failed:
 *
 * Writes the drivers that failed just now into the device's entry, when it has one, so that vv_attach() does
 * not try them again before the domain runs. That it cannot be written is only logged.
 */
void vv_attach_record_failed (VvBinding *binding);

/**
 * vv_attach_can_migrate:
 * @use: how a domain has the device
 *
 * Asks the driver that @device is on, and notes the answer in the state store.
 *
 * Returns: whether a domain could be migrated with it, as far as that can be told; FALSE with @error set when
 * it cannot (VV_ERROR_POLICY), or the driver could not be asked
 */
gboolean vv_attach_can_migrate (const VvContext *context, const VvPciDevice *device,
                                const VvMigrationUse *use, GError **error);
