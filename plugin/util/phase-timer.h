/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * phase-timer: in which phases a program that waits for a device spends its time.
 *
 * Owns: the phases, and their spelling in a key file. One phase follows the other without a gap, so that they
 * add up to the whole. Knows nothing of what is done in a phase.
 */
#pragma once

#include <glib.h>

/**
 * VvPhase:
 * @VV_PHASE_WAIT: nobody is at it yet: the process that does it gets ready
 * @VV_PHASE_FIND: the device's lock, its attributes, its state file
 * @VV_PHASE_SELECT: catalog, policy, ranking
 * @VV_PHASE_MODULE: modules are loaded
 * @VV_PHASE_BIND: writes to sysfs, that is the kernel's driver core
 * @VV_PHASE_SCRIPT: scripts of the node-device hook point
 * @VV_PHASE_STATE: the entry is written, or removed
 * @VV_PHASE_OTHER: everything else
 * @VV_PHASE_REPLY: all is done: until whoever waits is told
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

/** What the phases are called in a key file: "wait-us", "find-us" and so on, by VvPhase */
extern const char *const vv_phase_keys[VV_PHASES];

/**
 * VvPhaseTimer:
 * @usec: time spent in each phase, microseconds, without what the present one has taken by now
 * @phase: the present one
 * @since: when it began, by g_get_monotonic_time()
 */
typedef struct {
  gint64 usec[VV_PHASES];
  VvPhase phase;
  gint64 since;
} VvPhaseTimer;

/** vv_phase_timer_start: nothing but VV_PHASE_WAIT, @since a moment by g_get_monotonic_time() */
void vv_phase_timer_start (VvPhaseTimer *timer, gint64 since);

/**
 * vv_phase_timer_enter:
 * @timer: (nullable): NULL: nobody wants to know
 *
 * Returns: the phase that ends here, to go back to
 */
VvPhase vv_phase_timer_enter (VvPhaseTimer *timer, VvPhase phase);

/** vv_phase_timer_kernel: Returns: the time in the kernel's hands (module loads, writes to sysfs) and in
 * scripts */
gint64 vv_phase_timer_kernel (const VvPhaseTimer *timer);

/** vv_phase_timer_write: sets the keys of all phases in @group but that of VV_PHASE_REPLY, which whoever
 * waits knows
 */
void vv_phase_timer_write (const VvPhaseTimer *timer, GKeyFile *file, const char *group);
