/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of domain-life: a domain's devices from "prepare" to "release", with libvirt's rebinds in between.
 */
#include "domain-fixture.h"

#include <errno.h>
#include <string.h>

#include "counters.h"

/* --- whole life cycles --- */

static void
test_life_on_old_libvirt (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "mlx5_core", NULL); /* libvirt detaches it later */
  assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);

  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
  logged_move ("vfio-pci", "special-vfio");

  vv_domain_running (f->s, f->domain);
  assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);

  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_logged (RESTORED);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

/* libvirt 10.0 and later selects the variant itself: we only keep the state file. */
static void
test_life_on_new_libvirt (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  vv_domain_running (f->s, f->domain);
  assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  assert_no_entry (f);
  fake_assert_logged (RESTORED); /* no rebind of ours is logged */
}

/* A vendor's VFIO driver without an alias: libvirt detaches the device from it, and the device returns to it,
 * even if vfio-pci's probe fails with EINVAL (vGPU). */
static void
test_life_from_a_vendors_driver (void)
{
  for (int refused = 0; refused < 2; refused++) {
    g_autoptr (Fixture) f = domain_fixture ();
    fake_unbind (f->k, NIC);
    fake_unregister (f->k, "mlx5_core");
    fake_add_driver (f->k, "acme", "acme", "pci:v000015B3d*", TRUE);
    fake_register (f->k, "acme");
    fake_assert_device (f->k, NIC, "acme", NULL);
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    fake_assert_device (f->k, NIC, "acme", NULL); /* not detached by us */

    if (refused) {
      const char *const drivers[] = {"vfio-pci", "special-vfio", "mlx5_vfio_pci"};
      for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++)
        fake_driver (f->k, drivers[i])->probe_errno = EINVAL;
      libvirt_writes (f, "bus/pci/devices/" NIC "/driver_override", "vfio-pci");
      libvirt_unbinds_and_probes (f);
    } else {
      libvirt_detaches_to (f, "vfio-pci");
    }
    g_assert_true (vv_domain_start (f->s, f->domain, NULL)); /* a failure to bind is no refusal */
    if (refused)
      fake_assert_logged ("domain vm1, start: " NIC ": no VFIO driver could be bound*");
    else
      logged_move ("vfio-pci", "special-vfio");
    libvirt_reattaches (f);
    vv_domain_release (f->s, f->domain);
    fake_assert_device (f->k, NIC, "acme", NULL);
    assert_no_entry (f);
    fake_assert_logged ("domain vm1, release: " NIC " stays on acme, its driver before the start");
  }
}

