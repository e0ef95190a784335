/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * crowd PROCESSES FILES: starts that many processes with that many open files each: one third each of
 * /dev/null, of eventfds and of this program's own file. Prints "ready", and ends when its standard input
 * ends.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST 10000

static int
open_files (long files)
{
  struct rlimit limit;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
  for (long i = STDERR_FILENO + 1; i < files; i++) {
    int fd = i % 3 == 0   ? open ("/dev/null", O_RDONLY)
             : i % 3 == 1 ? eventfd (0, 0)
                          : open ("/proc/self/exe", O_RDONLY);
    if (fd < 0)
      return -1;
  }
  return 0;
}

int
main (int argc, char **argv)
{
  long processes = argc == 3 ? atol (argv[1]) : 0, files = argc == 3 ? atol (argv[2]) : 0;
  char end;

  if (processes < 1 || processes > MOST || files < 3 || files > MOST) {
    fprintf (stderr, "Usage: crowd PROCESSES FILES, up to %d of each\n", MOST);
    return 2;
  }
  if (open_files (files) < 0) {
    perror ("crowd: open");
    return 1;
  }
  for (long i = 0; i < processes; i++) {
    pid_t pid = fork ();
    if (pid < 0) {
      perror ("crowd: fork");
      return 1;
    }
    if (pid == 0) {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      pause ();
      _exit (0);
    }
  }
  puts ("ready");
  fflush (stdout);
  return read (STDIN_FILENO, &end, 1) < 0;
}
