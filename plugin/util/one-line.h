/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * one-line: makes foreign text safe as part of a log line or on a terminal.
 *
 * Owns: the set of characters that are safe there. Knows nothing of the origin of the text.
 */
#pragma once

#include <glib.h>

/**
 * vv_one_line:
 * @bytes: any bytes, such as the output of a script or a file name
 * @cut: whether the text was truncated; a note is appended then
 *
 * Converts @bytes to one line of valid UTF-8 that is safe to log. Strips white space at both ends. Replaces
 * line feeds with "; " and tabs with blanks. Escapes ("\x1b") characters that could forge a line, move the
 * cursor, or change the direction of writing.
 *
 * Returns: (transfer full) (nullable): the line, or NULL if it is empty
 */
char *vv_one_line (const char *bytes, gsize length, gboolean cut);

/** vv_can_be_shown: Returns: whether the file name @name can be quoted unchanged: it is valid UTF-8 without
 * ASCII control characters */
gboolean vv_can_be_shown (const char *name);

/**
 * vv_printable:
 * @text: (nullable): any bytes
 * @characters: maximum number of characters; "..." is appended to a longer text
 *
 * Replaces white space with blanks, and all other characters that are not printable with "?". These include
 * control characters (C0 and C1) and characters that change the direction of writing.
 *
 * Returns: (transfer full) (nullable): the text on one line, or NULL if @text is NULL
 */
char *vv_printable (const char *text, guint characters);
