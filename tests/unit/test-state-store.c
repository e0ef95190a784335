/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of state-store: state files are read as they were written, damage is reported, and a lock has one
 * holder (rules R5, R6, R12).
 */
#include "state-store.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-kernel.h"

#define FOLDER "run/vfio-variant"

typedef struct {
  FakeKernel *k;
  VvHost *host;
  VvStateStore *store;
} Fixture;

static void
fixture_free (Fixture *f)
{
  vv_state_store_free (f->store);
  vv_host_free (f->host);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

static Fixture *
fixture_new (gboolean create)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_new ();
  f->host = vv_host_new (f->k->root, NULL, NULL);
  f->store = vv_state_store_open (f->host, create, &error);
  g_assert_no_error (error);
  return f;
}

static VvEntry *
whole_entry (void)
{
  VvEntry *entry = vv_entry_new (NIC, NIC_MODALIAS);

  entry->state = VV_STATE_DETACHED;
  entry->host_known = TRUE;
  entry->host.driver = g_strdup ("mlx5_core");
  entry->host.module = g_strdup ("mlx5_core");
  entry->host.override = g_strdup ("mlx5_core");
  entry->vfio_driver = g_strdup ("mlx5_vfio_pci");
  entry->pinned = TRUE;
  vv_entry_set_domain (entry, "vm1", "6695eb01-f6a4-8304-79aa-97f2502e193f");
  entry->in_use = TRUE;
  return entry;
}

static void
assert_same_entry (const VvEntry *a, const VvEntry *b)
{
  g_assert_cmpstr (a->address, ==, b->address);
  g_assert_cmpstr (a->modalias, ==, b->modalias);
  g_assert_cmpint (a->state, ==, b->state);
  g_assert_cmpint (a->host_known, ==, b->host_known);
  g_assert_cmpstr (a->host.driver, ==, b->host.driver);
  g_assert_cmpstr (a->host.module, ==, b->host.module);
  g_assert_cmpstr (a->host.override, ==, b->host.override);
  g_assert_cmpstr (a->vfio_driver, ==, b->vfio_driver);
  g_assert_cmpint (a->pinned, ==, b->pinned);
  g_assert_cmpstr (a->domain, ==, b->domain);
  g_assert_cmpstr (a->domain_uuid, ==, b->domain_uuid);
  g_assert_cmpint (a->in_use, ==, b->in_use);
}

static void
assert_comes_back (const Fixture *f, const VvEntry *entry)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (vv_state_store_save (f->store, entry, &error));
  g_assert_no_error (error);
  g_autoptr (VvEntry) loaded = vv_state_store_load (f->store, entry->address, &error);
  g_assert_no_error (error);
  assert_same_entry (loaded, entry);
  g_assert_cmpint (vv_state_store_at_rest (f->store, entry->address), ==,
                   entry->state == VV_STATE_RECORDED || entry->state == VV_STATE_DETACHED);
}

static void
test_round_trip (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) whole = whole_entry ();
  g_autoptr (VvEntry) copy = vv_entry_copy (whole);
  g_autoptr (VvEntry) bare = vv_entry_new (DISK, DISK_MODALIAS);

  assert_comes_back (f, whole);
  assert_comes_back (f, bare);
  assert_same_entry (copy, whole);
}

static void
test_every_state (void)
{
  static const char *const names[] = {"recorded", "detaching", "detached", "reattaching"};
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) entry = whole_entry ();

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    entry->state = i;
    g_assert_cmpstr (vv_state_name (i), ==, names[i]);
    assert_comes_back (f, entry);
  }
}

