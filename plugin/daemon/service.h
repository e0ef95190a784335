/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * service: what vfio-variantd does: for each device that libvirt announces a worker, for each open that is
 * held an answer.
 *
 * Owns: what counts first, options or policy, bringing gate, workers, monitor and statistics together, and
 * the rule that a blocked open is always answered: when the work is done, when the worker died, at the
 * deadline, at the end of the daemon. Knows nothing of signals, options or systemd.
 */
#pragma once

#include "context.h"

/**
 * VvServiceOptions:
 * @sysroot: (nullable): another root than the running system's, for tests
 * @executables: (nullable): whom the gate serves; NULL: not said
 * @deadline_ms: how long libvirt is blocked before nothing new is begun; 0: not said
 * @no_gate: nobody is served
 * @monitor: path of the libvirt client
 *
 * What the command line says
 */
typedef struct {
  const char *sysroot;
  char **executables;
  guint deadline_ms;
  gboolean no_gate;
  const char *monitor;
} VvServiceOptions;

/** VvSettings: what the gate goes by; @gate_off: (nullable): why nobody is served */
typedef struct {
  char **executables;
  guint deadline_ms;
  char *gate_off;
} VvSettings;

/**
 * vv_settings_new:
 * @policy: what the administrator's files say
 *
 * Returns: (transfer full): what @options say, else what @policy says, else what is built in
 */
VvSettings *vv_settings_new (const VvServiceOptions *options, const VvPolicy *policy);
void vv_settings_free (VvSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSettings, vv_settings_free)

typedef struct VvService VvService;

/**
 * vv_service_new:
 *
 * A gate that cannot be set up is no error (rule R7): the hook works without, and status says why.
 *
 * Returns: (transfer full): the service, at work; or NULL with @error set
 */
VvService *vv_service_new (const VvServiceOptions *options, GError **error);
void vv_service_free (VvService *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvService, vv_service_free)

/**
 * vv_service_reload:
 *
 * Reads modprobe.d, depmod's tables and the policy again. When a file of the policy cannot be read, the
 * policy stays as it was, which is logged. Who is blocked already stays held by the settings that were.
 */
void vv_service_reload (VvService *service);

/**
 * vv_service_stop:
 *
 * Nobody is blocked from now on. Those who are: released at once where their device is untouched, else when
 * their workers are done. The monitor is told to end.
 *
 * @stopped: called when nobody is blocked any more and the monitor has ended, perhaps before this returns
 */
void vv_service_stop (VvService *service, void (*stopped) (gpointer data), gpointer data);

/** vv_service_reaped: a child process has ended */
void vv_service_reaped (VvService *service, pid_t pid);

/** vv_service_gate_off: Returns: (nullable): why the gate is off; NULL: it is on */
const char *vv_service_gate_off (const VvService *service);
