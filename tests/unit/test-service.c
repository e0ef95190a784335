/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of the whole daemon: detach and reattach, workers and libvirt processes that die, its status, and its
 * socket.
 */
#include "service-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "udev.h"

#define SOCKET "run/vfio-variant/vfio-variantd.sock"

/* @line: without "vfio_variant_" */
static gboolean
metrics_say (const Fixture *f, const char *line)
{
  g_autofree char *text = command_says (f, "metrics", "--format=openmetrics");
  g_autofree char *whole = g_strdup_printf ("\nvfio_variant_%s\n", line);

  return strstr (text, whole) != NULL;
}

/* Validates the status by its schema, if jsonschema is installed. */
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

/* Returns: the duration of the last rebind without the phases @without */
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

  g_assert_cmpint (phases_but (status, none), ==, json_object_get_int_member (change, "blocked_us"));
  g_assert_cmpint (phases_but (status, kernel), ==, json_object_get_int_member (change, "own_us"));
}

/* --- detach and reattach --- */

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
  g_assert_cmpint (number (status, "opens", "blocked"), ==, 1);
  g_assert_cmpint (number (status, "blocked", "count"), ==, 1);
  g_assert_cmpint (number (status, "blocked", "max_us"), >=, number (status, "own", "max_us"));
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

/* The candidates fail in order, beginning with the best. A failed request counts, too. */
static void
test_candidates_fail (void)
{
  static const char *const drivers[] = {"special-vfio", "mlx5_vfio_pci", "vfio-pci"};
  static const struct {
    guint failing;
    const char *outcome, *failed, *driver, *override, *counted, *attempts;
  } cases[] = {
      {1, "fell-back", "special_vfio_pci failed at bind (*Input/output error)", "mlx5_vfio_pci",
       "mlx5_vfio_pci",
       "changes_total{operation=\"detach\",driver=\"mlx5_vfio_pci\",outcome=\"fell-back\"} 1",
       "attempt_failures_total{step=\"bind\"} 1"},
      {3, "failed", NIC ": no VFIO driver could be bound*", NULL, "vfio-pci",
       "changes_total{operation=\"detach\",driver=\"any\",outcome=\"failed\"} 1",
       "attempt_failures_total{step=\"bind\"} 3"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].outcome);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
    for (guint n = 0; n < cases[i].failing; n++)
      fake_driver (f->k, drivers[n])->probe_errno = EIO;
    detach (f, libvirt);
    assert_outcome (f, cases[i].outcome);
    g_autoptr (JsonNode) status = status_of (f);
    fake_assert_matches (latest (status, "failed"), cases[i].failed);
    assert_phases_add_up (status);
    while (!metrics_say (f, cases[i].counted)) /* workers count after the report */
      ;
    g_assert_true (metrics_say (f, cases[i].attempts));
    stop_and_assert_device (f, cases[i].driver, cases[i].override);
  }
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

/* A libvirt of unknown version is blocked as well, but gets the driver that it wrote. */
static void
test_unknown_libvirt (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = actor_new (FAKE_LIBVIRT);

  detach (f, libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "vfio-pci", "vfio-pci");
}

/* --- dead workers --- */

