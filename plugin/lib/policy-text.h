/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy-text: the policy as a key file, from one of our programs to another.
 *
 * Owns: that form, which loses nothing. vfio-variantd reads it from "vfio-variant policy --keyfile", so that
 * it need not have libxml2 in memory; hence nothing here may need it. Knows nothing of where a policy is
 * from.
 */
#pragma once

#include "policy.h"

/** The longest text that is read, in bytes. */
#define VV_POLICY_TEXT_LIMIT (64 * 1024 * 1024)

/** vv_policy_to_text: Returns: (transfer full): all that @policy holds; what is not UTF-8 is replaced */
char *vv_policy_to_text (const VvPolicy *policy);

/**
 * vv_policy_from_text:
 * @text: what vv_policy_to_text() made, @length bytes
 *
 * Returns: (transfer full): the policy, or NULL with @error set (VV_ERROR_INVALID): it is damaged, or of
 * another version of the form
 */
VvPolicy *vv_policy_from_text (const char *text, gsize length, GError **error);
