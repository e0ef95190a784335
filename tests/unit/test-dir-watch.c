/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of dir-watch: files and directories that appear and vanish on a real file system.
 */
#include "dir-watch.h"

#include <glib/gstdio.h>

#include "fake-kernel.h"

#define SOCKETS "run/libvirt"

typedef struct {
  FakeKernel *k;
  VvDirWatch *watch;
  guint appeared;
} Fixture;

static void
count (gpointer data)
{
  Fixture *f = data;

  f->appeared++;
}

static Fixture *
fixture_new (gboolean directory)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_new ();
  if (directory)
    fake_mkdir (f->k, SOCKETS);
  g_autofree char *path = g_build_filename (f->k->root, SOCKETS, NULL);
  f->watch = vv_dir_watch_new (path, IN_CREATE | IN_MOVED_TO, "-sock", count, f, &error);
  g_assert_no_error (error);
  return f;
}

static void
fixture_free (Fixture *f)
{
  vv_dir_watch_free (f->watch);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/* The kernel queues all its events at once, so this need not wait. */
static void
assert_appeared (Fixture *f, guint times)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (f->appeared, ==, times);
  f->appeared = 0;
}

static void
test_socket_comes (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);

  assert_appeared (f, 0);
  fake_write (f->k, SOCKETS "/libvirt-sock-ro", "");
  assert_appeared (f, 1);
  fake_write (f->k, SOCKETS "/libvirtd.pid", "1");
  fake_mkdir (f->k, SOCKETS "/qemu");
  assert_appeared (f, 0);
  fake_remove (f->k, SOCKETS "/libvirt-sock-ro");
  assert_appeared (f, 0);
  fake_write (f->k, SOCKETS "/libvirt-sock-ro", "");
  assert_appeared (f, 1);
}

static void
test_directory_comes (void)
{
  g_autoptr (Fixture) f = fixture_new (FALSE);

  fake_mkdir (f->k, "run/other");
  assert_appeared (f, 0);
  fake_mkdir (f->k, SOCKETS); /* it may already contain sockets */
  assert_appeared (f, 1);
  fake_mkdir (f->k, "run/third"); /* the parent is not watched any more */
  assert_appeared (f, 0);
  fake_write (f->k, SOCKETS "/virtqemud-sock", "");
  assert_appeared (f, 1);
}

static void
test_directory_goes_and_comes (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);

  for (guint i = 0; i < 3; i++) {
    fake_remove (f->k, SOCKETS);
    assert_appeared (f, 0);
    fake_mkdir (f->k, SOCKETS);
    assert_appeared (f, 1);
    fake_write (f->k, SOCKETS "/libvirt-sock", "");
    assert_appeared (f, 1);
  }
}

static void
test_directory_is_replaced (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autofree char *from = g_build_filename (f->k->root, SOCKETS, NULL);
  g_autofree char *to = g_build_filename (f->k->root, "run/old", NULL);

  g_assert_cmpint (g_rename (from, to), ==, 0);
  fake_mkdir (f->k, SOCKETS);
  assert_appeared (f, 1);
  fake_write (f->k, SOCKETS "/libvirt-sock", "");
  assert_appeared (f, 1);
}

static void
test_no_parent (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_dir_watch_new ("/nonexistent/run/libvirt", IN_CREATE, NULL, count, NULL, &error));
  fake_assert_error (error, VV_ERROR_NOT_FOUND, "cannot watch /nonexistent/run/libvirt: No such file*");
}

/* As the command watches the state store */
static void
test_all_names (void)
{
  g_autoptr (Fixture) f = fixture_new (TRUE);
  g_autofree char *path = g_build_filename (f->k->root, SOCKETS, NULL);

  vv_dir_watch_free (f->watch);
  f->watch = vv_dir_watch_new (path, IN_CREATE | IN_DELETE, NULL, count, f, NULL);
  fake_write (f->k, SOCKETS "/a", "");
  fake_write (f->k, SOCKETS "/b", "");
  assert_appeared (f, 1);
  fake_remove (f->k, SOCKETS "/a");
  assert_appeared (f, 1);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/dir-watch/socket-comes", test_socket_comes);
  g_test_add_func ("/dir-watch/directory-comes", test_directory_comes);
  g_test_add_func ("/dir-watch/directory-goes-and-comes", test_directory_goes_and_comes);
  g_test_add_func ("/dir-watch/directory-is-replaced", test_directory_is_replaced);
  g_test_add_func ("/dir-watch/no-parent", test_no_parent);
  g_test_add_func ("/dir-watch/all-names", test_all_names);
  return g_test_run ();
}