/* An upgrade while guests run reads the state files of the older version. */
static void
test_names_of_before_1_0 (void)
{
  static const struct {
    const char *state;
    VvState expected;
  } states[] = {{"noted", VV_STATE_RECORDED}, {"detached", VV_STATE_DETACHED}};
  g_autoptr (Fixture) f = fixture_new (TRUE);

  for (gsize i = 0; i < G_N_ELEMENTS (states); i++) {
    g_autofree char *text =
        g_strdup_printf ("[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS "\nstate=%s\nhome-known=true\n"
                         "home-driver=mlx5_core\nhome-module=mlx5_core\nhome-driver-override=mlx5_core\n"
                         "vfio-driver=vfio-pci\nheld=true\nat-boot=true\n",
                         states[i].state);
    fake_write (f->k, FOLDER "/" NIC, text);
    g_autoptr (VvEntry) entry = vv_state_store_load (f->store, NIC, NULL);
    g_assert_nonnull (entry);
    g_assert_cmpint (entry->state, ==, states[i].expected);
    g_assert_true (entry->host_known && entry->pinned && entry->at_boot);
    g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
    g_assert_cmpstr (entry->host.module, ==, "mlx5_core");
    g_assert_cmpstr (entry->host.override, ==, "mlx5_core");
    assert_comes_back (f, entry);
  }
}

/* Names of domains and overrides may contain almost any character. */
static void
test_odd_text (void)
{
  static const char *const odd[] = {"",      " lead",       "trail ", "two\nlines",           "[device]",
                                    "a=b;c", "back\\slash", "tab\t",  "\xc3\xa4\xe2\x82\xac", "# sharp",
                                    "\\n",   "x\r\ny"};
  g_autoptr (Fixture) f = fixture_new (TRUE);

  for (gsize i = 0; i < G_N_ELEMENTS (odd); i++) {
    g_autoptr (VvEntry) entry = whole_entry ();
    vv_entry_set_domain (entry, odd[i], odd[i]);
    g_free (entry->host.override);
    entry->host.override = g_strdup (odd[i]);
    assert_comes_back (f, entry);
  }
}

static void
test_domain (void)
{
  g_autoptr (VvEntry) entry = whole_entry ();

  vv_entry_set_domain (entry, "vm2", "77");
  g_assert_cmpstr (entry->domain, ==, "vm2");
  g_assert_false (entry->in_use); /* it does not run yet */
  vv_entry_set_domain (entry, NULL, NULL);
  g_assert_null (entry->domain);
  g_assert_null (entry->domain_uuid);
}

static void
test_drop (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) entry = whole_entry ();
  g_autoptr (GError) error = NULL;

  assert_comes_back (f, entry);
  g_assert_true (vv_state_store_drop (f->store, NIC, &error));
  g_assert_true (vv_state_store_drop (f->store, NIC, &error));
  g_assert_null (vv_state_store_load (f->store, NIC, &error));
  g_assert_no_error (error);
}

static void
test_addresses (void)
{
  static const char *const others[] = {"README",       "lock-" NIC,    "3b:00.2",
                                       "0000:3B:00.3", "0000:3b:00.9", ".0000:3b:00.4.new"};
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) nic = vv_entry_new (NIC, NIC_MODALIAS);
  g_autoptr (VvEntry) disk = vv_entry_new (DISK, DISK_MODALIAS);

  assert_comes_back (f, nic);
  assert_comes_back (f, disk);
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    g_autofree char *path = g_build_filename (FOLDER, others[i], NULL);
    fake_write (f->k, path, "");
  }
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (f->store);
  fake_assert_names (addresses, DISK " " NIC);
}

/* --- damage --- */

#define HEAD "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS "\n"

