/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "binding.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "binding-steps.h"
#include "in-use.h"
#include "recovery.h"

#define LOCK_TIMEOUT_MS 30000
#define UNKNOWN_DRIVER "$driver" /* in the steps of a dry run: the driver of a module that is not loaded */

/* --- opening --- */

VvBinding *
vv_binding_open (const VvContext *context, const char *address, gboolean dry_run, GError **error)
{
  VvLock *lock = dry_run ? NULL : vv_state_store_lock (context->store, address, LOCK_TIMEOUT_MS, error);

  vv_context_goes_on (context);
  return lock || dry_run ? vv_recover_device (context, address, lock, error) : NULL;
}

VvBinding *
vv_binding_open_between (const VvContext *context, const char *address, const char *seen_on,
                         const VvDeadline *deadline, GError **error)
{
  gint64 left = MAX (deadline->until - g_get_monotonic_time (), 0) / G_TIME_SPAN_MILLISECOND;
  VvLock *lock = vv_state_store_lock (context->store, address, MIN (left, LOCK_TIMEOUT_MS), error);
  VvBinding *b = lock ? vv_binding_new (context, address, lock, error) : NULL;

  if (b) {
    b->deadline = *deadline;
    b->seen_on = seen_on;
  }
  return b;
}

void
vv_binding_expect_new (VvBinding *b)
{
  b->is_new = !b->device->now.driver && !b->device->now.override;
}

void
vv_binding_note (VvBinding *b)
{
  gboolean is_first = !b->entry;

  vv_binding_record (b, &b->device->now);
  if (is_first && b->is_new)
    b->entry->host_known = vv_new_device_is_left_alone (b->device);
}

gboolean
vv_binding_is_restored (const VvBinding *b)
{
  return b->entry && b->entry->host_known && vv_driver_state_equal (&b->entry->host, &b->device->now);
}

gboolean
vv_binding_is_stale (const VvBinding *b, const VvDriverState *was, gboolean was_on_vfio)
{
  const VvEntry *e = b->entry;

  return e && !was_on_vfio &&
         (e->state != VV_STATE_RECORDED || !e->host_known || !vv_driver_state_equal (&e->host, was));
}

/* --- detach --- */

static gboolean
refuse_in_use (const VvBinding *b, GError **error)
{
  /* Only a device with a driver can be in use through VFIO. Scanning /proc is expensive. */
  g_autofree char *user = b->device->now.driver ? vv_vfio_user (b->context->host, b->device) : NULL;

  if (user)
    g_set_error (
        error, VV_ERROR, VV_ERROR_REFUSED,
        _ ("%s: IOMMU group %s is in use by %s; shut that guest down or detach the device from it first"),
        b->device->address, b->device->iommu_group, user);
  return user != NULL;
}

/* vfio-dev/ exists since Linux 6.1. On older kernels, only the driver link can be verified. */
static gboolean
verify_vfio (VvBinding *b, GError **error)
{
  if (!b->lock || b->device->vfio_dev || !vv_io_exists (b->context->host->sys, "class/vfio-dev"))
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("%s bound the device but did not create a VFIO device"),
               b->device->now.driver);
  return FALSE;
}

gboolean
vv_on_vfio (const VvHost *host, const VvPciDevice *device, const VvChoice *choice)
{
  return device->vfio_dev || vv_choice_has_driver (host, choice, device->now.driver, device->now.module);
}

/* Returns NULL if the module must be loaded first. */
static char *
registered_driver (const VvHost *host, const VvCandidate *c)
{
  g_autofree char *driver = vv_candidate_driver (host, c);

  return driver && vv_driver_registered (host, driver) ? g_steal_pointer (&driver) : NULL;
}

/* Returns the candidate's driver, after loading its module. In a dry run, uses a placeholder for the driver
 * of a module that is not loaded. */
