/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watch: waits for whatever may have changed what list tells: the kernel's device events, and the journal.
 *
 * Owns: the event loop, and when it ends. What has changed is for the caller to find out. Nothing here wakes
 * up by itself.
 */
#pragma once

#include "host.h"

/** VvWatchFunc: something may have changed; what came at the same time comes once. Returns: FALSE to end */
typedef gboolean (*VvWatchFunc) (gpointer data);

/**
 * vv_watch:
 * @func: called at once, too, when all is being watched
 *
 * Ends at SIGINT, SIGTERM and SIGHUP, and when nobody reads standard output any more.
 *
 * Returns: TRUE, or FALSE with @error set: it could not begin
 */
gboolean vv_watch (const VvHost *host, VvWatchFunc func, gpointer data, GError **error);
