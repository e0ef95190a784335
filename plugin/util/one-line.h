/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * one-line: words of others as a part of one line, of a log or on a terminal.
 *
 * Owns: which characters may get there. Knows nothing of whose words they are.
 */
#pragma once

#include <glib.h>

/**
 * vv_one_line:
 * @bytes: anything, as a script printed it or a user called a file
 * @cut: whether there were more, which is said
 *
 * What can be logged of it: one line of valid UTF-8, without white space at its ends, with "; " between the
 * lines that there were, and escapes ("\x1b") for what could forge a line, move a cursor, or turn the
 * direction of writing.
 *
 * Returns: (transfer full) (nullable): the line; NULL when nothing is left
 */
char *vv_one_line (const char *bytes, gsize length, gboolean cut);

/** vv_can_be_shown: Returns: whether @name, of a file, can be quoted as it is: valid UTF-8, without control
 * characters of ASCII */
gboolean vv_can_be_shown (const char *name);

/**
 * vv_printable:
 * @text: (nullable): any bytes
 * @characters: how many are kept; "..." follows when there were more
 *
 * Returns: (transfer full) (nullable): @text on one line, and nothing that a terminal acts on: no control
 * characters, also those of C1, nor what turns the direction of writing
 */
char *vv_printable (const char *text, guint characters);
