/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of reconcile: the changes to each state file, depending on the running domains, and their delays.
 */
#include "reconcile.h"

#include <errno.h>
#include <string.h>

#include "domain-life.h"
#include "fixture.h"

#define ONE "11111111-f6a4-8304-79aa-97f2502e193f"
#define TWO "22222222-f6a4-8304-79aa-97f2502e193f"
#define GRACE_MS 5000
#define SECOND G_TIME_SPAN_SECOND

#define SOURCE "<source><address type='pci' bus='0x3b' slot='0' function='1'/></source>"
#define HOSTDEV "<hostdev mode='subsystem' type='pci' managed='yes'>" SOURCE "</hostdev>"
#define UNMANAGED "<hostdev mode='subsystem' type='pci' managed='no'>" SOURCE "</hostdev>"
#define INTERFACE "<interface type='hostdev' managed='yes'>" SOURCE "</interface>"

/* --- running domains --- */

static GPtrArray *
nobody (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify)vv_domain_free);
}

static void
add_domain (GPtrArray *domains, const char *name, const char *uuid, const char *devices)
{
  g_autofree char *xml = g_strdup_printf ("<domain><name>%s</name><uuid>%s</uuid><devices>%s</devices>"
                                          "</domain>",
                                          name, uuid, devices);
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (domains, vv_domain_parse (xml, strlen (xml), &error));
  g_assert_no_error (error);
}

static GPtrArray *
vm1_with (const char *devices)
{
  GPtrArray *domains = nobody ();

  add_domain (domains, "vm1", ONE, devices);
  return domains;
}

/* --- initial states --- */

/* As the daemon leaves a device at hot plug: detached, and without a domain */
static void
plugged (const Fixture *f)
{
  must_detach_nic (f);
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
}

static void
change_entry (const Fixture *f, const char *uuid, gboolean in_use, gboolean pinned, gboolean host_known)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (GError) error = NULL;

  vv_entry_set_domain (b->entry, uuid ? "vm1" : NULL, uuid);
  b->entry->in_use = in_use;
  b->entry->pinned = pinned;
  b->entry->host_known = host_known;
  vv_binding_save (b, &error);
  g_assert_no_error (error);
}

static void
plugged_into_vm1 (const Fixture *f)
{
  plugged (f);
  change_entry (f, ONE, TRUE, FALSE, TRUE);
}

static void
assert_of (const Fixture *f, const char *uuid, gboolean in_use, gboolean pinned)
{
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  g_assert_nonnull (entry);
  g_assert_cmpstr (entry->domain_uuid, ==, uuid);
  g_assert_cmpint (entry->in_use, ==, in_use);
  g_assert_cmpint (entry->pinned, ==, pinned);
}

/* --- a reconciler that runs at given seconds --- */

static VvReconciler *
reconciler_of (const Fixture *f)
{
  return vv_reconciler_new (f->s, GRACE_MS);
}

static gint64
run_with (VvReconciler *r, GPtrArray *running, GPtrArray *starting, guint second)
{
  gint64 wait = vv_reconciler_run (r, running, starting, (1000 + second) * SECOND);

  g_ptr_array_unref (running);
  g_ptr_array_unref (starting);
  return wait;
}

static gint64
run_at (VvReconciler *r, GPtrArray *running, guint second)
{
  return run_with (r, running, nobody (), second);
}

/* --- a running domain has the device --- */

static void
test_plugged_is_claimed (void)
{
  static const char *const devices[] = {HOSTDEV, INTERFACE};

  for (gsize i = 0; i < G_N_ELEMENTS (devices); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (VvReconciler) r = reconciler_of (f);
    g_autoptr (GPtrArray) running = vm1_with ("");
    g_autoptr (GPtrArray) starting = nobody ();
    add_domain (running, "vm2", TWO, devices[i]);
    plugged (f);
    g_assert_cmpint (vv_reconciler_run (r, running, starting, SECOND), ==, -1);
    assert_of (f, TWO, TRUE, FALSE);
    fake_assert_logged (NIC ": used by domain vm2, on special-vfio");
    fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
    g_autofree char *before = fake_snapshot (f->k);
    g_assert_cmpint (vv_reconciler_run (r, running, starting, 2 * SECOND), ==, -1);
    fake_assert_unchanged (f->k, before);
  }
}

/* The device was recorded, and libvirt detached it since without the hook or the daemon. The state file may
 * name the domain already. */
