/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nodedev-hooks: the node-device hook point: the administrator's scripts, while a device changes hands.
 *
 * Owns: which scripts there are, whether root may run them, their order, their arguments and what a failure
 * says. Knows nothing of drivers, candidates or what a failure means for the device: binding decides. Source
 * of the convention: libvirt's docs/hooks.rst and virHookCall().
 *
 * A script is run by its path, not by a descriptor: its interpreter would get "/dev/fd/N" as $0 and keep that
 * file open (execveat(2)), and who owns the opened file does not tell who chose it (trusted-path).
 */
#pragma once

#include "change.h"
#include "host.h"
#include "pci-device.h"

/** VV_NODEDEV_HOOKS_LIMIT: milliseconds that a script may take when nobody says otherwise */
#define VV_NODEDEV_HOOKS_LIMIT 10000

typedef struct VvNodedevHooks VvNodedevHooks;

/**
 * vv_nodedev_hooks_new:
 * @host: kept, and must outlive the hooks
 * @limit_ms: milliseconds that one script may take; 0: %VV_NODEDEV_HOOKS_LIMIT
 *
 * The hook point in VV_LIBVIRT_HOOKS_DIR, below the host's sysroot when there is one. Nothing is read yet.
 *
 * Returns: (transfer full): the hook point
 */
VvNodedevHooks *vv_nodedev_hooks_new (const VvHost *host, guint limit_ms);
void vv_nodedev_hooks_free (VvNodedevHooks *hooks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvNodedevHooks, vv_nodedev_hooks_free)

/** VvGoesOn: work goes on; what is next may take @limit_ms, a limit of its own, in milliseconds; 0: it has
 * none */
typedef void (*VvGoesOn) (guint limit_ms, gpointer data);

/**
 * vv_nodedev_hooks_watch:
 * @goes_on: (nullable): called each time that the hook point is reached, and before and after each script
 * @data: for @goes_on
 */
void vv_nodedev_hooks_watch (VvNodedevHooks *hooks, VvGoesOn goes_on, gpointer data);

/**
 * vv_nodedev_hooks_run:
 * @device: what the scripts are told of, as it was loaded
 * @sub_operation: "begin" or "end"
 * @driver: (nullable): the driver that it goes to; NULL: "-"
 * @deadline: moment of g_get_monotonic_time() (microseconds) past which nothing may run; 0: none
 *
 * Runs "nodedev", then what is in "nodedev.d" in the order of strcmp(), each with libvirt's name of the
 * device, the operation, @sub_operation and @driver as arguments and vv_nodedev_xml() on standard input. The
 * first that fails ends the row. Hidden files, those that editors and package managers leave, and what is no
 * executable file are passed over in silence. A script that vv_trusted_path_fault() finds a fault with, or
 * with the directory of the hooks, is not run; that is a warning and no failure. What a link leads to is run.
 *
 * A script gets the time limit or the time that is left, whichever is less. Without scripts this costs two
 * failed system calls. May be called by several threads at once.
 *
 * Returns: FALSE with @error set: "hook PATH: ..." with what the script printed (VV_ERROR_FAILED), or the
 * device went away before a script could run (VV_ERROR_NO_DEVICE)
 */
gboolean vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device, VvOperation operation,
                               const char *sub_operation, const char *driver, gint64 deadline,
                               GError **error);

/** vv_nodedev_hooks_faults: Returns: (transfer full) (element-type utf8): the scripts that
 * vv_nodedev_hooks_run() does not run because of who could have written them: "SCRIPT: WHY", with the fix;
 * empty when there are none */
GPtrArray *vv_nodedev_hooks_faults (const VvNodedevHooks *hooks);