static void
test_damaged (void)
{
  static const char *const cases[] = {
      "",
      "\n\n",
      "[device]\n",
      "[other]\naddress=" NIC "\nmodalias=m:x\nstate=recorded\n",
      "no key file",
      HEAD,
      HEAD "state=\n",
      HEAD "state=flying\n",
      HEAD "state=NOTED\n",
      "[device]\nmodalias=m:x\nstate=recorded\n",
      "[device]\naddress=" DISK "\nmodalias=m:x\nstate=recorded\n",
      "[device]\naddress=" NIC "\nstate=recorded\n",
      HEAD "state=recorded\nhost-driver=../../../etc\n",
      HEAD "state=recorded\nhost-driver=.\n",
      HEAD "state=recorded\nhost-driver=\n",
      HEAD "state=recorded\nhost-module=a/b\n",
      HEAD "state=recorded\nvfio-driver=..\n",
      "\xff\xfe\x00binary",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("case %" G_GSIZE_FORMAT, i);
    g_autoptr (Fixture) f = fixture_new (TRUE);
    g_autoptr (GError) error = NULL;
    fake_write (f->k, FOLDER "/" NIC, cases[i]);
    g_assert_null (vv_state_store_load (f->store, NIC, &error));
    fake_assert_error (error, VV_ERROR_FAILED,
                       "cannot read /*/" FOLDER "/" NIC " as a state file (damaged): *remove that "
                       "file and run 'vfio-variant restore " NIC "' *");
  }
}

/* An unreadable value differs from a missing one (rule R5): it must not be read as "no host driver". */
static void
test_damaged_values (void)
{
  static const char *const values[] = {"\xffvme", "nvme\xc3", "nvme\\", "nv\\me", "\\x6e"};
  static const char *const strings[] = {"host-driver", "host-module", "host-driver-override",
                                        "vfio-driver", "domain",      "domain-uuid",
                                        "modalias",    "address",     "state"};
  static const char *const flags[] = {"host-known", "pinned", "at-boot", "in-use", "unmanaged"};
  static const char *const no_flags[] = {"", "yes", "maybe", "2", "tru", "\xff"};
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);

  for (gsize i = 0; i < G_N_ELEMENTS (strings) * G_N_ELEMENTS (values); i++)
    g_ptr_array_add (lines, g_strdup_printf ("%s=%s", strings[i / G_N_ELEMENTS (values)],
                                             values[i % G_N_ELEMENTS (values)]));
  for (gsize i = 0; i < G_N_ELEMENTS (flags) * G_N_ELEMENTS (no_flags); i++)
    g_ptr_array_add (lines, g_strdup_printf ("%s=%s", flags[i / G_N_ELEMENTS (no_flags)],
                                             no_flags[i % G_N_ELEMENTS (no_flags)]));
  for (guint i = 0; i < lines->len; i++) {
    g_autofree char *shown = g_strescape (lines->pdata[i], NULL);
    g_autoptr (Fixture) f = fixture_new (TRUE);
    g_autoptr (GError) error = NULL;
    g_autofree char *text =
        g_strdup_printf (HEAD "state=detached\nhost-known=true\n%s\n", (char *)lines->pdata[i]);
    g_autofree char *key = g_strndup (lines->pdata[i], strcspn (lines->pdata[i], "="));
    g_autofree char *message = g_strdup_printf ("cannot read /*/" FOLDER "/" NIC
                                                " as a state file (invalid value of %s): *remove that file "
                                                "and run 'vfio-variant restore " NIC "' *",
                                                key);
    g_test_message ("%s", shown);
    fake_write_bytes (f->k, FOLDER "/" NIC, text, strlen (text));
    g_assert_null (vv_state_store_load (f->store, NIC, &error));
    fake_assert_error (error, VV_ERROR_FAILED, message);
  }
}

static void
test_truncated (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) entry = whole_entry ();

  assert_comes_back (f, entry);
  g_autofree char *text = fake_read (f->k, FOLDER "/" NIC);
  char *state = strstr (text, "\nstate=");
  for (gsize length = state - text + strlen ("\nstate="); length > 0; length--) {
    g_autoptr (GError) error = NULL;
    fake_write_bytes (f->k, FOLDER "/" NIC, text, length - 1);
    g_assert_null (vv_state_store_load (f->store, NIC, &error));
    g_assert_error (error, VV_ERROR, VV_ERROR_FAILED);
  }
}

