/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * udev: libudev: PCI devices that are added, removed or rebound, and the names of devices.
 *
 * Owns: a monitor of the kernel's own events, which arrive before udev's. A filter in the kernel passes only
 * the PCI subsystem, so that other events do not wake the process. Also owns the open hardware database,
 * hwdb(7), with the names of pci.ids. The database is always the running system's, even with a --sysroot:
 * the names are the same everywhere. Knows nothing of the reaction to events.
 */
#pragma once

#include "error.h"

typedef struct VvUevents VvUevents;

/** VvUevent: the device was added, removed, or changed; bind and unbind count as changes */
typedef enum {
  VV_UEVENT_ADDED,
  VV_UEVENT_REMOVED,
  VV_UEVENT_CHANGED,
} VvUevent;

/**
 * VvUeventFunc:
 * @address: the device; NULL: events were lost, check all devices
 */
typedef void (*VvUeventFunc) (const char *address, VvUevent what, gpointer data);

/** vv_uevents_new: Returns: (transfer full): the running monitor, or NULL with @error set */
VvUevents *vv_uevents_new (VvUeventFunc func, gpointer data, GError **error);
void vv_uevents_free (VvUevents *uevents);

typedef struct VvNames VvNames;

/** vv_names_open: Returns: (transfer full): the names; empty if this system has no database */
VvNames *vv_names_open (void);
void vv_names_free (VvNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvNames, vv_names_free)

/**
 * vv_names_find:
 * @modalias: a device's modalias
 *
 * Returns: (transfer full) (nullable): the known ones of vendor and model, in UTF-8 on one line; NULL if
 * neither is known
 */
char *vv_names_find (const VvNames *names, const char *modalias);
