/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-libvirt: plays a libvirt daemon for tests of the gate. Reads commands from standard input, one per
 * line, and prints "done" after each.
 *
 *   open FILE         opens FILE for reading
 *   probe FILE        opens FILE for writing, as libvirt opens drivers_probe
 *   refused FILE      the same; "done" if the open is denied
 *   write FILE TEXT   writes TEXT and a newline
 *   map FILE          maps FILE, as a shared library is mapped
 *   become UID        changes the user permanently
 *   flood FILE N,MS   opens and closes FILE in N threads, as fast as possible, for MS milliseconds
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MOST_THREADS 1000

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

typedef struct {
  const char *file;
  struct timespec end;
} Flood;

static int
is_over (const struct timespec *end)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec >= end->tv_nsec);
}

static void *
open_again_and_again (void *data)
{
  const Flood *flood = data;

  while (!is_over (&flood->end))
    if (open_file (flood->file, O_RDONLY))
      return data;
  return NULL;
}

static int
flood_file (const char *file, const char *how)
{
  Flood flood = {.file = file};
  pthread_t threads[MOST_THREADS];
  int n, ms, failed = 0;

  if (sscanf (how, "%d,%d", &n, &ms) != 2 || n < 1 || n > MOST_THREADS)
    return 1;
  clock_gettime (CLOCK_MONOTONIC, &flood.end);
  flood.end.tv_sec += ms / 1000;
  for (int i = 0; i < n; i++)
    if (pthread_create (&threads[i], NULL, open_again_and_again, &flood))
      abort ();
  for (int i = 0; i < n; i++) {
    void *result;
    pthread_join (threads[i], &result);
    failed |= result != NULL;
  }
  return failed;
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
  if (strcmp (verb, "flood") == 0)
    return flood_file (what, text);
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