static void
test_unreadable (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autofree char *large = g_strnfill (16385, 'x');
  g_autoptr (GError) too_large = NULL;
  g_autoptr (GError) folder = NULL;

  fake_write (f->k, FOLDER "/" NIC, large);
  g_assert_null (vv_state_store_load (f->store, NIC, &too_large));
  fake_assert_error (too_large, VV_ERROR_FAILED, "*as a state file (*File too large)*");
  fake_mkdir (f->k, FOLDER "/" DISK);
  g_assert_null (vv_state_store_load (f->store, DISK, &folder));
  fake_assert_error (folder, VV_ERROR_FAILED,
                     "*as a state file (*not a regular file that only root can write)*");
}

static void
test_no_directory (void)
{
  g_autoptr (Fixture) f = fixture_new (FALSE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (f->store);

  g_assert_false (fake_exists (f->k, FOLDER)); /* reading creates nothing */
  g_assert_null (vv_state_store_load (f->store, NIC, &error));
  g_assert_true (vv_state_store_drop (f->store, NIC, &error));
  g_assert_no_error (error);
  fake_assert_names (addresses, "");
}

static void
test_directory_that_cannot_be (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvHost) host = vv_host_new (k->root, NULL, NULL);
  g_autoptr (GError) in_the_way = NULL;
  g_autoptr (GError) looking = NULL;
  g_autoptr (GError) no_run = NULL;

  fake_write (k, FOLDER, "a file");
  g_assert_null (vv_state_store_open (host, TRUE, &in_the_way));
  fake_assert_error (in_the_way, VV_ERROR_FAILED, "/*/" FOLDER ": Not a directory");
  g_assert_null (vv_state_store_open (host, FALSE, &looking));
  fake_assert_error (looking, VV_ERROR_FAILED, "/*/" FOLDER ": Not a directory");
  fake_remove (k, "run");
  g_assert_null (vv_state_store_open (host, TRUE, &no_run));
  fake_assert_error (no_run, VV_ERROR_NOT_FOUND, "/*/" FOLDER ": mkdir: No such file or directory");
}

/* A directory that other users could write is refused: a state file names a module that root loads. */
static void
test_directory_of_others (void)
{
  static const mode_t modes[] = {0775, 0757, 01777};
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvHost) host = vv_host_new (k->root, NULL, NULL);
  g_autofree char *folder = g_build_filename (k->root, FOLDER, NULL);

  fake_mkdir (k, FOLDER);
  for (gsize i = 0; i < G_N_ELEMENTS (modes); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_cmpint (chmod (folder, modes[i]), ==, 0);
    g_assert_null (vv_state_store_open (host, i & 1, &error));
    fake_assert_error (error, VV_ERROR_REFUSED, "/*/" FOLDER " is writable by *: chmod go-w /*/" FOLDER);
  }
  g_assert_cmpint (chmod (folder, 0755), ==, 0);
  if (geteuid () != 0)
    return;
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (chown (folder, 65534, 65534), ==, 0);
  g_assert_null (vv_state_store_open (host, TRUE, &error));
  fake_assert_error (error, VV_ERROR_REFUSED, "/*/" FOLDER " belongs to user 65534 and not to root*");
}

/* Links, FIFOs and files that other users can write are refused without being read. */
static void
test_entry_of_others (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) entry = whole_entry ();
  g_autofree char *path = g_build_filename (f->k->root, FOLDER, NIC, NULL);
  g_autofree char *aside = g_strconcat (path, ".aside", NULL);
  enum { WRITABLE, LINK, DANGLING, FIFO, FOLDER_THERE, KINDS };

  for (int kind = 0; kind < KINDS; kind++) {
    g_autoptr (GError) error = NULL;
    g_assert_true (vv_state_store_save (f->store, entry, &error));
    if (kind == WRITABLE)
      g_assert_cmpint (chmod (path, 0666), ==, 0);
    else
      g_assert_cmpint (rename (path, aside), ==, 0);
    if (kind == LINK)
      g_assert_cmpint (symlink (aside, path), ==, 0);
    else if (kind == DANGLING)
      g_assert_cmpint (symlink ("/nowhere", path), ==, 0);
    else if (kind == FIFO)
      g_assert_cmpint (mkfifo (path, 0644), ==, 0);
    else if (kind == FOLDER_THERE)
      g_assert_cmpint (mkdir (path, 0755), ==, 0);
    g_assert_null (vv_state_store_load (f->store, NIC, &error));
    fake_assert_error (error, VV_ERROR_FAILED, "*is not a regular file that only root can write*restore*");
    g_assert_cmpint (remove (path), ==, 0);
  }
}

