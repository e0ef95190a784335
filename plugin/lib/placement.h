/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * placement: puts a device where the policy, and the owner of a domain, want it.
 *
 * Owns: the way from the catalog's offer through the policy to a binding, and the last question, whether the
 * driver that was bound can migrate the device. Knows nothing of who asks: hook, gate and command alike.
 */
#pragma once

#include "migration.h"
#include "session.h"

/**
 * VvChoice:
 * @selection: the candidates that may be tried, in order
 * @decision: what the policy, narrowed by a wish, wants of the device
 * @refused: (element-type utf8): what of the wish the policy did not grant
 */
typedef struct {
  VvSelection *selection;
  VvDecision *decision;
  GPtrArray *refused;
} VvChoice;

void vv_choice_free (VvChoice *choice);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvChoice, vv_choice_free)

/**
 * vv_choose:
 * @entry: (nullable): its journal entry, which knows its driver on the host
 * @seen_driver: (nullable): the driver it was seen on before somebody unbound it; NULL: as it is now
 * @wish: (nullable): what a domain wants of the device
 * @whose: (nullable): whose wish that is
 *
 * Touches no device.
 *
 * Returns: (transfer full): the choice, or NULL with @error set: the device's modalias is malformed
 */
VvChoice *vv_choose (const VvSession *session, const VvPciDevice *device, const VvEntry *entry,
                     const char *seen_driver, const VvTerms *wish, const char *whose, GError **error);

/** vv_choice_takes: Returns: whether @device may be on @driver, if somebody else chose that */
gboolean vv_choice_takes (const VvSession *session, const VvPciDevice *device, const VvChoice *choice,
                          const char *driver);

/**
 * vv_choose_model:
 * @model: (nullable): what <driver model='...'/> of a hostdev says; a wish, too, and one that, when it is
 * granted, admits no other
 *
 * As vv_choose() for a device as it is now.
 */
VvChoice *vv_choose_model (const VvSession *session, const VvPciDevice *device, const VvEntry *entry,
                           const char *model, const VvTerms *wish, const char *whose, GError **error);

/**
 * vv_choice_check:
 *
 * Loads ahead the module that is going to be needed. When nothing that was decided can be had, and that was
 * asked for strictly, there is no point in going on.
 *
 * Returns: FALSE with @error set (VV_ERROR_POLICY) then
 */
gboolean vv_choice_check (const VvSession *session, const VvPciDevice *device, const VvChoice *choice,
                          GError **error);

/**
 * vv_place:
 * @choice: its selection loses what turns out not to migrate, where that is required
 *
 * As vv_binding_detach() with what was chosen. Where migration is required the driver is asked
 * (vv_migration_probe()), and the next one tried when it has none. When none is left the device goes back to
 * the driver, the driver_override and the entry it had at the call; one that had no driver then does not, for
 * only the caller knows what it was before that.
 *
 * Returns: (transfer full): what happened last, not logged yet, or NULL with @error set: VV_ERROR_POLICY when
 * the device cannot have what was asked for strictly
 */
VvChange *vv_place (const VvSession *session, VvBinding *binding, VvChoice *choice, GError **error);

/**
 * vv_place_can_migrate:
 *
 * Asks the driver that @device is on, and notes the answer in the journal.
 *
 * Returns: whether it can; FALSE with @error set when it has no migration (VV_ERROR_POLICY), or that could
 * not be told
 */
gboolean vv_place_can_migrate (const VvSession *session, const VvPciDevice *device, GError **error);
