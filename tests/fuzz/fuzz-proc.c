/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of the readers of /proc and /sys/class, where users and devices choose names: the search for
 * users of a device, and for the libvirt process. The input is the files, separated by a byte 0xff.
 */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "in-use.h"
#include "libvirt-process.h"

#define DEVICE "devices/pci0000:00/0000:00:02.0"

static const char *const files[] = {
    "proc/self/mountinfo",
    "proc/swaps",
    "proc/1/stat",
    "proc/stat",
    "proc/1/maps",
    "run/vfio-variant/hook-caller",
    "sys/" DEVICE "/nvme/nvme0/nvme0n1/dev",
    "sys/" DEVICE "/sriov_numvfs",
    "sys/class/block/dm-0/dm/name",
    "sys/class/block/dm-0/dm/uuid",
    "sys/class/vfio/7/dev",
};

static void
make_link (const VvHost *host, const char *path, const char *target)
{
  g_autofree char *full = g_build_filename (host->sysroot, path, NULL);
  g_autofree char *folder = g_path_get_dirname (full);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_assert_cmpint (symlink (target, full), ==, 0);
}

static void
make_file (const VvHost *host, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename (host->sysroot, path, NULL);
  g_autofree char *folder = g_path_get_dirname (full);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  fuzz_write (path, (const guint8 *)text, strlen (text));
}

/* Creates a disk with a namespace and a device-mapper device on it; process 1 has a file open. */
static const VvHost *
make_host (void)
{
  const VvHost *host = fuzz_host ();

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    make_file (host, files[i], "");
  make_file (host, "sys/" DEVICE "/modalias", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02\n");
  make_file (host, "sys/" DEVICE "/driver_override", "(null)\n");
  make_file (host, "proc/1/comm", "x\n");
  make_link (host, "sys/" DEVICE "/iommu_group", "../../../kernel/iommu_groups/7");
  make_link (host, "sys/bus/pci/devices/0000:00:02.0", "../../../" DEVICE);
  make_link (host, "sys/class/block/nvme0n1", "../../" DEVICE "/nvme/nvme0/nvme0n1");
  make_link (host, "sys/" DEVICE "/nvme/nvme0/nvme0n1/holders/dm-0", "../../../../../../../class/block/dm-0");
  make_link (host, "proc/1/exe", "/usr/bin/program");
  make_link (host, "proc/1/fd/0", "/dev/null");
  return host;
}

static void
write_files (const guint8 *data, gsize size)
{
  const guint8 *end = data + size;

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
    const guint8 *next = data < end ? memchr (data, 0xff, (gsize)(end - data)) : NULL;
    gsize length = (gsize)((next ? next : end) - data);
    fuzz_write (files[i], data, length);
    data = next ? next + 1 : end;
  }
}

static void
assert_line (const char *text)
{
  g_assert_true (g_utf8_validate (text, -1, NULL));
  for (const char *p = text; *p; p = g_utf8_next_char (p))
    g_assert_false (g_unichar_iscntrl (g_utf8_get_char (p)));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const VvHost *host;
  g_autoptr (GError) error = NULL;

  if (!host)
    host = make_host ();
  write_files (data, size);
  g_autoptr (VvPciDevice) device = vv_pci_device_open (host, "0000:00:02.0", &error);
  g_assert_no_error (error);
  g_autoptr (GPtrArray) reasons = vv_host_use (host, device);
  for (guint i = 0; i < reasons->len; i++)
    assert_line (reasons->pdata[i]);
  g_autofree char *user = vv_vfio_user (host, device);
  if (user)
    assert_line (user);
  g_autoptr (VvLibvirtProcess) libvirt = vv_libvirt_process_find (host);
  g_autoptr (VvStateStore) store = vv_state_store_open (host, FALSE, &error);
  g_assert_no_error (error);
  if (libvirt) {
    g_assert_cmpint (libvirt->pid, ==, 1);
    g_assert_cmpint (libvirt->started, >=, 0);
    vv_hook_was_run_by (store, libvirt);
  }
  return 0;
}
