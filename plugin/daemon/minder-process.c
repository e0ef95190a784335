/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "minder-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct VvMinderProcess {
  char *path;
  GPid pid;
  int input;
  gboolean held;
  gboolean missing; /* said once */
};

VvMinderProcess *
vv_minder_process_new (const char *path)
{
  VvMinderProcess *m = g_new0 (VvMinderProcess, 1);

  m->path = g_strdup (path);
  m->input = -1;
  return m;
}

static void
ended (VvMinderProcess *m)
{
  if (m->input >= 0)
    close (m->input);
  m->input = -1;
  m->pid = 0;
}

/* In a call to libvirt it would not see that its input ends, and libvirt may never answer. While it moves a
 * device it has the signal blocked. */
void
vv_minder_process_end (VvMinderProcess *m)
{
  if (m->pid && kill (m->pid, SIGTERM) < 0)
    g_warning ("minder: kill: %s", g_strerror (errno));
  if (m->input >= 0)
    close (m->input);
  m->input = -1;
}

void
vv_minder_process_free (VvMinderProcess *m)
{
  if (!m)
    return;
  ended (m);
  g_free (m->path);
  g_free (m);
}

static void
say (VvMinderProcess *m, const char *word)
{
  if (m->input >= 0 && write (m->input, word, strlen (word)) < 0)
    g_debug ("minder: %s", g_strerror (errno)); /* it ended just now, which shows elsewhere */
}

/* The daemon's blocked signals are its own affair. */
static void
unblock_signals (gpointer data)
{
  sigset_t none;

  (void)data;
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  signal (SIGPIPE, SIG_DFL);
}

static void
start (VvMinderProcess *m)
{
  char *argv[] = {m->path, NULL};
  g_autoptr (GError) error = NULL;
  int ends[2];

  if (m->missing || pipe2 (ends, O_CLOEXEC) < 0)
    return;
  fcntl (ends[1], F_SETFL, O_NONBLOCK);
  m->input = ends[1];
  if (m->held)
    say (m, "held\n"); /* before it can call anything */
  if (!g_spawn_async_with_fds ("/", argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, unblock_signals, NULL, &m->pid,
                               ends[0], -1, -1, &error)) {
    m->missing = TRUE;
    ended (m);
    g_warning ("the libvirt client cannot be started: %s; which domain has a device is not known, and what "
               "libvirt does not bring home is left to 'vfio-variant restore'",
               error->message);
  }
  close (ends[0]);
}

void
vv_minder_process_look (VvMinderProcess *m)
{
  if (!m->pid)
    start (m);
  else
    say (m, "look\n");
}

void
vv_minder_process_hold (VvMinderProcess *m, gboolean held)
{
  m->held = held;
  say (m, held ? "held\n" : "free\n");
}

gboolean
vv_minder_process_reaped (VvMinderProcess *m, pid_t pid)
{
  if (!m->pid || m->pid != pid)
    return FALSE;
  ended (m);
  return TRUE;
}

gboolean
vv_minder_process_runs (const VvMinderProcess *m)
{
  return m->pid != 0;
}
