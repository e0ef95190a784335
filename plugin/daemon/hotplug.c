/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hotplug.h"

#include <string.h>

#include "libvirt-version.h"
#include "modalias.h"
#include "attach.h"
#include "requested.h"

#define LIBVIRT_IOMMUFD VV_LIBVIRT_VERSION (12, 1, 0)

/* --- candidates --- */

/* Returns why the driver that libvirt chose must be kept; NULL: a better one may be tried. @could_fail:
 * (out): whether libvirt could fail with another driver */
static char *
why_keep (const VvHotplugRequest *request, const VvPciDevice *device, const char *wanted,
          gboolean *could_fail)
{
  guint major = request->libvirt / 1000000, minor = request->libvirt / 1000 % 1000;

  *could_fail = request->libvirt < VV_LIBVIRT_VERSION (9, 7, 0);
  if (!request->libvirt)
    return g_strdup ("unknown libvirt version: keeping its choice");
  if (request->libvirt >= VV_LIBVIRT_VERSION (10, 0, 0))
    return g_strdup_printf ("libvirt %u.%u chose it, or was told to use it", major, minor);
  if (strcmp (wanted, VV_GENERIC_DRIVER) != 0)
    return g_strdup_printf ("libvirt %u.%u was told to use %s", major, minor, wanted);
  /* Before libvirt 9.7, virPCIDeviceReset() leaves the reset to the kernel only on vfio-pci. On other
   * drivers, without FLR, it tries resets that fail if the device is not alone on its bus. */
  if (request->libvirt < VV_LIBVIRT_VERSION (9, 7, 0) && !vv_pci_has_flr (device))
    return g_strdup_printf ("libvirt %u.%u cannot reliably reset a device without FLR on a driver other than "
                            "vfio-pci; when a domain starts, the hook can move it",
                            major, minor);
  return NULL;
}

/* Returns whether a domain is starting with the device: its hook ran at "prepare" and will run at "start".
 * The hook can make changes that the gate must not make, and libvirt shows the hook's message when the hook
 * refuses the start. If an administrator detached the device before, its state is not VV_STATE_RECORDED. */
static gboolean
domain_starts (const VvEntry *entry)
{
  return entry && entry->domain && !entry->in_use && (entry->state == VV_STATE_RECORDED || entry->requested);
}

/* @start: (out): whether this is the choice that the hook makes at "start". Otherwise, only libvirt's
 * version says how the domain gets the device: libvirt before 12.1 does not support iommufd, later versions
 * may use it. */
static VvChoice *
choose_as_requested (const VvContext *context, const VvHotplugRequest *request, const VvPciDevice *device,
                     const VvEntry *entry, gboolean *start, GError **error)
{
  const VvOptions by_version = {.use = {.iommufd = request->libvirt && request->libvirt < LIBVIRT_IOMMUFD
                                                       ? VV_ANSWER_NO
                                                       : VV_ANSWER_UNKNOWN}};
  g_auto (VvOptions) by_domain = {0};

  /* If QEMU gets the device through iommufd, libvirt opens the device before it runs the hook at "start"
   * (VvHostdev). Therefore the choice of "start" is made here, from the request that the hook recorded at
   * "prepare". */
  *start = entry && domain_starts (entry) && vv_requested_from_text (entry->requested, &by_domain) &&
           by_domain.use.iommufd == VV_ANSWER_YES;
  g_autofree char *whose = *start ? g_strdup_printf ("domain %s", entry->domain) : NULL;
  return vv_choose (context, device, entry, request->before.driver, *start ? &by_domain : &by_version, whose,
                    error);
}

/* Keeps the driver that libvirt chose if the policy allows it. If the policy excludes it, another driver
 * replaces it, provided that libvirt can continue with another driver. Otherwise libvirt's driver is kept. A
 * strict policy refuses it instead, unless a domain is starting. @kept: (out): why libvirt's driver is
 * kept */
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
    /* not an explicit choice: this libvirt has no other driver */
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

/* Records the host driver before any candidate is tried, because libvirt takes the device in any case.
 * vv_binding_detach() saves the entry. */
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

/* Restores the state of the device before libvirt changed it. Keeps the entry only if it says that the
 * device was detached to the driver that it was on: an administrator had detached it. */
static gboolean
undo (const VvHotplugRequest *request, VvBinding *b, const VvEntry *entry, const char *why, GError **error)
{
  gboolean was_away = entry && entry->state == VV_STATE_DETACHED && entry->vfio_driver &&
                      g_strcmp0 (entry->vfio_driver, request->before.driver) == 0;

  return vv_binding_undo (b, &request->before, was_away ? entry : NULL, why, error);
}

/* If a domain is starting, the gate allows the open. The hook refuses the domain at "start", because libvirt
 * shows the hook's message. In all other cases the gate denies the open, and the device is restored here.
 * libvirt does not reattach it: virHostdevPreparePCIDevicesImpl() reattaches only devices for which
 * virPCIDeviceDetach() succeeded. */
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
  vv_binding_tell (b); /* log the change before its reason */
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

/* --- rescue after a death of libvirt --- */

/* Returns whether libvirt has begun to move the device, and no process has continued. libvirt first changes
 * driver_override while the device is still on its driver, then unbinds the device. */
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

/* Does not read driver_override (vv_pci_device_look()). The gate would have to answer that open, and the
 * kernel may block the read until the unbind ends. This function runs during the unbind. */
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
    return 0; /* a reattach */
  g_autofree char *kept = start ? NULL : why_keep (request, device, VV_GENERIC_DRIVER, &could_fail);
  if (kept)
    return 0; /* libvirt has loaded the module of the driver that it chose */
  gint64 begun = g_get_monotonic_time ();
  vv_binding_load_ahead (context, choice, NULL);
  return g_get_monotonic_time () - begun;
}
