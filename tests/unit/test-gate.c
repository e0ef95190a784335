/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of gate: the kernel's permission events on the files of a fake host: the processes that are blocked,
 * their devices, and the deadline.
 *
 * The test must not open a watched file itself: it would block forever.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvirt-actor.h"

#define NOBODY 65534
#define LONG_MS 60000 /* no test takes this long */
#define SHORT_MS 50   /* of a deadline that passes */
#define REMADE_AFTER 64

typedef struct {
  FakeKernel *k;
  VvHost *host;
  VvGate *gate;
  GPtrArray *announced;    /* one string per announcement */
  GPtrArray *dropped;      /* the same strings */
  VvAnnouncement *blocked; /* the last one */
  const char *blocked_device;
  gboolean is_blocked, is_late, is_orphaned;
  VvAnnouncement *announcement; /* the last one */
  gboolean is_busy;             /* reading driver_override would block */
  gboolean is_uninterested;
} Fixture;

/* --- failing answers --- */

static guint answers_that_fail;

int __real_vv_io_answer (int group, int fd, gboolean allow);
int __wrap_vv_io_answer (int group, int fd, gboolean allow);

int
__wrap_vv_io_answer (int group, int fd, gboolean allow)
{
  if (!answers_that_fail)
    return __real_vv_io_answer (group, fd, allow);
  answers_that_fail--;
  return EIO;
}

/* --- the gate's client --- */

/* Reads the file without blocking: here it is a regular file. */
static void
proceed (VvAnnouncement *a)
{
  char text[64];
  ssize_t n = read (a->fd, text, sizeof text - 1);

  g_assert_cmpint (n, >, 0);
  text[n] = '\0';
  g_strchomp (text);
  vv_gate_proceed (a, strcmp (text, "(null)") != 0 ? text : NULL);
  g_assert_cmpint (a->fd, ==, -1);
}

static gpointer
announced (VvAnnouncement *a, gpointer data)
{
  Fixture *f = data;

  f->announcement = a;
  if (f->is_uninterested)
    return NULL;
  if (!f->is_busy)
    proceed (a);
  char *text = g_strdup_printf (
      "%s %s %s %s %s %d", a->executable, a->address, a->before.driver ? a->before.driver : "-",
      a->before.module ? a->before.module : "-", a->before.override ? a->before.override : "-", (int)a->tid);

  g_ptr_array_add (f->announced, text);
  return text;
}

static void
dropped (gpointer device_data, gpointer data)
{
  Fixture *f = data;

  g_ptr_array_add (f->dropped, device_data);
}

static void
orphaned (const VvAnnouncement *a, gpointer device_data, gpointer data)
{
  Fixture *f = data;

  g_assert_cmpstr (a->address, ==, NIC);
  g_assert_true (device_data == f->announced->pdata[0]);
  f->is_orphaned = TRUE;
}

static void
blocked (VvAnnouncement *h, gpointer device_data, gpointer data)
{
  Fixture *f = data;

  f->blocked = h;
  f->blocked_device = device_data;
  f->is_blocked = TRUE;
}

static void
late (VvAnnouncement *h, gpointer device_data, gpointer data)
{
  Fixture *f = data;

  g_assert_true (h == f->blocked && device_data == f->blocked_device);
  f->is_late = TRUE;
}

/* --- fixture --- */

static VvGate *
new_gate (Fixture *f, const char *program, guint deadline_ms, GError **error)
{
  static const VvGateClient client = {announced, dropped, orphaned, blocked, late};
  const char *const programs[] = {"somebody", program, NULL};

  return vv_gate_new (f->host, programs, deadline_ms, LONG_MS, &client, f, error);
}

