/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * script: runs one executable for us, watched: with a time limit, a clean environment and its words caught.
 *
 * Owns: the process between fork and wait. Knows nothing of what is run, nor whether it may be. No globals,
 * no main loop, no handler of SIGCHLD: any thread may call it, also in a process that was forked.
 */
#pragma once

#include "error.h"

/** VV_SCRIPT_OUTPUT_LIMIT: bytes of what a script prints that are kept */
#define VV_SCRIPT_OUTPUT_LIMIT 4096

/**
 * vv_script_run:
 * @path: the absolute path of the executable
 * @argv: (array zero-terminated=1): its arguments, the first is its name
 * @input: its standard input; a file, so that nobody waits when it is not read
 * @limit_ms: milliseconds that it may take
 * @output: (out) (transfer full) (nullable): what it printed, in one line that can be logged; NULL: nothing
 *
 * Runs @path in a process group of its own, in "/", with umask 022, no signal blocked or ignored, standard
 * output and error to us, no other open files, and the environment PATH=/usr/sbin:/usr/bin:/sbin:/bin,
 * LC_ALL=C, HOME=/. Past the limit its process group is killed. What it leaves running in the background when
 * it ends in time is neither waited for nor killed.
 *
 * At most %VV_SCRIPT_OUTPUT_LIMIT bytes of what it prints are kept; bytes that are not UTF-8 and characters
 * that move a cursor are replaced.
 *
 * Returns: TRUE when it exited with 0; else FALSE with @error set (VV_ERROR_FAILED): what happened and, after
 * a colon, what it printed
 */
gboolean vv_script_run (const char *path, const char *const *argv, const char *input, guint limit_ms,
                        char **output, GError **error);
