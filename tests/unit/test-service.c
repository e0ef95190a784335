/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * service: the whole daemon on a fake host: the kernel's own permission events, workers that are processes of
 * their own, and the driver core that fake-kernel plays for them, too.
 *
 * While the gate is there the test must not open a device's driver_override itself: nobody would answer.
 */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvirt-actor.h"
#include "udev.h"

#define LONG_MS 60000 /* nothing here takes that long */
#define NOBODY 65534
#define SHORT_MS 50 /* of a deadline that is going to pass */
#define ENTRY "run/vfio-variant/" NIC
#define POLICY "etc/libvirt/vfio-variant.xml"
#define SOCKET "run/vfio-variant/vfio-variantd.sock"
#define LIBRARY "usr/lib/libvirt.so.0.9000.0"
#define OVERRIDE "sys/bus/pci/devices/" NIC "/driver_override"

/* The steps of a worker that takes NIC to its best driver */
enum { LOAD = 1, STATE, WRITE_OVERRIDE, BIND, ARRIVE };

typedef struct {
  FakeKernel *k;
  VvService *service;
  guint deadline_ms;
  gboolean no_gate;
  gboolean stopped;
  int released; /* see release() */
} Fixture;

static char *
below (const Fixture *f, const char *path)
{
  return g_build_filename (f->k->root, path, NULL);
}

/* --- answers --- */

static pid_t must_be_dead; /* when the next answer is given */

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
    g_usleep (1000); /* to be killed takes a moment */
  g_assert_true (!must_be_dead || is_dead (must_be_dead));
  must_be_dead = 0;
  return __real_vv_io_answer (group, fd, allow);
}

/* --- children that the kernel does not let go --- */

static gboolean children_outlive; /* the daemon, as one in an uninterruptible sleep does */

int __real_prctl (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);

int
__wrap_prctl (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
  return children_outlive && option == PR_SET_PDEATHSIG ? 0 : __real_prctl (option, a, b, c, d);
}

/* --- a device whose lock is held --- */

static char *busy_device; /* a fifo, at which who reads a driver_override waits; NULL: no device is */

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

/* --- the daemon --- */

static void
write_monitor (const FakeKernel *k, const char *script)
{
  g_autofree char *text = g_strdup_printf ("#!/bin/sh\ncd %s\n%s\n", k->root, script);
  g_autofree char *path = g_build_filename (k->root, "monitor", NULL);

  fake_write (k, "monitor", text);
  g_assert_cmpint (g_chmod (path, 0755), ==, 0);
}

static Fixture *
fixture_without_service (void)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autofree char *class = fake_device_path (NIC, "class");
  g_autofree char *reset = fake_device_path (NIC, "reset_method");

  f->k = fake_standard ();
  f->deadline_ms = LONG_MS;
  fake_write (f->k, class, "0x020000\n");
  fake_write (f->k, reset, "flr\n");
  fake_write (f->k, LIBRARY, "library");
  write_monitor (f->k, "exec cat >monitor-heard"); /* takes what it is told, until that ends */
  fake_remove (f->k, "proc");
  fake_link (f->k, "proc", "/proc");
  return f;
}

static VvService *
new_service (const Fixture *f, GError **error)
{
  char *programs[] = {(char *)"fake-libvirt", NULL};
  g_autofree char *monitor = below (f, "monitor");
  const VvServiceOptions options = {f->k->root, programs, f->deadline_ms, f->no_gate, monitor};

  return vv_service_new (&options, error);
}

static void
start (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  f->service = new_service (f, &error);
  g_assert_no_error (error);
}

static Fixture *
fixture_new (void)
{
  Fixture *f = fixture_without_service ();

  start (f);
  return f;
}

static void
set_flag (gpointer flag)
{
  *(gboolean *)flag = TRUE;
}

/* As main does at SIGTERM: whatever child ends is told. */
static void
stop (Fixture *f)
{
  vv_service_stop (f->service, set_flag, &f->stopped);
  while (!f->stopped)
    vv_service_reaped (f->service, waitpid (-1, NULL, 0));
  g_clear_pointer (&f->service, vv_service_free);
}

