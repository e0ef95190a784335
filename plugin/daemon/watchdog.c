/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fork.h"

#define BEATS 5  /* in the time of its patience */
#define LOOKS 50 /* the same */
#define BEAT 'b'
#define REST 'r'

struct VvWatchdog {
  int fd;
  int pidfd;
  guint patience_ms;
  guint source;
};

/* --- its process --- */

static void
bite (pid_t daemon)
{
  kill (daemon, SIGKILL);
  _exit (0);
}

static gboolean
is_readable (const int fds[2])
{
  struct pollfd polled[] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};

  return poll (polled, 2, 0) > 0;
}

/* One byte, or the daemon's end. */
static char
hear (int pipe_fd)
{
  char word = REST;

  if (read (pipe_fd, &word, 1) <= 0)
    _exit (0);
  return word;
}

/* Somebody waits. Goes on looking as long as somebody does; a queue that is read is empty now and then. */
static void
look (pid_t daemon, const int fds[2], guint patience_ms)
{
  for (guint i = 0; i < LOOKS; i++) {
    g_usleep (patience_ms * 1000UL / LOOKS);
    if (!is_readable (fds))
      return;
  }
  bite (daemon);
}

static G_GNUC_NORETURN void
watch (pid_t daemon, const int fds[2], guint patience_ms, int pipe_fd)
{
  struct pollfd polled[] = {
      {.fd = pipe_fd, .events = POLLIN}, {.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
  gboolean holding = FALSE;

  for (;;) {
    int n = poll (polled, 3, holding ? (int)patience_ms : -1);
    if (n == 0)
      bite (daemon);
    if (n < 0)
      continue;
    if (polled[0].revents)
      holding = hear (pipe_fd) == BEAT;
    else
      look (daemon, fds, patience_ms);
  }
}

/* --- the daemon's side --- */

VvWatchdog *
vv_watchdog_new (const int fds[2], guint patience_ms)
{
  int ends[2];
  pid_t daemon = getpid ();

  if (pipe2 (ends, O_CLOEXEC | O_NONBLOCK) < 0) {
    g_warning ("watchdog: pipe: %s", g_strerror (errno));
    return NULL;
  }
  const int keep[] = {fds[0], fds[1], ends[0]};
  pid_t pid = vv_fork (keep, G_N_ELEMENTS (keep));
  if (pid == 0) {
    prctl (PR_SET_NAME, "vv-watchdog");
    watch (daemon, fds, patience_ms, ends[0]);
  }
  close (ends[0]);
  if (pid < 0) {
    g_warning ("watchdog: fork: %s", g_strerror (errno));
    close (ends[1]);
    return NULL;
  }
  VvWatchdog *w = g_new0 (VvWatchdog, 1);
  w->fd = ends[1];
  w->pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  w->patience_ms = patience_ms;
  return w;
}

static void
say (const VvWatchdog *w, char word)
{
  if (write (w->fd, &word, 1) < 0)
    g_debug ("watchdog: %s", g_strerror (errno));
}

static gboolean
beat (gpointer data)
{
  say (data, BEAT);
  return G_SOURCE_CONTINUE;
}

void
vv_watchdog_hold (VvWatchdog *w)
{
  if (!w || w->source)
    return;
  say (w, BEAT);
  w->source = g_timeout_add (w->patience_ms / BEATS, beat, w);
}

void
vv_watchdog_rest (VvWatchdog *w)
{
  if (!w || !w->source)
    return;
  g_source_remove (w->source);
  w->source = 0;
  say (w, REST);
}

void
vv_watchdog_free (VvWatchdog *w)
{
  if (!w)
    return;
  vv_watchdog_rest (w);
  syscall (SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0); /* at once: it has the descriptors, too */
  close (w->pidfd);
  close (w->fd);
  g_free (w);
}
