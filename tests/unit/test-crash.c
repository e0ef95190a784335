/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of interruptions: every way to rebind a device, at every step. The step fails before or after its
 * work, the device vanishes, the process dies or stalls for a minute, or the recovering process dies as well
 * (rules R4, R6). Each test prints the number of steps and of faults.
 */
#include "binding.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "libvirt-version.h"
#include "hand-over.h"
#include "fixture.h"
#include "recovery.h"

#define DEADLINE                                                                                             \
  (30 * G_TIME_SPAN_SECOND) /* no test takes this long, except the tests in which a process stalls */
#define STALL (60 * G_TIME_SPAN_SECOND)

/* --- clock --- */

static gint64 *clock_ahead; /* offset from the real clock, for all processes */

gint64 __real_g_get_monotonic_time (void);
gint64 __wrap_g_get_monotonic_time (void);

gint64
__wrap_g_get_monotonic_time (void)
{
  return __real_g_get_monotonic_time () + *clock_ahead;
}

/* --- ways to rebind --- */

static void
restored (Fixture *f)
{
  (void)f;
}

static void
on_host_driver_with_override (Fixture *f)
{
  set_override (f, "mlx5_core");
}

static void
on_host_driver_and_best_fails (Fixture *f)
{
  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
}

static void
on_host_driver_and_all_fail (Fixture *f)
{
  fail_all_vfio (f, EINVAL);
}

/* libvirt has detached the device for a domain. */
static void
on_generic_for_a_domain (Fixture *f)
{
  g_autoptr (VvBinding) b = open_nic (f);

  vv_binding_note (b);
  vv_entry_set_domain (b->entry, "vm1", "6695eb01");
  g_assert_true (vv_binding_save (b, NULL));
  put_on (f, "vfio-pci", "vfio-pci");
}

/* The same, but the host driver was never seen */
static void
on_generic_from_nowhere (Fixture *f)
{
  on_generic_for_a_domain (f);
  g_autoptr (VvBinding) b = open_nic (f);
  b->entry->host_known = FALSE;
  g_assert_true (vv_binding_save (b, NULL));
}

/* The administrator has detached the device when no better driver was available. */
static void
held_on_generic (Fixture *f)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  g_assert_true (vv_choice_force (selection, "vfio-pci", NULL));
  g_assert_true (vv_binding_detach (b, selection, NULL));
  b->entry->pinned = TRUE;
  g_assert_true (vv_binding_save (b, NULL));
}

static void
on_variant (Fixture *f)
{
  must_detach_nic (f);
}

static void
on_variant_from_override (Fixture *f)
{
  set_override (f, "mlx5_core");
  must_detach_nic (f);
}

static void
on_variant_and_host_driver_not_loaded (Fixture *f)
{
  must_detach_nic (f);
  fake_unregister (f->k, "mlx5_core");
}

static void
on_variant_and_host_driver_fails (Fixture *f)
{
  must_detach_nic (f);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
}

/* The kernel has added the device and will probe drivers for it, as libvirt does at the end. */
static void
has_just_appeared (Fixture *f)
{
  fake_unbind (f->k, NIC);
}

