/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * host: where things are: the running system, or one below a --sysroot.
 *
 * Owns: the open /sys and /proc, the kernel release, the modules directory and the directory of the state
 * store. Everything else asks it, so that a test or a rescue system needs only another root.
 */
#pragma once

#include "io.h"

/** The socket at which vfio-variantd tells its status, in the directory of the state store. */
#define VV_DAEMON_SOCKET "vfio-variantd.sock"

/**
 * VvProcLook: what in-use keeps of its last look through /proc, for all calls with the same host
 * @lock: for the fields below
 * @open: (nullable): the character devices that processes had open; NULL: there was no look yet
 * @taken: when, by g_get_monotonic_time()
 * @limit: microseconds that a look may take
 * @is_cut: the last look took longer
 */
typedef struct {
  GMutex lock;
  GArray *open;
  gint64 taken;
  gint64 limit;
  gboolean is_cut;
} VvProcLook;

/**
 * VvHost:
 * @sysroot: (nullable): the root of another system, NULL for the running one
 * @release: the kernel release whose modules count
 * @modules_path: its modules directory, which may be missing
 * @run_path: directory of the state store and the locks, which may be missing
 * @sys: the open sysfs
 * @proc: (nullable): the open procfs
 * @proc_look: the last look through it
 */
typedef struct {
  char *sysroot;
  char *release;
  char *modules_path;
  char *run_path;
  VvDir *sys;
  VvDir *proc;
  VvProcLook *proc_look;
} VvHost;

/**
 * vv_host_new:
 * @sysroot: (nullable): the root of another system; NULL or "/": the running one
 * @release: (nullable): the kernel release; NULL: the running one's or, when @sysroot holds a single one,
 * that
 *
 * Returns: (transfer full): the host, or NULL with @error set: there is no sysfs, or @release could lead out
 * of the modules directory
 */
VvHost *vv_host_new (const char *sysroot, const char *release, GError **error);
void vv_host_free (VvHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvHost, vv_host_free)

/** vv_host_path: Returns: (transfer full): the absolute @path, below the sysroot when there is one */
char *vv_host_path (const VvHost *host, const char *path);
