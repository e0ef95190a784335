/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of notify: the messages that a service manager's socket receives.
 */
#include "notify.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake-kernel.h"

/* @name: as in NOTIFY_SOCKET */
static int
listen_at (const char *name)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  memcpy (address.sun_path, name, strlen (name));
  if (*name == '@')
    *address.sun_path = '\0';
  g_assert_cmpint (bind (fd, (const void *)&address, offsetof (struct sockaddr_un, sun_path) + strlen (name)),
                   ==, 0);
  g_setenv ("NOTIFY_SOCKET", name, TRUE);
  return fd;
}

static void
assert_arrives (const char *name)
{
  int fd = listen_at (name);
  char text[64] = "";

  vv_notify ("READY=1\nSTATUS=fine");
  g_assert_cmpint (recv (fd, text, sizeof text - 1, 0), ==, strlen ("READY=1\nSTATUS=fine"));
  g_assert_cmpstr (text, ==, "READY=1\nSTATUS=fine");
  close (fd);
}

static void
test_file (void)
{
  g_autofree char *folder = g_dir_make_tmp ("vfio-variant-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "notify", NULL);

  assert_arrives (path);
  unlink (path);
  rmdir (folder);
}

static void
test_abstract (void)
{
  g_autofree char *name = g_strdup_printf ("@vfio-variant-test-%d", getpid ());

  assert_arrives (name);
}

static void
test_nobody (void)
{
  g_autofree char *long_name = g_strnfill (200, 'x');

  g_unsetenv ("NOTIFY_SOCKET");
  vv_notify ("READY=1");
  g_setenv ("NOTIFY_SOCKET", "", TRUE);
  vv_notify ("READY=1");
  g_setenv ("NOTIFY_SOCKET", "vsock:2:1234", TRUE); /* systemd supports it for virtual machines */
  vv_notify ("READY=1");
  *long_name = '/';
  g_setenv ("NOTIFY_SOCKET", long_name, TRUE);
  vv_notify ("READY=1");
  fake_assert_log_empty ();

  g_setenv ("NOTIFY_SOCKET", "/nowhere/notify", TRUE);
  vv_notify ("READY=1");
  fake_assert_logged ("cannot notify the service manager: No such file or directory");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/notify/file", test_file);
  g_test_add_func ("/notify/abstract", test_abstract);
  g_test_add_func ("/notify/nobody", test_nobody);
  return g_test_run ();
}
