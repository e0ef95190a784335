/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The qemu hook. libvirt runs it as /etc/libvirt/hooks/qemu.d/vfio-variant with the arguments DOMAIN
 * OPERATION SUB-OPERATION EXTRA and the domain's XML on standard input (libvirt's docs/hooks.rst).
 *
 * Exits 0 when libvirt calls it (rule R7): otherwise libvirt would kill the running guest at "reconnect".
 * Exits 1 only if a domain is about to start and cannot have what the policy or the domain strictly
 * requires. libvirt then does not start the domain, and shows the text on standard error. Calls no libvirt
 * function: libvirt waits for the hook and would never answer (rule R10). Prints nothing on standard output:
 * at "migrate" and "restore", libvirt takes that as the domain's new XML. libvirt also waits until standard
 * output and standard error are closed, so no child inherits them.
 *
 * Most domains have no PCI devices, and the hook must cost them little. Therefore this program only finds
 * out whether the domain may have devices. Another program, vfio-variant-domain (domain.c), does the work.
 * It links the libraries that take long to load.
 *
 * A separate process is also safer. To libvirt, a hook that was killed or crashed has failed. libvirt would
 * kill the running guest at "started" and "reconnect". At "release", no device would be restored. If the
 * process dies, the hook starts another one, which first recovers what the first one left half done. If the
 * process sends no message for a minute, the hook kills it and does not wait for its end. The process may
 * hang in the kernel, where it cannot be killed. In both cases, the hook finally logs a warning and exits 0,
 * unless the process has reported a strict requirement.
 *
 * The hook does not use subprocess.h. Each message extends the time limit, and the hook does not always wait
 * for the end of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "input.h"
#include "libvirt-process.h"
#include "log.h"
#include "news.h"
#include "one-line.h"

#define ATTEMPTS 2
#ifndef VV_DEADLINE_MS /* tests set a shorter one */
#define VV_DEADLINE_MS 60000
#endif
#define LOOK_MS 50
#define MOST_MS 3600000   /* the longest time limit of a script, vfio-variant.xml(5) */
#define WORDS_LIMIT 16384 /* bytes of a process's output that are logged */

/* Returns whether the domain has no PCI devices. Without the word "hostdev", the XML has neither <hostdev>
 * nor <interface type='hostdev'>. At "release", the XML no longer has a virtual function that libvirt took
 * from a network, so the state store decides. */
static gboolean
is_none_of_ours (const VvHost *host, VvHookOperation operation, const GString *xml)
{
  if (operation != VV_HOOK_RELEASE)
    return !memmem (xml->str, xml->len, "hostdev", strlen ("hostdev"));
  g_autoptr (VvStateStore) store = host ? vv_state_store_open (host, FALSE, NULL) : NULL;
  g_autoptr (GPtrArray) addresses = store ? vv_state_store_addresses (store) : NULL;
  return addresses && addresses->len == 0;
}

static int
open_pidfd (pid_t pid)
{
  return (int)syscall (SYS_pidfd_open, pid, 0U);
}

/* Waits for @fds, the first of which is the pidfd of the process. Does not reap the process. A kernel before
 * 5.3 and valgrind have no pidfd: then the process is checked 20 times a second. Returns: whether the
 * process has ended */
