/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fork: the daemon's child processes: workers, watchdog and monitor.
 *
 * A child that the kernel does not released outlives the daemon. A descriptor that it kept would keep alive
 * what the daemon's end ends: the gate's groups, the status socket.
 *
 * Owns: what a child inherits: descriptors, signals, and that it dies with the daemon. Knows nothing of what
 * it does.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/**
 * vv_fork:
 * @keep: descriptors that the child needs; -1: none
 * @n: how many
 *
 * As fork(2). The child dies with its parent (PR_SET_PDEATHSIG), has no signals blocked, SIGPIPE as usual,
 * and of the descriptors only @keep and what changes nothing for others: the standard streams, open
 * directories, and the sockets of the system's log.
 */
pid_t vv_fork (const int *keep, guint n);
