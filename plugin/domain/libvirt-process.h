/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-process: the process that is libvirt, and whether it knows our hook.
 *
 * Owns: finding it in procfs, and the hook's note of who ran it last, in the state store. libvirt looks for
 * hooks when it starts or is told to reload, and remembers what it found (virHookInitialize() and
 * virHookCall() in its src/util/virhook.c), so that the hook is installed does not say that it is run. Knows
 * nothing of the hook's work, nor of what follows from a version.
 */
#pragma once

#include "libvirt-version.h"
#include "state-store.h"

/**
 * VvLibvirtProcess:
 * @pid: the process
 * @name: "libvirtd" or "virtqemud"
 * @start: when it started, timer ticks since boot; with @pid it is unique until the next boot
 * @started: the same, microseconds since the epoch, rounded down to a tick; 0: cannot be told
 * @version: as vv_libvirt_version_of() has it
 */
typedef struct {
  pid_t pid;
  char *name;
  guint64 start;
  gint64 started;
  guint version;
} VvLibvirtProcess;

void vv_libvirt_process_free (VvLibvirtProcess *process);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvLibvirtProcess, vv_libvirt_process_free)

/**
 * vv_libvirt_process_find:
 *
 * Returns: (transfer full) (nullable): root's process (below a sysroot: or the caller's) that starts QEMU's
 * domains, the one with the lowest number if there are several; NULL: none runs
 */
VvLibvirtProcess *vv_libvirt_process_find (const VvHost *host);

/** vv_is_libvirt: Returns: whether @pid is a process of root's (below a sysroot: or the caller's) by the name
 * of a libvirt daemon that starts QEMU's domains */
gboolean vv_is_libvirt (const VvHost *host, pid_t pid);

/** vv_hook_caller_is_recorded: Returns: whether there is nothing to note of @pid, which runs the hook: it was
 * recorded before, or is no process whose name is libvirt's */
gboolean vv_hook_caller_is_recorded (const VvHost *host, pid_t pid);

/**
 * vv_hook_note_caller:
 * @pid: the process that runs the hook
 *
 * Notes that libvirt runs the hook, if its name is libvirt's. That it cannot be written is no error: only the
 * doctor reads it.
 */
void vv_hook_note_caller (const VvHost *host, pid_t pid);

/** vv_hook_was_run_by: Returns: whether @process is who ran the hook last */
gboolean vv_hook_was_run_by (const VvStateStore *store, const VvLibvirtProcess *process);
