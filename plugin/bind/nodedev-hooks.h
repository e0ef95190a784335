/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nodedev-hooks: the node-device hook point, which runs the administrator's scripts during a rebind.
 *
 * Owns: the list of scripts, whether root may run them, their order, their arguments and their errors. Knows
 * nothing of drivers, of candidates, or of the effect of a failure on the device: binding decides that.
 * Source of the convention: libvirt's docs/hooks.rst and virHookCall().
 *
 * A script is executed by its path, not by a descriptor. With a descriptor, its interpreter would get
 * "/dev/fd/N" as $0 and keep that file open (execveat(2)). The owner of the opened file also does not show
 * which user chose that file (trusted-path).
 */
#pragma once

#include "change.h"
#include "host.h"
#include "pci-device.h"

/** VV_NODEDEV_HOOKS_LIMIT: the default time limit of a script, in milliseconds */
#define VV_NODEDEV_HOOKS_LIMIT 10000

typedef struct VvNodedevHooks VvNodedevHooks;

/**
 * vv_nodedev_hooks_new:
 * @host: must outlive the hooks
 * @limit_ms: time limit of one script, in milliseconds; 0: %VV_NODEDEV_HOOKS_LIMIT
 *
 * Creates the hook point in VV_LIBVIRT_HOOKS_DIR, below the host's sysroot if it has one. Reads nothing yet.
 *
 * Returns: (transfer full): the hook point
 */
VvNodedevHooks *vv_nodedev_hooks_new (const VvHost *host, guint limit_ms);
void vv_nodedev_hooks_free (VvNodedevHooks *hooks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvNodedevHooks, vv_nodedev_hooks_free)

/** VvGoesOn: called when work progresses. The next step may take @limit_ms milliseconds; 0: it has no limit
 * of its own. */
typedef void (*VvGoesOn) (guint limit_ms, gpointer data);

/**
 * vv_nodedev_hooks_watch:
 * @goes_on: (nullable): called each time the hook point is reached, and before and after each script
 * @data: for @goes_on
 */
void vv_nodedev_hooks_watch (VvNodedevHooks *hooks, VvGoesOn goes_on, gpointer data);

/**
 * vv_nodedev_hooks_run:
 * @device: the device for the scripts, as it was loaded
 * @sub_operation: "begin" or "end"
 * @driver: (nullable): the driver that the device is to be bound to; NULL: "-"
 * @deadline: by g_get_monotonic_time() (microseconds), after which no script may run; 0: none
 *
 * Runs "nodedev", then the scripts in "nodedev.d" in the order of strcmp(). The arguments of each script are
 * libvirt's name of the device, the operation, @sub_operation and @driver. Its standard input is
 * vv_nodedev_xml(). Stops at the first script that fails. Ignores hidden files, backup files of editors and
 * package managers, and files that are not executable. If vv_trusted_path_fault() reports a fault of a script
 * or of the hooks directory, skips the script with a warning; this is not a failure. For a link, runs the
 * file that it leads to.
 *
 * A script may run for the time limit or until @deadline, whichever is shorter. Without scripts, this costs
 * two failed system calls. Several threads may call this at the same time.
 *
 * Returns: FALSE with @error set: "hook PATH: ..." with the output of the script (VV_ERROR_FAILED), or
 * VV_ERROR_NO_DEVICE when the device disappeared before a script could run
 */
gboolean vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device, VvOperation operation,
                               const char *sub_operation, const char *driver, gint64 deadline,
                               GError **error);

/**
 * vv_nodedev_hooks_faults:
 *
 * Returns: (transfer full) (element-type utf8): the scripts that vv_nodedev_hooks_run() skips because users
 * other than root could have written them, as "SCRIPT: REASON" with the fix; empty when there are none
 */
GPtrArray *vv_nodedev_hooks_faults (const VvNodedevHooks *hooks);