static void
fixture_free (Fixture *f)
{
  if (f->service)
    stop (f);
  while (waitpid (-1, NULL, 0) > 0) /* workers that count yet */
    ;
  if (f->released)
    close (f->released);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/* The driver_override can be read when nobody watches any more. */
static void
stop_and_assert_device (Fixture *f, const char *driver, const char *override)
{
  stop (f);
  fake_assert_device (f->k, NIC, driver, override);
}

/* --- libvirt --- */

static LibvirtActor *
new_libvirt (const Fixture *f)
{
  LibvirtActor *libvirt = actor_new (FAKE_LIBVIRT);

  actor_does (libvirt, "map %s/" LIBRARY, f->k->root);
  return libvirt;
}

/* All that libvirt does before it is held, and the open that it is held at */
static void
begin_to_move (const Fixture *f, LibvirtActor *libvirt, const char *override)
{
  actor_does (libvirt, "write %s/" OVERRIDE " %s", f->k->root, override);
  fake_unbind (f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
}

static void
detach (const Fixture *f, LibvirtActor *libvirt)
{
  begin_to_move (f, libvirt, "vfio-pci");
  actor_finish (libvirt);
}

static void
reattach (const Fixture *f, LibvirtActor *libvirt)
{
  begin_to_move (f, libvirt, "(null)");
  actor_finish (libvirt);
}

static void
assert_driver (const Fixture *f, const char *driver)
{
  g_autofree char *is_on = fake_driver_of (f->k, NIC);

  g_assert_cmpstr (is_on, ==, driver);
}

/* --- what it tells --- */

typedef struct {
  GString *text;
  gboolean ended;
} Answer;

static gboolean
hear (int fd, GIOCondition condition, gpointer data)
{
  Answer *a = data;
  char bytes[4096];
  ssize_t n = read (fd, bytes, sizeof bytes);

  (void)condition;
  g_string_append_len (a->text, bytes, MAX (n, 0));
  a->ended = n <= 0;
  return n > 0;
}

static char *
hear_to_the_end (int fd)
{
  Answer a = {g_string_new (NULL), FALSE};

  g_unix_fd_add (fd, G_IO_IN | G_IO_HUP, hear, &a);
  run_until (&a.ended);
  close (fd);
  return g_string_free (a.text, FALSE);
}

/* That status finds a problem on this host, which has no modules that could be loaded, is none of the
 * daemon's. */
static char *
command_says (const Fixture *f, const char *command, const char *option)
{
  const char *argv[] = {VFIO_VARIANT, command, option, "--sysroot", f->k->root, NULL};
  g_autoptr (GError) error = NULL;
  GPid pid;
  int output, status;

  g_assert_true (g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                           &pid, NULL, &output, NULL, &error));
  g_autofree char *text = hear_to_the_end (output);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) <= 1);
  return g_steal_pointer (&text);
}

static JsonNode *
status_of (const Fixture *f)
{
  g_autofree char *text = command_says (f, "status", "--json");
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (text, &error);

  g_assert_no_error (error);
  g_assert_true (json_object_get_boolean_member (json_node_get_object (node), "running"));
  return node;
}

/* @line: without "vfio_variant_" */
static gboolean
metrics_say (const Fixture *f, const char *line)
{
  g_autofree char *text = command_says (f, "metrics", "--format=openmetrics");
  g_autofree char *whole = g_strdup_printf ("\nvfio_variant_%s\n", line);

  return strstr (text, whole) != NULL;
}

/* Where there is no jsonschema, that is not looked at. */
static void
assert_has_its_schema (JsonNode *status)
{
  const char *script = "import json, sys\n"
                       "try:\n"
                       "    import jsonschema\n"
                       "except ImportError:\n"
                       "    sys.exit(0)\n"
                       "with open(sys.argv[1]) as schema:\n"
                       "    jsonschema.validate(json.loads(sys.argv[2]), json.load(schema))\n";
  g_autofree char *text = json_to_string (status, FALSE);
  const char *const argv[] = {"python3", "-c", script, SCHEMAS "/status.schema.json", text, NULL};
  g_autoptr (GError) error = NULL;
  int code;

  g_assert_true (
      g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &code, &error));
  g_assert_cmpint (code, ==, 0);
}

static gint64
number (JsonNode *status, const char *group, const char *key)
{
  JsonObject *top = json_node_get_object (status);

  return json_object_get_int_member (group ? json_object_get_object_member (top, group) : top, key);
}

static const char *
text (JsonNode *status, const char *key)
{
  JsonNode *member = json_object_get_member (json_node_get_object (status), key);

  return JSON_NODE_HOLDS_VALUE (member) ? json_node_get_string (member) : NULL;
}

static JsonObject *
nth (JsonNode *status, const char *array, guint n)
{
  JsonArray *all = json_object_get_array_member (json_node_get_object (status), array);

  return n < json_array_get_length (all) ? json_array_get_object_element (all, n) : NULL;
}

static const char *
latest (JsonNode *status, const char *key)
{
  JsonObject *change = nth (status, "changes", 0);
  JsonNode *member = change ? json_object_get_member (change, key) : NULL;

  return member && JSON_NODE_HOLDS_VALUE (member) ? json_node_get_string (member) : NULL;
}

static void
assert_outcome (const Fixture *f, const char *outcome)
{
  g_autoptr (JsonNode) status = status_of (f);
  g_autofree char *key = g_strdelimit (g_strdup (outcome), "-", '_');

  g_assert_cmpstr (latest (status, "outcome"), ==, outcome);
  g_assert_cmpstr (latest (status, "device"), ==, NIC);
  g_assert_cmpint (number (status, "outcomes", key), ==, 1);
}

static gboolean
is_holding (const Fixture *f)
{
  g_autoptr (JsonNode) status = status_of (f);

  return nth (status, "holding", 0) != NULL;
}

static void
run_until_holding (const Fixture *f, gboolean holding)
{
  while (is_holding (f) != holding)
    ;
}

static void
run_until_logged (void)
{
  while (fake_log_is_empty ())
    g_main_context_iteration (NULL, TRUE);
}

/* That of the latest change which was not spent on @without. */
static gint64
phases_but (JsonNode *status, const char *const *without)
{
  JsonObject *phases = json_object_get_object_member (nth (status, "changes", 0), "phases");
  g_autoptr (GList) names = json_object_get_members (phases);
  gint64 sum = 0;

  for (GList *i = names; i; i = i->next) {
    gint64 usec = json_object_get_int_member (phases, i->data);
    g_assert_cmpint (usec, >=, 0);
    sum += g_strv_contains (without, i->data) ? 0 : usec;
  }
  return sum;
}

