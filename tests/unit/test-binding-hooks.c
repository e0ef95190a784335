/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of binding with node-device hook scripts: when they run during detach and reattach, and the effect of
 * a failure. test-nodedev-hooks.c tests how they run.
 */
#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "recovery.h"

#define HOOK VV_LIBVIRT_HOOKS_DIR "/nodedev"
#define LONG (60 * G_TIME_SPAN_SECOND) /* no test takes this long */

/* Adds a script that records its arguments and the device's driver, and then runs @body */
static void
add_hook (const Fixture *f, const char *body)
{
  g_autofree char *text = g_strdup_printf ("driver=$(readlink %s/sys/bus/pci/devices/" NIC "/driver)\n"
                                           "driver=${driver##*/}\n"
                                           "echo \"$2 $3 $4, on ${driver:-none}\" >>%s/heard\n"
                                           "%s",
                                           f->k->root, f->k->root, body);

  fake_script (f->k, HOOK, text);
}

static Fixture *
fixture_with_hook (const char *body)
{
  Fixture *f = fixture_new ();

  add_hook (f, body);
  return f;
}

static void
assert_heard (const Fixture *f, const char *expected)
{
  g_autofree char *text = fake_read (f->k, "heard");

  g_assert_cmpstr (text, ==, expected);
  fake_remove (f->k, "heard");
}

static VvChange *
detach (const Fixture *f, gboolean dry_run, GError **error)
{
  g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, dry_run, NULL);
  g_autoptr (VvChoice) selection = select_nic (f);

  return vv_binding_detach (b, selection, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

static VvChange *
reattach (const Fixture *f, gboolean dry_run, GError **error)
{
  g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, dry_run, NULL);

  return vv_binding_reattach (b, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

static void
assert_detaches_to (const Fixture *f, const char *driver)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) change = detach (f, FALSE, &error);

  g_assert_no_error (error);
  fake_assert_device (f->k, NIC, driver, driver);
}

static void
assert_restored (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) change = reattach (f, FALSE, &error);

  g_assert_no_error (error);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

/* --- order --- */

static void
test_there_and_back (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("");

  assert_detaches_to (f, "special-vfio");
  assert_heard (f, "detach begin special-vfio, on none\n"
                   "detach end special-vfio, on special-vfio");
  assert_restored (f);
  assert_heard (f, "reattach begin mlx5_core, on none\n"
                   "reattach end mlx5_core, on mlx5_core");
}

static void
test_nothing_to_do (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  assert_detaches_to (f, "special-vfio");
  add_hook (f, "");
  assert_detaches_to (f, "special-vfio");
  assert_heard (f, NULL);
  put_on (f, "mlx5_core", "(null)"); /* libvirt reattached it before */
  assert_restored (f);
  assert_heard (f, NULL);
}

static void
test_host_without_a_driver (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("");
  g_autoptr (GError) error = NULL;

  fake_register (f->k, "special-vfio");
  put_on (f, NULL, "(null)");
  assert_detaches_to (f, "special-vfio");
  assert_heard (f, "detach begin special-vfio, on none\ndetach end special-vfio, on special-vfio");
  g_autoptr (VvChange) change = reattach (f, FALSE, &error);
  g_assert_no_error (error);
  assert_heard (f, "reattach begin -, on none\nreattach end -, on none");
}

/* The kernel selects the driver. */
static void
test_host_not_known (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("");

  put_on (f, "vfio-pci", "vfio-pci");
  assert_restored (f);
  assert_heard (f, "reattach begin -, on none\nreattach end mlx5_core, on mlx5_core");
}

/* --- failures --- */

static void
test_veto (void)
{
  g_autoptr (Fixture) f =
      fixture_with_hook ("[ \"$4\" != special-vfio ] || { echo wrong firmware; exit 1; }");
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) change = detach (f, FALSE, &error);

  g_assert_no_error (error);
  fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
  g_assert_cmpuint (change->attempts->len, ==, 1);
  const VvAttempt *attempt = change->attempts->pdata[0];
  g_assert_cmpstr (attempt->step, ==, "hook");
  fake_assert_matches (attempt->problem, "hook */nodedev: exit status 1: wrong firmware");
  assert_heard (f, "detach begin special-vfio, on none\n"
                   "detach begin mlx5_vfio_pci, on none\n"
                   "detach end mlx5_vfio_pci, on mlx5_vfio_pci");
}

