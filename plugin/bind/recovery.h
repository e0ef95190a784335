/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * recovery: completes or reverts a rebind whose process died (rule R6).
 *
 * Owns: the action for each combination of an interrupted entry and the device's state in sysfs (the table in
 * docs/design.rst). Knows nothing of how an entry was interrupted.
 */
#pragma once

#include "binding-steps.h"

/**
 * vv_recover_device:
 * @lock: (transfer full) (nullable): as for vv_binding_new(); with the lock, a process that left an
 * intermediate state in the entry is dead
 *
 * Opens a binding like vv_binding_new(), and recovers the device if its entry is in an intermediate state. If
 * recovery fails, the entry stays, and the next vfio-variant process tries again.
 *
 * Returns: (transfer full): the binding, or NULL with @error set
 */
VvBinding *vv_recover_device (const VvContext *context, const char *address, VvLock *lock, GError **error);

/**
 * vv_recover:
 *
 * Recovers all devices that have an entry. Skips a device whose lock another process has, because that
 * process is alive. Removes the entry of a device that is no longer present, unless a domain has it.
 */
void vv_recover (const VvContext *context);
