/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "phase-timer.h"

const char *const vv_phase_keys[VV_PHASES] = {"wait-us",   "find-us",  "select-us", "module-us", "bind-us",
                                              "script-us", "state-us", "other-us",  "reply-us"};

void
vv_phase_timer_start (VvPhaseTimer *timer, gint64 since)
{
  *timer = (VvPhaseTimer){.phase = VV_PHASE_WAIT, .since = since};
}

VvPhase
vv_phase_timer_enter (VvPhaseTimer *timer, VvPhase phase)
{
  if (!timer)
    return phase;
  VvPhase before = timer->phase;
  gint64 now = g_get_monotonic_time ();
  timer->usec[before] += now - timer->since;
  timer->phase = phase;
  timer->since = now;
  return before;
}

gint64
vv_phase_timer_kernel (const VvPhaseTimer *timer)
{
  return timer->usec[VV_PHASE_MODULE] + timer->usec[VV_PHASE_BIND] + timer->usec[VV_PHASE_SCRIPT];
}

void
vv_phase_timer_write (const VvPhaseTimer *timer, GKeyFile *file, const char *group)
{
  for (guint i = 0; i < VV_PHASE_REPLY; i++)
    g_key_file_set_int64 (file, group, vv_phase_keys[i], timer->usec[i]);
}
