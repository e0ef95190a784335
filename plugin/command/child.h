/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * child: runs another program and reads what it prints, bounded in time and in bytes.
 *
 * Owns: that process. Knows nothing of what is run. (script, of the library, is for executables that have
 * little to say and must not see our environment.)
 */
#pragma once

#include "error.h"

/** What a program may print on standard error, in bytes; what follows is dropped. */
#define VV_CHILD_ERRORS_LIMIT 4096

/**
 * vv_child_run:
 * @argv: (array zero-terminated=1): the program, found in PATH when it has no slash, and its arguments
 * @limit: the most bytes that it may print on standard output
 * @limit_ms: milliseconds that it may take
 *
 * Standard input is empty. Past a limit the program is killed.
 *
 * Returns: (transfer full): its standard output; or NULL with @error set: VV_ERROR_NOT_FOUND when there is no
 * such program; VV_ERROR_FAILED past a limit, or with the end of its standard error when it did not exit with
 * 0
 */
GString *vv_child_run (const char *const *argv, gsize limit, guint limit_ms, GError **error);