static gboolean
poll_process (pid_t pid, struct pollfd *fds, nfds_t n, int milliseconds)
{
  int wait = fds[0].fd < 0 ? MIN (milliseconds, LOOK_MS) : milliseconds;
  siginfo_t info = {0};

  if (poll (fds, n, wait) < 0)
    for (nfds_t i = 0; i < n; i++)
      fds[i].revents = 0;
  if (fds[0].fd >= 0)
    return fds[0].revents != 0;
  return waitid (P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

/* Returns: whether the process ended within @milliseconds */
static gboolean
ends_within (pid_t pid, int milliseconds)
{
  gint64 until = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND, left;
  g_auto (VvFd) pidfd = open_pidfd (pid);
  struct pollfd ended = {pidfd, POLLIN, 0};
  gboolean done = FALSE;

  while (!done && (left = until - g_get_monotonic_time ()) > 0)
    done = poll_process (pid, &ended, 1, (int)(left / G_TIME_SPAN_MILLISECOND) + 1);
  return done;
}

/* Records the libvirt process that runs the hook, once for each libvirt process. A child writes the record.
 * The hook itself only looks for the record, so that a crash is unlikely. */
static void
note_caller (const VvHost *host, pid_t libvirt)
{
  pid_t pid = vv_hook_caller_is_recorded (host, libvirt) ? -1 : fork ();

  if (pid == 0) {
    int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
      dup2 (null, fd);
    vv_hook_note_caller (host, libvirt);
    _exit (EXIT_SUCCESS);
  }
  if (pid > 0 && ends_within (pid, VV_DEADLINE_MS))
    waitpid (pid, NULL, 0);
}

/* --- the child process --- */

/* A process that does the work.
 * @words: the output of the process and its children
 * @news: the messages of the process (news.h)
 * @line: the output that is not logged yet
 * @room: how many bytes of output may still be logged
 * @message: the part of the next message that has arrived
 * @limit_ms, @refusal: the parts of the last message */
typedef struct {
  pid_t pid;
  VvFd pidfd;
  VvFd words;
  VvFd news;
  GString *line;
  gsize room;
  GString *message;
  guint limit_ms;
  char *refusal;
} Work;

static void
work_clear (Work *w)
{
  vv_fd_close (&w->pidfd);
  vv_fd_close (&w->words);
  vv_fd_close (&w->news);
  g_string_free (w->line, TRUE);
  g_string_free (w->message, TRUE);
  g_free (w->refusal);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Work, work_clear)

/* Only the hook's end is non-blocking. Returns: FALSE with errno set */
static gboolean
open_pipe (VvFd *ours, VvFd *theirs)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return FALSE;
  *ours = ends[0];
  *theirs = ends[1];
  return fcntl (*ours, F_SETFL, O_NONBLOCK) == 0;
}

/* Returns: an errno */
static int
spawn (Work *w, const char *program, char **argv, const int files[VV_NEWS_FD + 1])
{
  posix_spawn_file_actions_t actions;

  posix_spawn_file_actions_init (&actions);
  for (int fd = 0; fd <= VV_NEWS_FD; fd++)
    posix_spawn_file_actions_adddup2 (&actions, files[fd], fd);
  int errnum = posix_spawn (&w->pid, program, &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  w->pidfd = errnum ? -1 : open_pidfd (w->pid);
  return errnum;
}

/* Returns: an errno */
static int
start (Work *w, const char *program, char **words, int input)
{
  g_autofree char *parent = g_strdup_printf ("%d", (int)getpid ());
  char *argv[] = {(char *)program, parent, words[1], words[2], words[3], NULL};
  g_auto (VvFd) their_words = -1;
  g_auto (VvFd) their_news = -1;

  lseek (input, 0, SEEK_SET);
  if (!open_pipe (&w->words, &their_words) || !open_pipe (&w->news, &their_news))
    return errno;
  return spawn (w, program, argv, (const int[]){input, their_words, their_words, their_news});
}

/* Returns: FALSE: no more data */
static gboolean
read_news (Work *w)
{
  char buffer[4096];
  ssize_t n = read (w->news, buffer, sizeof buffer);

  for (ssize_t i = 0; i < n; i++) {
    if (w->message->len + 1 < VV_NEWS_LIMIT || !buffer[i])
      g_string_append_c (w->message, buffer[i]);
    if (buffer[i])
      continue;
    char *text;
    w->limit_ms = (guint)MIN (g_ascii_strtoull (w->message->str, &text, 10), MOST_MS);
    g_free (w->refusal);
    w->refusal = g_strdup (*text ? text + 1 : text);
    g_string_truncate (w->message, 0);
  }
  return n > 0;
}

static void
log_line (Work *w, const char *domain)
{
  g_autofree char *shown = vv_one_line (w->line->str, w->line->len, FALSE);

  if (shown)
    g_message ("domain %s: %s", domain, shown);
  g_string_truncate (w->line, 0);
}

/* Returns: FALSE: no more data */
static gboolean
read_words (Work *w, const char *domain)
{
  char buffer[4096];
  ssize_t n = read (w->words, buffer, sizeof buffer);

  for (ssize_t i = 0; i < n && w->room > 0; i++, w->room--) {
    if (buffer[i] == '\n')
      log_line (w, domain);
    else
      g_string_append_c (w->line, buffer[i]);
  }
  return n > 0;
}

static gint64
moment_in (guint milliseconds)
{
  return g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
}

/* Returns: whether the process ended; FALSE: it sent no message before the deadline */
static gboolean
watch (Work *w, const char *domain)
{
  gint64 until = moment_in (VV_DEADLINE_MS);
  struct pollfd fds[] = {{w->pidfd, POLLIN, 0}, {w->news, POLLIN, 0}, {w->words, POLLIN, 0}};

  for (;;) {
    gint64 left = until - g_get_monotonic_time ();
    if (left <= 0)
      return FALSE;
    if (poll_process (w->pid, fds, G_N_ELEMENTS (fds), (int)(left / G_TIME_SPAN_MILLISECOND) + 1))
      return TRUE;
    if (fds[1].revents && read_news (w))
      until = moment_in (w->limit_ms + VV_DEADLINE_MS);
    else if (fds[1].revents)
      fds[1].fd = -1;
    if (fds[2].revents && !read_words (w, domain))
      fds[2].fd = -1;
  }
}

/* Reads the rest of both pipes, without waiting for a grandchild that still has the other end open. Returns:
 * the exit status of the process, or the negative number of the signal that killed it */
static int
finish (Work *w, const char *domain)
{
  int status = 0;
  pid_t reaped = TEMP_FAILURE_RETRY (waitpid (w->pid, &status, 0));

  while (read_news (w))
    ;
  for (int i = 0; i < 16 && read_words (w, domain); i++) /* the capacity of a pipe, pipe(7) */
    ;
  log_line (w, domain);
  if (reaped < 0)
    return EXIT_SUCCESS;
  return WIFSIGNALED (status) ? -WTERMSIG (status) : WEXITSTATUS (status);
}

static int
refuse (const char *refusal, const char *why)
{
  fprintf (stderr, "vfio-variant: %s%s%s\n", refusal, why ? ": " : "",
           why ? why : ""); /* libvirt quotes it */
  return EXIT_FAILURE;
}

/* @refusal: (nullable): why the domain must not start in this case */
static int
give_up (const char *domain, const char *refusal, const char *why)
{
  if (refusal && *refusal)
    return refuse (refusal, why);
  g_warning ("domain %s: %s; libvirt continues without it", domain, why);
  return EXIT_SUCCESS;
}

/* Exit status 1 refuses the start. Any other failure means that nothing was done, for example 127 if the
 * dynamic loader misses a library. Returns: an exit status; -1: the process died, and another one may
 * succeed */
static int
attempt (const char *program, char **words, int input, gboolean last)
{
  g_auto (Work) w = {.pidfd = -1,
                     .words = -1,
                     .news = -1,
                     .line = g_string_new (NULL),
                     .room = WORDS_LIMIT,
                     .message = g_string_new (NULL)};
  g_autofree char *why = NULL;
  int errnum = input < 0 ? errno : start (&w, program, words, input);

  if (errnum) {
    why = g_strdup_printf ("%s: %s", program, g_strerror (errnum));
    return give_up (words[1], NULL, why);
  }
  if (!watch (&w, words[1])) {
    kill (w.pid, SIGKILL);
    why = g_strdup_printf ("no progress from %s for %u s; no longer waiting for it", program,
                           (w.limit_ms + VV_DEADLINE_MS) / 1000);
    return give_up (words[1], w.refusal, why);
  }
  int status = finish (&w, words[1]);
  if (status == EXIT_FAILURE && w.refusal && *w.refusal)
    return refuse (w.refusal, NULL);
  if (status == EXIT_SUCCESS || status == EXIT_FAILURE)
    return status;
  if (status > 0) {
    why = g_strdup_printf ("%s exited with %d", program, status);
    return give_up (words[1], w.refusal, why);
  }
  why = g_strdup_printf ("the process that handles its devices was killed by signal %d", -status);
  if (last)
    return give_up (words[1], w.refusal, why);
  g_warning ("domain %s: %s; retrying in another process", words[1], why);
  return -1;
}

static int
work_surely (char **words, const GString *xml)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self ? g_path_get_dirname (self) : NULL;
  g_autofree char *beside = folder ? g_build_filename (folder, "vfio-variant-domain", NULL) : NULL;
  int input = vv_io_memory_file ("domain.xml", xml->str), status = -1;

  /* in a build directory, the program is beside this one */
  const char *program = beside && access (beside, X_OK) == 0 ? beside : VV_DOMAIN_PROGRAM;
  for (guint i = 1; status < 0; i++)
    status = attempt (program, words, input, i == ATTEMPTS);
  return status;
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "--version") == 0) {
    puts ("vfio-variant-hook " VV_VERSION);
    return EXIT_SUCCESS;
  }
  if (argc < 4) {
    fputs ("vfio-variant-hook: libvirt runs this program as its qemu hook, with the arguments DOMAIN "
           "OPERATION SUB-OPERATION EXTRA and the domain XML on standard input; see vfio-variant-hook(8)\n",
           stderr);
    return 2;
  }
  vv_log_to_system ();
  dup2 (STDERR_FILENO, STDOUT_FILENO); /* libvirt must read nothing from standard output */
  signal (SIGCHLD, SIG_DFL);
  VvHookOperation operation = vv_hook_operation (argv[2], argv[3]);
  g_autoptr (GString) xml = operation == VV_HOOK_NONE ? NULL : vv_hook_input ();
  g_autoptr (VvHost) host = vv_host_new (NULL, NULL, NULL);
  if (host)
    note_caller (host, getppid ());
  if (!xml || is_none_of_ours (host, operation, xml))
    return EXIT_SUCCESS;
  return work_surely (argv, xml);
}
