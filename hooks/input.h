/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * input: the domain's XML as the hook, and the program that it runs, have it on standard input.
 */
#pragma once

#include <glib.h>

/**
 * vv_hook_input:
 *
 * Returns: (transfer full): standard input, or what there is of it up to one byte over VV_DOMAIN_XML_LIMIT:
 * vv_domain_parse() then says that it is too long
 */
GString *vv_hook_input (void);