static VvChange *
detach_new_device (const Fixture *f, GError **error)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  vv_binding_expect_new (b);
  return vv_binding_detach (b, selection, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

/* --- ways between libvirt's unbind and its drivers_probe --- */

/* The worker's last report to the daemon: whether it has touched the device. Shared with its processes. */
static gboolean *touched;

static void
tell_touched (gboolean is_touched, gpointer data)
{
  (void)data;
  *touched = is_touched;
}

static VvChange *
hand_over (const Fixture *f, const VvDriverState *before, guint libvirt, GError **error)
{
  const VvHotplugRequest request = {NIC, *before, libvirt};
  const VvDeadline deadline = {g_get_monotonic_time () + DEADLINE, tell_touched, NULL};

  *touched = FALSE;
  return hand_over_now (f, &request, &deadline, error);
}

static void
libvirt_unbinds (const Fixture *f, const char *override)
{
  fake_unbind (f->k, NIC);
  set_override (f, override);
}

static void
libvirt_detaches (Fixture *f)
{
  libvirt_unbinds (f, "vfio-pci\n");
}

static void
libvirt_detaches_and_best_fails (Fixture *f)
{
  fake_driver (f->k, "special-vfio")->no_vfio_dev = TRUE;
  libvirt_unbinds (f, "vfio-pci\n");
}

static void
libvirt_detaches_to_a_variant (Fixture *f)
{
  fake_register (f->k, "mlx5_vfio_pci");
  libvirt_unbinds (f, "mlx5_vfio_pci\n");
}

static void
libvirt_reattaches (Fixture *f)
{
  must_detach_nic (f);
  libvirt_unbinds (f, "(null)\n");
}

static void
libvirt_reattaches_to_an_override (Fixture *f)
{
  set_override (f, "mlx5_core");
  libvirt_reattaches (f);
}

static void
libvirt_reattaches_and_host_driver_not_loaded (Fixture *f)
{
  libvirt_reattaches (f);
  fake_unregister (f->k, "mlx5_core");
}

static VvChange *
gate_detach (const Fixture *f, GError **error)
{
  return hand_over (f, &(VvDriverState)ON ("mlx5_core", "mlx5_core", NULL), VV_LIBVIRT_VERSION (9, 7, 0),
                    error);
}

static VvChange *
gate_detach_for_newer (const Fixture *f, GError **error)
{
  return hand_over (f, &(VvDriverState)ON ("mlx5_core", "mlx5_core", NULL), VV_LIBVIRT_VERSION (10, 0, 0),
                    error);
}

static VvChange *
gate_reattach (const Fixture *f, GError **error)
{
  const VvDriverState before = ON ("special-vfio", "special_vfio_pci", "special-vfio");

  return hand_over (f, &before, VV_LIBVIRT_VERSION (9, 7, 0), error);
}

/* @libvirt_wants: for a device that libvirt has unbound: the driver that libvirt's probe binds if everything
 * is as libvirt left it; NULL: libvirt is not involved */
typedef struct {
  const char *says;
  void (*set_up) (Fixture *f);
  VvChange *(*move) (const Fixture *f, GError **error);
  const char *host_override;
  gboolean host_unknown;
  const char *libvirt_wants;
} Way;

static const Way ways[] = {
    {"detach from home", restored, detach_nic, NULL},
    {"detach from home with an override", on_host_driver_with_override, detach_nic, "mlx5_core"},
    {"detach when the best fails", on_host_driver_and_best_fails, detach_nic, NULL},
    {"detach when all fail", on_host_driver_and_all_fail, detach_nic, NULL},
    {"detach what libvirt put on vfio-pci", on_generic_for_a_domain, detach_nic, NULL},
    {"detach what nobody saw before", on_generic_from_nowhere, detach_nic, NULL, TRUE},
    {"detach again, to a better driver", held_on_generic, detach_nic, NULL},
    {"detach what has just appeared", has_just_appeared, detach_new_device, NULL, TRUE, "mlx5_core"},
    {"reattach", on_variant, reattach_nic, NULL},
    {"reattach to an override", on_variant_from_override, reattach_nic, "mlx5_core"},
    {"reattach, the module loaded anew", on_variant_and_host_driver_not_loaded, reattach_nic, NULL},
    {"reattach when home is gone", on_variant_and_host_driver_fails, reattach_nic, NULL},
    {"gate detach", libvirt_detaches, gate_detach, NULL, FALSE, "vfio-pci"},
    {"gate detach when the best fails", libvirt_detaches_and_best_fails, gate_detach, NULL, FALSE,
     "vfio-pci"},
    {"gate detach to what libvirt chose", libvirt_detaches_to_a_variant, gate_detach_for_newer, NULL, FALSE,
     "mlx5_vfio_pci"},
    {"gate reattach", libvirt_reattaches, gate_reattach, NULL, FALSE, "mlx5_core"},
    {"gate reattach to an override", libvirt_reattaches_to_an_override, gate_reattach, "mlx5_core", FALSE,
     "mlx5_core"},
    {"gate reattach, the module loaded anew", libvirt_reattaches_and_host_driver_not_loaded, gate_reattach,
     NULL, FALSE, "mlx5_core"},
};

static const Way *
way_of (const char *says)
{
  const Way *way = ways;

  while (strcmp (way->says, says) != 0)
    way++;
  return way;
}

static Fixture *
start_way (const Way *way)
{
  Fixture *f = fixture_new ();

  way->set_up (f);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  return f;
}

static gboolean
is_between (const Way *way)
{
  return way->libvirt_wants != NULL;
}

/* libvirt is released and writes to drivers_probe. Loads the host module first: without it, libvirt's probe
 * would never find a driver. */
static void
let_libvirt_go_on (const Fixture *f, const Way *way)
{
  if (!is_between (way))
    return;
  if (strcmp (way->libvirt_wants, "mlx5_core") == 0)
    fake_register (f->k, "mlx5_core");
  fake_probe (f->k, NIC);
}

/* Returns: the number of steps if no step fails */
static guint
count_steps (const Way *way)
{
  g_autoptr (Fixture) f = start_way (way);
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) change = way->move (f, &error);

  g_assert_cmpuint (f->k->steps, >, 2);
  return f->k->steps;
}