/* libvirt clears the administrator's driver_override. */
static void
test_release_mends_what_libvirt_forgets (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  fake_write_device (f->k, NIC, "driver_override", "mlx5_core\n");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  libvirt_reattaches (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", "mlx5_core");
  assert_no_entry (f);
  logged_move ("mlx5_core", "mlx5_core");
}

static void
test_release_restores_what_libvirt_could_not (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_unregister (f->k, "mlx5_core");
  libvirt_reattaches (f); /* finds no driver */
  fake_assert_device (f->k, NIC, NULL, NULL);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  logged_move ("no driver", "mlx5_core");
}

/* The administrator detached it by hand: it returns to that driver, not to the host driver. */
static void
test_pinned_by_hand (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, FALSE, NULL);
  g_autoptr (VvChoice) selection = vv_catalog_select (f->s->catalog, NIC_MODALIAS, NULL);

  vv_choice_force (selection, "mlx5_vfio_pci", NULL);
  g_assert_true (vv_binding_detach (b, selection, NULL));
  b->entry->pinned = TRUE;
  g_assert_true (vv_binding_save (b, NULL));
  g_clear_pointer (&b, vv_binding_free);

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  logged_move ("mlx5_vfio_pci", "special-vfio");
  vv_domain_running (f->s, f->domain);
  libvirt_reattaches (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  vv_domain_release (f->s, f->domain);
  logged_move ("mlx5_core", "special-vfio");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_entry (f, VV_STATE_DETACHED, NULL, FALSE);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_true (entry->pinned);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
}

/* --- prepare --- */

static void
test_prepare_loads_what_will_be_bound (void)
{
  static const struct {
    const char *says;
    int special, mlx5;
    gboolean special_loaded, mlx5_loaded;
  } cases[] = {
      {"the best", 0, 0, TRUE, FALSE},
      {"the next when the best does not load", ENOENT, 0, FALSE, TRUE},
      {"none when the generic one is all there is", ENOENT, ENOENT, FALSE, FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = domain_fixture ();
    fake_driver (f->k, "special-vfio")->load_errno = cases[i].special;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = cases[i].mlx5;
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    g_assert_cmpint (fake_exists (f->k, "sys/module/special_vfio_pci"), ==, cases[i].special_loaded);
    g_assert_cmpint (fake_exists (f->k, "sys/module/mlx5_vfio_pci"), ==, cases[i].mlx5_loaded);
    assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);
  }
}

static void
test_prepare_drops_a_stale_entry (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (VvEntry) stale = vv_entry_new (NIC, NIC_MODALIAS);

  stale->state = VV_STATE_DETACHED;
  stale->host_known = TRUE;
  stale->host.driver = g_strdup ("some_old_driver");
  stale->in_use = TRUE;
  g_assert_true (vv_state_store_save (f->s->store, stale, NULL));
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
  assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);
}

static void
test_prepare_warns_of_the_group (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  fake_add_device (f->k, "0000:3b:00.2", NIC_MODALIAS, NIC_GROUP, "mlx5_core");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1: " NIC ": 0000:3b:00.2 in the same IOMMU group " NIC_GROUP
                      " is on mlx5_core; *");
  assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE); /* the start continues */
}

static void
test_another_guest_has_it (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (VvDomain) other = domain_with ("other", "managed='yes'", "");

  libvirt_detaches_to (f, "vfio-pci");
  vv_domain_running (f->s, f->domain);
  if (!fake_add_process (f->k, "812", "qemu-system-x86", "240:" NIC_GROUP))
    return;
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_true (vv_domain_prepare (f->s, other, NULL));
  fake_assert_logged ("domain vm1, prepare: " NIC
                      " is in use by qemu-system-x86 (pid 812); leaving it alone");
  g_assert_true (vv_domain_start (f->s, other, NULL));
  fake_assert_logged ("domain vm1, start: " NIC " is in use by qemu-system-x86 (pid 812); leaving it alone");
  vv_domain_release (f->s, other); /* libvirt also releases a domain that failed to start */
  fake_assert_unchanged (f->k, before);
}

/* Two domains start at once, and libvirt assigns the device to one: the end of the other changes nothing. */
static void
test_two_domains_at_once (void)
{
  for (guint winner = 0; winner < 2; winner++) {
    g_test_message ("the %s one wins", winner ? "second" : "first");
    g_autoptr (Fixture) f = domain_fixture ();
    g_autoptr (VvDomain) second = domain_with ("second", "managed='yes'", "");
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    g_assert_true (vv_domain_prepare (f->s, second, NULL));
    assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);
    libvirt_detaches_to (f, "special-vfio");
    g_assert_true (vv_domain_start (f->s, winner ? second : f->domain, NULL));
    g_autofree char *before = fake_snapshot (f->k);
    vv_domain_release (f->s, winner ? f->domain : second);
    fake_assert_unchanged (f->k, before);
    libvirt_reattaches (f);
    vv_domain_release (f->s, winner ? second : f->domain);
    fake_assert_logged (RESTORED);
    assert_no_entry (f);
  }
}

static void
test_no_module_tables (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (VvContext) s = NULL;

  fake_remove (f->k, "lib/modules");
  s = vv_context_new (f->k->root, FAKE_RELEASE, TRUE, NULL);
  g_assert_true (vv_domain_prepare (s, f->domain, NULL));
  fake_assert_logged ("domain vm1: *modules.alias*only the generic driver can be found reliably*");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
}

