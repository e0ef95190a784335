/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clock.h"

const char *const vv_phase_keys[VV_PHASES] = {"wait-us",   "find-us",    "select-us", "module-us", "bind-us",
                                              "script-us", "journal-us", "other-us",  "reply-us"};

void
vv_clock_start (VvClock *clock, gint64 since)
{
  *clock = (VvClock){.phase = VV_PHASE_WAIT, .since = since};
}

VvPhase
vv_clock_enter (VvClock *clock, VvPhase phase)
{
  if (!clock)
    return phase;
  VvPhase before = clock->phase;
  gint64 now = g_get_monotonic_time ();
  clock->usec[before] += now - clock->since;
  clock->phase = phase;
  clock->since = now;
  return before;
}

gint64
vv_clock_kernel (const VvClock *clock)
{
  return clock->usec[VV_PHASE_MODULE] + clock->usec[VV_PHASE_BIND] + clock->usec[VV_PHASE_SCRIPT];
}

void
vv_clock_write (const VvClock *clock, GKeyFile *file, const char *group)
{
  for (guint i = 0; i < VV_PHASE_REPLY; i++)
    g_key_file_set_int64 (file, group, vv_phase_keys[i], clock->usec[i]);
}

void
vv_clock_complete (GKeyFile *file, const char *group, gint64 whole_usec)
{
  if (!g_key_file_has_key (file, group, vv_phase_keys[VV_PHASE_WAIT], NULL))
    return;
  for (guint i = 0; i < VV_PHASE_REPLY; i++)
    whole_usec -= g_key_file_get_int64 (file, group, vv_phase_keys[i], NULL);
  g_key_file_set_int64 (file, group, vv_phase_keys[VV_PHASE_REPLY], whole_usec);
}