static void
fixture_free (Fixture *f)
{
  vv_gate_free (f->gate);
  g_ptr_array_unref (f->dropped);
  g_ptr_array_unref (f->announced);
  vv_host_free (f->host);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

static Fixture *
fixture_without_gate (void)
{
  Fixture *f = g_new0 (Fixture, 1);

  f->k = fake_standard ();
  fake_write_device (f->k, NIC, "class", "0x020000\n");
  fake_write_device (f->k, DISK, "class", "0x010802\n");
  fake_remove (f->k, "proc");
  fake_link (f->k, "proc", "/proc");
  f->host = vv_host_new (f->k->root, NULL, NULL);
  f->announced = g_ptr_array_new_with_free_func (g_free);
  f->dropped = g_ptr_array_new ();
  return f;
}

static Fixture *
fixture_for (const char *program, guint deadline_ms)
{
  Fixture *f = fixture_without_gate ();
  g_autoptr (GError) error = NULL;

  f->gate = new_gate (f, program, deadline_ms, &error);
  g_assert_no_error (error);
  vv_gate_watch_all (f->gate);
  return f;
}

static Fixture *
fixture_new (void)
{
  return fixture_for ("fake-libvirt", LONG_MS);
}

static void
run_until_blocked (Fixture *f)
{
  run_until (&f->is_blocked);
  f->is_blocked = FALSE;
}

/* The gate's fanotify groups: they change when the marks are remade */
static char *
group_numbers (void)
{
  g_autoptr (GDir) descriptors = g_dir_open ("/proc/self/fd", 0, NULL);
  GString *numbers = g_string_new (NULL);

  for (const char *number = g_dir_read_name (descriptors); number; number = g_dir_read_name (descriptors)) {
    g_autofree char *path = g_build_filename ("/proc/self/fd", number, NULL);
    g_autofree char *target = g_file_read_link (path, NULL);
    if (g_strcmp0 (target, "anon_inode:[fanotify]") == 0)
      g_string_append_printf (numbers, "%s ", number);
  }
  return g_string_free (numbers, FALSE);
}

/* Returns: whether the marks were remade */
static gboolean
unwatch (const Fixture *f, const char *address)
{
  g_autofree char *before = group_numbers ();

  vv_gate_unwatch (f->gate, address);
  g_autofree char *now = group_numbers ();
  g_assert_cmpstr (before, !=, "");
  return strcmp (before, now) != 0;
}

static void
assert_counts (const Fixture *f, guint seen, guint passed, guint n_blocked)
{
  const VvGateCounts *counts = vv_gate_counts (f->gate);

  g_assert_cmpuint (counts->seen, ==, seen);
  g_assert_cmpuint (counts->passed, ==, passed);
  g_assert_cmpuint (counts->blocked, ==, n_blocked);
}

/* --- announcements --- */

static void
assert_announced (const Fixture *f, guint number, const char *expected, const LibvirtActor *libvirt)
{
  g_autofree char *text = g_strdup_printf ("%s %d", expected, (int)actor_pid (libvirt));

  g_assert_cmpuint (f->announced->len, >, number);
  g_assert_cmpstr (f->announced->pdata[number], ==, text);
}

static void
test_announcement (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  assert_announced (f, 0, "fake-libvirt " NIC " mlx5_core mlx5_core -", libvirt);
}

/* The gate reads the override through the event, as it was when libvirt opened the file. */
static void
test_announcement_of_an_override (void)
{
  g_autoptr (Fixture) f = fixture_without_gate ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autofree char *override = fake_device_path (DISK, "driver_override");

  fake_write (f->k, override, "nvme\n");
  fake_unbind (f->k, DISK);
  f->gate = new_gate (f, "fake-libvirt", LONG_MS, NULL);
  vv_gate_watch_all (f->gate);
  actor_announces (libvirt, f->k, DISK);
  assert_announced (f, 0, "fake-libvirt " DISK " - - nvme", libvirt);
}

/* As libvirt writes it */
static void
test_announcement_by_a_write (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autofree char *override = fake_device_path (NIC, "driver_override");

  actor_does (libvirt, "probe %s/%s", f->k->root, override);
  assert_announced (f, 0, "fake-libvirt " NIC " mlx5_core mlx5_core -", libvirt);
}

static void
test_another_name (void)
{
  g_autoptr (Fixture) f = fixture_for ("fake-libvirtd", LONG_MS);
  g_autoptr (LibvirtActor) other = actor_new (FAKE_LIBVIRT);

  actor_announces (other, f->k, NIC);
  actor_begins_to_probe (other, f->k);
  actor_finish (other);
  g_assert_cmpuint (f->announced->len, ==, 0);
  assert_counts (f, 1, 1, 0);
}

/* Any user can open driver_override, in a program of any name. */
static void
test_another_user (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) other = actor_new (FAKE_LIBVIRT);

  actor_does (other, "become %d", NOBODY);
  actor_announces (other, f->k, NIC);
  g_assert_cmpuint (f->announced->len, ==, 0);
}