/* --- full or read-only file system: a small one in a mount namespace --- */

static gboolean
mount_small (const Fixture *f)
{
  g_autofree char *folder = g_build_filename (f->k->root, FOLDER, NULL);

  return unshare (CLONE_NEWNS) == 0 && mount ("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
         mount ("tmpfs", folder, "tmpfs", 0, "size=64k,mode=755") == 0;
}

static void
unmount_small (const Fixture *f)
{
  g_autofree char *folder = g_build_filename (f->k->root, FOLDER, NULL);

  g_assert_cmpint (umount2 (folder, MNT_DETACH), ==, 0);
}

static gboolean
reopen (Fixture *f)
{
  vv_state_store_free (f->store);
  f->store = vv_state_store_open (f->host, TRUE, NULL);
  return f->store != NULL;
}

static void
fill (const Fixture *f)
{
  g_autofree char *path = g_build_filename (f->k->root, FOLDER, "filling", NULL);
  FILE *file = fopen (path, "w");

  setvbuf (file, NULL, _IONBF, 0);
  while (fputc ('x', file) != EOF)
    ;
  fclose (file);
}

static void
test_full_file_system (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) before = whole_entry ();
  g_autoptr (VvEntry) after = whole_entry ();
  g_autoptr (GError) full = NULL;
  g_autoptr (GError) error = NULL;

  if (!mount_small (f) || !reopen (f)) {
    g_test_skip ("mount(2) is not allowed");
    return;
  }
  assert_comes_back (f, before);
  fill (f);
  after->state = VV_STATE_REATTACHING;
  g_assert_false (vv_state_store_save (f->store, after, &full));
  fake_assert_error (full, VV_ERROR_FAILED, "/*/" NIC ": write: No space left on device");
  g_autoptr (VvEntry) loaded = vv_state_store_load (f->store, NIC, &error);
  g_assert_no_error (error);
  assert_same_entry (loaded, before); /* the complete old contents */
  g_assert_false (fake_exists (f->k, FOLDER "/." NIC ".new"));
  g_assert_true (vv_state_store_drop (f->store, NIC, &error));
  unmount_small (f);
}

static void
test_read_only_file_system (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) entry = whole_entry ();
  g_autofree char *folder = g_build_filename (f->k->root, FOLDER, NULL);
  g_autoptr (GError) store = NULL;
  g_autoptr (GError) drop = NULL;
  g_autoptr (GError) lock = NULL;

  if (!mount_small (f) || !reopen (f)) {
    g_test_skip ("mount(2) is not allowed");
    return;
  }
  assert_comes_back (f, entry);
  g_assert_cmpint (mount ("none", folder, "none", MS_REMOUNT | MS_RDONLY, NULL), ==, 0);
  g_assert_false (vv_state_store_save (f->store, entry, &store));
  g_assert_false (vv_state_store_drop (f->store, NIC, &drop));
  g_assert_null (vv_state_store_lock (f->store, NIC, 0, &lock));
  fake_assert_error (store, VV_ERROR_PERMISSION, "*: create: Read-only file system");
  fake_assert_error (drop, VV_ERROR_PERMISSION, "*: remove: Read-only file system");
  fake_assert_error (lock, VV_ERROR_PERMISSION, "*/lock-" NIC ": open: Read-only file system");
  unmount_small (f);
}

/* --- locks --- */

