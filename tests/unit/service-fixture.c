/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service-fixture.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIBRARY "usr/lib/libvirt.so.0.9000.0"

char *
below (const Fixture *f, const char *path)
{
  return g_build_filename (f->k->root, path, NULL);
}

/* --- children that cannot be killed --- */

static gboolean children_outlive; /* the daemon, like a process in uninterruptible sleep */

int __real_prctl (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);

int
__wrap_prctl (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
  return children_outlive && option == PR_SET_PDEATHSIG ? 0 : __real_prctl (option, a, b, c, d);
}

/* --- the daemon --- */

void
write_monitor (const FakeKernel *k, const char *script)
{
  g_autofree char *text = g_strdup_printf ("cd %s\n%s", k->root, script);

  fake_script (k, "monitor", text);
}

Fixture *
fixture_without_service (void)
{
  Fixture *f = g_new0 (Fixture, 1);

  f->k = fake_standard ();
  f->deadline_ms = LONG_MS;
  fake_write_device (f->k, NIC, "class", "0x020000\n");
  fake_write_device (f->k, NIC, "reset_method", "flr\n");
  fake_write (f->k, LIBRARY, "library");
  write_monitor (f->k, "exec cat >monitor-heard"); /* reads its orders until end of file */
  fake_remove (f->k, "proc");
  fake_link (f->k, "proc", "/proc");
  return f;
}

VvService *
new_service (const Fixture *f, GError **error)
{
  char *programs[] = {(char *)"fake-libvirt", NULL};
  g_autofree char *monitor = below (f, "monitor");
  const VvServiceOptions options = {f->k->root, programs, f->deadline_ms, f->no_gate, monitor};

  return vv_service_new (&options, error);
}

void
start (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  f->service = new_service (f, &error);
  g_assert_no_error (error);
}

Fixture *
fixture_new (void)
{
  Fixture *f = fixture_without_service ();

  start (f);
  return f;
}

void
set_flag (gpointer flag)
{
  *(gboolean *)flag = TRUE;
}

void
stop (Fixture *f)
{
  vv_service_stop (f->service, set_flag, &f->stopped);
  while (!f->stopped)
    vv_service_reaped (f->service, waitpid (-1, NULL, 0));
  g_clear_pointer (&f->service, vv_service_free);
}

void
fixture_free (Fixture *f)
{
  if (f->service)
    stop (f);
  while (waitpid (-1, NULL, 0) > 0) /* workers that still update the counters */
    ;
  if (f->released)
    close (f->released);
  fake_free (f->k);
  g_free (f);
}

void
stop_and_assert_device (Fixture *f, const char *driver, const char *override)
{
  stop (f);
  fake_assert_device (f->k, NIC, driver, override);
}

/* --- libvirt --- */

LibvirtActor *
new_libvirt (const Fixture *f)
{
  LibvirtActor *libvirt = actor_new (FAKE_LIBVIRT);

  actor_does (libvirt, "map %s/" LIBRARY, f->k->root);
  return libvirt;
}

void
begin_to_move (const Fixture *f, LibvirtActor *libvirt, const char *override)
{
  actor_does (libvirt, "write %s/" OVERRIDE " %s", f->k->root, override);
  fake_unbind (f->k, NIC);
  actor_begins_to_probe (libvirt, f->k);
}

void
detach (const Fixture *f, LibvirtActor *libvirt)
{
  begin_to_move (f, libvirt, "vfio-pci");
  actor_finish (libvirt);
}

void
reattach (const Fixture *f, LibvirtActor *libvirt)
{
  begin_to_move (f, libvirt, "(null)");
  actor_finish (libvirt);
}

void
assert_driver (const Fixture *f, const char *driver)
{
  g_autofree char *is_on = fake_driver_of (f->k, NIC);

  g_assert_cmpstr (is_on, ==, driver);
}

/* --- status --- */

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

char *
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

JsonNode *
status_of (const Fixture *f)
{
  g_autofree char *text = command_says (f, "status", "--json");
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (text, &error);

  g_assert_no_error (error);
  g_assert_true (json_object_get_boolean_member (json_node_get_object (node), "running"));
  return node;
}

gint64
number (JsonNode *status, const char *group, const char *key)
{
  JsonObject *top = json_node_get_object (status);

  return json_object_get_int_member (group ? json_object_get_object_member (top, group) : top, key);
}

const char *
text (JsonNode *status, const char *key)
{
  JsonNode *member = json_object_get_member (json_node_get_object (status), key);

  return JSON_NODE_HOLDS_VALUE (member) ? json_node_get_string (member) : NULL;
}

JsonObject *
nth (JsonNode *status, const char *array, guint n)
{
  JsonArray *all = json_object_get_array_member (json_node_get_object (status), array);

  return n < json_array_get_length (all) ? json_array_get_object_element (all, n) : NULL;
}

const char *
latest (JsonNode *status, const char *key)
{
  JsonObject *change = nth (status, "changes", 0);
  JsonNode *member = change ? json_object_get_member (change, key) : NULL;

  return member && JSON_NODE_HOLDS_VALUE (member) ? json_node_get_string (member) : NULL;
}

void
assert_outcome (const Fixture *f, const char *outcome)
{
  g_autoptr (JsonNode) status = status_of (f);
  g_autofree char *key = g_strdelimit (g_strdup (outcome), "-", '_');

  g_assert_cmpstr (latest (status, "outcome"), ==, outcome);
  g_assert_cmpstr (latest (status, "device"), ==, NIC);
  g_assert_cmpint (number (status, "outcomes", key), ==, 1);
}

static gboolean
is_blocking (const Fixture *f)
{
  g_autoptr (JsonNode) status = status_of (f);

  return nth (status, "blocking", 0) != NULL;
}

void
run_until_blocking (const Fixture *f, gboolean blocking)
{
  while (is_blocking (f) != blocking)
    ;
}

void
run_until_logged (void)
{
  while (fake_log_is_empty ())
    g_main_context_iteration (NULL, TRUE);
}

char *
new_fifo (const Fixture *f)
{
  char *path = below (f, "fifo");

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  return path;
}

void
release (Fixture *f, const char *fifo)
{
  g_assert_cmpint (f->released, ==, 0);
  f->released = open (fifo, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (f->released, >, 0);
}

static G_GNUC_NORETURN void
be_daemon (Fixture *f, int ready)
{
  start (f);
  children_outlive = TRUE; /* except its watchdog */
  if (write (ready, "", 1) == 1)
    for (;;)
      g_main_context_iteration (NULL, TRUE);
  _exit (1);
}

pid_t
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

/* Returns: why the gate is unavailable, or NULL. It needs root outside of containers. */
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

int
service_main (int argc, char **argv, const FakeTest *tests, gsize n)
{
  fake_test_init (&argc, &argv);
  fake_ignore_debug ();
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR); /* the death of a worker is logged as critical */
  g_autofree char *reason = why_not ();
  return fake_run_tests (tests, n, reason);
}
