/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state-store.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pci-device.h"

#define GROUP "device"
#define ENTRY_LIMIT 16384
#define NAME_LIMIT 256 /* bytes of a domain name; libvirt allows longer names. For display only. */
#define LOCK_PREFIX "lock-"
#define LOCK_RETRY_US 20000
#define NOTES "notes" /* name of the lock of all notes */
#define NOTES_TIMEOUT_MS 5000
#define NOTE_RETRY_US 500

struct VvStateStore {
  VvDir *dir;  /* NULL: it does not exist, and was opened without @create */
  uid_t owner; /* the trusted owner of files, besides root */
};

struct VvLock {
  int fd;
};

static const char *const state_names[] = {"recorded", "detaching", "detached", "reattaching"};

const char *
vv_state_name (VvState state)
{
  return state_names[state];
}

VvEntry *
vv_entry_new (const char *address, const char *modalias)
{
  VvEntry *entry = g_new0 (VvEntry, 1);

  entry->address = g_strdup (address);
  entry->modalias = g_strdup (modalias);
  return entry;
}

VvEntry *
vv_entry_copy (const VvEntry *entry)
{
  VvEntry *copy = g_new (VvEntry, 1);

  *copy = *entry;
  copy->address = g_strdup (entry->address);
  copy->modalias = g_strdup (entry->modalias);
  copy->host = vv_driver_state_copy (&entry->host);
  copy->vfio_driver = g_strdup (entry->vfio_driver);
  copy->domain = g_strdup (entry->domain);
  copy->domain_uuid = g_strdup (entry->domain_uuid);
  copy->requested = g_strdup (entry->requested);
  copy->failed = g_strdup (entry->failed);
  return copy;
}

void
vv_entry_free (VvEntry *entry)
{
  if (!entry)
    return;
  g_free (entry->address);
  g_free (entry->modalias);
  vv_driver_state_clear (&entry->host);
  g_free (entry->vfio_driver);
  g_free (entry->domain);
  g_free (entry->domain_uuid);
  g_free (entry->requested);
  g_free (entry->failed);
  g_free (entry);
}

void
vv_entry_set_domain (VvEntry *entry, const char *name, const char *uuid)
{
  if (!uuid || g_strcmp0 (entry->domain_uuid, uuid) != 0) {
    g_clear_pointer (&entry->requested, g_free);
    g_clear_pointer (&entry->failed, g_free);
  }
  g_free (entry->domain);
  g_free (entry->domain_uuid);
  entry->domain = name ? g_utf8_make_valid (name, (gssize)strnlen (name, NAME_LIMIT)) : NULL;
  entry->domain_uuid = g_strdup (uuid);
  entry->in_use = FALSE;
  entry->unmanaged = FALSE;
}

/* The contents decide which module root loads. Therefore, only root may be able to write the directory; with
 * @sysroot, the caller may own it. */
static gboolean
is_trusted (const VvStateStore *store, GError **error)
{
  const VvDir *dir = store->dir;
  struct stat st;

  if (fstat (dir->fd, &st) < 0)
    return vv_set_errno (error, errno, "%s", dir->path);
  if (st.st_uid != 0 && st.st_uid != store->owner)
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
                 _ ("%s belongs to user %u and not to root: ignoring its contents; remove it"), dir->path,
                 st.st_uid);
  else if (st.st_mode & 022)
    g_set_error (
        error, VV_ERROR, VV_ERROR_REFUSED,
        _ ("%s is writable by its group or others: ignoring its contents; if they are yours: chmod go-w %s"),
        dir->path, dir->path);
  else
    return TRUE;
  return FALSE;
}

VvStateStore *
vv_state_store_open (const VvHost *host, gboolean create, GError **error)
{
  g_autoptr (VvStateStore) store = g_new0 (VvStateStore, 1);
  g_autoptr (GError) local = NULL;

  if (create && mkdir (host->run_path, 0755) < 0 && errno != EEXIST) {
    vv_set_errno (error, errno, "%s: mkdir", host->run_path);
    return NULL;
  }
  store->owner = host->sysroot ? geteuid () : 0;
  store->dir = vv_dir_open (NULL, host->run_path, &local);
  if (!store->dir && (create || !g_error_matches (local, VV_ERROR, VV_ERROR_NOT_FOUND))) {
    g_propagate_error (error, g_steal_pointer (&local));
    return NULL;
  }
  if (store->dir && !is_trusted (store, error))
    return NULL;
  return g_steal_pointer (&store);
}

