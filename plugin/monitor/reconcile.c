/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reconcile.h"

#include <string.h>

#include "domain-life.h"
#include "in-use.h"

struct VvReconciler {
  const VvContext *context;
  gint64 grace;
  GHashTable *absent; /* "ADDRESS UUID" -> gint64: since when the domain no longer has the device */
  GHashTable *said;   /* address -> the problem that was logged last */
};

/* One run of the reconciler */
typedef struct {
  VvReconciler *r;
  const GPtrArray *running;
  const GPtrArray *starting;
  gint64 now;
  GHashTable *absent; /* of this run; devices that are not in it are forgotten */
  gint64 wait;
} Pass;

static GHashTable *
new_absent (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

VvReconciler *
vv_reconciler_new (const VvContext *context, guint grace_ms)
{
  VvReconciler *r = g_new0 (VvReconciler, 1);

  r->context = context;
  r->grace = grace_ms * G_TIME_SPAN_MILLISECOND;
  r->absent = new_absent ();
  r->said = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return r;
}

void
vv_reconciler_free (VvReconciler *r)
{
  if (!r)
    return;
  g_hash_table_unref (r->absent);
  g_hash_table_unref (r->said);
  g_free (r);
}

/* --- the domain of a device --- */

static const VvHostdev *
find_hostdev (const VvDomain *domain, const char *address)
{
  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *hostdev = domain->hostdevs->pdata[i];
    if (strcmp (hostdev->address, address) == 0)
      return hostdev;
  }
  return NULL;
}

static gboolean
is_of (const VvEntry *entry, const char *uuid)
{
  return entry && g_strcmp0 (entry->domain_uuid, uuid) == 0;
}

/* Returns the domain that has the entry's device. If several domains list it, prefers the one that the entry
 * names. */
static const VvDomain *
find_domain (const GPtrArray *domains, const VvEntry *entry)
{
  const VvDomain *found = NULL;

  for (guint i = 0; i < domains->len; i++) {
    const VvDomain *domain = domains->pdata[i];
    if (find_hostdev (domain, entry->address) && (!found || is_of (entry, domain->uuid)))
      found = domain;
  }
  return found;
}

/* --- devices that a running domain has --- */

static gboolean
is_on_vfio (const VvContext *context, const VvPciDevice *device)
{
  g_autoptr (VvChoice) choice = vv_catalog_select (context->catalog, device->modalias, NULL);

  return choice ? vv_on_vfio (context->host, device, choice) : device->vfio_dev != NULL;
}

/* With managed='no', the administrator detached the device, and libvirt leaves it on VFIO when it is
 * unplugged or the domain ends. */
static gboolean
is_managed (const VvDomain *domain, const char *address)
{
  return find_hostdev (domain, address)->managed;
}

static gboolean
is_claimed (const VvEntry *entry, const VvDomain *domain)
{
  return is_of (entry, domain->uuid) && entry->in_use && entry->state == VV_STATE_DETACHED &&
         entry->unmanaged == !is_managed (domain, entry->address);
}

static gboolean
claim (const VvReconciler *r, const char *address, const VvDomain *domain, GError **error)
{
  g_autoptr (VvBinding) b = vv_binding_open (r->context, address, FALSE, error);

  if (!b)
    return FALSE;
  if (!b->entry || is_claimed (b->entry, domain) || !is_on_vfio (r->context, b->device))
    return TRUE; /* restored already, recorded by the hook already, or not detached yet */
  if (!vv_domain_device_running (domain, is_managed (domain, address), b, error))
    return FALSE;
  g_info ("%s: used by domain %s, on %s", address, domain->name, b->device->now.driver);
  return TRUE;
}

/* --- devices that no domain has --- */

/* Removes the entry of a device that was removed from the host, too. */
static gboolean
drop_vanished (const VvReconciler *r, const VvEntry *seen, const char *why, GError **error)
{
  g_autoptr (VvLock) lock = vv_state_store_lock (r->context->store, seen->address, 0, error);

  if (!lock || !vv_state_store_drop (r->context->store, seen->address, error))
    return FALSE;
  g_message ("%s: removed its state file (domain %s used it)", why, seen->domain);
  return TRUE;
}

