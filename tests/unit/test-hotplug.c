/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hotplug: what a device that libvirt has unbound gets, for which libvirt, and what comes back home.
 */
#include "hotplug.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "libvirt-version.h"
#include "fake-migration.h"
#include "hand-over.h"
#include "nic-fixture.h"

#define LONG (60 * G_TIME_SPAN_SECOND) /* nothing here takes that long */
#define DEBIAN_12 VV_LIBVIRT_VERSION (9, 0, 0)
#define BY_NAME VV_LIBVIRT_VERSION (9, 7, 0)
#define BY_ITSELF VV_LIBVIRT_VERSION (10, 0, 0)

static const VvDriverState native = ON ("mlx5_core", "mlx5_core", NULL);
static const VvDriverState native_by_name = ON ("mlx5_core", "mlx5_core", "mlx5_core");
static const VvDriverState generic = ON ("vfio-pci", "vfio_pci", "vfio-pci");
static const VvDriverState variant = ON ("special-vfio", "special_vfio_pci", "special-vfio");
static const VvDriverState driverless = ON (NULL, NULL, NULL);

/* Libvirt has written @override (NULL: cleared it) and unbound the device. */
static void
libvirt_unbinds (const Fixture *f, const char *override)
{
  g_autofree char *line = g_strconcat (override ? override : "(null)", "\n", NULL);

  fake_unbind (f->k, NIC);
  set_override (f, line);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
}

static void
is_on (const Fixture *f, const VvDriverState *home)
{
  g_autofree char *line = g_strconcat (home->override ? home->override : "(null)", "\n", NULL);

  set_override (f, line);
  if (home->driver && strcmp (home->driver, "mlx5_core") != 0) {
    fake_unbind (f->k, NIC);
    fake_probe (f->k, NIC);
  } else if (!home->driver) {
    fake_unbind (f->k, NIC);
  }
}

/* As far as it came when it died */
static void
libvirt_begins (const Fixture *f, const char *override, gboolean unbound)
{
  g_autofree char *line = g_strconcat (override ? override : "(null)", "\n", NULL);

  set_override (f, line);
  if (unbound)
    fake_unbind (f->k, NIC);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
}

static void
has_flr (const Fixture *f)
{
  g_autofree char *path = fake_device_path (NIC, "reset_method");

  fake_write (f->k, path, "flr pm\n");
}

static Fixture *
fixture_with_flr (void)
{
  Fixture *f = fixture_new ();

  has_flr (f);
  return f;
}

static VvChange *
hand_over (const Fixture *f, const VvDriverState *before, guint libvirt, GError **error)
{
  const VvHotplugRequest request = {NIC, *before, libvirt};
  const VvDeadline deadline = {.until = g_get_monotonic_time () + LONG};

  return hand_over_now (f, &request, &deadline, error);
}

static VvChange *
must_hand_over (const Fixture *f, const VvDriverState *before, guint libvirt)
{
  g_autoptr (GError) error = NULL;
  VvChange *change = hand_over (f, before, libvirt, &error);

  g_assert_no_error (error);
  return change;
}

static void
assert_change (const VvChange *change, VvOperation operation, const char *from, const char *to,
               const char *why)
{
  g_assert_cmpstr (change->device, ==, NIC);
  g_assert_cmpint (change->operation, ==, operation);
  g_assert_cmpstr (change->from, ==, from);
  g_assert_cmpstr (change->to, ==, to);
  fake_assert_matches (change->why, why);
}

static void
assert_left (const VvChange *change, VvOperation operation, const char *from, const char *why)
{
  assert_change (change, operation, from, NULL, why);
  g_assert_false (change->changed);
}

static void
assert_home (const VvEntry *entry, VvState state, const VvDriverState *home)
{
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->state, ==, state);
  g_assert_true (entry->host_known);
  g_assert_cmpstr (entry->host.driver, ==, home->driver);
  g_assert_cmpstr (entry->host.module, ==, home->module);
  g_assert_cmpstr (entry->host.override, ==, home->override);
}

static void
assert_home_unknown (const VvEntry *entry, VvState state)
{
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->state, ==, state);
  g_assert_false (entry->host_known);
}

/* --- detach: which driver for which libvirt --- */

static void
test_best_with_flr (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
  assert_change (change, VV_DETACH, "mlx5_core", "special-vfio", "vfio_pci:*, 3 wildcards, modules.alias");
  g_assert_true (change->changed);
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native);
  g_assert_cmpstr (entry->vfio_driver, ==, "special-vfio");
  g_assert_null (entry->domain);
  g_assert_false (entry->held);
}

static void
test_generic_without_flr (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
  assert_change (change, VV_DETACH, "mlx5_core", "vfio-pci",
                 "*; nothing better was tried: libvirt 9.0 resets a device that is not on vfio-pci by "
                 "itself and may fail without FLR; *");
  g_assert_true (change->changed);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native);
}

/* What it was is not to be seen any more; it was told. */
static void
test_home_is_what_was_seen_before (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native_by_name, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native_by_name);
}

static void
test_driverless_device (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &driverless, DEBIAN_12);
  assert_change (change, VV_DETACH, NULL, "special-vfio", "*");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &driverless);
}

static const struct {
  const char *says;
  guint libvirt;
  gboolean flr;
  const char *wanted, *gets, *why;
} by_version[] = {
    {"8.0 asks for vfio-pci", VV_LIBVIRT_VERSION (8, 0, 0), TRUE, "vfio-pci", "special-vfio", "*3 wild*"},
    {"9.6 without FLR", VV_LIBVIRT_VERSION (9, 6, 99), FALSE, "vfio-pci", "vfio-pci", "*libvirt 9.6 resets*"},
    {"9.7 asks for vfio-pci", BY_NAME, FALSE, "vfio-pci", "special-vfio", "*3 wildcards*"},
    {"9.9 too", VV_LIBVIRT_VERSION (9, 9, 0), FALSE, "vfio-pci", "special-vfio", "*3 wildcards*"},
    {"9.7 was told another driver", BY_NAME, TRUE, "mlx5_vfio_pci", "mlx5_vfio_pci",
     "*5 wildcards*; nothing better was tried: libvirt 9.7 was told to take mlx5_vfio_pci"},
    {"10.0 takes vfio-pci", BY_ITSELF, TRUE, "vfio-pci", "vfio-pci",
     "*; nothing better was tried: libvirt 10.0 chooses by itself, or was told"},
    {"11.3 takes vfio-pci", VV_LIBVIRT_VERSION (11, 3, 0), TRUE, "vfio-pci", "vfio-pci", "*libvirt 11.3 *"},
    {"10.0 takes a variant driver", BY_ITSELF, FALSE, "mlx5_vfio_pci", "mlx5_vfio_pci", "*5 wildcards*"},
    {"10.0 takes the best", BY_ITSELF, FALSE, "special-vfio", "special-vfio", "vfio_pci:*, 3 wildcards, *s"},
    {"which one is not known", 0, TRUE, "vfio-pci", "vfio-pci",
     "*; nothing better was tried: which libvirt asked could not be told, so its choice stands"},
    {"not known, a variant driver", 0, TRUE, "mlx5_vfio_pci", "mlx5_vfio_pci", "*could not be told*"},
};

static void
test_by_version (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (by_version); i++) {
    g_test_message ("%s", by_version[i].says);
    g_autoptr (Fixture) f = by_version[i].flr ? fixture_with_flr () : fixture_new ();
    fake_register (f->k, by_version[i].wanted); /* it has loaded what it asks for */
    libvirt_unbinds (f, by_version[i].wanted);
    g_autoptr (VvChange) change = must_hand_over (f, &native, by_version[i].libvirt);
    assert_change (change, VV_DETACH, "mlx5_core", by_version[i].gets, by_version[i].why);
    fake_assert_device (f->k, NIC, by_version[i].gets, by_version[i].gets);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_DETACHED, &native);
  }
}

