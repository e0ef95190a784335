/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "binding-steps.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "counters.h"

#define REGISTERING_LIMIT_US (30 * G_USEC_PER_SEC)
#define REGISTERING_LOOK_US 5000

void
vv_binding_assign (char **field, const char *value)
{
  char *old = *field;

  *field = g_strdup (value);
  g_free (old);
}

/* --- opening and closing --- */

VvBinding *
vv_binding_new (const VvContext *context, const char *address, VvLock *lock, GError **error)
{
  g_autoptr (VvBinding) b = g_new0 (VvBinding, 1);
  g_autoptr (GError) damaged = NULL;

  b->context = context;
  b->lock = lock;
  b->device = vv_pci_device_open (context->host, address, error);
  if (!b->device)
    return NULL;
  b->entry = vv_state_store_load (context->store, address, &damaged);
  if (damaged) {
    g_propagate_error (error, g_steal_pointer (&damaged));
    return NULL;
  }
  /* The entry belongs to another device that had this address. */
  if (b->entry && !vv_same (b->entry->modalias, b->device->modalias) && !vv_binding_forget (b, error))
    return NULL;
  return g_steal_pointer (&b);
}

static void
tell_change (const VvContext *context, const VvChange *change)
{
  vv_change_log (change);
  vv_counters_add (context->store, change);
}

void
vv_binding_tell (VvBinding *b)
{
  if (b->change && b->lock)
    tell_change (b->context, b->change);
  g_clear_pointer (&b->change, vv_change_free);
}

VvChange *
vv_binding_close (VvBinding *b)
{
  if (!b)
    return NULL;
  gboolean dry_run = !b->lock;
  VvChange *change = b->change;
  g_clear_pointer (&b->lock, vv_lock_free); /* do not wait for the counters' lock with this lock */
  if (change && !dry_run)
    tell_change (b->context, change);
  vv_pci_device_free (b->device);
  vv_entry_free (b->entry);
  g_free (b);
  return change;
}

void
vv_binding_free (VvBinding *b)
{
  vv_change_free (vv_binding_close (b));
}

void
vv_binding_record (VvBinding *b, const VvDriverState *host)
{
  if (b->entry)
    return;
  b->entry = vv_entry_new (b->device->address, b->device->modalias);
  b->entry->host_known = host != NULL;
  if (host)
    b->entry->host = vv_driver_state_copy (host);
}

gboolean
vv_binding_save (VvBinding *b, GError **error)
{
  VvPhase before = vv_phase_timer_enter (b->deadline.timer, VV_PHASE_STATE);
  gboolean done = !b->lock || vv_state_store_save (b->context->store, b->entry, error);

  vv_phase_timer_enter (b->deadline.timer, before);
  return done;
}

void
vv_binding_set_detached (VvBinding *b)
{
  b->entry->state = VV_STATE_DETACHED;
  vv_binding_assign (&b->entry->vfio_driver, b->device->now.driver);
}

gboolean
vv_binding_forget (VvBinding *b, GError **error)
{
  VvPhase before = vv_phase_timer_enter (b->deadline.timer, VV_PHASE_STATE);
  gboolean done = !b->lock || vv_state_store_drop (b->context->store, b->device->address, error);

  g_clear_pointer (&b->entry, vv_entry_free);
  vv_phase_timer_enter (b->deadline.timer, before);
  return done;
}

/* --- the record --- */

void
vv_binding_begin (VvBinding *b, VvOperation operation)
{
  vv_binding_tell (b);
  b->change = vv_change_new (b->device->address, operation, b->seen_on ? b->seen_on : b->device->now.driver);
  b->change->domain = g_strdup (b->entry ? b->entry->domain : NULL);
  b->begun = g_get_monotonic_time ();
}

gboolean
vv_binding_end (VvBinding *b, const char *why, GError *problem, GError **error)
{
  VvChange *change = b->change;

  change->to = g_strdup (b->device->now.driver);
  change->usec = g_get_monotonic_time () - b->begun;
  if (!change->why)
    change->why = g_strdup (why);
  if (!problem)
    return TRUE;
  change->problem = g_error_copy (problem);
  g_propagate_error (error, problem);
  return FALSE;
}

