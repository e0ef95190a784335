/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "binding.h"

#include <string.h>

#include "in-use.h"

#define LOCK_TIMEOUT_MS 30000
#define UNKNOWN_DRIVER "$driver" /* in the steps of a dry run: the driver of a module that is not loaded */
#define CLEARED "\n"             /* an empty write is not passed on by the kernel */

static gboolean recover (VvBinding *b, GError **error);

static gboolean
same (const char *a, const char *b)
{
  return g_strcmp0 (a, b) == 0;
}

static void
assign (char **field, const char *value)
{
  char *old = *field;

  *field = g_strdup (value);
  g_free (old);
}

/* --- opening and closing --- */

/* Another device came to the address: what is written there is not about this one. */
static gboolean
drop_foreign_entry (VvBinding *b, GError **error)
{
  if (!b->entry || same (b->entry->modalias, b->device->modalias))
    return TRUE;
  if (b->dry_run) {
    g_clear_pointer (&b->entry, vv_entry_free);
    return TRUE;
  }
  return vv_binding_forget (b, error);
}

VvBinding *
vv_binding_open (const VvHost *host, VvModules *modules, VvJournal *journal, const char *address,
                 gboolean dry_run, GError **error)
{
  g_autoptr (VvBinding) b = g_new0 (VvBinding, 1);
  g_autoptr (GError) local = NULL;

  b->host = host;
  b->modules = modules;
  b->journal = journal;
  b->dry_run = dry_run;
  if (!dry_run) {
    b->lock = vv_journal_lock (journal, address, LOCK_TIMEOUT_MS, error);
    if (!b->lock)
      return NULL;
  }
  b->device = vv_pci_device_open (host, address, error);
  if (!b->device)
    return NULL;
  b->entry = vv_journal_load (journal, address, &local);
  if (local) {
    g_propagate_error (error, g_steal_pointer (&local));
    return NULL;
  }
  if (!drop_foreign_entry (b, error) || !recover (b, error))
    return NULL;
  return g_steal_pointer (&b);
}

void
vv_binding_free (VvBinding *b)
{
  if (!b)
    return;
  vv_pci_device_free (b->device);
  vv_entry_free (b->entry);
  vv_change_free (b->recovered);
  vv_change_free (b->change);
  vv_lock_free (b->lock);
  g_free (b);
}

void
vv_binding_note (VvBinding *b)
{
  if (b->entry)
    return;
  b->entry = vv_entry_new (b->device->address, b->device->modalias);
  b->entry->home_known = TRUE;
  b->entry->home_driver = g_strdup (b->device->driver);
  b->entry->home_module = g_strdup (b->device->driver_module);
  b->entry->home_override = g_strdup (b->device->driver_override);
}

gboolean
vv_binding_save (VvBinding *b, GError **error)
{
  return b->dry_run || vv_journal_store (b->journal, b->entry, error);
}

gboolean
vv_binding_forget (VvBinding *b, GError **error)
{
  g_clear_pointer (&b->entry, vv_entry_free);
  return b->dry_run || vv_journal_drop (b->journal, b->device->address, error);
}

gboolean
vv_binding_is_home (const VvBinding *b)
{
  return b->entry && b->entry->home_known && same (b->device->driver, b->entry->home_driver) &&
         same (b->device->driver_override, b->entry->home_override);
}

/* --- single steps: each is recorded, done unless this is a dry run, and reflected in b->device --- */

static gboolean
step_write (VvBinding *b, const VvDir *dir, const char *path, const char *value, GError **error)
{
  g_autofree char *name = vv_io_name (dir, path);
  gboolean clear = strcmp (value, CLEARED) == 0;

  g_ptr_array_add (b->change->steps,
                   g_strdup_printf ("echo %s%s> %s", clear ? "" : value, clear ? "" : " ", name));
  return b->dry_run || vv_io_write (dir, path, value, error);
}

static gboolean
step_load (VvBinding *b, const char *module, GError **error)
{
  g_ptr_array_add (b->change->steps, g_strdup_printf ("modprobe %s", module));
  return b->dry_run || vv_modules_load (b->modules, module, error);
}

static gboolean
step_override (VvBinding *b, const char *override, GError **error)
{
  if (same (b->device->driver_override, override))
    return TRUE;
  if (!step_write (b, b->device->dir, "driver_override", override ? override : CLEARED, error))
    return FALSE;
  assign (&b->device->driver_override, override);
  return TRUE;
}

