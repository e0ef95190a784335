/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of watchdog: a process that plays the daemon is killed if a process is blocked and the daemon makes
 * no progress, and only then.
 */
#include "watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-kernel.h"

#define SHORT_MS 200  /* of daemons that are killed */
#define LONG_MS 60000 /* of others: no test takes this long */

/* Like the gate's descriptors in the daemon: readable while a byte is in the pipe. */
typedef struct {
  int fds[VV_WATCHDOG_FDS];
  int ends[VV_WATCHDOG_FDS];
  guint64 *progress;
} Gate;

static Gate
gate_new (void)
{
  Gate g;

  for (guint i = 0; i < VV_WATCHDOG_FDS; i++) {
    int pipe_fds[2];
    g_assert_cmpint (pipe2 (pipe_fds, O_CLOEXEC), ==, 0);
    g.fds[i] = pipe_fds[0];
    g.ends[i] = pipe_fds[1];
  }
  g.progress = mmap (NULL, sizeof *g.progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (g.progress != MAP_FAILED);
  return g;
}

static VvWatchdog *
watchdog_new (const Gate *g, guint deadline_ms)
{
  return vv_watchdog_new (g->fds, g->progress, deadline_ms);
}

static void
somebody_waits (const Gate *g, guint which)
{
  g_assert_cmpint (write (g->ends[which], "x", 1), ==, 1);
}

static void
nobody_waits (const Gate *g, guint which)
{
  char byte;

  g_assert_cmpint (read (g->fds[which], &byte, 1), ==, 1);
}

static void
get_on (const Gate *g)
{
  __atomic_add_fetch (g->progress, 1, __ATOMIC_RELAXED);
}

static G_GNUC_NORETURN void
hang (void)
{
  for (;;)
    pause ();
}

/* Runs @play as the daemon. Returns: its wait status */
static int
play_daemon (void (*play) (void))
{
  int status = 0;
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    play ();
    _exit (0);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return status;
}

static void
assert_killed (void (*play) (void))
{
  int status = play_daemon (play);

  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

static void
assert_lives (void (*play) (void))
{
  int status = play_daemon (play);

  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

/* --- killed --- */

static guint waiting_at;

static void
let_wait_and_hang (void)
{
  Gate g = gate_new ();

  watchdog_new (&g, SHORT_MS);
  somebody_waits (&g, waiting_at);
  hang ();
}

static void
let_wait_and_be_stopped (void)
{
  Gate g = gate_new ();

  watchdog_new (&g, SHORT_MS);
  somebody_waits (&g, waiting_at);
  raise (SIGSTOP);
}

/* An earlier answer does not count as progress for the next blocked process. */
static void
let_the_next_one_wait (void)
{
  Gate g = gate_new ();

  watchdog_new (&g, SHORT_MS);
  somebody_waits (&g, waiting_at);
  get_on (&g);
  nobody_waits (&g, waiting_at);
  g_usleep (SHORT_MS * 1000);
  somebody_waits (&g, waiting_at);
  hang ();
}

static void
get_on_and_then_hang (void)
{
  Gate g = gate_new ();

  watchdog_new (&g, SHORT_MS);
  somebody_waits (&g, waiting_at);
  for (guint i = 0; i < 20; i++, g_usleep (SHORT_MS * 1000 / 10))
    get_on (&g);
  hang ();
}

static void
test_killed (void)
{
  for (waiting_at = 0; waiting_at < VV_WATCHDOG_FDS; waiting_at++) {
    assert_killed (let_wait_and_hang);
    assert_killed (let_wait_and_be_stopped);
    assert_killed (let_the_next_one_wait);
    assert_killed (get_on_and_then_hang);
  }
}

/* --- not killed --- */

static guint deadline_ms;

/* A flood keeps the queue from ever being empty. */
static void
get_on_in_a_flood (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = watchdog_new (&g, deadline_ms);

  somebody_waits (&g, 0);
  for (guint i = 0; i < 60; i++, g_usleep (deadline_ms * 1000 / 20))
    get_on (&g);
  vv_watchdog_free (w);
}

/* On a slow machine, tries longer deadlines. */
static void
test_progress (void)
{
  static const guint deadlines[] = {500, 4000, 20000};
  gboolean lives = FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (deadlines) && !lives; i++) {
    deadline_ms = deadlines[i];
    lives = play_daemon (get_on_in_a_flood) == 0;
  }
  g_assert_true (lives);
}

static void
answer_in_time (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = watchdog_new (&g, LONG_MS);

  somebody_waits (&g, 0);
  nobody_waits (&g, 0);
  vv_watchdog_free (w);
}

static void
do_nothing (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = watchdog_new (&g, SHORT_MS);

  g_usleep (3 * SHORT_MS * 1000);
  vv_watchdog_free (w);
  vv_watchdog_free (NULL);
}

static void
test_lives (void)
{
  assert_lives (answer_in_time);
  assert_lives (do_nothing);
}

/* --- the watchdog is killed --- */

static pid_t
its_process (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/children", (int)getpid ());
  g_autofree char *children = NULL;

  g_assert_true (g_file_get_contents (path, &children, NULL, NULL));
  return atoi (children);
}

static void
kill_it (void)
{
  pid_t pid = its_process ();

  g_assert_cmpint (pid, >, 0);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
kill_it_and_hang (void)
{
  Gate g = gate_new ();

  g_log_set_always_fatal (G_LOG_LEVEL_ERROR);
  watchdog_new (&g, SHORT_MS);
  for (guint i = 0; i < 3; i++) {
    kill_it ();
    while (!its_process ())
      g_main_context_iteration (NULL, TRUE);
  }
  somebody_waits (&g, 0);
  hang ();
}

static gboolean
set_flag (gpointer flag)
{
  *(gboolean *)flag = TRUE;
  return G_SOURCE_REMOVE;
}

/* Starts at most one process per deadline: if each dies at once, the daemon does not fork in a loop. */
static void
kill_it_twice (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = watchdog_new (&g, LONG_MS);
  gboolean over = FALSE;

  g_log_set_always_fatal (G_LOG_LEVEL_ERROR);
  kill_it ();
  g_timeout_add (300, set_flag, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (its_process (), ==, 0);
  vv_watchdog_free (w);
}

static void
test_is_killed (void)
{
  if (!fake_has_pidfd ()) {
    g_test_skip ("there is no pidfd_open()");
    return;
  }
  assert_killed (kill_it_and_hang);
  assert_lives (kill_it_twice);
}

/* --- end of the watchdog --- */

/* Orphaned descendants become children of this process. */
static void
adopt_orphans (void)
{
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0);
}

static void
just_end (void)
{
  Gate g = gate_new ();

  watchdog_new (&g, LONG_MS);
}

static void
test_ends_with_the_daemon (void)
{
  int status = 0;

  adopt_orphans ();
  assert_lives (just_end);
  g_assert_cmpint (waitpid (-1, &status, 0), >, 0); /* the watchdog ends */
}

/* vv_watchdog_free() ends the watchdog, which closes the gate's descriptors: no open blocks on them. */
static void
test_lets_go_of_the_gate (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = watchdog_new (&g, LONG_MS);
  int status = 0;

  vv_watchdog_free (w);
  g_assert_cmpint (waitpid (-1, &status, 0), >, 0);
  g_assert_true (WIFSIGNALED (status));
  for (guint i = 0; i < VV_WATCHDOG_FDS; i++) {
    close (g.fds[i]);
    close (g.ends[i]);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/watchdog/who-is-killed", test_killed);
  g_test_add_func ("/watchdog/who-gets-on-lives", test_progress);
  g_test_add_func ("/watchdog/who-lives", test_lives);
  g_test_add_func ("/watchdog/is-killed", test_is_killed);
  g_test_add_func ("/watchdog/ends-with-the-daemon", test_ends_with_the_daemon);
  g_test_add_func ("/watchdog/lets-go-of-the-gate", test_lets_go_of_the_gate);
  return g_test_run ();
}
