/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of counters: the rows and buckets of a rebind, concurrent processes, and damaged files.
 */
#include "counters.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "recovery.h"

#define COUNTERS "run/vfio-variant/counters"
#define PROCESSES 6
#define ROUNDS 60

gint64 __real_g_get_monotonic_time (void);
gint64 __wrap_g_get_monotonic_time (void);

/* If set, the monotonic clock stands still, so that waits for a lock never time out. */
static gboolean time_stands_still;

gint64
__wrap_g_get_monotonic_time (void)
{
  return time_stands_still ? 1 : __real_g_get_monotonic_time ();
}

static VvCounters *
read_counters (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VvCounters *counters = vv_counters_read (f->s->store, &error);

  g_assert_no_error (error);
  return counters;
}

static void
count (const Fixture *f, VvOperation operation, const char *to, gboolean changed, gint64 usec)
{
  g_autoptr (VvChange) change = vv_change_new (NIC, operation, "mlx5_core");

  change->to = g_strdup (to);
  change->changed = changed;
  change->usec = usec;
  vv_counters_add (f->s->store, change);
}

static void
assert_row (const VvCounters *counters, guint n, VvOperation operation, const char *driver,
            const char *counts)
{
  g_assert_cmpuint (counters->rows->len, >, n);
  const VvCounterRow *row = counters->rows->pdata[n];
  g_autofree char *found = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                                            row->done, row->fell_back, row->failed);

  g_assert_cmpint (row->operation, ==, operation);
  g_assert_cmpstr (row->driver, ==, driver);
  g_assert_cmpstr (found, ==, counts);
}

static void
test_nothing_yet (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvCounters) counters = read_counters (f);

  g_assert_cmpuint (counters->rows->len, ==, 0);
  g_assert_cmpuint (vv_histogram_total (&counters->durations[VV_DETACH]), ==, 0);
  g_assert_false (fake_exists (f->k, COUNTERS));
}

static void
test_changes (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  count (f, VV_DETACH, "special-vfio", TRUE, 2000);
  count (f, VV_DETACH, "special-vfio", TRUE, 1000);
  count (f, VV_REATTACH, NULL, TRUE, 31000000);
  count (f, VV_DETACH, "special-vfio", FALSE, 50); /* nothing to do */
  g_autoptr (VvCounters) counters = read_counters (f);
  g_assert_cmpuint (counters->rows->len, ==, 2);
  assert_row (counters, 0, VV_DETACH, "special-vfio", "2 0 0");
  assert_row (counters, 1, VV_REATTACH, "none", "1 0 0");
  g_assert_cmpuint (counters->durations[VV_DETACH].sum_usec, ==, 3000);
  g_assert_cmpuint (counters->durations[VV_DETACH].counts[2], ==, 1); /* up to 1 ms */
  g_assert_cmpuint (counters->durations[VV_DETACH].counts[3], ==, 1); /* up to 3 ms */
  g_assert_cmpuint (counters->durations[VV_REATTACH].counts[VV_BUCKETS], ==, 1);
}

/* A fallback counts even if the device returns to the driver it had. */
static void
test_fall_back (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_driver (f->k, "special-vfio")->probe_errno = EIO;
  fake_driver (f->k, "mlx5_vfio_pci")->load_errno = ENOENT;
  put_on (f, "vfio-pci", "vfio-pci");
  g_autoptr (VvChange) change = well_detached (f);
  g_assert_false (change->changed);
  g_autoptr (VvCounters) counters = read_counters (f);
  assert_row (counters, 0, VV_DETACH, "vfio-pci", "0 1 0");
  g_assert_cmpuint (counters->steps[VV_COUNTERS_BIND], ==, 1);
  g_assert_cmpuint (counters->steps[VV_COUNTERS_LOAD], ==, 1);
  g_assert_cmpuint (counters->steps[VV_COUNTERS_VERIFY], ==, 0);
  g_assert_cmpuint (vv_histogram_total (&counters->durations[VV_DETACH]), ==, 1);
}

/* --- counted by binding --- */

