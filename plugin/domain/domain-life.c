/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-life.h"

#include <string.h>

#include "group.h"
#include "in-use.h"
#include "libvirt-process.h"
#include "modalias.h"
#include "attach.h"
#include "requested.h"

typedef gboolean (*DeviceFunc) (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *binding,
                                GError **error);

static gboolean
is_of (const VvEntry *entry, const VvDomain *domain)
{
  return entry && g_strcmp0 (entry->domain_uuid, domain->uuid) == 0;
}

static gboolean
by_iommufd (const VvHostdev *hostdev)
{
  return hostdev->requested.use.iommufd == VV_ANSWER_YES;
}

/* --- driver selection --- */

static VvChoice *
choose_silently (const VvContext *context, const VvDomain *domain, const VvHostdev *hostdev,
                 const VvPciDevice *device, const VvEntry *entry, GError **error)
{
  g_autofree char *whose = g_strdup_printf ("domain %s", domain->name);

  return vv_choose (context, device, entry, NULL, &hostdev->requested, whose, error);
}

/* Selects drivers for the device's present state, without its lock. Returns: (transfer full) (nullable):
 * NULL: there is no such device, or no driver can be selected; @device: (out) (nullable) (transfer full) */
static VvChoice *
choose_unlocked (const VvContext *context, const VvDomain *domain, const VvHostdev *hostdev,
                 VvPciDevice **device)
{
  *device = vv_pci_device_look (context->host, hostdev->address, NULL);
  g_autoptr (VvEntry) entry = *device ? vv_state_store_load (context->store, hostdev->address, NULL) : NULL;

  return *device ? choose_silently (context, domain, hostdev, *device, entry, NULL) : NULL;
}

static VvChoice *
choose_for (const VvDomain *domain, const VvHostdev *hostdev, const VvBinding *b, GError **error)
{
  VvChoice *choice = choose_silently (b->context, domain, hostdev, b->device, b->entry, error);

  for (guint i = 0; choice && i < choice->refused->len; i++)
    g_warning ("%s: %s", hostdev->address, (char *)choice->refused->pdata[i]);
  return choice;
}

/* If another guest uses the device, this domain may change neither the device nor its entry. */
static gboolean
refuse_others_device (const VvContext *context, const VvPciDevice *device, GError **error)
{
  g_autofree char *user = vv_vfio_user (context->host, device);

  if (user)
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s is in use by %s; leaving it alone", device->address,
                 user);
  return user != NULL;
}

/* Whether the policy has vfio-variant manage devices that libvirt does not manage */
static gboolean
manages (const VvChoice *choice)
{
  return choice->options.values[VV_OPTION_UNMANAGED] == VV_UNMANAGED_MANAGE;
}

/* --- strict requirements --- */

/* Without a policy and without requests, nothing is strict. This is the case on most hosts. */
static gboolean
may_be_strict (const VvPolicy *policy, const VvDomain *domain)
{
  gboolean may_be = policy->rules->len || policy->defaults->len;

  for (guint i = 0; !may_be && i < domain->hostdevs->len; i++)
    may_be = !vv_options_are_empty (&((VvHostdev *)domain->hostdevs->pdata[i])->requested);
  return may_be;
}

/* Returns: (transfer full) (nullable): as vv_domain_strict_rule(), for one device */
static char *
strict_rule_of (const VvContext *context, const VvDomain *domain, const VvHostdev *hostdev, gboolean prepare)
{
  g_autoptr (VvPciDevice) device = NULL;
  g_autoptr (VvChoice) choice = choose_unlocked (context, domain, hostdev, &device);

  if (!choice)
    return NULL;
  gboolean is_ours = hostdev->managed || manages (choice);
  gboolean refuses_use = prepare && choice->options.values[VV_OPTION_HOST_USE] == VV_HOST_USE_REFUSE;
  if (!vv_choice_requires (choice) && !(is_ours && (vv_choice_is_strict (choice) || refuses_use)))
    return NULL;
  g_autofree char *rule = vv_choice_rule (choice);
  return g_strdup_printf ("%s: cannot determine whether it meets the requirements of %s", hostdev->address,
                          rule);
}

char *
vv_domain_strict_rule (const VvContext *context, const VvDomain *domain, gboolean prepare)
{
  char *strict = NULL;

  if (!may_be_strict (context->policy, domain))
    return NULL;
  for (guint i = 0; !strict && i < domain->hostdevs->len; i++)
    strict = strict_rule_of (context, domain, domain->hostdevs->pdata[i], prepare);
  return strict;
}