static char *
driver_file (const char *driver, const char *file)
{
  return g_build_filename ("bus/pci/drivers", driver, file, NULL);
}

static gboolean
step_unbind (VvBinding *b, GError **error)
{
  if (!b->device->driver)
    return TRUE;
  g_autofree char *path = driver_file (b->device->driver, "unbind");
  if (!step_write (b, b->host->sys, path, b->device->address, error))
    return FALSE;
  assign (&b->device->driver, NULL);
  assign (&b->device->vfio_dev, NULL);
  return TRUE;
}

/* Binds and looks whether the device really is where it was sent. */
static gboolean
step_bind (VvBinding *b, const char *driver, GError **error)
{
  g_autofree char *path = driver_file (driver, "bind");

  if (!step_write (b, b->host->sys, path, b->device->address, error))
    return FALSE;
  if (b->dry_run) {
    assign (&b->device->driver, driver);
    return TRUE;
  }
  if (!vv_pci_device_reload (b->device, error))
    return FALSE;
  if (!same (b->device->driver, driver)) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 "the kernel accepted the bind to %s, but the device is on %s", driver,
                 b->device->driver ? b->device->driver : "no driver");
    return FALSE;
  }
  return TRUE;
}

static gboolean
driver_registered (const VvBinding *b, const char *driver)
{
  g_autofree char *path = driver_file (driver, "bind");

  return vv_io_exists (b->host->sys, path);
}

/* Whether @b's device went away: then nothing can be done for it, nor undone. */
static gboolean
vanished (VvBinding *b, GError **error)
{
  return !b->dry_run && !vv_pci_device_reload (b->device, error);
}

/* --- to a known place: rollback, restore, recovery --- */

/* The driver binds by its own ids, or, when it had been bound by an override that is set no more, by its
 * name. */
static gboolean
bind_home (VvBinding *b, const char *driver, const char *override, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (!step_override (b, override, error))
    return FALSE;
  if (step_bind (b, driver, &local))
    return TRUE;
  if (same (override, driver) || !g_error_matches (local, VV_ERROR, VV_ERROR_NO_DEVICE) ||
      vanished (b, NULL)) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  return step_override (b, driver, error) && step_bind (b, driver, error) &&
         step_override (b, override, error);
}

/* Brings the device onto exactly @driver (NULL: none) with exactly @override (NULL: not set). */
static gboolean
settle (VvBinding *b, const char *driver, const char *module, const char *override, GError **error)
{
  if (driver && module && !driver_registered (b, driver)) {
    if (!step_load (b, module, error) || vanished (b, error))
      return FALSE; /* a driver that arrives takes the devices that wait for it, perhaps this one */
  }
  if (same (b->device->driver, driver))
    return step_override (b, override, error);
  if (!step_unbind (b, error))
    return FALSE;
  return driver ? bind_home (b, driver, override, error) : step_override (b, override, error);
}

/* --- detach --- */

static gboolean
refuse_in_use (const VvBinding *b, GError **error)
{
  g_autofree char *user = vv_vfio_user (b->host, b->device);

  if (user)
    g_set_error (
        error, VV_ERROR, VV_ERROR_REFUSED,
        "%s: IOMMU group %s is in use by %s; shut that guest down or detach the device from it first",
        b->device->address, b->device->iommu_group, user);
  return user != NULL;
}

static gboolean
on_best (const VvBinding *b, const VvSelection *selection)
{
  const VvCandidate *now = vv_candidates_find (b->host, selection->candidates, b->device->driver);

  return now && now == selection->candidates->pdata[0];
}

/* vfio-dev/ came with Linux 6.1; before, the driver link is all there is to see. */
static gboolean
verify_vfio (VvBinding *b, GError **error)
{
  if (b->dry_run || b->device->vfio_dev || !vv_io_exists (b->host->sys, "class/vfio-dev"))
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s bound the device but made no VFIO device of it",
               b->device->driver);
  return FALSE;
}

/* The candidate's driver, its module loaded. A dry run names a driver that is not loaded yet after its
 * module. */
