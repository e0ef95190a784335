/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ready-time SOCKET PROGRAM [ARGUMENT...]: measures the time until a daemon sends READY=1 to its service
 * manager (sd_notify(3)), in milliseconds from before its start. SOCKET is the path for the notification
 * socket. Ends the daemon afterwards.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "now.h"

#define DEADLINE_MS 30000

extern char **environ;

static int
open_socket (const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || strlen (path) >= sizeof address.sun_path)
    return -1;
  strcpy (address.sun_path, path);
  unlink (path);
  return bind (fd, (const void *)&address, sizeof address) == 0 ? fd : -1;
}

/* Returns: whether its messages included READY=1 */
static int
wait_until_ready (int fd)
{
  struct pollfd readable = {.fd = fd, .events = POLLIN};
  char text[4096];

  while (poll (&readable, 1, DEADLINE_MS) > 0) {
    ssize_t n = recv (fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    if (strncmp (text, "READY=1", strlen ("READY=1")) == 0 || strstr (text, "\nREADY=1"))
      return 1;
  }
  return 0;
}

int
main (int argc, char **argv)
{
  pid_t pid;

  if (argc < 3) {
    fputs ("Usage: ready-time SOCKET PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  int fd = open_socket (argv[1]);
  if (fd < 0 || setenv ("NOTIFY_SOCKET", argv[1], 1) < 0) {
    fprintf (stderr, "ready-time: %s: %s\n", argv[1], strerror (errno));
    return 1;
  }
  double start = now_usec ();
  int errnum = posix_spawn (&pid, argv[2], NULL, NULL, argv + 2, environ);
  if (errnum) {
    fprintf (stderr, "ready-time: %s: %s\n", argv[2], strerror (errnum));
    return 1;
  }
  int ready = wait_until_ready (fd);
  double took = (now_usec () - start) / 1000;
  kill (pid, SIGTERM);
  waitpid (pid, NULL, 0);
  unlink (argv[1]);
  if (!ready) {
    fprintf (stderr, "ready-time: %s did not become ready\n", argv[2]);
    return 1;
  }
  printf ("%.3f\n", took);
  return 0;
}
