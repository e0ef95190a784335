/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of the whole daemon when an operation is slow: the deadline, a stop, a device whose lock is taken, a
 * flood of opens.
 */
#include "service-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define SHORT_MS 50 /* of a deadline that passes */

/* --- answers --- */

static pid_t must_be_dead; /* before the next answer */

int __real_vv_io_answer (int group, int fd, gboolean allow);
int __wrap_vv_io_answer (int group, int fd, gboolean allow);

static gboolean
is_dead (pid_t pid)
{
  siginfo_t info = {0};

  return waitid (P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

int
__wrap_vv_io_answer (int group, int fd, gboolean allow)
{
  for (guint i = 0; must_be_dead && i < 2000 && !is_dead (must_be_dead); i++)
    g_usleep (1000); /* a kill takes a moment */
  g_assert_true (!must_be_dead || is_dead (must_be_dead));
  must_be_dead = 0;
  return __real_vv_io_answer (group, fd, allow);
}

/* --- busy device --- */

static char *busy_device; /* FIFO at which reads of driver_override block; NULL: no device is busy */

ssize_t __real_read (int fd, void *buffer, size_t size);
ssize_t __wrap_read (int fd, void *buffer, size_t size);
ssize_t __real_pread64 (int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread64 (int fd, void *buffer, size_t size, off_t offset);

static void
wait_for_device (int fd)
{
  g_autofree char *path = busy_device ? g_strdup_printf ("/proc/self/fd/%d", fd) : NULL;
  g_autofree char *target = path ? g_file_read_link (path, NULL) : NULL;

  if (target && g_str_has_suffix (target, NIC "/driver_override"))
    close (open (busy_device, O_RDONLY | O_CLOEXEC));
}

ssize_t
__wrap_read (int fd, void *buffer, size_t size)
{
  wait_for_device (fd);
  return __real_read (fd, buffer, size);
}

ssize_t
__wrap_pread64 (int fd, void *buffer, size_t size, off_t offset)
{
  wait_for_device (fd);
  return __real_pread64 (fd, buffer, size, offset);
}

/* --- slow operations --- */

/* Then the daemon knows that the device is touched: the worker reports it before the change seen here. */
static void
run_until_touched (const Fixture *f)
{
  g_autofree char *path = below (f, OVERRIDE);
  GStatBuf found = {0};

  while (g_stat (path, &found) == 0 && found.st_size != strlen ("special-vfio\n"))
    g_main_context_iteration (NULL, FALSE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Returns: whether the deadline passed before the worker started, on a slow machine */
static gboolean
was_never_blocked (LibvirtActor *libvirt)
{
  if (!fake_was_logged (NIC ": the deadline passed before its driver_override could be read: *"))
    return FALSE;
  actor_finish (libvirt);
  return TRUE;
}

static gboolean
is_late_before_anything_is_done (guint deadline_ms)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->deadline_ms = deadline_ms;
  start (f);
  fake_driver (f->k, "special-vfio")->load_fifo = new_fifo (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  begin_to_move (f, libvirt, "vfio-pci");
  if (was_never_blocked (libvirt))
    return FALSE;
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the deadline passed before anything was done: libvirt continues without it");
  assert_outcome (f, "deadline");
  g_autoptr (JsonNode) status = status_of (f);
  JsonObject *phases = json_object_get_object_member (nth (status, "changes", 0), "phases");
  g_assert_true (json_object_get_null_member (phases, "wait_us")); /* lost with the worker */
  g_assert_true (json_object_get_null_member (phases, "reply_us"));
  stop_and_assert_device (f, NULL, "vfio-pci");
  return TRUE;
}

/* On a slow machine, tries longer deadlines. */
static void
assert_late (gboolean (*is_late) (guint deadline_ms))
{
  static const guint deadlines[] = {100, 2000, 20000};
  gboolean was_late = FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (deadlines) && !was_late; i++)
    was_late = is_late (deadlines[i]);
  g_assert_true (was_late);
}

static void
test_deadline_before_anything_is_done (void)
{
  assert_late (is_late_before_anything_is_done);
}

/* Returns: FALSE if the deadline was too short for the worker to reach the probe */
static gboolean
is_late_in_the_kernel (guint deadline_ms)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->deadline_ms = deadline_ms;
  start (f);
  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  begin_to_move (f, libvirt, "vfio-pci");
  if (was_never_blocked (libvirt))
    return FALSE;
  run_until_logged ();
  if (fake_was_logged (NIC ": the deadline passed before anything was done: *"))
    return FALSE;
  fake_assert_logged (
      NIC ": the deadline has passed, but the kernel is still working on it: libvirt continues *");
  g_assert_true (actor_is_waiting (libvirt));
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  actor_finish (libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "special-vfio", "special-vfio");
  return TRUE;
}

static void
test_deadline_in_the_kernel (void)
{
  assert_late (is_late_in_the_kernel);
}

/* Returns: the stalled worker; 0: libvirt was released before the worker reached the step */
static pid_t
run_until_stalled (LibvirtActor *libvirt)
{
  int status = 0;

  while (actor_is_waiting (libvirt)) {
    pid_t pid = waitpid (-1, &status, WNOHANG | WUNTRACED);
    if (pid > 0 && WIFSTOPPED (status))
      return pid;
    g_main_context_iteration (NULL, FALSE);
    g_usleep (500);
  }
  return 0;
}

/* Returns: FALSE if the deadline was too short for the worker to reach the step */
static gboolean
is_stalled (FakeFault side, guint step, guint deadline_ms)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  gboolean untouched = step < WRITE_OVERRIDE;

  f->deadline_ms = deadline_ms;
  start (f);
  fake_fault (f->k, side, step, 0);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  begin_to_move (f, libvirt, "vfio-pci");
  if (was_never_blocked (libvirt))
    return FALSE;
  pid_t pid = run_until_stalled (libvirt);
  must_be_dead = untouched ? pid : 0;
  run_until_logged ();
  if (untouched || !pid) {
    fake_assert_logged (NIC ": the deadline passed before anything was done: libvirt continues without it");
    actor_finish (libvirt);
    stop_and_assert_device (f, NULL, "vfio-pci");
    return untouched && pid;
  }
  fake_assert_logged (
      NIC ": the deadline has passed, but the kernel is still working on it: libvirt continues *");
  g_assert_true (actor_is_waiting (libvirt));
  g_assert_cmpint (kill (pid, SIGCONT), ==, 0);
  actor_finish (libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "special-vfio", "special-vfio");
  return TRUE;
}

/* A worker stalls: at the deadline, libvirt is released if the device is untouched; otherwise the daemon
 * waits for the worker. */
static void
test_worker_stalls_at_every_step (void)
{
  static const FakeFault sides[] = {FAKE_STALL_BEFORE, FAKE_STALL_AFTER};
  static const guint deadlines[] = {100, 2000, 20000};

  for (guint i = 0; i < 2 * ARRIVE; i++) {
    gboolean was_stalled = FALSE;
    for (gsize j = 0; j < G_N_ELEMENTS (deadlines) && !was_stalled; j++)
      was_stalled = is_stalled (sides[i % 2], i / 2 + 1, deadlines[j]);
    g_assert_true (was_stalled);
  }
  g_test_message ("points x faults: %u x 2 = %u, and libvirt went on after each", ARRIVE, 2 * ARRIVE);
}

static void
test_stopped_before_anything_is_done (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->load_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_blocking (f, TRUE);
  vv_service_stop (f->service, set_flag, &f->stopped);
  actor_finish (libvirt);
  stop_and_assert_device (f, NULL, "vfio-pci");
}

/* A stopping daemon begins no rebind, whether libvirt reaches drivers_probe before or after the stop. */
static void
test_stopped_as_it_comes (void)
{
  for (guint i = 0; i < 20; i++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
    begin_to_move (f, libvirt, "vfio-pci");
    vv_service_stop (f->service, set_flag, &f->stopped);
    actor_finish (libvirt);
    stop_and_assert_device (f, NULL, "vfio-pci");
    g_assert_false (fake_exists (f->k, ENTRY));
  }
}

static void
test_stopped_in_the_kernel (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_touched (f);
  vv_service_stop (f->service, set_flag, &f->stopped);
  g_assert_true (actor_is_waiting (libvirt));
  g_assert_false (f->stopped);
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  actor_finish (libvirt);
  stop_and_assert_device (f, "special-vfio", "special-vfio");
}

static pid_t
child_of (pid_t parent, pid_t but)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", (int)parent, (int)parent);
  g_autofree char *children = NULL;

  g_assert_true (g_file_get_contents (path, &children, NULL, NULL));
  g_auto (GStrv) pids = g_strsplit (g_strstrip (children), " ", -1);
  for (guint i = g_strv_length (pids); i-- > 0;)
    if (atoi (pids[i]) != but)
      return atoi (pids[i]); /* the youngest */
  return 0;
}

static gboolean
raise_flag (gpointer flag)
{
  set_flag (flag);
  return G_SOURCE_REMOVE;
}

/* Returns: the number of wake-ups of the main loop, without the one by the timeout itself */
static guint
run_for (guint ms)
{
  gboolean over = FALSE;
  guint n = 0;

  g_timeout_add (ms, raise_flag, &over);
  for (; !over; n++)
    g_main_context_iteration (NULL, TRUE);
  return n - 1;
}

static void
begin_to_write_override (const Fixture *f, LibvirtActor *libvirt)
{
  actor_begin (libvirt, "write %s/" OVERRIDE " vfio-pci", f->k->root);
}

/* Other libvirt threads, other devices, drivers_probe and clients of the status socket are not blocked. */
static void
test_busy_device (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autofree char *fifo = busy_device = new_fifo (f);

  fake_write_device (f->k, DISK, "class", "0x010802\n");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (LibvirtActor) other = new_libvirt (f);
  begin_to_write_override (f, libvirt);
  run_for (100);
  actor_announces (other, f->k, DISK);
  actor_begins_to_probe (other, f->k);
  actor_finish (other);
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpint (number (status, "opens", "blocked"), ==, 1);
  g_assert_true (actor_is_waiting (libvirt));
  busy_device = NULL;
  release (f, fifo);
  actor_finish (libvirt);
}

static void
test_busy_device_beyond_the_deadline (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autofree char *fifo = busy_device = new_fifo (f);

  f->deadline_ms = SHORT_MS;
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  begin_to_write_override (f, libvirt);
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the deadline passed before its driver_override could be read: *");
  actor_begins_to_probe (libvirt, f->k);
  actor_finish (libvirt);
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpint (number (status, "opens", "passed"), ==, 1);
  busy_device = NULL;
}

static void
test_reader_of_a_busy_device_dies (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autofree char *fifo = busy_device = new_fifo (f);

  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  begin_to_write_override (f, libvirt);
  run_for (100);
  g_assert_cmpint (kill (child_of (getpid (), actor_pid (libvirt)), SIGKILL), ==, 0);
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the process that reads its driver_override died; libvirt continues without it");
  busy_device = NULL;
}

/* Any user may open driver_override for reading in any number of threads. A device that libvirt moves
 * meanwhile gets its driver, and the opens make the daemon fork no processes. */
static void
attach_in_a_flood (guint threads)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->deadline_ms = 30000; /* of the daemon */
  start (f);
  g_autoptr (LibvirtActor) flooder = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  actor_does (flooder, "become %d", NOBODY);
  actor_begin (flooder, "flood %s/" OVERRIDE " %u,4000", f->k->root, threads);
  run_for (500);
  g_assert_cmpint (child_of (getpid (), 0), ==, actor_pid (libvirt)); /* the youngest */
  gint64 begin = g_get_monotonic_time ();
  detach (f, libvirt);
  g_test_message ("%u threads: a detach takes %" G_GINT64_FORMAT " us", threads,
                  g_get_monotonic_time () - begin);
  assert_driver (f, "special-vfio");
  assert_outcome (f, "detached");
  actor_finish (flooder);
  stop_and_assert_device (f, "special-vfio", "special-vfio");
}

