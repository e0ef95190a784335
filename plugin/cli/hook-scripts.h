/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hook-scripts: what other hook scripts of libvirt's do to devices.
 *
 * Owns: which files below libvirt's hooks are read, and a reader of shell that knows words, quotes, comments
 * and command positions, and nothing of what they mean. Runs nothing; a command that it does not recognize is
 * passed over.
 */
#pragma once

#include "check-context.h"

/**
 * VvHookUse:
 * @VV_HOOK_CALLS_LIBVIRT: virsh, which waits for libvirt, which waits for the hook
 * @VV_HOOK_MOVES_DEVICES: writes to bind, unbind, driver_override and the like, or unloads a VFIO module
 */
typedef enum {
  VV_HOOK_CALLS_LIBVIRT,
  VV_HOOK_MOVES_DEVICES,
} VvHookUse;

/** Called with each use: the line, from 1, and what is done there, valid during the call only. */
typedef void (*VvHookUseFunc) (VvHookUse use, guint line, const char *what, gpointer data);

/**
 * vv_hook_script_read:
 * @text: a script, any text; one whose interpreter is no shell has no uses
 */
void vv_hook_script_read (const char *text, VvHookUseFunc func, gpointer data);

/** vv_find_hook_scripts: the scripts below libvirt's hooks with such uses, each kind once for each script.
 * Read are root's files of 256 KiB at most: what is executable in the folder and its *.d, and any file
 * further below, which other scripts may run */
void vv_find_hook_scripts (const VvCheckContext *s, GPtrArray *findings);