static void
test_counts_what_it_logs (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  g_assert_true (vv_binding_detach (b, selection, NULL));
  fake_assert_log_empty (); /* logged later: the caller may still add to it */
  g_assert_true (vv_binding_reattach (b, NULL));
  fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
  g_clear_pointer (&b, vv_binding_free);
  fake_assert_logged (NIC ": reattach: special-vfio -> mlx5_core: *");
  g_autoptr (VvCounters) counters = read_counters (f);
  assert_row (counters, 0, VV_DETACH, "special-vfio", "1 0 0");
  assert_row (counters, 1, VV_REATTACH, "mlx5_core", "1 0 0");
}

static void
test_failed_detach (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fail_all_vfio (f, EIO);
  g_assert_null (detach_nic (f, NULL));
  fake_assert_log_empty (); /* the caller logs the error */
  g_autoptr (VvCounters) counters = read_counters (f);
  assert_row (counters, 0, VV_DETACH, "any", "0 0 1");
  g_assert_cmpuint (counters->steps[VV_COUNTERS_BIND], ==, 3);
  g_assert_cmpuint (vv_histogram_total (&counters->durations[VV_DETACH]), ==, 0);
}

static void
test_failed_detach_to_one_driver (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  fail_all_vfio (f, EIO);
  g_assert_true (vv_choice_force (selection, "mlx5_vfio_pci", NULL));
  g_assert_false (vv_binding_detach (b, selection, NULL));
  g_clear_pointer (&b, vv_binding_free);
  g_autoptr (VvCounters) counters = read_counters (f);
  assert_row (counters, 0, VV_DETACH, "mlx5_vfio_pci", "0 0 1");
}

static void
test_failed_reattach (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  must_detach_nic (f);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  g_assert_null (reattach_nic (f, NULL));
  g_autoptr (VvCounters) counters = read_counters (f);
  assert_row (counters, 1, VV_REATTACH, "mlx5_core", "0 0 1");
}

static void
test_what_is_no_failure (void)
{
  static const VvError codes[] = {VV_ERROR_REFUSED, VV_ERROR_NO_DEVICE, VV_ERROR_INVALID};
  g_autoptr (Fixture) f = fixture_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (codes); i++) {
    g_autoptr (VvChange) change = vv_change_new (NIC, VV_DETACH, NULL);
    change->problem = g_error_new (VV_ERROR, codes[i], "x");
    vv_counters_add (f->s->store, change);
  }
  g_assert_false (fake_exists (f->k, COUNTERS));
}

static void
test_dry_run_is_neither_logged_nor_counted (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic_as (f, TRUE);
  g_autoptr (VvChoice) selection = select_nic (f);

  g_assert_true (vv_binding_detach (b, selection, NULL));
  g_clear_pointer (&b, vv_binding_free);
  fake_assert_log_empty ();
  g_assert_false (fake_exists (f->k, COUNTERS));
}

/* A process died during a rebind, and recovery fails. */
static void
test_failed_recovery (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_unbind (f->k, NIC);
  fake_write (f->k, ENTRY,
              "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS
              "\nstate=reattaching\nhost-known=true\nhost-driver=mlx5_core\nhost-module=mlx5_core\n");
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  fail_all_vfio (f, EIO);
  vv_recover (f->s);
  fake_assert_logged ("*mlx5_core*");
  g_autoptr (VvCounters) counters = read_counters (f);
  assert_row (counters, 0, VV_REATTACH, "mlx5_core", "0 0 1");
}

/* --- concurrency --- */

static void
test_names_of_drivers (void)
{
  static const char *const names[] = {"[a]=b;", " blank ", "\xc3\xbc\\n", "other"};
  g_autoptr (Fixture) f = fixture_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    count (f, VV_DETACH, names[i], TRUE, 1);
  g_autoptr (VvCounters) counters = read_counters (f);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    assert_row (counters, i, VV_DETACH, names[i], "1 0 0");
}

