/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of hotplug: how the gate's worker handles a device while libvirt is blocked, and how the daemon
 * restores a device after libvirt died.
 */
#include "hotplug-fixture.h"

#include <errno.h>
#include <string.h>

static void
is_on (const Fixture *f, const VvDriverState *host)
{
  g_autofree char *line = g_strconcat (host->override ? host->override : "(null)", "\n", NULL);

  set_override (f, line);
  if (host->driver && strcmp (host->driver, "mlx5_core") != 0) {
    fake_unbind (f->k, NIC);
    fake_probe (f->k, NIC);
  } else if (!host->driver) {
    fake_unbind (f->k, NIC);
  }
}

/* The steps that libvirt completes before it dies */
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
assert_host_unknown (const VvEntry *entry, VvState state)
{
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->state, ==, state);
  g_assert_false (entry->host_known);
}

/* --- detach: driver by libvirt version --- */

/* @before: the driver before libvirt's unbind, which is the host driver */
static const struct {
  const char *says;
  const VvDriverState *before;
  guint libvirt;
  gboolean flr;
  const char *wanted, *gets, *why;
} detaches[] = {
    {"9.0 with FLR", &host_driver, DEBIAN_12, TRUE, "vfio-pci", "special-vfio",
     "vfio_pci:*, 3 wildcards, modules.alias"},
    {"9.0 without FLR", &host_driver, DEBIAN_12, FALSE, "vfio-pci", "vfio-pci",
     "*; no better driver was tried: libvirt 9.0 cannot reliably reset a device without FLR*"},
    {"home has an override", &host_driver_by_name, DEBIAN_12, TRUE, "vfio-pci", "special-vfio", "*"},
    {"no driver is home", &driverless, DEBIAN_12, TRUE, "vfio-pci", "special-vfio", "*"},
    {"8.0 asks for vfio-pci", &host_driver, VV_LIBVIRT_VERSION (8, 0, 0), TRUE, "vfio-pci", "special-vfio",
     "*3 wild*"},
    {"9.6 without FLR", &host_driver, VV_LIBVIRT_VERSION (9, 6, 99), FALSE, "vfio-pci", "vfio-pci",
     "*libvirt 9.6 cannot reliably*"},
    {"9.7 asks for vfio-pci", &host_driver, BY_NAME, FALSE, "vfio-pci", "special-vfio", "*3 wildcards*"},
    {"9.9 too", &host_driver, VV_LIBVIRT_VERSION (9, 9, 0), FALSE, "vfio-pci", "special-vfio",
     "*3 wildcards*"},
    {"9.7 was told another driver", &host_driver, BY_NAME, TRUE, "mlx5_vfio_pci", "mlx5_vfio_pci",
     "*5 wildcards*; no better driver was tried: libvirt 9.7 was told to use mlx5_vfio_pci"},
    {"10.0 takes vfio-pci", &host_driver, BY_ITSELF, TRUE, "vfio-pci", "vfio-pci",
     "*; no better driver was tried: libvirt 10.0 chose it, or was told to use it"},
    {"11.3 takes vfio-pci", &host_driver, VV_LIBVIRT_VERSION (11, 3, 0), TRUE, "vfio-pci", "vfio-pci",
     "*libvirt 11.3 *"},
    {"10.0 takes a variant driver", &host_driver, BY_ITSELF, FALSE, "mlx5_vfio_pci", "mlx5_vfio_pci",
     "*5 wildcards*"},
    {"10.0 takes the best", &host_driver, BY_ITSELF, FALSE, "special-vfio", "special-vfio",
     "vfio_pci:*, 3 wildcards, *s"},
    {"which one is not known", &host_driver, 0, TRUE, "vfio-pci", "vfio-pci",
     "*; no better driver was tried: unknown libvirt version: keeping its choice"},
    {"not known, a variant driver", &host_driver, 0, TRUE, "mlx5_vfio_pci", "mlx5_vfio_pci",
     "*unknown libvirt version*"},
};

