/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check-host: whether this host is set up so that devices get their drivers; the doctor of status.
 *
 * Owns: the questions about kernel, daemon, hooks and journal. Changes nothing. Knows nothing of single
 * devices that nobody moved.
 */
#pragma once

#include "json.h"
#include "check-context.h"

/**
 * vv_check_host:
 * @daemon: (nullable): what vfio-variantd says; NULL: it does not run
 * @findings: (element-type VvFinding): gets what is found
 */
void vv_check_host (const VvCheckContext *s, JsonObject *daemon, GPtrArray *findings);