/* --- all devices of a domain --- */

/* Calls @func with the lock of each device that libvirt or vfio-variant manages, and @unmanaged (nullable:
 * skip) with the lock of each other device. Returns FALSE with @refusal set if a strict requirement is not
 * met. Logs any other failure, and continues with the next device. */
static gboolean
each_device (const VvContext *context, const VvDomain *domain, const char *operation, DeviceFunc func,
             DeviceFunc unmanaged, GError **refusal)
{
  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    g_autoptr (VvEntry) entry = h->managed ? NULL : vv_state_store_load (context->store, h->address, NULL);
    /* A managed='no' device that vfio-variant manages has an entry of the domain since "prepare". */
    gboolean is_ours = is_of (entry, domain) && !entry->unmanaged;
    DeviceFunc now = h->managed || is_ours ? func : unmanaged;
    g_autoptr (GError) error = NULL;
    g_autoptr (VvBinding) binding = now ? vv_binding_open (context, h->address, FALSE, &error) : NULL;
    if (!now || (binding && now (domain, h, binding, &error)))
      continue;
    if (!binding && refusal && !g_error_matches (error, VV_ERROR, VV_ERROR_NO_DEVICE)) {
      /* The entry is damaged, or another process rebinds the device: it is unknown whether the device meets a
       * strict requirement. */
      g_autofree char *strict = strict_rule_of (context, domain, h, strcmp (operation, "prepare") == 0);
      g_autoptr (GError) problem = strict ? g_steal_pointer (&error) : NULL;
      if (problem)
        error = g_error_new (VV_ERROR, VV_ERROR_POLICY, "%s: %s", strict, problem->message);
    }
    g_warning ("domain %s, %s: %s", domain->name, operation, error->message);
    if (refusal && g_error_matches (error, VV_ERROR, VV_ERROR_POLICY)) {
      g_propagate_error (refusal, g_steal_pointer (&error));
      return FALSE;
    }
  }
  return TRUE;
}

/* --- prepare --- */

static void
warn_of_obstacles (const VvContext *context, const VvDomain *domain, const VvPciDevice *device)
{
  g_autoptr (GPtrArray) along = g_ptr_array_new ();

  for (guint i = 0; i < domain->hostdevs->len; i++)
    g_ptr_array_add (along, ((VvHostdev *)domain->hostdevs->pdata[i])->address);
  g_autoptr (GPtrArray) obstacles = vv_group_obstacles (context->host, context->catalog, device, along);
  for (guint i = 0; i < obstacles->len; i++)
    g_warning ("domain %s: %s: %s", domain->name, device->address, (char *)obstacles->pdata[i]);
}

static gboolean
is_on_vfio (const VvBinding *b, const VvChoice *choice)
{
  return vv_on_vfio (b->context->host, b->device, choice);
}

/* libvirt itself does not check whether the host uses the device. */
static gboolean
host_spares (const VvDomain *domain, const VvBinding *b, const VvChoice *choice, GError **error)
{
  g_autoptr (GPtrArray) reasons =
      is_on_vfio (b, choice) ? g_ptr_array_new () : vv_host_use (b->context->host, b->device);

  if (!reasons->len)
    return TRUE;
  g_ptr_array_add (reasons, NULL);
  g_autofree char *text = g_strjoinv ("; ", (char **)reasons->pdata);
  if (choice->options.values[VV_OPTION_HOST_USE] != VV_HOST_USE_REFUSE) {
    g_warning ("domain %s uses %s, which is in use by the host: %s", domain->name, b->device->address, text);
    return TRUE;
  }
  g_autofree char *rule = vv_choice_rule (choice);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY, "%s is in use by the host, which %s refuses: %s",
               b->device->address, rule, text);
  return FALSE;
}