static void
test_lock_is_exclusive (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvLock) one = vv_state_store_lock (f->store, NIC, 0, NULL);
  g_autoptr (VvLock) other = vv_state_store_lock (f->store, DISK, 0, NULL);
  g_autoptr (GError) at_once = NULL;
  g_autoptr (GError) waited = NULL;

  g_assert_nonnull (one);
  g_assert_nonnull (other); /* locks of different devices are independent */
  g_assert_null (vv_state_store_lock (f->store, NIC, 0, &at_once));
  fake_assert_error (at_once, VV_ERROR_REFUSED, NIC ": another process is moving this device*");
  g_assert_null (vv_state_store_lock (f->store, NIC, 30, &waited));
  g_assert_error (waited, VV_ERROR, VV_ERROR_REFUSED);
  g_clear_pointer (&one, vv_lock_free);
  one = vv_state_store_lock (f->store, NIC, 0, NULL);
  g_assert_nonnull (one);
}

static gpointer
wait_for_lock (gpointer store)
{
  return vv_state_store_lock (store, NIC, 10000, NULL);
}

static void
test_lock_is_waited_for (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvLock) held = vv_state_store_lock (f->store, NIC, 0, NULL);
  GThread *waiter = g_thread_new ("waiter", wait_for_lock, f->store);

  g_clear_pointer (&held, vv_lock_free);
  g_autoptr (VvLock) got = g_thread_join (waiter);
  g_assert_nonnull (got);
}

static void
test_lock_dies_with_its_process (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  int ready[2];
  char byte;

  g_assert_cmpint (pipe (ready), ==, 0);
  pid_t pid = fork ();
  if (pid == 0) {
    VvLock *lock = vv_state_store_lock (f->store, NIC, 0, NULL);
    _exit (!lock || write (ready[1], "x", 1) != 1 || pause ());
  }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  g_assert_null (vv_state_store_lock (f->store, NIC, 0, NULL)); /* held by another process */
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  g_autoptr (VvLock) lock = vv_state_store_lock (f->store, NIC, 0, NULL);
  g_assert_nonnull (lock);
  close (ready[0]);
  close (ready[1]);
}

static void
test_lock_that_cannot_be (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (GError) error = NULL;

  fake_write (f->k, "etc/precious", "kept");
  fake_link (f->k, FOLDER "/lock-" NIC, "../../etc/precious");
  g_assert_null (vv_state_store_lock (f->store, NIC, 0, &error)); /* no links are followed */
  fake_assert_error (error, VV_ERROR_FAILED, "/*/lock-" NIC ": open: *");
}

/* --- notes --- */

