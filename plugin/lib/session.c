/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include "modalias.h"

void
vv_session_log_change (const VvSession *s, const VvChange *change)
{
  vv_change_log (change);
  vv_tally_change (s->journal, change);
}

static gboolean
is_failure (const GError *error)
{
  return !g_error_matches (error, VV_ERROR, VV_ERROR_REFUSED) &&
         !g_error_matches (error, VV_ERROR, VV_ERROR_NO_DEVICE) &&
         !g_error_matches (error, VV_ERROR, VV_ERROR_INVALID);
}

gboolean
vv_session_count_failure (const VvSession *s, const VvChange *failed, const char *driver, const GError *error)
{
  if (failed && is_failure (error))
    vv_tally_failure (s->journal, failed->operation, driver ? driver : failed->to, failed->attempts);
  return FALSE;
}

gboolean
vv_session_binding_failed (const VvSession *s, VvBinding *binding, const char *driver, GError **error)
{
  g_autoptr (VvChange) failed = vv_binding_failed (binding);

  return vv_session_count_failure (s, failed, driver, error ? *error : NULL);
}

void
vv_session_watch (VvSession *s, VvGoesOn goes_on, gpointer data)
{
  s->goes_on = goes_on;
  s->goes_on_data = data;
  vv_nodedev_hooks_watch (s->hooks, goes_on, data);
}

static void
tell_watcher (const VvSession *s)
{
  if (s->goes_on)
    s->goes_on (0, s->goes_on_data);
}

static VvBinding *
log_recovered (const VvSession *s, VvBinding *binding)
{
  if (binding && binding->recovered)
    vv_session_log_change (s, binding->recovered);
  return binding;
}

VvBinding *
vv_session_binding (const VvSession *s, const char *address, gboolean dry_run, GError **error)
{
  VvBinding *binding = vv_binding_open (s->host, s->modules, s->journal, s->hooks, address, dry_run, error);
  tell_watcher (s);
  return log_recovered (s, binding);
}

static gboolean
is_present (const VvSession *s, const char *address)
{
  g_autofree char *device = g_build_filename ("bus/pci/devices", address, NULL);

  return vv_io_exists (s->host->sys, device);
}

/* What comes back at the address is another device, and never was what its entry says; it may have come, and
 * have an entry of its own, while the lock was taken. What a domain had is for vfio-variant-minder. Returns:
 * whether there is no device to be recovered */
static gboolean
drop_vanished (const VvSession *s, const char *address)
{
  g_autoptr (VvEntry) entry = NULL;
  g_autoptr (VvLock) lock = NULL;

  if (is_present (s, address))
    return FALSE;
  lock = vv_journal_lock (s->journal, address, 0, NULL);
  entry = lock && !is_present (s, address) ? vv_journal_load (s->journal, address, NULL) : NULL;
  if (entry && !entry->domain && vv_journal_drop (s->journal, address, NULL))
    g_message ("%s is gone from the host: its journal entry is dropped", address);
  return TRUE;
}

/* A look without the lock: most entries are at rest, and opening the others recovers them. The process that
 * has a device's lock lives, and ends its work itself. An entry that is damaged is for the caller who wants
 * its device. */
static void
recover_device (const VvSession *s, const char *address)
{
  g_autoptr (VvEntry) entry = NULL;
  g_autoptr (GError) problem = NULL;

  if (drop_vanished (s, address) || vv_journal_at_rest (s->journal, address))
    return;
  entry = vv_journal_load (s->journal, address, NULL);
  VvLock *lock = entry ? vv_journal_lock (s->journal, address, 0, &problem) : NULL;
  tell_watcher (s);
  if (!lock && (!problem || g_error_matches (problem, VV_ERROR, VV_ERROR_REFUSED)))
    return;
  g_autoptr (VvBinding) binding =
      lock ? vv_binding_open_locked (s->host, s->modules, s->journal, s->hooks, address, lock, &problem)
           : NULL;
  if (log_recovered (s, binding))
    return;
  g_warning ("%s", problem->message);
  if (is_failure (problem)) /* whatever was begun, it was to come home now */
    vv_tally_failure (s->journal, VV_REATTACH, entry->home_driver, NULL);
}

void
vv_session_recover (const VvSession *s)
{
  g_autoptr (GPtrArray) addresses = vv_journal_addresses (s->journal);

  for (guint i = 0; i < addresses->len; i++)
    recover_device (s, addresses->pdata[i]);
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
vv_session_new (const char *sysroot, const char *release, VvPurpose purpose, GError **error)
{
  g_autoptr (VvSession) s = g_new0 (VvSession, 1);

  s->host = vv_host_new (sysroot, release, error);
  if (!s->host)
    return NULL;
  s->modules = vv_modules_new (s->host, error);
  if (!s->modules)
    return NULL;
  s->catalog = vv_catalog_new (s->host, s->modules, VV_PREFIX_VFIO);
  s->journal = vv_journal_open (s->host, purpose != VV_SESSION_LOOK, error);
  if (!s->journal)
    return NULL;
  vv_session_set_policy (s, vv_policy_new ());
  if (purpose == VV_SESSION_MOVE)
    vv_session_recover (s);
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