/* A package update has replaced the running program. */
static void
test_deleted_program (void)
{
  g_autoptr (Fixture) f = fixture_for ("libvirt-of-old", LONG_MS);
  g_autofree char *program = g_build_filename (f->k->root, "libvirt-of-old", NULL);
  g_autofree char *bytes = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (FAKE_LIBVIRT, &bytes, &length, NULL));
  fake_write_bytes (f->k, "libvirt-of-old", bytes, length);
  g_assert_cmpint (g_chmod (program, 0755), ==, 0);
  g_autoptr (LibvirtActor) libvirt = actor_new (program);
  actor_does (libvirt, "open /dev/null"); /* the program runs now */
  fake_remove (f->k, "libvirt-of-old");
  actor_announces (libvirt, f->k, NIC);
  assert_announced (f, 0, "libvirt-of-old " NIC " mlx5_core mlx5_core -", libvirt);
}

static void
test_announced_twice (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_announces (libvirt, f->k, DISK);
  g_assert_cmpuint (f->announced->len, ==, 2);
  g_assert_cmpuint (f->dropped->len, ==, 1);
  g_assert_true (f->dropped->pdata[0] == f->announced->pdata[0]);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  g_assert_true (f->blocked_device == f->announced->pdata[1]);
  g_assert_cmpstr (f->blocked->address, ==, DISK);
  vv_gate_release (f->blocked, TRUE);
  actor_finish (libvirt);
}

static void
test_announced_and_died (void)
{
  if (!fake_has_pidfd ()) {
    g_test_skip ("there is no pidfd_open()");
    return;
  }
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_dies (libvirt);
  run_until (&f->is_orphaned);
  g_assert_cmpuint (f->dropped->len, ==, 0);
}

/* The worker handles the device already. */
static void
test_blocked_and_died (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) other = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  actor_dies (libvirt);
  actor_announces (other, f->k, DISK); /* runs the main loop */
  g_assert_false (f->is_orphaned);
  vv_gate_release (f->blocked, TRUE);
}

/* --- blocked until driver_override is read --- */

static void
begin_to_announce (const Fixture *f, LibvirtActor *libvirt, const char *address)
{
  g_autofree char *path = fake_device_path (address, "driver_override");

  actor_begin (libvirt, "open %s/%s", f->k->root, path);
}

static void
run_until_announced (const Fixture *f, guint n)
{
  while (f->announced->len < n)
    g_main_context_iteration (NULL, TRUE);
}

/* Other processes are not blocked meanwhile. */
static void
test_others_pass_while_it_is_read (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) next = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) other = actor_new (FAKE_LIBVIRT);

  f->is_busy = TRUE;
  begin_to_announce (f, libvirt, NIC);
  run_until_announced (f, 1);
  VvAnnouncement *first = f->announcement;
  begin_to_announce (f, next, NIC);
  run_until_announced (f, 2);
  actor_begins_to_probe (other, f->k);
  actor_finish (other);
  actor_does (other, "become %d", NOBODY);
  actor_announces (other, f->k, NIC);
  g_assert_true (actor_is_waiting (libvirt) && actor_is_waiting (next));
  proceed (first);
  actor_finish (libvirt);
  proceed (f->announcement);
  actor_finish (next);
  assert_announced (f, 0, "fake-libvirt " NIC " mlx5_core mlx5_core -", libvirt);
}

static void
test_forgotten (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  f->is_busy = TRUE;
  begin_to_announce (f, libvirt, NIC);
  run_until_announced (f, 1);
  vv_gate_forget (f->announcement);
  actor_finish (libvirt);
  g_assert_cmpuint (f->dropped->len, ==, 1);
  actor_begins_to_probe (libvirt, f->k);
  actor_finish (libvirt);
  assert_counts (f, 1, 1, 0);
}