/* --- start --- */

static void
test_start_without_prepare (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  logged_move ("vfio-pci", "special-vfio");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_false (entry->host_known); /* the host driver is unknown and not guessed */
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_start_of_what_libvirt_did_not_detach (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, start: " NIC " is on mlx5_core: libvirt has not detached it; *");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_start_when_no_variant_works (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = EINVAL;
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged (NIC ": detach: vfio-pci -> vfio-pci: *; special_vfio_pci failed at bind (*); "
                          "mlx5_vfio_pci failed at bind (*)*");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci"); /* as without us (rule R7) */
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
}

/* --- running, reconnect --- */

static void
test_reconnect_rebuilds_the_journal (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  libvirt_detaches_to (f, "special-vfio");
  vv_domain_running (f->s, f->domain);
  assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_false (entry->host_known);
  g_assert_cmpstr (entry->vfio_driver, ==, "special-vfio");
}

/* --- release --- */

static void
test_release_of_another_domain (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (VvDomain) other = domain_with ("other", "managed='yes'", "");

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  vv_domain_running (f->s, f->domain);
  g_autofree char *before = fake_snapshot (f->k);
  vv_domain_release (f->s, other);
  fake_assert_unchanged (f->k, before);
}

/* A virtual function of a network: libvirt allocates it after "prepare" and frees it before "release". */
static void
test_release_of_what_left_the_xml (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (GError) error = NULL;
  const char *bare = "<domain><name>vm1</name><uuid>" UUID "</uuid><devices/></domain>";
  g_autoptr (VvDomain) without = vv_domain_parse (bare, strlen (bare), &error);

  g_assert_no_error (error);
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  vv_domain_running (f->s, f->domain);
  fake_assert_logged (NIC ": detach: vfio-pci -> special-vfio: *");
  libvirt_reattaches (f);
  vv_domain_release (f->s, without);
  g_autoptr (VvEntry) entry = vv_state_store_load (f->s->store, NIC, &error);
  g_assert_no_error (error);
  g_assert_null (entry);
}

static void
test_release_without_an_entry (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autofree char *before = fake_snapshot (f->k);

  vv_domain_release (f->s, f->domain);
  fake_assert_unchanged (f->k, before);
}

static void
test_release_that_fails_is_said (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  vv_domain_running (f->s, f->domain);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  vv_domain_release (f->s, f->domain);
  fake_assert_logged ("domain vm1, release: " NIC ": cannot return to mlx5_core: *");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_entry (f, VV_STATE_DETACHED, NULL, FALSE);
}

/* --- counters --- */

static void
assert_counted (const Fixture *f, guint n, const char *driver, guint64 fell_back, guint64 failed)
{
  g_autoptr (VvCounters) counters = vv_counters_read (f->s->store, NULL);

  g_assert_nonnull (counters);
  g_assert_cmpuint (counters->rows->len, ==, n + 1);
  const VvCounterRow *row = counters->rows->pdata[n];
  g_assert_cmpstr (row->driver, ==, driver);
  g_assert_cmpuint (row->fell_back, ==, fell_back);
  g_assert_cmpuint (row->failed, ==, failed);
}

static void
test_counted (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged (NIC ": detach: vfio-pci -> mlx5_vfio_pci: *");
  assert_counted (f, 0, "mlx5_vfio_pci", 1, 0);
  vv_domain_running (f->s, f->domain);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  vv_domain_release (f->s, f->domain);
  fake_assert_logged ("domain vm1, release: *");
  assert_counted (f, 1, "mlx5_core", 0, 1);
}

/* --- internal failures: the guest continues as without us (rule R7) --- */

static void
test_full_journal (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  f->k->journal_full = TRUE;
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, prepare: */" NIC ": write: No space left on device");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, start: */" NIC ": write: No space left on device");
  vv_domain_running (f->s, f->domain);
  fake_assert_logged ("domain vm1, started: */" NIC ": write: No space left on device");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_no_run_directory (void)
{
  g_autoptr (FakeKernel) k = fake_standard ();
  g_autoptr (GError) error = NULL;

  fake_remove (k, "run");
  g_assert_null (vv_context_new (k->root, NULL, TRUE, &error));
  fake_assert_error (error, VV_ERROR_NOT_FOUND, "*/run/vfio-variant: mkdir: No such file or directory");
}

static void
test_one_bad_device_spoils_no_other (void)
{
  static const char xml[] = "<domain><name>vm1</name><uuid>" UUID "</uuid><devices>"
                            "<hostdev type='pci' managed='yes'><source><address bus='0xff' slot='0' "
                            "function='0'/></source></hostdev>"
                            "<hostdev type='pci' managed='yes'><source><address bus='0x3b' slot='0' "
                            "function='1'/></source></hostdev>"
                            "</devices></domain>";
  g_autoptr (Fixture) f = domain_fixture ();
  g_autoptr (VvDomain) both = vv_domain_parse (xml, strlen (xml), NULL);

  g_assert_true (vv_domain_prepare (f->s, both, NULL));
  fake_assert_logged ("domain vm1, prepare: 0000:ff:00.0: no such PCI device*");
  assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-life/counted", test_counted);
  g_test_add_func ("/domain-life/on-libvirt-before-10", test_life_on_old_libvirt);
  g_test_add_func ("/domain-life/on-libvirt-10-and-later", test_life_on_new_libvirt);
  g_test_add_func ("/domain-life/from-a-vendors-driver", test_life_from_a_vendors_driver);
  g_test_add_func ("/domain-life/release-mends-what-libvirt-forgets",
                   test_release_mends_what_libvirt_forgets);
  g_test_add_func ("/domain-life/release-restores-what-libvirt-could-not",
                   test_release_restores_what_libvirt_could_not);
  g_test_add_func ("/domain-life/held-by-hand-stays-held", test_pinned_by_hand);
  g_test_add_func ("/domain-life/prepare/loads-what-will-be-bound", test_prepare_loads_what_will_be_bound);
  g_test_add_func ("/domain-life/prepare/drops-a-stale-entry", test_prepare_drops_a_stale_entry);
  g_test_add_func ("/domain-life/prepare/warns-of-the-group", test_prepare_warns_of_the_group);
  g_test_add_func ("/domain-life/prepare/another-guest-has-it", test_another_guest_has_it);
  g_test_add_func ("/domain-life/prepare/two-domains-at-once", test_two_domains_at_once);
  g_test_add_func ("/domain-life/start/without-prepare", test_start_without_prepare);
  g_test_add_func ("/domain-life/start/not-detached", test_start_of_what_libvirt_did_not_detach);
  g_test_add_func ("/domain-life/start/no-variant-works", test_start_when_no_variant_works);
  g_test_add_func ("/domain-life/reconnect/rebuilds-the-journal", test_reconnect_rebuilds_the_journal);
  g_test_add_func ("/domain-life/release/of-another-domain", test_release_of_another_domain);
  g_test_add_func ("/domain-life/release/without-an-entry", test_release_without_an_entry);
  g_test_add_func ("/domain-life/release/what-left-the-xml", test_release_of_what_left_the_xml);
  g_test_add_func ("/domain-life/release/that-fails-is-said", test_release_that_fails_is_said);
  g_test_add_func ("/domain-life/trouble/full-state-store", test_full_journal);
  g_test_add_func ("/domain-life/trouble/no-module-tables", test_no_module_tables);
  g_test_add_func ("/domain-life/trouble/no-run-directory", test_no_run_directory);
  g_test_add_func ("/domain-life/trouble/one-bad-device-spoils-no-other",
                   test_one_bad_device_spoils_no_other);
  return g_test_run ();
}
