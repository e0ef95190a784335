/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "child.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_AGAIN_US 5000

/* @fds, @texts, @limits: standard output and standard error */
typedef struct {
  GPid pid;
  int fds[2];
  GString *texts[2];
  gsize limits[2];
  gint64 deadline;
} Child;

static gboolean
start (const char *const *argv, Child *c, GError **error)
{
  g_autoptr (GError) problem = NULL;

  if (g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                                NULL, NULL, &c->pid, NULL, &c->fds[0], &c->fds[1], &problem))
    return TRUE;
  g_set_error (error, VV_ERROR,
               g_error_matches (problem, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT) ? VV_ERROR_NOT_FOUND
                                                                             : VV_ERROR_FAILED,
               "%s: %s", argv[0], problem->message);
  return FALSE;
}

/* Returns: milliseconds, 0 when there is no time left */
static int
time_left (const Child *c)
{
  gint64 left_ms = (c->deadline - g_get_monotonic_time ()) / 1000;

  return (int)CLAMP (left_ms, 0, G_MAXINT);
}

/* Returns: FALSE when standard output became too long */
static gboolean
take (Child *c, int which)
{
  char chunk[4096];
  gssize n = read (c->fds[which], chunk, sizeof chunk);

  if (n < 0 && errno == EINTR)
    return TRUE;
  if (n <= 0) {
    close (c->fds[which]);
    c->fds[which] = -1;
    return TRUE;
  }
  gsize room = c->limits[which] - c->texts[which]->len;
  g_string_append_len (c->texts[which], chunk, MIN (n, (gssize)room));
  return which == 1 || (gsize)n <= room;
}

/* Returns: (nullable): what is wrong */
static const char *
read_both (Child *c)
{
  while (c->fds[0] >= 0 || c->fds[1] >= 0) {
    struct pollfd polled[2] = {{c->fds[0], POLLIN, 0}, {c->fds[1], POLLIN, 0}};
    int n = poll (polled, 2, time_left (c));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return _ ("did not end in time");
    for (int i = 0; i < 2; i++)
      if (polled[i].revents && !take (c, i))
        return _ ("printed too much");
  }
  return NULL;
}

/* It has closed its outputs; that it ends, too, takes a moment. Returns: FALSE when it was killed */
static gboolean
reap (Child *c, gboolean at_once, int *status)
{
  pid_t ended = 0;

  while (!at_once && (ended = waitpid (c->pid, status, WNOHANG)) == 0 && time_left (c) > 0)
    g_usleep (LOOK_AGAIN_US);
  if (ended == c->pid)
    return TRUE;
  kill (c->pid, SIGKILL);
  waitpid (c->pid, status, 0);
  return FALSE;
}

static gboolean
finish (Child *c, const char *name, GError **error)
{
  const char *problem = read_both (c);
  int status = 0;

  for (int i = 0; i < 2; i++)
    if (c->fds[i] >= 0)
      close (c->fds[i]);
  if (!reap (c, problem != NULL, &status) && !problem)
    problem = _ ("did not end in time");
  if (!problem && WIFEXITED (status) && WEXITSTATUS (status) == 0)
    return TRUE;
  g_autofree char *errors = g_strstrip (g_utf8_make_valid (c->texts[1]->str, (gssize)c->texts[1]->len));
  g_autofree char *ended = WIFEXITED (status) ? g_strdup_printf (_ ("exit status %d"), WEXITSTATUS (status))
                                              : g_strdup_printf (_ ("signal %d"), WTERMSIG (status));
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s: %s%s%s", name, problem ? problem : ended,
               *errors ? ": " : "", errors);
  return FALSE;
}

GString *
vv_child_run (const char *const *argv, gsize limit, guint limit_ms, GError **error)
{
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GString) errors = g_string_new (NULL);
  Child c = {.fds = {-1, -1},
             .texts = {output, errors},
             .limits = {limit, VV_CHILD_ERRORS_LIMIT},
             .deadline = g_get_monotonic_time () + limit_ms * G_GINT64_CONSTANT (1000)};

  if (!start (argv, &c, error) || !finish (&c, argv[0], error))
    return NULL;
  return g_steal_pointer (&output);
}
