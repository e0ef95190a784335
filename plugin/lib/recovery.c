/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "recovery.h"

#include <glib/gi18n-lib.h>

#include "binding-steps.h"
#include "in-use.h"

static gboolean
same (const char *a, const char *b)
{
  return g_strcmp0 (a, b) == 0;
}

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

  return vv_settle (b, driver, module, override, error);
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

  return vv_settle (b, e->home_driver, e->home_module, e->home_override, error);
}

static gboolean
recover_on_vfio (VvBinding *b, const GError *not_home, GError **error)
{
  const VvEntry *e = b->entry;
  g_autoptr (GError) problem = NULL;

  if (not_home) {
    if (vv_binding_vanished (b, error))
      return FALSE;
    vv_change_failed_attempt (b->change, e->home_driver ? e->home_driver : "home", "recovery", not_home);
  }
  if ((!not_home || !same (b->device->driver, e->home_driver)) && take_refuge (b, &problem))
    return TRUE;
  g_set_error (
      error, VV_ERROR, VV_ERROR_FAILED,
      _ ("%s: a %s that was cut off could not be mended: %s%s%s; the next start of anything here tries "
         "again"),
      b->device->address, e->state == VV_STATE_DETACHING ? "detach" : "reattach",
      not_home ? not_home->message : "", not_home && problem ? "; " : "", problem ? problem->message : "");
  return FALSE;
}

gboolean
vv_binding_recover (VvBinding *b, GError **error)
{
  VvEntry *e = b->entry;
  g_autoptr (GError) not_home = NULL;

  if (b->dry_run || !is_cut_off (e))
    return TRUE;
  g_autofree char *user = vv_vfio_user (b->host, b->device);
  gboolean goes_home = !user && e->home_known && (e->state != VV_STATE_DETACHING || !b->device->vfio_dev);
  vv_binding_begin (b, VV_REATTACH);
  gboolean came_home = goes_home && recover_home (b, &not_home);
  if (!came_home && !user && !recover_on_vfio (b, not_home, error))
    return FALSE;
  b->change->changed = b->change->steps->len > 0;
  if (b->change->changed)
    b->recovered = vv_binding_finish (b, _ ("a process died in the middle of moving it"));
  if (came_home && !(e->state == VV_STATE_DETACHING && e->domain))
    return vv_binding_forget (b, error);
  e->state = came_home ? VV_STATE_NOTED : VV_STATE_DETACHED;
  if (!came_home)
    vv_binding_assign (&e->vfio_driver, b->device->driver);
  return vv_binding_save (b, error);
}
