/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "context.h"

#include "modalias.h"

void
vv_context_watch (VvContext *s, VvGoesOn goes_on, gpointer data)
{
  s->goes_on = goes_on;
  s->goes_on_data = data;
  vv_nodedev_hooks_watch (s->hooks, goes_on, data);
}

void
vv_context_goes_on (const VvContext *s)
{
  if (s->goes_on)
    s->goes_on (0, s->goes_on_data);
}

void
vv_context_set_policy (VvContext *s, VvPolicy *policy)
{
  vv_policy_free (s->policy);
  s->policy = policy;
  vv_nodedev_hooks_free (s->hooks);
  s->hooks = vv_nodedev_hooks_new (s->host, policy->hook_limit_s * 1000);
  vv_nodedev_hooks_watch (s->hooks, s->goes_on, s->goes_on_data);
}

gboolean
vv_context_reload (VvContext *s, GError **error)
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

VvContext *
vv_context_new (const char *sysroot, const char *release, gboolean moves, GError **error)
{
  g_autoptr (VvContext) s = g_new0 (VvContext, 1);

  s->host = vv_host_new (sysroot, release, error);
  if (!s->host)
    return NULL;
  s->modules = vv_modules_new (s->host, error);
  if (!s->modules)
    return NULL;
  s->catalog = vv_catalog_new (s->host, s->modules, VV_PREFIX_VFIO);
  s->store = vv_state_store_open (s->host, moves, error);
  if (!s->store)
    return NULL;
  vv_context_set_policy (s, vv_policy_new ());
  return g_steal_pointer (&s);
}

void
vv_context_free (VvContext *s)
{
  if (!s)
    return;
  vv_nodedev_hooks_free (s->hooks);
  vv_state_store_free (s->store);
  vv_policy_free (s->policy);
  vv_catalog_free (s->catalog);
  vv_modules_free (s->modules);
  vv_host_free (s->host);
  g_free (s);
}
