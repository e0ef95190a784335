/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lsm-denials: what SELinux or AppArmor kept our programs, or libvirt with our hook, from doing.
 *
 * Owns: finding the newest such line in the kernel's log and in auditd's, both of which are only read, and
 * only a bounded part of them. Knows nothing of what follows.
 */
#pragma once

#include "host.h"

/**
 * vv_denials_newest:
 * @unreadable: (out) (transfer full) (nullable): a log that is there and could not be read; NULL: none
 *
 * A denial counts when its line names vfio, vfio-variant, libvirt's hooks or modules.alias. What was only
 * recorded (SELinux permissive, AppArmor complain) does not.
 *
 * Returns: (transfer full) (nullable): the line; NULL when there is none
 */
char *vv_denials_newest (const VvHost *host, char **unreadable);
