/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fork: starts the daemon's child processes: workers, watchdog and monitor.
 *
 * A child that hangs in the kernel outlives the daemon. A descriptor that it had inherited would keep alive
 * what must end with the daemon: the gate's fanotify groups, and the status socket.
 *
 * Owns: the descriptors and signals that a child inherits, and that the child dies with the daemon. Knows
 * nothing of the child's work.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/**
 * vv_fork:
 * @keep: descriptors that the child needs; -1: none
 * @n: number of descriptors in @keep
 *
 * Forks as fork(2). The child dies with its parent (PR_SET_PDEATHSIG), has no signals blocked, and has the
 * default action for SIGPIPE. Of the descriptors, it has only those in @keep, the standard streams, open
 * directories, and the sockets of the system's log. The last three do not affect other processes.
 */
pid_t vv_fork (const int *keep, guint n);
