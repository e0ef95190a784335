/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding-steps: one device that is ours to move, and the single steps of which binding and recovery are
 * made.
 *
 * Owns: the device's lock and entry while it is moved, every write to sysfs, and the record of what was done.
 * Each step is recorded as the shell command that does the same, done unless this is a dry run, and reflected
 * in the binding's device. Knows nothing of candidates nor of what an entry's state means. Only binding and
 * recovery call what is below "steps".
 */
#pragma once

#include "change.h"
#include "phase-timer.h"
#include "context.h"

/**
 * VvDeadline:
 * @until: when somebody stops waiting, by g_get_monotonic_time(); no candidate but the generic driver is
 * begun after it, and no script of the hook point runs longer; 0: nobody waits
 * @touched: (nullable): called with TRUE before the first write to sysfs, and with FALSE when all that was
 * written is undone and only modules are loaded next. While the device is touched, all that can take long is
 * the kernel's driver core, or a script.
 * @data: for @touched
 * @timer: (nullable): told what is done meanwhile
 *
 * How long whoever waits for a change (libvirt, held by the gate) is going to do so.
 */
typedef struct {
  gint64 until;
  void (*touched) (gboolean touched, gpointer data);
  gpointer data;
  VvPhaseTimer *timer;
} VvDeadline;

/**
 * VvBinding:
 * @context: what it was opened with
 * @device: the device as it is now
 * @entry: (nullable): its state file; to be changed by the owner of the binding, then vv_binding_save()
 * @change: (nullable): what was done last, as far as it came. It is logged and counted when the next change
 * begins or the binding is closed; its owner may add to it until then
 */
typedef struct {
  const VvContext *context;
  VvPciDevice *device;
  VvEntry *entry;
  VvChange *change;
  /*< private >*/
  VvLock *lock; /* NULL: a dry run */
  VvDeadline deadline;
  const char *seen_on; /* NULL, or the driver that a device was on before libvirt unbound it */
  gint64 begun;
  gboolean is_touched;
  gboolean is_new;
} VvBinding;

/**
 * vv_binding_new:
 * @lock: (transfer full) (nullable): the device's lock, which is freed also when this fails; NULL: a dry run,
 * which writes nothing and only records the steps
 *
 * Reads the device's entry, and drops that of another device which had this address.
 *
 * Returns: (transfer full): the binding; @context must live longer; or NULL with @error set
 */
VvBinding *vv_binding_new (const VvContext *context, const char *address, VvLock *lock, GError **error);

/**
 * vv_binding_close:
 * @binding: (transfer full) (nullable)
 *
 * Releases the device, and logs and counts what was done last, but for a dry run.
 *
 * Returns: (transfer full) (nullable): the record of that; NULL: nothing was begun
 */
VvChange *vv_binding_close (VvBinding *binding);
void vv_binding_free (VvBinding *binding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvBinding, vv_binding_free)

/** vv_binding_record: makes @binding->entry when there is none: @host (nullable) is what the device was on
 * the host; NULL: that is not known. In memory: vv_binding_save() writes it */
void vv_binding_record (VvBinding *binding, const VvDriverState *host);

/** vv_binding_save: writes the entry to the state store */
gboolean vv_binding_save (VvBinding *binding, GError **error);

/** vv_binding_set_detached: the entry says that the device is on VFIO, on the driver that it is on now. In
 * memory: vv_binding_save() writes it */
void vv_binding_set_detached (VvBinding *binding);

/** vv_binding_forget: drops the entry, here and in the state store */
gboolean vv_binding_forget (VvBinding *binding, GError **error);

/* --- steps --- */

/** What clears driver_override; an empty write is not passed on by the kernel */
#define VV_NO_OVERRIDE "\n"

/** vv_binding_tell: logs and counts what was done last, and forgets it */
void vv_binding_tell (VvBinding *b);

/** vv_binding_begin: starts the record of a change, after vv_binding_tell() of the one before it */
void vv_binding_begin (VvBinding *b, VvOperation operation);

/**
 * vv_binding_end:
 * @why: (nullable): what decided, where nothing else says so
 * @problem: (transfer full) (nullable): why it came to nothing
 *
 * Ends the record, and hands @problem on.
 *
 * Returns: whether there is no @problem
 */
gboolean vv_binding_end (VvBinding *b, const char *why, GError *problem, GError **error);

/** vv_binding_vanished: Returns: whether @b's device went away: then nothing can be done for it, nor undone
 */
gboolean vv_binding_vanished (VvBinding *b, GError **error);

/** vv_same: Returns: whether two names, each of which may be NULL, are the same */
static inline gboolean
vv_same (const char *a, const char *b)
{
  return g_strcmp0 (a, b) == 0;
}

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

/** vv_step_untouched: all that was written is undone; tells who waits for that (see VvDeadline) */
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
 * @state: its module is loaded when the driver is not there
 *
 * Brings the device to a known state: exactly this driver with exactly this override. The hook point is told
 * of a reattach or, when it is a VFIO driver, of a detach; there is no veto.
 */
gboolean vv_settle (VvBinding *b, const VvDriverState *state, GError **error);
