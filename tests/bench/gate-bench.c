/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gate-bench OPEN-TIME: measures the cost of the gate itself, without work: its client releases each caller
 * at once.
 *
 * Uses real fanotify on a tree of plain files that looks like sysfs, with few and with many devices,
 * alternately with and without the gate. The program OPEN-TIME opens the files, under another name in the
 * role of libvirt. Prints lines "NAME BLOCK VALUE" for report.py, with NAME=with and NAME=without for
 * compared values. Needs root.
 */
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate.h"

#define WATCHDOG_MS 10000 /* the same as in the daemon */
#define BLOCKS 10
#define OPENS "200"
#define LIBVIRT "bench-libvirt"
#define PCI "sys/bus/pci"

typedef struct {
  char *root;
  char *stranger, *libvirt; /* programs */
  char *probe, *override;   /* arguments of open-time */
  guint devices;
  guint block;
  VvGate *gate;
} Bench;

static void
print_sample (const Bench *b, const char *what, const char *state, double value)
{
  printf ("gate.%s.%u%s %u %.3f\n", what, b->devices, state, b->block, value);
}

/* --- the tree --- */

static void
write_file (const char *root, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename (root, path, NULL);
  g_autofree char *folder = g_path_get_dirname (full);
  g_autoptr (GError) error = NULL;

  g_mkdir_with_parents (folder, 0755);
  if (!g_file_set_contents (full, text, -1, &error))
    g_error ("%s", error->message);
}

static char *
address_of (guint device)
{
  return g_strdup_printf ("0000:%02x:%02x.%u", device >> 8, device >> 3 & 0x1f, device & 7);
}

static void
make_tree (Bench *b)
{
  g_autofree char *proc = NULL;

  b->root = g_dir_make_tmp ("gate-bench-XXXXXX", NULL);
  g_assert_nonnull (b->root);
  proc = g_build_filename (b->root, "proc", NULL);
  g_assert_cmpint (symlink ("/proc", proc), ==, 0);
  write_file (b->root, PCI "/drivers_probe", "");
  for (guint i = 0; i < b->devices; i++) {
    g_autofree char *address = address_of (i);
    g_autofree char *class = g_build_filename (PCI "/devices", address, "class", NULL);
    g_autofree char *override = g_build_filename (PCI "/devices", address, "driver_override", NULL);
    write_file (b->root, class, "0x020000\n");
    write_file (b->root, override, "(null)\n");
  }
  g_autofree char *address = address_of (b->devices / 2);
  b->probe = g_strdup_printf ("w:%s/" PCI "/drivers_probe", b->root);
  b->override = g_strdup_printf ("r:%s/" PCI "/devices/%s/driver_override", b->root, address);
  b->libvirt = g_build_filename (b->root, LIBVIRT, NULL);
  if (link (b->stranger, b->libvirt) < 0) {
    const char *const argv[] = {"cp", b->stranger, b->libvirt, NULL};
    g_assert_true (
        g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  }
}

static void
remove_tree (Bench *b)
{
  const char *const argv[] = {"rm", "-rf", b->root, NULL};

  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (b->root);
  g_free (b->libvirt);
  g_free (b->probe);
  g_free (b->override);
}

/* --- the gate --- */

static gpointer
announced (VvAnnouncement *announcement, gpointer data)
{
  vv_gate_proceed (announcement, NULL);
  return data;
}

static void
dropped (gpointer device_data, gpointer data)
{
  (void)device_data, (void)data;
}

static void
orphaned (const VvAnnouncement *announcement, gpointer device_data, gpointer data)
{
  (void)announcement, (void)device_data, (void)data;
}

static void
blocked (VvAnnouncement *blocked_open, gpointer device_data, gpointer data)
{
  const Bench *b = data;
  gint64 usec = vv_gate_release (blocked_open, TRUE);

  (void)device_data;
  print_sample (b, "blocked", "", (double)usec);
}

static void
late (VvAnnouncement *blocked_open, gpointer device_data, gpointer data)
{
  (void)blocked_open, (void)device_data, (void)data;
}

static void
open_gate (Bench *b, const VvHost *host)
{
  static const char *const executables[] = {LIBVIRT, NULL};
  static const VvGateClient client = {announced, dropped, orphaned, blocked, late};
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  b->gate = vv_gate_new (host, executables, 30000, WATCHDOG_MS, &client, b, &error);
  if (!b->gate)
    g_error ("%s", error->message);
  vv_gate_watch_all (b->gate);
  print_sample (b, "marks", "", (double)(g_get_monotonic_time () - start));
  g_assert_cmpuint (vv_gate_watched (b->gate), ==, b->devices);
}

static void
close_gate (Bench *b)
{
  g_clear_pointer (&b->gate, vv_gate_free);
  while (waitpid (-1, NULL, WNOHANG) > 0)
    ;
}

/* --- the programs that open files --- */

typedef struct {
  GString *text;
  GMainLoop *loop;
} Output;

static gboolean
output_readable (int fd, GIOCondition condition, gpointer data)
{
  Output *output = data;
  char buffer[4096];
  ssize_t n = read (fd, buffer, sizeof buffer);

  (void)condition;
  if (n > 0) {
    g_string_append_len (output->text, buffer, n);
    return G_SOURCE_CONTINUE;
  }
  g_main_loop_quit (output->loop);
  return G_SOURCE_REMOVE;
}

/* The gate runs on the main loop meanwhile. */
static char *
run_opener (const char *const *argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Output output = {g_string_new (NULL), loop};
  g_autoptr (GError) error = NULL;
  GPid pid;
  int fd, status = 0;

  if (!g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL,
                                 &fd, NULL, &error))
    g_error ("%s", error->message);
  g_unix_fd_add (fd, G_IO_IN | G_IO_HUP, output_readable, &output);
  g_main_loop_run (loop);
  close (fd);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  return g_string_free (output.text, FALSE);
}

