/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding-steps: one device that the process may rebind, and the steps that binding and recovery combine.
 *
 * Owns: the device's lock and entry during a rebind, every write to sysfs, and the record of the rebind. Each
 * step is recorded as the equivalent shell command, executed unless this is a dry run, and reflected in the
 * binding's device. Knows nothing of candidates, nor of the meaning of an entry's state. Only binding and
 * recovery call the functions below "steps".
 */
#pragma once

#include "change.h"
#include "phase-timer.h"
#include "context.h"

/**
 * VvDeadline:
 * @until: when the caller's deadline passes, by g_get_monotonic_time(), in microseconds; after it, only the
 * generic driver is still tried, and no hook script runs longer; 0: no deadline
 * @touched: (nullable): called with TRUE before the first write to sysfs, and with FALSE when all writes are
 * undone and the next step only loads a module. While the device is touched, only the kernel's driver core or
 * a hook script can take long.
 * @data: for @touched
 * @timer: (nullable): records the time spent in each phase
 *
 * The deadline of a caller that waits for a rebind, like libvirt while it is blocked at the gate.
 */
typedef struct {
  gint64 until;
  void (*touched) (gboolean touched, gpointer data);
  gpointer data;
  VvPhaseTimer *timer;
} VvDeadline;

/**
 * VvBinding:
 * @context: the context that it was opened with
 * @device: the device in its present state
 * @entry: (nullable): its state file; the owner of the binding may change it, and then calls
 * vv_binding_save()
 * @change: (nullable): the record of the last rebind, complete or not. It is logged and counted when the next
 * rebind begins or the binding is closed. Until then, the owner of the binding may add to it.
 */
typedef struct {
  const VvContext *context;
  VvPciDevice *device;
  VvEntry *entry;
  VvChange *change;
  /*< private >*/
  VvLock *lock; /* NULL in a dry run */
  VvDeadline deadline;
  const char *seen_on; /* NULL, or the driver that the device was on before libvirt unbound it */
  gint64 begun;
  gboolean is_touched;
  gboolean is_new;
} VvBinding;

/**
 * vv_binding_new:
 * @lock: (transfer full) (nullable): the device's lock, which is also freed on failure; NULL: a dry run,
 * which writes nothing and only records the steps
 *
 * Reads the device's state file. Removes it if it belongs to another device that had this address.
 *
 * Returns: (transfer full): the binding, which @context must outlive; NULL with @error set on failure
 */
VvBinding *vv_binding_new (const VvContext *context, const char *address, VvLock *lock, GError **error);

/**
 * vv_binding_close:
 * @binding: (transfer full) (nullable)
 *
 * Releases the device's lock. Then logs and counts the last rebind, unless this is a dry run.
 *
 * Returns: (transfer full) (nullable): the record of the last rebind; NULL when there was none
 */
VvChange *vv_binding_close (VvBinding *binding);
void vv_binding_free (VvBinding *binding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvBinding, vv_binding_free)

/**
 * vv_binding_record:
 * @host: (nullable): the device's driver state on the host; NULL: unknown
 *
 * Creates @binding->entry if there is none, in memory only: vv_binding_save() writes it.
 */
void vv_binding_record (VvBinding *binding, const VvDriverState *host);

/** vv_binding_save: Writes the entry to the state store. */
gboolean vv_binding_save (VvBinding *binding, GError **error);

/** vv_binding_set_detached: Sets the entry to detached, with the device's present driver as its VFIO driver.
 * In memory only: vv_binding_save() writes it. */
void vv_binding_set_detached (VvBinding *binding);

/** vv_binding_forget: Removes the entry, from memory and from the state store. */
gboolean vv_binding_forget (VvBinding *binding, GError **error);

/* --- steps --- */

/** The value that clears driver_override. The kernel ignores an empty write. */
#define VV_NO_OVERRIDE "\n"

/** vv_binding_tell: Logs and counts the last rebind, and drops its record. */
void vv_binding_tell (VvBinding *b);

/** vv_binding_begin: Starts the record of a rebind, after vv_binding_tell() for the previous one. */
void vv_binding_begin (VvBinding *b, VvOperation operation);

/**
 * vv_binding_end:
 * @why: (nullable): the reason for the result, unless the record already has one
 * @problem: (transfer full) (nullable): why the rebind failed
 *
 * Completes the record, and propagates @problem to @error.
 *
 * Returns: TRUE if @problem is NULL
 */
gboolean vv_binding_end (VvBinding *b, const char *why, GError *problem, GError **error);

/**
 * vv_binding_vanished:
 *
 * Reloads the device, except in a dry run.
 *
 * Returns: TRUE with @error set if the device disappeared; it can then neither be rebound nor restored
 */
gboolean vv_binding_vanished (VvBinding *b, GError **error);

/** vv_same: Returns: whether two names are equal; each may be NULL */
static inline gboolean
vv_same (const char *a, const char *b)
{
  return g_strcmp0 (a, b) == 0;
}

/** vv_binding_assign: Replaces a string of an entry or a device. @value may be the old string. */
void vv_binding_assign (char **field, const char *value);

/** vv_driver_registered: Returns: whether the kernel has a PCI driver with this name */
gboolean vv_driver_registered (const VvHost *host, const char *driver);

gboolean vv_step_load (VvBinding *b, const char *module, GError **error);
/** vv_step_override: Writes driver_override; @override NULL clears it. */
gboolean vv_step_override (VvBinding *b, const char *override, GError **error);
gboolean vv_step_unbind (VvBinding *b, GError **error);
/** vv_step_bind: Binds the device, and verifies that it is on @driver afterwards. */
gboolean vv_step_bind (VvBinding *b, const char *driver, GError **error);
/** vv_step_probe: Lets the kernel choose the driver, with drivers_probe. */
gboolean vv_step_probe (VvBinding *b, GError **error);

/** vv_step_untouched: Reports to the waiting caller that all writes are undone (see VvDeadline). */
void vv_step_untouched (VvBinding *b);

/**
 * vv_step_hooks:
 *
 * Runs the scripts of the node-device hook point.
 *
 * Returns: FALSE with @error set when a script failed
 */
gboolean vv_step_hooks (VvBinding *b, VvOperation operation, const char *sub_operation, const char *driver,
                        GError **error);

/** vv_binding_tell_hooks: Runs vv_step_hooks(), and logs a failure instead of returning it. */
void vv_binding_tell_hooks (VvBinding *b, VvOperation operation, const char *sub_operation,
                            const char *driver);

/**
 * vv_settle:
 * @state: the state to reach; its module is loaded if the driver is not registered
 *
 * Brings the device to exactly this driver and exactly this driver_override. Runs the hook scripts for a
 * reattach or, if the driver is a VFIO driver, for a detach. The scripts cannot prevent it.
 */
gboolean vv_settle (VvBinding *b, const VvDriverState *state, GError **error);
