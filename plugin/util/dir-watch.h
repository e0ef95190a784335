/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dir-watch: tells when names come into a directory, or go, which itself may come and go.
 *
 * Owns: an inotify(7) on the directory and on its parent, which must be there. (GFileMonitor would look
 * for a missing directory every four seconds: rule R11.) Knows nothing of what is in it.
 */
#pragma once

#include <stdint.h>
#include <sys/inotify.h>

#include "error.h"

typedef struct VvDirWatch VvDirWatch;

/** VvDirWatchFunc: something came or went; what is read at the same time comes once. May free the watch */
typedef void (*VvDirWatchFunc) (gpointer data);

/**
 * vv_dir_watch_new:
 * @directory: an absolute path
 * @events: which of inotify(7)'s, IN_CREATE | IN_MOVED_TO for names that come
 * @part: (nullable): only names that contain it count; NULL: all
 * @changed: called from the default main context after @events, and when the directory has come
 *
 * Returns: (transfer full): the watch; NULL with @error set: it cannot watch
 */
VvDirWatch *vv_dir_watch_new (const char *directory, uint32_t events, const char *part,
                              VvDirWatchFunc changed, gpointer data, GError **error);
void vv_dir_watch_free (VvDirWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvDirWatch, vv_dir_watch_free)