void
vv_state_store_free (VvStateStore *store)
{
  if (!store)
    return;
  vv_dir_free (store->dir);
  g_free (store);
}

/* Files of the state store are regular files that only root can write. Does not open any other file, such as
 * a link, a pipe or a device. */
static char *
read_own (const VvStateStore *store, const char *name, gsize limit, GError **error)
{
  struct stat st;

  if (fstatat (store->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
      (!S_ISREG (st.st_mode) || st.st_mode & 022 || (st.st_uid != 0 && st.st_uid != store->owner))) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("%s/%s is not a regular file that only root can write"),
                 store->dir->path, name);
    return NULL;
  }
  return vv_io_read (store->dir, name, limit, error);
}

static gboolean
set_damaged (GError **error, const char *key)
{
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("invalid value of %s"), key);
  return FALSE;
}

/* Only a missing key means "none": a wrong guess could leave a device without its driver. */
static gboolean
is_none (const GError *problem)
{
  return g_error_matches (problem, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND) ||
         g_error_matches (problem, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_GROUP_NOT_FOUND);
}

static gboolean
get (GKeyFile *file, const char *key, char **value, GError **error)
{
  g_autoptr (GError) problem = NULL;

  *value = g_key_file_get_string (file, GROUP, key, &problem);
  return !problem || is_none (problem) || set_damaged (error, key); /* GLib may set a value anyway */
}

static gboolean
get_flag (GKeyFile *file, const char *key, gboolean *value, GError **error)
{
  g_autoptr (GError) problem = NULL;

  *value = g_key_file_get_boolean (file, GROUP, key, &problem);
  return !problem || is_none (problem) || set_damaged (error, key);
}

static gboolean
parse_state (const char *name, VvState *state)
{
  for (gsize i = 0; name && i < G_N_ELEMENTS (state_names); i++)
    if (strcmp (name, state_names[i]) == 0) {
      *state = i;
      return TRUE;
    }
  return FALSE;
}

/* The name becomes part of a path in sysfs, or is a module name. */
static gboolean
is_name (const char *text)
{
  return !text || (*text && *text != '.' && !strchr (text, '/'));
}

static gboolean
read_values (VvEntry *entry, GKeyFile *file, GError **error)
{
  return get (file, "modalias", &entry->modalias, error) &&
         get (file, "host-driver", &entry->host.driver, error) &&
         get (file, "host-module", &entry->host.module, error) &&
         get (file, "host-driver-override", &entry->host.override, error) &&
         get (file, "vfio-driver", &entry->vfio_driver, error) &&
         get (file, "domain", &entry->domain, error) &&
         get (file, "domain-uuid", &entry->domain_uuid, error) &&
         get (file, "requested", &entry->requested, error) && get (file, "failed", &entry->failed, error) &&
         get_flag (file, "host-known", &entry->host_known, error) &&
         get_flag (file, "pinned", &entry->pinned, error) &&
         get_flag (file, "at-boot", &entry->at_boot, error) &&
         get_flag (file, "in-use", &entry->in_use, error) &&
         get_flag (file, "unmanaged", &entry->unmanaged, error);
}