static gboolean
note_domain (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, const VvChoice *choice,
             GError **error)
{
  if (vv_binding_is_stale (b, &b->device->now, is_on_vfio (b, choice)) && !vv_binding_forget (b, error))
    return FALSE;
  vv_binding_note (b);
  /* Two domains may start with the same device. libvirt gives it to one of them, which claims the entry at
   * "start". Until then, an entry in state recorded keeps the domain that claimed it first. Otherwise, the
   * "release" of the domain that fails to start would take the device from the other one. */
  if (b->entry->state != VV_STATE_RECORDED || !b->entry->domain || is_of (b->entry, domain)) {
    vv_entry_set_domain (b->entry, domain->name, domain->uuid);
    g_free (b->entry->requested);
    b->entry->requested = vv_requested_to_text (&hostdev->requested); /* for the gate, which has no XML */
    g_clear_pointer (&b->entry->failed, g_free);
  }
  return vv_binding_save (b, error);
}

/* With iommufd, libvirt opens a device before "start". Its driver can therefore only be queried now. A failed
 * query does not prevent the guest from starting. */
static void
ask_ahead (const VvHostdev *hostdev, const VvBinding *b, const VvChoice *choice)
{
  const VvPciDevice *d = b->device;
  g_autoptr (GError) error = NULL;

  if (by_iommufd (hostdev) && vv_choice_requires (choice) && is_on_vfio (b, choice) &&
      vv_migration_known (b->context->store, d->now.driver, d->modalias, NULL) == VV_MIGRATION_UNKNOWN &&
      !vv_attach_can_migrate (b->context, d, &choice->options.use, &error))
    g_message ("%s", error->message);
}

static gboolean
prepare_chosen (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, const VvChoice *choice,
                GError **error)
{
  if (!host_spares (domain, b, choice, error) || !note_domain (domain, hostdev, b, choice, error))
    return FALSE;
  warn_of_obstacles (b->context, domain, b->device);
  ask_ahead (hostdev, b, choice);
  return vv_choice_check (b->context, b->device, choice, error);
}

static gboolean
prepare_device (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  if (refuse_others_device (b->context, b->device, error))
    return FALSE;
  g_autoptr (VvChoice) choice = choose_for (domain, hostdev, b, error);

  return choice && prepare_chosen (domain, hostdev, b, choice, error);
}

/* For a device that stays on its driver when migration is required: refuses only a driver that is known to
 * prevent migration. */
static gboolean
refuse_staying (const VvContext *context, const VvPciDevice *d, const VvChoice *choice, GError **error)
{
  const char *why =
      vv_choice_requires (choice) ? vv_choice_cannot_migrate (context, d, choice, d->now.driver) : NULL;

  if (!why)
    return FALSE;
  g_autofree char *rule = vv_choice_rule (choice);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY,
               "%s stays on %s, which prevents the migration that %s requires: it %s", d->address,
               d->now.driver, rule, why);
  return TRUE;
}

/* Handles a device with managed='no'. If the policy has vfio-variant manage it, binds it to the generic
 * driver, which every libvirt accepts: before 9.7, libvirt rejects all other drivers. "start" then binds the
 * best driver. With iommufd, libvirt opens the device before "start", so the best driver is bound here; such
 * a libvirt accepts any driver. A device that is already on VFIO is left to the administrator. */
static gboolean
prepare_unmanaged (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  g_autoptr (VvChoice) choice = choose_for (domain, hostdev, b, error);

  if (!choice)
    return FALSE;
  if (!manages (choice) || is_on_vfio (b, choice)) {
    ask_ahead (hostdev, b, choice);
    return !by_iommufd (hostdev) || !refuse_staying (b->context, b->device, choice, error);
  }
  if (!prepare_chosen (domain, hostdev, b, choice, error) ||
      (!by_iommufd (hostdev) && !vv_choice_force (choice, VV_GENERIC_DRIVER, error)))
    return FALSE;
  return by_iommufd (hostdev) ? vv_attach (b, choice, error) : vv_binding_detach (b, choice, error);
}

/* Restores a device that vfio-variant has detached. A device that was already on VFIO stays there. */
static gboolean
undo_prepare (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  if (!is_of (b->entry, domain))
    return TRUE;
  if (!hostdev->managed && b->entry->state == VV_STATE_DETACHED)
    return vv_domain_device_release (domain, b, error);
  if (vv_binding_is_restored (b))
    return vv_binding_forget (b, error);
  vv_entry_set_domain (b->entry, NULL, NULL);
  return vv_binding_save (b, error);
}

gboolean
vv_domain_prepare (const VvContext *context, const VvDomain *domain, GError **refusal)
{
  if (vv_catalog_warning (context->catalog))
    g_warning ("domain %s: %s", domain->name, vv_catalog_warning (context->catalog));
  if (each_device (context, domain, "prepare", prepare_device, prepare_unmanaged, refusal))
    return TRUE;
  each_device (context, domain, "prepare", undo_prepare, NULL, NULL); /* libvirt runs no other operation */
  return FALSE;
}