static void
assert_phases_add_up (JsonNode *status)
{
  static const char *const kernel[] = {"module_us", "bind_us", "script_us", NULL}, *const none[] = {NULL};
  JsonObject *change = nth (status, "changes", 0);

  g_assert_cmpint (phases_but (status, none), ==, json_object_get_int_member (change, "held_us"));
  g_assert_cmpint (phases_but (status, kernel), ==, json_object_get_int_member (change, "own_us"));
}

/* --- a device there and back --- */

static void
test_detach (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  detach (f, libvirt);
  assert_driver (f, "special-vfio");
  assert_outcome (f, "detached");
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpstr (latest (status, "operation"), ==, "detach");
  g_assert_cmpstr (latest (status, "from"), ==, "mlx5_core");
  g_assert_cmpstr (latest (status, "to"), ==, "special-vfio");
  fake_assert_matches (latest (status, "why"), "vfio_pci:*, 3 wildcards, modules.alias");
  g_assert_cmpstr (latest (status, "failed"), ==, NULL);
  g_assert_cmpint (number (status, "opens", "held"), ==, 1);
  g_assert_cmpint (number (status, "held", "count"), ==, 1);
  g_assert_cmpint (number (status, "held", "max_us"), >=, number (status, "own", "max_us"));
  assert_phases_add_up (status);
  stop_and_assert_device (f, "special-vfio", "special-vfio");
}

