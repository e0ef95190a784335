/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of new-device: a device that the kernel has just added is bound to its variant, even if a driver
 * probes it meanwhile. A reattach binds the driver that the kernel would have bound.
 */
#include "pci-device.h"

#include "fake-migration.h"
#include "fixture.h"
#include "attach.h"

#define PF "physfn/"
#define DRIVER "sys/bus/pci/drivers/mlx5_core/"
#define HAND_STEPS 4 /* state file, load, override, bind */

/* NIC when the kernel has just added it: no driver was probed. @autoprobe: of its physical function */
static Fixture *
new_device_new (const char *autoprobe)
{
  Fixture *f = fixture_new ();

  fake_unbind (f->k, NIC);
  fake_write_device (f->k, NIC, PF "sriov_numvfs", "1\n");
  fake_write_device (f->k, NIC, PF "sriov_drivers_autoprobe", autoprobe);
  return f;
}

static VvChange *
place_new_device (const Fixture *f, GError **error)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) choice = NULL;

  vv_binding_expect_new (b);
  choice = vv_choose (f->s, b->device, b->entry, NULL, NULL, NULL, error);
  return vv_attach (b, choice, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

static void
must_place_new_device (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) change = place_new_device (f, &error);

  g_assert_no_error (error);
  g_assert_true (change->changed);
  g_assert_cmpuint (change->attempts->len, ==, 0);
  g_assert_cmpstr (change->to, ==, "special-vfio");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
}

static void
must_reattach (const Fixture *f, const char *driver)
{
  g_autoptr (VvChange) change = well_reattached (f);

  fake_assert_device (f->k, NIC, driver, NULL);
  assert_no_entry (f);
}

/* --- concurrent probes --- */

static void
test_host_driver_at_every_moment (void)
{
  for (guint step = 1; step <= HAND_STEPS; step++) {
    g_autoptr (Fixture) f = new_device_new ("1\n");
    fake_fault (f->k, FAKE_PROBE_BEFORE, step, 0);
    must_place_new_device (f);
    must_reattach (f, "mlx5_core");
  }
}

/* The kernel obeys the override and binds before us. */
static void
test_kernel_binds_by_the_override (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");

  fake_fault (f->k, FAKE_PROBE_AFTER, 3, 0);
  must_place_new_device (f);
  g_assert_cmpuint (f->k->steps, ==, HAND_STEPS + 1); /* and the state file */
}

static void
test_host_driver_that_lets_go (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_fault (f->k, FAKE_RELEASE_BEFORE, 4, 0); /* state file, load, override, unbind */
  must_detach_nic (f);
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
}

static gpointer
register_later (gpointer k)
{
  g_usleep (50000);
  fake_write (k, DRIVER "uevent", "");
  fake_write (k, DRIVER "unbind", "");
  return NULL;
}

/* The host driver's module is being loaded: the driver has the device, but no files in sysfs yet. */
static void
test_host_driver_that_is_being_loaded (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_remove (f->k, DRIVER "uevent");
  fake_remove (f->k, DRIVER "unbind");
  g_autoptr (GThread) thread = g_thread_new ("kernel", register_later, f->k);
  must_detach_nic (f);
  g_thread_join (g_steal_pointer (&thread));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
}