static char *
ready_driver (VvBinding *b, const VvCandidate *c, const char **step, GError **error)
{
  g_autofree char *known = registered_driver (b->context->host, c);

  if (known)
    return g_steal_pointer (&known);
  *step = "load";
  if (!vv_step_load (b, c->module, error))
    return NULL;
  *step = "driver";
  g_autofree char *driver = vv_candidate_driver (b->context->host, c);
  if (!driver && !b->lock) {
    g_ptr_array_add (
        b->change->steps,
        g_strdup_printf ("driver=$(ls /sys/module/%s/drivers | sed -n 's/^pci://p')", c->module));
    return g_strdup (UNKNOWN_DRIVER);
  }
  if (!driver)
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND, _ ("module %s registers no PCI driver"), c->module);
  return g_steal_pointer (&driver);
}

gboolean
vv_binding_load_ahead (const VvContext *context, const VvChoice *choice, GError **error)
{
  g_autoptr (GError) first = NULL;

  for (guint i = 0; i < choice->candidates->len; i++) {
    const VvCandidate *c = choice->candidates->pdata[i];
    g_autofree char *driver = registered_driver (context->host, c);
    if (driver || vv_modules_load (context->modules, c->module, first ? NULL : &first))
      return TRUE;
  }
  if (first)
    g_propagate_error (error, g_steal_pointer (&first));
  else
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND, _ ("no VFIO driver is available"));
  return FALSE;
}

/* The entry is reliable here, because a detach writes its state first. */
void
vv_binding_reset_override (const VvContext *context, const char *address)
{
  g_autoptr (VvPciDevice) device = vv_pci_device_open (context->host, address, NULL);
  g_autoptr (VvEntry) entry = vv_state_store_load (context->store, address, NULL);
  gboolean detaching = entry && entry->state == VV_STATE_DETACHING;

  if (device && !device->now.driver && device->now.override)
    vv_io_write (device->dir, "driver_override", detaching ? VV_GENERIC_DRIVER : VV_NO_OVERRIDE, NULL);
}

/* Called after a failed bind. A host driver that was probing the device may have bound it, or the kernel may
 * not have been ready to bind a new device. Returns: whether to bind once more. One retry is enough, because
 * since driver_override was written, no other driver matches. */
static gboolean
may_bind_again (VvBinding *b, const GError *lost)
{
  gboolean was_early = b->is_new && g_error_matches (lost, VV_ERROR, VV_ERROR_NO_DEVICE);

  if (was_early)
    vv_new_device_wait_tried (b->device);
  return vv_pci_device_reload_driver (b->device, NULL) && (b->device->now.driver || was_early);
}

static gboolean
try_candidate (VvBinding *b, const VvCandidate *c, const char **step, GError **error)
{
  g_autofree char *driver = ready_driver (b, c, step, error);
  g_autofree char *override = g_strdup (b->device->now.override);
  g_autoptr (GError) lost = NULL;

  if (!driver)
    return FALSE;
  if (vv_same (driver, b->device->now.driver)) {
    *step = "verify";
    return verify_vfio (b, error);
  }
  *step = "override"; /* before the unbind: a host driver that loads now must not bind the device */
  if (!vv_step_override (b, driver, error))
    return FALSE;
  *step = "unbind";
  if (!vv_step_unbind (b, error)) {
    vv_step_override (b, override, NULL); /* still bound: its driver may be the next candidate */
    return FALSE;
  }
  *step = "hook";
  if (!vv_step_hooks (b, VV_DETACH, "begin", driver, error))
    return FALSE;
  *step = "bind";
  if (!vv_step_bind (b, driver, &lost)) {
    if (!may_bind_again (b, lost)) {
      g_propagate_error (error, g_steal_pointer (&lost));
      return FALSE;
    }
    /* The kernel may already have bound the driver that driver_override names. */
    if (!vv_same (b->device->now.driver, driver) &&
        (!vv_step_unbind (b, error) || !vv_step_bind (b, driver, error)))
      return FALSE;
  }
  *step = "verify";
  if (!verify_vfio (b, error))
    return FALSE;
  vv_binding_tell_hooks (b, VV_DETACH, "end", driver);
  return TRUE;
}

/* Tries the generic driver even after the deadline: without it, the caller would only have the candidate that
 * has just failed. */
static gboolean
in_time (const VvBinding *b, const VvCandidate *c, const char **step, GError **error)
{
  if (!b->deadline.until || g_get_monotonic_time () < b->deadline.until ||
      vv_same (c->module, VV_GENERIC_MODULE))
    return TRUE;
  *step = "deadline";
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("not tried: the deadline has passed"));
  return FALSE;
}

