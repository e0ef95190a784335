/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * requested: what a domain requests for one of its devices.
 *
 * Owns: the text of a request in the device's state file. The hook writes it at "prepare", so that the gate,
 * which has no domain XML, binds the driver that the hook's "start" would bind. Knows nothing of XML, nor of
 * what the policy allows.
 */
#pragma once

#include "policy.h"

/** vv_requested_to_text: Returns: (transfer full): the request in one line */
char *vv_requested_to_text (const VvOptions *requested);

/**
 * vv_requested_from_text:
 * @text: (nullable): a result of vv_requested_to_text(); NULL: no request
 * @requested: (out): free with vv_options_clear(); empty if FALSE is returned
 *
 * Returns: FALSE when @text is not such a result
 */
gboolean vv_requested_from_text (const char *text, VvOptions *requested);