static void
test_veto_of_all (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("[ \"$2\" = reattach ]");
  g_autoptr (GError) error = NULL;

  g_assert_null (detach (f, FALSE, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*special_vfio_pci failed at hook (*vfio_pci failed at hook (*");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
  assert_heard (f, "detach begin special-vfio, on none\n"
                   "detach begin mlx5_vfio_pci, on none\n"
                   "detach begin vfio-pci, on none\n"
                   "reattach begin mlx5_core, on none\n"
                   "reattach end mlx5_core, on mlx5_core");
}

/* Scripts that prepared the host for a detach are told that it was rolled back. */
static void
test_rollback_is_told (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("");

  fail_all_vfio (f, EINVAL);
  g_assert_null (detach (f, FALSE, NULL));
  assert_heard (f, "detach begin special-vfio, on none\n"
                   "detach begin mlx5_vfio_pci, on none\n"
                   "detach begin vfio-pci, on none\n"
                   "reattach begin mlx5_core, on none\n"
                   "reattach end mlx5_core, on mlx5_core");
}

/* A script cannot prevent a reattach. */
static void
test_no_veto_during_reattach (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  assert_detaches_to (f, "special-vfio");
  add_hook (f, "echo no; exit 3");
  assert_restored (f);
  fake_assert_logged (NIC ", reattach begin: hook */nodedev: exit status 3: no");
  fake_assert_logged (NIC ", reattach end: hook */nodedev: exit status 3: no");
}

static void
test_end_cannot_object (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("[ $3 = begin ]");

  assert_detaches_to (f, "special-vfio");
  fake_assert_logged (NIC ", detach end: hook */nodedev: exit status 1");
}

/* The host driver fails: the device returns to VFIO, which runs the scripts of a detach. */
static void
test_stays_away (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("");

  assert_detaches_to (f, "special-vfio");
  fake_remove (f->k, "heard");
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  g_assert_null (reattach (f, FALSE, NULL));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_heard (f, "reattach begin mlx5_core, on none\n"
                   "detach begin special-vfio, on none\n"
                   "detach end special-vfio, on special-vfio");
}

/* --- dry run, recovery, gate --- */

static void
test_dry_run (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("exit 1");
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) away = detach (f, TRUE, &error);

  g_assert_no_error (error);
  add_hook (f, "");
  assert_detaches_to (f, "special-vfio");
  fake_remove (f->k, "heard");
  g_autoptr (VvChange) back = reattach (f, TRUE, &error);
  g_assert_no_error (error);
  assert_heard (f, NULL);
}

static void
test_recovery (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvEntry) entry = vv_entry_new (NIC, NIC_MODALIAS);

  entry->state = VV_STATE_REATTACHING;
  entry->host_known = TRUE;
  entry->host.driver = g_strdup ("mlx5_core");
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
  put_on (f, NULL, "special-vfio");
  add_hook (f, "");
  vv_recover (f->s);
  fake_assert_logged (NIC ": reattach: no driver -> mlx5_core: a process died *");
  assert_heard (f, "reattach begin mlx5_core, on none\nreattach end mlx5_core, on mlx5_core");
}

/* libvirt has unbound the device: there is no rollback to run scripts for. */
static void
test_between (void)
{
  g_autoptr (Fixture) f = fixture_with_hook ("");
  g_autoptr (VvChoice) selection = select_nic (f);
  const VvDeadline deadline = {.until = g_get_monotonic_time () + LONG};

  fail_all_vfio (f, EINVAL);
  put_on (f, NULL, "vfio-pci");
  g_autoptr (VvBinding) b = vv_binding_open_between (f->s, NIC, "mlx5_core", &deadline, NULL);
  g_assert_false (vv_binding_detach (b, selection, NULL));
  assert_heard (f, "detach begin special-vfio, on none\n"
                   "detach begin mlx5_vfio_pci, on none\n"
                   "detach begin vfio-pci, on none");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/binding-hooks/there-and-back", test_there_and_back);
  g_test_add_func ("/binding-hooks/nothing-to-do", test_nothing_to_do);
  g_test_add_func ("/binding-hooks/host-without-a-driver", test_host_without_a_driver);
  g_test_add_func ("/binding-hooks/host-not-known", test_host_not_known);
  g_test_add_func ("/binding-hooks/veto", test_veto);
  g_test_add_func ("/binding-hooks/veto-of-all", test_veto_of_all);
  g_test_add_func ("/binding-hooks/a-rollback-is-told", test_rollback_is_told);
  g_test_add_func ("/binding-hooks/no-veto-during-reattach", test_no_veto_during_reattach);
  g_test_add_func ("/binding-hooks/end-cannot-object", test_end_cannot_object);
  g_test_add_func ("/binding-hooks/stays-away", test_stays_away);
  g_test_add_func ("/binding-hooks/dry-run", test_dry_run);
  g_test_add_func ("/binding-hooks/recovery", test_recovery);
  g_test_add_func ("/binding-hooks/between", test_between);
  return g_test_run ();
}