static void
test_detach (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (detaches); i++) {
    const VvDriverState *before = detaches[i].before;
    g_test_message ("%s", detaches[i].says);
    g_autoptr (Fixture) f = detaches[i].flr ? fixture_with_flr () : fixture_new ();
    fake_register (f->k, detaches[i].wanted); /* libvirt loads the module first */
    libvirt_unbinds (f, detaches[i].wanted);
    g_autoptr (VvChange) change = must_hand_over (f, before, detaches[i].libvirt);
    assert_change (change, VV_DETACH, before->driver, detaches[i].gets, detaches[i].why);
    g_assert_true (change->changed);
    fake_assert_device (f->k, NIC, detaches[i].gets, detaches[i].gets);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_DETACHED, before);
    g_assert_cmpstr (entry->vfio_driver, ==, detaches[i].gets);
    g_assert_null (entry->domain);
    g_assert_false (entry->pinned);
  }
}

/* The driver that libvirt selected itself is verified. */
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
    g_autoptr (VvChange) change = must_hand_over (f, &host_driver, BY_ITSELF);
    assert_change (change, VV_DETACH, "mlx5_core", "vfio-pci", "*");
    g_assert_cmpuint (change->attempts->len, ==, 1);
    g_assert_cmpstr (((VvAttempt *)change->attempts->pdata[0])->step, ==, failures[i].step);
    fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  }
}

/* modprobe.d blacklists the module, but libvirt does not read modprobe.d. */
static void
test_its_own_choice_is_blacklisted (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  fake_write (f->k, "etc/modprobe.d/a.conf", "blacklist mlx5_vfio_pci\n");
  g_assert_true (vv_context_reload (f->s, NULL));
  fake_register (f->k, "mlx5_vfio_pci");
  libvirt_unbinds (f, "mlx5_vfio_pci");
  g_autoptr (VvChange) change = must_hand_over (f, &host_driver, BY_ITSELF);
  assert_change (change, VV_DETACH, "mlx5_core", "mlx5_vfio_pci", "requested by name*");
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
    g_autoptr (VvChange) change = must_hand_over (f, &host_driver, versions[i]);
    assert_left (change, VV_DETACH, "mlx5_core",
                 "libvirt binds it to pci-stub, which is not a known VFIO driver *");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_RECORDED, &host_driver);
    fake_probe (f->k, NIC);
    fake_assert_device (f->k, NIC, "pci-stub", "pci-stub");
  }
}

/* --- detach: failures --- */

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
make_fail (const Fixture *f, gsize i)
{
  FakeDriver *d = fake_driver (f->k, "special-vfio");

  d->load_errno = failures[i].knobs.load_errno;
  d->nameless = failures[i].knobs.nameless;
  d->probe_errno = failures[i].knobs.probe_errno;
  d->silent = failures[i].knobs.silent;
  d->no_vfio_dev = failures[i].knobs.no_vfio_dev;
  if (failures[i].hook)
    fake_script (f->k, VV_LIBVIRT_HOOKS_DIR "/nodedev", failures[i].hook);
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
    g_autoptr (VvChange) change = must_hand_over (f, &host_driver, DEBIAN_12);
    assert_change (change, VV_DETACH, "mlx5_core", "mlx5_vfio_pci", "*, 5 wildcards, modules.alias");
    g_assert_cmpuint (change->attempts->len, ==, 1);
    g_assert_cmpstr (((VvAttempt *)change->attempts->pdata[0])->step, ==, failures[i].step);
    fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_DETACHED, &host_driver);
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
  g_assert_null (hand_over (f, &host_driver, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     NIC ": no VFIO driver could be bound, returned to no driver: special_vfio_pci failed "
                         "at bind (*); mlx5_vfio_pci failed at bind (*); vfio_pci failed at bind (*)");
  fake_assert_device (f->k, NIC, NULL, "vfio-pci"); /* libvirt can bind its own driver */
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host (entry, VV_STATE_RECORDED, &host_driver);
}