static void
explain (VvChange *change, const VvCandidate *c, const VvChoice *choice)
{
  change->alias = g_strdup (c->alias);
  change->wildcards = c->wildcards;
  change->source = vv_source_name (c->source);
  if (c->alias)
    change->why = g_strdup_printf (
        g_dngettext (GETTEXT_PACKAGE, "%s, %u wildcard, %s", "%s, %u wildcards, %s", c->wildcards), c->alias,
        c->wildcards, change->source);
  else if (c->source == VV_SOURCE_FORCED)
    change->why = g_strdup (_ ("requested by name"));
  else
    change->why = g_strdup (_ ("generic driver; no alias matches"));
  if (choice->file || choice->whose) {
    g_autofree char *why = change->why;
    g_autofree char *rule = vv_choice_rule (choice);
    change->why = g_strdup_printf ("%s; %s", why, rule);
  }
}

/* Returns: whether the device was unplugged during the operation; if so, removes its entry */
static gboolean
went_away (VvBinding *b, const char *what, const char *why, GError **error)
{
  if (!vv_binding_vanished (b, NULL))
    return FALSE;
  vv_binding_forget (b, NULL);
  g_set_error (error, VV_ERROR, VV_ERROR_NO_DEVICE, _ ("%s disappeared during the %s: %s"),
               b->device->address, what, why);
  return TRUE;
}

static gboolean
let_kernel_choose (VvBinding *b, GError **error)
{
  vv_binding_tell_hooks (b, VV_REATTACH, "begin", NULL);
  if (!vv_step_probe (b, error))
    return FALSE;
  vv_binding_tell_hooks (b, VV_REATTACH, "end", b->device->now.driver);
  return TRUE;
}

/* @entry: (transfer full) (nullable): the former entry. If it cannot be written, the state store keeps state
 * "detaching", and recovery finds the device on its host driver. */
static void
put_entry_back (VvBinding *b, VvEntry *entry)
{
  if (!entry) {
    vv_binding_forget (b, NULL);
    return;
  }
  vv_entry_free (b->entry);
  b->entry = entry;
  vv_binding_save (b, NULL);
}

/* All candidates of @choice failed, or there are none: restores the state that the device had at the call. */
static void
roll_back (VvBinding *b, const VvChoice *choice, const VvDriverState *before, VvEntry **entry_before,
           GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *failed =
      choice->candidates->len ? vv_change_attempts (b->change) : vv_choice_why_none (choice);
  const char *device = b->device->address;

  if (went_away (b, "detach", failed, error))
    return;
  if (!vv_settle (b, before, &problem) || /* a new device would not have stayed without a driver */
      (!before->driver && b->is_new && !let_kernel_choose (b, &problem))) {
    if (went_away (b, "detach", failed, error))
      return;
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("%s: no VFIO driver could be bound: %s; returning it to %s failed: %s; the state file is "
                    "kept: 'vfio-variant restore %s' tries again"),
                 device, failed, before->driver ? before->driver : _ ("its former state"), problem->message,
                 device);
    return; /* the entry stays in state detaching; the next vfio-variant process tries again */
  }
  put_entry_back (b, g_steal_pointer (entry_before));
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("%s: no VFIO driver could be bound, returned to %s: %s"),
               device, b->device->now.driver ? b->device->now.driver : _ ("no driver"), failed);
}

/* Whether the device is on a vendor's own VFIO driver, like nvidia for vGPU virtual functions (rule R8) */
static gboolean
is_vendor_vfio (const VvBinding *b, const VvChoice *choice)
{
  const char *driver = b->device->now.driver;

  return b->device->vfio_dev &&
         !vv_choice_has_driver (b->context->host, choice, driver, b->device->now.module) &&
         !vv_same (driver, VV_GENERIC_DRIVER) && !(b->entry && vv_same (driver, b->entry->vfio_driver));
}

/* If the entry cannot be saved, recovery finds the device on a VFIO driver, with the same result. */
static void
arrived (VvBinding *b)
{
  vv_binding_set_detached (b);
  vv_binding_save (b, NULL);
}

