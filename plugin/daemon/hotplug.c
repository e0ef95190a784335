/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hotplug.h"

#include <string.h>

#include "libvirt-version.h"
#include "modalias.h"
#include "attach.h"
#include "requested.h"

#define LIBVIRT_IOMMUFD VV_LIBVIRT_VERSION (12, 1, 0)

/* --- which candidates --- */

/* Why what libvirt asked for must not be bettered; NULL: it may be. @could_fail: libvirt may not be able to
 * go on with another one */
static char *
why_keep (const VvHotplugRequest *request, const VvPciDevice *device, const char *wanted,
          gboolean *could_fail)
{
  guint major = request->libvirt / 1000000, minor = request->libvirt / 1000 % 1000;

  *could_fail = request->libvirt < VV_LIBVIRT_VERSION (9, 7, 0);
  if (!request->libvirt)
    return g_strdup ("unknown libvirt version: keeping its choice");
  if (request->libvirt >= VV_LIBVIRT_VERSION (10, 0, 0))
    return g_strdup_printf ("libvirt %u.%u chose it, or the domain names it", major, minor);
  if (strcmp (wanted, VV_GENERIC_DRIVER) != 0)
    return g_strdup_printf ("libvirt %u.%u: the domain names %s", major, minor, wanted);
  /* virPCIDeviceReset() of libvirt before 9.7 leaves only vfio-pci to the kernel; without FLR it tries resets
   * that fail where the device is not alone on its bus. */
  if (request->libvirt < VV_LIBVIRT_VERSION (9, 7, 0) && !vv_pci_has_flr (device))
    return g_strdup_printf ("libvirt %u.%u cannot reliably reset a device without FLR on a driver other than "
                            "vfio-pci; when a domain starts, the hook can move it",
                            major, minor);
  return NULL;
}

/* A domain's hook has been at "prepare" and will be at "start": it can do what the gate may not, and what it
 * refuses libvirt quotes. The device may have been detached by hand before. */
static gboolean
domain_starts (const VvEntry *entry)
{
  return entry && entry->domain && !entry->in_use && (entry->state == VV_STATE_RECORDED || entry->requested);
}

/* @start: (out): whether this is what the hook's "start" chooses. Else the domain has the device as libvirt
 * has it before 12.1, which knows no iommufd; later ones do not tell. */
static VvChoice *
choose_as_requested (const VvContext *context, const VvHotplugRequest *request, const VvPciDevice *device,
                     const VvEntry *entry, gboolean *start, GError **error)
{
  const VvOptions by_version = {.use = {.iommufd = request->libvirt && request->libvirt < LIBVIRT_IOMMUFD
                                                       ? VV_ANSWER_NO
                                                       : VV_ANSWER_UNKNOWN}};
  g_auto (VvOptions) by_domain = {0};

  /* libvirt opens a device that goes to QEMU by iommufd before the hook's "start" (VvHostdev): what that
   * would do is done here, by what the hook's "prepare" has written. */
  *start = entry && domain_starts (entry) && vv_requested_from_text (entry->requested, &by_domain) &&
           by_domain.use.iommufd == VV_ANSWER_YES;
  g_autofree char *whose = *start ? g_strdup_printf ("domain %s", entry->domain) : NULL;
  return vv_choose (context, device, entry, request->before.driver, *start ? &by_domain : &by_version, whose,
                    error);
}

/* What libvirt asked for stays where the policy allows it. What that does not allow gives way, where libvirt
 * can go on with another; else the policy is a request, but for one that is strict. */
static gboolean
keep_wanted (const VvHotplugRequest *request, const VvBinding *b, VvChoice *choice, char **kept,
             GError **error)
{
  const VvPciDevice *device = b->device;
  const char *wanted = device->now.override;
  gboolean could_fail;
  g_autofree char *why = why_keep (request, device, wanted, &could_fail);

  if (!why || !vv_choice_has_driver (b->context->host, choice, wanted, NULL))
    return TRUE;
  if (could_fail && vv_choice_is_strict (choice) && !domain_starts (b->entry) &&
      !vv_candidates_find (b->context->host, choice->candidates, wanted)) {
    /* nobody chose it: it is all that this libvirt knows */
    g_autofree char *rule = vv_choice_rule (choice);
    g_set_error (error, VV_ERROR, VV_ERROR_POLICY,
                 "%s: %s does not allow %s, and no other driver can be tried now: %s", device->address, rule,
                 wanted, why);
    return FALSE;
  }
  if (!could_fail && !vv_choice_takes (b->context, device, choice, wanted))
    return TRUE;
  *kept = g_steal_pointer (&why);
  return vv_choice_begin_with (b->context->host, choice, wanted, *kept, error);
}