static char *
ready_driver (VvBinding *b, const VvCandidate *c, const char **step, GError **error)
{
  g_autofree char *known = vv_candidate_driver (b->host, c);

  if (known && driver_registered (b, known))
    return g_steal_pointer (&known);
  *step = "load";
  if (!step_load (b, c->module, error))
    return NULL;
  *step = "driver";
  g_autofree char *driver = vv_candidate_driver (b->host, c);
  if (!driver && b->dry_run) {
    g_ptr_array_add (
        b->change->steps,
        g_strdup_printf ("driver=$(ls /sys/module/%s/drivers | sed -n 's/^pci://p')", c->module));
    return g_strdup (UNKNOWN_DRIVER);
  }
  if (!driver)
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND, "module %s registers no PCI driver", c->module);
  return g_steal_pointer (&driver);
}

static gboolean
try_candidate (VvBinding *b, const VvCandidate *c, const char **step, GError **error)
{
  g_autofree char *driver = ready_driver (b, c, step, error);
  g_autofree char *override = g_strdup (b->device->driver_override);

  if (!driver)
    return FALSE;
  if (same (driver, b->device->driver)) {
    *step = "verify";
    return verify_vfio (b, error);
  }
  *step = "override"; /* before the unbind: a native driver that loads just then must not take the device */
  if (!step_override (b, driver, error))
    return FALSE;
  *step = "unbind";
  if (!step_unbind (b, error)) {
    step_override (b, override, NULL); /* it is where it was: the next candidate may be that very driver */
    return FALSE;
  }
  *step = "bind";
  if (!step_bind (b, driver, error))
    return FALSE;
  *step = "verify";
  return verify_vfio (b, error);
}

static const VvCandidate *
try_candidates (VvBinding *b, const VvSelection *selection)
{
  for (guint i = 0; i < selection->candidates->len; i++) {
    const VvCandidate *c = selection->candidates->pdata[i];
    g_autoptr (GError) problem = NULL;
    const char *step = NULL;
    if (try_candidate (b, c, &step, &problem))
      return c;
    vv_change_failed_attempt (b->change, c->module, step, problem);
    if (vanished (b, NULL))
      return NULL;
  }
  return NULL;
}

static VvChange *
finish (VvBinding *b, gint64 start, const char *why)
{
  VvChange *change = g_steal_pointer (&b->change);

  change->to = same (b->device->driver, UNKNOWN_DRIVER) ? NULL : g_strdup (b->device->driver);
  change->usec = g_get_monotonic_time () - start;
  if (!change->why)
    change->why = g_strdup (why);
  return change;
}

static void
explain (VvChange *change, const VvCandidate *c)
{
  change->alias = g_strdup (c->alias);
  change->wildcards = c->wildcards;
  change->source = vv_source_name (c->source);
  if (c->alias)
    change->why = g_strdup_printf ("%s, %u wildcards, %s", c->alias, c->wildcards, change->source);
  else if (c->source == VV_SOURCE_FORCED)
    change->why = g_strdup ("asked for by name");
  else
    change->why = g_strdup ("the generic driver: no alias names one");
}

/* Whether the device was unplugged under our hands: its entry then is about nothing. */
static gboolean
went_away (VvBinding *b, const char *what, const char *why, GError **error)
{
  if (!vanished (b, NULL))
    return FALSE;
  vv_binding_forget (b, NULL);
  g_set_error (error, VV_ERROR, VV_ERROR_NO_DEVICE, "%s went away during the %s: %s", b->device->address,
               what, why);
  return TRUE;
}

/* All candidates failed: the device goes back to what it was when the call came. */
static void
roll_back (VvBinding *b, const VvPciDevice *before, VvEntry **entry_before, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *failed = vv_change_attempts (b->change);
  const char *device = b->device->address;

  if (went_away (b, "detach", failed, error))
    return;
  if (!settle (b, before->driver, before->driver_module, before->driver_override, &problem)) {
    if (went_away (b, "detach", failed, error))
      return;
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 "%s: no VFIO driver could be bound: %s; and %s could not be brought back: %s; "
                 "the journal keeps its home: 'vfio-variant restore %s' tries again",
                 device, failed, before->driver ? before->driver : "the former state", problem->message,
                 device);
    return; /* the entry stays in state detaching: the next start of anything here tries again */
  }
  if (*entry_before) {
    vv_entry_free (b->entry);
    b->entry = g_steal_pointer (entry_before);
    vv_binding_save (
        b, NULL); /* if it fails, state "detaching" stays there and recovery finds the device home */
  } else {
    vv_binding_forget (b, NULL);
  }
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s: no VFIO driver could be bound, it is back on %s: %s",
               device, before->driver ? before->driver : "no driver",
               failed ? failed : "no candidate is allowed");
}

