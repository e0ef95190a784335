/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding: moves one device between drivers, as a transaction (rules R4, R5, R6, R8).
 *
 * Owns: the order of the writes to sysfs, which binding-steps does. A VvBinding is the right to move one
 * device: its lock, its state file and its attributes. Nothing here chooses a driver (catalog), asks
 * whether the host needs the device (in-use) or knows what a domain is beyond two names in the entry.
 *
 * Drivers are bound through drivers/DRIVER/bind, which returns the probe's errno; drivers_probe would return
 * success for a probe that failed (bind_store() and drivers_probe_store() in the kernel's
 * drivers/base/bus.c).
 */
#pragma once

#include "binding-steps.h"

/**
 * vv_binding_open:
 * @address: as vv_pci_address_parse() returns it
 * @dry_run: change nothing: no lock, no state store, no sysfs; only the steps are recorded
 *
 * Takes the device's lock (waits up to 30 s for another process), reads its state file, and finishes or
 * undoes what a process that died left half done. An entry of another device that had this address is
 * dropped.
 *
 * Returns: (transfer full): the binding; @context must live longer; or NULL with @error set
 */
VvBinding *vv_binding_open (const VvContext *context, const char *address, gboolean dry_run, GError **error);

/**
 * vv_binding_open_between:
 * @seen_on: (nullable): the driver that the device was on before it was unbound; must live longer
 * @deadline: copied
 *
 * As vv_binding_open(), for a device that somebody else (libvirt) has just unbound and is waiting for.
 * Nothing is recovered: what an entry that was cut off would have the device go to is not what was asked for
 * now. The lock is waited for no longer than @deadline has it.
 */
VvBinding *vv_binding_open_between (const VvContext *context, const char *address, const char *seen_on,
                                    const VvDeadline *deadline, GError **error);

/**
 * vv_binding_expect_new:
 *
 * The device has appeared just now: when it is on no driver, and has no driver_override, perhaps none had its
 * turn yet (see pci-device). Then its host driver is not known but chosen by the kernel, as it would have
 * been, unless the kernel is told to leave it alone: the reattach lets it choose, and so does a detach that
 * fails. A bind that the kernel is not ready for is done again when it is.
 */
void vv_binding_expect_new (VvBinding *binding);

/**
 * vv_binding_note:
 *
 * Makes @binding->entry when there is none, with the present driver and driver_override as the device's host
 * driver. In memory: vv_binding_save() writes it.
 */
void vv_binding_note (VvBinding *binding);

/** vv_on_vfio: Returns: whether @device is on a VFIO driver, wanted or not; @choice is its own */
gboolean vv_on_vfio (const VvHost *host, const VvPciDevice *device, const VvChoice *choice);

/**
 * vv_binding_load_ahead:
 *
 * Loads the module that a detach with @choice is going to need, so that the move itself is short: of the
 * first candidate that loads. Changes no device.
 *
 * Returns: FALSE with @error set, for the first candidate, when none does
 */
gboolean vv_binding_load_ahead (const VvContext *context, const VvChoice *choice, GError **error);

/**
 * vv_binding_reset_override:
 *
 * For a device that somebody else (libvirt) is about to let the kernel probe, after a process that moved it
 * died half-way: when it still has no driver, and a driver_override that may be any candidate's, it gets the
 * generic driver's; when it was during reattach, none, so that the kernel chooses. The entry stays.
 */
void vv_binding_reset_override (const VvContext *context, const char *address);

/**
 * vv_binding_detach:
 * @choice: the candidates, best first
 *
 * Puts the device on the first candidate that works: load its module, write driver_override, unbind, ask the
 * hook point, bind, verify the driver link and, where the kernel has it, vfio-dev/. A host driver that was
 * trying the device when the override was written, and got it, is unbound. When all fail the device is put
 * back on the driver and the driver_override it had at the call, and the error says which candidate failed at
 * which step. A device that is already on the best candidate, or is a VFIO device of a vendor's own driver,
 * is left alone. One that a process holds through VFIO is refused (VV_ERROR_REFUSED).
 *
 * Returns: whether it is on a driver of @choice, or was left alone; @binding->change says what happened
 */
gboolean vv_binding_detach (VvBinding *binding, const VvChoice *choice, GError **error);

/**
 * vv_binding_reattach:
 *
 * Brings the device home: the driver and the driver_override of the state store, its module loaded when it is
 * gone. Without an entry the override is cleared and the kernel probes. On success the entry is dropped. When
 * home cannot be reached the device goes back to the VFIO driver it came from, the entry stays and @error
 * says why.
 *
 * Returns: whether it is on its host driver; @binding->change says what happened
 */
gboolean vv_binding_reattach (VvBinding *binding, GError **error);

/**
 * vv_binding_undo:
 * @before: what the device was
 * @entry: (nullable): its entry at that time; NULL: none
 * @why: what is said of it
 *
 * Takes back what became of the device, when that turns out not to do: the driver, the driver_override and
 * the entry are those of before. When the driver cannot be reached the entry stays, in
 * state detaching: the next start of anything here tries again.
 *
 * Returns: whether it is as it was; @binding->change says what happened
 */
gboolean vv_binding_undo (VvBinding *binding, const VvDriverState *before, const VvEntry *entry,
                          const char *why, GError **error);

/** vv_binding_leave: records that nothing is done, and why. Returns: TRUE, so that a function can end with
 * it */
gboolean vv_binding_leave (VvBinding *binding, VvOperation operation, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/** vv_binding_is_restored: Returns: whether the device is as its state file says it was; FALSE without an
 * entry */
gboolean vv_binding_is_restored (const VvBinding *binding);

/**
 * vv_binding_is_stale:
 * @was: what the device is, or was when somebody looked
 * @was_on_vfio: whether that is a VFIO driver
 *
 * An entry is about a device that is away or about to go.
 *
 * Returns: whether the device has come back since, and not by our doing: then its entry says nothing any more
 */
gboolean vv_binding_is_stale (const VvBinding *binding, const VvDriverState *was, gboolean was_on_vfio);
