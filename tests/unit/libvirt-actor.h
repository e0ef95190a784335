/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-actor: a process that does towards the gate what libvirt does (fake-libvirt.c), told step by step.
 * While it waits for an answer the main loop of the test gives it.
 */
#pragma once

#include "fake-kernel.h"

typedef struct LibvirtActor LibvirtActor;

/** actor_new: @program: a path of fake-libvirt */
LibvirtActor *actor_new (const char *program);
/** actor_free: kills it, when it still runs */
void actor_free (LibvirtActor *actor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LibvirtActor, actor_free)

/** actor_dies: it is killed, whatever it is at */
void actor_dies (LibvirtActor *actor);

pid_t actor_pid (const LibvirtActor *actor);

/** actor_begin: has it do one step, and does not wait for that */
void actor_begin (LibvirtActor *actor, const char *format, ...) G_GNUC_PRINTF (2, 3);
/** actor_finish: runs the main loop until the step is done */
void actor_finish (LibvirtActor *actor);
/** actor_does: both */
void actor_does (LibvirtActor *actor, const char *format, ...) G_GNUC_PRINTF (2, 3);
/** actor_is_waiting: Returns: whether the step is not done yet */
gboolean actor_is_waiting (LibvirtActor *actor);

/** actor_announces, actor_probes: opens a device's driver_override, and drivers_probe, of the host @k */
void actor_announces (LibvirtActor *actor, const FakeKernel *k, const char *address);
void actor_begins_to_probe (LibvirtActor *actor, const FakeKernel *k);

/** run_until: runs the main loop until @flag is set */
void run_until (const gboolean *flag);
