/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watchdog.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fork.h"

#define LOOKS 50 /* within the deadline */

struct VvWatchdog {
  int fds[VV_WATCHDOG_FDS];
  const guint64 *progress;
  guint deadline_ms;
  int pidfd;      /* -1: no process */
  guint death;    /* the source that reports its death; 0: none */
  guint again;    /* the timer that starts the next process; 0: none */
  gint64 started; /* g_get_monotonic_time() */
};

/* --- in the watchdog process --- */

static gboolean
somebody_waits (const VvWatchdog *w, int timeout_ms)
{
  struct pollfd polled[VV_WATCHDOG_FDS];

  for (guint i = 0; i < VV_WATCHDOG_FDS; i++)
    polled[i] = (struct pollfd){.fd = w->fds[i], .events = POLLIN};
  return poll (polled, VV_WATCHDOG_FDS, timeout_ms) > 0;
}

static guint64
progress_of (const VvWatchdog *w)
{
  return __atomic_load_n (w->progress, __ATOMIC_RELAXED);
}

/* Counts looks, not time. After a pause of the whole machine, or of this process alone, the daemon has as
 * many looks left as before. Returns: whether the daemon made no progress within the deadline, while a
 * process waited at each look */
static gboolean
is_stuck (const VvWatchdog *w)
{
  guint64 before = progress_of (w);

  for (guint looks = 0; looks < LOOKS; looks++) {
    g_usleep (w->deadline_ms * 1000UL / LOOKS);
    if (!somebody_waits (w, 0) || progress_of (w) != before)
      return FALSE;
  }
  return TRUE;
}

/* --- in the daemon --- */

static void start (VvWatchdog *w);

static gboolean
start_again (gpointer data)
{
  VvWatchdog *w = data;

  w->again = 0;
  start (w);
  return G_SOURCE_REMOVE;
}

/* Starts at most one process per deadline: the cause of this death may kill each process. */
static void
plan_next (VvWatchdog *w)
{
  gint64 rest = w->started + w->deadline_ms * G_TIME_SPAN_MILLISECOND - g_get_monotonic_time ();

  w->again = g_timeout_add ((guint)(MAX (rest, 0) / G_TIME_SPAN_MILLISECOND), start_again, w);
}

static gboolean
process_dies (int fd, GIOCondition condition, gpointer data)
{
  VvWatchdog *w = data;

  (void)condition;
  g_warning ("watchdog: its process died; restarting it");
  close (fd);
  w->pidfd = -1;
  w->death = 0;
  plan_next (w);
  return G_SOURCE_REMOVE;
}

static void
start (VvWatchdog *w)
{
  pid_t daemon = getpid ();

  w->started = g_get_monotonic_time ();
  pid_t pid = vv_fork (w->fds, VV_WATCHDOG_FDS);
  if (pid == 0) {
    prctl (PR_SET_NAME, "vv-watchdog");
    while (!somebody_waits (w, -1) || !is_stuck (w))
      continue;
    kill (daemon, SIGKILL);
    _exit (0);
  }
  w->pidfd = pid < 0 ? -1 : (int)syscall (SYS_pidfd_open, pid, 0);
  if (w->pidfd >= 0) {
    w->death = g_unix_fd_add (w->pidfd, G_IO_IN, process_dies, w);
    return;
  }
  g_warning ("watchdog: %s: %s", pid < 0 ? "fork" : "pidfd_open", g_strerror (errno));
  if (pid > 0) /* the daemon could not end it later, and it has the gate's descriptors */
    kill (pid, SIGKILL);
  plan_next (w);
}

VvWatchdog *
vv_watchdog_new (const int fds[VV_WATCHDOG_FDS], const guint64 *progress, guint deadline_ms)
{
  VvWatchdog *w = g_new0 (VvWatchdog, 1);

  memcpy (w->fds, fds, sizeof w->fds);
  w->progress = progress;
  w->deadline_ms = deadline_ms;
  w->pidfd = -1;
  start (w);
  return w;
}

void
vv_watchdog_free (VvWatchdog *w)
{
  if (!w)
    return;
  if (w->again)
    g_source_remove (w->again);
  if (w->death)
    g_source_remove (w->death);
  if (w->pidfd >= 0) {
    syscall (SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0); /* at once: it has the gate's descriptors */
    close (w->pidfd);
  }
  g_free (w);
}