static void
test_worker_dies_when_it_has_touched (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_fault (f->k, FAKE_DIE_AFTER, WRITE_OVERRIDE, 0);
  detach (f, libvirt);
  fake_assert_logged (NIC ": the process that moved it died; libvirt continues without it");
  assert_outcome (f, "crashed");
  g_autoptr (JsonNode) status = status_of (f);
  assert_has_its_schema (status);
  g_assert_cmpstr (latest (status, "failed"), ==, "the process that moved it died");
  stop_and_assert_device (f, NULL, "vfio-pci");
  fake_probe (f->k, NIC);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

/* The host driver's override is set, and must not become vfio-pci. */
static void
test_worker_dies_during_reattach (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_write (f->k, OVERRIDE, "mlx5_core\n");
  start (f);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  fake_fault (f->k, FAKE_DIE_AFTER, 2, 0); /* state file and override are written */
  begin_to_move (f, libvirt, "(null)");
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0); /* only the first worker dies */
  actor_finish (libvirt);
  fake_assert_logged (NIC ": the process that moved it died; libvirt continues without it");
  assert_driver (f, NULL);
  assert_outcome (f, "crashed");
  while (fake_exists (f->k, ENTRY)) /* restores the override, too */
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
  fake_assert_logged (NIC ": the process that moved it died; libvirt continues without it");
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
  fake_assert_logged (NIC ": the process that moved it died; libvirt continues without it");
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  fake_link (f->k, "sys/bus/pci/devices/" NIC "/driver", "../../../../bus/pci/drivers/vfio-pci");
  detach (f, libvirt);
  assert_outcome (f, "detached");
  stop_and_assert_device (f, "special-vfio", "special-vfio");
}

/* --- dead libvirt processes --- */

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

/* Between the unbind and drivers_probe: without us, the device would stay without a driver. */
static void
test_libvirt_dies_at_a_detach (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  actor_does (libvirt, "write %s/" OVERRIDE " vfio-pci", f->k->root);
  fake_unbind (f->k, NIC);
  actor_dies (libvirt);
  run_until_on (f, "mlx5_core");
  while (fake_exists (f->k, ENTRY)) /* the restoring process drops it last */
    g_main_context_iteration (NULL, FALSE);
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static void
test_libvirt_dies_during_reattach (void)
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

/* --- status --- */

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
  g_assert_cmpint (number (status, NULL, "devices"), ==, 1); /* DISK has no class, like bridges */
  g_assert_cmpint (number (status, NULL, "deadline_ms"), ==, LONG_MS);
  g_assert_cmpint (number (status, "opens", "seen"), ==, 0);
  g_assert_null (nth (status, "blocking", 0));
  g_assert_null (nth (status, "changes", 0));
}

static void
test_status_while_blocking (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->load_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_blocking (f, TRUE);
  g_autoptr (JsonNode) status = status_of (f);
  assert_has_its_schema (status);
  JsonObject *blocked = nth (status, "blocking", 0);
  g_assert_cmpstr (json_object_get_string_member (blocked, "device"), ==, NIC);
  g_assert_cmpstr (json_object_get_string_member (blocked, "executable"), ==, "fake-libvirt");
  g_assert_cmpint (json_object_get_int_member (blocked, "pid"), ==, actor_pid (libvirt));
  release (f, fake_driver (f->k, "special-vfio")->load_fifo);
  actor_finish (libvirt);
  assert_outcome (f, "detached");
  g_autoptr (JsonNode) afterwards = status_of (f);
  assert_has_its_schema (afterwards);
}

/* A long report, with wordy scripts and many candidates, is not mistaken for a crash. */
static void
test_much_that_failed (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();
  g_autoptr (GString) aliases = g_string_new (NULL);

  for (guint i = 0; i < 5; i++) {
    g_autofree char *name = g_strdup_printf ("wordy%u", i);
    fake_add_driver (f->k, name, name, NULL, TRUE);
    g_string_append_printf (aliases, "alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* %s\n", name);
  }
  fake_write (f->k, "lib/modules/" FAKE_RELEASE "/modules.alias", aliases->str);
  fake_script (f->k, VV_LIBVIRT_HOOKS_DIR "/nodedev", "head -c 5000 /dev/zero | tr '\\0' w\nexit 1");
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
  fake_assert_device (f->k, NIC, "mlx5_core", NULL); /* opening does not block */
}