static void
test_reattach (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  detach (f, libvirt);
  reattach (f, libvirt);
  assert_driver (f, "mlx5_core");
  g_assert_false (fake_exists (f->k, ENTRY));
  assert_outcome (f, "reattached");
  g_autoptr (JsonNode) status = status_of (f);
  assert_phases_add_up (status);
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static void
test_falls_back (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_errno = EIO;
  detach (f, libvirt);
  assert_outcome (f, "fell-back");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (latest (status, "failed"), "special_vfio_pci failed at bind (*Input/output error)");
  stop_and_assert_device (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
}

static void
test_left_alone (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  begin_to_move (f, libvirt, "pci-stub");
  actor_finish (libvirt);
  assert_outcome (f, "left-alone");
  stop_and_assert_device (f, NULL, "pci-stub");
}

static void
test_failed (void)
{
  static const char *const drivers[] = {"special-vfio", "mlx5_vfio_pci", "vfio-pci"};
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++)
    fake_driver (f->k, drivers[i])->probe_errno = EIO;
  detach (f, libvirt);
  assert_outcome (f, "failed");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (latest (status, "failed"), NIC ": no VFIO driver could be bound*");
  assert_phases_add_up (status);
  stop_and_assert_device (f, NULL, "vfio-pci");
}

/* A program of another version is held as long, and gets no more than it asked for. */
static void
test_unknown_libvirt (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  detach (f, libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "vfio-pci", "vfio-pci");
}

/* --- workers that die --- */

static void
test_worker_dies_when_it_has_touched (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_fault (f->k, FAKE_DIE_AFTER, WRITE_OVERRIDE, 0);
  detach (f, libvirt);
  fake_assert_logged (NIC ": the process that moved it died; libvirt goes its own way");
  assert_outcome (f, "crashed");
  g_autoptr (JsonNode) status = status_of (f);
  assert_has_its_schema (status);
  g_assert_cmpstr (latest (status, "failed"), ==, "the process that moved it died");
  stop_and_assert_device (f, NULL, "vfio-pci");
  fake_probe (f->k, NIC);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

/* The override of home is set and must not become vfio-pci. */
static void
test_worker_dies_on_the_way_home (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_write (f->k, OVERRIDE, "mlx5_core\n");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  fake_fault (f->k, FAKE_DIE_AFTER, 2, 0); /* its state is written, and the override */
  begin_to_move (f, libvirt, "(null)");
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0); /* only that of the first one is fatal */
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the process that moved it died; libvirt goes its own way");
  assert_driver (f, NULL);
  assert_outcome (f, "crashed");
  while (fake_exists (f->k, ENTRY)) /* what libvirt knows nothing of comes back, too */
    g_main_context_iteration (NULL, FALSE);
  stop_and_assert_device (f, "mlx5_core", "mlx5_core");
}

static void
test_worker_dies_before (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_fault (f->k, FAKE_DIE_BEFORE, STATE, 0);
  detach (f, libvirt);
  fake_assert_logged (NIC ": the process that moved it died; libvirt goes its own way");
  assert_outcome (f, "crashed");
  stop_and_assert_device (f, NULL, "vfio-pci");
}

static void
test_next_device_after_a_crash (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_fault (f->k, FAKE_DIE_AFTER, STATE, 0);
  detach (f, libvirt);
  fake_assert_logged (NIC ": the process that moved it died; libvirt goes its own way");
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  fake_link (f->k, "sys/bus/pci/devices/" NIC "/driver", "../../../../bus/pci/drivers/vfio-pci");
  detach (f, libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "special-vfio", "special-vfio");
}

/* --- a libvirt that dies --- */

static void
run_until_on (const Fixture *f, const char *driver)
{
  g_autofree char *is_on = NULL;

  do {
    g_main_context_iteration (NULL, FALSE);
    g_free (is_on);
    is_on = fake_driver_of (f->k, NIC);
  } while (g_strcmp0 (is_on, driver) != 0);
}

/* Between the unbind and drivers_probe: nobody else would give the device a driver again. */
static void
test_libvirt_dies_at_a_detach (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  actor_does (libvirt, "write %s/" OVERRIDE " vfio-pci", f->k->root);
  fake_unbind (f->k, NIC);
  actor_dies (libvirt);
  run_until_on (f, "mlx5_core");
  while (fake_exists (f->k, ENTRY)) /* by a process, which drops it last */
    g_main_context_iteration (NULL, FALSE);
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static void
test_libvirt_dies_on_the_way_home (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (LibvirtActor) next = new_libvirt (f);

  detach (f, libvirt);
  actor_does (libvirt, "write %s/" OVERRIDE " (null)", f->k->root);
  fake_unbind (f->k, NIC);
  actor_dies (libvirt);
  run_until_on (f, "mlx5_core");
  detach (f, next);
  assert_driver (f, "special-vfio");
  reattach (f, next);
  stop_and_assert_device (f, "mlx5_core", NULL);
}

/* --- those that take long --- */

static char *
new_fifo (const Fixture *f)
{
  char *path = below (f, "fifo");

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  return path;
}

/* A process that waits at the fifo goes on; so does one that comes later, until the last worker has ended:
 * one that has written the driver_override may have the bind still before it. */
static void
release (Fixture *f, const char *fifo)
{
  g_assert_cmpint (f->released, ==, 0);
  f->released = open (fifo, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (f->released, >, 0);
}

/* The daemon knows that the device was touched: what the worker said came before what is seen here. */
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

/* Returns: whether the deadline passed before the worker was there, on a machine that is too slow */
static gboolean
was_never_held (LibvirtActor *libvirt)
{
  if (!fake_was_logged (NIC ": the deadline has passed before its driver_override could be read: *"))
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
  if (was_never_held (libvirt))
    return FALSE;
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the deadline has passed before anything was done: libvirt goes its own way");
  assert_outcome (f, "deadline");
  g_autoptr (JsonNode) status = status_of (f);
  JsonObject *phases = json_object_get_object_member (nth (status, "changes", 0), "phases");
  g_assert_true (json_object_get_null_member (phases, "wait_us")); /* who knew them was killed */
  g_assert_true (json_object_get_null_member (phases, "reply_us"));
  stop_and_assert_device (f, NULL, "vfio-pci");
  return TRUE;
}

/* On a machine that is too slow the deadline is longer. */
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

/* Returns: FALSE when the deadline was too short for the worker to come to the probe */
static gboolean
is_late_in_the_kernel (guint deadline_ms)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->deadline_ms = deadline_ms;
  start (f);
  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  begin_to_move (f, libvirt, "vfio-pci");
  if (was_never_held (libvirt))
    return FALSE;
  run_until_logged ();
  if (fake_was_logged (NIC ": the deadline has passed before anything was done: *"))
    return FALSE;
  fake_assert_logged (NIC ": the deadline has passed, and the kernel still works on it: libvirt is let go *");
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

/* Returns: the worker that stands still; 0: libvirt was let go before it came so far */
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

/* Returns: FALSE when the deadline was too short for the worker to come to the step */
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
  if (was_never_held (libvirt))
    return FALSE;
  pid_t pid = run_until_stalled (libvirt);
  must_be_dead = untouched ? pid : 0;
  run_until_logged ();
  if (untouched || !pid) {
    fake_assert_logged (NIC ": the deadline has passed before anything was done: libvirt goes its own way");
    actor_finish (libvirt);
    stop_and_assert_device (f, NULL, "vfio-pci");
    return untouched && pid;
  }
  fake_assert_logged (NIC ": the deadline has passed, and the kernel still works on it: libvirt is let go *");
  g_assert_true (actor_is_waiting (libvirt));
  g_assert_cmpint (kill (pid, SIGCONT), ==, 0);
  actor_finish (libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "special-vfio", "special-vfio");
  return TRUE;
}

/* It stands still as long as it likes: an untouched device is let go at the deadline, a touched one is waited
 * for. */
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
  run_until_holding (f, TRUE);
  vv_service_stop (f->service, set_flag, &f->stopped);
  actor_finish (libvirt);
  stop_and_assert_device (f, NULL, "vfio-pci");
}

/* Whether libvirt came to drivers_probe before or after, nothing is begun for it. */
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

/* Returns: how often the main loop woke up, the end of the wait left out */
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

/* Another thread of libvirt, another device, drivers_probe, and whoever asks for the status: none of them
 * waits. */
static void
test_busy_device (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autofree char *class = fake_device_path (DISK, "class");
  g_autofree char *fifo = busy_device = new_fifo (f);

  fake_write (f->k, class, "0x010802\n");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (LibvirtActor) other = new_libvirt (f);
  begin_to_write_override (f, libvirt);
  run_for (100);
  actor_announces (other, f->k, DISK);
  actor_begins_to_probe (other, f->k);
  actor_finish (other);
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpint (number (status, "opens", "held"), ==, 1);
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
  fake_assert_logged (NIC ": the deadline has passed before its driver_override could be read: *");
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
  fake_assert_logged (NIC ": the process that reads its driver_override died; libvirt goes its own way");
  busy_device = NULL;
}

/* Any user may open driver_override for reading, as often as there are threads. A device that libvirt moves
 * meanwhile gets its driver, and nobody's open makes the daemon fork. */
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

/* But for the standard streams and directories, through which nobody is kept waiting; Returns: how many */
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

/* A worker has the other end of its own messages, and the fifo that it waits at. */
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

static G_GNUC_NORETURN void
be_daemon (Fixture *f, int ready)
{
  start (f);
  children_outlive = TRUE; /* but for its watchdog */
  if (write (ready, "", 1) == 1)
    for (;;)
      g_main_context_iteration (NULL, TRUE);
  _exit (1);
}

static pid_t
start_daemon (Fixture *f)
{
  int ready[2];
  char byte;

  g_assert_cmpint (pipe2 (ready, O_CLOEXEC), ==, 0);
  pid_t pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    be_daemon (f, ready[1]);
  close (ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  close (ready[0]);
  return pid;
}

/* The next daemon starts all the same. */
static void
test_worker_outlives_the_daemon (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  int status;

  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), ==, 0);
  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  pid_t daemon = start_daemon (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f); /* after the fork: the daemon would hear its words */
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
  run_until_holding (f, FALSE);
  assert_driver (f, "special-vfio");
  assert_outcome (f, "detached");
}

