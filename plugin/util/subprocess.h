/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * subprocess: runs a program with a time limit, captures its output, and waits for it.
 *
 * Owns: the process from fork to wait. Knows nothing of the program, nor whether it may be run. Uses no
 * globals, no main loop and no SIGCHLD handler, so any thread may call it, also in a forked process.
 */
#pragma once

#include "error.h"

/** VV_SUBPROCESS_MESSAGES_LIMIT: maximum number of bytes that are kept of a program's messages */
#define VV_SUBPROCESS_MESSAGES_LIMIT 4096

/**
 * VvSubprocess:
 * @path: the absolute path of the executable
 * @argv: (array zero-terminated=1): its arguments, with its name first
 * @environment: (nullable) (array zero-terminated=1): its environment; NULL:
 * PATH=/usr/sbin:/usr/bin:/sbin:/bin, LC_ALL=C, HOME=/
 * @input: (nullable): its standard input, passed as a file, so that an unread input blocks no process; NULL:
 * empty
 * @limit_ms: time limit, milliseconds
 * @output: (nullable): receives its standard output, and its messages are standard error only; NULL: its
 * messages are both
 * @output_limit: maximum number of bytes in @output; more output is a failure
 *
 * A program to run.
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
 * @messages: (out) (optional) (transfer full) (nullable): the program's messages on one line, safe to log;
 * NULL if there are none, or on failure
 *
 * Runs the program in its own session and process group, without a terminal, in "/", with umask 022, no
 * signal blocked or ignored, and no open files except the standard ones. If the program exceeds a limit,
 * kills its process group. Neither waits for nor kills background processes of a program that ends in time.
 *
 * Keeps at most %VV_SUBPROCESS_MESSAGES_LIMIT bytes of the messages, in the form of vv_one_line().
 *
 * Returns: TRUE if the program exits with 0; else FALSE with @error set (VV_ERROR_FAILED): the failure and,
 * after a colon, the program's messages
 */
gboolean vv_subprocess_run (const VvSubprocess *program, char **messages, GError **error);