/* We did nothing for the device, and libvirt bound the driver that it wanted. */
static gboolean
is_at_libvirts (const Way *way, const char *driver)
{
  return g_strcmp0 (driver, way->libvirt_wants) == 0;
}

/* Invariants after any fault, once the device was opened again */
static void
assert_sound (const Fixture *f, const Way *way)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvEntry) written = entry_of_nic (f);
  g_autofree char *driver = fake_driver_of (f->k, NIC);
  g_autofree char *override = fake_override_of (f->k, NIC);

  g_assert_cmpstr (driver, !=, NULL); /* rule R4 */
  g_assert_cmpint (written != NULL, ==, b->entry != NULL);
  if (!written && !is_at_libvirts (way, driver)) {
    g_assert_cmpstr (driver, ==, "mlx5_core");
    g_assert_cmpstr (override, ==, way->host_override);
  }
  if (!written)
    return;
  g_assert_true (written->state == VV_STATE_RECORDED || written->state == VV_STATE_DETACHED);
  g_assert_cmpint (written->state, ==, b->entry->state);
  g_assert_cmpint (written->host_known, ==, !way->host_unknown);
  if (written->host_known || written->host.driver)
    g_assert_cmpstr (written->host.driver, ==, "mlx5_core");
  g_assert_cmpstr (written->host.override, ==, way->host_override);
  if (is_between (way) && is_at_libvirts (way, driver))
    return; /* libvirt bound it: the state file need not match */
  if (strcmp (driver, "mlx5_core") == 0) {
    g_assert_cmpint (written->state, ==, VV_STATE_RECORDED);
    g_assert_cmpstr (override, ==, way->host_override);
    return;
  }
  g_assert_cmpstr (override, ==, driver);
  if (written->state == VV_STATE_DETACHED)
    g_assert_cmpstr (written->vfio_driver, ==, driver);
}

/* A failed case ends the program, so all cases that are counted succeeded. */
static void
say_count (guint steps, guint faults)
{
  g_test_message ("points x faults: %u x %u = %u, and all were mended", steps, faults, steps * faults);
}

typedef struct {
  FakeFault fault;
  int errnum;
  const char *says;
} Failure;

static const Failure failures[] = {
    {FAKE_FAIL, EIO, "EIO"},
    {FAKE_FAIL, ENOSPC, "ENOSPC"},
    {FAKE_FAIL_AFTER, EIO, "EIO, but is done"},
    {FAKE_FAIL_AFTER, ENOSPC, "ENOSPC, but is done"},
};

static void
fail_at_step (const Way *way, guint step, const Failure *failure)
{
  g_autoptr (Fixture) f = start_way (way);
  g_autoptr (GError) error = NULL;

  fake_fault (f->k, failure->fault, step, failure->errnum);
  g_autoptr (VvChange) change = way->move (f, &error);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  let_libvirt_go_on (f, way);
  g_autofree char *driver = fake_driver_of (f->k, NIC);
  g_assert_true (change || error);
  if (!driver) /* the rollback failed: the error says so, and the next caller tries again */
    fake_assert_matches (error->message, strstr (error->message, "cannot return to ")
                                             ? "*: cannot return to *: *"
                                             : "*; returning it to * failed: *");
  assert_sound (f, way);
}

static void
test_every_step_may_fail (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way);

  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++)
    for (guint step = 1; step <= n; step++) {
      g_test_message ("step %u of %u fails: %s", step, n, failures[i].says);
      fail_at_step (way, step, &failures[i]);
    }
  say_count (n, G_N_ELEMENTS (failures));
}