static void
test_nobody_is_interested (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  f->is_uninterested = TRUE;
  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  actor_finish (libvirt);
  g_assert_cmpuint (f->dropped->len, ==, 0);
  assert_counts (f, 1, 1, 0);
}

static void
test_cannot_be_read (void)
{
  g_autoptr (Fixture) f = fixture_for ("fake-libvirt", SHORT_MS);
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  f->is_busy = TRUE;
  begin_to_announce (f, libvirt, NIC);
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the deadline passed before its driver_override could be read: *");
  g_assert_cmpuint (f->dropped->len, ==, 1);
}

/* libvirt had not begun: there is nothing to undo. */
static void
test_dies_while_it_is_read (void)
{
  if (!fake_has_pidfd ()) {
    g_test_skip ("there is no pidfd_open()");
    return;
  }
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  f->is_busy = TRUE;
  begin_to_announce (f, libvirt, NIC);
  run_until_announced (f, 1);
  actor_dies (libvirt);
  while (!f->dropped->len)
    g_main_context_iteration (NULL, TRUE);
  g_assert_false (f->is_orphaned);
}

/* Remaking the marks keeps the descriptors through which libvirt is answered. */
static void
test_marks_are_remade_while_it_is_read (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  f->is_busy = TRUE;
  begin_to_announce (f, libvirt, NIC);
  run_until_announced (f, 1);
  for (guint i = 1; i <= REMADE_AFTER + 1; i++) {
    if (i == REMADE_AFTER + 1) {
      proceed (f->announcement);
      actor_finish (libvirt);
    }
    fake_add_device (f->k, "0000:05:00.0", NIC_MODALIAS, "9", NULL);
    fake_write_device (f->k, "0000:05:00.0", "class", "0x020000\n");
    vv_gate_watch (f->gate, "0000:05:00.0");
    fake_remove_device (f->k, "0000:05:00.0");
    g_assert_cmpint (unwatch (f, "0000:05:00.0"), ==, i == REMADE_AFTER + 1);
    g_assert_true (i > REMADE_AFTER || actor_is_waiting (libvirt));
  }
}

/* --- blocked --- */

static void
test_blocked_until_released (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  gint64 begin = g_get_monotonic_time ();

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  g_assert_true (actor_is_waiting (libvirt));
  g_assert_true (f->blocked_device == f->announced->pdata[0]);
  g_assert_cmpstr (f->blocked->address, ==, NIC);
  g_assert_cmpint (f->blocked->since, >=, begin);
  g_assert_cmpint (f->blocked->deadline, ==, f->blocked->since + LONG_MS * 1000);
  assert_counts (f, 1, 0, 1);
  g_assert_cmpint (vv_gate_release (f->blocked, TRUE), >=, 0);
  actor_finish (libvirt);
  g_assert_cmpuint (f->dropped->len, ==, 0);
  g_assert_false (f->is_late);
}

static void
test_one_announcement_is_for_one_probe (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  vv_gate_release (f->blocked, TRUE);
  actor_finish (libvirt);
  actor_begins_to_probe (libvirt, f->k);
  actor_finish (libvirt);
  assert_counts (f, 2, 1, 1);
}

static void
test_others_pass_meanwhile (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) other = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  actor_begins_to_probe (other, f->k); /* it has announced no device */
  actor_finish (other);
  g_assert_true (actor_is_waiting (libvirt));
  assert_counts (f, 2, 1, 1);
  vv_gate_release (f->blocked, TRUE);
  actor_finish (libvirt);
}

static void
test_two_at_once (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) first = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) second = actor_new (FAKE_LIBVIRT);

  actor_announces (first, f->k, NIC);
  actor_announces (second, f->k, DISK);
  actor_begins_to_probe (first, f->k);
  run_until_blocked (f);
  VvAnnouncement *first_blocked = f->blocked;
  actor_begins_to_probe (second, f->k);
  run_until_blocked (f);
  g_assert_cmpstr (first_blocked->address, ==, NIC);
  g_assert_cmpstr (f->blocked->address, ==, DISK);
  vv_gate_release (f->blocked, TRUE);
  actor_finish (second);
  g_assert_true (actor_is_waiting (first));
  vv_gate_release (first_blocked, TRUE);
  actor_finish (first);
}

