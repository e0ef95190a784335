/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * settings: what the daemon goes by: its options, else the policy, else what is built in.
 *
 * Owns: that order, and the built-in values. Knows nothing of what follows from a setting.
 */
#pragma once

#include "policy.h"

/**
 * VvSettings:
 * @executables: (nullable): whom the gate serves
 * @deadline_ms: how long libvirt is held before nothing new is begun; 0: not said
 * @gate: whether anybody is served
 * @gate_off: (nullable): why not
 */
typedef struct {
  char **executables;
  guint deadline_ms;
  gboolean gate;
  char *gate_off;
} VvSettings;

/**
 * vv_settings_new:
 * @options: what the command line says; of these, what is said counts first
 * @policy: what the administrator's files say
 *
 * Returns: (transfer full): the settings; all but @gate_off are said
 */
VvSettings *vv_settings_new (const VvSettings *options, const VvPolicy *policy);
void vv_settings_free (VvSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSettings, vv_settings_free)