/* A driver of the vendor's that is a VFIO driver itself, as nvidia for vGPU virtual functions (rule R8) */
static gboolean
is_vendor_vfio (const VvBinding *b, const VvSelection *selection)
{
  const char *driver = b->device->driver;

  return b->device->vfio_dev && !vv_selection_has_driver (b->host, selection, driver) &&
         !same (driver, VV_GENERIC_DRIVER) && !(b->entry && same (driver, b->entry->vfio_driver));
}

static VvChange *
unchanged (VvBinding *b, gint64 start, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  b->change->why = g_strdup_vprintf (format, args);
  va_end (args);
  return finish (b, start, NULL);
}

static void
begin (VvBinding *b, VvOperation operation)
{
  g_clear_pointer (&b->change, vv_change_free);
  b->change = vv_change_new (b->device->address, operation, b->device->driver);
}

/* If the entry cannot be saved, recovery finds the device on a VFIO driver and comes to the same. */
static void
arrived (VvBinding *b)
{
  b->entry->state = VV_STATE_DETACHED;
  assign (&b->entry->vfio_driver, b->device->driver);
  vv_binding_save (b, NULL);
}

VvChange *
vv_binding_detach (VvBinding *b, const VvSelection *selection, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (VvPciDevice) before = vv_pci_device_open (b->host, b->device->address, error);

  if (!before)
    return NULL;
  begin (b, VV_DETACH);
  if (is_vendor_vfio (b, selection))
    return unchanged (b, start, "it already is a VFIO device under %s, which is left alone",
                      b->device->driver);
  if (on_best (b, selection) && verify_vfio (b, NULL)) {
    if (b->entry)
      arrived (b);
    return unchanged (b, start, "it already is on the best driver");
  }
  if (!b->dry_run && refuse_in_use (b, error))
    return NULL;

  g_autoptr (VvEntry) entry_before = b->entry ? vv_entry_copy (b->entry) : NULL;
  vv_binding_note (b);
  b->entry->state = VV_STATE_DETACHING;
  if (!vv_binding_save (b, error)) {
    g_prefix_error (error,
                    "%s: nothing was changed: its journal entry could not be written: ", b->device->address);
    vv_entry_free (b->entry);
    b->entry = g_steal_pointer (&entry_before);
    return NULL;
  }
  const VvCandidate *taken = try_candidates (b, selection);
  if (!taken) {
    roll_back (b, before, &entry_before, error);
    return NULL;
  }
  explain (b->change, taken);
  b->change->changed = !same (b->device->driver, before->driver);
  arrived (b);
  return finish (b, start, NULL);
}

/* --- reattach --- */

/* Without an entry: only a device that somebody sent away by hand has anything to come back from. */
static VvChange *
reattach_unknown (VvBinding *b, const VvPciDevice *before, gint64 start, GError **error)
{
  VvPciDevice *d = b->device;

  if (d->driver && !d->driver_override && !same (d->driver, VV_GENERIC_DRIVER))
    return unchanged (b, start, "nothing to restore: it is on %s with no driver_override", d->driver);
  if (!step_override (b, NULL, error) || !step_unbind (b, error) ||
      !step_write (b, b->host->sys, "bus/pci/drivers_probe", d->address, error) || vanished (b, error)) {
    settle (b, before->driver, before->driver_module, before->driver_override, NULL); /* not on no driver */
    return NULL;
  }
  b->change->changed = TRUE;
  return finish (b, start, "no journal entry: driver_override cleared, the kernel chose");
}

/* Home cannot be reached: back to where the device was, which is better than no driver at all. */
static void
stay_away (VvBinding *b, const VvPciDevice *before, GError *problem, GError **error)
{
  const char *home = b->entry->home_driver ? b->entry->home_driver : "no driver";
  g_autoptr (GError) worse = NULL;

  if (went_away (b, "reattach", problem->message, error))
    return;
  if (settle (b, before->driver, before->driver_module, before->driver_override, &worse)) {
    b->entry->state = VV_STATE_DETACHED;
    vv_binding_save (b, NULL);
  } else if (went_away (b, "reattach", problem->message, error)) {
    return;
  } /* else the entry stays in state reattaching: the next start of anything here tries again */
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               "%s: %s could not be brought back: %s; it is on %s now%s%s; the journal entry is kept: mend "
               "the cause and run "
               "'vfio-variant restore %s'",
               before->address, home, problem->message, b->device->driver ? b->device->driver : "no driver",
               worse ? ": " : "", worse ? worse->message : "", before->address);
}