static void
test_deadline (void)
{
  g_autoptr (Fixture) f = fixture_for ("fake-libvirt", SHORT_MS);
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  run_until (&f->is_late);
  g_assert_true (actor_is_waiting (libvirt)); /* the client decides what follows */
  g_assert_cmpint (vv_gate_release (f->blocked, TRUE), >=, SHORT_MS * 1000);
  actor_finish (libvirt);
}

static void
test_killed_while_blocked (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  g_clear_pointer (&libvirt, actor_free);
  vv_gate_release (f->blocked, TRUE);
}

static void
test_answered_again (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  answers_that_fail = 2;
  actor_announces (libvirt, f->k, NIC);
  for (guint i = 0; i < 2; i++)
    fake_assert_logged ("gate: cannot answer an open: Input/output error");
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  answers_that_fail = 1;
  vv_gate_release (f->blocked, TRUE);
  actor_finish (libvirt);
  fake_assert_logged ("gate: cannot answer an open: Input/output error");
}

static G_GNUC_NORETURN void
be_gate_without_answers (Fixture *f, int ready)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  const struct rlimit no_core = {0, 0};

  setrlimit (RLIMIT_CORE, &no_core);
  answers_that_fail = G_MAXUINT;
  f->gate = new_gate (f, "fake-libvirt", LONG_MS, NULL);
  vv_gate_watch_all (f->gate);
  if (write (ready, "", 1) == 1)
    g_main_loop_run (loop);
  _exit (1);
}

/* No process blocks forever: the gate exits, and the kernel allows all opens. */
static void
test_cannot_answer (void)
{
  g_autoptr (Fixture) f = fixture_without_gate ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  int ready[2], status;
  char byte;

  g_assert_cmpint (pipe (ready), ==, 0);
  pid_t pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    be_gate_without_answers (f, ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  actor_announces (libvirt, f->k, NIC);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  close (ready[0]);
  close (ready[1]);
}

/* --- end of the gate --- */

static void
test_opened_up (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) late_comer = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  vv_gate_disable (f->gate);
  g_assert_true (actor_is_waiting (libvirt));
  actor_announces (late_comer, f->k, DISK);
  actor_begins_to_probe (late_comer, f->k);
  actor_finish (late_comer);
  g_assert_cmpuint (f->announced->len, ==, 1);
  assert_counts (f, 1, 0, 1);
  vv_gate_release (f->blocked, TRUE);
  actor_finish (libvirt);
}

static void
test_freed (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) first = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) second = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) third = actor_new (FAKE_LIBVIRT);

  actor_announces (first, f->k, NIC);
  actor_announces (second, f->k, DISK);
  actor_announces (third, f->k, NIC);
  actor_begins_to_probe (first, f->k);
  run_until_blocked (f);
  actor_begins_to_probe (second, f->k);
  run_until_blocked (f);
  g_clear_pointer (&f->gate, vv_gate_free);
  actor_finish (first);
  actor_finish (second);
  g_assert_cmpuint (f->dropped->len, ==, 1);
  g_assert_true (f->dropped->pdata[0] == f->announced->pdata[2]);
}

/* --- watched devices --- */

static void
test_bridges_are_not_watched (void)
{
  g_autoptr (Fixture) f = fixture_without_gate ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  fake_write_device (f->k, DISK, "class", "0x060400\n");
  f->gate = new_gate (f, "fake-libvirt", LONG_MS, NULL);
  vv_gate_watch_all (f->gate);
  g_assert_cmpuint (vv_gate_watched (f->gate), ==, 1);
  actor_announces (libvirt, f->k, DISK);
  g_assert_cmpuint (f->announced->len, ==, 0);
}