static void
test_device_may_go_at_every_step (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way);

  for (guint i = 0; i < 2 * n; i++) {
    g_test_message ("the device goes %s step %u of %u", i % 2 ? "after" : "before", i / 2 + 1, n);
    g_autoptr (Fixture) f = start_way (way);
    g_autoptr (GError) error = NULL;
    fake_fault (f->k, i % 2 ? FAKE_VANISH_AFTER : FAKE_VANISH_BEFORE, i / 2 + 1, 0);
    g_autoptr (VvChange) change = way->move (f, &error);
    if (!change && i / 2 + 1 < n &&
        !is_between (way)) { /* the last step, a state file write, follows the last check of the device */
      g_assert_error (error, VV_ERROR, VV_ERROR_NO_DEVICE);
      assert_no_entry (f);
    }
    /* The next device at this address is not mistaken for it. */
    fake_add_device (f->k, NIC, DISK_MODALIAS, NIC_GROUP, "nvme");
    g_autoptr (VvBinding) b = open_nic (f);
    g_assert_null (b->entry);
    fake_assert_device (f->k, NIC, "nvme", NULL);
  }
  say_count (n, 2);
}

static void
move_in_child (FakeKernel *k, gpointer data)
{
  gpointer *fixture_and_way = data;
  const Way *way = fixture_and_way[1];
  g_autoptr (VvChange) change = way->move (fixture_and_way[0], NULL);

  (void)k;
}

static void
open_in_child (FakeKernel *k, gpointer fixture)
{
  g_autoptr (VvBinding) b = open_nic (fixture);

  (void)k;
}

static Fixture *
die_on_the_way (const Way *way, FakeFault fault, guint step)
{
  Fixture *f = start_way (way);
  gpointer fixture_and_way[] = {f, (gpointer)way};

  fake_fault (f->k, fault, step, 0);
  g_assert_true (fake_dies (f->k, move_in_child, fixture_and_way));
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  return f;
}

/* The daemon died as well, so libvirt is not blocked any more. */
static void
test_process_may_die_at_every_step (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way);

  for (guint i = 0; i < 2 * n; i++) {
    g_test_message ("it dies %s step %u of %u", i % 2 ? "after" : "before", i / 2 + 1, n);
    g_autoptr (Fixture) f = die_on_the_way (way, i % 2 ? FAKE_DIE_AFTER : FAKE_DIE_BEFORE, i / 2 + 1);
    let_libvirt_go_on (f, way);
    assert_sound (f, way);
  }
  say_count (n, 2);
}

static gboolean
is_on_vfio (const Fixture *f)
{
  g_autofree char *driver = fake_driver_of (f->k, NIC);

  return driver && fake_driver (f->k, driver)->vfio;
}

/* The worker dies and the daemon lives: libvirt gets the driver it wanted, on VFIO or the host driver. */
static void
test_daemon_stands_back (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way);
  gboolean restored = strcmp (way->libvirt_wants, "mlx5_core") == 0;

  for (guint i = 0; i < 2 * n; i++) {
    g_test_message ("it dies %s step %u of %u", i % 2 ? "after" : "before", i / 2 + 1, n);
    g_autoptr (Fixture) f = die_on_the_way (way, i % 2 ? FAKE_DIE_AFTER : FAKE_DIE_BEFORE, i / 2 + 1);
    if (*touched)
      vv_binding_reset_override (f->s, NIC);
    let_libvirt_go_on (f, way);
    g_assert_cmpint (is_on_vfio (f), ==, !restored);
    assert_sound (f, way);
  }
  say_count (n, 2);
}

/* The recovering process dies as well. */
static void
test_recovery_may_die_at_every_step (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way), cases = 0;

  for (guint step = 1; step <= n; step++) {
    gboolean died = TRUE;
    for (guint again = 1; died; again++, cases++) {
      g_test_message ("it dies after step %u of %u, and then before step %u of the recovery", step, n, again);
      g_autoptr (Fixture) f = die_on_the_way (way, FAKE_DIE_AFTER, step);
      let_libvirt_go_on (f, way);
      fake_fault (f->k, FAKE_DIE_BEFORE, again, 0);
      died = fake_dies (f->k, open_in_child, f);
      fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
      assert_sound (f, way);
    }
  }
  g_test_message ("steps x steps of their recovery: %u, and all were mended", cases);
}

/* --- stalled processes --- */

/* Returns: the process; 0: there is no such step */
static pid_t
stall_on_the_way (const Fixture *f, const Way *way, gboolean after, guint step)
{
  gpointer fixture_and_way[] = {(gpointer)f, (gpointer)way};

  fake_fault (f->k, after ? FAKE_STALL_AFTER : FAKE_STALL_BEFORE, step, 0);
  pid_t pid = fake_stalls (f->k, move_in_child, fixture_and_way);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  g_assert_cmpint (pid, >, 0);
  return pid;
}