/* A driver that sysfs cannot unbind (suppress_bind_attrs) is not waited for. */
static void
test_host_driver_without_files (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();

  fake_remove (f->k, DRIVER "unbind");
  g_assert_null (detach_nic (f, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*failed at unbind (*: No such file or directory)*");
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 5 * G_USEC_PER_SEC);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_kernel_that_is_not_ready (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");

  f->k->unready = 1;
  must_place_new_device (f);
}

/* If the probe of an older device fails with ENODEV, it is not repeated. */
static void
test_only_a_new_device_is_tried_again (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");

  f->k->unready = 1;
  g_autoptr (VvChange) change = detach_nic (f, NULL);
  g_assert_cmpuint (change->attempts->len, ==, 1);
  fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
}

/* --- host driver --- */

static void
test_host_is_what_the_kernel_chooses (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");

  must_place_new_device (f);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_false (entry->host_known);
  must_reattach (f, "mlx5_core");
}

static void
test_host_of_what_is_left_alone_is_no_driver (void)
{
  g_autoptr (Fixture) f = new_device_new ("0\n");

  must_place_new_device (f);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_true (entry->host_known);
  g_assert_null (entry->host.driver);
  fake_write_device (f->k, NIC, PF "sriov_drivers_autoprobe",
                     "1\n"); /* set later: affects only new devices */
  must_reattach (f, NULL);
}

/* The driver named in driver_override is the host driver. */
static void
test_host_with_an_override_is_that (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");

  set_override (f, "nobody");
  must_place_new_device (f);
  g_autoptr (VvChange) change = well_reattached (f);
  fake_assert_device (f->k, NIC, NULL, "nobody");
}

static void
test_failure_leaves_it_to_the_kernel (void)
{
  static const struct {
    const char *autoprobe, *driver;
  } cases[] = {{"1\n", "mlx5_core"}, {"0\n", NULL}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = new_device_new (cases[i].autoprobe);
    g_autoptr (GError) error = NULL;
    g_autofree char *pattern = g_strdup_printf (NIC ": no VFIO driver could be bound, returned to %s: *",
                                                cases[i].driver ? cases[i].driver : "no driver");
    fail_all_vfio (f, EINVAL);
    g_assert_null (place_new_device (f, &error));
    fake_assert_error (error, VV_ERROR_FAILED, pattern);
    fake_assert_device (f->k, NIC, cases[i].driver, NULL);
    assert_no_entry (f);
  }
}

/* The host driver had the device for a moment, and gets it back. */
static void
test_failure_after_the_host_driver_had_it (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");

  fail_all_vfio (f, EINVAL);
  fake_fault (f->k, FAKE_PROBE_BEFORE, 2, 0);
  g_assert_null (place_new_device (f, NULL));
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

/* The drivers bind, but do not meet the policy's requirements. */
static void
test_refusal_leaves_it_to_the_kernel (void)
{
  g_autoptr (Fixture) f = new_device_new ("1\n");
  g_autoptr (GError) error = NULL;

  fake_migration ("special-vfio=no mlx5_vfio_pci=no");
  fake_policy (f->s, "<device address='" NIC "' migratable='require' at-boot='yes'/>");
  g_assert_null (place_new_device (f, &error));
  fake_assert_error (error, VV_ERROR_POLICY, NIC ": no usable VFIO driver: *");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
  while (fake_was_logged ("*")) /* each rebind */
    ;
}

/* --- waits --- */

static gpointer
show_later (gpointer k)
{
  g_usleep (50000);
  fake_write (k, "proc/bus/pci/3b/00.1", "");
  return NULL;
}

/* Creates the host here, because it opens /proc when it is created. */
static gint64
time_until_shown (FakeKernel *k, const char *address)
{
  g_autoptr (VvHost) host = vv_host_new (k->root, NULL, NULL);
  gint64 begin = g_get_monotonic_time ();

  vv_new_device_wait_shown (host, address);
  return g_get_monotonic_time () - begin;
}

static void
test_waits_until_it_is_shown (void)
{
  g_autoptr (FakeKernel) k = fake_standard ();

  fake_mkdir (k, "proc/bus/pci");
  g_assert_cmpint (time_until_shown (k, NIC), <, G_USEC_PER_SEC); /* it has a driver */
  fake_unbind (k, NIC);
  g_autoptr (GThread) thread = g_thread_new ("kernel", show_later, k);
  g_assert_cmpint (time_until_shown (k, NIC), >=, 50000);
  g_assert_true (fake_exists (k, "proc/bus/pci/3b/00.1"));
  g_thread_join (g_steal_pointer (&thread));
}

static void
test_does_not_wait_for_what_there_is (void)
{
  static const char *const shown[] = {"proc/bus/pci/3b/00.1", "proc/bus/pci/0000:3b/00.1"};

  for (gsize i = 0; i < G_N_ELEMENTS (shown); i++) {
    g_autoptr (FakeKernel) k = fake_standard ();
    fake_write (k, shown[i], "");
    fake_unbind (k, NIC);
    g_assert_cmpint (time_until_shown (k, NIC), <, G_USEC_PER_SEC);
  }
}

static void
test_does_not_wait_for_what_never_comes (void)
{
  g_autoptr (FakeKernel) k = fake_standard ();

  g_assert_cmpint (time_until_shown (k, NIC), <, G_USEC_PER_SEC); /* without procfs, it does not wait */
  fake_mkdir (k, "proc/bus/pci");
  fake_remove_device (k, NIC);
  g_assert_cmpint (time_until_shown (k, NIC), <, G_USEC_PER_SEC);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/new-device/others/host-driver-at-every-moment", test_host_driver_at_every_moment);
  g_test_add_func ("/new-device/others/kernel-binds-by-the-override", test_kernel_binds_by_the_override);
  g_test_add_func ("/new-device/others/host-driver-lets-go", test_host_driver_that_lets_go);
  g_test_add_func ("/new-device/others/host-driver-is-being-loaded", test_host_driver_that_is_being_loaded);
  g_test_add_func ("/new-device/others/host-driver-without-files", test_host_driver_without_files);
  g_test_add_func ("/new-device/others/kernel-is-not-ready", test_kernel_that_is_not_ready);
  g_test_add_func ("/new-device/others/only-a-new-device-is-tried-again",
                   test_only_a_new_device_is_tried_again);
  g_test_add_func ("/new-device/home/kernel-chooses", test_host_is_what_the_kernel_chooses);
  g_test_add_func ("/new-device/home/left-alone", test_host_of_what_is_left_alone_is_no_driver);
  g_test_add_func ("/new-device/home/override", test_host_with_an_override_is_that);
  g_test_add_func ("/new-device/home/failure", test_failure_leaves_it_to_the_kernel);
  g_test_add_func ("/new-device/home/failure-after-the-host-driver",
                   test_failure_after_the_host_driver_had_it);
  g_test_add_func ("/new-device/home/refusal", test_refusal_leaves_it_to_the_kernel);
  g_test_add_func ("/new-device/wait/shown", test_waits_until_it_is_shown);
  g_test_add_func ("/new-device/wait/there", test_does_not_wait_for_what_there_is);
  g_test_add_func ("/new-device/wait/never", test_does_not_wait_for_what_never_comes);
  return g_test_run ();
}