static void
test_devices_come_and_go (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  fake_add_device (f->k, "0000:05:00.0", NIC_MODALIAS, "9", NULL);
  fake_write_device (f->k, "0000:05:00.0", "class", "0x020000\n");
  vv_gate_watch (f->gate, "0000:05:00.0");
  vv_gate_watch (f->gate, "0000:05:00.0");
  g_assert_cmpuint (vv_gate_watched (f->gate), ==, 3);
  actor_announces (libvirt, f->k, "0000:05:00.0");
  g_assert_cmpuint (f->announced->len, ==, 1);
  fake_remove_device (f->k, "0000:05:00.0");
  g_assert_false (unwatch (f, "0000:05:00.0"));
  g_assert_false (unwatch (f, "0000:05:00.0"));
  g_assert_cmpuint (vv_gate_watched (f->gate), ==, 2);
  vv_gate_watch (f->gate, "0000:05:00.0"); /* the device is gone already */
  g_assert_cmpuint (vv_gate_watched (f->gate), ==, 2);
}

/* Many devices vanish, so the gate remakes its marks to free the kernel's memory. A blocked process stays
 * blocked. */
static void
test_marks_are_remade (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) next = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  run_until_blocked (f);
  VvAnnouncement *first_blocked = f->blocked;
  for (guint i = 1; i <= REMADE_AFTER; i++) {
    fake_add_device (f->k, "0000:05:00.0", NIC_MODALIAS, "9", NULL);
    fake_write_device (f->k, "0000:05:00.0", "class", "0x020000\n");
    vv_gate_watch (f->gate, "0000:05:00.0");
    fake_remove_device (f->k, "0000:05:00.0");
    g_assert_cmpint (unwatch (f, "0000:05:00.0"), ==, i == REMADE_AFTER);
  }
  g_assert_cmpuint (vv_gate_watched (f->gate), ==, 2);
  actor_announces (next, f->k, DISK);
  actor_begins_to_probe (next, f->k);
  run_until_blocked (f);
  vv_gate_release (f->blocked, TRUE);
  actor_finish (next);
  vv_gate_release (first_blocked, TRUE);
  actor_finish (libvirt);
}

/* --- floods --- */

#define WATCHDOG_MS 1000 /* the daemon's is ten seconds */
#define FLOOD_MS 4000
#define MEASURED_MS 1000

static gboolean
is_over (int fd, GIOCondition condition, gpointer over)
{
  (void)fd, (void)condition;
  *(gboolean *)over = TRUE;
  return G_SOURCE_REMOVE;
}

static gpointer
flooded_announced (VvAnnouncement *a, gpointer data)
{
  vv_gate_proceed (a, NULL);
  return data;
}

static void
flooded_blocked (VvAnnouncement *h, gpointer device_data, gpointer data)
{
  (void)device_data, (void)data;
  vv_gate_release (h, TRUE);
}

static void
flooded_dropped (gpointer device_data, gpointer data)
{
  (void)device_data, (void)data;
}

/* A daemon that only answers events. Exits when the test closes the other end of @wanted. */
static G_GNUC_NORETURN void
be_watched_gate (Fixture *f, const VvGateClient *client, guint watchdog_ms, int ready, int wanted)
{
  const char *const programs[] = {"fake-libvirt", NULL};
  gboolean over = FALSE;

  f->gate = vv_gate_new (f->host, programs, LONG_MS, watchdog_ms, client, f, NULL);
  vv_gate_watch_all (f->gate);
  g_unix_fd_add (wanted, G_IO_HUP, is_over, &over);
  if (write (ready, "", 1) == 1)
    run_until (&over);
  vv_gate_free (f->gate);
  _exit (0);
}

/* Returns: the duration of an unrelated open of DISK in microseconds, including the round trip to @other */
static gint64
measure (const Fixture *f, LibvirtActor *other)
{
  gint64 start = g_get_monotonic_time (), took = 0;
  guint n = 0;

  for (; took < MEASURED_MS * 1000; took = g_get_monotonic_time () - start, n++)
    actor_announces (other, f->k, DISK);
  return took / n;
}

/* Returns: the daemon's process, which exits when the test closes @wanted. Call this before actor_new():
 * the daemon would inherit the actor's pipes. */
static pid_t
start_watched_gate (Fixture *f, const VvGateClient *client, guint watchdog_ms, int *wanted)
{
  int ready[2], end[2];
  char byte;

  g_assert_cmpint (pipe2 (ready, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (end, O_CLOEXEC), ==, 0);
  pid_t pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    close (end[1]);
    be_watched_gate (f, client, watchdog_ms, ready[1], end[0]);
  }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  close (ready[0]);
  close (ready[1]);
  close (end[0]);
  *wanted = end[1];
  return pid;
}

