/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevents.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gi18n-lib.h>
#include <libudev.h>

struct VvUevents {
  struct udev *udev;
  struct udev_monitor *monitor;
  guint source;
  VvUeventFunc func;
  gpointer data;
};

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
    vv_set_errno (error, errno ? errno : ENOMEM, _ ("the kernel's device events cannot be received"));
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
