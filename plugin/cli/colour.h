/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * colour: whether what is printed has colours, and which.
 *
 * Owns: what --color, NO_COLOR (https://no-color.org) and TERM mean, and the one meaning that each colour
 * has.
 */
#pragma once

#include <glib.h>
#include <stdio.h>

/** ECMA-48, SGR: green, yellow, red */
#define VV_COLOUR_GOOD "\033[32m"
#define VV_COLOUR_FAIR "\033[33m"
#define VV_COLOUR_BAD "\033[31m"

/**
 * vv_colour_wanted:
 * @when: (nullable): what --color says; NULL: auto
 * @wanted: (out): with auto, whether standard output is a terminal that can, and NO_COLOR is not set
 *
 * Returns: FALSE when @when is no such word
 */
gboolean vv_colour_wanted (const char *when, gboolean *wanted);

/** vv_colour_is_terminal: Returns: whether standard output is a terminal on which the cursor can be moved */
gboolean vv_colour_is_terminal (void);

/** vv_colour_print: prints @text on standard output, in @colour (nullable) when it is @wanted */
void vv_colour_print (gboolean wanted, const char *colour, const char *text);