/* State files from before 1.0 outlive an upgrade while guests run. */
static void
rename_old_keys (GKeyFile *file)
{
  static const char *const keys[][2] = {
      {"home-driver", "host-driver"},
      {"home-module", "host-module"},
      {"home-driver-override", "host-driver-override"},
      {"home-known", "host-known"},
      {"held", "pinned"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++) {
    g_autofree char *value = g_key_file_get_value (file, GROUP, keys[i][0], NULL);
    if (value && !g_key_file_has_key (file, GROUP, keys[i][1], NULL))
      g_key_file_set_value (file, GROUP, keys[i][1], value);
  }
  g_autofree char *state = g_key_file_get_value (file, GROUP, "state", NULL);
  if (g_strcmp0 (state, "noted") == 0)
    g_key_file_set_value (file, GROUP, "state", state_names[VV_STATE_RECORDED]);
}

/* Returns NULL with @error set if a value is damaged; NULL without @error if the text is not an entry of this
 * device. */
static VvEntry *
entry_from_text (const char *address, const char *text, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (VvEntry) entry = vv_entry_new (address, NULL);
  g_autofree char *state = NULL;
  g_autofree char *of = NULL;

  if (!g_key_file_load_from_data (file, text, -1, G_KEY_FILE_NONE, NULL))
    return NULL;
  rename_old_keys (file);
  if (!get (file, "state", &state, error) || !get (file, "address", &of, error) ||
      !read_values (entry, file, error) || !parse_state (state, &entry->state) ||
      g_strcmp0 (of, address) != 0 || !entry->modalias || !is_name (entry->host.driver) ||
      !is_name (entry->host.module) || !is_name (entry->vfio_driver))
    return NULL;
  return g_steal_pointer (&entry);
}

VvEntry *
vv_state_store_load (const VvStateStore *store, const char *address, GError **error)
{
  g_autoptr (GError) local = NULL;
  struct stat st;

  if (!store->dir || (fstatat (store->dir->fd, address, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT))
    return NULL; /* a dangling link counts as a file */
  g_autofree char *text = read_own (store, address, ENTRY_LIMIT, &local);
  VvEntry *entry = text ? entry_from_text (address, text, &local) : NULL;
  if (!entry)
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("cannot read %s/%s as a state file (%s): the former driver of the device is unknown; "
                    "remove that file and run 'vfio-variant restore %s' to let the kernel choose a driver"),
                 store->dir->path, address, local ? local->message : _ ("damaged"), address);
  return entry;
}

/* Searches whole lines, because values in a key file contain no line breaks. */
gboolean
vv_state_store_at_rest (const VvStateStore *store, const char *address)
{
  static const VvState at_rest[] = {VV_STATE_RECORDED, VV_STATE_DETACHED};
  g_autofree char *text = store->dir ? read_own (store, address, ENTRY_LIMIT, NULL) : NULL;

  for (gsize i = 0; text && i < G_N_ELEMENTS (at_rest); i++) {
    g_autofree char *line = g_strconcat ("\nstate=", state_names[at_rest[i]], "\n", NULL);
    if (strstr (text, line))
      return TRUE;
  }
  return FALSE;
}

static void
put (GKeyFile *file, const char *key, const char *value)
{
  if (value)
    g_key_file_set_string (file, GROUP, key, value);
}

gboolean
vv_state_store_save (const VvStateStore *store, const VvEntry *entry, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  g_key_file_set_string (file, GROUP, "address", entry->address);
  put (file, "modalias", entry->modalias);
  put (file, "state", state_names[entry->state]);
  g_key_file_set_boolean (file, GROUP, "host-known", entry->host_known);
  put (file, "host-driver", entry->host.driver);
  put (file, "host-module", entry->host.module);
  put (file, "host-driver-override", entry->host.override);
  put (file, "vfio-driver", entry->vfio_driver);
  g_key_file_set_boolean (file, GROUP, "pinned", entry->pinned);
  g_key_file_set_boolean (file, GROUP, "at-boot", entry->at_boot);
  put (file, "domain", entry->domain);
  put (file, "domain-uuid", entry->domain_uuid);
  g_key_file_set_boolean (file, GROUP, "in-use", entry->in_use);
  g_key_file_set_boolean (file, GROUP, "unmanaged", entry->unmanaged);
  put (file, "requested", entry->requested);
  put (file, "failed", entry->failed);

  g_autofree char *text = g_key_file_to_data (file, NULL, NULL);
  if (strlen (text) <= ENTRY_LIMIT && g_utf8_validate (text, -1, NULL))
    return vv_io_replace (store->dir, entry->address, text, error);
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               _ ("%s/%s: refusing to write a state file that could not be read back"), store->dir->path,
               entry->address);
  return FALSE;
}