static void
test_rows_are_bounded (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  for (guint i = 0; i < VV_COUNTERS_ROWS + 10; i++) {
    g_autofree char *driver = g_strdup_printf ("driver%u", i);
    count (f, i % 2 ? VV_DETACH : VV_REATTACH, driver, TRUE, 1);
  }
  g_autoptr (VvCounters) counters = read_counters (f);
  guint64 total = 0, other = 0;
  g_assert_cmpuint (counters->rows->len, ==, VV_COUNTERS_ROWS);
  for (guint i = 0; i < counters->rows->len; i++) {
    const VvCounterRow *row = counters->rows->pdata[i];
    total += row->done;
    other += strcmp (row->driver, VV_COUNTERS_OTHER) == 0 ? row->done : 0;
  }
  g_assert_cmpuint (total, ==, VV_COUNTERS_ROWS + 10);
  g_assert_cmpuint (other, ==, 12);
}

static void
count_many (const Fixture *f, guint process)
{
  g_autofree char *driver = g_strdup_printf ("driver%u", process % 2);

  for (guint i = 0; i < ROUNDS; i++)
    count (f, VV_DETACH, driver, TRUE, 1000);
  g_clear_pointer (&driver, g_free);
  _exit (0);
}

/* No count is lost, and no reader sees a partial file. */
static void
test_many_processes (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  int running = PROCESSES, status;

  time_stands_still = TRUE; /* on a busy machine, a process may hold the lock for over a second */
  for (guint i = 0; i < PROCESSES; i++)
    if (fork () == 0)
      count_many (f, i);
  while (running > 0) {
    g_autoptr (VvCounters) meanwhile = read_counters (f);
    g_assert_cmpuint (meanwhile->rows->len, <=, 2);
    if (waitpid (-1, &status, WNOHANG) > 0) {
      g_assert_cmpint (status, ==, 0);
      running--;
    }
  }
  time_stands_still = FALSE;
  g_autoptr (VvCounters) counters = read_counters (f);
  guint64 total = 0;
  for (guint i = 0; i < counters->rows->len; i++)
    total += ((VvCounterRow *)counters->rows->pdata[i])->done;
  g_assert_cmpuint (total, ==, PROCESSES * ROUNDS);
  g_assert_cmpuint (vv_histogram_total (&counters->durations[VV_DETACH]), ==, PROCESSES * ROUNDS);
  g_assert_cmpuint (counters->durations[VV_DETACH].sum_usec, ==, PROCESSES * ROUNDS * 1000);
}

/* --- failures --- */

