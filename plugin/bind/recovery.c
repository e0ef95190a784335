/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "recovery.h"

#include <glib/gi18n-lib.h>

#include "in-use.h"

/* For a device that cannot return to its host driver, or whose host driver is unknown: keeps its present VFIO
 * driver, or binds the one in the entry, or else vfio-pci. */
static gboolean
bind_fallback (VvBinding *b, GError **error)
{
  const VvDriverState *now = &b->device->now;
  const char *known = now->driver ? now->driver : b->entry->vfio_driver;
  const char *driver = known ? known : VV_GENERIC_DRIVER;
  g_auto (VvDriverState) fallback = {
      .driver = g_strdup (driver),
      .module = vv_same (driver, VV_GENERIC_DRIVER) ? g_strdup (VV_GENERIC_MODULE) : NULL,
      /* an override that names another driver is the last write of the dead process */
      .override = now->driver && !now->override ? NULL : g_strdup (driver),
  };

  return vv_settle (b, &fallback, error);
}

static gboolean
recover_on_vfio (VvBinding *b, const GError *host_error, GError **error)
{
  const VvEntry *e = b->entry;
  g_autoptr (GError) problem = NULL;

  if (host_error) {
    if (vv_binding_vanished (b, error))
      return FALSE;
    vv_change_failed_attempt (b->change, e->host.driver ? e->host.driver : "host-driver", "recovery",
                              host_error);
  }
  if ((!host_error || !vv_same (b->device->now.driver, e->host.driver)) && bind_fallback (b, &problem))
    return TRUE;
  g_set_error (
      error, VV_ERROR, VV_ERROR_FAILED,
      _ ("%s: recovery of an interrupted %s failed: %s%s%s; the next vfio-variant process tries again"),
      b->device->address, e->state == VV_STATE_DETACHING ? "detach" : "reattach",
      host_error ? host_error->message : "", host_error && problem ? "; " : "",
      problem ? problem->message : "");
  return FALSE;
}

/* Restores the driver state in the entry, or else binds a VFIO driver. */
static gboolean
recover (VvBinding *b, GError **error)
{
  VvEntry *e = b->entry;
  g_autofree char *user = vv_vfio_user (b->context->host, b->device);
  gboolean to_host = !user && e->host_known && (e->state != VV_STATE_DETACHING || !b->device->vfio_dev);
  g_autoptr (GError) host_error = NULL;

  gboolean restored = to_host && vv_settle (b, &e->host, &host_error);
  if (!restored && !user && !recover_on_vfio (b, host_error, error))
    return FALSE;
  b->change->changed = b->change->steps->len > 0;
  if (restored && !(e->state == VV_STATE_DETACHING && e->domain))
    return vv_binding_forget (b, error);
  if (restored)
    e->state = VV_STATE_RECORDED;
  else
    vv_binding_set_detached (b);
  return vv_binding_save (b, error);
}

VvBinding *
vv_recover_device (const VvContext *context, const char *address, VvLock *lock, GError **error)
{
  g_autoptr (VvBinding) b = vv_binding_new (context, address, lock, error);
  g_autoptr (GError) problem = NULL;

  if (!b || !lock || !b->entry ||
      (b->entry->state != VV_STATE_DETACHING && b->entry->state != VV_STATE_REATTACHING))
    return g_steal_pointer (&b);
  vv_binding_begin (b, VV_REATTACH);
  vv_binding_assign (&b->change->wanted, b->entry->host.driver);
  recover (b, &problem);
  if (!vv_binding_end (b, _ ("a process died while moving it"), g_steal_pointer (&problem), error))
    return NULL;
  vv_binding_tell (b);
  return g_steal_pointer (&b);
}

/* --- all devices --- */

static gboolean
is_present (const VvContext *s, const char *address)
{
  g_autofree char *device = g_build_filename ("bus/pci/devices", address, NULL);

  return vv_io_exists (s->host->sys, device);
}

/* Removes the entry of a device that disappeared: another device may appear at this address later. One may
 * already have appeared, with its own entry, while this function took the lock. The entry of a domain's
 * device is left to vfio-variant-monitor. Returns: whether there is no device to recover */
static gboolean
drop_vanished (const VvContext *s, const char *address)
{
  g_autoptr (VvEntry) entry = NULL;
  g_autoptr (VvLock) lock = NULL;

  if (is_present (s, address))
    return FALSE;
  lock = vv_state_store_lock (s->store, address, 0, NULL);
  entry = lock && !is_present (s, address) ? vv_state_store_load (s->store, address, NULL) : NULL;
  if (entry && !entry->domain && vv_state_store_drop (s->store, address, NULL))
    g_message ("%s is no longer present on the host; removing its state file", address);
  return TRUE;
}

/* Reads the entry without the lock first, because for most entries no rebind is in progress. A process that
 * has the device's lock is alive, and completes its own work. A damaged entry is reported to the next caller
 * that opens the device. */
static void
recover_one (const VvContext *s, const char *address)
{
  g_autoptr (VvEntry) entry = NULL;
  g_autoptr (GError) problem = NULL;

  if (drop_vanished (s, address) || vv_state_store_at_rest (s->store, address))
    return;
  entry = vv_state_store_load (s->store, address, NULL);
  VvLock *lock = entry ? vv_state_store_lock (s->store, address, 0, &problem) : NULL;
  vv_context_goes_on (s);
  if (!lock && (!problem || g_error_matches (problem, VV_ERROR, VV_ERROR_REFUSED)))
    return;
  g_autoptr (VvBinding) b = lock ? vv_recover_device (s, address, lock, &problem) : NULL;
  if (!b)
    g_warning ("%s", problem->message);
}

void
vv_recover (const VvContext *s)
{
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (s->store);

  for (guint i = 0; i < addresses->len; i++)
    recover_one (s, addresses->pdata[i]);
}
