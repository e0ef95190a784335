/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dir-watch.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

struct VvDirWatch {
  char *directory;
  char *name; /* name of the directory in its parent */
  uint32_t events;
  char *part;
  VvDirWatchFunc changed;
  gpointer data;
  VvFd fd;
  int in_directory; /* watch descriptor; -1 if the directory does not exist */
  int in_parent;
  guint source;
};

/* The watched directory may have been renamed, so the path may lead to another one. Returns: FALSE with errno
 * set if the directory exists and cannot be watched */
static gboolean
watch_directory (VvDirWatch *w)
{
  if (w->in_directory >= 0)
    inotify_rm_watch (w->fd, w->in_directory);
  w->in_directory = inotify_add_watch (w->fd, w->directory, w->events | IN_ONLYDIR);
  return w->in_directory >= 0 || errno == ENOENT;
}

/* Returns: whether to report the event */
static gboolean
take (VvDirWatch *w, const struct inotify_event *event)
{
  const char *name = event->len ? event->name : "";

  if (event->wd == w->in_parent && strcmp (name, w->name) == 0) {
    if (!watch_directory (w))
      g_message ("cannot watch %s any longer: %s", w->directory, g_strerror (errno));
    return TRUE;
  }
  /* IN_IGNORED: the directory was removed */
  return event->wd == w->in_directory && !(event->mask & IN_IGNORED) && (!w->part || strstr (name, w->part));
}

static gboolean
on_events (int fd, GIOCondition condition, gpointer data)
{
  VvDirWatch *w = data;
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  ssize_t n = read (fd, buffer, sizeof buffer);
  gboolean changed = FALSE;

  (void)condition;
  for (ssize_t at = 0; at < n;) {
    const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
    changed |= take (w, event);
    at += (ssize_t)sizeof *event + event->len;
  }
  if (changed)
    w->changed (w->data); /* may free the watch */
  return G_SOURCE_CONTINUE;
}

VvDirWatch *
vv_dir_watch_new (const char *directory, uint32_t events, const char *part, VvDirWatchFunc changed,
                  gpointer data, GError **error)
{
  g_autoptr (VvDirWatch) w = g_new0 (VvDirWatch, 1);
  g_autofree char *parent = g_path_get_dirname (directory);

  w->directory = g_strdup (directory);
  w->name = g_path_get_basename (directory);
  w->events = events;
  w->part = g_strdup (part);
  w->changed = changed;
  w->data = data;
  w->in_directory = w->in_parent = -1;
  w->fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (w->fd >= 0)
    w->in_parent = inotify_add_watch (w->fd, parent, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  if (w->in_parent < 0 || !watch_directory (w)) {
    vv_set_errno (error, errno, _ ("cannot watch %s"), directory);
    return NULL;
  }
  w->source = g_unix_fd_add (w->fd, G_IO_IN, on_events, w);
  return g_steal_pointer (&w);
}

void
vv_dir_watch_free (VvDirWatch *w)
{
  if (!w)
    return;
  if (w->source)
    g_source_remove (w->source);
  vv_fd_close (&w->fd);
  g_free (w->directory);
  g_free (w->name);
  g_free (w->part);
  g_free (w);
}