/* If /run is full, the device is not rebound: its former state would be lost. */
static gboolean
record_detaching (VvBinding *b, VvEntry **entry_before, GError **error)
{
  vv_binding_note (b);
  b->entry->state = VV_STATE_DETACHING;
  if (vv_binding_save (b, error))
    return TRUE;
  g_prefix_error (error, _ ("%s: nothing was changed: cannot write its state file: "), b->device->address);
  vv_entry_free (b->entry);
  b->entry = g_steal_pointer (entry_before);
  return FALSE;
}

/* Returns: (transfer full) (nullable): the driver of the only candidate, or its module if the driver is
 * unknown */
static char *
only_driver (const VvHost *host, const VvChoice *choice)
{
  const VvCandidate *only = choice->candidates->len == 1 ? choice->candidates->pdata[0] : NULL;
  char *driver = only ? vv_candidate_driver (host, only) : NULL;

  return driver || !only ? driver : g_strdup (only->driver ? only->driver : only->module);
}

gboolean
vv_binding_detach (VvBinding *b, const VvChoice *choice, GError **error)
{
  const VvCandidate *on = vv_candidates_find (b->context->host, choice->candidates, b->device->now.driver);
  const VvCandidate *taken = NULL;
  g_autoptr (GError) problem = NULL;

  if (is_vendor_vfio (b, choice))
    return vv_binding_leave (b, VV_DETACH, _ ("already a VFIO device on %s; left alone"),
                             b->device->now.driver);
  if (on && on == choice->candidates->pdata[0] && verify_vfio (b, NULL)) {
    if (b->entry)
      arrived (b);
    return vv_binding_leave (b, VV_DETACH, _ ("already on the best driver"));
  }
  g_auto (VvDriverState) before = vv_driver_state_copy (&b->device->now);
  g_autoptr (VvEntry) entry_before = b->entry ? vv_entry_copy (b->entry) : NULL;
  vv_binding_begin (b, VV_DETACH);
  b->change->wanted = only_driver (b->context->host, choice);
  if ((b->lock && refuse_in_use (b, &problem)) || !record_detaching (b, &entry_before, &problem))
    return vv_binding_end (b, NULL, g_steal_pointer (&problem), error);
  for (guint i = 0; i < choice->candidates->len; i++) {
    const VvCandidate *c = choice->candidates->pdata[i];
    g_autoptr (GError) failure = NULL;
    const char *step = NULL;
    if (in_time (b, c, &step, &failure) && try_candidate (b, c, &step, &failure)) {
      taken = c;
      break;
    }
    vv_change_failed_attempt (b->change, c->module, step, failure);
    if (vv_binding_vanished (b, NULL))
      break;
    /* A device that had no driver at the call gets its former state again before the next module is loaded.
     * From then on, the gate can release libvirt at any time. */
    if (!before.driver && vv_settle (b, &before, NULL))
      vv_step_untouched (b);
  }
  if (taken) {
    explain (b->change, taken, choice);
    b->change->changed = !vv_same (b->device->now.driver, before.driver);
    arrived (b);
  } else {
    roll_back (b, choice, &before, &entry_before, &problem);
  }
  gboolean done = vv_binding_end (b, NULL, g_steal_pointer (&problem), error);
  if (vv_same (b->change->to, UNKNOWN_DRIVER))
    g_clear_pointer (&b->change->to, g_free);
  return done;
}

gboolean
vv_binding_leave (VvBinding *b, VvOperation operation, const char *format, ...)
{
  va_list args;

  vv_binding_begin (b, operation);
  va_start (args, format);
  b->change->why = g_strdup_vprintf (format, args);
  va_end (args);
  return vv_binding_end (b, NULL, NULL, NULL);
}

