/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * host: the paths of the system to work on: the running one, or one below a --sysroot.
 *
 * Owns: the open /sys and /proc, the kernel release, the modules directory and the directory of the state
 * store. All other code gets its paths here, so that a test or a rescue system only sets another root.
 */
#pragma once

#include "io.h"

/** The socket on which vfio-variantd reports its status, in the directory of the state store. */
#define VV_DAEMON_SOCKET "vfio-variantd.sock"

/**
 * VvProcLook: the last scan of /proc by in-use; all calls with the same host share it
 * @lock: protects the fields below
 * @open: (nullable): the character devices that processes had open; NULL: no scan yet
 * @taken: start of the scan, by g_get_monotonic_time()
 * @limit: time limit of a scan, microseconds
 * @is_cut: the last scan exceeded @limit
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
 * @sysroot: (nullable): the root of another system; NULL: the running one
 * @release: the kernel release of the modules
 * @modules_path: the modules directory of @release, which may be missing
 * @run_path: the directory of the state store and the locks, which may be missing
 * @sys: the open sysfs
 * @proc: (nullable): the open procfs
 * @proc_look: the last scan of @proc
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
 * @release: (nullable): the kernel release; NULL: the only release below @sysroot, else the running kernel's
 *
 * Returns: (transfer full): the host, or NULL with @error set if there is no sysfs, or if @release could lead
 * out of the modules directory
 */
VvHost *vv_host_new (const char *sysroot, const char *release, GError **error);
void vv_host_free (VvHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvHost, vv_host_free)

/** vv_host_path: Returns: (transfer full): the absolute path @path, below the sysroot if there is one */
char *vv_host_path (const VvHost *host, const char *path);
