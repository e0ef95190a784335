/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trusted-path: whether nobody but root decides what a path leads to.
 *
 * What fstat(2) says of the opened file is not enough: a user who may write to a directory on the way, or
 * owns a link on it, can have the path lead to any program of root's. So each name on the way is looked at,
 * from the root on; what lies below a directory is looked at when only root can change it any more.
 *
 * Owns: that rule. Knows nothing of what the file is for.
 */
#pragma once

#include "host.h"

/**
 * vv_trusted_path_fault:
 * @host: with a sysroot its directory is the topmost that is looked at, and the caller counts as root does
 * @path: an absolute path, below the sysroot when there is one
 *
 * Looks at the file that @path leads to, each link on the way, and each directory: all must belong to root,
 * and none but links may be writable by group or others. A sticky directory may, unless the file, or a link
 * that is the last name of a path, is in it: nobody can replace what another owns there, but put something
 * new beside it.
 *
 * Returns: (transfer full) (nullable): what is wrong, and the fix; NULL: nothing
 */
char *vv_trusted_path_fault (const VvHost *host, const char *path);
