/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-actor: a process that plays libvirt towards the gate (fake-libvirt.c), controlled step by step.
 * While a step is blocked, the test's main loop runs, so that the gate can answer.
 */
#pragma once

#include "fake-kernel.h"

typedef struct LibvirtActor LibvirtActor;

/** actor_new: @program: the path of fake-libvirt, or of a copy */
LibvirtActor *actor_new (const char *program);
/** actor_free: kills the process if it still runs */
void actor_free (LibvirtActor *actor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LibvirtActor, actor_free)

/** actor_dies: kills the process, even during a step */
void actor_dies (LibvirtActor *actor);

pid_t actor_pid (const LibvirtActor *actor);

/** actor_begin: starts a step and does not wait for its end */
void actor_begin (LibvirtActor *actor, const char *format, ...) G_GNUC_PRINTF (2, 3);
/** actor_finish: runs the main loop until the step is done */
void actor_finish (LibvirtActor *actor);
/** actor_does: actor_begin() and actor_finish() */
void actor_does (LibvirtActor *actor, const char *format, ...) G_GNUC_PRINTF (2, 3);
/** actor_is_waiting: Returns: whether the step is still blocked */
gboolean actor_is_waiting (LibvirtActor *actor);

/** actor_announces, actor_probes: opens a device's driver_override, or drivers_probe, of the host @k */
void actor_announces (LibvirtActor *actor, const FakeKernel *k, const char *address);
void actor_begins_to_probe (LibvirtActor *actor, const FakeKernel *k);

/** run_until: runs the main loop until @flag is set */
void run_until (const gboolean *flag);
