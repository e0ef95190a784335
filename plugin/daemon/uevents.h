/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * uevents: PCI devices that come and go, from the kernel itself.
 *
 * Owns: a libudev monitor of the kernel's own events (not udev's, which come later), filtered in the kernel
 * to the PCI subsystem: nothing else wakes the daemon. Knows nothing of what follows.
 */
#pragma once

#include "error.h"

typedef struct VvUevents VvUevents;

/**
 * VvUeventFunc:
 * @address: the device; NULL: events were lost, look at all devices
 * @added: it has come, else gone
 */
typedef void (*VvUeventFunc) (const char *address, gboolean added, gpointer data);

/** vv_uevents_new: Returns: (transfer full): the monitor, running; or NULL with @error set */
VvUevents *vv_uevents_new (VvUeventFunc func, gpointer data, GError **error);
void vv_uevents_free (VvUevents *uevents);
