/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * move: many devices at once: worker threads, progress, results as text or JSON, one exit code.
 *
 * Owns: the order of output. What is done with one device is the caller's function.
 */
#pragma once

#include "command.h"

/**
 * vv_open_to_move:
 * @command: the sub-command's name
 * @jobs: what --jobs says
 *
 * Checks @jobs, sends the log to the system, and opens a context as vv_open_context() does.
 *
 * Returns: (transfer full): the context, or NULL with @exit_code set and the error printed
 */
VvContext *vv_open_to_move (const VvCommon *common, const char *command, int jobs, gboolean dry_run,
                            int *exit_code);

/**
 * VvMoveFunc: moves one device; called from worker threads, for different devices at the same time
 *
 * Returns: (transfer full): what happened, or NULL with @error set
 */
typedef VvChange *(*VvMoveFunc) (const VvContext *context, const char *address, gpointer data,
                                 GError **error);

/**
 * vv_move_all:
 * @jobs: how many at the same time
 * @dry_run: print the steps of each change instead of its outcome
 *
 * Returns: the exit code: of the errors when all are of one kind, else VV_EXIT_FAILED
 */
int vv_move_all (const VvContext *context, const GPtrArray *addresses, int jobs, gboolean json,
                 gboolean dry_run, VvMoveFunc func, gpointer data);
