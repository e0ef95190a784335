/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * textfile: the metrics as a file, for the textfile collector of Prometheus's node exporter.
 *
 * Written when something changed, never by the clock: inotify tells of the journal and the tally, the service
 * of the daemon's own counters. What comes within a second is one write. Nothing is read nor written while
 * somebody is held. A process of its own writes, for the file may be on a disk that takes its time.
 *
 * Owns: the file, and when it is written. Knows nothing of what is in it.
 */
#pragma once

#include <glib.h>

typedef struct VvTextfile VvTextfile;

/**
 * VvTextfileClient:
 * @text: called in the process that writes; Returns: (transfer full): what the file is to say
 */
typedef struct {
  char *(*text) (gpointer data);
  gpointer data;
} VvTextfileClient;

/**
 * vv_textfile_new:
 * @path: the file, absolute
 * @watched: the directory whose changes are to be seen in it
 *
 * Writes the file soon. That it cannot be written is a warning, and then silence until it can.
 *
 * Returns: (transfer full): the file
 */
VvTextfile *vv_textfile_new (const char *path, const char *watched, const VvTextfileClient *client);

/** vv_textfile_free: @textfile may be NULL; the file stays */
void vv_textfile_free (VvTextfile *textfile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvTextfile, vv_textfile_free)

/** vv_textfile_hold: @held: TRUE: nothing is to be done until this is called with FALSE; @textfile may be
 * NULL
 */
void vv_textfile_hold (VvTextfile *textfile, gboolean held);

/** vv_textfile_changed: what is not seen in the directory has changed; @textfile may be NULL */
void vv_textfile_changed (VvTextfile *textfile);

/** vv_textfile_write: writes @text now, in this process, as the last that is to be said; @textfile may be
 * NULL
 */
void vv_textfile_write (VvTextfile *textfile, const char *text);
