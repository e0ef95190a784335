/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hotplug: what becomes of a device while libvirt is blocked between its unbind and its drivers_probe.
 *
 * Owns: telling a detach from a reattach, and which candidates may be tried for which libvirt. The moves
 * themselves are binding's. Knows nothing of fanotify, processes or threads.
 */
#pragma once

#include "binding.h"

/**
 * VvHotplugRequest:
 * @address: the device
 * @before: what it was before libvirt touched it; the strings are the caller's
 * @libvirt: the version of that libvirt, as VV_LIBVIRT_VERSION() has it; 0: not known
 */
typedef struct {
  const char *address;
  VvDriverState before;
  guint libvirt;
} VvHotplugRequest;

/**
 * vv_hotplug_prepare:
 *
 * While libvirt still unbinds the device: loads the module that is going to be needed, if it is going to be
 * a detach. Changes no device.
 *
 * Returns: how long that took, microseconds
 */
gint64 vv_hotplug_prepare (const VvContext *context, const VvHotplugRequest *request);

/**
 * vv_hotplug_open:
 * @deadline: its timer is in VV_PHASE_OTHER afterwards
 *
 * Returns: (transfer full): the binding of @request's device, by vv_binding_open_between(), or NULL with
 * @error set
 */
VvBinding *vv_hotplug_open (const VvContext *context, const VvHotplugRequest *request,
                            const VvDeadline *deadline, GError **error);

/**
 * vv_hotplug:
 * @binding: by vv_hotplug_open()
 *
 * The device has no driver. With a driver_override it is on its way to VFIO: it is bound to the best driver
 * that this libvirt can do with, down to the one that libvirt asked for. Without one it is during reattach:
 * to the driver and the driver_override of its state file. Afterwards libvirt's own drivers_probe finds
 * it bound and does nothing; whatever failed, libvirt's own way is open.
 *
 * Returns: whether all went well; @binding->change says what happened, and has nothing changed when the
 * device was left to libvirt. FALSE with @error set: VV_ERROR_POLICY when libvirt is to be refused
 */
gboolean vv_hotplug (VvBinding *binding, const VvHotplugRequest *request, GError **error);

/**
 * vv_hotplug_rescue:
 *
 * For a device that libvirt had announced when it died, and did not come to drivers_probe with. What it had
 * written is taken back: the driver and the driver_override of before. On the reattach, which it had cleared
 * driver_override for, the device is brought there. One that has not changed, or has a new driver, is left as
 * it is; so is one that a process holds through VFIO (VV_ERROR_REFUSED).
 *
 * Returns: (transfer full): what happened, or NULL with @error set
 */
VvChange *vv_hotplug_rescue (const VvContext *context, const VvHotplugRequest *request, GError **error);
