/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ask: the conversation with vfio-variantd: connect, say nothing, read to the end.
 *
 * Owns: the connection, which is bounded in time, and that the reply is JSON of a daemon. Knows nothing of
 * what else it says.
 */
#pragma once

#include "host.h"
#include "json.h"

/** How long to wait for the daemon to accept, and to send its answer, milliseconds */
#define VV_DEADLINE_MS 5000

/**
 * vv_ask_daemon:
 * @timeout_ms: how long to wait at the most for each, milliseconds
 *
 * Warns when the daemon's version is not the command's.
 *
 * Returns: (transfer full): what the daemon says (status.schema.json), or NULL with @error set:
 * VV_ERROR_NOT_FOUND when it does not run, VV_ERROR_PERMISSION when the caller may not ask
 */
JsonObject *vv_ask_daemon (const VvHost *host, int timeout_ms, GError **error);
