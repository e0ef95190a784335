/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy-reader: the policy, as another process reads it.
 *
 * "vfio-variant policy --keyfile" parses and validates the XML: libxml2 would be half of what this daemon
 * keeps in memory, and a disk that takes its time, or a parser that fails, is not to hold libvirt.
 *
 * Owns: that process and its output. Knows nothing of what is done with a policy.
 */
#pragma once

#include "policy.h"

typedef struct VvPolicyReader VvPolicyReader;

/** Called from the main loop with what was read, (transfer full); NULL: it could not be, which is logged. */
typedef void (*VvPolicyFunc) (VvPolicy *policy, gpointer data);

/**
 * vv_policy_reader_new:
 * @command: path of vfio-variant
 * @sysroot: (nullable): another root than the running system's
 *
 * Returns: (transfer full): the reader, at rest
 */
VvPolicyReader *vv_policy_reader_new (const char *command, const char *sysroot, VvPolicyFunc func,
                                      gpointer data);

/** vv_policy_reader_free: @reader may be NULL; what it reads just now is not waited for */
void vv_policy_reader_free (VvPolicyReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvPolicyReader, vv_policy_reader_free)

/** vv_policy_reader_start: reads the policy, anew when it is being read: the function is called once for the
 * last of them */
void vv_policy_reader_start (VvPolicyReader *reader);

/** vv_policy_reader_wait: until the function was called; at once when nothing is being read */
void vv_policy_reader_wait (VvPolicyReader *reader);
