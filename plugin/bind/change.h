/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * change: what is told of one rebind (rule R9).
 *
 * Owns: the record that binding fills in, and its one structured line in the log. Knows nothing of how
 * devices move.
 */
#pragma once

#include "catalog.h"

/**
 * VvOperation:
 * @VV_DETACH: from the host to a VFIO driver
 * @VV_REATTACH: back to the host
 */
typedef enum {
  VV_DETACH,
  VV_REATTACH,
} VvOperation;

/** vv_operation_name: Returns: "detach" or "reattach" */
const char *vv_operation_name (VvOperation operation);

/**
 * VvAttempt:
 * @module: the candidate that failed
 * @step: what failed: "load", "driver", "override", "unbind", "hook", "bind", "verify" or
 * "deadline"
 * @problem: why, with the kernel's errno in words
 */
typedef struct {
  char *module;
  const char *step;
  char *problem;
} VvAttempt;

/**
 * VvChange:
 * @device: its address
 * @operation: the direction
 * @from: (nullable): the driver before; NULL: none
 * @to: (nullable): the driver after; NULL: none
 * @alias: (nullable): the alias that decided
 * @wildcards: its wildcards
 * @source: (nullable): where it stands, as vv_source_name() has it
 * @why: what decided, in words
 * @attempts: (element-type VvAttempt): candidates that failed before @to
 * @steps: (element-type utf8): what was done, or with a dry run would be, each as a shell command
 * @domain: (nullable): the domain that it is for, as far as the state store knows
 * @wanted: (nullable): the only driver that would do; of a reattach the one of home, when it is known
 * @usec: time it took, microseconds
 * @changed: FALSE when there was nothing to do
 * @problem: (nullable): why it came to nothing
 */
typedef struct {
  char *device;
  VvOperation operation;
  char *from;
  char *to;
  char *alias;
  guint wildcards;
  const char *source;
  char *why;
  GPtrArray *attempts;
  GPtrArray *steps;
  char *domain;
  char *wanted;
  gint64 usec;
  gboolean changed;
  GError *problem;
} VvChange;

VvChange *vv_change_new (const char *device, VvOperation operation, const char *from);
void vv_change_free (VvChange *change);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvChange, vv_change_free)

/** vv_change_failed_attempt: remembers that a candidate failed; takes the message of @problem */
void vv_change_failed_attempt (VvChange *change, const char *module, const char *step, const GError *problem);

/** vv_change_attempts: Returns: (transfer full) (nullable): all failed attempts in one line; NULL when there
 * are none */
char *vv_change_attempts (const VvChange *change);

/** vv_change_outcome: Returns: "done", or "fell-back" when a better candidate had failed */
const char *vv_change_outcome (const VvChange *change);

/**
 * vv_change_log:
 *
 * One structured record (g_log_structured): a line to read and the fields VFIO_VARIANT_DEVICE, _OPERATION,
 * _FROM, _TO, _ALIAS, _WILDCARDS, _WHY, _USEC, _OUTCOME (vv_change_outcome()) and _DOMAIN. A warning when a
 * better candidate failed, silent when nothing changed or it came to nothing: whoever asked says that.
 */
void vv_change_log (const VvChange *change);