static void
assert_locked (const Fixture *f)
{
  const VvDeadline none = {.until = g_get_monotonic_time ()};
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_binding_open_between (f->s, NIC, NULL, &none, &error));
  fake_assert_error (error, VV_ERROR_REFUSED, NIC ": another process is moving this device*");
  fake_assert_unchanged (f->k, before);
}

/* The lock keeps out other processes meanwhile, and the rebind is completed. */
static void
test_process_may_stall_at_every_step (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way);

  for (guint i = 0; i < 2 * n; i++) {
    g_test_message ("it stands still %s step %u of %u", i % 2 ? "after" : "before", i / 2 + 1, n);
    g_autoptr (Fixture) f = start_way (way);
    pid_t pid = stall_on_the_way (f, way, i % 2 != 0, i / 2 + 1);
    assert_locked (f);
    *clock_ahead += STALL;
    fake_goes_on (pid);
    let_libvirt_go_on (f, way);
    assert_sound (f, way);
  }
  say_count (n, 2);
}

/* The deadline passes: as in the daemon, if the device is untouched, libvirt is released and the worker
 * killed; otherwise the daemon waits for the worker. */
static void
test_worker_may_stall_at_every_step (gconstpointer data)
{
  const Way *way = data;
  guint n = count_steps (way);
  gboolean restored = strcmp (way->libvirt_wants, "mlx5_core") == 0;

  for (guint i = 0; i < 2 * n; i++) {
    g_test_message ("it stands still %s step %u of %u", i % 2 ? "after" : "before", i / 2 + 1, n);
    g_autoptr (Fixture) f = start_way (way);
    pid_t pid = stall_on_the_way (f, way, i % 2 != 0, i / 2 + 1);
    *clock_ahead += STALL;
    if (*touched)
      fake_goes_on (pid);
    else
      fake_kill (pid);
    let_libvirt_go_on (f, way);
    g_assert_cmpint (is_on_vfio (f), ==, !restored);
    assert_sound (f, way);
  }
  say_count (n, 2);
}

/* --- recovery --- */

/* A detach whose process died while the device had no driver */
static Fixture *
cut_off_detach (void)
{
  return die_on_the_way (way_of ("detach from home"), FAKE_DIE_AFTER, 4);
}

static void
test_recovery_is_told (void)
{
  g_autoptr (Fixture) f = cut_off_detach ();

  fake_assert_device (f->k, NIC, NULL, "special-vfio");
  g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, FALSE, NULL);
  fake_assert_logged (NIC ": reattach: no driver -> mlx5_core: a process died while moving it (*)");
}

static void
test_looking_recovers_nothing (void)
{
  g_autoptr (Fixture) f = cut_off_detach ();
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvBinding) b = open_nic_as (f, TRUE);
  g_autoptr (VvContext) s = vv_context_new (f->k->root, NULL, FALSE, NULL);

  g_assert_cmpint (b->entry->state, ==, VV_STATE_DETACHING);
  fake_assert_unchanged (f->k, before);
}

static void
test_session_recovers_all (void)
{
  g_autoptr (Fixture) f = cut_off_detach ();
  g_autoptr (GError) error = NULL;
  g_autoptr (VvContext) s = vv_context_new (f->k->root, NULL, TRUE, &error);

  g_assert_no_error (error);
  vv_recover (s);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
  fake_assert_logged (NIC ": reattach: no driver -> mlx5_core*");
}

/* The process that holds the lock is alive: recovery neither waits for it nor reports it. */
static void
test_recovery_leaves_the_living_alone (void)
{
  g_autoptr (Fixture) f = cut_off_detach ();
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvLock) lock = vv_state_store_lock (f->s->store, NIC, 0, NULL);
  g_autoptr (VvContext) s = vv_context_new (f->k->root, NULL, TRUE, NULL);

  vv_recover (s);
  fake_assert_log_empty ();
  fake_assert_unchanged (f->k, before);
  g_clear_pointer (&lock, vv_lock_free);
  vv_recover (s);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  fake_assert_logged (NIC ": reattach: no driver -> mlx5_core*");
}

static void
test_recovery_that_fails_is_said (void)
{
  g_autoptr (Fixture) f = cut_off_detach ();
  g_autoptr (GError) error = NULL;

  fail_all_vfio (f, EINVAL);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  g_autoptr (VvContext) s = vv_context_new (f->k->root, NULL, TRUE, &error);
  g_assert_no_error (error);
  vv_recover (s); /* a failed recovery must not affect other devices */
  fake_assert_logged (NIC ": recovery of an interrupted detach failed: *Input/output error; "
                          "*vfio-pci/bind: write: Invalid argument; the next vfio-variant process *");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpint (entry->state, ==, VV_STATE_DETACHING);
}