VvChange *
vv_binding_reattach (VvBinding *b, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (VvPciDevice) before = vv_pci_device_open (b->host, b->device->address, error);
  g_autoptr (GError) problem = NULL;

  if (!before || (!b->dry_run && refuse_in_use (b, error)))
    return NULL;
  begin (b, VV_REATTACH);
  if (!b->entry || !b->entry->home_known) {
    VvChange *change = reattach_unknown (b, before, start, error);
    if (change && b->entry)
      vv_binding_forget (b, NULL);
    return change;
  }
  gboolean at_home = vv_binding_is_home (b);
  b->entry->state = VV_STATE_REATTACHING;
  if (!at_home)
    vv_binding_save (
        b, NULL); /* a full /run must not keep a device from its home; the old entry still names it */
  if (!settle (b, b->entry->home_driver, b->entry->home_module, b->entry->home_override, &problem)) {
    stay_away (b, before, problem, error);
    return NULL;
  }
  vv_binding_forget (b, NULL); /* what cannot be removed is found at home and dropped by the next open */
  b->change->changed = !at_home;
  return finish (b, start, at_home ? "it already is at home" : "as the journal says it was");
}

/* --- recovery --- */

/* A device that cannot go home, or whose home nobody knows, stays on the VFIO driver that it is or was on, or
 * goes to the one that takes any. */
static gboolean
take_refuge (VvBinding *b, GError **error)
{
  const char *known = b->device->driver ? b->device->driver : b->entry->vfio_driver;
  g_autofree char *driver = g_strdup (known ? known : VV_GENERIC_DRIVER);
  const char *module = same (driver, VV_GENERIC_DRIVER) ? VV_GENERIC_MODULE : NULL;
  /* one that names another driver is what the dead process wrote last */
  const char *override = b->device->driver && !b->device->driver_override ? NULL : driver;

  return settle (b, driver, module, override, error);
}

static gboolean
is_cut_off (const VvEntry *e)
{
  return e && (e->state == VV_STATE_DETACHING || e->state == VV_STATE_REATTACHING);
}

static gboolean
recover_home (VvBinding *b, GError **error)
{
  const VvEntry *e = b->entry;

  return settle (b, e->home_driver, e->home_module, e->home_override, error);
}

static gboolean
recover_on_vfio (VvBinding *b, const GError *not_home, GError **error)
{
  const VvEntry *e = b->entry;
  g_autoptr (GError) problem = NULL;

  if (not_home) {
    if (vanished (b, error))
      return FALSE;
    vv_change_failed_attempt (b->change, e->home_driver ? e->home_driver : "home", "recovery", not_home);
  }
  if ((!not_home || !same (b->device->driver, e->home_driver)) && take_refuge (b, &problem))
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               "%s: a %s that was cut off could not be mended: %s%s%s; the next start of anything here tries "
               "again",
               b->device->address, e->state == VV_STATE_DETACHING ? "detach" : "reattach",
               not_home ? not_home->message : "", not_home && problem ? "; " : "",
               problem ? problem->message : "");
  return FALSE;
}

/* Called with the lock: whoever wrote a state in between is dead. */
static gboolean
recover (VvBinding *b, GError **error)
{
  VvEntry *e = b->entry;
  gint64 start = g_get_monotonic_time ();
  g_autoptr (GError) not_home = NULL;

  if (b->dry_run || !is_cut_off (e))
    return TRUE;
  g_autofree char *user = vv_vfio_user (b->host, b->device);
  gboolean goes_home = !user && e->home_known && (e->state != VV_STATE_DETACHING || !b->device->vfio_dev);
  begin (b, VV_REATTACH);
  gboolean came_home = goes_home && recover_home (b, &not_home);
  if (!came_home && !user && !recover_on_vfio (b, not_home, error))
    return FALSE;
  b->change->changed = b->change->steps->len > 0;
  if (b->change->changed)
    b->recovered = finish (b, start, "a process died in the middle of moving it");
  if (came_home && !(e->state == VV_STATE_DETACHING && e->domain))
    return vv_binding_forget (b, error);
  e->state = came_home ? VV_STATE_NOTED : VV_STATE_DETACHED;
  if (!came_home)
    assign (&e->vfio_driver, b->device->driver);
  return vv_binding_save (b, error);
}
