/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * state-store: the state of each device before vfio-variant changed it; survives a crash (rules R5, R6).
 *
 * Owns: /run/vfio-variant. It has one key file per device, which is always replaced as a whole, and the
 * per-device locks. It also has notes, which are small text files of other modules. The state store lasts
 * until the next boot, like driver bindings. Knows nothing of how devices are rebound, nor of the content of
 * a note.
 */
#pragma once

#include "pci-device.h"

/**
 * VvState:
 * @VV_STATE_RECORDED: the host driver is recorded; libvirt is about to detach the device
 * @VV_STATE_DETACHING: vfio-variant is detaching the device, or was when its process died
 * @VV_STATE_DETACHED: the device is on @vfio_driver
 * @VV_STATE_REATTACHING: vfio-variant is reattaching the device, or was when its process died
 */
typedef enum {
  VV_STATE_RECORDED,
  VV_STATE_DETACHING,
  VV_STATE_DETACHED,
  VV_STATE_REATTACHING,
} VvState;

/** vv_state_name: Returns: "recorded", "detaching", "detached" or "reattaching" */
const char *vv_state_name (VvState state);

/**
 * VvEntry:
 * @address: the device
 * @modalias: its modalias, which tells it from another device at the same address
 * @state: the progress of the rebind
 * @host_known: whether @host is valid
 * @host: its driver state on the host
 * @vfio_driver: (nullable): its present VFIO driver, or the target of the rebind
 * @pinned: bound by an administrator: it stays on VFIO when a domain releases it
 * @at_boot: pinned at boot, because the policy requires VFIO from boot on
 * @domain: (nullable): name of the domain that has the device or is about to get it
 * @domain_uuid: (nullable): that domain's UUID
 * @in_use: the domain runs
 * @unmanaged: neither libvirt nor vfio-variant detaches and reattaches it for that domain (managed='no')
 * @requested: (nullable): what that domain requests for it, as vv_requested_to_text() returns it
 * @failed: (nullable): drivers that failed for it during the domain's start, in the format of attach
 */
typedef struct {
  char *address;
  char *modalias;
  VvState state;
  gboolean host_known;
  VvDriverState host;
  char *vfio_driver;
  gboolean pinned;
  gboolean at_boot;
  char *domain;
  char *domain_uuid;
  gboolean in_use;
  gboolean unmanaged;
  char *requested;
  char *failed;
} VvEntry;

VvEntry *vv_entry_new (const char *address, const char *modalias);
VvEntry *vv_entry_copy (const VvEntry *entry);
void vv_entry_free (VvEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvEntry, vv_entry_free)

/**
 * vv_entry_set_domain:
 * @name: (nullable): the domain's name; NULL: no domain
 * @uuid: (nullable): its UUID
 *
 * Assigns the device to a domain, and clears @in_use and @unmanaged. If @uuid is not that of the former
 * domain, also drops the requested options and the failed drivers.
 */
void vv_entry_set_domain (VvEntry *entry, const char *name, const char *uuid);

typedef struct VvStateStore VvStateStore;

/**
 * vv_state_store_open:
 * @create: create the directory if it does not exist; requires root
 *
 * Returns: (transfer full): the state store, or NULL with @error set, VV_ERROR_REFUSED when a user other than
 * root owns the directory or can write to it. Without @create, a missing directory is an empty state store.
 */
VvStateStore *vv_state_store_open (const VvHost *host, gboolean create, GError **error);
void vv_state_store_free (VvStateStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvStateStore, vv_state_store_free)

/**
 * vv_state_store_load:
 *
 * Reads the entry of a device. A missing key means "none". An invalid value is an error: invalid UTF-8, an
 * incomplete escape sequence, or a flag that is neither true nor false.
 *
 * Returns: (transfer full) (nullable): the entry; NULL without @error when the device has none; NULL with
 * @error set when its entry cannot be read. The message names the file, the key of an invalid value, and the
 * fix.
 */
VvEntry *vv_state_store_load (const VvStateStore *store, const char *address, GError **error);

/**
 * vv_state_store_at_rest:
 *
 * Checks the state at a tenth of the cost of vv_state_store_load(), because hosts with many devices check all
 * entries often.
 *
 * Returns: whether the device has an entry and no rebind is in progress (VV_STATE_RECORDED,
 * VV_STATE_DETACHED)
 */
gboolean vv_state_store_at_rest (const VvStateStore *store, const char *address);

/** vv_state_store_save: Writes an entry. The entry survives a crash once this returns. */
gboolean vv_state_store_save (const VvStateStore *store, const VvEntry *entry, GError **error);

/** vv_state_store_drop: Removes the entry of a device. */
gboolean vv_state_store_drop (const VvStateStore *store, const char *address, GError **error);

/** vv_state_store_addresses: Returns: (transfer full) (element-type utf8): the devices with an entry,
 * sorted */
GPtrArray *vv_state_store_addresses (const VvStateStore *store);

/** The maximum size of a note in bytes */
#define VV_NOTE_LIMIT 4096

/**
 * vv_state_store_read:
 * @name: a plain file name that is not an address and does not end with one
 *
 * Returns: (transfer full) (nullable): the note; NULL when it does not exist or cannot be read
 */
char *vv_state_store_read (const VvStateStore *store, const char *name);

/**
 * vv_state_store_read_file:
 * @name: a plain file name
 * @limit: its maximum size in bytes
 *
 * Reads a file in the directory of the state store. Opens it only if it is a regular file that only root can
 * write.
 *
 * Returns: (transfer full) (nullable): its text; NULL without a directory, or with @error set
 */
char *vv_state_store_read_file (const VvStateStore *store, const char *name, gsize limit, GError **error);

/**
 * vv_state_store_write:
 * @name: as for vv_state_store_read()
 * @text: at most VV_NOTE_LIMIT bytes
 *
 * Replaces the text of a note. A note belongs to no device, so processes with the locks of different devices
 * may write the same note; a lock for all notes serializes them. The state store must have been opened with
 * @create.
 */
gboolean vv_state_store_write (const VvStateStore *store, const char *name, const char *text, GError **error);

/**
 * VvLock: the right to rebind one device. Ends when it is freed, or when its process dies.
 */
typedef struct VvLock VvLock;

/**
 * vv_state_store_lock:
 * @timeout_ms: how long to wait for another process, in milliseconds; 0: do not wait
 *
 * Returns: (transfer full): the lock, or NULL with @error set (VV_ERROR_REFUSED: another process has it)
 */
VvLock *vv_state_store_lock (const VvStateStore *store, const char *address, guint timeout_ms,
                             GError **error);
void vv_lock_free (VvLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvLock, vv_lock_free)

/**
 * vv_state_store_dir:
 *
 * For files of other modules beside the entries; their names must not be addresses.
 *
 * Returns: (nullable): the directory; NULL: it does not exist
 */
const VvDir *vv_state_store_dir (const VvStateStore *store);

/**
 * vv_state_store_lock_note:
 * @note: its name
 * @timeout_ms: how long to wait for another process, in milliseconds
 *
 * Takes the lock for replacing one note. Processes keep it for less than a millisecond, so this tries more
 * often than vv_state_store_lock().
 *
 * Returns: (transfer full): the lock, or NULL with @error set (VV_ERROR_REFUSED: another process has it)
 */
VvLock *vv_state_store_lock_note (const VvStateStore *store, const char *note, guint timeout_ms,
                                  GError **error);