/* While @threads of @uid open @file as fast as possible, the daemon survives, and libvirt is served. */
static void
assert_survives (uid_t uid, guint threads, const char *file)
{
  static const VvGateClient client = {
      .announced = flooded_announced, .dropped = flooded_dropped, .blocked = flooded_blocked};
  g_autoptr (Fixture) f = fixture_without_gate ();
  int wanted, status;
  pid_t daemon = start_watched_gate (f, &client, WATCHDOG_MS, &wanted);
  g_autoptr (LibvirtActor) flooder = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  g_autoptr (LibvirtActor) other = actor_new (FAKE_LIBVIRT);

  actor_does (other, "become %d", NOBODY);
  actor_does (flooder, "become %d", (int)uid);
  gint64 quiet = measure (f, other);
  actor_begin (flooder, "flood %s/%s %u,%u", f->k->root, file, threads, FLOOD_MS);
  g_usleep (500000); /* until its threads run */
  gint64 start = g_get_monotonic_time ();
  gint64 flooded = measure (f, other), between = g_get_monotonic_time ();
  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  actor_finish (libvirt);
  gint64 move = g_get_monotonic_time () - between;
  actor_finish (flooder);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, FLOOD_MS * 1000 / 2);
  close (wanted);
  g_assert_cmpint (waitpid (daemon, &status, 0), ==, daemon);
  g_assert_cmpint (status, ==, 0);
  g_test_message ("%u threads of user %u: another open takes %" G_GINT64_FORMAT
                  " us instead of %" G_GINT64_FORMAT " us, libvirt's two %" G_GINT64_FORMAT " us",
                  threads, uid, flooded, quiet, move);
}

/* Any user may open driver_override for reading. The program has the name of a served one. */
static void
test_flood_of_a_user (void)
{
  g_autofree char *override = fake_device_path (NIC, "driver_override");

  assert_survives (NOBODY, 250, override);
  assert_survives (NOBODY, 1000, override);
}

/* Only root may open drivers_probe. */
static void
test_flood_of_root (void)
{
  assert_survives (0, 250, "sys/bus/pci/drivers_probe");
  assert_survives (0, 1000, "sys/bus/pci/drivers_probe");
}

/* --- watchdog --- */

static G_GNUC_NORETURN gpointer
hang (VvAnnouncement *a, gpointer data)
{
  (void)a, (void)data;
  for (;;)
    pause ();
}

/* The event was read but not answered, so the kernel's queue is empty. */
static void
test_watchdog_sees_what_was_read (void)
{
  static const VvGateClient client = {.announced = hang};
  g_autoptr (Fixture) f = fixture_without_gate ();
  int wanted, status;
  pid_t daemon = start_watched_gate (f, &client, WATCHDOG_MS, &wanted);
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  actor_announces (libvirt, f->k, NIC);
  g_assert_cmpint (waitpid (daemon, &status, 0), ==, daemon);
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  close (wanted);
}

#define BLOCKED_WATCHDOG_MS 3000 /* longer than the progress interval of one second */

static gboolean
release (gpointer h)
{
  vv_gate_release (h, TRUE);
  return G_SOURCE_REMOVE;
}

static void
held_for_long (VvAnnouncement *h, gpointer device_data, gpointer data)
{
  (void)device_data, (void)data;
  g_timeout_add (2 * BLOCKED_WATCHDOG_MS, release, h);
}

/* A running main loop counts as progress. */
static void
test_watchdog_waits_while_it_is_blocked (void)
{
  static const VvGateClient client = {
      .announced = flooded_announced, .dropped = flooded_dropped, .blocked = held_for_long};
  g_autoptr (Fixture) f = fixture_without_gate ();
  int wanted, status;
  pid_t daemon = start_watched_gate (f, &client, BLOCKED_WATCHDOG_MS, &wanted);
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);
  gint64 begin = g_get_monotonic_time ();

  actor_announces (libvirt, f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
  actor_finish (libvirt);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 2 * BLOCKED_WATCHDOG_MS * G_TIME_SPAN_MILLISECOND);
  close (wanted);
  g_assert_cmpint (waitpid (daemon, &status, 0), ==, daemon);
  g_assert_cmpint (status, ==, 0);
}