static void
test_journal_is_full (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;

  libvirt_unbinds (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  f->k->journal_full = TRUE;
  g_assert_null (hand_over (f, &host_driver, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*: write: No space left on device");
  fake_assert_unchanged (f->k, before);
}

/* --- detach: existing state files --- */

/* The device returned to its host driver without us. */
static void
test_stale_entry_is_dropped (void)
{
  static const struct {
    const char *says;
    VvState state;
    const VvDriverState *host;
  } stale[] = {
      {"it is said to be away", VV_STATE_DETACHED, &host_driver},
      {"a reattach that was cut off is done", VV_STATE_REATTACHING, &host_driver},
      {"a detach that was cut off never was", VV_STATE_DETACHING, &host_driver},
      {"its host driver was another", VV_STATE_RECORDED, &host_driver_by_name},
      {"its host driver was not known", VV_STATE_DETACHED, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (stale); i++) {
    g_test_message ("%s", stale[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    write_entry (f, stale[i].state, stale[i].host, "former");
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = must_hand_over (f, &host_driver, DEBIAN_12);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_DETACHED, &host_driver);
    g_assert_null (entry->domain);
  }
}

static void
test_recorded_entry_keeps_its_domain (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  write_entry (f, VV_STATE_RECORDED, &host_driver, "guest");
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &host_driver, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host (entry, VV_STATE_DETACHED, &host_driver);
  g_assert_cmpstr (entry->domain, ==, "guest");
  g_assert_cmpstr (entry->domain_uuid, ==, "6695eb01");
}

/* From one VFIO driver to another: the host driver is known only from a state file. */
static void
test_was_on_vfio (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &generic, DEBIAN_12);
  assert_change (change, VV_DETACH, "vfio-pci", "special-vfio", "*");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host_unknown (entry, VV_STATE_DETACHED);
}

static void
test_was_on_vfio_and_an_entry_says (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  write_entry (f, VV_STATE_DETACHED, &host_driver_by_name, NULL);
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &generic, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host (entry, VV_STATE_DETACHED, &host_driver_by_name);
}

/* Recovery would bind another driver than libvirt wants. */
static void
test_cut_off_entry_is_not_recovered (void)
{
  static const VvState states[] = {VV_STATE_DETACHING, VV_STATE_REATTACHING};

  for (gsize i = 0; i < G_N_ELEMENTS (states); i++) {
    g_autoptr (Fixture) f = fixture_with_flr ();
    fake_register (f->k, variant.driver);
    write_entry (f, states[i], &host_driver, NULL);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
    assert_change (change, VV_DETACH, "special-vfio", "special-vfio", "*");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_DETACHED, &host_driver);
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
  g_assert_true (vv_state_store_save (f->s->store, foreign, NULL));
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &host_driver, DEBIAN_12);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host (entry, VV_STATE_DETACHED, &host_driver);
}

/* --- reattach --- */

/* A device that we detached, while libvirt reattaches it */
static Fixture *
fixture_being_reattached (const VvDriverState *host)
{
  Fixture *f = fixture_with_flr ();

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, host, DEBIAN_12);
  libvirt_unbinds (f, NULL);
  return f;
}

/* All versions of libvirt reattach in the same way. */
static void
test_exactly_restored (void)
{
  static const VvDriverState named_otherwise = ON ("mlx5_core", "mlx5_core", "not_mlx5_core");
  static const VvDriverState waiting = ON (NULL, NULL, "nothing_binds_this");
  static const struct {
    const char *says;
    const VvDriverState *host;
    guint libvirt;
    gboolean not_loaded, blocked;
  } cases[] = {
      {"a driver", &host_driver, DEBIAN_12, FALSE, FALSE},
      {"by its name", &host_driver_by_name, DEBIAN_12, FALSE, FALSE},
      {"by another name", &named_otherwise, DEBIAN_12, FALSE, FALSE},
      {"no driver", &driverless, DEBIAN_12, FALSE, FALSE},
      {"no driver, and waiting for one", &waiting, DEBIAN_12, FALSE, FALSE},
      {"which libvirt is not known", &host_driver_by_name, 0, FALSE, FALSE},
      {"9.7", &host_driver_by_name, BY_NAME, FALSE, FALSE},
      {"10.0", &host_driver_by_name, BY_ITSELF, FALSE, FALSE},
      {"its module is not loaded", &host_driver, DEBIAN_12, TRUE, FALSE},
      {"by virsh nodedev-reattach, though it was bound by hand", &host_driver, DEBIAN_12, FALSE, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_being_reattached (cases[i].host);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    entry->pinned = cases[i].blocked;
    g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
    if (cases[i].not_loaded)
      fake_unregister (f->k, "mlx5_core");
    g_autoptr (VvChange) change = must_hand_over (f, &variant, cases[i].libvirt);
    assert_change (change, VV_REATTACH, "special-vfio", cases[i].host->driver, "*");
    fake_assert_device (f->k, NIC, cases[i].host->driver, cases[i].host->override);
    assert_no_entry (f);
  }
}

static void
test_pinned_for_a_domain (void)
{
  g_autoptr (Fixture) f = fixture_being_reattached (&host_driver);
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  entry->pinned = TRUE;
  vv_entry_set_domain (entry, "guest", "6695eb01");
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  assert_left (change, VV_REATTACH, "special-vfio",
               "an administrator had bound it before domain guest got it: left to the hook");
  fake_assert_unchanged (f->k, before);
}

static void
test_no_entry (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  libvirt_unbinds (f, NULL);
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) change = must_hand_over (f, &generic, DEBIAN_12);
  assert_left (change, VV_REATTACH, "vfio-pci", "its host driver is unknown: the kernel chooses a driver");
  fake_assert_unchanged (f->k, before);
  fake_probe (f->k, NIC);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_host_not_known (void)
{
  g_autoptr (Fixture) f = fixture_being_reattached (&generic);

  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  assert_left (change, VV_REATTACH, "special-vfio",
               "its host driver is unknown: the kernel chooses a driver");
  assert_no_entry (f);
}

/* The hook or the monitor drops a domain's state file. */
static void
test_host_not_known_of_a_domain (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  write_entry (f, VV_STATE_DETACHED, NULL, "guest");
  libvirt_unbinds (f, NULL);
  g_autoptr (VvChange) change = must_hand_over (f, &variant, DEBIAN_12);
  assert_left (change, VV_REATTACH, "special-vfio", "its host driver is unknown: *");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host_unknown (entry, VV_STATE_DETACHED);
}

static void
test_host_cannot_be_reached (void)
{
  static const struct {
    const char *says;
    int load_errno, probe_errno;
  } cases[] = {{"no module", ENOENT, 0}, {"its probe fails", 0, EIO}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_being_reattached (&host_driver_by_name);
    g_autoptr (GError) error = NULL;
    FakeDriver *d = fake_driver (f->k, "mlx5_core");
    d->load_errno = cases[i].load_errno;
    d->probe_errno = cases[i].probe_errno;
    if (cases[i].load_errno)
      fake_unregister (f->k, "mlx5_core");
    g_assert_null (hand_over (f, &variant, DEBIAN_12, &error));
    fake_assert_error (error, VV_ERROR_FAILED,
                       NIC
                       ": cannot return to mlx5_core: *; it is now on no driver; the state file is kept: *");
    fake_assert_device (f->k, NIC, NULL, NULL); /* libvirt can bind its own driver */
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_DETACHED, &host_driver_by_name);
  }
}

/* --- detach and reattach --- */

static void
test_bound_already (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) back = must_hand_over (f, &generic, DEBIAN_12);

  assert_change (back, VV_REATTACH, "vfio-pci", "mlx5_core", "already on mlx5_core");
  g_assert_false (back->changed);
  fake_assert_unchanged (f->k, before);
  set_override (f, "vfio-pci\n");
  g_autoptr (VvChange) away = must_hand_over (f, &host_driver, DEBIAN_12);
  assert_change (away, VV_DETACH, "mlx5_core", "mlx5_core", "already on mlx5_core");
  assert_no_entry (f);
}

static void
test_vanished (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  fake_remove_device (f->k, NIC);
  g_assert_null (hand_over (f, &host_driver, DEBIAN_12, &error));
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
  g_assert_null (hand_over (f, &host_driver, DEBIAN_12, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "* as a state file*");
  fake_assert_unchanged (f->k, before);
}

static void
test_locked (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;
  g_autoptr (VvLock) lock = vv_state_store_lock (f->s->store, NIC, 0, NULL);
  const VvHotplugRequest request = {NIC, host_driver, DEBIAN_12};
  gint64 until = g_get_monotonic_time () + 50 * G_TIME_SPAN_MILLISECOND;

  libvirt_unbinds (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_null (hand_over_now (f, &request, &(VvDeadline){.until = until}, &error));
  g_assert_cmpint (g_get_monotonic_time (), >=, until - G_TIME_SPAN_MILLISECOND);
  fake_assert_error (error, VV_ERROR_REFUSED, NIC ": another process is moving this device*");
  fake_assert_unchanged (f->k, before);
}

/* The generic driver binds fast, and libvirt 10.0 and later would try the slow driver again. */
static void
test_deadline_is_past (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autoptr (GError) error = NULL;
  const VvHotplugRequest request = {NIC, host_driver, DEBIAN_12};

  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change =
      hand_over_now (f, &request, &(VvDeadline){.until = g_get_monotonic_time ()}, &error);
  g_assert_no_error (error);
  g_autofree char *failed = vv_change_attempts (change);
  fake_assert_matches (failed, "*special_vfio_pci failed at deadline (not tried: the deadline has passed); *"
                               "mlx5_vfio_pci failed at deadline (*)");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host (entry, VV_STATE_DETACHED, &host_driver);
}

/* --- reports to the daemon --- */

typedef struct {
  const Fixture *f;
  const char *override; /* written by libvirt */
  GString *told;
} Listener;

/* Before the first write, and after a complete rollback, the device is as libvirt left it. */
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
test_told (void)
{
  static const struct {
    const char *wanted;
    gboolean all_fail;
    const char *expected;
  } cases[] = {{"vfio-pci", FALSE, "T"}, {"vfio-pci", TRUE, "TUTUTU"}, {"pci-stub", FALSE, ""}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s, %s", cases[i].wanted, cases[i].expected);
    g_autoptr (Fixture) f = fixture_with_flr ();
    if (cases[i].all_fail)
      fail_all_vfio (f, EINVAL);
    libvirt_unbinds (f, cases[i].wanted);
    assert_told (f, &host_driver, cases[i].wanted, cases[i].expected);
  }
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
    assert_told (f, &host_driver, "vfio-pci", failures[i].failing_write ? "TUT" : expected[i]);
  }
}

static void
test_told_of_the_reattach (void)
{
  g_autoptr (Fixture) f = fixture_being_reattached (&host_driver_by_name);

  assert_told (f, &variant, NULL, "T");
}

/* --- dead workers --- */

static void
test_reset_override (void)
{
  static const struct {
    const char *says;
    VvState state;
    const char *driver, *override, *becomes;
  } cases[] = {
      {"at a detach", VV_STATE_DETACHING, NULL, "special-vfio", "vfio-pci"},
      {"at a detach that was undone", VV_STATE_DETACHING, NULL, NULL, NULL},
      {"during reattach", VV_STATE_REATTACHING, NULL, "mlx5_core", NULL},
      {"during reattach, which could not be written down", VV_STATE_DETACHED, NULL, "mlx5_core", NULL},
      {"when the bind was done", VV_STATE_DETACHING, "special-vfio", "special-vfio", "special-vfio"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, "special-vfio");
    put_on (f, cases[i].driver, cases[i].override ? cases[i].override : "(null)");
    write_entry (f, cases[i].state, &host_driver, NULL);
    vv_binding_reset_override (f->s, NIC);
    fake_assert_device (f->k, NIC, cases[i].driver, cases[i].becomes);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, cases[i].state, &host_driver);
  }
}

static void
test_reset_override_of_what_went_away (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_remove_device (f->k, NIC);
  vv_binding_reset_override (f->s, NIC);
  g_assert_cmpuint (f->k->steps, ==, 0);
}

/* --- dead libvirt --- */

static void
write_away_entry (const Fixture *f, const VvDriverState *host, gboolean blocked)
{
  write_entry (f, VV_STATE_DETACHED, host, NULL);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  entry->pinned = blocked;
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
}

static VvChange *
rescue (const Fixture *f, const VvDriverState *before, GError **error)
{
  const VvHotplugRequest request = {NIC, *before, 0};

  return vv_hotplug_rescue (f->s, &request, error);
}

/* libvirt dies at different points. */
static void
test_rescue (void)
{
  static const struct {
    const char *says;
    const VvDriverState *before, *entry; /* @entry: its host driver; NULL: no state file */
    const char *override;                /* written by libvirt; NULL: cleared */
    gboolean unbound, blocked;
    const VvDriverState *after;
    gboolean stays; /* the state file */
  } cases[] = {
      {"a detach, before the unbind", &host_driver, NULL, "vfio-pci", FALSE, FALSE, &host_driver, FALSE},
      {"a detach, after the unbind", &host_driver, NULL, "vfio-pci", TRUE, FALSE, &host_driver, FALSE},
      {"an override of the administrator's", &host_driver_by_name, NULL, "vfio-pci", TRUE, FALSE,
       &host_driver_by_name, FALSE},
      {"a device without driver", &driverless, NULL, "vfio-pci", TRUE, FALSE, &driverless, FALSE},
      {"during reattach, before the unbind", &variant, &host_driver_by_name, NULL, FALSE, FALSE,
       &host_driver_by_name, FALSE},
      {"during reattach, after the unbind", &variant, &host_driver_by_name, NULL, TRUE, FALSE,
       &host_driver_by_name, FALSE},
      {"during reattach, which nobody knows", &generic, NULL, NULL, TRUE, FALSE, &host_driver, FALSE},
      {"detached by hand", &variant, &host_driver, NULL, TRUE, TRUE, &variant, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fake_register (f->k, "special-vfio");
    is_on (f, cases[i].before);
    if (cases[i].entry)
      write_away_entry (f, cases[i].entry, cases[i].blocked);
    g_autofree char *entry = cases[i].entry ? fake_read (f->k, ENTRY) : NULL;
    libvirt_begins (f, cases[i].override, cases[i].unbound);
    g_autoptr (VvChange) change = rescue (f, cases[i].before, &error);
    g_assert_no_error (error);
    g_assert_true (change->changed);
    fake_assert_device (f->k, NIC, cases[i].after->driver, cases[i].after->override);
    if (cases[i].stays)
      assert_entry_unchanged (f, entry);
    else
      assert_no_entry (f);
  }
}

/* libvirt had not begun, or another process has bound the device. */
static void
test_nothing_to_rescue (void)
{
  static const struct {
    const VvDriverState *before, *now;
  } cases[] = {{&host_driver, &host_driver},
               {&host_driver, &variant},
               {&variant, &host_driver},
               {&driverless, &driverless}};

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

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/hotplug/detach/by-version-and-home", test_detach);
  g_test_add_func ("/hotplug/detach/its-own-choice-fails", test_its_own_choice_fails);
  g_test_add_func ("/hotplug/detach/its-own-choice-is-blacklisted", test_its_own_choice_is_blacklisted);
  g_test_add_func ("/hotplug/detach/no-driver-of-vfio", test_no_driver_of_vfio);
  g_test_add_func ("/hotplug/detach/the-next-candidate", test_next_candidate);
  g_test_add_func ("/hotplug/detach/all-fail", test_all_fail);
  g_test_add_func ("/hotplug/detach/the-journal-is-full", test_journal_is_full);
  g_test_add_func ("/hotplug/entry/a-stale-one-is-dropped", test_stale_entry_is_dropped);
  g_test_add_func ("/hotplug/entry/recorded-keeps-its-domain", test_recorded_entry_keeps_its_domain);
  g_test_add_func ("/hotplug/entry/was-on-vfio", test_was_on_vfio);
  g_test_add_func ("/hotplug/entry/was-on-vfio-and-an-entry-says", test_was_on_vfio_and_an_entry_says);
  g_test_add_func ("/hotplug/entry/cut-off-is-not-recovered", test_cut_off_entry_is_not_recovered);
  g_test_add_func ("/hotplug/entry/of-another-device-is-dropped", test_foreign_entry_is_dropped);
  g_test_add_func ("/hotplug/entry/a-damaged-one", test_damaged_entry);
  g_test_add_func ("/hotplug/reattach/exactly-home", test_exactly_restored);
  g_test_add_func ("/hotplug/reattach/held-for-a-domain", test_pinned_for_a_domain);
  g_test_add_func ("/hotplug/reattach/no-entry", test_no_entry);
  g_test_add_func ("/hotplug/reattach/host-not-known", test_host_not_known);
  g_test_add_func ("/hotplug/reattach/host-not-known-of-a-domain", test_host_not_known_of_a_domain);
  g_test_add_func ("/hotplug/reattach/host-cannot-be-reached", test_host_cannot_be_reached);
  g_test_add_func ("/hotplug/bound-already", test_bound_already);
  g_test_add_func ("/hotplug/vanished", test_vanished);
  g_test_add_func ("/hotplug/locked", test_locked);
  g_test_add_func ("/hotplug/the-deadline-is-past", test_deadline_is_past);
  g_test_add_func ("/hotplug/told/of-what-is-tried", test_told);
  g_test_add_func ("/hotplug/told/of-failures", test_told_of_failures);
  g_test_add_func ("/hotplug/told/of-the-reattach", test_told_of_the_reattach);
  g_test_add_func ("/hotplug/stand-back", test_reset_override);
  g_test_add_func ("/hotplug/stand-back/from-what-went-away", test_reset_override_of_what_went_away);
  g_test_add_func ("/hotplug/rescue/what-libvirt-had-begun", test_rescue);
  g_test_add_func ("/hotplug/rescue/nothing-to-do", test_nothing_to_rescue);
  return g_test_run ();
}
