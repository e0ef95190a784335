/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * run-time FILE COMMAND...: measures a command, from before the fork until its end: prints the milliseconds.
 * The output of the command goes to FILE. Exits with the status of the command.
 *
 * A shell's own "time" has a resolution of only 10 ms. Linked statically, and without GLib, so that it also
 * runs in the emulated host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "now.h"

/* Returns only if the exec fails. */
static void
become (int output, char **command)
{
  dup2 (output, STDOUT_FILENO);
  execvp (command[0], command);
  fprintf (stderr, "run-time: %s: %s\n", command[0], strerror (errno));
}

int
main (int argc, char **argv)
{
  int status = 0;

  if (argc < 3) {
    fputs ("Usage: run-time FILE COMMAND...\n", stderr);
    return 2;
  }
  int output = open (argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (output < 0) {
    fprintf (stderr, "run-time: %s: %s\n", argv[1], strerror (errno));
    return 1;
  }
  double start = now_usec ();
  pid_t pid = fork ();
  if (pid == 0) {
    become (output, argv + 2);
    _exit (127);
  }
  if (pid < 0 || waitpid (pid, &status, 0) < 0) {
    perror ("run-time");
    return 1;
  }
  printf ("%.3f\n", (now_usec () - start) / 1000);
  return WIFEXITED (status) ? WEXITSTATUS (status) : 1;
}
