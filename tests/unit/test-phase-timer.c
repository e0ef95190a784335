/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of phase-timer: the phases add up, and the work for a device while libvirt is blocked is counted in
 * the right phase.
 *
 * The test replaces the clock: time passes only in the wrapped functions.
 */
#include "phase-timer.h"

#include <errno.h>

#include "libvirt-version.h"
#include "hand-over.h"
#include "fixture.h"

#define DEBIAN_12 VV_LIBVIRT_VERSION (9, 0, 0)
#define GROUP "change"
#define BEGIN 1000 /* of time; 0 means "not set" */

/* Durations, chosen so that sums of a few of them are unique */
enum { STEP = 1, OPEN = 100, SELECT = 10000, SCRIPT = 1000000 };

static const VvDriverState host_driver = ON ("mlx5_core", "mlx5_core", NULL);
static const FakeKernel *kernel; /* each of its steps takes STEP */
static gint64 passed;

gint64 __wrap_g_get_monotonic_time (void);
VvPciDevice *__real_vv_pci_device_open (const VvHost *host, const char *address, GError **error);
VvPciDevice *__wrap_vv_pci_device_open (const VvHost *host, const char *address, GError **error);
VvChoice *__real_vv_catalog_select (VvCatalog *catalog, const char *modalias, GError **error);
VvChoice *__wrap_vv_catalog_select (VvCatalog *catalog, const char *modalias, GError **error);
gboolean __wrap_vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device,
                                      VvOperation operation, const char *sub_operation, const char *driver,
                                      gint64 until, GError **error);

gint64
__wrap_g_get_monotonic_time (void)
{
  return BEGIN + passed + (kernel ? kernel->steps * STEP : 0);
}

VvPciDevice *
__wrap_vv_pci_device_open (const VvHost *host, const char *address, GError **error)
{
  passed += OPEN;
  return __real_vv_pci_device_open (host, address, error);
}

VvChoice *
__wrap_vv_catalog_select (VvCatalog *catalog, const char *modalias, GError **error)
{
  passed += SELECT;
  return __real_vv_catalog_select (catalog, modalias, error);
}

gboolean
__wrap_vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device, VvOperation operation,
                             const char *sub_operation, const char *driver, gint64 until, GError **error)
{
  (void)hooks, (void)device, (void)operation, (void)sub_operation, (void)driver, (void)until, (void)error;
  passed += SCRIPT;
  return TRUE;
}

/* --- timer --- */

static void
test_phases_follow_each_other (void)
{
  VvPhaseTimer timer;

  vv_phase_timer_start (&timer, BEGIN);
  passed += 1;
  g_assert_cmpint (vv_phase_timer_enter (&timer, VV_PHASE_FIND), ==, VV_PHASE_WAIT);
  passed += 2;
  VvPhase before = vv_phase_timer_enter (&timer, VV_PHASE_BIND);
  g_assert_cmpint (before, ==, VV_PHASE_FIND);
  passed += 4;
  g_assert_cmpint (vv_phase_timer_enter (&timer, before), ==, VV_PHASE_BIND);
  passed += 8;
  vv_phase_timer_enter (&timer, VV_PHASE_REPLY);
  passed += 16;
  g_assert_cmpint (timer.usec[VV_PHASE_WAIT], ==, 1);
  g_assert_cmpint (timer.usec[VV_PHASE_FIND], ==, 10);
  g_assert_cmpint (timer.usec[VV_PHASE_BIND], ==, 4);
  g_assert_cmpint (timer.usec[VV_PHASE_REPLY], ==, 0); /* not ended yet */
  g_assert_cmpint (vv_phase_timer_kernel (&timer), ==, 4);
}

/* Callers without a timer pass NULL. */
static void
test_nobody_wants_to_know (void)
{
  g_assert_cmpint (vv_phase_timer_enter (NULL, VV_PHASE_BIND), ==, VV_PHASE_BIND);
}

static void
test_kernel (void)
{
  VvPhaseTimer timer = {.usec = {1, 2, 4, 8, 16, 32, 64, 128, 256}};

  g_assert_cmpint (vv_phase_timer_kernel (&timer), ==, 8 + 16 + 32);
}