static void
say_what_is_left (const VvBinding *b, const VvDomain *gone)
{
  const VvEntry *e = b->entry;
  const char *address = b->device->address;
  const char *now = b->device->now.driver ? b->device->now.driver : "no driver";

  if (e->unmanaged ||
      (e->pinned ? g_strcmp0 (e->vfio_driver, b->device->now.driver) == 0 : vv_binding_is_restored (b)))
    return;
  if (e->pinned)
    g_warning (
        "domain %s no longer has %s, which is on %s: an administrator had bound it, returning it to %s",
        gone->name, address, now, e->vfio_driver ? e->vfio_driver : "a VFIO driver");
  else if (e->host_known)
    g_warning (
        "domain %s no longer has %s, and libvirt did not return it to the host: it is on %s, not on %s",
        gone->name, address, now, e->host.driver ? e->host.driver : "no driver");
  else
    g_message (
        "domain %s no longer has %s; its host driver is unknown: it stays on %s, its state file is removed",
        gone->name, address, now);
}

static gboolean
mend (const VvReconciler *r, const VvEntry *seen, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (VvBinding) b = vv_binding_open (r->context, seen->address, FALSE, &local);
  const VvDomain gone = {.name = seen->domain ? seen->domain : seen->domain_uuid, .uuid = seen->domain_uuid};

  if (g_error_matches (local, VV_ERROR, VV_ERROR_NO_DEVICE))
    return drop_vanished (r, seen, local->message, error);
  if (!b) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  if (!is_of (b->entry, gone.uuid) || !b->entry->in_use)
    return TRUE; /* the entry changed while this process waited for the lock */
  g_autofree char *user = vv_vfio_user (r->context->host, b->device);
  if (user) {
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
                 "domain %s no longer has %s, but %s still uses it: leaving it alone; check that process",
                 gone.name, seen->address, user);
    return FALSE;
  }
  say_what_is_left (b, &gone);
  return vv_domain_device_release (&gone, b, error);
}

/* Waits for the end of the grace period, then restores the device. The period begins when this domain no
 * longer has this device. After a failure, the next event causes another attempt: more attempts before that
 * would not help. */
static gboolean
wait_or_mend (Pass *p, const VvEntry *entry, GError **error)
{
  char *key = g_strconcat (entry->address, " ", entry->domain_uuid, NULL);
  const gint64 *before = g_hash_table_lookup (p->r->absent, key);
  gint64 *since = g_new (gint64, 1);

  *since = before ? *before : p->now;
  g_hash_table_insert (p->absent, key, since);
  gint64 left = *since + p->r->grace - p->now;
  if (left <= 0)
    return mend (p->r, entry, error);
  p->wait = p->wait < 0 ? left : MIN (p->wait, left);
  return TRUE;
}

/* --- all entries --- */

static gboolean
look_at (Pass *p, const char *address, GError **error)
{
  g_autoptr (GError) damaged = NULL;
  g_autoptr (VvEntry) entry = vv_state_store_load (p->r->context->store, address, &damaged);

  if (damaged) {
    g_propagate_error (error, g_steal_pointer (&damaged));
    return FALSE;
  }
  if (!entry)
    return TRUE; /* the device was restored in the meantime */
  const VvDomain *domain = find_domain (p->running, entry);
  if (domain)
    return is_claimed (entry, domain) || claim (p->r, address, domain, error);
  if (!entry->domain_uuid || !entry->in_use || find_domain (p->starting, entry))
    return TRUE;
  return wait_or_mend (p, entry, error);
}

gint64
vv_reconciler_run (VvReconciler *r, const GPtrArray *running, const GPtrArray *starting, gint64 now)
{
  Pass pass = {r, running, starting, now, new_absent (), -1};
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (r->context->store);

  for (guint i = 0; i < addresses->len; i++) {
    const char *address = addresses->pdata[i];
    g_autoptr (GError) error = NULL;
    if (look_at (&pass, address, &error)) {
      g_hash_table_remove (r->said, address);
    } else if (g_strcmp0 (g_hash_table_lookup (r->said, address), error->message) != 0) {
      g_warning ("%s", error->message); /* once: a lasting problem occurs again in each run */
      g_hash_table_insert (r->said, g_strdup (address), g_strdup (error->message));
    }
  }
  g_hash_table_unref (r->absent);
  r->absent = pass.absent;
  return pass.wait;
}
