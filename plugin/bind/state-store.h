/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * journal: what each device was before we touched it; survives a crash (rules R5, R6).
 *
 * Owns: /run/vfio-variant: one key file per device, replaced as a whole, and the per-device locks; beside
 * them notes, small texts of others. The state store lives as long as the boot does, as driver bindings do.
 * Knows nothing of how devices move, nor of what a note says.
 */
#pragma once

#include "pci-device.h"

/**
 * VvState:
 * @VV_STATE_RECORDED: home is written down; somebody else (libvirt) is about to detach the device
 * @VV_STATE_DETACHING: a detach of ours is under way, or was when its process died
 * @VV_STATE_DETACHED: the device is on @vfio_driver
 * @VV_STATE_REATTACHING: a reattach of ours is under way, or was when its process died
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
 * @modalias: its modalias, so that another device at the same address is not taken for it
 * @state: how far it is
 * @host_known: whether @host says anything
 * @host: what it was on the host
 * @vfio_driver: (nullable): where it is, or is going
 * @pinned: detached by the administrator: it stays on VFIO when a domain is done with it
 * @at_boot: held, because the policy wants it on VFIO from boot on
 * @domain: (nullable): name of the domain that has it or is about to
 * @domain_uuid: (nullable): that domain's UUID
 * @in_use: the domain runs
 * @unmanaged: that domain neither took it from the host nor gives it back (managed='no')
 * @requested: (nullable): what that domain requests for it, as vv_requested_to_text() has it
 * @failed: (nullable): drivers that failed for it during the domain's start, as attach writes them
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

/** vv_entry_set_domain: gives the device to a domain, or with NULL takes it from one; neither in use nor
 * unmanaged from then on; what another domain requested, and what failed for it, is dropped */
void vv_entry_set_domain (VvEntry *entry, const char *name, const char *uuid);

typedef struct VvStateStore VvStateStore;

/**
 * vv_state_store_open:
 * @create: make the directory when it is not there; needs root
 *
 * Returns: (transfer full): the state store, or NULL with @error set, VV_ERROR_REFUSED when somebody but root
 * has power over the directory; without @create, a missing directory is an empty state store
 */
VvStateStore *vv_state_store_open (const VvHost *host, gboolean create, GError **error);
void vv_state_store_free (VvStateStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvStateStore, vv_state_store_free)

/**
 * vv_state_store_load:
 *
 * A key that is not there says "none". A value that cannot be read (no UTF-8, an unfinished escape, neither
 * true nor false) does not.
 *
 * Returns: (transfer full) (nullable): the entry; NULL without @error when the device has none, NULL with
 * @error set when it has one that cannot be read (the message names the file, a damaged value's key, and the
 * remedy)
 */
VvEntry *vv_state_store_load (const VvStateStore *store, const char *address, GError **error);

/**
 * vv_state_store_at_rest:
 *
 * As vv_state_store_load() would find out, but at a tenth of its cost: hosts with many devices look at all
 * entries again and again.
 *
 * Returns: whether the device's entry is there and says that nothing is under way (VV_STATE_RECORDED,
 * VV_STATE_DETACHED)
 */
gboolean vv_state_store_at_rest (const VvStateStore *store, const char *address);

/** vv_state_store_save: writes an entry so that it survives a crash from here on */
gboolean vv_state_store_save (const VvStateStore *store, const VvEntry *entry, GError **error);

/** vv_state_store_drop: forgets a device */
gboolean vv_state_store_drop (const VvStateStore *store, const char *address, GError **error);

/** vv_state_store_addresses: Returns: (transfer full) (element-type utf8): devices with an entry, sorted */
GPtrArray *vv_state_store_addresses (const VvStateStore *store);

/** The bytes that a note has at the most. */
#define VV_NOTE_LIMIT 4096

/**
 * vv_state_store_read:
 * @name: a plain file name, neither an address nor with one for its end
 *
 * Returns: (transfer full) (nullable): the note, or NULL when it is not there or not to be read
 */
char *vv_state_store_read (const VvStateStore *store, const char *name);

/**
 * vv_state_store_read_file:
 * @name: a plain file name
 * @limit: the most bytes that it may have
 *
 * What was written beside the entries. Only a regular file that nobody but root can write is opened.
 *
 * Returns: (transfer full) (nullable): its text; NULL without a directory, or with @error set
 */
char *vv_state_store_read_file (const VvStateStore *store, const char *name, gsize limit, GError **error);

/**
 * vv_state_store_write:
 * @name: as for vv_state_store_read()
 * @text: at most VV_NOTE_LIMIT bytes
 *
 * Gives a note a new text. Notes belong to no device, so processes with the locks of different devices may
 * write the same one: one after another. The state store must have been opened to be created.
 */
gboolean vv_state_store_write (const VvStateStore *store, const char *name, const char *text, GError **error);

/**
 * VvLock: the right to move one device. Gone when freed, or when its process dies.
 */
typedef struct VvLock VvLock;

/**
 * vv_state_store_lock:
 * @timeout_ms: how long to wait for another holder, in milliseconds; 0: not at all
 *
 * Returns: (transfer full): the lock, or NULL with @error set (VV_ERROR_REFUSED: somebody else has it)
 */
VvLock *vv_state_store_lock (const VvStateStore *store, const char *address, guint timeout_ms,
                             GError **error);
void vv_lock_free (VvLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvLock, vv_lock_free)

/**
 * vv_state_store_dir: for notes that are kept beside the entries; their names are no addresses
 *
 * Returns: (nullable): the directory; NULL: it is not there
 */
const VvDir *vv_state_store_dir (const VvStateStore *store);

/**
 * vv_state_store_lock_note:
 * @note: its name
 * @timeout_ms: how long to wait for another holder, in milliseconds
 *
 * The right to replace a note. Holders keep it for less than a millisecond, so it is asked for more often
 * than a device's lock.
 *
 * Returns: (transfer full): the lock, or NULL with @error set (VV_ERROR_REFUSED: somebody else has it)
 */
VvLock *vv_state_store_lock_note (const VvStateStore *store, const char *note, guint timeout_ms,
                                  GError **error);