/* --- what is told --- */

static void
test_idle_status (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (JsonNode) status = status_of (f);

  assert_has_its_schema (status);
  g_assert_cmpstr (text (status, "gate"), ==, "on");
  g_assert_cmpstr (text (status, "monitor"), ==, "idle");
  g_assert_cmpstr (text (status, "version"), ==, VV_VERSION);
  g_assert_cmpint (number (status, NULL, "pid"), ==, getpid ());
  g_assert_cmpint (number (status, NULL, "devices"), ==, 1); /* the other has no class, as bridges */
  g_assert_cmpint (number (status, NULL, "deadline_ms"), ==, LONG_MS);
  g_assert_cmpint (number (status, "opens", "seen"), ==, 0);
  g_assert_null (nth (status, "holding", 0));
  g_assert_null (nth (status, "changes", 0));
}

static void
test_status_while_holding (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->load_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_holding (f, TRUE);
  g_autoptr (JsonNode) status = status_of (f);
  assert_has_its_schema (status);
  JsonObject *held = nth (status, "holding", 0);
  g_assert_cmpstr (json_object_get_string_member (held, "device"), ==, NIC);
  g_assert_cmpstr (json_object_get_string_member (held, "executable"), ==, "fake-libvirt");
  g_assert_cmpint (json_object_get_int_member (held, "pid"), ==, actor_pid (libvirt));
  release (f, fake_driver (f->k, "special-vfio")->load_fifo);
  actor_finish (libvirt);
  assert_outcome (f, "detached");
  g_autoptr (JsonNode) afterwards = status_of (f);
  assert_has_its_schema (afterwards);
}

/* Scripts can be wordy, and there can be many candidates: it is not taken for a crash. */
static void
test_much_that_failed (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autoptr (GString) aliases = g_string_new (NULL);
  g_autofree char *hook = below (f, VV_LIBVIRT_HOOKS_DIR "/nodedev");

  for (guint i = 0; i < 5; i++) {
    g_autofree char *name = g_strdup_printf ("wordy%u", i);
    fake_add_driver (f->k, name, name, NULL, TRUE);
    g_string_append_printf (aliases, "alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* %s\n", name);
  }
  fake_write (f->k, "lib/modules/" FAKE_RELEASE "/modules.alias", aliases->str);
  fake_write (f->k, VV_LIBVIRT_HOOKS_DIR "/nodedev",
              "#!/bin/sh\nhead -c 5000 /dev/zero | tr '\\0' w\nexit 1\n");
  g_assert_cmpint (g_chmod (hook, 0755), ==, 0);
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  assert_outcome (f, "failed");
  stop_and_assert_device (f, NULL, "vfio-pci");
}

static void
test_no_gate (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->no_gate = TRUE;
  start (f);
  g_assert_cmpstr (vv_service_gate_off (f->service), ==, "turned off by --no-gate");
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpstr (text (status, "gate"), ==, "off");
  g_assert_cmpstr (text (status, "reason"), ==, "turned off by --no-gate");
  g_assert_cmpint (number (status, NULL, "devices"), ==, 0);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL); /* it can be opened */
}

static void
test_gate_that_cannot_be (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_remove (f->k, "sys/bus/pci/drivers_probe");
  start (f);
  fake_assert_logged ("the gate is off, so hot plug gets what libvirt itself chooses: *drivers_probe*");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (text (status, "reason"), "*drivers_probe: fanotify_mark: No such file or directory");
}

/* --- metrics --- */

static void
test_metrics (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  detach (f, libvirt);
  g_assert_true (metrics_say (f, "daemon_up 1"));
  g_assert_true (metrics_say (f, "gate_on 1"));
  g_assert_true (metrics_say (f, "gate_opens_total{result=\"held\"} 1"));
  g_assert_true (metrics_say (f, "gate_outcomes_total{outcome=\"detached\"} 1"));
  g_assert_true (metrics_say (f, "gate_held_seconds_count 1"));
  /* The worker counts after its report. */
  while (!metrics_say (f, "changes_total{operation=\"detach\",driver=\"special-vfio\",outcome=\"done\"} 1"))
    ;
  g_assert_true (metrics_say (f, "change_duration_seconds_count{operation=\"detach\"} 1"));
}

