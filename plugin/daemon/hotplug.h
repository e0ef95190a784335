/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hotplug: handles a device while libvirt is blocked between its unbind and its drivers_probe.
 *
 * Owns: the distinction between detach and reattach, and which candidates each version of libvirt allows.
 * binding makes the changes. Knows nothing of fanotify, processes or threads.
 */
#pragma once

#include "binding.h"

/**
 * VvHotplugRequest:
 * @address: the device
 * @before: its driver state before libvirt changed it; the caller owns the strings
 * @libvirt: the version of libvirt, as VV_LIBVIRT_VERSION() has it; 0: unknown
 */
typedef struct {
  const char *address;
  VvDriverState before;
  guint libvirt;
} VvHotplugRequest;

/**
 * vv_hotplug_prepare:
 *
 * Loads the module that a detach is going to need, while libvirt is still unbinding the device. Does nothing
 * for a reattach. Changes no device.
 *
 * Returns: how long the load took, in microseconds
 */
gint64 vv_hotplug_prepare (const VvContext *context, const VvHotplugRequest *request);

/**
 * vv_hotplug_open:
 * @deadline: afterwards, its timer is in VV_PHASE_OTHER
 *
 * Opens the binding of @request's device by vv_binding_open_between().
 *
 * Returns: (transfer full): the binding, or NULL with @error set
 */
VvBinding *vv_hotplug_open (const VvContext *context, const VvHotplugRequest *request,
                            const VvDeadline *deadline, GError **error);

/**
 * vv_hotplug:
 * @binding: from vv_hotplug_open()
 *
 * Binds a device that libvirt has unbound. If the device has a driver_override, libvirt is detaching it:
 * binds it to the best driver that works and that this libvirt allows. Otherwise libvirt is reattaching it:
 * restores the driver and the driver_override of its state file.
 *
 * Afterwards, libvirt's own write to drivers_probe finds the device bound and does nothing. After a failure,
 * libvirt's write can still bind the device.
 *
 * Returns: TRUE on success. @binding->change says what was done; its changed is FALSE if the device was left
 * to libvirt. FALSE with @error set; VV_ERROR_POLICY: the gate must deny libvirt's open
 */
gboolean vv_hotplug (VvBinding *binding, const VvHotplugRequest *request, GError **error);

/**
 * vv_hotplug_rescue:
 *
 * Handles a device whose libvirt died after the announcement and before drivers_probe. If libvirt was
 * detaching the device, restores the previous driver and driver_override. If libvirt had cleared
 * driver_override for a reattach, completes the reattach, unless the device is pinned. Does not change a
 * device that libvirt had not changed yet, or that has another driver since. Refuses a device that a process
 * uses through VFIO (VV_ERROR_REFUSED).
 *
 * Returns: (transfer full): what was done, or NULL with @error set
 */
VvChange *vv_hotplug_rescue (const VvContext *context, const VvHotplugRequest *request, GError **error);
