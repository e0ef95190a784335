/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * service-bench: measures a whole rebind without the kernel's part: the daemon's service with gate, watchdog
 * and workers, on the fake kernel of the unit tests with real fanotify.
 *
 * A program in the role of libvirt moves a device to VFIO and back to its host driver many times. A write to
 * the fake sysfs takes far longer than a system call. As in the daemon, it is not part of the daemon's own
 * time. There are two kinds of rounds: with an unbind that takes some time, during which the worker starts,
 * and with an unbind that takes no time ("quick"), which is the worst case. The order of both changes from
 * block to block. Prints lines "NAME BLOCK VALUE" for report.py. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "phase-timer.h"
#include "fake-kernel.h"
#include "service.h"

#define BLOCKS 10
#define MOVES 16 /* as many as the daemon records */
#define LIBVIRT "bench-libvirt"
#define UNBIND_USEC 5000              /* a network driver's remove() takes some milliseconds */
#define LIBRARY "libvirt.so.0.9000.0" /* with this version, the gate selects the driver */

/* --- the role of libvirt: another program --- */

static double
now_usec (void)
{
  return (double)g_get_monotonic_time ();
}

static void
put (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  if (fd < 0 || ftruncate (fd, 0) < 0 || write (fd, text, strlen (text)) < 0)
    g_error ("%s: %s", path, g_strerror (errno));
  close (fd);
}

/* Changes the tree as the kernel does when a device loses its driver */
static void
unbind (const FakeKernel *k)
{
  static const char *const gone[] = {"sys/class/vfio-dev/vfio" NIC_GROUP, "sys/class/vfio/" NIC_GROUP};
  g_autofree char *driver = fake_driver_of (k, NIC);
  g_autofree char *back = g_build_filename ("sys/bus/pci/drivers", driver, NIC, NULL);
  g_autofree char *link = fake_device_path (NIC, "driver");
  g_autofree char *vfio_dev = fake_device_path (NIC, "vfio-dev");

  fake_remove (k, back);
  fake_remove (k, link);
  fake_remove (k, vfio_dev);
  for (gsize i = 0; i < G_N_ELEMENTS (gone); i++)
    fake_remove (k, gone[i]);
}

/* Uses libvirt's order of writes. @bench: the name of the figures, and the number of their block */
static void
move (const FakeKernel *k, const char *override, const char *what, char **bench)
{
  g_autofree char *override_path =
      g_build_filename (k->root, "sys/bus/pci/devices", NIC, "driver_override", NULL);
  g_autofree char *probe = g_build_filename (k->root, "sys/bus/pci/drivers_probe", NULL);

  put (override_path, override);
  unbind (k);
  if (strcmp (bench[0], "service") == 0)
    g_usleep (UNBIND_USEC);
  double probed = now_usec ();
  put (probe, NIC);
  printf ("%s.probe.%s %s %.0f\n", bench[0], what, bench[1], now_usec () - probed);
  g_autofree char *driver = fake_driver_of (k, NIC);
  if (g_strcmp0 (driver, strcmp (what, "detach") == 0 ? "special-vfio" : "mlx5_core") != 0)
    g_error ("%s: it is on %s", what, driver ? driver : "no driver");
  g_usleep (20000); /* for the work after a rebind, mainly the end of the worker */
}