static VvChoice *
choose_for (const VvHotplugRequest *request, const VvBinding *b, char **kept, GError **error)
{
  VvPhase before = vv_phase_timer_enter (b->deadline.timer, VV_PHASE_SELECT);
  gboolean start;
  g_autoptr (VvChoice) choice = choose_as_requested (b->context, request, b->device, b->entry, &start, error);
  gboolean chosen = choice && (start || keep_wanted (request, b, choice, kept, error));

  vv_phase_timer_enter (b->deadline.timer, before);
  return chosen ? g_steal_pointer (&choice) : NULL;
}

/* --- detach --- */

/* For the state store, which knows the device's host driver before anything is tried: libvirt takes the
 * device in any case. vv_binding_detach() saves it. */
static gboolean
record_host_driver (VvBinding *b, const VvHotplugRequest *request, const VvChoice *choice, GError **error)
{
  gboolean was_on_vfio = vv_choice_has_driver (b->context->host, choice, request->before.driver, NULL);

  if (vv_binding_is_stale (b, &request->before, was_on_vfio) && !vv_binding_forget (b, error))
    return FALSE;
  vv_binding_record (b, was_on_vfio ? NULL : &request->before);
  return TRUE;
}

static gboolean
take (VvBinding *b, const VvHotplugRequest *request, GError **error)
{
  const VvContext *context = b->context;
  g_autofree char *kept = NULL;
  g_autoptr (VvChoice) choice = choose_for (request, b, &kept, error);
  const char *wanted = b->device->now.override;

  if (!choice || !record_host_driver (b, request, choice, error))
    return FALSE;
  if (!vv_choice_has_driver (context->host, choice, wanted, NULL))
    return vv_binding_save (b, error) &&
           vv_binding_leave (b, VV_DETACH, "libvirt binds it to %s, which is not a known VFIO driver for it",
                             wanted);
  if (!vv_attach (b, choice, error))
    return FALSE;
  if (kept && choice->excluded->len) {
    g_autofree char *why = b->change->why;
    b->change->why = g_strdup_printf ("%s; no better driver was tried: %s", why, kept);
  }
  return TRUE;
}

/* --- reattach --- */

static gboolean
give_back (VvBinding *b, GError **error)
{
  const VvEntry *entry = b->entry;

  if (entry && entry->pinned && entry->domain && !entry->unmanaged)
    return vv_binding_leave (b, VV_REATTACH,
                             "an administrator had bound it before domain %s got it: left to the hook",
                             entry->domain);
  if (entry && entry->host_known)
    return vv_binding_reattach (b, error);
  if (entry && !entry->domain)
    vv_binding_forget (b, NULL);
  return vv_binding_leave (b, VV_REATTACH, "its host driver is unknown: the kernel chooses a driver");
}

/* To what it was before libvirt touched it. An entry counts further when it says that the device is away on
 * the driver that it was on: an administrator had detached it. */
static gboolean
undo (const VvHotplugRequest *request, VvBinding *b, const VvEntry *entry, const char *why, GError **error)
{
  gboolean was_away = entry && entry->state == VV_STATE_DETACHED && entry->vfio_driver &&
                      g_strcmp0 (entry->vfio_driver, request->before.driver) == 0;

  return vv_binding_undo (b, &request->before, was_away ? entry : NULL, why, error);
}

/* A domain that starts is refused by its hook's "start", whose words libvirt quotes: here libvirt goes on.
 * Any other libvirt is told that it cannot have the device, and does nothing more about it then
 * (virHostdevPreparePCIDevicesImpl() gives back only what virPCIDeviceDetach() has taken). */
