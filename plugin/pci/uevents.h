/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * uevents: PCI devices that come, go, and change drivers, from the kernel itself.
 *
 * Owns: a libudev monitor of the kernel's own events (not udev's, which come later), filtered in the kernel
 * to the PCI subsystem: nothing else wakes who waits. Knows nothing of what follows.
 */
#pragma once

#include "error.h"

typedef struct VvUevents VvUevents;

/** VvUevent: a device has come, is gone, or something else happened to it: it was bound, unbound, or changed
 */
typedef enum {
  VV_UEVENT_ADDED,
  VV_UEVENT_REMOVED,
  VV_UEVENT_CHANGED,
} VvUevent;

/**
 * VvUeventFunc:
 * @address: the device; NULL: events were lost, look at all devices
 */
typedef void (*VvUeventFunc) (const char *address, VvUevent what, gpointer data);

/** vv_uevents_new: Returns: (transfer full): the monitor, running; or NULL with @error set */
VvUevents *vv_uevents_new (VvUeventFunc func, gpointer data, GError **error);
void vv_uevents_free (VvUevents *uevents);