gboolean
vv_binding_vanished (VvBinding *b, GError **error)
{
  return b->lock && !vv_pci_device_reload (b->device, error);
}

/* --- writing --- */

static void
tell_touched (VvBinding *b, gboolean touched)
{
  if (b->deadline.touched && b->is_touched != touched)
    b->deadline.touched (touched, b->deadline.data);
  b->is_touched = touched;
}

void
vv_step_untouched (VvBinding *b)
{
  tell_touched (b, FALSE);
}

static gboolean
step_write (VvBinding *b, const VvDir *dir, const char *path, const char *value, GError **error)
{
  g_autofree char *name = vv_io_name (dir, path);
  gboolean clear = strcmp (value, VV_NO_OVERRIDE) == 0;

  g_ptr_array_add (b->change->steps,
                   g_strdup_printf ("echo %s%s> %s", clear ? "" : value, clear ? "" : " ", name));
  if (!b->lock)
    return TRUE;
  tell_touched (b, TRUE);
  VvPhase before = vv_phase_timer_enter (b->deadline.timer, VV_PHASE_BIND);
  gboolean done = vv_io_write (dir, path, value, error);
  vv_phase_timer_enter (b->deadline.timer, before);
  return done;
}

gboolean
vv_step_load (VvBinding *b, const char *module, GError **error)
{
  g_ptr_array_add (b->change->steps, g_strdup_printf ("modprobe %s", module));
  if (!b->lock)
    return TRUE;
  VvPhase before = vv_phase_timer_enter (b->deadline.timer, VV_PHASE_MODULE);
  gboolean done = vv_modules_load (b->context->modules, module, error);
  vv_phase_timer_enter (b->deadline.timer, before);
  return done;
}

gboolean
vv_step_override (VvBinding *b, const char *override, GError **error)
{
  if (vv_same (b->device->now.override, override))
    return TRUE;
  if (!step_write (b, b->device->dir, "driver_override", override ? override : VV_NO_OVERRIDE, error))
    return FALSE;
  vv_binding_assign (&b->device->now.override, override);
  return TRUE;
}

static char *
driver_file (const char *driver, const char *file)
{
  return g_build_filename ("bus/pci/drivers", driver, file, NULL);
}

gboolean
vv_driver_registered (const VvHost *host, const char *driver)
{
  g_autofree char *path = driver_file (driver, "bind");

  return vv_io_exists (host->sys, path);
}

/* A driver whose module is being loaded binds devices before its files exist. The kernel creates "uevent"
 * after that, and "bind" and "unbind", if the driver has them, after "uevent" (bus_add_driver() in
 * drivers/base/bus.c). */
static void
wait_for_files (const VvBinding *b, const char *driver, const char *unbind)
{
  g_autofree char *folder = driver_file (driver, NULL);
  g_autofree char *uevent = driver_file (driver, "uevent");
  gint64 end = g_get_monotonic_time () + REGISTERING_LIMIT_US;
  gboolean last = FALSE;

  if (b->deadline.until)
    end = MIN (end, b->deadline.until);
  while (!vv_io_exists (b->context->host->sys, unbind) && !last) {
    last = !vv_io_exists (b->context->host->sys, folder) || vv_io_exists (b->context->host->sys, uevent) ||
           g_get_monotonic_time () >= end;
    g_usleep (REGISTERING_LOOK_US);
  }
}

