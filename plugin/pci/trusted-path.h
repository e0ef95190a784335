/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trusted-path: whether only root controls which file a path leads to.
 *
 * fstat(2) of the opened file is not enough. A user with write access to a directory of the path, or the
 * owner of a link in it, can redirect the path to any program that root owns. So this file checks each
 * component of the path, from the root on. When it checks a component, only root can still change the
 * directories above.
 *
 * Owns: that rule. Knows nothing of the purpose of the file.
 */
#pragma once

#include "host.h"

/**
 * vv_trusted_path_fault:
 * @host: with a sysroot, the check starts at its directory, and the caller is trusted like root
 * @path: an absolute path, below the sysroot if there is one
 *
 * Checks the file that @path leads to, and each link and directory on the way. Root must own all of them, and
 * none except links may be writable by its group or others. A sticky directory may be writable, unless it
 * contains the file itself, or a link that is the last component of a path to it. In a sticky directory,
 * users cannot replace files of others, but can create new ones.
 *
 * Returns: (transfer full) (nullable): the problem and its fix, or NULL if there is none
 */
char *vv_trusted_path_fault (const VvHost *host, const char *path);