static void
test_recorded_becomes_detached (void)
{
  for (guint marked = 0; marked < 2; marked++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (VvReconciler) r = reconciler_of (f);
    g_autoptr (VvBinding) b = open_nic (f);

    vv_binding_note (b);
    if (marked)
      vv_entry_set_domain (b->entry, "vm1", ONE);
    b->entry->in_use = marked != 0;
    g_assert_true (vv_binding_save (b, NULL));
    g_clear_pointer (&b, vv_binding_free);
    put_on (f, "vfio-pci", "vfio-pci");
    run_at (r, vm1_with (HOSTDEV), 0);
    fake_assert_logged (NIC ": used by domain vm1, on vfio-pci");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpstr (vv_state_name (entry->state), ==, "detached");
    g_assert_cmpstr (entry->vfio_driver, ==, "vfio-pci");
    g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
    assert_of (f, ONE, TRUE, FALSE);
  }
}

static void
test_not_on_vfio_is_not_claimed (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);
  g_autoptr (VvBinding) b = open_nic (f);

  vv_binding_note (b);
  g_assert_true (vv_binding_save (b, NULL));
  g_clear_pointer (&b, vv_binding_free);
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_cmpint (run_at (r, vm1_with (HOSTDEV), 0), ==, -1);
  fake_assert_unchanged (f->k, before);
}

/* libvirt leaves an unmanaged device on VFIO after the domain's end, and so do we. */
static void
test_unmanaged_stays (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  run_at (r, vm1_with (UNMANAGED), 0);
  assert_of (f, ONE, TRUE, FALSE);
  fake_assert_logged (NIC ": used by domain vm1, on special-vfio");
  run_at (r, vm1_with (""), 10);
  g_assert_cmpint (run_at (r, vm1_with (""), 15), ==, -1);
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_of (f, NULL, FALSE, FALSE);
}

static void
test_no_entry_is_made (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  put_on (f, "vfio-pci", "vfio-pci");
  g_assert_cmpint (run_at (r, vm1_with (HOSTDEV), 0), ==, -1);
  assert_no_entry (f);
}

/* The device moves from one domain to the other between two runs. */
static void
test_two_domains (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);
  GPtrArray *domains = vm1_with ("");

  plugged_into_vm1 (f);
  add_domain (domains, "vm2", TWO, HOSTDEV);
  g_assert_cmpint (run_at (r, domains, 0), ==, -1);
  fake_assert_logged (NIC ": used by domain vm2, on special-vfio");
  assert_of (f, TWO, TRUE, FALSE);
}

/* The XML of two domains has the device: the domain in the state file keeps it. */
static void
test_two_domains_that_claim_it (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);
  GPtrArray *domains = nobody ();

  plugged_into_vm1 (f);
  add_domain (domains, "vm2", TWO, HOSTDEV);
  add_domain (domains, "vm1", ONE, HOSTDEV);
  run_at (r, domains, 0);
  assert_of (f, ONE, TRUE, FALSE);
}

/* --- no domain has the device any more --- */

