/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * changes: list --watch: the devices as they change hands, until somebody ends it.
 *
 * Owns: what counts as a change, and how it is told: on a terminal the table as it is now, else a line or a
 * JSON object for each device that changed. When to look is watch's business.
 */
#pragma once

#include "rows.h"
#include "table.h"

/** vv_changes_follow: @context: in which the devices were named; others are opened later; Returns: the exit
 * code */
int vv_changes_follow (const VvContext *context, const VvListing *listing, const VvStyle *style,
                       gboolean json);
