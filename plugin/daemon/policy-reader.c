/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy-reader.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy-text.h"

#define PATIENCE_S 10
#define OUTPUT_LIMIT (16 * 1024 * 1024)

struct VvPolicyReader {
  char *command;
  char *sysroot;
  VvPolicyFunc func;
  gpointer data;
  int pidfd; /* -1: at rest */
  int output;
  guint source;
  guint patience;
  GString *text;
};

VvPolicyReader *
vv_policy_reader_new (const char *command, const char *sysroot, VvPolicyFunc func, gpointer data)
{
  VvPolicyReader *r = g_new0 (VvPolicyReader, 1);

  r->command = g_strdup (command);
  r->sysroot = g_strdup (sysroot);
  r->func = func;
  r->data = data;
  r->pidfd = r->output = -1;
  r->text = g_string_new (NULL);
  return r;
}

/* A process that has not ended yet is of no use any more. Whoever reaps the daemon's children reaps it. */
static void
stop (VvPolicyReader *r)
{
  if (r->source)
    g_source_remove (r->source);
  if (r->patience)
    g_source_remove (r->patience);
  if (r->output >= 0)
    close (r->output);
  if (r->pidfd >= 0) {
    syscall (SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
    close (r->pidfd);
  }
  r->source = r->patience = 0;
  r->pidfd = r->output = -1;
  g_string_truncate (r->text, 0);
}

void
vv_policy_reader_free (VvPolicyReader *r)
{
  if (!r)
    return;
  stop (r);
  g_string_free (r->text, TRUE);
  g_free (r->command);
  g_free (r->sysroot);
  g_free (r);
}

static void
fail (VvPolicyReader *r, const char *why)
{
  g_warning ("the policy could not be read, so what was known of it stays: %s: %s", r->command, why);
  stop (r);
  r->func (NULL, r->data);
}

static void
finish (VvPolicyReader *r)
{
  g_autoptr (GError) error = NULL;
  VvPolicy *policy = vv_policy_from_text (r->text->str, r->text->len, &error);

  if (!policy) {
    fail (r, error->message);
    return;
  }
  stop (r);
  r->func (policy, r->data);
}

static gboolean
readable (int fd, GIOCondition condition, gpointer data)
{
  VvPolicyReader *r = data;
  char buffer[16384];
  ssize_t n = read (fd, buffer, sizeof buffer);

  (void)condition;
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n > 0 && r->text->len + n <= OUTPUT_LIMIT) {
    g_string_append_len (r->text, buffer, n);
    return G_SOURCE_CONTINUE;
  }
  r->source = 0;
  if (n)
    fail (r, n < 0 ? g_strerror (errno) : "it says too much");
  else
    finish (r);
  return G_SOURCE_REMOVE;
}

static gboolean
takes_too_long (gpointer data)
{
  VvPolicyReader *r = data;

  r->patience = 0;
  fail (r, "it takes too long");
  return G_SOURCE_REMOVE;
}

/* The daemon's blocked signals are its own affair. */
static void
become_child (gpointer data)
{
  sigset_t none;

  (void)data;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  signal (SIGPIPE, SIG_DFL);
}

void
vv_policy_reader_start (VvPolicyReader *r)
{
  const char *const argv[] = {r->command, "policy", "--keyfile", r->sysroot ? "--sysroot" : NULL,
                              r->sysroot, NULL};
  g_autoptr (GError) error = NULL;
  GPid pid;

  stop (r);
  if (!g_spawn_async_with_pipes ("/", (char **)argv, NULL,
                                 G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, become_child, NULL,
                                 &pid, NULL, &r->output, NULL, &error)) {
    fail (r, error->message);
    return;
  }
  r->pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  g_unix_set_fd_nonblocking (r->output, TRUE, NULL);
  r->source = g_unix_fd_add (r->output, G_IO_IN | G_IO_HUP, readable, r);
  r->patience = g_timeout_add_seconds (PATIENCE_S, takes_too_long, r);
}

void
vv_policy_reader_wait (VvPolicyReader *r)
{
  while (r->source)
    g_main_context_iteration (NULL, TRUE);
}
