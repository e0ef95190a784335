/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of io and error: one system call per function, with its errno in the error.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-kernel.h"

static VvDir *
open_root (const FakeKernel *k)
{
  g_autoptr (GError) error = NULL;
  VvDir *dir = vv_dir_open (NULL, k->root, &error);

  g_assert_no_error (error);
  return dir;
}

static void
test_errno (void)
{
  static const struct {
    int errnum;
    VvError code;
  } cases[] = {
      {EACCES, VV_ERROR_PERMISSION}, {EPERM, VV_ERROR_PERMISSION}, {EROFS, VV_ERROR_PERMISSION},
      {ENOENT, VV_ERROR_NOT_FOUND},  {ENODEV, VV_ERROR_NO_DEVICE}, {ENXIO, VV_ERROR_NO_DEVICE},
      {EINVAL, VV_ERROR_FAILED},     {EBUSY, VV_ERROR_FAILED},     {ENOSPC, VV_ERROR_FAILED},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *pattern = g_strdup_printf ("file %d: %s", 7, g_strerror (cases[i].errnum));
    g_assert_false (vv_set_errno (&error, cases[i].errnum, "file %d", 7));
    fake_assert_error (error, cases[i].code, pattern);
  }
}

static void
test_open (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (VvDir) sys = vv_dir_open (root, "sys/bus", NULL);
  g_autoptr (GError) absent = NULL;
  g_autoptr (GError) file = NULL;
  g_autofree char *path = g_build_filename (k->root, "sys/bus", NULL);

  g_assert_cmpstr (sys->path, ==, path);
  g_assert_true (vv_io_exists (sys, "pci"));
  g_assert_false (vv_io_exists (sys, "usb"));
  g_assert_null (vv_dir_open (root, "none", &absent));
  fake_assert_error (absent, VV_ERROR_NOT_FOUND, "/*/none: No such file or directory");
  g_assert_null (vv_dir_open (root, "sys/bus/pci/drivers_probe", &file));
  fake_assert_error (file, VV_ERROR_FAILED, "*: Not a directory");
}

static void
test_read (void)
{
  static const struct {
    const char *says;
    const char *bytes;
    gsize length;
    const char *text;
  } cases[] = {
      {"an attribute", "0x8086\n", 7, "0x8086"},   {"nothing", "", 0, ""},
      {"blanks at the end", "a \t\n\n", 5, "a"},   {"blanks in front stay", " a", 2, " a"},
      {"at the limit", "12345678", 8, "12345678"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (FakeKernel) k = fake_new ();
    g_autoptr (VvDir) root = open_root (k);
    g_autoptr (GError) error = NULL;
    fake_write_bytes (k, "etc/file", cases[i].bytes, cases[i].length);
    g_autofree char *text = vv_io_read (root, "etc/file", 8, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (text, ==, cases[i].text);
  }
}

static void
test_read_failures (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  static const struct {
    const char *path;
    VvError code;
    const char *message;
  } cases[] = {
      {"etc/none", VV_ERROR_NOT_FOUND, "/*/etc/none: open: No such file or directory"},
      {"etc", VV_ERROR_FAILED, "/*/etc: read: Is a directory"},
      {"etc/long", VV_ERROR_FAILED, "/*/etc/long: read: File too large"},
      {"etc/nul", VV_ERROR_FAILED, "/*/etc/nul: read: Invalid or incomplete multibyte or wide character"},
  };

  fake_write (k, "etc/long", "123456789");
  fake_write_bytes (k, "etc/nul", "a\0b", 3);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (vv_io_read (root, cases[i].path, 8, &error));
    fake_assert_error (error, cases[i].code, cases[i].message);
    g_assert_null (vv_io_attribute (root, "etc/none"));
  }
}

/* A FIFO at a path that we read must not block us. */
static void
test_reading_a_pipe_does_not_wait (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autofree char *path = g_build_filename (k->root, "etc/pipe", NULL);

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  g_autofree char *text = vv_io_attribute (root, "etc/pipe");
  g_assert_cmpstr (text, ==, "");
}

static void
test_write (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (GError) error = NULL;

  fake_write (k, "etc/file", "");
  g_assert_true (vv_io_write (root, "etc/file", "0000:3b:00.1", &error));
  g_assert_no_error (error);
  g_autofree char *text = fake_read (k, "etc/file");
  g_assert_cmpstr (text, ==, "0000:3b:00.1");
}

static void
test_write_failures (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (VvDir) dev = vv_dir_open (NULL, "/dev", NULL);
  g_autoptr (GError) absent = NULL;
  g_autoptr (GError) full = NULL;

  g_assert_false (vv_io_write (root, "etc/none", "x", &absent));
  fake_assert_error (absent, VV_ERROR_NOT_FOUND, "/*/etc/none: open for writing: No such file or directory");
  g_assert_false (fake_exists (k, "etc/none")); /* attributes are never created */
  g_assert_false (vv_io_write (dev, "full", "x", &full));
  fake_assert_error (full, VV_ERROR_FAILED, "/dev/full: write: No space left on device");
}

static void
test_links (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);

  fake_link (k, "etc/driver", "../../bus/pci/drivers/vfio-pci");
  g_autofree char *target = vv_io_link (root, "etc/driver");
  g_autofree char *name = vv_io_link_name (root, "etc/driver");
  g_assert_cmpstr (target, ==, "../../bus/pci/drivers/vfio-pci");
  g_assert_cmpstr (name, ==, "vfio-pci");
  g_assert_null (vv_io_link (root, "etc/none"));
  g_assert_null (vv_io_link_name (root, "etc"));
}