/* --- migrate, restore --- */

/* Checks what is known before any rebind: the remaining drivers, or the driver that the device stays on. */
static gboolean
foresee_device (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  g_autoptr (VvChoice) choice = choose_for (domain, hostdev, b, error);
  const VvPciDevice *d = b->device;

  if (!choice)
    return FALSE;
  if (hostdev->managed || (manages (choice) && !is_on_vfio (b, choice))) {
    if (!vv_choice_requires (choice))
      return vv_choice_check (b->context, d, choice, error);
    /* Recorded answers are per driver, and the name of a driver is known for sure only when its module is
     * loaded. */
    for (guint i = 0; i < choice->candidates->len; i++)
      vv_modules_load (b->context->modules, ((VvCandidate *)choice->candidates->pdata[i])->module, NULL);
    g_autoptr (VvChoice) surely = choose_for (domain, hostdev, b, error);
    return surely && vv_choice_check (b->context, d, surely, error);
  }
  return !refuse_staying (b->context, d, choice, error);
}

gboolean
vv_domain_foresee (const VvContext *context, const VvDomain *domain, GError **refusal)
{
  return each_device (context, domain, "incoming migration or restore", foresee_device, foresee_device,
                      refusal);
}

/* --- start --- */

/* libvirt opens the device itself if QEMU gets it through iommufd (qemuProcessPrepareHost(), libvirt >=
 * 12.1). */
static gboolean
is_opened_by_libvirt (const VvContext *context, const VvHostdev *hostdev, const VvPciDevice *device)
{
  pid_t holder = by_iommufd (hostdev) ? vv_vfio_holder (context->host, device) : 0;

  return holder && vv_is_libvirt (context->host, holder);
}

static gboolean
start_device (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  gboolean opened = is_opened_by_libvirt (b->context, hostdev, b->device);

  if (!opened && refuse_others_device (b->context, b->device, error))
    return FALSE;
  g_autoptr (VvChoice) choice = choose_for (domain, hostdev, b, error);

  if (!choice)
    return FALSE;
  if (b->device->now.driver && !is_on_vfio (b, choice)) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 "%s is on %s: libvirt has not detached it; leaving it alone", b->device->address,
                 b->device->now.driver);
    return FALSE;
  }
  vv_binding_record (b, NULL); /* libvirt has detached it; without an entry, its host driver is unknown */
  vv_entry_set_domain (b->entry, domain->name, domain->uuid);
  if (opened) /* libvirt or the gate has bound the right driver, or the domain does not start */
    vv_binding_set_detached (b);
  if (!vv_binding_save (b, error))
    return FALSE;
  return opened ? vv_attach_opened (b, choice, TRUE, error) : vv_attach (b, choice, error);
}

/* The device stays on its driver. Checks only whether it can migrate, before libvirt opens it. */
static gboolean
start_unmanaged (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  g_autoptr (VvChoice) choice = choose_for (domain, hostdev, b, error);
  g_autoptr (GError) immobile = NULL;

  if (!choice)
    return FALSE;
  if (!vv_choice_requires (choice))
    return TRUE;
  if (is_opened_by_libvirt (b->context, hostdev, b->device))
    return !refuse_staying (b->context, b->device, choice, error);
  if (vv_attach_can_migrate (b->context, b->device, &choice->options.use, &immobile))
    return TRUE;
  g_autofree char *rule = vv_choice_rule (choice);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY, "%s requires migration: %s", rule, immobile->message);
  return FALSE;
}

/* Finds a device that is known to prevent the migration of the domain. If QEMU blocks the migration of one
 * device, it blocks that of the domain, even if the requirement is for another device. @required: (out)
 * (nullable): the rule that requires migration. Both are (transfer full). */
static char *
find_immobile (const VvContext *context, const VvDomain *domain, char **required)
{
  g_autofree char *found = NULL;

  for (guint i = 0; i < domain->hostdevs->len; i++) {
    const VvHostdev *h = domain->hostdevs->pdata[i];
    g_autoptr (VvPciDevice) device = NULL;
    g_autoptr (VvChoice) choice = choose_unlocked (context, domain, h, &device);
    if (!choice)
      continue;
    if (vv_choice_requires (choice) && !*required)
      *required = vv_choice_rule (choice);
    const char *driver = device->now.driver;
    const char *why = driver ? vv_choice_cannot_migrate (context, device, choice, driver) : NULL;
    if (why && !found)
      found = g_strdup_printf ("%s on %s, which %s", h->address, driver, why);
  }
  return g_steal_pointer (&found);
}

