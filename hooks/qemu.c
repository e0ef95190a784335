/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The qemu hook: libvirt runs it as /etc/libvirt/hooks/qemu.d/vfio-variant with the arguments DOMAIN
 * OPERATION SUB-OPERATION EXTRA and the domain's XML on standard input (libvirt's docs/hooks.rst).
 *
 * Exits 0 when libvirt calls it (rule R7): at "reconnect" libvirt would kill the running guest otherwise.
 * Only where a domain is about to start, and the policy or the domain itself wants something strictly that it
 * cannot have, it exits 1: libvirt then does not start it, and shows what stands on standard error. Calls no
 * libvirt function: libvirt waits for the hook and would never answer (rule R10). Prints nothing on standard
 * output: for "migrate" and "restore" libvirt takes that as the domain's new XML.
 *
 * Most domains have no PCI devices, and must not pay for those that have: here it is only found out which
 * kind this is. The work is another program's, vfio-variant-domain (domain.c), with the libraries that take
 * long to load. It is also safer there. libvirt takes a hook that was killed or crashed for one that says no,
 * kills the running guest at "started" and "reconnect", and gives back no device at "release". So a process
 * that died is followed by another one, which first mends what the first one left; if that dies, too, it is
 * said in the log.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "input.h"
#include "libvirt-process.h"
#include "log.h"

#define ATTEMPTS 2

/* @by_journal: the devices are those that the journal gives to the domain, not those of its XML. */
typedef struct {
  const char *operation;
  const char *sub_operation;
  gboolean by_journal;
} Station;

static const Station stations[] = {
    {"prepare", "begin", FALSE}, {"start", "begin", FALSE},   {"migrate", "begin", FALSE},
    {"restore", "begin", FALSE}, {"started", "begin", FALSE}, {"reconnect", "begin", FALSE},
    {"release", "end", TRUE},
};

static const Station *
find_station (const char *operation, const char *sub_operation)
{
  for (gsize i = 0; i < G_N_ELEMENTS (stations); i++)
    if (strcmp (stations[i].operation, operation) == 0 &&
        strcmp (stations[i].sub_operation, sub_operation) == 0)
      return &stations[i];
  return NULL;
}

static gboolean
journal_is_empty (const VvHost *host)
{
  g_autoptr (VvJournal) journal = host ? vv_journal_open (host, FALSE, NULL) : NULL;
  g_autoptr (GPtrArray) addresses = journal ? vv_journal_addresses (journal) : NULL;

  return addresses && addresses->len == 0;
}

/* Without that word there is neither <hostdev> nor <interface type='hostdev'>. */
static gboolean
may_have_hostdevs (const GString *xml)
{
  return memmem (xml->str, xml->len, "hostdev", strlen ("hostdev")) != NULL;
}

static gboolean
is_none_of_ours (const VvHost *host, const Station *station, const GString *xml)
{
  return station->by_journal ? journal_is_empty (host) : !may_have_hostdevs (xml);
}

/* Once for each libvirt, by a process of its own: what only looks can hardly die. */
static void
note_caller (const VvHost *host, pid_t libvirt)
{
  pid_t pid = vv_hook_caller_is_noted (host, libvirt) ? -1 : fork ();

  if (pid == 0) {
    vv_hook_note_caller (host, libvirt);
    _exit (EXIT_SUCCESS);
  }
  while (pid > 0 && waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
}

/* --- the process that does the work --- */

/* In a build directory it is beside this one. */
static char *
find_program (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self ? g_path_get_dirname (self) : NULL;
  g_autofree char *beside = folder ? g_build_filename (folder, "vfio-variant-domain", NULL) : NULL;

  return beside && access (beside, X_OK) == 0 ? g_steal_pointer (&beside) : g_strdup (VV_DOMAIN_PROGRAM);
}

/* Returns: a file that can be read again and again; -1 with errno set */
static int
keep (const GString *xml)
{
  int fd = memfd_create ("domain.xml", MFD_CLOEXEC);

  for (gsize done = 0; fd >= 0 && done < xml->len;) {
    ssize_t n = write (fd, xml->str + done, xml->len - done);
    if (n < 0 && errno != EINTR) {
      int errnum = errno;
      close (fd);
      errno = errnum;
      return -1;
    }
    done += MAX (n, 0);
  }
  return fd;
}

/* Returns: an errno */
static int
start (const char *program, char **words, int input, pid_t *pid)
{
  posix_spawn_file_actions_t actions;
  g_autofree char *parent = g_strdup_printf ("%d", (int)getpid ());
  char *argv[] = {(char *)program, parent, words[1], words[2], words[3], NULL};

  lseek (input, 0, SEEK_SET);
  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, input, STDIN_FILENO);
  int errnum = posix_spawn (pid, program, &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  return errnum;
}

/* Returns: what it exited with, or the signal it died of, negative */
static int
wait_for (pid_t pid)
{
  pid_t reaped;
  int status = 0;

  do
    reaped = waitpid (pid, &status, 0);
  while (reaped < 0 && errno == EINTR);
  if (reaped < 0)
    return EXIT_SUCCESS;
  return WIFSIGNALED (status) ? -WTERMSIG (status) : WEXITSTATUS (status);
}

/* 1 is a refusal. All else, as the 127 of a dynamic loader that misses a library, says that nothing was done.
 */
static int
end_with (const char *domain, const char *program, int status)
{
  if (status == EXIT_SUCCESS || status == EXIT_FAILURE)
    return status;
  g_warning ("domain %s: %s exited with %d; libvirt goes its own way", domain, program, status);
  return EXIT_SUCCESS;
}

static int
work_surely (char **words, const GString *xml)
{
  g_autofree char *program = find_program ();
  int input = keep (xml), errnum = input < 0 ? errno : 0;
  pid_t pid;

  for (guint i = 1; i <= ATTEMPTS && !errnum; i++) {
    errnum = start (program, words, input, &pid);
    if (errnum)
      break;
    int status = wait_for (pid);
    if (status >= 0)
      return end_with (words[1], program, status);
    g_warning ("domain %s: the process that sees to its devices died of signal %d; %s", words[1], -status,
               i < ATTEMPTS ? "another one does it" : "libvirt goes its own way");
  }
  if (errnum)
    g_warning ("domain %s: %s: %s; libvirt goes its own way", words[1], program, g_strerror (errnum));
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "--version") == 0) {
    puts ("vfio-variant-hook " VV_VERSION);
    return EXIT_SUCCESS;
  }
  if (argc < 4) {
    fputs ("vfio-variant-hook: libvirt runs this as its qemu hook: DOMAIN OPERATION SUB-OPERATION EXTRA, "
           "the domain's XML on standard input; see vfio-variant-hook(8)\n",
           stderr);
    return 2;
  }
  vv_log_to_system ();
  signal (SIGCHLD, SIG_DFL);
  const Station *station = find_station (argv[2], argv[3]);
  g_autoptr (GString) xml = station ? vv_hook_input () : NULL;
  g_autoptr (VvHost) host = vv_host_new (NULL, NULL, NULL);
  if (host)
    note_caller (host, getppid ());
  if (!station || is_none_of_ours (host, station, xml))
    return EXIT_SUCCESS;
  return work_surely (argv, xml);
}