/* A failure of the gate counts, too, with the candidates that failed. */
static void
test_failures_are_counted (void)
{
  static const char *const drivers[] = {"special-vfio", "mlx5_vfio_pci", "vfio-pci"};
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++)
    fake_driver (f->k, drivers[i])->probe_errno = EIO;
  detach (f, libvirt);
  while (!metrics_say (f, "changes_total{operation=\"detach\",driver=\"any\",outcome=\"failed\"} 1"))
    ;
  g_assert_true (metrics_say (f, "attempt_failures_total{step=\"bind\"} 3"));
}

/* --- its socket --- */

static void
test_socket_is_root_s (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *path = below (f, SOCKET);
  GStatBuf found;

  g_assert_cmpint (g_stat (path, &found), ==, 0);
  g_assert_cmpint (found.st_mode, ==, S_IFSOCK | 0600);
  stop (f);
  g_assert_false (fake_exists (f->k, SOCKET));
}

/* Returns: a socket at the place of the daemon's */
static int
bind_socket (const Fixture *f)
{
  g_autofree char *path = below (f, SOCKET);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  fake_mkdir (f->k, "run/vfio-variant");
  g_assert_cmpuint (g_strlcpy (address.sun_path, path, sizeof address.sun_path), <, sizeof address.sun_path);
  g_assert_cmpint (bind (fd, (const void *)&address, sizeof address), ==, 0);
  return fd;
}

/* A daemon that was killed has left it. */
static void
test_stale_socket (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  close (bind_socket (f));
  start (f);
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpstr (text (status, "gate"), ==, "on");
}

/* Only another process is another daemon: the lock is of the whole process. */
static void
test_second_daemon (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  int status;
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    g_autoptr (GError) error = NULL;
    g_assert_null (new_service (f, &error));
    fake_assert_error (error, VV_ERROR_REFUSED, "*/vfio-variantd.lock: another vfio-variantd is running");
    _exit (0);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_autoptr (JsonNode) told = status_of (f); /* the first one is none the worse for it */
  g_assert_cmpstr (text (told, "gate"), ==, "on");
}

/* Its socket and the file of its lock are there, and nobody has the lock. */
static void
test_daemon_was_killed (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  pid_t daemon = start_daemon (f);
  int status;

  kill (daemon, SIGKILL);
  g_assert_cmpint (waitpid (daemon, &status, 0), ==, daemon);
  g_assert_true (fake_exists (f->k, SOCKET));
  start (f);
  g_autoptr (JsonNode) told = status_of (f);
  g_assert_cmpint (number (told, NULL, "pid"), ==, getpid ());
}

/* Somebody listens, but it is no daemon: a child of one that is dead. */
static void
test_socket_without_a_daemon (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  int fd = bind_socket (f);

  g_assert_cmpint (listen (fd, 1), ==, 0);
  start (f);
  g_autoptr (JsonNode) told = status_of (f);
  g_assert_cmpint (number (told, NULL, "pid"), ==, getpid ());
  close (fd);
}

/* --- the policy --- */

static void
write_policy (const Fixture *f, const char *text)
{
  g_autofree char *policy = g_strdup_printf ("<vfio-variant>%s</vfio-variant>\n", text);

  fake_write (f->k, POLICY, policy);
}

static Fixture *
fixture_with_policy (const char *text)
{
  Fixture *f = fixture_without_service ();

  write_policy (f, text);
  start (f);
  return f;
}

static void
test_policy_decides (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("<device vendor='0x15b3' driver='mlx5_vfio_pci'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (latest (status, "why"), "*, 5 wildcards, *; policy */etc/libvirt/vfio-variant.xml:1");
}

/* libvirt is told that it may not, and the device is at home again with the driver_override that it had. */
static void
test_policy_refuses (void)
{
  g_autoptr (Fixture) f =
      fixture_with_policy ("<device vendor='0x15b3' driver='special_vfio_pci' fallback='none'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_errno = EIO;
  actor_does (libvirt, "write %s/" OVERRIDE " vfio-pci", f->k->root);
  fake_unbind (f->k, NIC);
  actor_does (libvirt, "refused %s/sys/bus/pci/drivers_probe", f->k->root);
  assert_driver (f, "mlx5_core");
  assert_outcome (f, "refused");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (latest (status, "failed"),
                       "policy */vfio-variant.xml:1 takes nothing else: *special_vfio_pci failed at bind*");
  g_assert_false (fake_exists (f->k, ENTRY));
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static void
test_policy_turns_the_gate_off_and_on (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("<gate enabled='no'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (JsonNode) off = status_of (f);

  g_assert_cmpstr (text (off, "gate"), ==, "off");
  fake_assert_matches (text (off, "reason"), "turned off by the policy; *");
  detach (f, libvirt);
  assert_driver (f, NULL); /* drivers_probe of the fake is only a file */
  fake_probe (f->k, NIC);
  write_policy (f, "");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) on = status_of (f);
  g_assert_cmpstr (text (on, "gate"), ==, "on");
  reattach (f, libvirt);
  detach (f, libvirt);
  assert_driver (f, "special-vfio");
  write_policy (f, "<gate enabled='no'/>");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) again = status_of (f);
  g_assert_cmpstr (text (again, "gate"), ==, "off");
}

/* Who is held when the gate is turned off gets what it waits for. */
static void
test_policy_turns_the_gate_off_while_holding (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_holding (f, TRUE);
  write_policy (f, "<gate enabled='no'/>");
  vv_service_reload (f->service);
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  actor_finish (libvirt);
  assert_driver (f, "special-vfio");
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpstr (text (status, "gate"), ==, "off");
}

static void
test_policy_sets (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->deadline_ms = 0;
  write_policy (f, "<gate deadline='7'/>");
  start (f);
  g_autoptr (JsonNode) first = status_of (f);
  g_assert_cmpint (number (first, NULL, "deadline_ms"), ==, 7000);
  write_policy (f, "<gate deadline='8'/>");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) second = status_of (f);
  g_assert_cmpint (number (second, NULL, "deadline_ms"), ==, 8000);
  write_policy (f, "");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) third = status_of (f);
  g_assert_cmpint (number (third, NULL, "deadline_ms"), ==, 30000);
}

