/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * recovery: finishes or undoes what a process that died left half done (rule R6).
 *
 * Owns: what follows from an entry that was cut off and from what sysfs says of the device (the table in
 * docs/design.rst). Knows nothing of how an entry came to be cut off.
 */
#pragma once

#include "binding-steps.h"

/**
 * vv_recover_device:
 * @lock: (transfer full) (nullable): as for vv_binding_new(); with it whoever wrote a state in between is
 * dead
 *
 * As vv_binding_new(), and mends the device where that is needed. When it cannot be mended the entry stays,
 * for the next start of anything.
 *
 * Returns: (transfer full): the binding, or NULL with @error set
 */
VvBinding *vv_recover_device (const VvContext *context, const char *address, VvLock *lock, GError **error);

/**
 * vv_recover:
 *
 * All devices that have an entry. One whose lock another process has is passed over: that process lives. The
 * entry of a device that is gone from the host is dropped.
 */
void vv_recover (const VvContext *context);
