/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * open-time COUNT MODE:FILE...: measures open() and close(). Opens each FILE in turn, COUNT times, for
 * reading (r:) or for writing (w:). Prints a line for each time, with the microseconds of each FILE.
 *
 * The gate identifies libvirt by the name of its program: under that name, this program is libvirt for the
 * gate. Linked statically, and without GLib, so that it also runs in the emulated host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "now.h"

#define MOST_FILES 4

static double
open_and_close (const char *file)
{
  int flags = (file[0] == 'w' ? O_WRONLY : O_RDONLY) | O_CLOEXEC;
  double start = now_usec ();
  int fd = open (file + 2, flags);

  if (fd < 0) {
    fprintf (stderr, "open-time: %s: %s\n", file + 2, strerror (errno));
    exit (1);
  }
  close (fd);
  return now_usec () - start;
}

int
main (int argc, char **argv)
{
  int files = argc - 2;
  long count = argc > 2 ? strtol (argv[1], NULL, 10) : 0;

  if (count <= 0 || files > MOST_FILES) {
    fputs ("Usage: open-time COUNT MODE:FILE...\n", stderr);
    return 2;
  }
  double *usec = calloc ((size_t)count * files, sizeof *usec);
  if (!usec)
    return 1;
  for (long i = 0; i < count * files; i++) /* no output in between */
    usec[i] = open_and_close (argv[2 + i % files]);
  for (long i = 0; i < count * files; i++)
    printf ("%.3f%c", usec[i], i % files == files - 1 ? '\n' : ' ');
  free (usec);
  return 0;
}
