/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * bare-moves [--jobs N] detach|reattach DRIVER DEVICE...: measures the kernel's own time for a rebind: the
 * writes to sysfs of plugin/bind/binding-steps.c, in the same order, without other code. Prints the
 * microseconds from the start of the first write to the end of the last. DRIVER is the new driver of the
 * devices; "none": no driver.
 *
 * With --jobs, that many processes share the devices, which measures how much work the kernel does in
 * parallel.
 *
 * Linked statically, and without GLib, so that it also runs in the emulated host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "now.h"

#define NONE "none"
#define MOST_JOBS 256
#define PATH_LENGTH 256

typedef struct {
  int detach;
  int jobs;
  const char *driver;
  char **devices;
  int count;
} Task;

static void
fail (const char *what)
{
  fprintf (stderr, "bare-moves: %s: %s\n", what, strerror (errno));
  exit (1);
}

static void
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  if (fd < 0 || write (fd, text, strlen (text)) < 0)
    fail (path);
  close (fd);
}

static void
device_file (char *path, const char *device, const char *file)
{
  snprintf (path, PATH_LENGTH, "/sys/bus/pci/devices/%s/%s", device, file);
}

static void
override (const char *device, const char *driver)
{
  char path[PATH_LENGTH];

  device_file (path, device, "driver_override");
  write_file (path, driver);
}

/* Uses the link, without a look-up of the driver by name, which costs the kernel the same. */
static void
unbind (const char *device)
{
  char path[PATH_LENGTH];

  device_file (path, device, "driver/unbind");
  if (access (path, F_OK) == 0)
    write_file (path, device);
}

static void
bind_to (const char *device, const char *driver)
{
  char path[PATH_LENGTH];

  snprintf (path, sizeof path, "/sys/bus/pci/drivers/%s/bind", driver);
  write_file (path, device);
}

static void
move (const Task *task, const char *device)
{
  if (task->detach)
    override (device, task->driver);
  unbind (device);
  if (!task->detach)
    override (device, "\n");
  if (strcmp (task->driver, NONE) != 0)
    bind_to (device, task->driver);
}

static void
take_turns (const Task *task, atomic_int *next)
{
  for (int i = atomic_fetch_add (next, 1); i < task->count; i = atomic_fetch_add (next, 1))
    move (task, task->devices[i]);
}

/* Processes instead of threads: each has its own file descriptor table. */
static void
move_in_parallel (const Task *task)
{
  atomic_int *next = mmap (NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int failed = 0, status;

  if (next == MAP_FAILED)
    fail ("mmap");
  atomic_init (next, 0);
  for (int i = 0; i < task->jobs; i++) {
    pid_t pid = fork ();
    if (pid < 0)
      fail ("fork");
    if (pid == 0) {
      take_turns (task, next);
      _exit (0);
    }
  }
  while (wait (&status) > 0)
    failed |= status;
  if (failed)
    exit (1);
}

static int
usage (void)
{
  fputs ("Usage: bare-moves [--jobs N] detach|reattach DRIVER DEVICE...\n", stderr);
  return 2;
}

int
main (int argc, char **argv)
{
  Task task = {.jobs = 1};

  if (argc > 2 && strcmp (argv[1], "--jobs") == 0) {
    task.jobs = (int)strtol (argv[2], NULL, 10);
    argc -= 2, argv += 2;
  }
  if (argc < 4 || task.jobs < 1 || task.jobs > MOST_JOBS)
    return usage ();
  task.detach = strcmp (argv[1], "detach") == 0;
  if (!task.detach && strcmp (argv[1], "reattach") != 0)
    return usage ();
  task.driver = argv[2];
  task.devices = argv + 3;
  task.count = argc - 3;
  double start = now_usec ();
  if (task.jobs > 1)
    move_in_parallel (&task);
  else
    for (int i = 0; i < task.count; i++)
      move (&task, task.devices[i]);
  printf ("%.1f\n", now_usec () - start);
  return 0;
}
