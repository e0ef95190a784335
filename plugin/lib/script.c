/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "one-line.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2) /* Linux 5.11 */
#endif

/* The kernel gives the lowest free number (open(2)): where it has no close_range(2) for this, what is below
 * this is looked at. */
#define LOOKED_AT 1024

#define PIPE_READS 16  /* reads of a page that empty a full pipe, pipe(7) */
#define KILL_WAIT 1000 /* ms; only a process that hangs in the kernel outlives SIGKILL for that long */

/* The process, and our ends */
typedef struct {
  pid_t pid;
  VvFd pidfd;
  VvFd words;   /* what it prints; never blocks */
  VvFd failure; /* the errno of an exec that failed; never blocks */
  GString *text;
  gboolean cut; /* it printed more than is kept */
  guint limit_ms;
} Child;

static void
child_clear (Child *c)
{
  vv_fd_close (&c->pidfd);
  vv_fd_close (&c->words);
  vv_fd_close (&c->failure);
  g_string_free (c->text, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Child, child_clear)

/* Its ends, none of them 0, 1 or 2 */
typedef struct {
  VvFd input, words, failure;
} Ends;

static void
ends_clear (Ends *e)
{
  vv_fd_close (&e->input);
  vv_fd_close (&e->words);
  vv_fd_close (&e->failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Ends, ends_clear)

static gboolean
fail (GError **error, int errnum, const char *step)
{
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s: %s", step, g_strerror (errnum));
  return FALSE;
}

/* --- before the fork --- */

/* A caller may have closed its standard files; the child's dup2() must not hit one of ours. */
static gboolean
lift (VvFd *fd)
{
  int low = *fd;

  if (low < 0 || low > STDERR_FILENO)
    return low >= 0;
  *fd = fcntl (low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  close (low);
  return *fd >= 0;
}

/* Only our end must not block: the script's may be anything's standard output. */
static gboolean
open_pipe (VvFd *ours, VvFd *theirs)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return FALSE;
  *ours = ends[0];
  *theirs = ends[1];
  return lift (ours) && lift (theirs) && fcntl (*ours, F_SETFL, O_NONBLOCK) == 0;
}

/* Where children are not waited for, the id of one that ended may be another process's by the time of a kill.
 */
static gboolean
children_are_reaped (void)
{
  struct sigaction now = {0};

  sigaction (SIGCHLD, NULL, &now);
  return now.sa_handler != SIG_IGN && !(now.sa_flags & SA_NOCLDWAIT);
}

/* --- between fork and exec: async-signal-safe calls only --- */

static void
reset_signals (void)
{
  struct sigaction standard = {.sa_handler = SIG_DFL};
  sigset_t none;

  for (int number = 1; number < NSIG; number++)
    sigaction (number, &standard, NULL);
  sigemptyset (&none);
  pthread_sigmask (SIG_SETMASK, &none, NULL);
}

static void
close_at_exec (void)
{
  if (syscall (SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
    return;
  for (int fd = STDERR_FILENO + 1; fd < LOOKED_AT; fd++)
    fcntl (fd, F_SETFD, FD_CLOEXEC);
}

static gboolean
arrange_files (const Ends *ends)
{
  close_at_exec ();
  return dup2 (ends->input, STDIN_FILENO) >= 0 && dup2 (ends->words, STDOUT_FILENO) >= 0 &&
         dup2 (ends->words, STDERR_FILENO) >= 0;
}

/* Nobody else knows its time limit. */
static void
die_with (pid_t parent)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (126);
}

static void G_GNUC_NORETURN
become_script (pid_t parent, const char *path, const char *const *argv, const Ends *ends)
{
  const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/", NULL};
  int errnum;

  die_with (parent);
  setpgid (0, 0);
  umask (022);
  reset_signals ();
  if (arrange_files (ends) && chdir ("/") == 0)
    execve (path, (char *const *)argv, (char *const *)environment);
  errnum = errno;
  if (write (ends->failure, &errnum, sizeof errnum) < 0)
    _exit (126); /* nobody is there to be told */
  _exit (127);
}

/* No signal may reach a handler of ours in the child: all wait until it has reset them. */
static pid_t
fork_script (const char *path, const char *const *argv, const Ends *ends)
{
  pid_t parent = getpid ();
  sigset_t all, before;
  int errnum;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pid_t pid = fork ();
  if (pid == 0)
    become_script (parent, path, argv, ends);
  errnum = errno;
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  errno = errnum;
  return pid;
}

static void
kill_group (const Child *c)
{
  kill (-c->pid, SIGKILL);
  kill (c->pid, SIGKILL); /* should it not have got its group */
}

static gboolean
start (Child *c, const char *path, const char *const *argv, const char *input, GError **error)
{
  g_auto (Ends) ends = {-1, -1, -1};

  if (!children_are_reaped ()) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("cannot be run while SIGCHLD is ignored"));
    return FALSE;
  }
  ends.input = vv_io_memory_file ("nodedev-xml", input);
  if (!lift (&ends.input) || !open_pipe (&c->words, &ends.words) ||
      !open_pipe (&c->failure, &ends.failure))
    return fail (error, errno, _ ("cannot be prepared"));
  c->pid = fork_script (path, argv, &ends);
  if (c->pid < 0)
    return fail (error, errno, "fork");
  setpgid (c->pid, c->pid); /* whoever comes first */
  c->pidfd = (int)syscall (SYS_pidfd_open, c->pid, 0U);
  if (c->pidfd >= 0)
    return TRUE;
  fail (error, errno, "pidfd_open");
  kill_group (c);
  waitpid (c->pid, NULL, 0);
  return FALSE;
}

/* --- while it runs --- */

/* Returns: what read() said */
static ssize_t
read_words (Child *c)
{
  char buffer[4096];
  ssize_t n = read (c->words, buffer, sizeof buffer);
  gsize room = VV_SCRIPT_OUTPUT_LIMIT - c->text->len;

  if (n <= 0)
    return n;
  g_string_append_len (c->text, buffer, (gssize)MIN (room, (gsize)n));
  c->cut = c->cut || (gsize)n > room;
  return n;
}

/* What is in the pipe now; whoever still holds its other end is not waited for. */
static void
read_rest (Child *c)
{
  for (int i = 0; i < PIPE_READS && read_words (c) > 0; i++)
    ;
}

/* Returns: FALSE: the time is over */
static gboolean
watch (Child *c)
{
  gint64 over = g_get_monotonic_time () + c->limit_ms * G_GINT64_CONSTANT (1000);
  struct pollfd fds[] = {{c->pidfd, POLLIN, 0}, {c->words, POLLIN, 0}};

  for (;;) {
    gint64 left = over - g_get_monotonic_time ();
    if (left <= 0)
      return FALSE;
    if (poll (fds, G_N_ELEMENTS (fds), (int)MIN ((left + 999) / 1000, G_MAXINT)) <= 0)
      continue;
    if (fds[0].revents)
      return TRUE;
    if (read_words (c) == 0)
      fds[1].fd = -1; /* it closed its output and works on */
  }
}

/* --- when it is over --- */

/* Returns: whether it is gone: a process that sleeps in the kernel may not be */
static gboolean
kill_and_wait (const Child *c)
{
  struct pollfd ended = {c->pidfd, POLLIN, 0};

  kill_group (c);
  return TEMP_FAILURE_RETRY (poll (&ended, 1, KILL_WAIT)) > 0;
}

static const char *
exec_hint (int errnum)
{
  switch (errnum) {
  case ENOENT:
    return _ (" (is the interpreter that its first line names there?)");
  case ENOEXEC:
    return _ (" (its first line must name an interpreter, like #!/bin/sh)");
  case EACCES:
    return _ (" (is its interpreter executable, its file system not mounted noexec?)");
  default:
    return "";
  }
}

/* Returns: (nullable): what went wrong; NULL: nothing */
static char *
failure_of (const Child *c, int status)
{
  int errnum = 0;

  if (read (c->failure, &errnum, sizeof errnum) == sizeof errnum)
    return g_strdup_printf (_ ("cannot be run: %s%s"), g_strerror (errnum), exec_hint (errnum));
  if (WIFSIGNALED (status))
    return g_strdup_printf (_ ("was killed by signal %d (%s)"), WTERMSIG (status),
                            g_strsignal (WTERMSIG (status)));
  return WEXITSTATUS (status) ? g_strdup_printf (_ ("exit status %d"), WEXITSTATUS (status)) : NULL;
}

/* Returns: (nullable): what went wrong; NULL: nothing */
static char *
finish (Child *c)
{
  gboolean in_time = watch (c);
  gboolean gone = in_time || kill_and_wait (c);
  int status = 0;
  pid_t reaped = gone ? TEMP_FAILURE_RETRY (waitpid (c->pid, &status, 0)) : 0;

  read_rest (c);
  if (!in_time)
    return g_strdup_printf (_ ("did not end within %u ms and was killed%s"), c->limit_ms,
                            gone ? "" : _ (" (it hangs in the kernel and is still there)"));
  if (reaped < 0)
    return g_strdup_printf (_ ("its exit status cannot be had: %s"), g_strerror (errno));
  return failure_of (c, status);
}

gboolean
vv_script_run (const char *path, const char *const *argv, const char *input, guint limit_ms, char **output,
               GError **error)
{
  g_auto (Child) c = {.pidfd = -1, .words = -1, .failure = -1, .text = g_string_new (NULL)};

  c.limit_ms = limit_ms;
  *output = NULL;
  if (!start (&c, path, argv, input, error))
    return FALSE;
  g_autofree char *failure = finish (&c);
  g_autofree char *line = vv_one_line (c.text->str, c.text->len, c.cut);
  if (failure) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s%s%s", failure, line ? ": " : "", line ? line : "");
    return FALSE;
  }
  *output = g_steal_pointer (&line);
  return TRUE;
}
