/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "socket-watch.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define ARRIVALS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)

struct VvSocketWatch {
  char *directory;
  char *parent;
  char *name; /* of the directory in its parent */
  VvAppearedFunc appeared;
  gpointer data;
  int fd;
  int in_directory; /* watch descriptors; -1: none */
  int in_parent;
  guint source;
};

/* The directory, or its parent until it comes. The second try is for one that came between the two. */
static void
arm (VvSocketWatch *w)
{
  w->in_directory = inotify_add_watch (w->fd, w->directory, ARRIVALS | IN_DELETE_SELF | IN_MOVE_SELF);
  if (w->in_directory < 0 && w->in_parent < 0) {
    w->in_parent = inotify_add_watch (w->fd, w->parent, ARRIVALS);
    w->in_directory = inotify_add_watch (w->fd, w->directory, ARRIVALS | IN_DELETE_SELF | IN_MOVE_SELF);
  }
  if (w->in_directory >= 0 && w->in_parent >= 0) {
    inotify_rm_watch (w->fd, w->in_parent);
    w->in_parent = -1;
  }
  if (w->in_directory < 0 && w->in_parent < 0)
    g_message ("cannot watch %s for a libvirt daemon to come: %s", w->parent, g_strerror (errno));
}

/* Returns: whether there may be a socket now that was not there before */
static gboolean
take (VvSocketWatch *w, const struct inotify_event *event)
{
  const char *name = event->len ? event->name : "";

  if (event->wd == w->in_parent && strcmp (name, w->name) == 0) {
    arm (w);
    return TRUE;
  }
  if (event->wd != w->in_directory)
    return FALSE;
  if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
    inotify_rm_watch (w->fd, w->in_directory);
    w->in_directory = -1;
    arm (w);
    return w->in_directory >= 0;
  }
  return strstr (name, "-sock") != NULL;
}

static gboolean
on_events (int fd, GIOCondition condition, gpointer data)
{
  VvSocketWatch *w = data;
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  ssize_t n = read (fd, buffer, sizeof buffer);
  gboolean appeared = FALSE;

  (void)condition;
  for (ssize_t at = 0; at < n;) {
    const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
    appeared |= take (w, event);
    at += (ssize_t)sizeof *event + event->len;
  }
  if (appeared)
    w->appeared (w->data); /* may free the watch */
  return G_SOURCE_CONTINUE;
}

VvSocketWatch *
vv_socket_watch_new (const char *directory, VvAppearedFunc appeared, gpointer data)
{
  VvSocketWatch *w = g_new0 (VvSocketWatch, 1);

  w->directory = g_strdup (directory);
  w->parent = g_path_get_dirname (directory);
  w->name = g_path_get_basename (directory);
  w->appeared = appeared;
  w->data = data;
  w->in_directory = w->in_parent = -1;
  w->fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (w->fd < 0) {
    g_message ("cannot watch for a libvirt daemon to come: %s", g_strerror (errno));
    return w;
  }
  arm (w);
  w->source = g_unix_fd_add (w->fd, G_IO_IN, on_events, w);
  return w;
}

void
vv_socket_watch_free (VvSocketWatch *w)
{
  if (!w)
    return;
  if (w->source)
    g_source_remove (w->source);
  if (w->fd >= 0)
    close (w->fd);
  g_free (w->directory);
  g_free (w->parent);
  g_free (w->name);
  g_free (w);
}