static void
test_notes (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autofree char *most = g_strnfill (VV_NOTE_LIMIT, 'x');
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_state_store_read (f->store, "note"));
  g_assert_true (vv_state_store_write (f->store, "note", "old", &error));
  g_assert_true (vv_state_store_write (f->store, "note", most, &error));
  g_assert_no_error (error);
  g_autofree char *text = vv_state_store_read (f->store, "note");
  g_assert_cmpstr (text, ==, most);
  g_autoptr (GPtrArray) entries = vv_state_store_addresses (f->store);
  fake_assert_names (entries, "");

  g_autofree char *more = g_strconcat (most, "x", NULL);
  fake_write (f->k, FOLDER "/note", more);
  g_assert_null (vv_state_store_read (f->store, "note"));
  f->k->journal_full = TRUE;
  g_assert_false (vv_state_store_write (f->store, "note", "new", &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*No space left on device");
}

static void
test_notes_without_a_directory (void)
{
  g_autoptr (Fixture) f = fixture_new (FALSE);

  g_assert_null (vv_state_store_read (f->store, "note"));
}

#define WRITES 100

/* Opens a state store, and so a lock, of its own, as another process does */
static gpointer
write_notes (gpointer host)
{
  g_autoptr (VvStateStore) store = vv_state_store_open (host, TRUE, NULL);
  g_autofree char *text = g_strnfill (VV_NOTE_LIMIT, 'a');
  gpointer failed = NULL;

  for (guint i = 0; i < WRITES; i++)
    if (!vv_state_store_write (store, "note", text, NULL))
      failed = GUINT_TO_POINTER (i + 1);
  return failed;
}

static void
test_notes_have_one_writer (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  GThread *first = g_thread_new (NULL, write_notes, f->host);
  GThread *second = g_thread_new (NULL, write_notes, f->host);

  for (guint i = 0; i < WRITES; i++) {
    g_autofree char *text = vv_state_store_read (f->store, "note");
    if (text)
      g_assert_cmpuint (strlen (text), ==, VV_NOTE_LIMIT);
  }
  g_assert_null (g_thread_join (first));
  g_assert_null (g_thread_join (second));
}

/* Nothing is written that could not be read back: it would block later operations on the device. */
static void
test_what_could_not_be_read (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autoptr (VvEntry) entry = whole_entry (), same = NULL;
  g_autofree char *long_name = g_strnfill (20000, 'x');
  g_autoptr (GError) error = NULL, too_long = NULL, no_text = NULL;

  vv_entry_set_domain (entry, long_name, "6695eb01-f6a4-8304-79aa-97f2502e193f");
  g_assert_true (vv_state_store_save (f->store, entry, &error));
  g_assert_no_error (error);
  g_free (entry->host.override);
  entry->host.override = g_strdup ("\xffvme");
  g_assert_false (vv_state_store_save (f->store, entry, &no_text));
  fake_assert_error (no_text, VV_ERROR_FAILED,
                     "*/" NIC ": refusing to write a state file that could not be read back");
  g_free (entry->host.override);
  entry->host.override = g_strdup (long_name);
  g_assert_false (vv_state_store_save (f->store, entry, &too_long));
  fake_assert_error (too_long, VV_ERROR_FAILED,
                     "*/" NIC ": refusing to write a state file that could not be read back");
  same = vv_state_store_load (f->store, NIC, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strlen (same->domain), ==, 256);
  g_assert_true (g_str_has_prefix (long_name, same->domain));
  g_assert_cmpstr (same->host.override, ==, "mlx5_core");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/state-store/round-trip", test_round_trip);
  g_test_add_func ("/state-store/every-state", test_every_state);
  g_test_add_func ("/state-store/names-of-before-1.0", test_names_of_before_1_0);
  g_test_add_func ("/state-store/odd-text", test_odd_text);
  g_test_add_func ("/state-store/a-domain-comes-and-goes", test_domain);
  g_test_add_func ("/state-store/drop", test_drop);
  g_test_add_func ("/state-store/only-addresses-are-entries", test_addresses);
  g_test_add_func ("/state-store/damage-is-told", test_damaged);
  g_test_add_func ("/state-store/damaged-values-are-told", test_damaged_values);
  g_test_add_func ("/state-store/truncation-is-told", test_truncated);
  g_test_add_func ("/state-store/what-cannot-be-read-is-told", test_unreadable);
  g_test_add_func ("/state-store/what-could-not-be-read-is-not-written", test_what_could_not_be_read);
  g_test_add_func ("/state-store/no-directory-is-an-empty-state-store", test_no_directory);
  g_test_add_func ("/state-store/a-directory-that-cannot-be", test_directory_that_cannot_be);
  g_test_add_func ("/state-store/a-directory-of-others", test_directory_of_others);
  g_test_add_func ("/state-store/an-entry-of-others", test_entry_of_others);
  g_test_add_func ("/state-store/full-file-system", test_full_file_system);
  g_test_add_func ("/state-store/read-only-file-system", test_read_only_file_system);
  g_test_add_func ("/state-store/lock/is-exclusive", test_lock_is_exclusive);
  g_test_add_func ("/state-store/lock/is-waited-for", test_lock_is_waited_for);
  g_test_add_func ("/state-store/lock/dies-with-its-process", test_lock_dies_with_its_process);
  g_test_add_func ("/state-store/lock/that-cannot-be", test_lock_that_cannot_be);
  g_test_add_func ("/state-store/notes/round-trip", test_notes);
  g_test_add_func ("/state-store/notes/no-directory", test_notes_without_a_directory);
  g_test_add_func ("/state-store/notes/one-writer-at-a-time", test_notes_have_one_writer);
  return g_test_run ();
}
