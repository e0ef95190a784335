/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gi18n-lib.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "uevents.h"

/* The journal is written beside its entries and renamed (vv_io_replace()). */
#define ENTRY_CHANGED (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR)

typedef struct {
  const VvHost *host;
  VvWatchFunc func;
  gpointer data;
  GMainLoop *loop;
  VvUevents *uevents;
  int inotify;
  guint due; /* a call of @func that is to come */
  GArray *sources;
} Watch;

static gboolean
call (gpointer data)
{
  Watch *w = data;

  w->due = 0;
  if (!w->func (w->data))
    g_main_loop_quit (w->loop);
  return G_SOURCE_REMOVE;
}

/* At a low priority: after all that has come already. */
static gboolean
something_changed (gpointer data)
{
  Watch *w = data;

  if (!w->due)
    w->due = g_idle_add (call, w);
  return G_SOURCE_CONTINUE;
}

static void
device_event (const char *address, VvUevent what, gpointer data)
{
  (void)address, (void)what;
  something_changed (data);
}

/* Until there is a journal, the directory in which it will be is watched. */
static gboolean
watch_journal (const Watch *w, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (w->host->run_path);

  if (inotify_add_watch (w->inotify, w->host->run_path, ENTRY_CHANGED) >= 0)
    return TRUE;
  if (errno == ENOENT && inotify_add_watch (w->inotify, parent, ENTRY_CHANGED) >= 0)
    return inotify_add_watch (w->inotify, w->host->run_path, ENTRY_CHANGED) >= 0 || errno == ENOENT;
  return vv_set_errno (error, errno, _ ("%s cannot be watched"), w->host->run_path);
}

static gboolean
journal_event (int fd, GIOCondition condition, gpointer data)
{
  char events[4096];

  (void)condition;
  while (read (fd, events, sizeof events) > 0)
    ; /* which they are does not matter */
  watch_journal (data, NULL);
  return something_changed (data);
}

static gboolean
end (gpointer data)
{
  g_main_loop_quit (((Watch *)data)->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
reader_is_gone (int fd, GIOCondition condition, gpointer data)
{
  (void)fd, (void)condition;
  return end (data);
}

static void
add_source (const Watch *w, guint source)
{
  g_array_append_val (w->sources, source);
}

static gboolean
begin (Watch *w, GError **error)
{
  w->inotify = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (w->inotify < 0)
    return vv_set_errno (error, errno, "inotify_init1");
  w->uevents = vv_uevents_new (device_event, w, error);
  if (!w->uevents || !watch_journal (w, error))
    return FALSE;
  add_source (w, g_unix_fd_add (w->inotify, G_IO_IN, journal_event, w));
  add_source (w, g_unix_fd_add (STDOUT_FILENO, G_IO_ERR | G_IO_HUP, reader_is_gone, w));
  for (const int *number = (const int[]){SIGINT, SIGTERM, SIGHUP, 0}; *number; number++)
    add_source (w, g_unix_signal_add (*number, end, w));
  add_source (w, g_unix_signal_add (SIGWINCH, something_changed, w));
  something_changed (w);
  return TRUE;
}

gboolean
vv_watch (const VvHost *host, VvWatchFunc func, gpointer data, GError **error)
{
  Watch w = {.host = host, .func = func, .data = data, .inotify = -1};

  w.loop = g_main_loop_new (NULL, FALSE);
  w.sources = g_array_new (FALSE, FALSE, sizeof (guint));
  gboolean begun = begin (&w, error);
  if (begun)
    g_main_loop_run (w.loop);
  for (guint i = 0; i < w.sources->len; i++)
    g_source_remove (g_array_index (w.sources, guint, i));
  if (w.due)
    g_source_remove (w.due);
  vv_uevents_free (w.uevents);
  if (w.inotify >= 0)
    close (w.inotify);
  g_array_unref (w.sources);
  g_main_loop_unref (w.loop);
  return begun;
}
