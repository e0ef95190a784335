/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-actor.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DONE "done\n"

struct LibvirtActor {
  pid_t pid;
  int input, output;
  guint source;
  gboolean done;
  gboolean dead;
};

static gboolean
hear (int fd, GIOCondition condition, gpointer data)
{
  LibvirtActor *a = data;
  char text[sizeof DONE] = "";

  (void)condition;
  ssize_t n = read (fd, text, sizeof text - 1);
  if (n <= 0)
    g_error ("libvirt's part was played badly: a step failed");
  g_assert_cmpstr (text, ==, DONE);
  a->done = TRUE;
  return G_SOURCE_CONTINUE;
}

LibvirtActor *
actor_new (const char *program)
{
  LibvirtActor *a = g_new0 (LibvirtActor, 1);
  int in[2], out[2];

  g_assert_cmpint (pipe2 (in, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (out, O_CLOEXEC), ==, 0);
  a->pid = fork ();
  g_assert_cmpint (a->pid, >=, 0);
  if (a->pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    dup2 (in[0], 0);
    dup2 (out[1], 1);
    execl (program, program, NULL);
    _exit (127);
  }
  close (in[0]);
  close (out[1]);
  a->input = in[1];
  a->output = out[0];
  a->done = TRUE;
  a->source = g_unix_fd_add (a->output, G_IO_IN | G_IO_HUP, hear, a);
  return a;
}

void
actor_dies (LibvirtActor *a)
{
  if (a->dead)
    return;
  if (a->source)
    g_source_remove (a->source);
  a->source = 0;
  kill (a->pid, SIGKILL);
  g_assert_cmpint (waitpid (a->pid, NULL, 0), ==, a->pid); /* tests may wait for any child later */
  a->dead = TRUE;
}

void
actor_free (LibvirtActor *a)
{
  actor_dies (a);
  close (a->input);
  close (a->output);
  g_free (a);
}

pid_t
actor_pid (const LibvirtActor *a)
{
  return a->pid;
}

static void
begin (LibvirtActor *a, const char *format, va_list args)
{
  g_autofree char *step = g_strdup_vprintf (format, args);
  g_autofree char *line = g_strconcat (step, "\n", NULL);

  g_assert_true (a->done);
  a->done = FALSE;
  g_assert_cmpint (write (a->input, line, strlen (line)), ==, strlen (line));
}

void
actor_begin (LibvirtActor *a, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  begin (a, format, args);
  va_end (args);
}

void
actor_finish (LibvirtActor *a)
{
  run_until (&a->done);
}

void
actor_does (LibvirtActor *a, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  begin (a, format, args);
  va_end (args);
  actor_finish (a);
}

gboolean
actor_is_waiting (LibvirtActor *a)
{
  struct pollfd output = {.fd = a->output, .events = POLLIN};

  return !a->done && poll (&output, 1, 0) == 0;
}

void
actor_announces (LibvirtActor *a, const FakeKernel *k, const char *address)
{
  g_autofree char *path = fake_device_path (address, "driver_override");

  actor_does (a, "open %s/%s", k->root, path);
}

void
actor_begins_to_probe (LibvirtActor *a, const FakeKernel *k)
{
  actor_begin (a, "probe %s/sys/bus/pci/drivers_probe", k->root);
}

void
run_until (const gboolean *flag)
{
  while (!*flag)
    g_main_context_iteration (NULL, TRUE);
}
