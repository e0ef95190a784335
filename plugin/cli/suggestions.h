/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * suggestions: which word somebody meant who mistyped it.
 */
#pragma once

#include <glib.h>

/**
 * vv_nearest:
 * @words: (array length=n): what can be meant
 *
 * Returns: (nullable): the word that fewest changes of a character make of @word, two at the most and fewer
 * than it is long; or the only one that begins with it; NULL: none
 */
const char *vv_nearest (const char *word, const char *const words[], gsize n);
