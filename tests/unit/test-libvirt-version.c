/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of libvirt-version: the version of the libvirt library that a process has mapped.
 */
#include "libvirt-version.h"

#include "fake-kernel.h"

#define LINE "7f1c00000000-7f1c00200000 r-xp 00000000 fe:01 393  "
#define OTHERS                                                                                               \
  "55d000000000-55d000100000 r-xp 00000000 fe:01 131  /usr/sbin/virtqemud\n" LINE                            \
  "/usr/lib/x86_64-linux-gnu/libvirt-qemu.so.0.9000.0\n" LINE "/usr/lib/x86_64-linux-gnu/libc.so.6\n"

static const struct {
  const char *says;
  const char *maps; /* NULL: no such process */
  guint version;
} cases[] = {
    {"Debian 12", OTHERS LINE "/usr/lib/x86_64-linux-gnu/libvirt.so.0.9000.0\n", 9000000},
    {"a minor version of two digits", LINE "/usr/lib64/libvirt.so.0.8010.2\n", 8010002},
    {"the first that upgrades itself", LINE "/usr/lib64/libvirt.so.0.10000.0\n", 10000000},
    {"a newer one", LINE "/usr/lib64/libvirt.so.0.12008.0\n" OTHERS, 12008000},
    {"updated under a running daemon", LINE "/usr/lib64/libvirt.so.0.9007.0 (deleted)\n", 9007000},
    {"only its plugins' libraries", OTHERS, 0},
    {"linked by the short name", LINE "/usr/lib64/libvirt.so.0\n", 0},
    {"another numbering", LINE "/usr/lib64/libvirt.so.1.9000.0\n", 0},
    {"no numbers", LINE "/usr/lib64/libvirt.so.0.git.0\n", 0},
    {"a sign", LINE "/usr/lib64/libvirt.so.0.-8.1\n", 0},
    {"a blank", LINE "/usr/lib64/libvirt.so.0. 9000.1\n", 0},
    {"a number that no version has", LINE "/usr/lib64/libvirt.so.0.4294967295.0\n", 0},
    {"another", LINE "/usr/lib64/libvirt.so.0.9000.1000\n", 0},
    {"half of the numbers", LINE "/usr/lib64/libvirt.so.0.9000\n", 0},
    {"cut off", LINE "/usr/lib64/libvirt.so.0.", 0},
    {"no text", "\n\n\n", 0},
    {"a kernel thread", "", 0},
    {"no such process", NULL, 0},
};

static void
test_versions (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (FakeKernel) k = fake_new ();
    if (cases[i].maps)
      fake_write (k, "proc/4711/maps", cases[i].maps);
    g_autoptr (VvHost) host = vv_host_new (k->root, NULL, NULL);
    g_assert_cmpuint (vv_libvirt_version_of (host, 4711), ==, cases[i].version);
  }
}

static void
test_without_proc (void)
{
  g_autoptr (FakeKernel) k = fake_new ();

  fake_remove (k, "proc");
  g_autoptr (VvHost) host = vv_host_new (k->root, NULL, NULL);
  g_assert_cmpuint (vv_libvirt_version_of (host, 4711), ==, 0);
}

static void
test_how_versions_are_written (void)
{
  g_assert_cmpuint (VV_LIBVIRT_VERSION (9, 7, 0), ==, 9007000);
  g_assert_cmpuint (VV_LIBVIRT_VERSION (10, 0, 1), ==, 10000001);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/libvirt-version/versions", test_versions);
  g_test_add_func ("/libvirt-version/without-proc", test_without_proc);
  g_test_add_func ("/libvirt-version/how-versions-are-written", test_how_versions_are_written);
  return g_test_run ();
}
