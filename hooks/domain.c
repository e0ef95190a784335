/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant-domain: what the qemu hook (qemu.c) has done for a domain with PCI devices, in a process that
 * may crash. Run by it with the arguments PARENT DOMAIN OPERATION SUB-OPERATION, PARENT being the hook's own
 * process, and the domain's XML on standard input.
 *
 * Exits 0, or 1 where the domain must not start; why is told the hook (news.h), as well as that the work goes
 * on. Nothing else ever makes it 1.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "domain-life.h"
#include "input.h"
#include "log.h"
#include "news.h"
#include "policy-xml.h"
#include "recovery.h"

/* @may_start: where a domain can be refused; elsewhere @act. @by_journal: the devices are those that the
 * journal gives to the domain, not those of its XML. */
typedef struct {
  const char *operation;
  gboolean (*may_start) (const VvSession *session, const VvDomain *domain, GError **refusal);
  void (*act) (const VvSession *session, const VvDomain *domain);
  gboolean by_journal;
} Station;

static const Station stations[] = {
    {"prepare", vv_domain_prepare, NULL, FALSE}, {"start", vv_domain_start, NULL, FALSE},
    {"migrate", vv_domain_foresee, NULL, FALSE}, {"restore", vv_domain_foresee, NULL, FALSE},
    {"started", NULL, vv_domain_running, FALSE}, {"reconnect", NULL, vv_domain_running, FALSE},
    {"release", NULL, vv_domain_release, TRUE},
};

static const Station *
find_station (const char *operation)
{
  for (gsize i = 0; i < G_N_ELEMENTS (stations); i++)
    if (strcmp (stations[i].operation, operation) == 0)
      return &stations[i];
  return NULL;
}

/* @refusal: (nullable): why the domain must not start if nothing more is said. When the hook has died, the
 * kernel ends this process. */
static void
tell_hook (guint limit_ms, const char *refusal)
{
  char message[VV_NEWS_LIMIT];

  snprintf (message, sizeof message, "%u %s", limit_ms, refusal ? refusal : "");
  if (write (VV_NEWS_FD, message, strlen (message) + 1) < 0)
    g_debug ("the hook does not listen");
}

static void
tell_progress (guint limit_ms, gpointer strict)
{
  tell_hook (limit_ms, strict);
}

/* What a process that died left half done may take the kernel long to mend, so that comes last. */
static VvSession *
open_session (const Station *station, const VvDomain *domain, char **strict, GError **error)
{
  VvSession *session = vv_session_new (NULL, NULL, TRUE, error);

  if (!session)
    return NULL;
  vv_session_set_policy (session, vv_policy_read (session->host));
  vv_policy_warn (session->policy);
  if (station->may_start)
    *strict = vv_domain_strict_rule (session, domain, station->may_start == vv_domain_prepare);
  vv_session_watch (session, tell_progress, *strict);
  tell_hook (0, *strict);
  vv_recover (session);
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
  g_autofree char *strict = NULL;
  g_autoptr (VvDomain) domain = vv_domain_parse (xml->str, xml->len, &error);

  if (domain && !station->by_journal && !domain->hostdevs->len)
    return TRUE;
  g_autoptr (VvSession) session = domain ? open_session (station, domain, &strict, &error) : NULL;
  if (!session) {
    g_warning ("domain %s: %s; its devices stay on the driver that libvirt chose", name, error->message);
    return TRUE;
  }
  warn_of_problems (station, domain);
  if (station->act)
    station->act (session, domain);
  else if (!station->may_start (session, domain, &refusal)) {
    tell_hook (0, refusal->message);
    return FALSE;
  }
  return TRUE;
}

/* Without the hook there is nobody who holds libvirt up: it goes on, and the device must not be moved under
 * its hands. */
static gboolean
dies_with_the_hook (const char *hook)
{
  return prctl (PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid () == strtol (hook, NULL, 10);
}

int
main (int argc, char **argv)
{
  const Station *station = argc == 5 ? find_station (argv[3]) : NULL;

  if (!station) {
    fputs ("vfio-variant-domain: only vfio-variant-hook(8) runs this\n", stderr);
    return EXIT_SUCCESS; /* 1 would be a refusal */
  }
  vv_log_to_system ();
  fcntl (VV_NEWS_FD, F_SETFD, FD_CLOEXEC);
  if (!dies_with_the_hook (argv[1]))
    return EXIT_SUCCESS;
  g_autoptr (GString) xml = vv_hook_input ();
  return run (station, argv[2], xml) ? EXIT_SUCCESS : EXIT_FAILURE;
}