static void
test_flood (void)
{
  attach_in_a_flood (250);
  attach_in_a_flood (1000);
}

static char *
link_of (pid_t pid, const char *fd)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd/%s", (int)pid, fd);

  return g_file_read_link (path, NULL);
}

static gboolean
has_fd (pid_t pid, const char *link)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int)pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  gboolean found = FALSE;

  for (const char *fd = g_dir_read_name (dir); fd && !found; fd = g_dir_read_name (dir)) {
    g_autofree char *is = link_of (pid, fd);
    found = g_strcmp0 (is, link) == 0;
  }
  return found;
}

/* Ignores standard streams and directories, which cannot block a process. Returns: the number of descriptors
 * that are @child's own */
static guint
assert_nothing_of (pid_t daemon, pid_t child)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int)child);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint own = 0;

  for (const char *fd = g_dir_read_name (dir); fd; fd = g_dir_read_name (dir)) {
    g_autofree char *link = link_of (child, fd);
    if (atoi (fd) <= STDERR_FILENO || g_file_test (link, G_FILE_TEST_IS_DIR))
      continue;
    g_test_message ("%s: %s", fd, link);
    g_assert_false (g_str_has_prefix (link, "anon_inode:"));
    g_assert_false (has_fd (daemon, link));
    own++;
  }
  return own;
}

