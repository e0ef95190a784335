/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * faults: fault injection: one fault at a numbered point of a program.
 *
 * If meson's option "faults" is set, the programs are linked with this file and with --wrap. A point is one
 * call of a function that writes to sysfs, loads a module, writes or removes a file of the state store, or
 * answers a process that the gate blocks. Its name is "PROGRAM KIND OBJECT". Its number counts the points of
 * that name in all processes, from 1.
 *
 * Owns: the files below FOLDER, which belong to the tester. Without "trace", it does nothing. Each point
 * appends a line to "trace". "order" is one line, "NUMBER SIDE FAULT NAME": SIDE is "before" or "after" the
 * point's work, FAULT is "kill", "EIO" or "ENOSPC" (the point fails before or after its work), or the number
 * of seconds for which the process stalls. A fault occurs once; "done" then names the process. Knows nothing
 * of the meaning of the points.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "modules.h"

#define FOLDER "/run/vfio-variant-faults/"
#define NAME_SIZE 512 /* of a point, and of a line */

/* The fault ordered for this point; none if @fault is empty */
typedef struct {
  gboolean after;
  char fault[16];
} Order;

gboolean __real_vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error);
gboolean __wrap_vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error);
gboolean __real_vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error);
gboolean __wrap_vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error);
gboolean __real_vv_io_remove (const VvDir *dir, const char *name, GError **error);
gboolean __wrap_vv_io_remove (const VvDir *dir, const char *name, GError **error);
int __real_vv_io_answer (int group, int fd, gboolean allow);
int __wrap_vv_io_answer (int group, int fd, gboolean allow);
gboolean __real_vv_modules_load (VvModules *modules, const char *module, GError **error);
gboolean __wrap_vv_modules_load (VvModules *modules, const char *module, GError **error);

/* --- points --- */

/* libvirt runs the hook by another name. */
static void
name_program (char *name, size_t size)
{
  char path[NAME_SIZE] = "";
  ssize_t n = readlink ("/proc/self/exe", path, sizeof path - 1);
  const char *slash = n > 0 ? strrchr (path, '/') : NULL;

  g_strlcpy (name, slash ? slash + 1 : program_invocation_short_name, size);
}

/* The caller holds the lock of @trace. Returns: the number of the point */
static unsigned
count_point (FILE *trace, const char *name)
{
  char line[NAME_SIZE];
  unsigned number = 1;

  rewind (trace);
  while (fgets (line, sizeof line, trace)) {
    line[strcspn (line, "\n")] = '\0';
    number += strcmp (line, name) == 0;
  }
  fseek (trace, 0, SEEK_END); /* between reading and writing: C11 7.21.5.3 */
  fprintf (trace, "%s\n", name);
  fflush (trace);
  return number;
}

static gboolean
read_order (const char *name, unsigned number, Order *order)
{
  FILE *file = fopen (FOLDER "order", "re");
  char line[NAME_SIZE] = "", side[8];
  unsigned wanted;
  int rest = 0;

  if (!file)
    return FALSE;
  gboolean is_there = fgets (line, sizeof line, file) != NULL;
  fclose (file);
  line[strcspn (line, "\n")] = '\0';
  if (!is_there || sscanf (line, "%u %7s %15s %n", &wanted, side, order->fault, &rest) != 3 ||
      wanted != number || strcmp (line + rest, name) != 0)
    return FALSE;
  order->after = strcmp (side, "after") == 0;
  return TRUE;
}

static Order
enter (const char *kind, const char *object)
{
  char program[64], name[NAME_SIZE];
  Order order = {0};
  FILE *trace = fopen (FOLDER "trace", "r+e");

  if (!trace)
    return order;
  name_program (program, sizeof program);
  snprintf (name, sizeof name, "%s %s %s", program, kind, object);
  flock (fileno (trace), LOCK_EX);
  unsigned number = count_point (trace, name);
  fclose (trace);
  if (!read_order (name, number, &order))
    order.fault[0] = '\0';
  return order;
}

/* --- faults --- */

static void
tell_done (void)
{
  FILE *file = fopen (FOLDER "done", "we");

  if (!file)
    return;
  fprintf (file, "%d\n", (int)getpid ());
  fclose (file);
}

/* Returns: the errno that the point fails with, or 0 */
static int
pass (const Order *order, gboolean after)
{
  if (!order->fault[0] || order->after != after)
    return 0;
  tell_done ();
  if (strcmp (order->fault, "kill") == 0)
    raise (SIGKILL);
  if (strcmp (order->fault, "EIO") == 0)
    return EIO;
  if (strcmp (order->fault, "ENOSPC") == 0)
    return ENOSPC;
  g_usleep (strtoul (order->fault, NULL, 10) * G_USEC_PER_SEC);
  return 0;
}

static gboolean
fail_before (const Order *order, const char *name, GError **error)
{
  int errnum = pass (order, FALSE);

  return errnum ? !vv_set_errno (error, errnum, "%s: ordered", name) : FALSE;
}

/* If the real call failed, keeps its error. */
static gboolean
succeed_after (const Order *order, gboolean done, const char *name, GError **error)
{
  int errnum = pass (order, TRUE);

  return done && errnum ? vv_set_errno (error, errnum, "%s: ordered", name) : done;
}

/* --- functions replaced by --wrap --- */

gboolean
__wrap_vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error)
{
  g_autofree char *name = g_build_filename (dir->path, path, NULL);
  const Order order = enter ("write", name);

  return !fail_before (&order, name, error) &&
         succeed_after (&order, __real_vv_io_write (dir, path, value, error), name, error);
}

gboolean
__wrap_vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error)
{
  const Order order = enter ("replace", name);

  return !fail_before (&order, name, error) &&
         succeed_after (&order, __real_vv_io_replace (dir, name, text, error), name, error);
}

gboolean
__wrap_vv_io_remove (const VvDir *dir, const char *name, GError **error)
{
  const Order order = enter ("remove", name);

  return !fail_before (&order, name, error) &&
         succeed_after (&order, __real_vv_io_remove (dir, name, error), name, error);
}

gboolean
__wrap_vv_modules_load (VvModules *modules, const char *module, GError **error)
{
  const Order order = enter ("load", module);

  return !fail_before (&order, module, error) &&
         succeed_after (&order, __real_vv_modules_load (modules, module, error), module, error);
}

int
__wrap_vv_io_answer (int group, int fd, gboolean allow)
{
  char link[32], file[NAME_SIZE / 2] = "";

  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink (link, file, sizeof file - 1) < 0)
    g_strlcpy (file, "?", sizeof file);
  const Order order = enter ("answer", file);
  int errnum = pass (&order, FALSE);
  if (errnum)
    return errnum;
  int result = __real_vv_io_answer (group, fd, allow);
  errnum = pass (&order, TRUE);
  return result ? result : errnum;
}
