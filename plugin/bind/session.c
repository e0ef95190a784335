/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include "modalias.h"

void
vv_session_watch (VvSession *s, VvGoesOn goes_on, gpointer data)
{
  s->goes_on = goes_on;
  s->goes_on_data = data;
  vv_nodedev_hooks_watch (s->hooks, goes_on, data);
}

void
vv_session_goes_on (const VvSession *s)
{
  if (s->goes_on)
    s->goes_on (0, s->goes_on_data);
}

void
vv_session_set_policy (VvSession *s, VvPolicy *policy)
{
  vv_policy_free (s->policy);
  s->policy = policy;
  vv_nodedev_hooks_free (s->hooks);
  s->hooks = vv_nodedev_hooks_new (s->host, policy->hook_limit_s * 1000);
  vv_nodedev_hooks_watch (s->hooks, s->goes_on, s->goes_on_data);
}

gboolean
vv_session_reload (VvSession *s, GError **error)
{
  VvModules *modules = vv_modules_new (s->host, error);

  if (!modules)
    return FALSE;
  vv_catalog_free (s->catalog);
  vv_modules_free (s->modules);
  s->modules = modules;
  s->catalog = vv_catalog_new (s->host, modules, VV_PREFIX_VFIO);
  return TRUE;
}

VvSession *
vv_session_new (const char *sysroot, const char *release, gboolean moves, GError **error)
{
  g_autoptr (VvSession) s = g_new0 (VvSession, 1);

  s->host = vv_host_new (sysroot, release, error);
  if (!s->host)
    return NULL;
  s->modules = vv_modules_new (s->host, error);
  if (!s->modules)
    return NULL;
  s->catalog = vv_catalog_new (s->host, s->modules, VV_PREFIX_VFIO);
  s->journal = vv_journal_open (s->host, moves, error);
  if (!s->journal)
    return NULL;
  vv_session_set_policy (s, vv_policy_new ());
  return g_steal_pointer (&s);
}

void
vv_session_free (VvSession *s)
{
  if (!s)
    return;
  vv_nodedev_hooks_free (s->hooks);
  vv_journal_free (s->journal);
  vv_policy_free (s->policy);
  vv_catalog_free (s->catalog);
  vv_modules_free (s->modules);
  vv_host_free (s->host);
  g_free (s);
}
