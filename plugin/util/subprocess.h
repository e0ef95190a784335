/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * subprocess: runs a program and waits for it, with a time limit and its output caught.
 *
 * Owns: the process between fork and wait. Knows nothing of what is run, nor whether it may be. No globals,
 * no main loop, no handler of SIGCHLD: any thread may call it, also in a process that was forked.
 */
#pragma once

#include "error.h"

/** VV_SUBPROCESS_MESSAGES_LIMIT: bytes of a program's messages that are kept */
#define VV_SUBPROCESS_MESSAGES_LIMIT 4096

/**
 * VvSubprocess:
 * @path: the absolute path of the executable
 * @argv: (array zero-terminated=1): its arguments; the first is its name
 * @environment: (nullable) (array zero-terminated=1): its environment; NULL:
 * PATH=/usr/sbin:/usr/bin:/sbin:/bin, LC_ALL=C, HOME=/
 * @input: (nullable): its standard input; a file, so that nobody waits when it is not read; NULL: empty
 * @limit_ms: milliseconds that it may take
 * @output: (nullable): takes its standard output; only standard error is its messages then. NULL: both are
 * @output_limit: the most bytes that it may write to @output
 *
 * A program to run
 */
typedef struct {
  const char *path;
  const char *const *argv;
  const char *const *environment;
  const char *input;
  guint limit_ms;
  GString *output;
  guint output_limit;
} VvSubprocess;

/**
 * vv_subprocess_run:
 * @messages: (out) (optional) (transfer full) (nullable): what it said, in one line that can be logged; NULL:
 * nothing, or it failed
 *
 * Runs the program in a session and process group of its own, without a terminal, in "/", with umask 022, no
 * signal blocked or ignored, and no open files but the standard ones. Past a limit its process group is
 * killed. What it leaves running in the background when it ends in time is neither waited for nor killed.
 *
 * At most %VV_SUBPROCESS_MESSAGES_LIMIT bytes of its messages are kept; bytes that are not UTF-8 and
 * characters that move a cursor are replaced.
 *
 * Returns: TRUE when it exited with 0; else FALSE with @error set (VV_ERROR_FAILED): what happened and, after
 * a colon, its messages
 */
gboolean vv_subprocess_run (const VvSubprocess *program, char **messages, GError **error);
