/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * recovery: finishes or undoes what a process that died left half done (rule R6).
 *
 * Owns: what follows from an entry that was cut off and from what sysfs says of the device (the table in
 * docs/design.rst). Knows nothing of how an entry came to be cut off.
 */
#pragma once

#include "binding.h"

/**
 * vv_binding_recover:
 *
 * To be called with the device's lock held: whoever wrote a state in between is dead. Sets @b->recovered when
 * something had to be done.
 *
 * Returns: FALSE with @error set when it could not be mended; the entry stays then, for the next start of
 * anything
 */
gboolean vv_binding_recover (VvBinding *b, GError **error);