/* ... but what libvirt chose itself is verified. */
static void
test_its_own_choice_fails (void)
{
  static const struct {
    int probe_errno;
    gboolean no_vfio_dev;
    const char *step;
  } failures[] = {{EINVAL, FALSE, "bind"}, {0, TRUE, "verify"}};

  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++) {
    g_autoptr (Fixture) f = fixture_with_flr ();
    FakeDriver *chosen = fake_driver (f->k, "mlx5_vfio_pci");
    chosen->probe_errno = failures[i].probe_errno;
    chosen->no_vfio_dev = failures[i].no_vfio_dev;
    fake_register (f->k, "mlx5_vfio_pci");
    libvirt_unbinds (f, "mlx5_vfio_pci");
    g_autoptr (VvChange) change = must_hand_over (f, &native, BY_ITSELF);
    assert_change (change, VV_DETACH, "mlx5_core", "vfio-pci", "*");
    g_assert_cmpuint (change->attempts->len, ==, 1);
    g_assert_cmpstr (((VvAttempt *)change->attempts->pdata[0])->step, ==, failures[i].step);
    fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  }
}

/* modprobe.d has it out, and libvirt, which does not read that, has taken it. */
static void
test_its_own_choice_is_blacklisted (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  fake_write (f->k, "etc/modprobe.d/a.conf", "blacklist mlx5_vfio_pci\n");
  g_assert_true (vv_context_reload (f->s, NULL));
  fake_register (f->k, "mlx5_vfio_pci");
  libvirt_unbinds (f, "mlx5_vfio_pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native, BY_ITSELF);
  assert_change (change, VV_DETACH, "mlx5_core", "mlx5_vfio_pci", "asked for by name*");
}

static void
test_no_driver_of_vfio (void)
{
  static const guint versions[] = {0, DEBIAN_12, BY_NAME, BY_ITSELF};

  for (gsize i = 0; i < G_N_ELEMENTS (versions); i++) {
    g_autoptr (Fixture) f = fixture_with_flr ();
    fake_add_driver (f->k, "pci-stub", "pci_stub", NULL, FALSE);
    fake_register (f->k, "pci-stub");
    libvirt_unbinds (f, "pci-stub");
    g_autoptr (VvChange) change = must_hand_over (f, &native, versions[i]);
    assert_left (change, VV_DETACH, "mlx5_core", "libvirt wants it on pci-stub, which is no VFIO driver *");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_NOTED, &native);
    fake_probe (f->k, NIC);
    fake_assert_device (f->k, NIC, "pci-stub", "pci-stub");
  }
}

/* --- detach: what fails --- */

static const struct {
  const char *says;
  FakeDriver knobs;
  const char *hook;    /* a script's body, or NULL */
  guint failing_write; /* or 0 */
  const char *step;
} failures[] = {
    {"its module does not load", {.load_errno = ENOENT}, NULL, 0, "load"},
    {"its module has no driver", {.nameless = TRUE}, NULL, 0, "driver"},
    {"the override is refused", {0}, NULL, 3, "override"},
    {"a script objects", {0}, "[ \"$4\" != special-vfio ]", 0, "hook"},
    {"its probe fails", {.probe_errno = EIO}, NULL, 0, "bind"},
    {"its bind does nothing", {.silent = TRUE}, NULL, 0, "bind"},
    {"it makes no VFIO device", {.no_vfio_dev = TRUE}, NULL, 0, "verify"},
};

static void
add_hook (const Fixture *f, const char *body)
{
  g_autofree char *text = g_strdup_printf ("#!/bin/sh\nout=%s/out\n%s\n", f->k->root, body);
  g_autofree char *full = g_build_filename (f->k->root, VV_LIBVIRT_HOOKS_DIR, "nodedev", NULL);

  fake_write (f->k, VV_LIBVIRT_HOOKS_DIR "/nodedev", text);
  g_assert_cmpint (g_chmod (full, 0755), ==, 0);
}

static void
make_fail (const Fixture *f, gsize i)
{
  FakeDriver *d = fake_driver (f->k, "special-vfio");

  d->load_errno = failures[i].knobs.load_errno;
  d->nameless = failures[i].knobs.nameless;
  d->probe_errno = failures[i].knobs.probe_errno;
  d->silent = failures[i].knobs.silent;
  d->no_vfio_dev = failures[i].knobs.no_vfio_dev;
  if (failures[i].hook)
    add_hook (f, failures[i].hook);
  if (failures[i].failing_write)
    fake_fault (f->k, FAKE_FAIL, failures[i].failing_write, EIO);
}

static void
test_next_candidate (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++) {
    g_test_message ("%s", failures[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    libvirt_unbinds (f, "vfio-pci");
    make_fail (f, i);
    g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
    assert_change (change, VV_DETACH, "mlx5_core", "mlx5_vfio_pci", "*, 5 wildcards, modules.alias");
    g_assert_cmpuint (change->attempts->len, ==, 1);
    g_assert_cmpstr (((VvAttempt *)change->attempts->pdata[0])->step, ==, failures[i].step);
    fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_DETACHED, &native);
    g_assert_cmpstr (entry->vfio_driver, ==, "mlx5_vfio_pci");
  }
}

static void
test_all_fail (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;

  fail_all_vfio (f, EINVAL);
  libvirt_unbinds (f, "vfio-pci");
  g_assert_null (hand_over (f, &native, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     NIC ": no VFIO driver could be bound, it is back on no driver: special_vfio_pci failed "
                         "at bind (*); mlx5_vfio_pci failed at bind (*); vfio_pci failed at bind (*)");
  fake_assert_device (f->k, NIC, NULL, "vfio-pci"); /* libvirt's own way is open */
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_NOTED, &native);
}