gboolean
vv_step_unbind (VvBinding *b, GError **error)
{
  if (!b->device->now.driver)
    return TRUE;
  g_autofree char *path = driver_file (b->device->now.driver, "unbind");
  g_autoptr (GError) problem = NULL;
  if (b->lock && !vv_io_exists (b->context->host->sys, path))
    wait_for_files (b, b->device->now.driver, path);
  if (!step_write (b, b->context->host->sys, path, b->device->address, &problem)) {
    /* ENODEV: the driver has released the device itself, like nvme does when it cannot start it. */
    if (!g_error_matches (problem, VV_ERROR, VV_ERROR_NO_DEVICE) ||
        !vv_pci_device_reload_driver (b->device, NULL) || b->device->now.driver) {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  }
  vv_binding_assign (&b->device->now.driver, NULL);
  vv_binding_assign (&b->device->vfio_dev, NULL);
  return TRUE;
}

gboolean
vv_step_bind (VvBinding *b, const char *driver, GError **error)
{
  g_autofree char *path = driver_file (driver, "bind");

  if (!step_write (b, b->context->host->sys, path, b->device->address, error))
    return FALSE;
  if (!b->lock) {
    vv_binding_assign (&b->device->now.driver, driver);
    return TRUE;
  }
  if (!vv_pci_device_reload_driver (b->device, error))
    return FALSE;
  if (!vv_same (b->device->now.driver, driver)) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("the kernel accepted the bind to %s, but the device is on %s"), driver,
                 b->device->now.driver ? b->device->now.driver : _ ("no driver"));
    return FALSE;
  }
  return TRUE;
}

gboolean
vv_step_probe (VvBinding *b, GError **error)
{
  return step_write (b, b->context->host->sys, "bus/pci/drivers_probe", b->device->address, error) &&
         !vv_binding_vanished (b, error);
}

/* --- the node-device hook point --- */

gboolean
vv_step_hooks (VvBinding *b, VvOperation operation, const char *sub_operation, const char *driver,
               GError **error)
{
  if (!b->lock || !b->context->hooks)
    return TRUE;
  VvPhase before = vv_phase_timer_enter (b->deadline.timer, VV_PHASE_SCRIPT);
  gboolean done = vv_nodedev_hooks_run (b->context->hooks, b->device, operation, sub_operation, driver,
                                        b->deadline.until, error);
  vv_phase_timer_enter (b->deadline.timer, before);
  return done;
}

void
vv_binding_tell_hooks (VvBinding *b, VvOperation operation, const char *sub_operation, const char *driver)
{
  g_autoptr (GError) problem = NULL;

  if (!vv_step_hooks (b, operation, sub_operation, driver, &problem))
    g_warning ("%s, %s %s: %s", b->device->address, vv_operation_name (operation), sub_operation,
               problem->message);
}

/* --- settle --- */

/* Binds the driver by its IDs or, if it was bound by a driver_override that is no longer set, by its name. */
static gboolean
bind_host_driver (VvBinding *b, const char *driver, const char *override, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (!vv_step_override (b, override, error))
    return FALSE;
  if (vv_step_bind (b, driver, &local))
    return TRUE;
  if (vv_same (override, driver) || !g_error_matches (local, VV_ERROR, VV_ERROR_NO_DEVICE) ||
      vv_binding_vanished (b, NULL)) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  return vv_step_override (b, driver, error) && vv_step_bind (b, driver, error) &&
         vv_step_override (b, override, error);
}

gboolean
vv_settle (VvBinding *b, const VvDriverState *state, GError **error)
{
  const char *driver = state->driver;

  if (driver && state->module && !vv_driver_registered (b->context->host, driver)) {
    if (!vv_step_load (b, state->module, error) || vv_binding_vanished (b, error))
      return FALSE; /* a driver that registers may bind this device at once */
  }
  if (vv_same (b->device->now.driver, driver))
    return vv_step_override (b, state->override, error);
  if (!vv_step_unbind (b, error))
    return FALSE;
  if (!driver &&
      b->change->operation == VV_DETACH) /* reverting the detach of a device that was without a driver */
    return vv_step_override (b, state->override, error);
  /* The scripts see a detach only for a driver that is known to be a VFIO driver: vfio-pci, or that of the
   * entry. */
  gboolean to_vfio = driver && (vv_same (driver, VV_GENERIC_DRIVER) ||
                                (b->entry && vv_same (driver, b->entry->vfio_driver)));
  VvOperation operation = to_vfio ? VV_DETACH : VV_REATTACH;
  vv_binding_tell_hooks (b, operation, "begin", driver);
  if (!(driver ? bind_host_driver (b, driver, state->override, error)
               : vv_step_override (b, state->override, error)))
    return FALSE;
  vv_binding_tell_hooks (b, operation, "end", driver);
  return TRUE;
}
