/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-life.h"

#include <string.h>

#include "in-use.h"

typedef gboolean (*DeviceFunc) (const VvSession *session, const VvDomain *domain, const VvHostdev *hostdev,
                                VvBinding *binding, GError **error);

static void
with_device (const VvSession *session, const VvDomain *domain, const char *station, const char *address,
             const VvHostdev *hostdev, DeviceFunc func)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvBinding) binding = vv_session_binding (session, address, FALSE, &error);

  if (!binding || !func (session, domain, hostdev, binding, &error))
    g_warning ("domain %s, %s: %s", domain->name, station, error->message);
}

/* Calls @func for each managed device, locked; a failure is logged and the next one has its turn. */
static void
each_device (const VvSession *session, const VvDomain *domain, const char *station, DeviceFunc func)
{
  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *hostdev = domain->hostdevs->pdata[i];
    if (hostdev->managed)
      with_device (session, domain, station, hostdev->address, hostdev, func);
  }
}

/* NULL, too, while another guest holds the device: neither it nor its entry is this domain's to change. */
static VvSelection *
select_for (const VvSession *session, const VvHostdev *hostdev, const VvPciDevice *device, GError **error)
{
  g_autofree char *user = vv_vfio_user (session->host, device);

  if (user) {
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s is in use by %s and is left alone", hostdev->address,
                 user);
    return NULL;
  }
  g_autoptr (VvSelection) selection = vv_catalog_select (session->catalog, device->modalias, error);

  if (selection && hostdev->model && !vv_selection_force (selection, hostdev->model, error))
    return NULL;
  return g_steal_pointer (&selection);
}

/* --- prepare --- */

static GPtrArray *
addresses_of (const VvDomain *domain)
{
  GPtrArray *addresses = g_ptr_array_new ();

  for (guint i = 0; i < domain->hostdevs->len; i++)
    g_ptr_array_add (addresses, ((VvHostdev *)domain->hostdevs->pdata[i])->address);
  return addresses;
}

static void
warn_of_obstacles (const VvSession *session, const VvDomain *domain, const VvPciDevice *device)
{
  g_autoptr (GPtrArray) along = addresses_of (domain);
  g_autoptr (GPtrArray) obstacles = vv_pci_group_obstacles (session->host, device, along);

  for (guint i = 0; i < obstacles->len; i++)
    g_warning ("domain %s: %s: %s", domain->name, device->address, (char *)obstacles->pdata[i]);
}

static gboolean
is_stale (const VvSession *session, const VvBinding *b, const VvSelection *selection)
{
  const VvPciDevice *d = b->device;
  const VvHome now = {d->driver, d->driver_module, d->driver_override};

  return vv_binding_is_stale (b, &now, vv_on_vfio (session->host, d, selection));
}

/* Two domains may be starting with the same device. libvirt gives it to one of them, which says so at
 * "start"; until then the first one's claim stays, so that the loser's "release" does not take the device
 * from under the winner. */
static gboolean
is_claimed (const VvEntry *entry, const VvDomain *domain)
{
  return entry->state == VV_STATE_NOTED && entry->domain && g_strcmp0 (entry->domain_uuid, domain->uuid) != 0;
}

static gboolean
prepare_device (const VvSession *session, const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b,
                GError **error)
{
  g_autoptr (VvSelection) selection = select_for (session, hostdev, b->device, error);

  if (!selection)
    return FALSE;
  if (is_stale (session, b, selection) && !vv_binding_forget (b, error))
    return FALSE;
  vv_binding_note (b);
  if (!is_claimed (b->entry, domain))
    vv_entry_set_domain (b->entry, domain->name, domain->uuid);
  if (!vv_binding_save (b, error))
    return FALSE;
  warn_of_obstacles (session, domain, b->device);
  vv_binding_load_ahead (session->host, session->modules, selection);
  return TRUE;
}

void
vv_domain_prepare (const VvSession *session, const VvDomain *domain)
{
  if (vv_catalog_warning (session->catalog))
    g_warning ("domain %s: %s", domain->name, vv_catalog_warning (session->catalog));
  each_device (session, domain, "prepare", prepare_device);
}

/* --- start --- */