gboolean
vv_state_store_drop (const VvStateStore *store, const char *address, GError **error)
{
  return !store->dir || vv_io_remove (store->dir, address, error);
}

GPtrArray *
vv_state_store_addresses (const VvStateStore *store)
{
  GPtrArray *names = store->dir ? vv_io_list (store->dir, ".") : g_ptr_array_new_with_free_func (g_free);

  for (guint i = names->len; i-- > 0;) {
    g_autofree char *address = vv_pci_address_parse (names->pdata[i], NULL);
    if (g_strcmp0 (address, names->pdata[i]) != 0)
      g_ptr_array_remove_index (names, i);
  }
  return names;
}

/* flock(2) has no time limit. Retries every @retry_us; this is rare, because processes keep a lock only
 * briefly. */
static gboolean
flock_within (int fd, guint timeout_ms, guint retry_us)
{
  gint64 end = g_get_monotonic_time () + timeout_ms * G_TIME_SPAN_MILLISECOND;

  while (flock (fd, LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return FALSE;
    if (g_get_monotonic_time () >= end) {
      errno = EWOULDBLOCK;
      return FALSE;
    }
    g_usleep (retry_us);
  }
  return TRUE;
}

/* Sets @errnum to EWOULDBLOCK if another process has the lock. */
static VvLock *
take_lock (const VvStateStore *store, const char *of, guint timeout_ms, guint retry_us, int *errnum,
           GError **error)
{
  g_autofree char *name = g_strconcat (LOCK_PREFIX, of, NULL);
  int fd = openat (store->dir->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0) {
    *errnum = errno;
    vv_set_errno (error, *errnum, "%s/%s: open", store->dir->path, name);
    return NULL;
  }
  if (!flock_within (fd, timeout_ms, retry_us)) {
    *errnum = errno;
    close (fd);
    vv_set_errno (error, *errnum, "%s/%s: flock", store->dir->path, name);
    return NULL;
  }
  VvLock *lock = g_new0 (VvLock, 1);
  lock->fd = fd;
  return lock;
}

static VvLock *
lock_within (const VvStateStore *store, const char *address, guint timeout_ms, guint retry_us, GError **error)
{
  g_autoptr (GError) local = NULL;
  int errnum = 0;
  VvLock *lock = take_lock (store, address, timeout_ms, retry_us, &errnum, &local);

  if (lock)
    return lock;
  if (errnum == EWOULDBLOCK)
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
                 _ ("%s: another process is moving this device; 'lslocks' shows it"), address);
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

VvLock *
vv_state_store_lock (const VvStateStore *store, const char *address, guint timeout_ms, GError **error)
{
  return lock_within (store, address, timeout_ms, LOCK_RETRY_US, error);
}

void
vv_lock_free (VvLock *lock)
{
  if (!lock)
    return;
  close (lock->fd);
  g_free (lock);
}

/* --- notes --- */

char *
vv_state_store_read_file (const VvStateStore *store, const char *name, gsize limit, GError **error)
{
  return store->dir ? read_own (store, name, limit, error) : NULL;
}

char *
vv_state_store_read (const VvStateStore *store, const char *name)
{
  return vv_state_store_read_file (store, name, VV_NOTE_LIMIT, NULL);
}

gboolean
vv_state_store_write (const VvStateStore *store, const char *name, const char *text, GError **error)
{
  int errnum = 0;
  g_autoptr (VvLock) lock = take_lock (store, NOTES, NOTES_TIMEOUT_MS, NOTE_RETRY_US, &errnum, error);

  return lock && vv_io_replace (store->dir, name, text, error);
}

const VvDir *
vv_state_store_dir (const VvStateStore *store)
{
  return store->dir;
}

VvLock *
vv_state_store_lock_note (const VvStateStore *store, const char *note, guint timeout_ms, GError **error)
{
  return lock_within (store, note, timeout_ms, NOTE_RETRY_US, error);
}
