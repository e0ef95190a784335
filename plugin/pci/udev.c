/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gi18n-lib.h>
#include <libudev.h>
#include <string.h>

#include "one-line.h"

#define VENDOR "ID_VENDOR_FROM_DATABASE"
#define MODEL "ID_MODEL_FROM_DATABASE"

struct VvUevents {
  struct udev *udev;
  struct udev_monitor *monitor;
  guint source;
  VvUeventFunc func;
  gpointer data;
};

struct VvNames {
  struct udev *udev;
  struct udev_hwdb *hwdb; /* NULL: this system has none */
};

/* --- events --- */

static gboolean
readable (int fd, GIOCondition condition, gpointer data)
{
  VvUevents *u = data;

  (void)fd, (void)condition;
  errno = 0;
  struct udev_device *device = udev_monitor_receive_device (u->monitor);
  if (!device) {
    if (errno == ENOBUFS)
      u->func (NULL, VV_UEVENT_CHANGED, u->data);
    return G_SOURCE_CONTINUE;
  }
  const char *action = udev_device_get_action (device);
  VvUevent kind = g_strcmp0 (action, "add") == 0      ? VV_UEVENT_ADDED
                  : g_strcmp0 (action, "remove") == 0 ? VV_UEVENT_REMOVED
                                                      : VV_UEVENT_CHANGED;
  u->func (udev_device_get_sysname (device), kind, u->data);
  udev_device_unref (device);
  return G_SOURCE_CONTINUE;
}

VvUevents *
vv_uevents_new (VvUeventFunc func, gpointer data, GError **error)
{
  VvUevents *u = g_new0 (VvUevents, 1);

  u->func = func;
  u->data = data;
  u->udev = udev_new ();
  u->monitor = u->udev ? udev_monitor_new_from_netlink (u->udev, "kernel") : NULL;
  if (!u->monitor || udev_monitor_filter_add_match_subsystem_devtype (u->monitor, "pci", NULL) < 0 ||
      udev_monitor_enable_receiving (u->monitor) < 0) {
    vv_set_errno (error, errno ? errno : ENOMEM, _ ("cannot receive device events of the kernel"));
    vv_uevents_free (u);
    return NULL;
  }
  u->source = g_unix_fd_add (udev_monitor_get_fd (u->monitor), G_IO_IN, readable, u);
  return u;
}

void
vv_uevents_free (VvUevents *u)
{
  if (!u)
    return;
  if (u->source)
    g_source_remove (u->source);
  udev_monitor_unref (u->monitor);
  udev_unref (u->udev);
  g_free (u);
}

/* --- names --- */

VvNames *
vv_names_open (void)
{
  VvNames *names = g_new0 (VvNames, 1);

  names->udev = udev_new ();
  names->hwdb = names->udev ? udev_hwdb_new (names->udev) : NULL;
  return names;
}

void
vv_names_free (VvNames *names)
{
  if (!names)
    return;
  udev_hwdb_unref (names->hwdb);
  udev_unref (names->udev);
  g_free (names);
}

char *
vv_names_find (const VvNames *names, const char *modalias)
{
  const char *vendor = NULL;
  const char *model = NULL;
  struct udev_list_entry *property =
      names->hwdb ? udev_hwdb_get_properties_list_entry (names->hwdb, modalias, 0) : NULL;

  for (; property; property = udev_list_entry_get_next (property)) {
    if (strcmp (udev_list_entry_get_name (property), VENDOR) == 0)
      vendor = udev_list_entry_get_value (property);
    else if (strcmp (udev_list_entry_get_name (property), MODEL) == 0)
      model = udev_list_entry_get_value (property);
  }
  g_autofree char *name =
      g_strjoin (vendor && model ? " " : "", vendor ? vendor : "", model ? model : "", NULL);
  return vv_one_line (name, strlen (name), FALSE);
}