/* Nothing of a broken file counts, and the gate goes on. */
static void
test_policy_is_broken (void)
{
  g_autoptr (Fixture) f =
      fixture_with_policy ("<device vendor='0x15b3' driver='mlx5_vfio_pci'/><gate dead='1'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_assert_logged ("policy: */etc/libvirt/vfio-variant.xml:1:*");
  detach (f, libvirt);
  assert_driver (f, "special-vfio");
}

/* What cannot be read may be as it was: a strict rule is not lost since a disk fails. At the start nothing is
 * known that could stay. */
static void
test_policy_cannot_be_read (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("<device vendor='0x15b3' driver='mlx5_vfio_pci'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (JsonNode) first = status_of (f);

  fake_remove (f->k, POLICY);
  fake_link (f->k, POLICY, "vfio-variant.xml"); /* to itself: ELOOP */
  vv_service_reload (f->service);
  fake_assert_logged ("the policy could not be read, so what was known of it stays: */" POLICY
                      ": Too many *");
  g_autoptr (JsonNode) second = status_of (f);
  g_assert_cmpint (number (first, NULL, "policy_read"), ==, number (second, NULL, "policy_read"));
  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
  reattach (f, libvirt);
  stop (f);
  start (f);
  fake_assert_logged ("policy: */" POLICY ": Too many *; nothing in it counts");
  detach (f, libvirt);
  assert_driver (f, "special-vfio");
}

/* --- the monitor --- */

/* It is started, and told to look, a little after libvirt was let go. */
static void
run_until_monitor_runs (const Fixture *f)
{
  for (;;) {
    g_autoptr (JsonNode) status = status_of (f);
    if (g_strcmp0 (text (status, "monitor"), "running") == 0)
      return;
    g_main_context_iteration (NULL, TRUE);
  }
}

static void
run_until_monitor_looks (const Fixture *f)
{
  for (;;) {
    g_autofree char *heard = fake_exists (f->k, "monitor-heard") ? fake_read (f->k, "monitor-heard") : NULL;
    if (g_strcmp0 (heard, "hfl") == 0)
      return;
    g_main_context_iteration (NULL, FALSE);
  }
}

static void
test_monitor_hears (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  detach (f, libvirt);
  run_until_monitor_runs (f);
  reattach (f, libvirt);
  run_until_monitor_looks (f);
}

static void
test_monitor_is_missing (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_remove (f->k, "monitor");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  run_until_logged ();
  fake_assert_logged ("the libvirt client cannot be started: *; which domain has a device is not known*");
  reattach (f, libvirt);
  fake_assert_log_empty (); /* said once */
  write_monitor (f->k, "echo >monitor-heard; exec cat >monitor-orders");
  detach (f, libvirt);
  while (!fake_exists (f->k, "monitor-heard"))
    g_main_context_iteration (NULL, FALSE);
  reattach (f, libvirt);
  assert_driver (f, "mlx5_core");
}

/* What a real one does in a call to libvirt: it does not read. */
static void
test_monitor_is_in_a_call (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  gint64 begin;

  write_monitor (f->k, "echo >monitor-heard; exec sleep 1000");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  while (!fake_exists (f->k, "monitor-heard"))
    g_main_context_iteration (NULL, FALSE);
  begin = g_get_monotonic_time ();
  stop (f);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 500 * G_TIME_SPAN_SECOND);
}

/* ... and while it moves a device: the signal waits, and the daemon waits for it. */
static void
test_monitor_is_in_a_move (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  write_monitor (f->k,
                 "trap '' TERM; echo >monitor-heard; cat >monitor-orders; sleep 1; echo >monitor-moved");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  while (!fake_exists (f->k, "monitor-heard"))
    g_main_context_iteration (NULL, FALSE);
  stop (f);
  g_assert_true (fake_exists (f->k, "monitor-moved"));
}

/* --- the context --- */

/* modprobe.d is edited in place, which is not noticed by itself. */
static void
test_reload (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_write (f->k, "etc/modprobe.d/a.conf", "\n");
  start (f);
  fake_write (f->k, "etc/modprobe.d/a.conf", "blacklist special_vfio_pci\n");
  vv_service_reload (f->service);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
}

/* A new file is. */
static void
test_new_configuration (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_write (f->k, "etc/modprobe.d/b.conf", "blacklist special_vfio_pci\n");
  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
}

static void
test_former_daemon_is_mended (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_unbind (f->k, NIC);
  fake_write (f->k, ENTRY,
              "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS
              "\nstate=reattaching\nhome-known=true\nhome-driver=mlx5_core\nhome-module=mlx5_core\n");
  start (f);
  while (fake_exists (f->k, ENTRY))
    g_main_context_iteration (NULL, FALSE);
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static void
device_event (const char *address, VvUevent what, gpointer data)
{
  (void)address, (void)what, (void)data;
}

static void
test_uevents (void)
{
  g_autoptr (GError) error = NULL;
  VvUevents *uevents = vv_uevents_new (device_event, NULL, &error);

  g_assert_no_error (error);
  vv_uevents_free (uevents);
  vv_uevents_free (NULL);
}

/* Whether there can be a gate here at all: not in a container, not as anybody else than root. */
static char *
why_not (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autoptr (GError) error = NULL;

  f->service = new_service (f, &error);
  if (!f->service)
    return g_strdup (error->message);
  char *why = g_strdup (vv_service_gate_off (f->service));
  if (why)
    fake_assert_logged ("the gate is off*");
  return why;
}

static void
skip (gconstpointer reason)
{
  g_test_skip (reason);
}

static const struct {
  const char *path;
  GTestFunc func;
} tests[] = {
    {"/service/detach", test_detach},
    {"/service/reattach", test_reattach},
    {"/service/falls-back", test_falls_back},
    {"/service/left-alone", test_left_alone},
    {"/service/failed", test_failed},
    {"/service/unknown-libvirt", test_unknown_libvirt},
    {"/service/worker-dies/when-it-has-touched", test_worker_dies_when_it_has_touched},
    {"/service/worker-dies/on-the-way-home", test_worker_dies_on_the_way_home},
    {"/service/worker-dies/before", test_worker_dies_before},
    {"/service/worker-dies/the-next-device", test_next_device_after_a_crash},
    {"/service/libvirt-dies/at-a-detach", test_libvirt_dies_at_a_detach},
    {"/service/libvirt-dies/on-the-way-home", test_libvirt_dies_on_the_way_home},
    {"/service/deadline/before-anything-is-done", test_deadline_before_anything_is_done},
    {"/service/deadline/in-the-kernel", test_deadline_in_the_kernel},
    {"/service/deadline/stalled-at-every-step", test_worker_stalls_at_every_step},
    {"/service/stopped/before-anything-is-done", test_stopped_before_anything_is_done},
    {"/service/stopped/as-it-comes", test_stopped_as_it_comes},
    {"/service/stopped/in-the-kernel", test_stopped_in_the_kernel},
    {"/service/busy-device/others-pass", test_busy_device},
    {"/service/busy-device/beyond-the-deadline", test_busy_device_beyond_the_deadline},
    {"/service/busy-device/reader-dies", test_reader_of_a_busy_device_dies},
    {"/service/flood", test_flood},
    {"/service/worker/keeps-nothing-of-the-daemon", test_worker_keeps_nothing},
    {"/service/worker/outlives-the-daemon", test_worker_outlives_the_daemon},
    {"/service/libvirt-dies-meanwhile", test_libvirt_dies_meanwhile},
    {"/service/status/idle", test_idle_status},
    {"/service/status/while-holding", test_status_while_holding},
    {"/service/status/much-that-failed", test_much_that_failed},
    {"/service/status/no-gate", test_no_gate},
    {"/service/status/a-gate-that-cannot-be", test_gate_that_cannot_be},
    {"/service/metrics/counts", test_metrics},
    {"/service/metrics/counts-failures", test_failures_are_counted},
    {"/service/socket/is-root-s", test_socket_is_root_s},
    {"/service/socket/stale", test_stale_socket},
    {"/service/socket/second-daemon", test_second_daemon},
    {"/service/socket/daemon-was-killed", test_daemon_was_killed},
    {"/service/socket/without-a-daemon", test_socket_without_a_daemon},
    {"/service/policy/decides", test_policy_decides},
    {"/service/policy/refuses", test_policy_refuses},
    {"/service/policy/turns-the-gate-off-and-on", test_policy_turns_the_gate_off_and_on},
    {"/service/policy/turns-the-gate-off-while-holding", test_policy_turns_the_gate_off_while_holding},
    {"/service/policy/sets", test_policy_sets},
    {"/service/policy/is-broken", test_policy_is_broken},
    {"/service/policy/cannot-be-read", test_policy_cannot_be_read},
    {"/service/monitor/hears", test_monitor_hears},
    {"/service/monitor/is-in-a-call", test_monitor_is_in_a_call},
    {"/service/monitor/is-in-a-move", test_monitor_is_in_a_move},
    {"/service/monitor/is-missing", test_monitor_is_missing},
    {"/service/reload", test_reload},
    {"/service/new-configuration", test_new_configuration},
    {"/service/a-former-daemon-is-mended", test_former_daemon_is_mended},
    {"/service/uevents", test_uevents},
};

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  fake_ignore_debug ();
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR); /* that a worker died is critical */
  g_autofree char *reason = why_not ();
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    if (reason)
      g_test_add_data_func (tests[i].path, reason, skip);
    else
      g_test_add_func (tests[i].path, tests[i].func);
  return g_test_run ();
}
