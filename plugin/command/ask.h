/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ask: the conversation with vfio-variantd: connect, say nothing, read to the end.
 *
 * Owns: the connection, which is bounded in time and in bytes. Knows nothing of what the reply says.
 */
#pragma once

#include "host.h"
#include "report.h"

/** How long the daemon is given for the whole conversation, milliseconds */
#define VV_PATIENCE_MS 5000

/**
 * vv_ask_daemon:
 * @patience_ms: how long to wait at the most, milliseconds
 *
 * Returns: (transfer full): what the daemon says, or NULL with @error set: VV_ERROR_NOT_FOUND when it does
 * not run, VV_ERROR_PERMISSION when the caller may not ask
 */
VvReport *vv_ask_daemon (const VvHost *host, int patience_ms, GError **error);
