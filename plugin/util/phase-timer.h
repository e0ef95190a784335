/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * phase-timer: measures the phases of an operation that a caller waits for.
 *
 * Owns: the phases, and their names in a key file. Phases follow each other without gaps, so their sum is the
 * total time. Knows nothing of the work in a phase.
 */
#pragma once

#include <glib.h>

/**
 * VvPhase:
 * @VV_PHASE_WAIT: until the process that does the work is ready
 * @VV_PHASE_FIND: the device's lock, its attributes, its state file
 * @VV_PHASE_SELECT: catalog, policy, ranking
 * @VV_PHASE_MODULE: module loading
 * @VV_PHASE_BIND: writes to sysfs, that is, the kernel's driver core
 * @VV_PHASE_SCRIPT: scripts of the node-device hook point
 * @VV_PHASE_STATE: the state file is written or removed
 * @VV_PHASE_OTHER: everything else
 * @VV_PHASE_REPLY: from the end of the work until the caller is released
 */
typedef enum {
  VV_PHASE_WAIT,
  VV_PHASE_FIND,
  VV_PHASE_SELECT,
  VV_PHASE_MODULE,
  VV_PHASE_BIND,
  VV_PHASE_SCRIPT,
  VV_PHASE_STATE,
  VV_PHASE_OTHER,
  VV_PHASE_REPLY,
} VvPhase;

#define VV_PHASES (VV_PHASE_REPLY + 1)

/** Names of the phases in a key file ("wait-us", "find-us" and so on), indexed by VvPhase */
extern const char *const vv_phase_keys[VV_PHASES];

/**
 * VvPhaseTimer:
 * @usec: time spent in each phase, microseconds, without the time since @since
 * @phase: the current phase
 * @since: start of the current phase, by g_get_monotonic_time()
 */
typedef struct {
  gint64 usec[VV_PHASES];
  VvPhase phase;
  gint64 since;
} VvPhaseTimer;

/** vv_phase_timer_start: Starts the timer in VV_PHASE_WAIT, at @since by g_get_monotonic_time() */
void vv_phase_timer_start (VvPhaseTimer *timer, gint64 since);

/**
 * vv_phase_timer_enter:
 * @timer: (nullable): NULL: nothing is measured
 *
 * Ends the current phase and starts @phase.
 *
 * Returns: the phase that ended, so that the caller can return to it
 */
VvPhase vv_phase_timer_enter (VvPhaseTimer *timer, VvPhase phase);

/** vv_phase_timer_kernel: Returns: the time spent in the kernel (module loads, writes to sysfs) and in
 * scripts, microseconds */
gint64 vv_phase_timer_kernel (const VvPhaseTimer *timer);

/** vv_phase_timer_write: Sets the keys of all phases in @group except VV_PHASE_REPLY, which only the waiting
 * process can measure */
void vv_phase_timer_write (const VvPhaseTimer *timer, GKeyFile *file, const char *group);
