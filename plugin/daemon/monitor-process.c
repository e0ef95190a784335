/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "monitor-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fork.h"
#include "io.h"
#include "orders.h"

struct VvMonitorProcess {
  char *path;
  pid_t pid;
  VvFd input;
  gboolean blocked;
  gboolean missing; /* the warning was logged */
};

VvMonitorProcess *
vv_monitor_process_new (const char *path)
{
  VvMonitorProcess *m = g_new0 (VvMonitorProcess, 1);

  m->path = g_strdup (path);
  m->input = -1;
  return m;
}

static void
ended (VvMonitorProcess *m)
{
  vv_fd_close (&m->input);
  m->pid = 0;
}

/* During a call to libvirt, the monitor would not see the end of its input, and libvirt may never answer.
 * The monitor blocks SIGTERM while it rebinds a device. */
void
vv_monitor_process_end (VvMonitorProcess *m)
{
  if (m->pid && kill (m->pid, SIGTERM) < 0)
    g_warning ("monitor: kill: %s", g_strerror (errno));
  vv_fd_close (&m->input);
}

void
vv_monitor_process_free (VvMonitorProcess *m)
{
  if (!m)
    return;
  ended (m);
  g_free (m->path);
  g_free (m);
}

static void
say (VvMonitorProcess *m, VvOrder order)
{
  const char byte = (char)order;

  if (m->input >= 0 && write (m->input, &byte, 1) < 0)
    g_debug ("monitor: %s", g_strerror (errno)); /* the monitor has just ended; SIGCHLD reports that */
}

static void
warn (const char *step)
{
  g_warning ("cannot start the libvirt client: %s: %s; which domain uses a device is unknown, and devices "
             "that libvirt does not return to the host are left to 'vfio-variant restore'",
             step, g_strerror (errno));
}

static void
start (VvMonitorProcess *m)
{
  char *argv[] = {m->path, NULL};
  int ends[2];

  if (access (m->path, X_OK) < 0) {
    if (!m->missing)
      warn (m->path);
    m->missing = TRUE;
    return;
  }
  m->missing = FALSE;
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return;
  fcntl (ends[1], F_SETFL, O_NONBLOCK);
  m->input = ends[1];
  if (m->blocked)
    say (m, VV_ORDER_BLOCKED); /* before the monitor can call libvirt */
  m->pid = vv_fork (ends, 1);
  if (m->pid == 0) {
    if (dup2 (ends[0], STDIN_FILENO) >= 0 && chdir ("/") == 0)
      execv (m->path, argv);
    warn (m->path);
    _exit (EXIT_FAILURE);
  }
  if (m->pid < 0) {
    warn ("fork");
    ended (m);
  }
  close (ends[0]);
}

void
vv_monitor_process_look (VvMonitorProcess *m)
{
  if (!m->pid)
    start (m);
  else
    say (m, VV_ORDER_LOOK);
}

void
vv_monitor_process_hold (VvMonitorProcess *m, gboolean blocked)
{
  m->blocked = blocked;
  say (m, blocked ? VV_ORDER_BLOCKED : VV_ORDER_FREE);
}

gboolean
vv_monitor_process_reaped (VvMonitorProcess *m, pid_t pid)
{
  if (!m->pid || m->pid != pid)
    return FALSE;
  ended (m);
  return TRUE;
}

gboolean
vv_monitor_process_runs (const VvMonitorProcess *m)
{
  return m->pid != 0;
}
