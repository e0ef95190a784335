/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-process: the process of the libvirt daemon, and whether it runs the vfio-variant hook.
 *
 * Owns: the search for the process in procfs, and the hook's note in the state store about its last caller.
 * libvirt looks for hooks only when it starts or reloads, and caches the result (virHookInitialize() and
 * virHookCall() in its src/util/virhook.c). An installed hook is therefore not necessarily run. Knows nothing
 * of the hook's work, nor of the consequences of a version.
 */
#pragma once

#include "libvirt-version.h"
#include "state-store.h"

/**
 * VvLibvirtProcess:
 * @pid: the process ID
 * @name: "libvirtd" or "virtqemud"
 * @start: its start time in clock ticks since boot; unique together with @pid until the next boot
 * @started: its start time in microseconds since the epoch, rounded down to a tick; 0: unknown
 * @version: as vv_libvirt_version_of() returns it
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
 * Returns: (transfer full) (nullable): the libvirt daemon of root that starts QEMU domains; with a sysroot,
 * it may also be the caller's. If there are several, the process with the lowest ID. NULL: there is none
 */
VvLibvirtProcess *vv_libvirt_process_find (const VvHost *host);

/**
 * vv_is_libvirt:
 *
 * Returns: whether @pid belongs to root, or with a sysroot to the caller, and has the name of a libvirt
 * daemon that starts QEMU domains
 */
gboolean vv_is_libvirt (const VvHost *host, pid_t pid);

/**
 * vv_hook_caller_is_recorded:
 * @pid: the process that runs the hook
 *
 * Returns: TRUE when there is nothing to record: @pid is already recorded, or does not have the name of a
 * libvirt daemon
 */
gboolean vv_hook_caller_is_recorded (const VvHost *host, pid_t pid);

/**
 * vv_hook_note_caller:
 * @pid: the process that runs the hook
 *
 * Records @pid as the caller of the hook, if it has the name of a libvirt daemon. Ignores write errors: only
 * 'vfio-variant status' reads this note.
 */
void vv_hook_note_caller (const VvHost *host, pid_t pid);

/** vv_hook_was_run_by: Returns: whether @process is the last recorded caller of the hook */
gboolean vv_hook_was_run_by (const VvStateStore *store, const VvLibvirtProcess *process);