static void
test_in_a_file (void)
{
  const VvPhaseTimer timer = {.usec = {1, 2, 4, 8, 16, 32, 64, 128, 256}};
  g_autoptr (GKeyFile) file = g_key_file_new ();

  vv_phase_timer_write (&timer, file, GROUP);
  g_autofree char *text = g_key_file_to_data (file, NULL, NULL);
  g_assert_cmpstr (text, ==,
                   "[change]\nwait-us=1\nfind-us=2\nselect-us=4\nmodule-us=8\nbind-us=16\nscript-us=32\n"
                   "state-us=64\nother-us=128\n");
}

/* --- phases of a rebind --- */

typedef struct {
  gint64 find, select, module, bind, script, store;
} Expected;

static void
assert_phases (const VvPhaseTimer *timer, const Expected *e)
{
  const gint64 expected[VV_PHASES] = {
      [VV_PHASE_FIND] = e->find, [VV_PHASE_SELECT] = e->select, [VV_PHASE_MODULE] = e->module,
      [VV_PHASE_BIND] = e->bind, [VV_PHASE_SCRIPT] = e->script, [VV_PHASE_STATE] = e->store};

  for (guint i = 0; i < VV_PHASES; i++) {
    g_test_message ("%s", vv_phase_keys[i]);
    g_assert_cmpint (timer->usec[i], ==, expected[i]);
  }
}

static Fixture *
ticking_fixture (void)
{
  kernel = NULL; /* the previous test's is freed */
  Fixture *f = fixture_with_flr ();

  kernel = f->k;
  return f;
}

/* libvirt writes @override and unbinds the device. Returns: whether the worker bound it */
static gboolean
hand_over (const Fixture *f, const VvDriverState *before, const char *override, VvPhaseTimer *timer)
{
  const VvHotplugRequest request = {NIC, *before, DEBIAN_12};
  const VvDeadline deadline = {.until = G_MAXINT64, .timer = timer};

  set_override (f, override);
  fake_unbind (f->k, NIC);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  vv_phase_timer_start (timer, g_get_monotonic_time ());
  g_autoptr (VvChange) change = hand_over_now (f, &request, &deadline, NULL);
  g_assert_cmpint (vv_phase_timer_enter (timer, VV_PHASE_REPLY), ==, VV_PHASE_OTHER);
  return change != NULL;
}

static void
test_there_and_back (void)
{
  static const Expected to_vfio = {OPEN, SELECT, STEP, 2 * STEP, 2 * SCRIPT, 2 * STEP};
  static const Expected host = {.find = OPEN, .bind = STEP, .script = 2 * SCRIPT, .store = 2 * STEP};
  static const VvDriverState variant = ON ("special-vfio", "special_vfio_pci", "special-vfio");
  g_autoptr (Fixture) f = ticking_fixture ();
  VvPhaseTimer timer;

  g_assert_true (hand_over (f, &host_driver, "vfio-pci\n", &timer));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_phases (&timer, &to_vfio);
  g_assert_true (hand_over (f, &variant, "(null)\n", &timer));
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_phases (&timer, &host);
}

/* For each candidate: loads its module, writes its override, runs the script, fails to bind, and writes
 * libvirt's override again. For vfio-pci, which is loaded and which libvirt's override names, only runs the
 * script and binds. Finally, the state file is dropped. */
static void
test_all_fail (void)
{
  static const char *const drivers[] = {"special-vfio", "mlx5_vfio_pci", "vfio-pci"};
  static const Expected expected = {OPEN, SELECT, 2 * STEP, 7 * STEP, 3 * SCRIPT, 2 * STEP};
  g_autoptr (Fixture) f = ticking_fixture ();
  VvPhaseTimer timer;

  for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++)
    fake_driver (f->k, drivers[i])->probe_errno = EIO;
  g_assert_false (hand_over (f, &host_driver, "vfio-pci\n", &timer));
  fake_assert_device (f->k, NIC, NULL, "vfio-pci");
  assert_phases (&timer, &expected);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/phase-timer/phases-follow-each-other", test_phases_follow_each_other);
  g_test_add_func ("/phase-timer/nobody-wants-to-know", test_nobody_wants_to_know);
  g_test_add_func ("/phase-timer/kernel", test_kernel);
  g_test_add_func ("/phase-timer/in-a-file", test_in_a_file);
  g_test_add_func ("/phase-timer/hotplug/there-and-back", test_there_and_back);
  g_test_add_func ("/phase-timer/hotplug/all-fail", test_all_fail);
  return g_test_run ();
}