static void
test_journal_is_full (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;

  libvirt_unbinds (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  f->k->journal_full = TRUE;
  g_assert_null (hand_over (f, &native, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*: write: No space left on device");
  fake_assert_unchanged (f->k, before);
}

/* --- detach: entries that are there already --- */

static void
write_entry (const Fixture *f, VvState state, const VvDriverState *home, const char *domain)
{
  g_autoptr (VvEntry) entry = vv_entry_new (NIC, NIC_MODALIAS);

  entry->state = state;
  entry->host_known = home != NULL;
  if (home) {
    entry->host.driver = g_strdup (home->driver);
    entry->host.module = g_strdup (home->module);
    entry->host.override = g_strdup (home->override);
  }
  if (state != VV_STATE_NOTED)
    entry->vfio_driver = g_strdup ("special-vfio");
  vv_entry_set_domain (entry, domain, domain ? "6695eb01" : NULL);
  g_assert_true (vv_journal_store (f->s->journal, entry, NULL));
}

/* The device came home, and not by our doing. */
static void
test_stale_entry_is_dropped (void)
{
  static const struct {
    const char *says;
    VvState state;
    const VvDriverState *home;
  } stale[] = {
      {"it is said to be away", VV_STATE_DETACHED, &native},
      {"a reattach that was cut off is done", VV_STATE_REATTACHING, &native},
      {"a detach that was cut off never was", VV_STATE_DETACHING, &native},
      {"its home was another", VV_STATE_NOTED, &native_by_name},
      {"its home was not known", VV_STATE_DETACHED, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (stale); i++) {
    g_test_message ("%s", stale[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    write_entry (f, stale[i].state, stale[i].home, "former");
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_DETACHED, &native);
    g_assert_null (entry->domain);
  }
}

static void
test_noted_entry_keeps_its_domain (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  write_entry (f, VV_STATE_NOTED, &native, "guest");
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native);
  g_assert_cmpstr (entry->domain, ==, "guest");
  g_assert_cmpstr (entry->domain_uuid, ==, "6695eb01");
}

/* From one VFIO driver to another: an entry says where it came from, or nobody knows. */
static void
test_was_on_vfio (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &generic, DEBIAN_12);
  assert_change (change, VV_DETACH, "vfio-pci", "special-vfio", "*");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home_unknown (entry, VV_STATE_DETACHED);
}

static void
test_was_on_vfio_and_an_entry_says (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  write_entry (f, VV_STATE_DETACHED, &native_by_name, NULL);
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &generic, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native_by_name);
}

/* Recovery would have the device go elsewhere than libvirt. */
static void
test_cut_off_entry_is_not_recovered (void)
{
  static const VvState states[] = {VV_STATE_DETACHING, VV_STATE_REATTACHING};

  for (gsize i = 0; i < G_N_ELEMENTS (states); i++) {
    g_autoptr (Fixture) f = fixture_with_flr ();
    fake_register (f->k, variant.driver);
    write_entry (f, states[i], &native, NULL);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
    assert_change (change, VV_DETACH, "special-vfio", "special-vfio", "*");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_DETACHED, &native);
  }
}

/* Another device has the address now. */
static void
test_foreign_entry_is_dropped (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (VvEntry) foreign = vv_entry_new (NIC, DISK_MODALIAS);

  foreign->host_known = TRUE;
  foreign->host.driver = g_strdup ("nvme");
  g_assert_true (vv_journal_store (f->s->journal, foreign, NULL));
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native);
}

/* --- reattach --- */

/* A detach of ours, and then libvirt on its way back */
static Fixture *
fixture_on_its_way_home (const VvDriverState *home)
{
  Fixture *f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, home, DEBIAN_12);
  libvirt_unbinds (f, NULL);
  return f;
}

static void
test_exactly_home (void)
{
  static const VvDriverState named_otherwise = ON ("mlx5_core", "mlx5_core", "not_mlx5_core");
  static const VvDriverState waiting = ON (NULL, NULL, "nothing_binds_this");
  static const VvDriverState *const homes[] = {&native, &native_by_name, &named_otherwise, &driverless,
                                               &waiting};

  for (gsize i = 0; i < G_N_ELEMENTS (homes); i++) {
    g_test_message ("%zu", i);
    g_autoptr (Fixture) f = fixture_on_its_way_home (homes[i]);
    g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
    assert_change (change, VV_REATTACH, "special-vfio", homes[i]->driver, "*");
    fake_assert_device (f->k, NIC, homes[i]->driver, homes[i]->override);
    assert_no_entry (f);
  }
}

/* All versions are the same on the way back. */
static void
test_home_for_every_libvirt (void)
{
  static const guint versions[] = {0, BY_NAME, BY_ITSELF};

  for (gsize i = 0; i < G_N_ELEMENTS (versions); i++) {
    g_autoptr (Fixture) f = fixture_on_its_way_home (&native_by_name);
    g_autoptr (VvChange) change = must_hand_over (f, &variant, versions[i]);
    fake_assert_device (f->k, NIC, "mlx5_core", "mlx5_core");
  }
}

static void
test_native_module_is_loaded (void)
{
  g_autoptr (Fixture) f = fixture_on_its_way_home (&native);

  fake_unregister (f->k, "mlx5_core");
  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_held_for_a_domain (void)
{
  g_autoptr (Fixture) f = fixture_on_its_way_home (&native);
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  entry->held = TRUE;
  vv_entry_set_domain (entry, "guest", "6695eb01");
  g_assert_true (vv_journal_store (f->s->journal, entry, NULL));
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  assert_left (change, VV_REATTACH, "special-vfio",
               "it was bound by hand before domain guest had it: the hook sees to it");
  fake_assert_unchanged (f->k, before);
}

/* virsh nodedev-reattach is the administrator's word, too. */
static void
test_held_for_nobody (void)
{
  g_autoptr (Fixture) f = fixture_on_its_way_home (&native);
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  entry->held = TRUE;
  g_assert_true (vv_journal_store (f->s->journal, entry, NULL));
  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_no_entry (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  libvirt_unbinds (f, NULL);
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) change = must_hand_over (f, &generic, DEBIAN_12);
  assert_left (change, VV_REATTACH, "vfio-pci", "what it was before is not known: the kernel chooses");
  fake_assert_unchanged (f->k, before);
  fake_probe (f->k, NIC);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_home_not_known (void)
{
  g_autoptr (Fixture) f = fixture_on_its_way_home (&generic);

  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  assert_left (change, VV_REATTACH, "special-vfio", "what it was before is not known: the kernel chooses");
  assert_no_entry (f);
}

/* A domain's entry is the hook's or the monitor's to end. */
static void
test_home_not_known_of_a_domain (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  write_entry (f, VV_STATE_DETACHED, NULL, "guest");
  libvirt_unbinds (f, NULL);
  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  assert_left (change, VV_REATTACH, "special-vfio", "what it was before is not known: *");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home_unknown (entry, VV_STATE_DETACHED);
}

static void
test_home_cannot_be_reached (void)
{
  static const struct {
    const char *says;
    int load_errno, probe_errno;
  } cases[] = {{"no module", ENOENT, 0}, {"its probe fails", 0, EIO}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_on_its_way_home (&native_by_name);
    g_autoptr (GError) error = NULL;
    FakeDriver *d = fake_driver (f->k, "mlx5_core");
    d->load_errno = cases[i].load_errno;
    d->probe_errno = cases[i].probe_errno;
    if (cases[i].load_errno)
      fake_unregister (f->k, "mlx5_core");
    g_assert_null (hand_over (f, &variant, DEBIAN_12, &error));
    fake_assert_error (error, VV_ERROR_FAILED,
                       NIC ": mlx5_core could not be brought back: *; it is on no driver now; the journal "
                           "entry is kept: *");
    fake_assert_device (f->k, NIC, NULL, NULL); /* libvirt's own way is open */
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_DETACHED, &native_by_name);
  }
}

/* --- either way --- */

static void
test_bound_already (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) back = must_hand_over (f, &generic, DEBIAN_12);

  assert_change (back, VV_REATTACH, "vfio-pci", "mlx5_core", "it is on mlx5_core already");
  g_assert_false (back->changed);
  fake_assert_unchanged (f->k, before);
  set_override (f, "vfio-pci\n");
  g_autoptr (VvChange) away = must_hand_over (f, &native, DEBIAN_12);
  assert_change (away, VV_DETACH, "mlx5_core", "mlx5_core", "it is on mlx5_core already");
  assert_no_entry (f);
}

