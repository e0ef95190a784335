/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fork.h"
#include "io.h"

#define WRITE_AFTER_S 1
#define LAST_PATIENCE_MS 1000

struct VvTextfile {
  char *path;
  VvTextfileClient client;
  int inotify;    /* -1: there is none */
  guint watching; /* 0: nobody listens, as somebody is held */
  guint timer;    /* 0: none */
  int writer; /* the end of a pipe at which the process that writes tells how it went; -1: there is none */
  guint hearing;
  gboolean is_due;
  gboolean is_held;
  gboolean has_warned;
};

/* --- writing --- */

/* A file of its own: what is there already may be a link to another file, or a fifo that nobody reads.
 * Without fsync: who reads it after a crash of the machine finds a new one anyway. Returns: an errno, or 0 */
static int
write_aside (const char *aside, const char *text)
{
  unlink (aside); /* what a killed writer left behind */
  int fd = open (aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  int errnum = fd < 0 || fchmod (fd, 0644) < 0 ? errno : 0;

  if (!errnum)
    errnum = vv_io_write_all (fd, text);
  if (fd >= 0 && close (fd) < 0 && !errnum)
    errnum = errno;
  return errnum;
}

/* The collector reads *.prom only. Returns: an errno, or 0 */
static int
replace (const char *path, const char *text)
{
  g_autofree char *aside = g_strconcat (path, ".new", NULL);
  int errnum = write_aside (aside, text);

  if (!errnum && rename (aside, path) < 0)
    errnum = errno;
  if (errnum)
    unlink (aside);
  return errnum;
}

/* --- how it went --- */

static void
take_note (VvTextfile *t, int errnum)
{
  if (errnum && !t->has_warned)
    g_warning ("%s: the metrics cannot be written: %s; its directory must be there and be root's, and the "
               "systemd unit must let the daemon write to it (ReadWritePaths=)",
               t->path, g_strerror (errnum));
  t->has_warned = errnum != 0;
}

static void
stop_hearing (VvTextfile *t)
{
  if (t->hearing)
    g_source_remove (t->hearing);
  if (t->writer >= 0)
    close (t->writer);
  t->hearing = 0;
  t->writer = -1;
}

static void plan (VvTextfile *t);

/* Its errno; or its end without one: it was killed. */
static gboolean
writer_speaks (int fd, GIOCondition condition, gpointer data)
{
  VvTextfile *t = data;
  int errnum;

  (void)condition;
  if (read (fd, &errnum, sizeof errnum) != sizeof errnum)
    errnum = ECANCELED;
  t->hearing = 0;
  stop_hearing (t);
  take_note (t, errnum);
  plan (t);
  return G_SOURCE_REMOVE;
}

static G_GNUC_NORETURN void
be_writer (const VvTextfile *t, int fd)
{
  g_autofree char *text = t->client.text (t->client.data);
  int errnum = replace (t->path, text);

  _exit (write (fd, &errnum, sizeof errnum) != sizeof errnum);
}

static void
start_writer (VvTextfile *t)
{
  int fds[2];

  if (pipe2 (fds, O_CLOEXEC) < 0) {
    take_note (t, errno);
    return;
  }
  pid_t pid = vv_fork (&fds[1], 1);
  if (pid == 0)
    be_writer (t, fds[1]);
  int errnum = errno;
  close (fds[1]);
  if (pid < 0) {
    close (fds[0]);
    take_note (t, errnum);
    return;
  }
  t->writer = fds[0];
  t->hearing = g_unix_fd_add (fds[0], G_IO_IN | G_IO_HUP, writer_speaks, t);
}

/* --- when --- */

static gboolean
time_is_up (gpointer data)
{
  VvTextfile *t = data;

  t->timer = 0;
  t->is_due = FALSE;
  start_writer (t);
  return G_SOURCE_REMOVE;
}

/* One thing at a time: whoever ends what is in the way comes here again. */
static void
plan (VvTextfile *t)
{
  if (t->is_due && !t->is_held && !t->timer && t->writer < 0)
    t->timer = g_timeout_add_seconds (WRITE_AFTER_S, time_is_up, t);
}

void
vv_textfile_changed (VvTextfile *t)
{
  if (!t)
    return;
  t->is_due = TRUE;
  plan (t);
}

/* An entry, or the tally: no file that is being written, no socket */
static gboolean
matters (const struct inotify_event *event)
{
  return event->mask & IN_Q_OVERFLOW || (event->len && *event->name != '.');
}

static gboolean
directory_changed (int fd, GIOCondition condition, gpointer data)
{
  VvTextfile *t = data;
  char buffer[16 * (sizeof (struct inotify_event) + NAME_MAX + 1)]
      __attribute__ ((aligned (__alignof__(struct inotify_event))));
  ssize_t n = read (fd, buffer, sizeof buffer);
  gboolean due = FALSE;

  (void)condition;
  for (ssize_t at = 0; at < n;) {
    const struct inotify_event *event = (const void *)(buffer + at);
    due = due || matters (event);
    at += (ssize_t)(sizeof *event + event->len);
  }
  if (due)
    vv_textfile_changed (t);
  return G_SOURCE_CONTINUE;
}

static void
listen_to_directory (VvTextfile *t, gboolean listens)
{
  if (t->watching && !listens)
    g_source_remove (t->watching);
  if (!listens)
    t->watching = 0;
  else if (!t->watching && t->inotify >= 0)
    t->watching = g_unix_fd_add (t->inotify, G_IO_IN, directory_changed, t);
}

/* What happens in the directory meanwhile waits in inotify's queue. */
void
vv_textfile_hold (VvTextfile *t, gboolean held)
{
  if (!t)
    return;
  t->is_held = held;
  if (held && t->timer) {
    g_source_remove (t->timer);
    t->timer = 0;
    t->is_due = TRUE;
  }
  listen_to_directory (t, !held);
  plan (t);
}

/* Entries and the tally are renamed into place; a socket, a lock, a file beside are not. */
static void
watch (VvTextfile *t, const char *directory)
{
  t->inotify = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (t->inotify < 0 || inotify_add_watch (t->inotify, directory, IN_MOVED_TO | IN_DELETE) < 0)
    g_warning ("%s: inotify: %s; the metrics in %s follow only what the daemon does", directory,
               g_strerror (errno), t->path);
}

VvTextfile *
vv_textfile_new (const char *path, const char *watched, const VvTextfileClient *client)
{
  VvTextfile *t = g_new0 (VvTextfile, 1);

  t->path = g_strdup (path);
  t->client = *client;
  t->writer = -1;
  watch (t, watched);
  listen_to_directory (t, TRUE);
  vv_textfile_changed (t);
  return t;
}

/* What a process still writes must not come after this. */
void
vv_textfile_write (VvTextfile *t, const char *text)
{
  struct pollfd writer = {.events = POLLIN};

  if (!t)
    return;
  writer.fd = t->writer;
  if (t->writer >= 0)
    poll (&writer, 1, LAST_PATIENCE_MS);
  take_note (t, replace (t->path, text));
}

void
vv_textfile_free (VvTextfile *t)
{
  if (!t)
    return;
  listen_to_directory (t, FALSE);
  if (t->timer)
    g_source_remove (t->timer);
  stop_hearing (t);
  if (t->inotify >= 0)
    close (t->inotify);
  g_free (t->path);
  g_free (t);
}
