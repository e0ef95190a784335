/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant-domain: does the work of the qemu hook (qemu.c) for a domain with PCI devices, in a process
 * that may crash. The hook runs it with the arguments PARENT DOMAIN OPERATION SUB-OPERATION and the domain's
 * XML on standard input. PARENT is the process ID of the hook.
 *
 * Exits 0, or 1 if the domain must not start. Sends the reason and its progress to the hook (news.h). No
 * other condition makes it exit 1.
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

typedef gboolean (*MayStart) (const VvContext *context, const VvDomain *domain, GError **refusal);

/* The functions of the operations at which a domain can be refused */
static const MayStart may_start[VV_HOOK_NONE] = {
    [VV_HOOK_PREPARE] = vv_domain_prepare,
    [VV_HOOK_START] = vv_domain_start,
    [VV_HOOK_MIGRATE] = vv_domain_foresee,
    [VV_HOOK_RESTORE] = vv_domain_foresee,
};

/* Sends a message to the hook. @refusal: (nullable): why the domain must not start if no further message
 * follows. A failed write needs no handling: when the hook dies, the kernel kills this process. */
static void
tell_hook (guint limit_ms, const char *refusal)
{
  char message[VV_NEWS_LIMIT];

  snprintf (message, sizeof message, "%u %s", limit_ms, refusal ? refusal : "");
  if (write (VV_NEWS_FD, message, strlen (message) + 1) < 0)
    g_debug ("the hook does not read");
}

static void
tell_progress (guint limit_ms, gpointer strict)
{
  tell_hook (limit_ms, strict);
}

/* Recovers last: to complete or revert what a process that died left half done, this process may have to
 * wait for the kernel. */
static VvContext *
open_session (VvHookOperation operation, const VvDomain *domain, char **strict, GError **error)
{
  VvContext *context = vv_context_new (NULL, NULL, TRUE, error);

  if (!context)
    return NULL;
  vv_context_set_policy (context, vv_policy_read (context->host));
  vv_policy_warn (context->policy);
  if (may_start[operation])
    *strict = vv_domain_strict_rule (context, domain, operation == VV_HOOK_PREPARE);
  vv_context_watch (context, tell_progress, *strict);
  tell_hook (0, *strict);
  vv_recover (context);
  return context;
}

/* Returns: FALSE with @refusal set: the domain must not start */
static gboolean
act (VvHookOperation operation, const VvContext *context, const VvDomain *domain, GError **refusal)
{
  if (may_start[operation]) {
    for (guint i = 0; i < domain->problems->len; i++) /* only here, where a domain can be refused */
      g_warning ("domain %s: %s", domain->name, (char *)domain->problems->pdata[i]);
    return may_start[operation](context, domain, refusal);
  }
  if (operation == VV_HOOK_RELEASE)
    vv_domain_release (context, domain);
  else
    vv_domain_running (context, domain);
  return TRUE;
}

/* Returns: FALSE: the domain must not start */
static gboolean
run (VvHookOperation operation, const char *name, const GString *xml)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) refusal = NULL;
  g_autofree char *strict = NULL;
  g_autoptr (VvDomain) domain = vv_domain_parse (xml->str, xml->len, &error);

  if (domain && operation != VV_HOOK_RELEASE && !domain->hostdevs->len)
    return TRUE;
  g_autoptr (VvContext) context = domain ? open_session (operation, domain, &strict, &error) : NULL;
  if (!context) {
    g_warning ("domain %s: %s; its devices stay on the driver that libvirt chooses", name, error->message);
    return TRUE;
  }
  if (act (operation, context, domain, &refusal))
    return TRUE;
  tell_hook (0, refusal->message);
  return FALSE;
}

int
main (int argc, char **argv)
{
  VvHookOperation operation = argc == 5 ? vv_hook_operation (argv[3], argv[4]) : VV_HOOK_NONE;

  if (operation == VV_HOOK_NONE) {
    fputs ("vfio-variant-domain: this program is run by vfio-variant-hook(8) only\n", stderr);
    return EXIT_SUCCESS; /* 1 would refuse the start */
  }
  vv_log_to_system ();
  fcntl (VV_NEWS_FD, F_SETFD, FD_CLOEXEC);
  /* Without the hook, libvirt is not blocked. It continues, and this process must not rebind the device at
   * the same time. */
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid () != strtol (argv[1], NULL, 10))
    return EXIT_SUCCESS;
  g_autoptr (GString) xml = vv_hook_input ();
  return run (operation, argv[2], xml) ? EXIT_SUCCESS : EXIT_FAILURE;
}