/* The generic VFIO driver, which binds any device, is better than no driver. */
static void
test_recovery_without_a_host_driver_stays_on_vfio (void)
{
  g_autoptr (Fixture) f = cut_off_detach ();

  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, FALSE, NULL);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  fake_assert_logged (NIC ": reattach: no driver -> vfio-pci: a process died while moving it; "
                          "mlx5_core failed at recovery (*Input/output error)*");
  g_assert_cmpint (b->entry->state, ==, VV_STATE_DETACHED);
  g_assert_cmpstr (b->entry->host.driver, ==, "mlx5_core");
}

static void
test_recovery_leaves_a_running_guest_alone (void)
{
  g_autoptr (Fixture) f =
      die_on_the_way (way_of ("reattach"), FAKE_DIE_AFTER, 1); /* a reattach had just begun */

  if (!fake_add_process (f->k, "812", "qemu-system-x86", "240:" NIC_GROUP))
    return;
  g_autoptr (VvEntry) cut_off = entry_of_nic (f);
  g_assert_cmpint (cut_off->state, ==, VV_STATE_REATTACHING);
  g_autoptr (VvBinding) b = open_nic (f);
  g_assert_cmpint (b->entry->state, ==, VV_STATE_DETACHED);
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
}

static void
test_cut_off_detach_of_a_domain_stays_recorded (void)
{
  g_autoptr (Fixture) f = die_on_the_way (way_of ("detach what libvirt put on vfio-pci"), FAKE_DIE_AFTER, 4);

  fake_assert_device (f->k, NIC, NULL, "special-vfio");
  g_autoptr (VvBinding) b = open_nic (f);
  g_assert_cmpint (b->entry->state, ==, VV_STATE_RECORDED);
  g_assert_cmpstr (b->entry->domain, ==, "vm1");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
add_ways (const char *name, GTestDataFunc test, gboolean only_between)
{
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++) {
    if (only_between && (!is_between (&ways[i]) || ways[i].move == detach_new_device))
      continue;
    g_autofree char *path = g_strdup_printf ("/crash/%s/%s", name, ways[i].says);
    g_test_add_data_func (g_strdelimit (path, " ", '-'), &ways[i], test);
  }
}

/* Zeroed memory, shared with child processes */
static gpointer
shared (gsize size)
{
  gpointer memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert_true (memory != MAP_FAILED);
  return memory;
}

int
main (int argc, char **argv)
{
  clock_ahead = shared (sizeof *clock_ahead);
  touched = shared (sizeof *touched);
  fake_test_init (&argc, &argv);
  add_ways ("every-step-may-fail", test_every_step_may_fail, FALSE);
  add_ways ("the-device-may-go-at-every-step", test_device_may_go_at_every_step, FALSE);
  add_ways ("the-process-may-die-at-every-step", test_process_may_die_at_every_step, FALSE);
  add_ways ("the-recovery-may-die-at-every-step", test_recovery_may_die_at_every_step, FALSE);
  add_ways ("the-daemon-stands-back", test_daemon_stands_back, TRUE);
  add_ways ("the-process-may-stall-at-every-step", test_process_may_stall_at_every_step, FALSE);
  add_ways ("the-worker-may-stall-at-every-step", test_worker_may_stall_at_every_step, TRUE);
  g_test_add_func ("/crash/recovery/is-told", test_recovery_is_told);
  g_test_add_func ("/crash/recovery/not-by-looking", test_looking_recovers_nothing);
  g_test_add_func ("/crash/recovery/a-context-recovers-all", test_session_recovers_all);
  g_test_add_func ("/crash/recovery/leaves-the-living-alone", test_recovery_leaves_the_living_alone);
  g_test_add_func ("/crash/recovery/that-fails-is-said", test_recovery_that_fails_is_said);
  g_test_add_func ("/crash/recovery/without-a-host-driver-stays-on-vfio",
                   test_recovery_without_a_host_driver_stays_on_vfio);
  g_test_add_func ("/crash/recovery/leaves-a-running-guest-alone",
                   test_recovery_leaves_a_running_guest_alone);
  g_test_add_func ("/crash/recovery/what-a-domain-waits-for-stays-recorded",
                   test_cut_off_detach_of_a_domain_stays_recorded);
  return g_test_run ();
}