/* A worker has its end of the message pipe, and the FIFO at which it waits. */
static void
test_worker_keeps_nothing (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_touched (f);
  g_assert_cmpuint (assert_nothing_of (getpid (), child_of (getpid (), actor_pid (libvirt))), >=, 1);
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  actor_finish (libvirt);
}

/* The next daemon starts anyway. */
static void
test_worker_outlives_the_daemon (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  int status;

  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), ==, 0);
  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  pid_t daemon = start_daemon (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f); /* after the fork: no shared pipes */
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_touched (f);
  kill (daemon, SIGKILL);
  g_assert_cmpint (waitpid (daemon, &status, 0), ==, daemon);
  actor_finish (libvirt);
  start (f);
  g_autoptr (JsonNode) told = status_of (f);
  g_assert_cmpstr (text (told, "gate"), ==, "on");
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  stop (f);
}

static void
test_libvirt_dies_meanwhile (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_touched (f);
  g_clear_pointer (&libvirt, actor_free);
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  run_until_blocking (f, FALSE);
  assert_driver (f, "special-vfio");
  assert_outcome (f, "detached");
}

static const FakeTest tests[] = {
    {"/service-deadline/before-anything-is-done", test_deadline_before_anything_is_done},
    {"/service-deadline/in-the-kernel", test_deadline_in_the_kernel},
    {"/service-deadline/stalled-at-every-step", test_worker_stalls_at_every_step},
    {"/service-deadline/stopped/before-anything-is-done", test_stopped_before_anything_is_done},
    {"/service-deadline/stopped/as-it-comes", test_stopped_as_it_comes},
    {"/service-deadline/stopped/in-the-kernel", test_stopped_in_the_kernel},
    {"/service-deadline/busy-device/others-pass", test_busy_device},
    {"/service-deadline/busy-device/beyond-the-deadline", test_busy_device_beyond_the_deadline},
    {"/service-deadline/busy-device/reader-dies", test_reader_of_a_busy_device_dies},
    {"/service-deadline/flood", test_flood},
    {"/service-deadline/worker/keeps-nothing-of-the-daemon", test_worker_keeps_nothing},
    {"/service-deadline/worker/outlives-the-daemon", test_worker_outlives_the_daemon},
    {"/service-deadline/libvirt-dies-meanwhile", test_libvirt_dies_meanwhile},
};

int
main (int argc, char **argv)
{
  return service_main (argc, argv, tests, G_N_ELEMENTS (tests));
}
