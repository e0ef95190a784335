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
 * The work is a child's. libvirt takes a hook that was killed or crashed for one that says no, kills the
 * running guest at "started" and "reconnect", and gives back no device at "release". So a child that died is
 * followed by another one, which first mends what the first one left; if that dies, too, it is said in the
 * log.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "domain-life.h"
#include "libvirt-process.h"
#include "log.h"
#include "policy-xml.h"

#define ATTEMPTS 2

/* @may_start: where a domain can be refused; elsewhere @act. @by_journal: the devices are those that the
 * journal gives to the domain, not those of its XML. */
typedef struct {
  const char *operation;
  const char *sub_operation;
  gboolean (*may_start) (const VvSession *session, const VvDomain *domain, GError **refusal);
  void (*act) (const VvSession *session, const VvDomain *domain);
  gboolean by_journal;
} Station;

static const Station stations[] = {
    {"prepare", "begin", vv_domain_prepare, NULL, FALSE},
    {"start", "begin", vv_domain_start, NULL, FALSE},
    {"migrate", "begin", vv_domain_foresee, NULL, FALSE},
    {"restore", "begin", vv_domain_foresee, NULL, FALSE},
    {"started", "begin", NULL, vv_domain_running, FALSE},
    {"reconnect", "begin", NULL, vv_domain_running, FALSE},
    {"release", "end", NULL, vv_domain_release, TRUE},
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

/* Standard input, or what there is of it up to one byte over the limit: the parser then says that it is too
 * long. */
static GString *
read_input (void)
{
  GString *text = g_string_sized_new (16384);
  char buffer[16384];
  ssize_t n = 1;

  while (n > 0 && text->len <= VV_DOMAIN_XML_LIMIT) {
    do
      n = read (STDIN_FILENO, buffer, sizeof buffer);
    while (n < 0 && errno == EINTR);
    if (n > 0)
      g_string_append_len (text, buffer, n);
  }
  return text;
}

static gboolean
journal_is_empty (const VvHost *host)
{
  g_autoptr (VvJournal) journal = host ? vv_journal_open (host, FALSE, NULL) : NULL;
  g_autoptr (GPtrArray) addresses = journal ? vv_journal_addresses (journal) : NULL;

  return addresses && addresses->len == 0;
}

/* Most domains have no PCI devices: they must not pay for those that do. */
static gboolean
is_none_of_ours (const VvHost *host, const Station *station, const GString *xml)
{
  return station->by_journal ? journal_is_empty (host) : !vv_domain_may_have_hostdevs (xml->str, xml->len);
}

static VvSession *
open_session (GError **error)
{
  VvSession *session = vv_session_new (NULL, NULL, VV_SESSION_MOVE, error);

  if (session) {
    vv_session_set_policy (session, vv_policy_read (session->host));
    vv_policy_warn (session->policy);
  }
  return session;
}

/* What is wrong is said once, where it matters first. */
static void
warn_of_problems (const Station *station, const VvDomain *domain)
{
  for (guint i = 0; station->may_start && i < domain->problems->len; i++)
    g_warning ("domain %s: %s", domain->name, (char *)domain->problems->pdata[i]);
}

/* Returns: FALSE: the domain must not start */
static gboolean
run (const Station *station, const char *name, const GString *xml)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) refusal = NULL;
  g_autoptr (VvDomain) domain = vv_domain_parse (xml->str, xml->len, &error);

  if (domain && !station->by_journal && !domain->hostdevs->len)
    return TRUE;
  g_autoptr (VvSession) session = domain ? open_session (&error) : NULL;
  if (!session) {
    g_warning ("domain %s: %s; its devices stay on the driver that libvirt chose", name, error->message);
    return TRUE;
  }
  warn_of_problems (station, domain);
  if (station->act)
    station->act (session, domain);
  else if (!station->may_start (session, domain, &refusal)) {
    fprintf (stderr, "vfio-variant: %s\n", refusal->message); /* libvirt quotes it */
    return FALSE;
  }
  return TRUE;
}

/* What libvirt wants of us. @station: NULL: nothing but that we are there */
typedef struct {
  const Station *station;
  const char *domain;
  const GString *xml;
  pid_t libvirt;
} Call;

static int
work (const Call *call)
{
  g_autoptr (VvHost) host = vv_host_new (NULL, NULL, NULL);

  if (host)
    vv_hook_note_caller (host, call->libvirt);
  if (!call->station || is_none_of_ours (host, call->station, call->xml))
    return EXIT_SUCCESS;
  return run (call->station, call->domain, call->xml) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* It dies with the parent: libvirt goes on then, and the device must not be moved under its hands. */
static G_GNUC_NORETURN void
be_child (const Call *call, pid_t parent)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (EXIT_FAILURE);
  exit (work (call));
}

/* Returns: what it exited with, or the signal it died of, negative */
static int
work_in_child (const Call *call)
{
  pid_t parent = getpid (), pid = fork (), reaped;
  int status = 0;

  if (pid == 0)
    be_child (call, parent);
  if (pid < 0)
    return work (call);
  do
    reaped = waitpid (pid, &status, 0);
  while (reaped < 0 && errno == EINTR);
  if (reaped < 0)
    return EXIT_SUCCESS;
  return WIFSIGNALED (status) ? -WTERMSIG (status) : WEXITSTATUS (status);
}

static int
work_surely (const Call *call)
{
  for (guint i = 1; i <= ATTEMPTS; i++) {
    int status = work_in_child (call);
    if (status >= 0)
      return status;
    g_warning ("domain %s: the process that sees to its devices died of signal %d; %s", call->domain, -status,
               i < ATTEMPTS ? "another one does it" : "libvirt goes its own way");
  }
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
  g_autoptr (GString) xml = station ? read_input () : NULL;
  const Call call = {station, argv[1], xml, getppid ()};
  return work_surely (&call);
}
