/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

static VvHost *host;
static char *root;

static void
make_folder (const char *path)
{
  g_autofree char *full = g_build_filename (root, path, NULL);

  g_assert_cmpint (g_mkdir_with_parents (full, 0755), ==, 0);
}

static void
remove_root (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", root);

  if (system (command) != 0)
    g_printerr ("%s is left behind\n", root);
}

const VvHost *
fuzz_host (void)
{
  if (host)
    return host;
  root = g_build_filename (g_file_test ("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm" : g_get_tmp_dir (),
                           "vfio-variant-fuzz-XXXXXX", NULL);
  g_assert_nonnull (g_mkdtemp (root));
  make_folder ("sys");
  make_folder ("proc/1");
  make_folder ("lib/modules/fuzz");
  make_folder ("etc/modprobe.d");
  make_folder ("run/vfio-variant");
  atexit (remove_root);
  host = vv_host_new (root, "fuzz", NULL);
  return host;
}

/* Does not use g_file_set_contents_full(): without G_FILE_SET_CONTENTS_CONSISTENT, it does not truncate a
 * longer file. */
void
fuzz_write (const char *path, const guint8 *data, gsize size)
{
  g_autofree char *full = g_build_filename (root, path, NULL);
  int fd = open (full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, data, size), ==, size);
  close (fd);
}
