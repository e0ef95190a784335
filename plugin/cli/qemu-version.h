/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * qemu-version: which QEMU a guest would get.
 *
 * Owns: finding the emulator, whether it may be run to ask it, and reading its answer. Knows nothing of what
 * follows from a version.
 */
#pragma once

#include "host.h"

/**
 * VvQemu:
 * @path: (nullable): the emulator; NULL: none was found
 * @version: MAJOR * 1000 + MINOR; 0: it cannot be told
 * @problem: (nullable): why it cannot be told
 */
typedef struct {
  char *path;
  guint version;
  char *problem;
} VvQemu;

void vv_qemu_clear (VvQemu *qemu);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvQemu, vv_qemu_clear)

/**
 * vv_qemu_ask:
 * @emulator: (nullable): what the domain's XML names; NULL: the one for this machine's architecture that is
 * found
 * @qemu: (out): what was found out; to be cleared
 *
 * Runs it with --version, for 10 seconds at most. Domain XML may come from users, so only what is where
 * distributions install QEMU, and what only root can have written, is run, and nothing of another system
 * (--sysroot).
 */
void vv_qemu_ask (const VvHost *host, const char *emulator, VvQemu *qemu);
