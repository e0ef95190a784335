/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <glib-unix.h>
#include <signal.h>
#include <unistd.h>

#include "dir-watch.h"
#include "udev.h"

typedef struct {
  VvWatchFunc func;
  gpointer data;
  GMainLoop *loop;
  VvUevents *uevents;
  VvDirWatch *journal;
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

/* An entry is written beside its file and renamed (vv_io_replace()). */
static void
journal_event (gpointer data)
{
  something_changed (data);
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
begin (Watch *w, const VvHost *host, GError **error)
{
  w->uevents = vv_uevents_new (device_event, w, error);
  if (!w->uevents)
    return FALSE;
  w->journal =
      vv_dir_watch_new (host->run_path, IN_CREATE | IN_MOVED_TO | IN_DELETE, NULL, journal_event, w, error);
  if (!w->journal)
    return FALSE;
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
  Watch w = {.func = func, .data = data};

  w.loop = g_main_loop_new (NULL, FALSE);
  w.sources = g_array_new (FALSE, FALSE, sizeof (guint));
  gboolean begun = begin (&w, host, error);
  if (begun)
    g_main_loop_run (w.loop);
  for (guint i = 0; i < w.sources->len; i++)
    g_source_remove (g_array_index (w.sources, guint, i));
  if (w.due)
    g_source_remove (w.due);
  vv_uevents_free (w.uevents);
  vv_dir_watch_free (w.journal);
  g_array_unref (w.sources);
  g_main_loop_unref (w.loop);
  return begun;
}
