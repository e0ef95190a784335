/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settings.h"

#define DEADLINE_MS 30000

VvSettings *
vv_settings_new (const VvSettings *options, const VvPolicy *policy)
{
  static const char *const libvirt[] = {"libvirtd", "virtqemud", "virtchd", NULL};
  VvSettings *s = g_new0 (VvSettings, 1);
  char **executables = options->executables ? options->executables : policy->executables;

  s->executables = g_strdupv (executables ? executables : (char **)libvirt);
  s->deadline_ms = options->deadline_ms ? options->deadline_ms
                   : policy->deadline_s ? policy->deadline_s * 1000
                                        : DEADLINE_MS;
  s->gate = options->gate && policy->gate != VV_NO;
  if (!options->gate)
    s->gate_off = g_strdup ("turned off by --no-gate");
  else if (!s->gate)
    s->gate_off = g_strdup ("turned off by the policy; 'vfio-variant policy' shows where");
  return s;
}

void
vv_settings_free (VvSettings *s)
{
  if (!s)
    return;
  g_strfreev (s->executables);
  g_free (s->gate_off);
  g_free (s);
}
