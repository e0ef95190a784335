/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dir-watch: reports changes of a directory, which may not exist yet, or be removed and created again.
 *
 * Owns: an inotify(7) instance that watches the directory and its parent. The parent must exist.
 * (GFileMonitor polls for a missing directory every four seconds, which violates rule R11.) Knows nothing of
 * the contents of the directory.
 */
#pragma once

#include <stdint.h>
#include <sys/inotify.h>

#include "error.h"

typedef struct VvDirWatch VvDirWatch;

/** VvDirWatchFunc: Called once for all events that arrive in one read(2). May free the watch. */
typedef void (*VvDirWatchFunc) (gpointer data);

/**
 * vv_dir_watch_new:
 * @directory: an absolute path
 * @events: event mask of inotify(7), such as IN_CREATE | IN_MOVED_TO for new names
 * @part: (nullable): reports only names that contain this string; NULL: all names
 * @changed: called from the default main context after one of @events, and when the directory is created
 *
 * Returns: (transfer full): the watch, or NULL with @error set if the directory cannot be watched
 */
VvDirWatch *vv_dir_watch_new (const char *directory, uint32_t events, const char *part,
                              VvDirWatchFunc changed, gpointer data, GError **error);
void vv_dir_watch_free (VvDirWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvDirWatch, vv_dir_watch_free)