static void
assert_begins_afresh (const Fixture *f, const char *text)
{
  g_autoptr (GError) error = NULL;

  fake_write (f->k, COUNTERS, text);
  g_assert_null (vv_counters_read (f->s->store, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "*/counters (*): the counts since boot are lost");
  count (f, VV_DETACH, "special-vfio", TRUE, 1);
  fake_assert_logged ("*/counters (*)*; counting starts again from zero");
  g_autoptr (VvCounters) counters = read_counters (f);
  g_assert_cmpuint (counters->rows->len, ==, 1);
  assert_row (counters, 0, VV_DETACH, "special-vfio", "1 0 0");
}

static char *
with (const char *text, const char *what, const char *instead)
{
  g_auto (GStrv) parts = g_strsplit (text, what, 2);

  g_assert_nonnull (parts[1]);
  return g_strjoin (instead, parts[0], parts[1], NULL);
}

static void
test_damaged (void)
{
  static const char *const damages[][2] = {
      {"format=1", "format=2"},
      {"operation=detach", "operation=attach"},
      {"driver=special-vfio", "driver="},
      {"driver=special-vfio", "driver=special-vfio\\"},
      {"driver=special-vfio", "driver=special\xff"},
      {"operation=detach", "operation=detach\\"},
      {"done=1", "done=-1"},
      {"done=1", "done=9007199254740992"},
      {"fell-back=0", "fell=0"},
      {"bind=0", "bind=x"},
      {"buckets=0;", "buckets="},
      {"sum-us=", "sum-us=x"},
      {"[failed-at]", "[change 2]\noperation=detach\ndriver=special-vfio\ndone=1\nfell-back=0\nfailed=0\n"
                      "[failed-at]"},
  };
  g_autoptr (Fixture) f = fixture_new ();

  assert_begins_afresh (f, "");
  assert_begins_afresh (f, "garbage");
  for (gsize i = 0; i < G_N_ELEMENTS (damages); i++) {
    count (f, VV_DETACH, "vfio-pci", TRUE, 1000);
    fake_remove (f->k, COUNTERS);
    count (f, VV_DETACH, "special-vfio", TRUE, 1000);
    g_autofree char *sound = fake_read (f->k, COUNTERS);
    g_autofree char *damaged = with (sound, damages[i][0], damages[i][1]);
    assert_begins_afresh (f, damaged);
  }
}

static void
test_too_long (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *text = g_strnfill (70000, '#');

  assert_begins_afresh (f, text);
}

/* The failure is logged once, at debug level; the rebind succeeds. */
static void
test_cannot_be_written (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_mkdir (f->k, COUNTERS "/x"); /* a file cannot replace a directory */
  count (f, VV_DETACH, "special-vfio", TRUE, 1);
  fake_assert_logged ("rebinds are not counted: */counters: write: Is a directory");
  count (f, VV_DETACH, "special-vfio", TRUE, 1);
  fake_assert_log_empty ();
}

/* A stopped process that holds the lock delays other processes only briefly. */
static void
test_somebody_has_the_lock (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvLock) lock = vv_state_store_lock_note (f->s->store, "counters", 0, NULL);
  gint64 begin = g_get_monotonic_time ();

  g_assert_nonnull (lock);
  count (f, VV_DETACH, "special-vfio", TRUE, 1);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 900 * G_TIME_SPAN_MILLISECOND);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 10 * G_TIME_SPAN_SECOND);
  g_assert_false (fake_exists (f->k, COUNTERS));
  if (fake_was_logged ("rebinds are not counted: *")) /* once per process */
    fake_assert_log_empty ();
}

static void
test_no_directory (void)
{
  g_autoptr (FakeKernel) k = fake_standard ();
  g_autoptr (VvContext) s = vv_context_new (k->root, NULL, FALSE, NULL);
  const Fixture f = {.k = k, .s = s};

  count (&f, VV_DETACH, "special-vfio", TRUE, 1);
  g_assert_false (fake_exists (k, "run/vfio-variant"));
  g_autoptr (VvCounters) counters = read_counters (&f);
  g_assert_cmpuint (counters->rows->len, ==, 0);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/counters/nothing-yet", test_nothing_yet);
  g_test_add_func ("/counters/changes", test_changes);
  g_test_add_func ("/counters/fall-back", test_fall_back);
  g_test_add_func ("/counters/binding/counts-what-it-logs", test_counts_what_it_logs);
  g_test_add_func ("/counters/binding/failed-detach", test_failed_detach);
  g_test_add_func ("/counters/binding/failed-detach-to-one-driver", test_failed_detach_to_one_driver);
  g_test_add_func ("/counters/binding/failed-reattach", test_failed_reattach);
  g_test_add_func ("/counters/binding/what-is-no-failure", test_what_is_no_failure);
  g_test_add_func ("/counters/binding/dry-run", test_dry_run_is_neither_logged_nor_counted);
  g_test_add_func ("/counters/binding/failed-recovery", test_failed_recovery);
  g_test_add_func ("/counters/names-of-drivers", test_names_of_drivers);
  g_test_add_func ("/counters/rows-are-bounded", test_rows_are_bounded);
  g_test_add_func ("/counters/many-processes", test_many_processes);
  g_test_add_func ("/counters/damaged", test_damaged);
  g_test_add_func ("/counters/too-long", test_too_long);
  g_test_add_func ("/counters/cannot-be-written", test_cannot_be_written);
  g_test_add_func ("/counters/somebody-has-the-lock", test_somebody_has_the_lock);
  g_test_add_func ("/counters/no-directory", test_no_directory);
  return g_test_run ();
}