static gboolean
refuse_libvirt (const VvHotplugRequest *request, VvBinding *b, const VvEntry *entry, GError *refusal,
                GError **error)
{
  g_autoptr (GError) problem = NULL;

  if (domain_starts (entry)) {
    g_set_error_literal (error, VV_ERROR, VV_ERROR_FAILED, refusal->message);
    g_error_free (refusal);
    return FALSE;
  }
  if (!undo (request, b, entry, "as it was before: a requirement cannot be met", &problem))
    g_warning ("gate: %s", problem->message);
  vv_binding_tell (b); /* before the reason for it is logged */
  g_propagate_error (error, refusal);
  return FALSE;
}

VvBinding *
vv_hotplug_open (const VvContext *context, const VvHotplugRequest *request, const VvDeadline *deadline,
                 GError **error)
{
  vv_phase_timer_enter (deadline->timer, VV_PHASE_FIND);
  VvBinding *b = vv_binding_open_between (context, request->address, request->before.driver, deadline, error);
  vv_phase_timer_enter (deadline->timer, VV_PHASE_OTHER);
  return b;
}

gboolean
vv_hotplug (VvBinding *b, const VvHotplugRequest *request, GError **error)
{
  VvOperation operation = b->device->now.override ? VV_DETACH : VV_REATTACH;
  g_autoptr (VvEntry) entry = b->entry ? vv_entry_copy (b->entry) : NULL;
  g_autoptr (GError) problem = NULL;

  if (b->device->now.driver)
    return vv_binding_leave (b, operation, "already on %s", b->device->now.driver);
  gboolean done = operation == VV_DETACH ? take (b, request, &problem) : give_back (b, &problem);
  if (operation == VV_DETACH && domain_starts (entry))
    vv_attach_record_failed (b);
  if (g_error_matches (problem, VV_ERROR, VV_ERROR_POLICY))
    return refuse_libvirt (request, b, entry, g_steal_pointer (&problem), error);
  if (problem)
    g_propagate_error (error, g_steal_pointer (&problem));
  return done;
}

/* --- what a libvirt that died leaves --- */

/* What libvirt changes: at a detach first the override of a device on its host driver, during reattach
 * first that of one on a VFIO driver; then there is no driver. */
static gboolean
is_left_between (const VvBinding *b, const VvHotplugRequest *request)
{
  const VvPciDevice *d = b->device;

  if (!d->now.driver && request->before.driver)
    return TRUE;
  return g_strcmp0 (d->now.driver, request->before.driver) == 0 &&
         g_strcmp0 (d->now.override, request->before.override) != 0;
}

VvChange *
vv_hotplug_rescue (const VvContext *context, const VvHotplugRequest *request, GError **error)
{
  g_autoptr (VvBinding) b = vv_binding_open (context, request->address, FALSE, error);

  if (!b)
    return NULL;
  VvOperation operation = b->device->now.override ? VV_DETACH : VV_REATTACH;
  g_autoptr (VvEntry) entry = b->entry ? vv_entry_copy (b->entry) : NULL;
  gboolean done;
  if (!is_left_between (b, request))
    done = vv_binding_leave (b, operation, "libvirt died before the rebind, or another process continued it");
  else if (operation == VV_REATTACH && !(entry && entry->pinned))
    done = vv_binding_reattach (b, error);
  else
    done = undo (request, b, entry, "as it was before: libvirt died while moving it", error);
  return done ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

/* Its driver_override is not looked at: the gate would have to answer, and the kernel shows it only when the
 * unbind is over, which this is to run beside (vv_pci_device_look()). */
gint64
vv_hotplug_prepare (const VvContext *context, const VvHotplugRequest *request)
{
  g_autoptr (VvPciDevice) device = vv_pci_device_look (context->host, request->address, NULL);
  g_autoptr (VvEntry) entry = vv_state_store_load (context->store, request->address, NULL);
  gboolean start = FALSE;
  g_autoptr (VvChoice) choice =
      device ? choose_as_requested (context, request, device, entry, &start, NULL) : NULL;
  gboolean could_fail;

  if (!choice || vv_choice_has_driver (context->host, choice, request->before.driver, NULL))
    return 0; /* during reattach */
  g_autofree char *kept = start ? NULL : why_keep (request, device, VV_GENERIC_DRIVER, &could_fail);
  if (kept)
    return 0; /* what libvirt asks for it has loaded itself */
  gint64 begun = g_get_monotonic_time ();
  vv_binding_load_ahead (context, choice, NULL);
  return g_get_monotonic_time () - begun;
}