/* @columns: names of the values in a line of open-time, NULL-terminated */
static void
measure (const Bench *b, const char *program, const char *state, const char *const *files,
         const char *const *columns)
{
  const char *argv[] = {program, OPENS, files[0], files[1], NULL};
  g_autofree char *text = run_opener (argv);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line && **line; line++) {
    g_auto (GStrv) values = g_strsplit (*line, " ", -1);
    for (guint i = 0; columns[i] && values[i]; i++)
      print_sample (b, columns[i], state, g_ascii_strtod (values[i], NULL));
  }
}

static void
run_block (const Bench *b, const char *state)
{
  const char *const override[] = {b->override, NULL}, *const probe[] = {b->probe, NULL};
  const char *const both[] = {b->override, b->probe};

  measure (b, b->stranger, state, override, (const char *const[]){"stranger-override", NULL});
  measure (b, b->stranger, state, probe, (const char *const[]){"stranger-probe", NULL});
  measure (b, b->libvirt, state, both, (const char *const[]){"libvirt-override", "libvirt-probe", NULL});
}

static void
run_with (Bench *b, const VvHost *host)
{
  open_gate (b, host);
  run_block (b, "=with");
  close_gate (b);
}

/* The order changes from block to block. */
static void
run_pair (Bench *b, const VvHost *host)
{
  if (b->block % 2 == 0)
    run_block (b, "=without");
  run_with (b, host);
  if (b->block % 2 == 1)
    run_block (b, "=without");
}

static void
run (const char *open_time, guint devices)
{
  Bench b = {.stranger = (char *)open_time, .devices = devices};
  g_autoptr (GError) error = NULL;

  make_tree (&b);
  g_autoptr (VvHost) host = vv_host_new (b.root, "none", &error);
  if (!host)
    g_error ("%s", error->message);
  for (b.block = 0; b.block < BLOCKS; b.block++)
    run_pair (&b, host);
  remove_tree (&b);
}

int
main (int argc, char **argv)
{
  static const guint devices[] = {16, 256, 4096};

  if (argc != 2) {
    fputs ("Usage: gate-bench OPEN-TIME\n", stderr);
    return 2;
  }
  for (guint i = 0; i < G_N_ELEMENTS (devices); i++)
    run (argv[1], devices[i]);
  return 0;
}
