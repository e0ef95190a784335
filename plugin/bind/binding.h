/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding: rebinds one device as a transaction (rules R4, R5, R6, R8).
 *
 * Owns: the order of the writes to sysfs, which binding-steps performs. The owner of a VvBinding may rebind
 * one device: it has the device's lock, its state file and its attributes. Does not choose a driver
 * (catalog), and does not check whether the host uses the device (in-use). Knows a domain only by its name
 * and UUID in the entry.
 *
 * Drivers are bound through drivers/DRIVER/bind, which returns the probe's errno. drivers_probe would return
 * success for a failed probe (bind_store() and drivers_probe_store() in the kernel's drivers/base/bus.c).
 */
#pragma once

#include "binding-steps.h"

/**
 * vv_binding_open:
 * @address: as vv_pci_address_parse() returns it
 * @dry_run: take no lock, write neither state store nor sysfs, and only record the steps
 *
 * Takes the device's lock, for which it waits up to 30 s, and reads the state file. Completes or reverts a
 * rebind that another process left incomplete when it died. Removes an entry of another device that had this
 * address.
 *
 * Returns: (transfer full): the binding, which @context must outlive; NULL with @error set on failure
 */
VvBinding *vv_binding_open (const VvContext *context, const char *address, gboolean dry_run, GError **error);

/**
 * vv_binding_open_between:
 * @seen_on: (nullable): the driver that the device was on before it was unbound; must outlive the binding
 * @deadline: copied
 *
 * Opens a device that libvirt has just unbound and waits for, like vv_binding_open(). Does no recovery: an
 * interrupted entry may have another target than libvirt's present operation. Waits for the lock until
 * @deadline, and for 30 s at most.
 */
VvBinding *vv_binding_open_between (const VvContext *context, const char *address, const char *seen_on,
                                    const VvDeadline *deadline, GError **error);

/**
 * vv_binding_expect_new:
 *
 * Declares that the device has just appeared. If it has no driver and no driver_override, the kernel may not
 * have probed it yet (see pci-device). Its host driver is then recorded as unknown, unless the kernel is
 * configured not to probe it. On reattach, and after a failed detach, the kernel chooses the driver. A bind
 * that fails because the kernel is not ready is retried when the kernel is ready.
 */
void vv_binding_expect_new (VvBinding *binding);

/**
 * vv_binding_note:
 *
 * Creates @binding->entry if there is none, with the present driver and driver_override as the host driver
 * and host override. In memory only: vv_binding_save() writes it.
 */
void vv_binding_note (VvBinding *binding);

/** vv_on_vfio: Returns: whether @device is on a VFIO driver, allowed or not; @choice must be for this
 * device */
gboolean vv_on_vfio (const VvHost *host, const VvPciDevice *device, const VvChoice *choice);

/**
 * vv_binding_load_ahead:
 *
 * Loads the module of the first candidate of @choice that loads, so that a later detach is short. Changes no
 * device.
 *
 * Returns: FALSE with @error set when no module loads; the error is that of the first candidate
 */
gboolean vv_binding_load_ahead (const VvContext *context, const VvChoice *choice, GError **error);

/**
 * vv_binding_reset_override:
 *
 * Resets driver_override after a process died while it rebound the device, before libvirt lets the kernel
 * probe it. Applies only when the device has no driver and a driver_override, which may name any candidate.
 * During a detach, sets it to the generic driver. In any other state, like during a reattach, clears it, so
 * that the kernel chooses. Does not change the entry.
 */
void vv_binding_reset_override (const VvContext *context, const char *address);

/**
 * vv_binding_detach:
 * @choice: the candidates, best first
 *
 * Binds the device to the first candidate that works. The steps are: load the module, write driver_override,
 * unbind, run the hook scripts, bind, verify the driver link and, if the kernel has it, vfio-dev/. If a host
 * driver was probing the device when the override was written, and bound it, that driver is unbound.
 *
 * If all candidates fail, restores the driver and the driver_override that the device had at the call. The
 * error then names each failed candidate and its step. Leaves a device alone that is already on the best
 * candidate, or that is a VFIO device on a vendor's own driver. Refuses a device that a process has open
 * through VFIO (VV_ERROR_REFUSED).
 *
 * Returns: whether the device is on a driver of @choice, or was left alone; @binding->change has the record
 */
gboolean vv_binding_detach (VvBinding *binding, const VvChoice *choice, GError **error);

/**
 * vv_binding_reattach:
 *
 * Restores the host driver and the driver_override from the state store, and loads the driver's module if it
 * is not loaded. Without an entry, clears the override and lets the kernel probe. On success, removes the
 * entry. If the host driver cannot be restored, returns the device to its former VFIO driver, keeps the entry
 * and sets @error.
 *
 * Returns: whether the device is on its host driver; @binding->change has the record
 */
gboolean vv_binding_reattach (VvBinding *binding, GError **error);

/**
 * vv_binding_undo:
 * @before: the former driver state of the device
 * @entry: (nullable): its former entry; NULL: none
 * @why: the reason, for the record
 *
 * Reverts a rebind whose result is not acceptable: restores the driver, the driver_override and the entry. If
 * the driver cannot be restored, the entry stays in state detaching, and the next vfio-variant process tries
 * again.
 *
 * Returns: whether the device is in its former state; @binding->change has the record
 */
gboolean vv_binding_undo (VvBinding *binding, const VvDriverState *before, const VvEntry *entry,
                          const char *why, GError **error);

/**
 * vv_binding_leave:
 *
 * Records that the device was left alone, and the reason.
 *
 * Returns: TRUE, so that callers can return it
 */
gboolean vv_binding_leave (VvBinding *binding, VvOperation operation, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/** vv_binding_is_restored: Returns: whether the device is in the host state that its state file has; FALSE
 * without an entry */
gboolean vv_binding_is_restored (const VvBinding *binding);

/**
 * vv_binding_is_stale:
 * @was: the present driver state of the device, or the state in which the caller last saw it
 * @was_on_vfio: whether that driver is a VFIO driver
 *
 * An entry is valid only while its device is on a VFIO driver, or about to be detached.
 *
 * Returns: whether the device has since returned to the host without vfio-variant, so that its entry is
 * obsolete
 */
gboolean vv_binding_is_stale (const VvBinding *binding, const VvDriverState *was, gboolean was_on_vfio);