static void
test_vanished (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  fake_remove_device (f->k, NIC);
  g_assert_null (hand_over (f, &native, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_NO_DEVICE, NIC ": no such PCI device*");
  assert_no_entry (f);
}

static void
test_damaged_entry (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;

  fake_write (f->k, ENTRY, "garbage");
  libvirt_unbinds (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_null (hand_over (f, &native, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*is not readable as a journal entry*");
  fake_assert_unchanged (f->k, before);
}

static void
test_locked (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;
  g_autoptr (VvLock) lock = vv_journal_lock (f->s->journal, NIC, 0, NULL);
  const VvHotplugRequest request = {NIC, native, DEBIAN_12};
  gint64 until = g_get_monotonic_time () + 50 * G_TIME_SPAN_MILLISECOND;

  libvirt_unbinds (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_null (hand_over_now (f, &request, &(VvDeadline){.until = until}, &error));
  g_assert_cmpint (g_get_monotonic_time (), >=, until - G_TIME_SPAN_MILLISECOND);
  fake_assert_error (error, VV_ERROR_REFUSED, NIC ": another process is moving this device*");
  fake_assert_unchanged (f->k, before);
}

/* The generic driver takes no time, and libvirt 10 and later would try again the one that was too slow. */
static void
test_deadline_is_past (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;
  const VvHotplugRequest request = {NIC, native, DEBIAN_12};

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change =
      hand_over_now (f, &request, &(VvDeadline){.until = g_get_monotonic_time ()}, &error);
  g_assert_no_error (error);
  g_autofree char *failed = vv_change_attempts (change);
  fake_assert_matches (failed, "*special_vfio_pci failed at deadline (not tried: the deadline has passed); *"
                               "mlx5_vfio_pci failed at deadline (*)");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHED, &native);
}

/* --- what whoever waits is told --- */

typedef struct {
  const Fixture *f;
  const char *override; /* what libvirt wrote */
  GString *told;
} Listener;

/* Before the first write, and after all is undone, the device is as libvirt left it. */
static void
listen (gboolean touched, gpointer data)
{
  const Listener *l = data;

  fake_assert_device (l->f->k, NIC, NULL, l->override);
  g_string_append_c (l->told, touched ? 'T' : 'U');
}

static void
assert_told (const Fixture *f, const VvDriverState *before, const char *override, const char *expected)
{
  Listener l = {f, override, g_string_new (NULL)};
  const VvHotplugRequest request = {NIC, *before, DEBIAN_12};
  const VvDeadline deadline = {g_get_monotonic_time () + LONG, listen, &l};
  g_autoptr (VvChange) change = hand_over_now (f, &request, &deadline, NULL);

  g_assert_cmpstr (l.told->str, ==, expected);
  g_string_free (l.told, TRUE);
}

static void
test_told_of_the_best (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  assert_told (f, &native, "vfio-pci", "T");
}

static void
test_told_of_failures (void)
{
  static const char *const expected[] = {"T", "T", "T", "TUT", "TUT", "TUT", "TUT"};

  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++) {
    g_test_message ("%s", failures[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    libvirt_unbinds (f, "vfio-pci");
    make_fail (f, i);
    assert_told (f, &native, "vfio-pci", failures[i].failing_write ? "TUT" : expected[i]);
  }
}

static void
test_told_that_all_fail (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  fail_all_vfio (f, EINVAL);
  libvirt_unbinds (f, "vfio-pci");
  assert_told (f, &native, "vfio-pci", "TUTUTU");
}

static void
test_told_of_the_way_home (void)
{
  g_autoptr (Fixture) f = fixture_on_its_way_home (&native_by_name);

  assert_told (f, &variant, NULL, "T");
}

static void
test_told_of_nothing (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "pci-stub");
  assert_told (f, &native, "pci-stub", "");
}

/* --- after a process died --- */

static void
test_stand_back (void)
{
  static const struct {
    const char *says;
    VvState state;
    const char *driver, *override, *becomes;
  } cases[] = {
      {"at a detach", VV_STATE_DETACHING, NULL, "special-vfio", "vfio-pci"},
      {"at a detach that was undone", VV_STATE_DETACHING, NULL, NULL, NULL},
      {"on the way home", VV_STATE_REATTACHING, NULL, "mlx5_core", NULL},
      {"on the way home, which could not be written down", VV_STATE_DETACHED, NULL, "mlx5_core", NULL},
      {"when the bind was done", VV_STATE_DETACHING, "special-vfio", "special-vfio", "special-vfio"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, "special-vfio");
    put_on (f, cases[i].driver, cases[i].override ? cases[i].override : "(null)");
    write_entry (f, cases[i].state, &native, NULL);
    vv_binding_stand_back (f->s, NIC);
    fake_assert_device (f->k, NIC, cases[i].driver, cases[i].becomes);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, cases[i].state, &native);
  }
}

static void
test_stand_back_from_what_went_away (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_remove_device (f->k, NIC);
  vv_binding_stand_back (f->s, NIC);
  g_assert_cmpuint (f->k->steps, ==, 0);
}

/* --- beforehand --- */

static gboolean
is_loaded (const Fixture *f, const char *driver)
{
  g_autofree char *bind = g_build_filename ("sys/bus/pci/drivers", driver, "bind", NULL);

  return fake_exists (f->k, bind);
}

static void
prepare (const Fixture *f, const VvDriverState *before, guint libvirt)
{
  const VvHotplugRequest request = {NIC, *before, libvirt};
  g_autofree char *driver = fake_driver_of (f->k, NIC);

  g_assert_cmpint (vv_hotplug_prepare (f->s, &request), >=, 0);
  fake_assert_device (f->k, NIC, driver, NULL);
  assert_no_entry (f);
}

static void
test_prepare (void)
{
  static const struct {
    const char *says;
    const VvDriverState *before;
    guint libvirt;
    gboolean flr, loads;
  } cases[] = {
      {"the best is going to be needed", &native, DEBIAN_12, TRUE, TRUE},
      {"also from no driver", &driverless, DEBIAN_12, TRUE, TRUE},
      {"9.7 needs no FLR", &native, BY_NAME, FALSE, TRUE},
      {"9.0 does", &native, DEBIAN_12, FALSE, FALSE},
      {"10.0 has loaded its choice", &native, BY_ITSELF, TRUE, FALSE},
      {"which one is not known", &native, 0, TRUE, FALSE},
      {"on its way home", &generic, DEBIAN_12, TRUE, FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = cases[i].flr ? fixture_with_flr () : fixture_new ();
    prepare (f, cases[i].before, cases[i].libvirt);
    g_assert_cmpint (is_loaded (f, "special-vfio"), ==, cases[i].loads);
    g_assert_false (is_loaded (f, "mlx5_vfio_pci"));
  }
}

static void
test_prepare_takes_the_first_that_loads (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  fake_driver (f->k, "special-vfio")->load_errno = ENOENT;
  prepare (f, &native, DEBIAN_12);
  g_assert_true (is_loaded (f, "mlx5_vfio_pci"));
}

/* The kernel would keep it waiting until libvirt's unbind is over. */
static void
test_prepare_does_not_wait_for_the_unbind (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autofree char *file = fake_device_path (NIC, "driver_override");
  g_autofree char *path = g_build_filename (f->k->root, file, NULL);
  const VvHotplugRequest request = {NIC, native, DEBIAN_12};
  char event[sizeof (struct inotify_event) + NAME_MAX + 1];
  int fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);

  fake_register (f->k, "special-vfio"); /* a module that arrives looks at the file, too */
  g_assert_cmpint (inotify_add_watch (fd, path, IN_OPEN), >=, 0);
  vv_hotplug_prepare (f->s, &request);
  g_assert_cmpint (read (fd, event, sizeof event), <, 0);
  g_assert_cmpint (errno, ==, EAGAIN);
  close (fd);
}

static void
test_prepare_for_what_went_away (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  const VvHotplugRequest request = {NIC, native, DEBIAN_12};

  fake_remove_device (f->k, NIC);
  g_assert_cmpint (vv_hotplug_prepare (f->s, &request), ==, 0);
  g_assert_false (is_loaded (f, "special-vfio"));
}

/* --- under a policy --- */

#define NEW VV_LIBVIRT_VERSION (11, 3, 0)

static void
set_policy (const Fixture *f, const char *options)
{
  g_autofree char *rule = g_strdup_printf ("<device address='" NIC "' %s/>\n", options);

  fake_policy (f->s, rule);
  fake_migration ("");
}

/* What libvirt asks for against what the policy takes */
static const struct {
  const char *says, *options;
  guint libvirt;
  gboolean flr;
  const char *wanted, *gets, *why; /* @gets: NULL: refused, as @why tells */
} under_policy[] = {
    {"9.0 with FLR takes what the policy says", "driver='mlx5_vfio_pci'", DEBIAN_12, TRUE, "vfio-pci",
     "mlx5_vfio_pci", "*5 wildcards*; policy /p.xml:2"},
    {"9.0 without FLR goes on with what it asked for", "driver='mlx5_vfio_pci generic'", DEBIAN_12, FALSE,
     "vfio-pci", "vfio-pci", "*; policy /p.xml:2; nothing better was tried: libvirt 9.0 resets a device *"},
    {"9.0 without FLR, and what it asked for is no more than unwanted", "driver='mlx5_vfio_pci'", DEBIAN_12,
     FALSE, "vfio-pci", "vfio-pci", "*nothing better was tried: libvirt 9.0 resets*"},
    {"9.0 without FLR, and nothing else will do", "driver='mlx5_vfio_pci' fallback='none'", DEBIAN_12, FALSE,
     "vfio-pci", NULL,
     NIC ": policy /p.xml:2 does not take vfio-pci, and nothing else can be tried now: libvirt 9.0 resets *"},
    {"9.0 without FLR, and it must migrate", "migratable='require'", DEBIAN_12, FALSE, "vfio-pci", NULL,
     NIC ": policy /p.xml:2 does not take vfio-pci, *"},
    {"9.0 without FLR, and the best is wanted strictly", "fallback='none'", DEBIAN_12, FALSE, "vfio-pci",
     NULL, NIC ": policy /p.xml:2 does not take vfio-pci, *: libvirt 9.0 resets *"},
    {"9.0 without FLR was told one that is wanted", "driver='mlx5_vfio_pci' fallback='none'", DEBIAN_12,
     FALSE, "mlx5_vfio_pci", "mlx5_vfio_pci", "*policy /p.xml:2*"},
    {"9.7 without FLR takes what the policy says", "driver='mlx5_vfio_pci' fallback='none'", BY_NAME, FALSE,
     "vfio-pci", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"9.7 was told one that is wanted", "driver='special_vfio_pci mlx5_vfio_pci'", BY_NAME, FALSE,
     "mlx5_vfio_pci", "mlx5_vfio_pci",
     "*nothing better was tried: libvirt 9.7 was told to take mlx5_vfio_pci"},
    {"9.7 was told one that is not", "driver='special_vfio_pci'", BY_NAME, FALSE, "mlx5_vfio_pci",
     "special-vfio", "*3 wildcards*; policy /p.xml:2"},
    {"10.0 has chosen one that is not wanted", "driver='mlx5_vfio_pci' fallback='none'", BY_ITSELF, FALSE,
     "special-vfio", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"10.0 has chosen one that is", "driver='mlx5_vfio_pci special_vfio_pci'", BY_ITSELF, FALSE,
     "mlx5_vfio_pci", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"10.0 has chosen, and any may", "fallback='none'", BY_ITSELF, FALSE, "mlx5_vfio_pci", "mlx5_vfio_pci",
     "asked for by name; policy /p.xml:2*"},
    {"11.3 was told the generic one, and that is wanted", "driver='generic' fallback='none'", NEW, FALSE,
     "vfio-pci", "vfio-pci", "*; policy /p.xml:2*libvirt 11.3 chooses by itself, or was told"},
    {"11.3 was told the generic one, and that is not", "driver='mlx5_vfio_pci' fallback='none'", NEW, FALSE,
     "vfio-pci", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"11.3 was told the generic one, and it must migrate", "migratable='require'", NEW, FALSE, "vfio-pci",
     "special-vfio", "*3 wildcards*; policy /p.xml:2"},
    {"which one is not known, and its choice is unwanted", "driver='mlx5_vfio_pci'", 0, TRUE, "vfio-pci",
     "vfio-pci", "*which libvirt asked could not be told, so its choice stands"},
    {"which one is not known, and nothing else will do", "driver='mlx5_vfio_pci' fallback='none'", 0, TRUE,
     "vfio-pci", NULL, NIC ": policy /p.xml:2 does not take vfio-pci, *: which libvirt asked could not be *"},
};

#define CAME_BACK NIC ": reattach: *: as it was before: it cannot have what is required*"

static void
test_under_a_policy (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (under_policy); i++) {
    g_test_message ("%s", under_policy[i].says);
    g_autoptr (Fixture) f = under_policy[i].flr ? fixture_with_flr () : fixture_new ();
    g_autoptr (GError) error = NULL;
    const char *gets = under_policy[i].gets;
    fake_register (f->k, under_policy[i].wanted);
    set_policy (f, under_policy[i].options);
    fake_migration ("special-vfio=yes");
    libvirt_unbinds (f, under_policy[i].wanted);
    g_autoptr (VvChange) change = hand_over (f, &native_by_name, under_policy[i].libvirt, &error);
    if (gets) {
      g_assert_no_error (error);
      assert_change (change, VV_DETACH, "mlx5_core", gets, under_policy[i].why);
      fake_assert_device (f->k, NIC, gets, gets);
      g_autoptr (VvEntry) entry = entry_of_nic (f);
      assert_home (entry, VV_STATE_DETACHED, &native_by_name);
      continue;
    }
    fake_assert_error (error, VV_ERROR_POLICY, under_policy[i].why);
    fake_assert_logged (CAME_BACK);
    fake_assert_device (f->k, NIC, "mlx5_core", "mlx5_core"); /* exactly as it was */
    assert_no_entry (f);
  }
}

/* It was tried, and cannot be had. */
static void
test_refused_after_a_try (void)
{
  static const struct {
    const char *says, *options, *answers;
    int probe_errno;
    gboolean moved;
    const char *problem;
  } cases[] = {
      {"the probe fails", "fallback='none'", "", EINVAL, FALSE,
       "policy /p.xml:2 takes nothing else: " NIC ": no VFIO driver could be bound, it is back on no driver: "
       "special_vfio_pci failed at bind (*)"},
      {"it cannot migrate", "driver='special_vfio_pci' migratable='require' fallback='none'",
       "special-vfio=no", 0, TRUE, NIC ": no VFIO driver is left: *special-vfio announces no migration*"},
      {"it does not tell", "migratable='require'", "", 0, TRUE,
       NIC ": whether special-vfio can migrate it, which policy /p.xml:2 requires, could not be told: *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    g_autoptr (GError) error = NULL;
    set_policy (f, cases[i].options);
    fake_migration (cases[i].answers);
    fake_driver (f->k, "special-vfio")->probe_errno = cases[i].probe_errno;
    libvirt_unbinds (f, "vfio-pci");
    g_assert_null (hand_over (f, &native, DEBIAN_12, &error));
    fake_assert_error (error, VV_ERROR_POLICY, cases[i].problem);
    if (cases[i].moved)
      fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
    fake_assert_logged (CAME_BACK);
    fake_assert_device (f->k, NIC, "mlx5_core", NULL);
    assert_no_entry (f);
  }
}

/* The next one that can migrate, without libvirt's noticing */
static void
test_the_next_that_can_migrate (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  set_policy (f, "migratable='require'");
  fake_migration ("special-vfio=no mlx5_vfio_pci=yes");
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
  assert_change (change, VV_DETACH, "mlx5_core", "mlx5_vfio_pci", "*; policy /p.xml:2");
  fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
  g_assert_cmpstr (fake_migration_asked (), ==, "special-vfio mlx5_vfio_pci");
}

/* What it was before counts, not what an entry says that is not true any more; and what was away before is
 * away again. */
static void
test_refused_and_back_to_what_it_was (void)
{
  static const struct {
    const char *says;
    const VvDriverState *before, *entry; /* @entry: the home in it, NULL: there is none */
    VvState state;
    gboolean stays; /* the entry */
  } cases[] = {
      {"an entry that is stale", &native, &native_by_name, VV_STATE_DETACHED, FALSE},
      {"an entry that was noted for nobody", &native, &native, VV_STATE_NOTED, FALSE},
      {"it was detached before", &variant, &native_by_name, VV_STATE_DETACHED, TRUE},
      {"it was on VFIO, nobody knows why", &variant, NULL, 0, FALSE},
      {"it was on another driver of VFIO than the entry says", &generic, &native, VV_STATE_DETACHED, FALSE},
      {"it had no driver", &driverless, NULL, 0, FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fake_register (f->k, "special-vfio");
    set_policy (f, "driver='mlx5_vfio_pci' fallback='none'");
    if (cases[i].entry)
      write_entry (f, cases[i].state, cases[i].entry, NULL);
    g_autofree char *entry = cases[i].entry ? fake_read (f->k, ENTRY) : NULL;
    libvirt_unbinds (f, "vfio-pci");
    g_assert_null (hand_over (f, cases[i].before, DEBIAN_12, &error));
    g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
    fake_assert_logged (CAME_BACK);
    fake_assert_device (f->k, NIC, cases[i].before->driver, cases[i].before->override);
    if (!cases[i].stays) {
      assert_no_entry (f);
      continue;
    }
    g_autofree char *now = fake_read (f->k, ENTRY);
    g_assert_cmpstr (now, ==, entry);
  }
}

/* The hook comes after the gate, can move what the gate may not, and says no in words. */
static void
test_a_starting_domain_is_not_refused (void)
{
  for (int flr = 0; flr < 2; flr++) {
    g_autoptr (Fixture) f = flr ? fixture_with_flr () : fixture_new ();
    g_autoptr (GError) error = NULL;
    set_policy (f, "fallback='none'");
    fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
    write_entry (f, VV_STATE_NOTED, &native, "vm1");
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &native, DEBIAN_12, &error);
    if (flr)
      fake_assert_error (error, VV_ERROR_FAILED, "policy /p.xml:2 takes nothing else: *");
    else
      assert_change (change, VV_DETACH, "mlx5_core", "vfio-pci", "*libvirt 9.0 resets*");
    fake_assert_device (f->k, NIC, flr ? NULL : "vfio-pci", "vfio-pci");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpstr (entry->domain, ==, "vm1");
  }
}

/* --- a domain that starts, and has the device by iommufd: the hook's "start" comes too late --- */

#define V12 VV_LIBVIRT_VERSION (12, 8, 0)

static void
hook_has_prepared (const Fixture *f, VvState state, const char *requested)
{
  write_entry (f, state, &native, "vm1");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  entry->requested = g_strdup (requested);
  g_assert_true (vv_journal_store (f->s->journal, entry, NULL));
}

/* @wanted: what libvirt asks for; @options: NULL: no policy */
static const struct {
  const char *says, *requested, *options;
  guint libvirt;
  const char *wanted, *gets, *why;
} starting[] = {
    {"libvirt's own choice gives way to the best", "iommufd=yes", NULL, V12, "vfio-pci", "special-vfio",
     "vfio_pci:*, 3 wildcards, modules.alias"},
    {"also to what the policy prefers", "iommufd=yes", "driver='mlx5_vfio_pci'", V12, "special-vfio",
     "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"the domain's model stays", "iommufd=yes model=mlx5_vfio_pci", NULL, V12, "mlx5_vfio_pci",
     "mlx5_vfio_pci", "*; domain vm1"},
    {"also the generic one", "iommufd=yes model=vfio-pci", NULL, V12, "vfio-pci", "vfio-pci",
     "*; domain vm1"},
    {"the domain's options count", "iommufd=yes driver=mlx5_vfio_pci fallback=generic", NULL, V12, "vfio-pci",
     "mlx5_vfio_pci", "*; domain vm1"},
    {"which libvirt it is does not matter", "iommufd=yes", NULL, 0, "vfio-pci", "special-vfio", "*"},
    {"without iommufd the hook does it", "iommufd=no", NULL, V12, "vfio-pci", "vfio-pci",
     "*; nothing better was tried: libvirt 12.8 chooses by itself, or was told"},
    {"a record that is none counts for nothing", "iommufd=yes else", NULL, V12, "vfio-pci", "vfio-pci",
     "*; nothing better was tried: *"},
    {"the hook has written none", NULL, NULL, V12, "vfio-pci", "vfio-pci", "*; nothing better was tried: *"},
};

static void
test_a_start_by_iommufd (void)
{
  static const VvState states[] = {VV_STATE_NOTED, VV_STATE_DETACHED}; /* by hand, before the domain */

  for (gsize i = 0; i < 2 * G_N_ELEMENTS (starting); i++) {
    const VvState state = states[i % 2];
    const gsize k = i / 2;
    g_test_message ("%s, %s", starting[k].says, vv_state_name (state));
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, starting[k].wanted);
    fake_register (f->k, "special-vfio");
    if (starting[k].options)
      set_policy (f, starting[k].options);
    hook_has_prepared (f, state, starting[k].requested);
    libvirt_unbinds (f, starting[k].wanted);
    g_autoptr (VvChange) change =
        must_hand_over (f, state == VV_STATE_NOTED ? &native : &variant, starting[k].libvirt);
    fake_assert_device (f->k, NIC, starting[k].gets, starting[k].gets);
    fake_assert_matches (change->why, starting[k].why);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_home (entry, VV_STATE_DETACHED, &native);
    g_assert_cmpstr (entry->domain, ==, "vm1");
    g_assert_cmpstr (entry->requested, ==, starting[k].requested);
  }
}

/* It is asked in time; what the driver says is the domain's affair, too. */
static void
test_a_start_by_iommufd_that_must_migrate (void)
{
  static const struct {
    const char *requested, *answers, *asked, *gets; /* @gets: NULL: left for the hook, which refuses */
  } cases[] = {
      {"iommufd=yes migratable=require", "special-vfio=yes", "special-vfio", "special-vfio"},
      {"iommufd=yes migratable=require", "special-vfio=iommu", "special-vfio", "special-vfio"},
      {"iommufd=yes migratable=require", "special-vfio=untracked mlx5_vfio_pci=iommu",
       "special-vfio mlx5_vfio_pci", "mlx5_vfio_pci"},
      {"iommufd=yes other-devices=yes migratable=require", "special-vfio=alone mlx5_vfio_pci=yes",
       "special-vfio mlx5_vfio_pci", "mlx5_vfio_pci"},
      {"iommufd=yes enable-migration=yes migratable=require", "special-vfio=untracked", "special-vfio",
       "special-vfio"},
      {"iommufd=yes migratable=require fallback=none", "special-vfio=no", "special-vfio", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s, %s", cases[i].requested, cases[i].answers);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    hook_has_prepared (f, VV_STATE_NOTED, cases[i].requested);
    fake_migration (cases[i].answers);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &native, V12, &error);
    g_assert_cmpstr (fake_migration_asked (), ==, cases[i].asked);
    if (!cases[i].gets || g_strcmp0 (cases[i].gets, "special-vfio") != 0)
      fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
    if (cases[i].gets) {
      g_assert_no_error (error);
      fake_assert_device (f->k, NIC, cases[i].gets, cases[i].gets);
    } else {
      fake_assert_error (error, VV_ERROR_FAILED, NIC ": no VFIO driver is left: *announces no migration*");
    }
  }
}

/* Before libvirt 12.1 nobody has a device by iommufd, and nothing but the device itself tracks. */
static void
test_hot_plug_that_must_migrate (void)
{
  static const struct {
    guint libvirt;
    const char *answers, *gets; /* @gets: NULL: refused */
  } cases[] = {
      {BY_NAME, "special-vfio=yes", "special-vfio"},
      {BY_NAME, "special-vfio=iommu mlx5_vfio_pci=iommu", NULL},
      {NEW, "special-vfio=iommu mlx5_vfio_pci=yes", "mlx5_vfio_pci"},
      {V12, "special-vfio=iommu", "special-vfio"},
      {V12, "special-vfio=perhaps", "special-vfio"},
      {V12, "special-vfio=untracked mlx5_vfio_pci=untracked", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%u, %s", cases[i].libvirt, cases[i].answers);
    g_autoptr (Fixture) f = fixture_with_flr ();
    g_autoptr (GError) error = NULL;
    set_policy (f, "migratable='require'");
    fake_migration (cases[i].answers);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &native, cases[i].libvirt, &error);
    while (fake_was_logged (NIC ": *"))
      ;
    if (cases[i].gets) {
      g_assert_no_error (error);
      fake_assert_device (f->k, NIC, cases[i].gets, cases[i].gets);
    } else {
      fake_assert_error (error, VV_ERROR_POLICY, NIC ": no VFIO driver is left: *has no DMA logging*");
      fake_assert_device (f->k, NIC, "mlx5_core", NULL);
    }
  }
}

/* What the hook's "start" need not try again */
static void
test_failures_of_a_start_are_noted (void)
{
  static const struct {
    const char *says, *domain;
    int special, mlx5, generic;
    const char *failed;
  } cases[] = {
      {"one", "vm1", ENODEV, 0, 0, "special_vfio_pci bind * No such device\n"},
      {"two", "vm1", ENODEV, EIO, 0, "special_vfio_pci bind * No such device\nmlx5_vfio_pci bind *\n"},
      {"all", "vm1", ENODEV, EIO, EINVAL, "special_vfio_pci bind *\nmlx5_vfio_pci bind *\nvfio_pci bind *\n"},
      {"none", "vm1", 0, 0, 0, NULL},
      {"hot plug", NULL, ENODEV, 0, 0, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    fake_driver (f->k, "special-vfio")->probe_errno = cases[i].special;
    fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = cases[i].mlx5;
    fake_driver (f->k, "vfio-pci")->probe_errno = cases[i].generic;
    write_entry (f, VV_STATE_NOTED, &native, cases[i].domain);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &native, DEBIAN_12, NULL);
    g_assert_cmpint (change == NULL, ==, cases[i].generic != 0);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    if (cases[i].failed)
      fake_assert_matches (entry->failed, cases[i].failed);
    else
      g_assert_null (entry->failed);
  }
}

/* The deadline, and what is wrong with the host, say nothing of a driver. */
static void
test_what_is_no_failure_of_a_driver (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  const VvHotplugRequest request = {NIC, native, DEBIAN_12};
  const VvDeadline deadline = {.until = g_get_monotonic_time () - 1};

  write_entry (f, VV_STATE_NOTED, &native, "vm1");
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = hand_over_now (f, &request, &deadline, NULL);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_null (entry->failed);
}

/* What libvirt will not load is loaded while it unbinds the device. */
static void
test_prepare_for_a_start_by_iommufd (void)
{
  static const struct {
    const char *requested;
    gboolean special, mlx5;
  } cases[] = {{"iommufd=no", FALSE, FALSE},
               {"iommufd=yes", TRUE, FALSE},
               {"iommufd=yes driver=mlx5_vfio_pci", FALSE, TRUE}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    const VvHotplugRequest request = {NIC, native, V12};
    hook_has_prepared (f, VV_STATE_NOTED, cases[i].requested);
    vv_hotplug_prepare (f->s, &request);
    g_assert_cmpint (is_loaded (f, "special-vfio"), ==, cases[i].special);
    g_assert_cmpint (is_loaded (f, "mlx5_vfio_pci"), ==, cases[i].mlx5);
  }
}

/* That is said, and the journal knows where it belongs. */
static void
test_refused_and_no_way_back (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  set_policy (f, "driver='mlx5_vfio_pci' fallback='none'");
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  libvirt_unbinds (f, "vfio-pci");
  g_assert_null (hand_over (f, &native, DEBIAN_12, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
  fake_assert_logged ("gate: " NIC ": mlx5_core could not be brought back: *");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_home (entry, VV_STATE_DETACHING, &native);
}

/* A driver that is none of VFIO's is libvirt's affair, whatever the policy says. */
static void
test_policy_and_no_driver_of_vfio (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  set_policy (f, "driver='mlx5_vfio_pci' fallback='none'");
  libvirt_unbinds (f, "pci-stub");
  g_autoptr (VvChange) change = must_hand_over (f, &native, DEBIAN_12);
  assert_left (change, VV_DETACH, "mlx5_core", "libvirt wants it on pci-stub, which is no VFIO driver *");
}

static void
test_prepare_goes_by_the_policy (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  set_policy (f, "driver='mlx5_vfio_pci'");
  prepare (f, &native, DEBIAN_12);
  g_assert_true (is_loaded (f, "mlx5_vfio_pci"));
  g_assert_false (is_loaded (f, "special-vfio"));
}

/* --- a libvirt that died --- */

static void
write_away_entry (const Fixture *f, const VvDriverState *home, gboolean held)
{
  write_entry (f, VV_STATE_DETACHED, home, NULL);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  entry->held = held;
  g_assert_true (vv_journal_store (f->s->journal, entry, NULL));
}

static VvChange *
rescue (const Fixture *f, const VvDriverState *before, GError **error)
{
  const VvHotplugRequest request = {NIC, *before, 0};

  return vv_hotplug_rescue (f->s, &request, error);
}

/* How far libvirt came, and what is left of it */
static void
test_rescue (void)
{
  static const struct {
    const char *says;
    const VvDriverState *before, *entry; /* @entry: the home in it, NULL: there is none */
    const char *override;                /* what libvirt has written, NULL: cleared */
    gboolean unbound, held;
    const VvDriverState *after;
    gboolean stays; /* the entry */
  } cases[] = {
      {"a detach, before the unbind", &native, NULL, "vfio-pci", FALSE, FALSE, &native, FALSE},
      {"a detach, after the unbind", &native, NULL, "vfio-pci", TRUE, FALSE, &native, FALSE},
      {"an override of the administrator's", &native_by_name, NULL, "vfio-pci", TRUE, FALSE, &native_by_name,
       FALSE},
      {"a device without driver", &driverless, NULL, "vfio-pci", TRUE, FALSE, &driverless, FALSE},
      {"on the way home, before the unbind", &variant, &native_by_name, NULL, FALSE, FALSE, &native_by_name,
       FALSE},
      {"on the way home, after the unbind", &variant, &native_by_name, NULL, TRUE, FALSE, &native_by_name,
       FALSE},
      {"on the way home, which nobody knows", &generic, NULL, NULL, TRUE, FALSE, &native, FALSE},
      {"detached by hand", &variant, &native, NULL, TRUE, TRUE, &variant, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fake_register (f->k, "special-vfio");
    is_on (f, cases[i].before);
    if (cases[i].entry)
      write_away_entry (f, cases[i].entry, cases[i].held);
    g_autofree char *entry = cases[i].entry ? fake_read (f->k, ENTRY) : NULL;
    libvirt_begins (f, cases[i].override, cases[i].unbound);
    g_autoptr (VvChange) change = rescue (f, cases[i].before, &error);
    g_assert_no_error (error);
    g_assert_true (change->changed);
    fake_assert_device (f->k, NIC, cases[i].after->driver, cases[i].after->override);
    if (!cases[i].stays) {
      assert_no_entry (f);
      continue;
    }
    g_autofree char *now = fake_read (f->k, ENTRY);
    g_assert_cmpstr (now, ==, entry);
  }
}

/* Nothing had begun, or somebody else was faster. */
static void
test_nothing_to_rescue (void)
{
  static const struct {
    const VvDriverState *before, *now;
  } cases[] = {{&native, &native}, {&native, &variant}, {&variant, &native}, {&driverless, &driverless}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fake_register (f->k, "special-vfio");
    is_on (f, cases[i].now);
    g_autoptr (VvChange) change = rescue (f, cases[i].before, &error);
    g_assert_no_error (error);
    g_assert_false (change->changed);
    fake_assert_device (f->k, NIC, cases[i].now->driver, cases[i].now->override);
    assert_no_entry (f);
  }
}

static void
add_detach (void)
{
  g_test_add_func ("/hotplug/detach/the-best-with-flr", test_best_with_flr);
  g_test_add_func ("/hotplug/detach/generic-without-flr", test_generic_without_flr);
  g_test_add_func ("/hotplug/detach/home-is-what-was-seen-before", test_home_is_what_was_seen_before);
  g_test_add_func ("/hotplug/detach/a-device-without-driver", test_driverless_device);
  g_test_add_func ("/hotplug/detach/by-version", test_by_version);
  g_test_add_func ("/hotplug/detach/its-own-choice-fails", test_its_own_choice_fails);
  g_test_add_func ("/hotplug/detach/its-own-choice-is-blacklisted", test_its_own_choice_is_blacklisted);
  g_test_add_func ("/hotplug/detach/no-driver-of-vfio", test_no_driver_of_vfio);
  g_test_add_func ("/hotplug/detach/the-next-candidate", test_next_candidate);
  g_test_add_func ("/hotplug/detach/all-fail", test_all_fail);
  g_test_add_func ("/hotplug/detach/the-journal-is-full", test_journal_is_full);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  add_detach ();
  g_test_add_func ("/hotplug/entry/a-stale-one-is-dropped", test_stale_entry_is_dropped);
  g_test_add_func ("/hotplug/entry/noted-keeps-its-domain", test_noted_entry_keeps_its_domain);
  g_test_add_func ("/hotplug/entry/was-on-vfio", test_was_on_vfio);
  g_test_add_func ("/hotplug/entry/was-on-vfio-and-an-entry-says", test_was_on_vfio_and_an_entry_says);
  g_test_add_func ("/hotplug/entry/cut-off-is-not-recovered", test_cut_off_entry_is_not_recovered);
  g_test_add_func ("/hotplug/entry/of-another-device-is-dropped", test_foreign_entry_is_dropped);
  g_test_add_func ("/hotplug/entry/a-damaged-one", test_damaged_entry);
  g_test_add_func ("/hotplug/reattach/exactly-home", test_exactly_home);
  g_test_add_func ("/hotplug/reattach/for-every-libvirt", test_home_for_every_libvirt);
  g_test_add_func ("/hotplug/reattach/the-native-module-is-loaded", test_native_module_is_loaded);
  g_test_add_func ("/hotplug/reattach/held-for-a-domain", test_held_for_a_domain);
  g_test_add_func ("/hotplug/reattach/held-for-nobody", test_held_for_nobody);
  g_test_add_func ("/hotplug/reattach/no-entry", test_no_entry);
  g_test_add_func ("/hotplug/reattach/home-not-known", test_home_not_known);
  g_test_add_func ("/hotplug/reattach/home-not-known-of-a-domain", test_home_not_known_of_a_domain);
  g_test_add_func ("/hotplug/reattach/home-cannot-be-reached", test_home_cannot_be_reached);
  g_test_add_func ("/hotplug/bound-already", test_bound_already);
  g_test_add_func ("/hotplug/vanished", test_vanished);
  g_test_add_func ("/hotplug/locked", test_locked);
  g_test_add_func ("/hotplug/the-deadline-is-past", test_deadline_is_past);
  g_test_add_func ("/hotplug/told/of-the-best", test_told_of_the_best);
  g_test_add_func ("/hotplug/told/of-failures", test_told_of_failures);
  g_test_add_func ("/hotplug/told/that-all-fail", test_told_that_all_fail);
  g_test_add_func ("/hotplug/told/of-the-way-home", test_told_of_the_way_home);
  g_test_add_func ("/hotplug/told/of-nothing", test_told_of_nothing);
  g_test_add_func ("/hotplug/stand-back", test_stand_back);
  g_test_add_func ("/hotplug/stand-back/from-what-went-away", test_stand_back_from_what_went_away);
  g_test_add_func ("/hotplug/prepare/loads-when-it-should", test_prepare);
  g_test_add_func ("/hotplug/prepare/takes-the-first-that-loads", test_prepare_takes_the_first_that_loads);
  g_test_add_func ("/hotplug/prepare/does-not-wait-for-the-unbind",
                   test_prepare_does_not_wait_for_the_unbind);
  g_test_add_func ("/hotplug/prepare/for-what-went-away", test_prepare_for_what_went_away);
  g_test_add_func ("/hotplug/policy/by-version", test_under_a_policy);
  g_test_add_func ("/hotplug/policy/refused-after-a-try", test_refused_after_a_try);
  g_test_add_func ("/hotplug/policy/the-next-that-can-migrate", test_the_next_that_can_migrate);
  g_test_add_func ("/hotplug/policy/refused-and-back-to-what-it-was", test_refused_and_back_to_what_it_was);
  g_test_add_func ("/hotplug/policy/refused-and-no-way-back", test_refused_and_no_way_back);
  g_test_add_func ("/hotplug/start/by-iommufd", test_a_start_by_iommufd);
  g_test_add_func ("/hotplug/start/by-iommufd-must-migrate", test_a_start_by_iommufd_that_must_migrate);
  g_test_add_func ("/hotplug/start/prepare-by-iommufd", test_prepare_for_a_start_by_iommufd);
  g_test_add_func ("/hotplug/start/failures-are-noted", test_failures_of_a_start_are_noted);
  g_test_add_func ("/hotplug/start/no-failure-of-a-driver", test_what_is_no_failure_of_a_driver);
  g_test_add_func ("/hotplug/policy/hot-plug-must-migrate", test_hot_plug_that_must_migrate);
  g_test_add_func ("/hotplug/rescue/what-libvirt-had-begun", test_rescue);
  g_test_add_func ("/hotplug/rescue/nothing-to-do", test_nothing_to_rescue);
  g_test_add_func ("/hotplug/policy/a-starting-domain-is-not-refused", test_a_starting_domain_is_not_refused);
  g_test_add_func ("/hotplug/policy/no-driver-of-vfio", test_policy_and_no_driver_of_vfio);
  g_test_add_func ("/hotplug/policy/prepare-goes-by-it", test_prepare_goes_by_the_policy);
  return g_test_run ();
}
