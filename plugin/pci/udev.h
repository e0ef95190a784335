/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * udev: what libudev tells: PCI devices that come, go, and change drivers, and what people call a device.
 *
 * Owns: a monitor of the kernel's own events (not udev's, which come later), filtered in the kernel to the
 * PCI subsystem: nothing else wakes who waits. And the open hardware database, hwdb(7), which has the names
 * of pci.ids; it is no part of a system below a --sysroot: names are the same everywhere. Knows nothing of
 * what follows.
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

typedef struct VvNames VvNames;

/** vv_names_open: Returns: (transfer full): the names; none when this system has no such database */
VvNames *vv_names_open (void);
void vv_names_free (VvNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvNames, vv_names_free)

/**
 * vv_names_find:
 * @modalias: a device's
 *
 * Returns: (transfer full) (nullable): vendor and model, UTF-8 on one line; the one that is known; NULL:
 * neither
 */
char *vv_names_find (const VvNames *names, const char *modalias);