static gboolean
start_device (const VvSession *session, const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b,
              GError **error)
{
  g_autoptr (VvSelection) selection = select_for (session, hostdev, b->device, error);

  if (!selection)
    return FALSE;
  if (b->device->driver && !vv_on_vfio (session->host, b->device, selection)) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 "%s is on %s: libvirt has not detached it, so it is left alone", hostdev->address,
                 b->device->driver);
    return FALSE;
  }
  if (!b->entry) { /* nobody saw it before libvirt took it: what it comes from cannot be told any more */
    vv_binding_note (b);
    b->entry->home_known = FALSE;
  }
  vv_entry_set_domain (b->entry, domain->name, domain->uuid);
  if (!vv_binding_save (b, error))
    return FALSE;
  g_autoptr (VvChange) change = vv_binding_detach (b, selection, error);
  if (!change)
    return vv_session_binding_failed (session, b, hostdev->model, error);
  vv_session_log_change (session, change);
  return TRUE;
}

void
vv_domain_start (const VvSession *session, const VvDomain *domain)
{
  each_device (session, domain, "start", start_device);
}

/* --- started, reconnect --- */

gboolean
vv_domain_device_running (const VvDomain *domain, gboolean managed, VvBinding *b, GError **error)
{
  if (!b->entry) {
    vv_binding_note (b);
    b->entry->home_known = FALSE;
  }
  b->entry->state = VV_STATE_DETACHED;
  g_free (b->entry->vfio_driver);
  b->entry->vfio_driver = g_strdup (b->device->driver);
  vv_entry_set_domain (b->entry, domain->name, domain->uuid);
  b->entry->in_use = TRUE;
  b->entry->unmanaged = !managed;
  return vv_binding_save (b, error);
}

static gboolean
mark_running (const VvSession *session, const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b,
              GError **error)
{
  (void)session, (void)hostdev;
  return vv_domain_device_running (domain, TRUE, b, error); /* the others are not looked at */
}

void
vv_domain_running (const VvSession *session, const VvDomain *domain)
{
  each_device (session, domain, "started", mark_running);
}

/* --- release --- */

/* Detached by hand before the domain came: libvirt has given it to the host, the administrator wants it on
 * VFIO. */
static VvChange *
keep_held (const VvSession *session, VvBinding *b, GError **error)
{
  g_autoptr (VvSelection) selection = vv_catalog_select (session->catalog, b->device->modalias, error);

  if (!selection ||
      (b->entry->vfio_driver && !vv_selection_force (selection, b->entry->vfio_driver, error)) ||
      !vv_binding_save (b, error))
    return NULL;
  VvChange *change = vv_binding_detach (b, selection, error);
  if (change && change->changed) {
    g_free (change->why);
    change->why = g_strdup ("bound by hand before a guest had it");
  }
  return change;
}

static gboolean
is_of (const VvEntry *entry, const VvDomain *domain)
{
  return entry && g_strcmp0 (entry->domain_uuid, domain->uuid) == 0;
}

gboolean
vv_domain_device_release (const VvSession *session, const VvDomain *domain, VvBinding *b, GError **error)
{
  if (!is_of (b->entry, domain))
    return TRUE; /* it changed hands while we waited for the lock */
  gboolean stays = b->entry->unmanaged;
  vv_entry_set_domain (b->entry, NULL, NULL);
  if (stays)
    return vv_binding_save (b, error);
  if (!b->entry->held && !b->entry->home_known)
    return vv_binding_forget (b, error);
  g_autoptr (VvChange) change =
      b->entry->held ? keep_held (session, b, error) : vv_binding_reattach (b, error);
  if (!change)
    return vv_session_binding_failed (session, b, NULL, error);
  g_free (change->domain); /* taken from the entry before */
  change->domain = g_strdup (domain->name);
  vv_session_log_change (session, change);
  if (!change->changed) /* said as well: it is what an operator looks for when a guest has gone */
    g_message ("domain %s, release: %s is on %s, as it was before", domain->name, change->device,
               change->to ? change->to : "no driver");
  return TRUE;
}

static gboolean
release_device (const VvSession *session, const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b,
                GError **error)
{
  (void)hostdev;
  return vv_domain_device_release (session, domain, b, error);
}

void
vv_domain_release (const VvSession *session, const VvDomain *domain)
{
  g_autoptr (GPtrArray) addresses = vv_journal_addresses (session->journal);

  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (VvEntry) entry = vv_journal_load (session->journal, addresses->pdata[i], NULL);
    if (is_of (entry, domain))
      with_device (session, domain, "release", addresses->pdata[i], NULL, release_device);
  }
}
