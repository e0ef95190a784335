/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * change: the record of one rebind (rule R9).
 *
 * Owns: the record that binding fills in, and its structured log line. Knows nothing of how devices are
 * rebound.
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
 * @step: the failed step: "load", "driver", "override", "unbind", "hook", "bind", "verify" or "deadline"
 * @problem: the reason, with the text of the kernel's errno
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
 * @alias: (nullable): the alias that selected the driver
 * @wildcards: the number of wildcards in @alias
 * @source: (nullable): the source of @alias, as vv_source_name() returns it
 * @why: the reason for the result
 * @attempts: (element-type VvAttempt): candidates that failed before @to
 * @steps: (element-type utf8): the executed steps, or in a dry run the planned ones, each as a shell command
 * @domain: (nullable): the domain that it is for, according to the state store
 * @wanted: (nullable): the only acceptable driver; for a reattach the host driver, if known
 * @usec: duration, microseconds
 * @changed: FALSE when there was nothing to do
 * @problem: (nullable): why the rebind failed
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

/** vv_change_failed_attempt: Adds a failed candidate, with the message of @problem. */
void vv_change_failed_attempt (VvChange *change, const char *module, const char *step, const GError *problem);

/** vv_change_attempts: Returns: (transfer full) (nullable): all failed attempts in one line; NULL when there
 * are none */
char *vv_change_attempts (const VvChange *change);

/** vv_change_outcome: Returns: "done", or "fell-back" when a better candidate failed */
const char *vv_change_outcome (const VvChange *change);

/**
 * vv_change_log:
 *
 * Logs one structured record (g_log_structured): a readable message, and the fields VFIO_VARIANT_DEVICE,
 * _OPERATION, _FROM, _TO, _ALIAS, _WILDCARDS, _WHY, _USEC, _OUTCOME (vv_change_outcome()) and _DOMAIN. The
 * level is warning when a better candidate failed. Logs nothing when nothing changed, or when the rebind
 * failed: the caller reports the error.
 */
void vv_change_log (const VvChange *change);
