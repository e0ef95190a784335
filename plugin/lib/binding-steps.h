/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding-steps: the single steps of which binding and recovery are made; nobody else includes this.
 *
 * Owns: every write to sysfs. Each step is recorded in the change as the shell command that does the same,
 * done unless this is a dry run, and reflected in the binding's device. Knows nothing of candidates nor of
 * what an entry's state means.
 */
#pragma once

#include "binding.h"

/** What clears driver_override; an empty write is not passed on by the kernel */
#define VV_NO_OVERRIDE "\n"

/** vv_binding_begin: starts the record of a change */
void vv_binding_begin (VvBinding *b, VvOperation operation);

/** vv_binding_finish: Returns: (transfer full): the record, ended; @why says what decided where nothing else
 * does */
VvChange *vv_binding_finish (VvBinding *b, const char *why);

/** vv_binding_vanished: Returns: whether @b's device went away: then nothing can be done for it, nor undone
 */
gboolean vv_binding_vanished (VvBinding *b, GError **error);

/** vv_binding_assign: replaces a string of an entry or a device; @value may be the old one */
void vv_binding_assign (char **field, const char *value);

/** vv_driver_registered: Returns: whether the kernel has a PCI driver of this name */
gboolean vv_driver_registered (const VvHost *host, const char *driver);

gboolean vv_step_load (VvBinding *b, const char *module, GError **error);
/** vv_step_override: @override may be NULL: not set */
gboolean vv_step_override (VvBinding *b, const char *override, GError **error);
gboolean vv_step_unbind (VvBinding *b, GError **error);
/** vv_step_bind: binds and looks whether the device really is where it was sent */
gboolean vv_step_bind (VvBinding *b, const char *driver, GError **error);
/** vv_step_probe: lets the kernel choose the driver */
gboolean vv_step_probe (VvBinding *b, GError **error);

/** vv_step_untouched: all that was written is undone; tells who waits for that (see VvPatience) */
void vv_step_untouched (VvBinding *b);

/**
 * vv_step_hooks:
 *
 * Runs the scripts of the node-device hook point.
 *
 * Returns: FALSE with @error set when one failed
 */
gboolean vv_step_hooks (VvBinding *b, VvOperation operation, const char *sub_operation, const char *driver,
                        GError **error);

/** vv_binding_tell_hooks: as vv_step_hooks(), where nothing follows from a failure: it is logged */
void vv_binding_tell_hooks (VvBinding *b, VvOperation operation, const char *sub_operation,
                            const char *driver);

/**
 * vv_settle:
 * @driver: (nullable): NULL: none
 * @module: (nullable): its module, loaded when the driver is not there
 * @override: (nullable): NULL: not set
 *
 * Brings the device to a known place: exactly this driver with exactly this override. The hook point is told
 * of a reattach or, when the place is a VFIO driver, of a detach; there is no veto.
 */
gboolean vv_settle (VvBinding *b, const char *driver, const char *module, const char *override,
                    GError **error);