static void
test_unplugged_is_mended_after_the_grace (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_cmpint (run_at (r, vm1_with (""), 0), ==, 5 * SECOND);
  g_assert_cmpint (run_at (r, vm1_with (""), 4), ==, 1 * SECOND);
  fake_assert_unchanged (f->k, before);
  g_assert_cmpint (run_at (r, vm1_with (""), 5), ==, -1);
  fake_assert_logged ("domain vm1 no longer has " NIC ", and libvirt did not return it to the host: it is on "
                      "special-vfio, not on mlx5_core");
  fake_assert_logged (NIC ": reattach: special-vfio -> mlx5_core: *");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_domain_gone_is_mended (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  run_at (r, nobody (), 0);
  run_at (r, nobody (), 5);
  fake_assert_logged ("domain vm1 no longer has " NIC "*");
  fake_assert_logged (NIC ": reattach: *");
  assert_no_entry (f);
}

/* libvirt reattached the device, but its state file remained: no warning. */
static void
test_unplugged_and_on_host_driver (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  put_on (f, "mlx5_core", "(null)\n");
  run_at (r, vm1_with (""), 0);
  run_at (r, vm1_with (""), 5);
  fake_assert_logged ("domain vm1, release: " NIC " stays on mlx5_core, its driver before the start");
  assert_no_entry (f);
}

static void
test_back_within_the_grace (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  g_assert_cmpint (run_at (r, vm1_with (""), 0), ==, 5 * SECOND);
  g_assert_cmpint (run_at (r, vm1_with (HOSTDEV), 3), ==, -1);
  g_assert_cmpint (run_at (r, vm1_with (""), 6), ==, 5 * SECOND); /* the grace period restarts */
  assert_of (f, ONE, TRUE, FALSE);
}

/* The grace period of another domain does not count. */
static void
test_another_domain_within_the_grace (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  run_at (r, nobody (), 0);
  change_entry (f, TWO, TRUE, FALSE, TRUE);
  g_assert_cmpint (run_at (r, nobody (), 6), ==, 5 * SECOND);
}

static void
test_no_grace (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = vv_reconciler_new (f->s, 0);

  plugged_into_vm1 (f);
  g_assert_cmpint (run_at (r, nobody (), 0), ==, -1);
  fake_assert_logged ("domain vm1 no longer has " NIC "*");
  fake_assert_logged (NIC ": reattach: *");
  assert_no_entry (f);
}

static void
test_pinned_goes_back_to_vfio (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  change_entry (f, ONE, TRUE, TRUE, TRUE);
  put_on (f, "mlx5_core", "(null)\n"); /* reattached by libvirt */
  run_at (r, nobody (), 0);
  run_at (r, nobody (), 5);
  fake_assert_logged ("domain vm1 no longer has " NIC
                      ", which is on mlx5_core: an administrator had bound it, returning it to special-vfio");
  fake_assert_logged (
      NIC ": detach: mlx5_core -> special-vfio: an administrator had bound it before a guest got it*");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_of (f, NULL, FALSE, TRUE);
}

static void
test_host_unknown_is_forgotten (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  change_entry (f, ONE, TRUE, FALSE, FALSE);
  run_at (r, nobody (), 0);
  run_at (r, nobody (), 5);
  fake_assert_logged ("domain vm1 no longer has " NIC "; its host driver is unknown: it stays on "
                      "special-vfio*");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_no_entry (f);
}

/* The end of the process is no libvirt event: the device is checked at the next event, without a timer. */
static void
test_a_process_holds_it (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  if (!fake_add_process (f->k, "812", "qemu-system-x86", "240:" NIC_GROUP))
    return;
  g_autofree char *before = fake_snapshot (f->k);
  run_at (r, nobody (), 0);
  g_assert_cmpint (run_at (r, nobody (), 5), ==, -1);
  fake_assert_logged ("domain vm1 no longer has " NIC ", but qemu-system-x86 (pid 812) still uses it*");
  g_assert_cmpint (run_at (r, nobody (), 6), ==, -1); /* logged once */
  fake_assert_log_empty ();
  fake_assert_unchanged (f->k, before);
  fake_remove (f->k, "proc/812");
  g_assert_cmpint (run_at (r, nobody (), 7), ==, -1);
  fake_assert_logged ("domain vm1 no longer has " NIC ", and libvirt did not*");
  fake_assert_logged (NIC ": reattach: *");
  assert_no_entry (f);
}

static void
test_vanished_device (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  fake_remove_device (f->k, NIC);
  g_assert_cmpint (run_at (r, nobody (), 0), ==, 5 * SECOND);
  g_assert_cmpint (run_at (r, nobody (), 5), ==, -1);
  fake_assert_logged (NIC ": *: removed its state file (domain vm1 used it)");
  assert_no_entry (f);
}

static void
test_vanished_device_that_a_domain_has (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  fake_remove_device (f->k, NIC);
  run_at (r, vm1_with (HOSTDEV), 0);
  run_at (r, vm1_with (HOSTDEV), 1);
  fake_assert_logged (NIC ": no such PCI device*");
  fake_assert_log_empty ();
  assert_of (f, NULL, FALSE, FALSE);
}

/* The state file loses its domain, so that the reattach is not repeated. */
static void
test_host_cannot_be_reached (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  run_at (r, nobody (), 0);
  g_assert_cmpint (run_at (r, nobody (), 5), ==, -1);
  fake_assert_logged ("domain vm1 no longer has " NIC ", and libvirt did not*");
  fake_assert_logged (NIC ": cannot return to mlx5_core: *");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_of (f, NULL, FALSE, FALSE);
  g_assert_cmpint (run_at (r, nobody (), 20), ==, -1);
}

/* --- devices left alone --- */

/* Between the hook's "prepare" and "started" */
static void
test_on_its_way_up (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  change_entry (f, ONE, FALSE, FALSE, TRUE);
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_cmpint (run_at (r, nobody (), 0), ==, -1);
  g_assert_cmpint (run_at (r, nobody (), 60), ==, -1);
  g_assert_cmpint (run_with (r, nobody (), vm1_with (HOSTDEV), 61), ==, -1);
  fake_assert_unchanged (f->k, before);
}

/* vm1 has lost the device, and vm2 is starting with it: libvirt is at work. */
static void
test_starting_domain_is_waited_for (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);
  GPtrArray *starting = nobody ();

  plugged_into_vm1 (f);
  add_domain (starting, "vm2", TWO, HOSTDEV);
  run_at (r, nobody (), 0);
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_cmpint (run_with (r, nobody (), starting, 9), ==, -1);
  fake_assert_unchanged (f->k, before);
}