static int
be_libvirt (const char *root, char **bench)
{
  FakeKernel k = {.root = (char *)root};
  g_autofree char *library = g_build_filename (root, LIBRARY, NULL);
  int fd = open (library, O_RDONLY | O_CLOEXEC);

  if (fd < 0 || mmap (NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
    return 1;
  for (guint i = 0; i < MOVES / 2; i++) {
    move (&k, "vfio-pci", "detach", bench);
    move (&k, "(null)\n", "reattach", bench);
  }
  return 0;
}

/* --- the host --- */

static void
write_device_file (const FakeKernel *k, const char *file, const char *text)
{
  g_autofree char *path = fake_device_path (NIC, file);

  fake_write (k, path, text);
}

static FakeKernel *
new_host (void)
{
  FakeKernel *k = fake_standard ();
  g_autofree char *proc = g_build_filename (k->root, "proc", NULL);
  g_autofree char *libvirt = g_build_filename (k->root, LIBVIRT, NULL);
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);

  write_device_file (k, "class", "0x020000\n");
  write_device_file (k, "reset_method", "flr\n");
  fake_write (k, LIBRARY, "no library\n");
  fake_register (k, "special-vfio");
  fake_remove (k, "proc");
  g_assert_cmpint (symlink ("/proc", proc), ==, 0);
  const char *const copy[] = {"cp", self, libvirt, NULL};
  g_assert_true (
      g_spawn_sync (NULL, (char **)copy, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  return k;
}

/* --- the daemon --- */

static gboolean
output_closed (int fd, GIOCondition condition, gpointer data)
{
  char buffer[4096];
  ssize_t n = read (fd, buffer, sizeof buffer);

  (void)condition;
  if (n > 0) {
    fwrite (buffer, 1, n, stdout);
    return G_SOURCE_CONTINUE;
  }
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static void
run_libvirt (const FakeKernel *k, const char *name, const char *block)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autofree char *libvirt = g_build_filename (k->root, LIBVIRT, NULL);
  const char *const argv[] = {libvirt, k->root, name, block, NULL};
  g_autoptr (GError) error = NULL;
  GPid pid;
  int fd, status = 0;

  if (!g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL,
                                 &fd, NULL, &error))
    g_error ("%s", error->message);
  g_unix_fd_add (fd, G_IO_IN | G_IO_HUP, output_closed, loop);
  g_main_loop_run (loop);
  close (fd);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  while (waitpid (-1, NULL, WNOHANG) > 0) /* workers */
    ;
}

/* The daemon answers each connection at once, on this main loop. */
static JsonNode *
ask_status (const FakeKernel *k)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[65536];
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_autoptr (GError) error = NULL;
  gsize length = 0;
  ssize_t n;

  g_snprintf (address.sun_path, sizeof address.sun_path, "%s/run/vfio-variant/vfio-variantd.sock", k->root);
  g_assert_cmpint (connect (fd, (const void *)&address, sizeof address), ==, 0);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  while ((n = read (fd, text + length, sizeof text - 1 - length)) > 0)
    length += n;
  close (fd);
  text[length] = '\0';
  JsonNode *status = json_from_string (text, &error);
  g_assert_no_error (error);
  return status;
}

static void
print_change (JsonArray *changes, guint i, JsonNode *node, gpointer data)
{
  JsonObject *change = json_node_get_object (node);
  JsonObject *phases = json_object_get_object_member (change, "phases");
  const char *operation = json_object_get_string_member (change, "operation");
  char **bench = data;

  (void)changes;
  (void)i;
  for (gsize k = 0; k < 2; k++) {
    const char *key = k ? "own_us" : "blocked_us";
    printf ("%s.%s.%s %s %" G_GINT64_FORMAT "\n", bench[0], k ? "own" : "blocked", operation, bench[1],
            json_object_get_int_member (change, key));
  }
  for (guint phase = 0; phase < VV_PHASES; phase++) {
    g_autofree char *name = g_strndup (vv_phase_keys[phase], strlen (vv_phase_keys[phase]) - strlen ("-us"));
    g_autofree char *key = g_strconcat (name, "_us", NULL);
    printf ("%s.phase.%s.%s %s %" G_GINT64_FORMAT "\n", bench[0], name, operation, bench[1],
            json_object_get_int_member (phases, key));
  }
}

static void
print_changes (const FakeKernel *k, const char *name, const char *block)
{
  g_autoptr (JsonNode) status = ask_status (k);
  JsonArray *changes = json_object_get_array_member (json_node_get_object (status), "changes");
  const char *bench[] = {name, block};

  g_assert_cmpuint (json_array_get_length (changes), ==, MOVES);
  json_array_foreach_element (changes, print_change, bench);
}

static GLogWriterOutput
drop_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  return level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL) ? g_log_writer_default (level, fields, n, data)
                                                            : G_LOG_WRITER_HANDLED;
}

static void
run (FakeKernel *k)
{
  static char libvirt[] = LIBVIRT;
  char *executables[] = {libvirt, NULL};
  const VvServiceOptions options = {k->root, executables, 30000, FALSE, "/bin/true"};
  g_autoptr (GError) error = NULL;
  g_autoptr (VvService) service = vv_service_new (&options, &error);

  if (!service)
    g_error ("%s", error->message);
  if (vv_service_gate_off (service))
    g_error ("%s", vv_service_gate_off (service));
  for (guint i = 0; i < 2 * BLOCKS; i++) {
    g_autofree char *block = g_strdup_printf ("%u", i / 2);
    const char *name = (i + i / 2) % 2 ? "service-quick" : "service";
    run_libvirt (k, name, block);
    print_changes (k, name, block);
  }
}

int
main (int argc, char **argv)
{
  if (argc == 4)
    return be_libvirt (argv[1], argv + 2);
  g_log_set_writer_func (drop_log, NULL, NULL);
  signal (SIGPIPE, SIG_IGN);
  g_autoptr (FakeKernel) k = new_host ();
  run (k);
  return 0;
}
