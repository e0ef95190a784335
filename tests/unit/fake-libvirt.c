/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-libvirt: plays the part of a libvirt daemon towards the gate: opens and writes what it is told to,
 * line by line on its standard input, and says "done" after each.
 *
 *   open FILE         for reading
 *   probe FILE        for writing, as drivers_probe is opened
 *   refused FILE      the same; "done" when that is not permitted
 *   write FILE TEXT   TEXT and a newline
 *   map FILE          maps it, as a shared library is
 *   become UID        for good
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int
open_file (const char *file, int flags)
{
  int fd = open (file, flags | O_CLOEXEC);

  if (fd < 0)
    return 1;
  close (fd);
  return 0;
}

static int
write_file (const char *file, const char *text)
{
  int fd = open (file, O_WRONLY | O_TRUNC | O_CLOEXEC);
  int failed = fd < 0 || dprintf (fd, "%s\n", text) < 0;

  if (fd >= 0)
    close (fd);
  return failed;
}

static int
map_file (const char *file)
{
  int fd = open (file, O_RDONLY | O_CLOEXEC);
  int failed = fd < 0 || mmap (NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED;

  if (fd >= 0)
    close (fd);
  return failed;
}

static int
become (uid_t uid)
{
  return setresuid (uid, uid, uid);
}

static int
step (const char *verb, const char *what, const char *text)
{
  if (strcmp (verb, "open") == 0)
    return open_file (what, O_RDONLY);
  if (strcmp (verb, "probe") == 0)
    return open_file (what, O_WRONLY);
  if (strcmp (verb, "refused") == 0)
    return !open_file (what, O_WRONLY) || errno != EPERM;
  if (strcmp (verb, "write") == 0)
    return write_file (what, text);
  if (strcmp (verb, "map") == 0)
    return map_file (what);
  if (strcmp (verb, "become") == 0)
    return become ((uid_t)atoi (what));
  return 1;
}

int
main (void)
{
  char line[4096], verb[16], what[2048], text[2048];

  while (fgets (line, sizeof line, stdin)) {
    *text = '\0';
    if (sscanf (line, "%15s %2047s %2047s", verb, what, text) < 2 || step (verb, what, text))
      return 1;
    puts ("done");
    fflush (stdout);
  }
  return 0;
}