static void
test_without_a_domain (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_cmpint (run_at (r, vm1_with (""), 0), ==, -1);
  g_assert_cmpint (run_at (r, vm1_with (""), 60), ==, -1);
  fake_assert_unchanged (f->k, before);
}

static void
test_damaged_entry (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged_into_vm1 (f);
  fake_write (f->k, "run/vfio-variant/" DISK, "rubbish");
  run_at (r, nobody (), 0);
  fake_assert_logged ("cannot read */" DISK " as a state file*");
  run_at (r, nobody (), 5); /* restores the other device, and does not repeat this warning */
  fake_assert_logged ("domain vm1 no longer has " NIC "*");
  fake_assert_logged (NIC ": reattach: *");
  assert_no_entry (f);
  fake_assert_device (f->k, DISK, "nvme", NULL);
}

static void
test_full_journal (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);

  plugged (f);
  f->k->journal_full = TRUE;
  g_assert_cmpint (run_at (r, vm1_with (HOSTDEV), 0), ==, -1);
  fake_assert_logged ("*/" NIC ": write: No space left on device");
  f->k->journal_full = FALSE;
  run_at (r, vm1_with (HOSTDEV), 1);
  fake_assert_logged (NIC ": used by domain vm1, on special-vfio");
  assert_of (f, ONE, TRUE, FALSE);
}

/* The hook's "release" handles a hot-plugged device when its domain stops. */
static void
test_then_the_domain_stops (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvReconciler) r = reconciler_of (f);
  VvDomain vm1 = {.name = (char *)"vm1", .uuid = (char *)ONE};

  plugged (f);
  run_at (r, vm1_with (HOSTDEV), 0);
  fake_assert_logged (NIC ": used by domain vm1, on special-vfio");
  vv_domain_release (f->s, &vm1);
  fake_assert_logged (NIC ": reattach: special-vfio -> mlx5_core: *");
  assert_no_entry (f);
  g_assert_cmpint (run_at (r, nobody (), 1), ==, -1);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/reconcile/running/plugged-is-claimed", test_plugged_is_claimed);
  g_test_add_func ("/reconcile/running/recorded-becomes-detached", test_recorded_becomes_detached);
  g_test_add_func ("/reconcile/running/not-on-vfio", test_not_on_vfio_is_not_claimed);
  g_test_add_func ("/reconcile/running/unmanaged-stays", test_unmanaged_stays);
  g_test_add_func ("/reconcile/running/no-entry-is-made", test_no_entry_is_made);
  g_test_add_func ("/reconcile/running/two-domains", test_two_domains);
  g_test_add_func ("/reconcile/running/two-domains-that-claim-it", test_two_domains_that_claim_it);
  g_test_add_func ("/reconcile/absent/mended-after-the-grace", test_unplugged_is_mended_after_the_grace);
  g_test_add_func ("/reconcile/absent/domain-gone", test_domain_gone_is_mended);
  g_test_add_func ("/reconcile/absent/at-home", test_unplugged_and_on_host_driver);
  g_test_add_func ("/reconcile/absent/back-within-the-grace", test_back_within_the_grace);
  g_test_add_func ("/reconcile/absent/another-domain-within-the-grace", test_another_domain_within_the_grace);
  g_test_add_func ("/reconcile/absent/no-grace", test_no_grace);
  g_test_add_func ("/reconcile/absent/pinned", test_pinned_goes_back_to_vfio);
  g_test_add_func ("/reconcile/absent/host-unknown", test_host_unknown_is_forgotten);
  g_test_add_func ("/reconcile/absent/a-process-holds-it", test_a_process_holds_it);
  g_test_add_func ("/reconcile/absent/vanished", test_vanished_device);
  g_test_add_func ("/reconcile/running/vanished", test_vanished_device_that_a_domain_has);
  g_test_add_func ("/reconcile/absent/host-cannot-be-reached", test_host_cannot_be_reached);
  g_test_add_func ("/reconcile/left-alone/on-its-way-up", test_on_its_way_up);
  g_test_add_func ("/reconcile/left-alone/starting-domain", test_starting_domain_is_waited_for);
  g_test_add_func ("/reconcile/left-alone/without-a-domain", test_without_a_domain);
  g_test_add_func ("/reconcile/left-alone/damaged-entry", test_damaged_entry);
  g_test_add_func ("/reconcile/full-state-store", test_full_journal);
  g_test_add_func ("/reconcile/then-the-domain-stops", test_then_the_domain_stops);
  return g_test_run ();
}
