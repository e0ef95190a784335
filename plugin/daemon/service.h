/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * service: the work of vfio-variantd: a worker for each device that libvirt announces, and an answer for
 * each blocked open.
 *
 * Owns: the precedence of options over the policy, and the cooperation of gate, workers, monitor and
 * statistics. Owns the rule that a blocked open is always answered. The answer follows when the work is done,
 * when the worker died, at the deadline, or at the end of the daemon. Knows nothing of signals, of how
 * options are parsed, or of systemd.
 */
#pragma once

#include "context.h"

/**
 * VvServiceOptions:
 * @sysroot: (nullable): a root directory to use instead of the running system's, for tests
 * @executables: (nullable): names of the programs that the gate serves; NULL: not specified
 * @deadline_ms: how long libvirt is blocked before the worker begins nothing new, in milliseconds; 0: not
 * specified
 * @no_gate: the gate stays off
 * @monitor: path of the libvirt client
 *
 * The options of the command line.
 */
typedef struct {
  const char *sysroot;
  char **executables;
  guint deadline_ms;
  gboolean no_gate;
  const char *monitor;
} VvServiceOptions;

/** VvSettings: the settings of the gate; @gate_off: (nullable): why the gate is off */
typedef struct {
  char **executables;
  guint deadline_ms;
  char *gate_off;
} VvSettings;

/**
 * vv_settings_new:
 * @policy: the administrator's policy
 *
 * Returns: (transfer full): the settings, each from @options, else from @policy, else the default
 */
VvSettings *vv_settings_new (const VvServiceOptions *options, const VvPolicy *policy);
void vv_settings_free (VvSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSettings, vv_settings_free)

typedef struct VvService VvService;

/**
 * vv_service_new:
 *
 * Starts the service. A gate that cannot be opened is no error (rule R7): the hook works without the gate,
 * and status reports why the gate is off.
 *
 * Returns: (transfer full): the running service, or NULL with @error set
 */
VvService *vv_service_new (const VvServiceOptions *options, GError **error);
void vv_service_free (VvService *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvService, vv_service_free)

/**
 * vv_service_reload:
 *
 * Reads modprobe.d, depmod's tables and the policy again. If a policy file cannot be read, keeps the current
 * policy and logs a warning. The new settings do not affect threads that are blocked already.
 */
void vv_service_reload (VvService *service);

/**
 * vv_service_stop:
 *
 * Blocks no further thread. Releases the blocked threads: at once if the device is unchanged, otherwise when
 * the worker has finished. Tells the monitor to end.
 *
 * @stopped: called when no thread is blocked and the monitor has ended, perhaps before this function returns
 */
void vv_service_stop (VvService *service, void (*stopped) (gpointer data), gpointer data);

/** vv_service_reaped: handles the end of a child process */
void vv_service_reaped (VvService *service, pid_t pid);

/** vv_service_gate_off: Returns: (nullable): why the gate is off; NULL: it is on */
const char *vv_service_gate_off (const VvService *service);