gboolean
vv_domain_start (const VvContext *context, const VvDomain *domain, GError **refusal)
{
  g_autofree char *required = NULL;

  if (!each_device (context, domain, "start", start_device, start_unmanaged, refusal))
    return FALSE;
  if (domain->vfio_devices < 2 || !may_be_strict (context->policy, domain))
    return TRUE;
  g_autofree char *immobile = find_immobile (context, domain, &required);
  if (!required || !immobile)
    return TRUE;
  GError *error =
      g_error_new (VV_ERROR, VV_ERROR_POLICY, "%s requires that domain %s can be migrated: it has %s",
                   required, domain->name, immobile);
  g_warning ("domain %s, start: %s", domain->name, error->message);
  g_propagate_error (refusal, error);
  return FALSE;
}

/* --- started, reconnect --- */

gboolean
vv_domain_device_running (const VvDomain *domain, gboolean managed, VvBinding *b, GError **error)
{
  vv_binding_record (b, NULL);
  vv_binding_set_detached (b);
  vv_entry_set_domain (b->entry, domain->name, domain->uuid);
  g_clear_pointer (&b->entry->failed, g_free);
  b->entry->in_use = TRUE;
  b->entry->unmanaged = !managed;
  return vv_binding_save (b, error);
}

static gboolean
mark_running (const VvDomain *domain, const VvHostdev *hostdev, VvBinding *b, GError **error)
{
  (void)hostdev;
  return vv_domain_device_running (domain, TRUE, b, error); /* each_device() skips unmanaged devices here */
}

void
vv_domain_running (const VvContext *context, const VvDomain *domain)
{
  each_device (context, domain, "started", mark_running, NULL, NULL);
}

/* --- release --- */

/* A pinned device, which an administrator had bound before the domain got it: libvirt has reattached it to
 * the host, and this returns it to VFIO. */
static gboolean
keep_pinned (VvBinding *b, GError **error)
{
  g_autoptr (VvChoice) choice = vv_catalog_select (b->context->catalog, b->device->modalias, error);

  if (!choice || (b->entry->vfio_driver && !vv_choice_force (choice, b->entry->vfio_driver, error)) ||
      !vv_binding_save (b, error) || !vv_binding_detach (b, choice, error))
    return FALSE;
  if (b->change->changed) {
    g_free (b->change->why);
    b->change->why = g_strdup ("an administrator had bound it before a guest got it");
  }
  return TRUE;
}

gboolean
vv_domain_device_release (const VvDomain *domain, VvBinding *b, GError **error)
{
  if (!is_of (b->entry, domain))
    return TRUE; /* the entry changed while this process waited for the lock */
  gboolean stays = b->entry->unmanaged;
  vv_entry_set_domain (b->entry, NULL, NULL);
  if (stays)
    return vv_binding_save (b, error);
  if (!b->entry->pinned && !b->entry->host_known)
    return vv_binding_forget (b, error);
  if (b->entry->pinned ? !keep_pinned (b, error) : !vv_binding_reattach (b, error))
    return FALSE;
  g_free (b->change->domain); /* vv_binding_begin() copied it from the entry, which had no domain any more */
  b->change->domain = g_strdup (domain->name);
  if (!b->change->changed) /* operators look for this after a guest ends */
    g_message ("domain %s, release: %s stays on %s, its driver before the start", domain->name,
               b->device->address, b->device->now.driver ? b->device->now.driver : "no driver");
  return TRUE;
}

void
vv_domain_release (const VvContext *context, const VvDomain *domain)
{
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (context->store);

  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (VvEntry) entry = vv_state_store_load (context->store, addresses->pdata[i], NULL);
    g_autoptr (GError) error = NULL;
    if (!is_of (entry, domain))
      continue;
    g_autoptr (VvBinding) binding = vv_binding_open (context, addresses->pdata[i], FALSE, &error);
    if (!binding || !vv_domain_device_release (domain, binding, &error))
      g_warning ("domain %s, release: %s", domain->name, error->message);
  }
}