gboolean
vv_binding_undo (VvBinding *b, const VvDriverState *before, const VvEntry *entry, const char *why,
                 GError **error)
{
  g_autoptr (GError) problem = NULL;

  b->seen_on = NULL; /* the device has had another driver since */
  vv_binding_begin (b, VV_REATTACH);
  vv_binding_record (b, before);
  b->entry->state = VV_STATE_DETACHING;
  vv_binding_save (b, NULL); /* a full /run must not prevent the restore */
  if (!vv_settle (b, before, &problem)) {
    g_prefix_error (&problem, _ ("%s: cannot return to %s: "), b->device->address,
                    before->driver ? before->driver : _ ("its former state"));
    return vv_binding_end (b, why, g_steal_pointer (&problem), error);
  }
  b->change->changed = TRUE;
  put_entry_back (b, entry ? vv_entry_copy (entry) : NULL);
  return vv_binding_end (b, why, NULL, error);
}

/* --- reattach --- */

/* The host driver is unknown. A device without driver_override, on a driver other than vfio-pci, counts as
 * not detached. */
static gboolean
reattach_unknown (VvBinding *b, const VvDriverState *before, const char **why, GError **error)
{
  VvPciDevice *d = b->device;

  *why = b->entry ? _ ("its host driver was unknown: driver_override cleared, the kernel chose a driver")
                  : _ ("no state file: driver_override cleared, the kernel chose a driver");
  if (d->now.driver && !d->now.override && !vv_same (d->now.driver, VV_GENERIC_DRIVER)) {
    b->change->why = g_strdup_printf (_ ("nothing to restore: on %s without driver_override"), d->now.driver);
  } else if (vv_step_override (b, NULL, error) && vv_step_unbind (b, error) && let_kernel_choose (b, error)) {
    b->change->changed = TRUE;
  } else {
    vv_settle (b, before, NULL); /* do not leave the device without a driver */
    return FALSE;
  }
  if (b->entry)
    vv_binding_forget (b, NULL);
  return TRUE;
}

/* The host driver cannot be restored: returns the device to its former VFIO driver, rather than to none. */
static void
stay_away (VvBinding *b, const VvDriverState *before, const GError *problem, GError **error)
{
  const char *host_driver = b->entry->host.driver ? b->entry->host.driver : _ ("no driver");
  g_autoptr (GError) worse = NULL;

  if (went_away (b, "reattach", problem->message, error))
    return;
  if (vv_settle (b, before, &worse)) {
    b->entry->state = VV_STATE_DETACHED;
    vv_binding_save (b, NULL);
  } else if (went_away (b, "reattach", problem->message, error)) {
    return;
  } /* otherwise the entry stays in state reattaching; the next vfio-variant process tries again */
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               _ ("%s: cannot return to %s: %s; it is now on %s%s%s; the state file is kept: fix the cause "
                  "and run 'vfio-variant restore %s'"),
               b->device->address, host_driver, problem->message,
               b->device->now.driver ? b->device->now.driver : _ ("no driver"), worse ? ": " : "",
               worse ? worse->message : "", b->device->address);
}

static gboolean
reattach (VvBinding *b, const VvDriverState *before, const char **why, GError **error)
{
  gboolean restored = vv_binding_is_restored (b);
  g_autoptr (GError) problem = NULL;

  *why = restored ? _ ("already on its host driver") : _ ("as recorded in its state file");
  vv_binding_assign (&b->change->wanted, b->entry->host.driver);
  b->entry->state = VV_STATE_REATTACHING;
  if (!restored)
    vv_binding_save (
        b, NULL); /* a full /run must not prevent the restore; the old entry still has the host driver */
  if (!vv_settle (b, &b->entry->host, &problem)) {
    stay_away (b, before, problem, error);
    return FALSE;
  }
  vv_binding_forget (
      b, NULL); /* if this fails, the next open finds the device on its host driver, and removes the entry */
  b->change->changed = !restored;
  return TRUE;
}

gboolean
vv_binding_reattach (VvBinding *b, GError **error)
{
  g_auto (VvDriverState) before = vv_driver_state_copy (&b->device->now);
  g_autoptr (GError) problem = NULL;
  const char *why = NULL;

  vv_binding_begin (b, VV_REATTACH);
  if (b->lock && refuse_in_use (b, &problem))
    return vv_binding_end (b, NULL, g_steal_pointer (&problem), error);
  if (b->entry && b->entry->host_known)
    reattach (b, &before, &why, &problem);
  else
    reattach_unknown (b, &before, &why, &problem);
  return vv_binding_end (b, why, g_steal_pointer (&problem), error);
}