/* --- gate unavailable --- */

static void
test_without_proc (void)
{
  g_autoptr (Fixture) f = fixture_without_gate ();
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&f->host, vv_host_free);
  fake_remove (f->k, "proc");
  f->host = vv_host_new (f->k->root, NULL, NULL);
  g_assert_null (new_gate (f, "fake-libvirt", LONG_MS, &error));
  fake_assert_error (error, VV_ERROR_NOT_FOUND,
                     "/proc is not mounted: cannot identify the processes that open files");
}

static void
test_without_drivers_probe (void)
{
  g_autoptr (Fixture) f = fixture_without_gate ();
  g_autoptr (GError) error = NULL;

  fake_remove (f->k, "sys/bus/pci/drivers_probe");
  g_assert_null (new_gate (f, "fake-libvirt", LONG_MS, &error));
  fake_assert_error (error, VV_ERROR_NOT_FOUND, "*/bus/pci/drivers_probe: fanotify_mark: No such file *");
}

/* Returns: why the gate is unavailable, or NULL. It needs root outside of containers. */
static char *
why_not (void)
{
  g_autoptr (Fixture) f = fixture_without_gate ();
  g_autoptr (GError) error = NULL;

  f->gate = new_gate (f, "fake-libvirt", LONG_MS, &error);
  return f->gate ? NULL : g_strdup (error->message);
}

int
main (int argc, char **argv)
{
  static const FakeTest tests[] = {
      {"/gate/announcement", test_announcement},
      {"/gate/announcement/of-an-override", test_announcement_of_an_override},
      {"/gate/announcement/by-a-write", test_announcement_by_a_write},
      {"/gate/announcement/not-of-another-name", test_another_name},
      {"/gate/announcement/not-of-another-user", test_another_user},
      {"/gate/announcement/of-a-deleted-program", test_deleted_program},
      {"/gate/announcement/twice", test_announced_twice},
      {"/gate/announcement/and-died", test_announced_and_died},
      {"/gate/announced/others-pass-meanwhile", test_others_pass_while_it_is_read},
      {"/gate/announced/forgotten", test_forgotten},
      {"/gate/announced/nobody-is-interested", test_nobody_is_interested},
      {"/gate/announced/cannot-be-read", test_cannot_be_read},
      {"/gate/announced/and-died", test_dies_while_it_is_read},
      {"/gate/announced/marks-are-remade", test_marks_are_remade_while_it_is_read},
      {"/gate/held/and-died", test_blocked_and_died},
      {"/gate/held/until-let-go", test_blocked_until_released},
      {"/gate/held/once-for-each-announcement", test_one_announcement_is_for_one_probe},
      {"/gate/held/others-pass-meanwhile", test_others_pass_meanwhile},
      {"/gate/held/two-at-once", test_two_at_once},
      {"/gate/held/deadline", test_deadline},
      {"/gate/held/and-killed", test_killed_while_blocked},
      {"/gate/answer/again", test_answered_again},
      {"/gate/answer/cannot", test_cannot_answer},
      {"/gate/opened-up", test_opened_up},
      {"/gate/freed", test_freed},
      {"/gate/devices/bridges-are-not-watched", test_bridges_are_not_watched},
      {"/gate/devices/come-and-go", test_devices_come_and_go},
      {"/gate/devices/marks-are-remade", test_marks_are_remade},
      {"/gate/flood/of-a-user", test_flood_of_a_user},
      {"/gate/flood/of-root", test_flood_of_root},
      {"/gate/watchdog/sees-what-was-read", test_watchdog_sees_what_was_read},
      {"/gate/watchdog/waits-while-it-is-blocked", test_watchdog_waits_while_it_is_blocked},
      {"/gate/without-proc", test_without_proc},
      {"/gate/without-drivers-probe", test_without_drivers_probe},
  };

  fake_test_init (&argc, &argv);
  g_autofree char *reason = why_not ();
  return fake_run_tests (tests, G_N_ELEMENTS (tests), reason);
}