static void
test_gate_that_cannot_be (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_remove (f->k, "sys/bus/pci/drivers_probe");
  start (f);
  fake_assert_logged ("the gate is off, so hot plug uses the driver that libvirt chooses: *drivers_probe*");
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
  g_assert_true (metrics_say (f, "gate_opens_total{result=\"blocked\"} 1"));
  g_assert_true (metrics_say (f, "gate_outcomes_total{outcome=\"detached\"} 1"));
  g_assert_true (metrics_say (f, "gate_blocked_seconds_count 1"));
  /* The worker updates the counters after its report. */
  while (!metrics_say (f, "changes_total{operation=\"detach\",driver=\"special-vfio\",outcome=\"done\"} 1"))
    ;
  g_assert_true (metrics_say (f, "change_duration_seconds_count{operation=\"detach\"} 1"));
}

/* --- socket --- */

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

/* Returns: a socket bound to the path of the daemon's */
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

/* A killed daemon left its socket file. */
static void
test_stale_socket (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  close (bind_socket (f));
  start (f);
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpstr (text (status, "gate"), ==, "on");
}

/* The lock belongs to the process, so the second daemon needs a process of its own. */
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
  g_autoptr (JsonNode) told = status_of (f); /* the first daemon is unaffected */
  g_assert_cmpstr (text (told, "gate"), ==, "on");
}

/* The socket and the lock file exist, but no process holds the lock. */
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

/* A process listens, but is not a daemon: a child of a dead one. */
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

/* --- monitor --- */

/* The daemon starts the monitor, and sends it an order, shortly after it released libvirt. */
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
  fake_assert_logged ("cannot start the libvirt client: *; which domain uses a device is unknown*");
  reattach (f, libvirt);
  fake_assert_log_empty (); /* logged once */
  write_monitor (f->k, "echo >monitor-heard; exec cat >monitor-orders");
  detach (f, libvirt);
  while (!fake_exists (f->k, "monitor-heard"))
    g_main_context_iteration (NULL, FALSE);
  reattach (f, libvirt);
  assert_driver (f, "mlx5_core");
}

/* During a call to libvirt, the monitor does not read its input. */
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

/* The monitor blocks the signal during a rebind, and the daemon waits for it. */
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

static const FakeTest tests[] = {
    {"/service/detach", test_detach},
    {"/service/reattach", test_reattach},
    {"/service/candidates-fail", test_candidates_fail},
    {"/service/left-alone", test_left_alone},
    {"/service/unknown-libvirt", test_unknown_libvirt},
    {"/service/worker-dies/when-it-has-touched", test_worker_dies_when_it_has_touched},
    {"/service/worker-dies/during-reattach", test_worker_dies_during_reattach},
    {"/service/worker-dies/before", test_worker_dies_before},
    {"/service/worker-dies/the-next-device", test_next_device_after_a_crash},
    {"/service/libvirt-dies/at-a-detach", test_libvirt_dies_at_a_detach},
    {"/service/libvirt-dies/during-reattach", test_libvirt_dies_during_reattach},
    {"/service/status/idle", test_idle_status},
    {"/service/status/while-blocking", test_status_while_blocking},
    {"/service/status/much-that-failed", test_much_that_failed},
    {"/service/status/no-gate", test_no_gate},
    {"/service/status/a-gate-that-cannot-be", test_gate_that_cannot_be},
    {"/service/metrics/counts", test_metrics},
    {"/service/socket/is-root-s", test_socket_is_root_s},
    {"/service/socket/stale", test_stale_socket},
    {"/service/socket/second-daemon", test_second_daemon},
    {"/service/socket/daemon-was-killed", test_daemon_was_killed},
    {"/service/socket/without-a-daemon", test_socket_without_a_daemon},
    {"/service/monitor/hears", test_monitor_hears},
    {"/service/monitor/is-in-a-call", test_monitor_is_in_a_call},
    {"/service/monitor/is-in-a-move", test_monitor_is_in_a_move},
    {"/service/monitor/is-missing", test_monitor_is_missing},
    {"/service/uevents", test_uevents},
};

int
main (int argc, char **argv)
{
  return service_main (argc, argv, tests, G_N_ELEMENTS (tests));
}
