/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fork.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel assigns the lowest free number (open(2)), so in practice the daemon uses only lower ones. */
#define LOOKED_AT 1024

static gboolean
is_kept (int fd, const int *keep, guint n)
{
  struct stat found;
  int domain = 0, type = 0;
  socklen_t length = sizeof domain;

  for (guint i = 0; i < n; i++)
    if (keep[i] == fd)
      return TRUE;
  if (fstat (fd, &found) < 0 || S_ISDIR (found.st_mode))
    return TRUE;
  /* GLib and glibc keep open the socket through which they send log records (journald, /dev/log). The child
   * would still use its number. */
  return S_ISSOCK (found.st_mode) && getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
         domain == AF_UNIX && getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM;
}

/* The parent may have died between fork() and prctl(). */
static void
become_child (pid_t parent, const int *keep, guint n)
{
  sigset_t none;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (1);
  for (int fd = STDERR_FILENO + 1; fd < LOOKED_AT; fd++)
    if (!is_kept (fd, keep, n))
      close (fd);
  syscall (SYS_close_range, LOOKED_AT, ~0U, 0); /* since Linux 5.9; such a high number is rare */
  signal (SIGPIPE, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

pid_t
vv_fork (const int *keep, guint n)
{
  pid_t parent = getpid ();
  pid_t pid = fork ();

  if (pid == 0)
    become_child (parent, keep, n);
  return pid;
}
