/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * requested: what a domain requests for one of its devices.
 *
 * Owns: the text of a request in the device's state file, by which the hook's "prepare" tells the gate,
 * that sees no domain, what the hook's "start" would do. Knows nothing of XML, nor of what the policy grants.
 */
#pragma once

#include "policy.h"

/** vv_requested_to_text: Returns: (transfer full): one line */
char *vv_requested_to_text (const VvOptions *requested);

/**
 * vv_requested_from_text:
 * @text: (nullable): what vv_requested_to_text() has made; NULL: nothing was requested
 * @requested: (out): by vv_options_clear(); nothing with FALSE
 *
 * Returns: FALSE when @text is none of that kind
 */
gboolean vv_requested_from_text (const char *text, VvOptions *requested);
