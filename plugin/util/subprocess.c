/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "subprocess.h"

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

/* Without close_range(2) and CLOSE_RANGE_CLOEXEC, the child marks only descriptors below this number. The
 * kernel allocates the lowest free number (open(2)). */
#define LOOKED_AT 1024

#define PIPE_READS 16  /* reads of 4 KiB that empty a full pipe of 64 KiB, pipe(7) */
#define KILL_WAIT 1000 /* ms; only a process that hangs in the kernel survives SIGKILL that long */

/* Captured output of the program. @fd: our end of the pipe, non-blocking; -1: none */
typedef struct {
  VvFd fd;
  GString *text;
  gsize limit;
  gboolean cut; /* the output exceeded the limit */
} Stream;

/* @failure: our end of the pipe that carries the errno of a failed execve() */
typedef struct {
  const VvSubprocess *program;
  pid_t pid;
  VvFd pidfd;
  VvFd failure;
  Stream messages;
  Stream output;
} Child;

static void
child_clear (Child *c)
{
  vv_fd_close (&c->pidfd);
  vv_fd_close (&c->failure);
  vv_fd_close (&c->messages.fd);
  vv_fd_close (&c->output.fd);
  g_string_free (c->messages.text, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Child, child_clear)

static gboolean
fail (GError **error, int errnum, const char *step)
{
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s: %s", step, g_strerror (errnum));
  return FALSE;
}

/* The child's ends, none of them 0, 1 or 2. @output: -1: standard output goes to @messages */
typedef struct {
  VvFd input, messages, output, failure;
} Ends;

static void
ends_clear (Ends *e)
{
  vv_fd_close (&e->input);
  vv_fd_close (&e->messages);
  vv_fd_close (&e->output);
  vv_fd_close (&e->failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Ends, ends_clear)

/* --- before the fork --- */

/* The caller may have closed its standard files. The child's dup2() must not overwrite one of our
 * descriptors. */
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

/* Sets only our end non-blocking: programs expect a blocking standard output. */
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

/* --- between fork and exec: async-signal-safe calls only --- */

/* The child dies with its parent, because only the parent enforces the time limit. */
static void G_GNUC_NORETURN
become_program (const VvSubprocess *p, pid_t parent, const Ends *ends)
{
  const char *const clean[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/", NULL};
  int output = ends->output >= 0 ? ends->output : ends->messages;
  struct sigaction standard = {.sa_handler = SIG_DFL};
  sigset_t none;
  int errnum;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (126);
  setsid ();
  umask (022);
  for (int number = 1; number < NSIG; number++)
    sigaction (number, &standard, NULL);
  sigemptyset (&none);
  pthread_sigmask (SIG_SETMASK, &none, NULL);
  if (syscall (SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    for (int fd = STDERR_FILENO + 1; fd < LOOKED_AT; fd++)
      fcntl (fd, F_SETFD, FD_CLOEXEC);
  if (dup2 (ends->input, STDIN_FILENO) >= 0 && dup2 (output, STDOUT_FILENO) >= 0 &&
      dup2 (ends->messages, STDERR_FILENO) >= 0 && chdir ("/") == 0)
    execve (p->path, (char *const *)p->argv, (char *const *)(p->environment ? p->environment : clean));
  errnum = errno;
  if (write (ends->failure, &errnum, sizeof errnum) < 0)
    _exit (126); /* the parent cannot read the errno */
  _exit (127);
}

/* Blocks all signals until the child has reset the handlers, so that no handler of ours runs in the child. */
static pid_t
fork_program (const VvSubprocess *program, const Ends *ends)
{
  pid_t parent = getpid ();
  sigset_t all, before;
  int errnum;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pid_t pid = fork ();
  if (pid == 0)
    become_program (program, parent, ends);
  errnum = errno;
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  errno = errnum;
  return pid;
}

/* The process first: if it dies before setsid(), it has no group, but no children either. */
static void
kill_group (const Child *c)
{
  kill (c->pid, SIGKILL);
  kill (-c->pid, SIGKILL);
}

static gboolean
start (Child *c, GError **error)
{
  g_auto (Ends) ends = {-1, -1, -1, -1};
  struct sigaction now = {0};

  /* If the kernel reaps children automatically, the pid of an ended child may belong to another process when
   * we kill it. */
  sigaction (SIGCHLD, NULL, &now);
  if (now.sa_handler == SIG_IGN || (now.sa_flags & SA_NOCLDWAIT)) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("cannot run while SIGCHLD is ignored"));
    return FALSE;
  }
  ends.input = vv_io_memory_file ("input", c->program->input ? c->program->input : "");
  if (!lift (&ends.input) || !open_pipe (&c->failure, &ends.failure) ||
      !open_pipe (&c->messages.fd, &ends.messages) ||
      (c->program->output && !open_pipe (&c->output.fd, &ends.output)))
    return fail (error, errno, _ ("cannot prepare to run"));
  c->pid = fork_program (c->program, &ends);
  if (c->pid < 0)
    return fail (error, errno, "fork");
  c->pidfd = (int)syscall (SYS_pidfd_open, c->pid, 0U);
  if (c->pidfd >= 0)
    return TRUE;
  fail (error, errno, "pidfd_open");
  kill_group (c);
  waitpid (c->pid, NULL, 0);
  return FALSE;
}

/* --- while it runs --- */

/* Returns: the result of read() */
static ssize_t
take (Stream *s)
{
  char buffer[4096];
  ssize_t n = read (s->fd, buffer, sizeof buffer);

  if (n <= 0)
    return n;
  gsize room = s->limit - s->text->len;
  g_string_append_len (s->text, buffer, (gssize)MIN (room, (gsize)n));
  s->cut = s->cut || (gsize)n > room;
  return n;
}

/* Reads what is in the pipe now. Does not wait for processes that have the other end open. */
static void
take_rest (Stream *s)
{
  for (int i = 0; i < PIPE_READS && take (s) > 0; i++)
    ;
}

/* Returns: FALSE if the time limit or the output limit is exceeded */
static gboolean
watch (Child *c)
{
  gint64 over = g_get_monotonic_time () + c->program->limit_ms * G_GINT64_CONSTANT (1000);
  Stream *streams[] = {&c->messages, &c->output};
  struct pollfd fds[] = {{c->messages.fd, POLLIN, 0}, {c->output.fd, POLLIN, 0}, {c->pidfd, POLLIN, 0}};

  while (!c->output.cut) {
    gint64 left = over - g_get_monotonic_time ();
    if (left <= 0)
      return FALSE;
    if (poll (fds, G_N_ELEMENTS (fds), (int)MIN ((left + 999) / 1000, G_MAXINT)) <= 0)
      continue;
    if (fds[2].revents)
      return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS (streams); i++)
      if (fds[i].revents && take (streams[i]) == 0)
        fds[i].fd = -1; /* the program closed this output and still runs */
  }
  return FALSE;
}

/* --- after it ended --- */

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

/* Returns: (nullable): the failure, or NULL on success */
static char *
finish (Child *c)
{
  gboolean ended = watch (c), gone = ended;
  struct pollfd end = {c->pidfd, POLLIN, 0};
  int status = 0, errnum = 0;

  if (!ended) {
    kill_group (c);
    /* a process in uninterruptible sleep may still exist */
    gone = TEMP_FAILURE_RETRY (poll (&end, 1, KILL_WAIT)) > 0;
  }
  pid_t reaped = gone ? TEMP_FAILURE_RETRY (waitpid (c->pid, &status, 0)) : 0;
  take_rest (&c->messages);
  take_rest (&c->output);
  if (c->output.cut)
    return g_strdup_printf (_ ("printed more than %u bytes"), c->program->output_limit);
  if (!ended)
    return g_strdup_printf (_ ("did not end within %u ms and was killed%s"), c->program->limit_ms,
                            gone ? "" : _ (" (it hangs in the kernel and still exists)"));
  if (reaped < 0)
    return g_strdup_printf (_ ("cannot read its exit status: %s"), g_strerror (errno));
  if (read (c->failure, &errnum, sizeof errnum) == sizeof errnum)
    return g_strdup_printf (_ ("cannot run: %s%s"), g_strerror (errnum), exec_hint (errnum));
  if (WIFSIGNALED (status))
    return g_strdup_printf (_ ("was killed by signal %d (%s)"), WTERMSIG (status),
                            g_strsignal (WTERMSIG (status)));
  return WEXITSTATUS (status) ? g_strdup_printf (_ ("exit status %d"), WEXITSTATUS (status)) : NULL;
}

gboolean
vv_subprocess_run (const VvSubprocess *program, char **messages, GError **error)
{
  g_auto (Child) c = {
      .program = program,
      .pidfd = -1,
      .failure = -1,
      .messages = {-1, g_string_new (NULL), VV_SUBPROCESS_MESSAGES_LIMIT, FALSE},
      .output = {-1, program->output, program->output_limit, FALSE},
  };

  if (messages)
    *messages = NULL;
  if (!start (&c, error))
    return FALSE;
  g_autofree char *failure = finish (&c);
  g_autofree char *line = vv_one_line (c.messages.text->str, c.messages.text->len, c.messages.cut);
  if (failure) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s%s%s", failure, line ? ": " : "", line ? line : "");
    return FALSE;
  }
  if (messages)
    *messages = g_steal_pointer (&line);
  return TRUE;
}
