/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watchdog: a process that plays the daemon is killed when it holds and does not get on, and only then.
 */
#include "watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHORT_MS 200  /* of those that are going to be killed */
#define LONG_MS 60000 /* of those that are not: nothing here takes that long */

/* The gate's descriptors, as the daemon has them: readable while a byte is in the pipe. */
typedef struct {
  int fds[2];
  int ends[2];
} Gate;

static Gate
gate_new (void)
{
  Gate g;

  for (guint i = 0; i < 2; i++) {
    int pipe_fds[2];
    g_assert_cmpint (pipe2 (pipe_fds, O_CLOEXEC), ==, 0);
    g.fds[i] = pipe_fds[0];
    g.ends[i] = pipe_fds[1];
  }
  return g;
}

static void
somebody_waits (const Gate *g, guint which)
{
  g_assert_cmpint (write (g->ends[which], "x", 1), ==, 1);
}

static G_GNUC_NORETURN void
hang (void)
{
  for (;;)
    pause ();
}

/* Runs @play as the daemon; Returns: what waitpid(2) says of its end */
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

/* --- who is killed --- */

static void
hold_and_hang (void)
{
  Gate g = gate_new ();

  vv_watchdog_hold (vv_watchdog_new (g.fds, SHORT_MS));
  hang ();
}

static void
hold_and_be_stopped (void)
{
  Gate g = gate_new ();

  vv_watchdog_hold (vv_watchdog_new (g.fds, SHORT_MS));
  raise (SIGSTOP);
}

static void
leave_a_device_waiting (void)
{
  Gate g = gate_new ();

  vv_watchdog_new (g.fds, SHORT_MS);
  somebody_waits (&g, 1);
  hang ();
}

static void
leave_a_probe_waiting (void)
{
  Gate g = gate_new ();

  vv_watchdog_new (g.fds, SHORT_MS);
  somebody_waits (&g, 0);
  raise (SIGSTOP);
}

/* What was once answered does not help who comes later. */
static void
rest_and_leave_the_next_waiting (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = vv_watchdog_new (g.fds, SHORT_MS);

  vv_watchdog_hold (w);
  vv_watchdog_rest (w);
  somebody_waits (&g, 0);
  hang ();
}

static void
test_killed (void)
{
  assert_killed (hold_and_hang);
  assert_killed (hold_and_be_stopped);
  assert_killed (leave_a_device_waiting);
  assert_killed (leave_a_probe_waiting);
  assert_killed (rest_and_leave_the_next_waiting);
}

/* --- who is not --- */

static gboolean
count_down (gpointer data)
{
  guint *left = data;

  return --*left > 0;
}

static guint patience_ms;

/* The main loop runs, so there are beats. */
static void
hold_and_get_on (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = vv_watchdog_new (g.fds, patience_ms);
  guint left = 12;

  vv_watchdog_hold (w);
  vv_watchdog_hold (w);
  g_timeout_add (patience_ms / 10, count_down, &left);
  while (left)
    g_main_context_iteration (NULL, TRUE);
  vv_watchdog_rest (w);
  vv_watchdog_rest (w);
  vv_watchdog_free (w);
}

/* On a machine that is too slow for its beats it gets more patience. */
static void
test_beats (void)
{
  static const guint patiences[] = {500, 4000, 20000};
  gboolean lives = FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (patiences) && !lives; i++) {
    patience_ms = patiences[i];
    lives = play_daemon (hold_and_get_on) == 0;
  }
  g_assert_true (lives);
}

static void
answer_in_time (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = vv_watchdog_new (g.fds, LONG_MS);
  char byte;

  somebody_waits (&g, 0);
  g_assert_cmpint (read (g.fds[0], &byte, 1), ==, 1);
  vv_watchdog_free (w);
}

static void
do_without (void)
{
  vv_watchdog_hold (NULL);
  vv_watchdog_rest (NULL);
  vv_watchdog_free (NULL);
}

static void
test_lives (void)
{
  assert_lives (answer_in_time);
  assert_lives (do_without);
}

/* --- its own end --- */

/* A child of a process that ends becomes this one's. */
static void
adopt_orphans (void)
{
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0);
}

static void
just_end (void)
{
  Gate g = gate_new ();

  vv_watchdog_hold (vv_watchdog_new (g.fds, LONG_MS));
}

static void
test_ends_with_the_daemon (void)
{
  int status = 0;

  adopt_orphans ();
  assert_lives (just_end);
  g_assert_cmpint (waitpid (-1, &status, 0), >, 0); /* it comes to an end at all */
}

/* ... and has let go of the gate when it is said to: nobody waits for its descriptors. */
static void
test_lets_go_of_the_gate (void)
{
  Gate g = gate_new ();
  VvWatchdog *w = vv_watchdog_new (g.fds, LONG_MS);
  int status = 0;

  vv_watchdog_free (w);
  g_assert_cmpint (waitpid (-1, &status, 0), >, 0);
  g_assert_true (WIFSIGNALED (status));
  for (guint i = 0; i < 2; i++) {
    close (g.fds[i]);
    close (g.ends[i]);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/watchdog/who-is-killed", test_killed);
  g_test_add_func ("/watchdog/who-beats-lives", test_beats);
  g_test_add_func ("/watchdog/who-lives", test_lives);
  g_test_add_func ("/watchdog/ends-with-the-daemon", test_ends_with_the_daemon);
  g_test_add_func ("/watchdog/lets-go-of-the-gate", test_lets_go_of_the_gate);
  return g_test_run ();
}