static void
test_list (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);

  fake_write (k, "etc/list/b", "");
  fake_write (k, "etc/list/a", "");
  fake_write (k, "etc/list/.hidden", "");
  fake_mkdir (k, "etc/list/c");
  g_autoptr (GPtrArray) names = vv_io_list (root, "etc/list");
  g_autoptr (GPtrArray) none = vv_io_list (root, "etc/none");
  g_autoptr (GPtrArray) file = vv_io_list (root, "etc/list/a");
  fake_assert_names (names, "a b c");
  fake_assert_names (none, "");
  fake_assert_names (file, "");
}

static void
test_replace (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (GError) error = NULL;

  fake_write (k, ".entry.new", "what a killed writer left behind");
  g_assert_true (vv_io_replace (root, "entry", "one", &error));
  g_assert_true (vv_io_replace (root, "entry", "two", &error));
  g_assert_no_error (error);
  g_autofree char *text = fake_read (k, "entry");
  g_assert_cmpstr (text, ==, "two");
  g_assert_false (fake_exists (k, ".entry.new"));
}

/* The daemon's unit has UMask=0077, and libvirt may run its hooks with any umask. */
static void
test_replace_is_for_everybody (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (GError) error = NULL;
  struct stat st;
  mode_t before = umask (0077);

  g_assert_true (vv_io_replace (root, "entry", "one", &error));
  umask (before);
  g_assert_no_error (error);
  g_assert_cmpint (fstatat (root->fd, "entry", &st, 0), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0644);
}

static void
test_replace_failures (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (VvDir) gone = NULL;
  g_autoptr (GError) target = NULL;
  g_autoptr (GError) directory = NULL;

  fake_mkdir (k, "etc/taken/by-a-directory");
  g_autoptr (VvDir) etc = vv_dir_open (root, "etc", NULL);
  g_assert_false (vv_io_replace (etc, "taken", "x", &target));
  fake_assert_error (target, VV_ERROR_FAILED, "/*/etc/taken: write: *");
  g_assert_false (fake_exists (k, "etc/.taken.new"));
  fake_mkdir (k, "gone");
  gone = vv_dir_open (root, "gone", NULL);
  fake_remove (k, "gone");
  g_assert_false (vv_io_replace (gone, "entry", "x", &directory));
  fake_assert_error (directory, VV_ERROR_NOT_FOUND, "/*/gone/.entry.new: create: No such file or directory");
}

/* A link at the temporary name is not followed. */
static void
test_replace_follows_no_link (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);

  fake_write (k, "etc/precious", "kept");
  fake_link (k, ".entry.new", "etc/precious");
  g_assert_true (vv_io_replace (root, "entry", "x", NULL));
  g_autofree char *text = fake_read (k, "etc/precious");
  g_assert_cmpstr (text, ==, "kept");
}

static void
test_remove (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (VvDir) root = open_root (k);
  g_autoptr (GError) error = NULL;

  fake_write (k, "entry", "x");
  g_assert_true (vv_io_remove (root, "entry", &error));
  g_assert_true (vv_io_remove (root, "entry", &error)); /* a missing file is no error */
  g_assert_no_error (error);
  g_assert_false (vv_io_remove (root, "etc", &error));
  fake_assert_error (error, VV_ERROR_FAILED, "/*/etc: remove: Is a directory");
}

static void
test_nodes (void)
{
  int fds[2], waiting = 0;
  int node = vv_io_open_node ("/dev/null");

  g_assert_cmpint (node, >=, 0);
  g_assert_cmpint (fcntl (node, F_GETFL) & O_ACCMODE, ==, O_RDWR);
  g_assert_cmpint (fcntl (node, F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpint (vv_io_ioctl (node, FIONREAD, &waiting), ==, -ENOTTY);
  close (node);
  g_assert_cmpint (vv_io_open_node ("/dev/none/at/all"), ==, -ENOENT);

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], "abc", 3), ==, 3);
  g_assert_cmpint (vv_io_ioctl (fds[0], FIONREAD, &waiting), ==, 0);
  g_assert_cmpint (waiting, ==, 3);
  close (fds[0]);
  close (fds[1]);
}

/* test-gate.c tests answers that succeed. */
static void
test_answer (void)
{
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (vv_io_answer (fds[0], fds[1], TRUE), ==, EBADF); /* not open for writing */
  close (fds[0]);
  close (fds[1]);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/error/the-code-follows-errno", test_errno);
  g_test_add_func ("/io/open", test_open);
  g_test_add_func ("/io/read", test_read);
  g_test_add_func ("/io/read-failures-are-told", test_read_failures);
  g_test_add_func ("/io/reading-a-pipe-does-not-wait", test_reading_a_pipe_does_not_wait);
  g_test_add_func ("/io/write", test_write);
  g_test_add_func ("/io/write-failures-are-told", test_write_failures);
  g_test_add_func ("/io/links", test_links);
  g_test_add_func ("/io/list-is-sorted", test_list);
  g_test_add_func ("/io/replace", test_replace);
  g_test_add_func ("/io/replace-is-for-everybody", test_replace_is_for_everybody);
  g_test_add_func ("/io/replace-failures-are-told", test_replace_failures);
  g_test_add_func ("/io/replace-follows-no-link", test_replace_follows_no_link);
  g_test_add_func ("/io/remove", test_remove);
  g_test_add_func ("/io/nodes", test_nodes);
  g_test_add_func ("/io/answer", test_answer);
  return g_test_run ();
}
