/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of in-use: every use of a device by the host or a guest, and its absence.
 */
#include "in-use.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static Fixture *
in_use_fixture (void)
{
  Fixture *f = host_fixture_new ();

  fake_mkdir (f->k, "proc/self");
  g_clear_pointer (&f->host->sysroot, g_free); /* interfaces have addresses only without a sysroot */
  return f;
}

/* --- addresses of interfaces, set by the tests --- */

int __wrap_getifaddrs (struct ifaddrs **all);
void __wrap_freeifaddrs (struct ifaddrs *all);

static struct ifaddrs *fake_addresses; /* NULL: the call fails */

int
__wrap_getifaddrs (struct ifaddrs **all)
{
  *all = fake_addresses;
  return fake_addresses ? 0 : -1;
}

void
__wrap_freeifaddrs (struct ifaddrs *all)
{
  g_assert_true (all == fake_addresses);
}

/* --- sysfs below a device --- */

/* Adds a member of a class, below the device, or elsewhere if @device is NULL */
static void
add_member (const Fixture *f, const char *device, const char *class, const char *place)
{
  g_autofree char *name = g_path_get_basename (place);
  g_autofree char *folder =
      device ? fake_device_path (device, place) : g_build_filename ("sys/devices/virtual", place, NULL);
  g_autofree char *link = g_build_filename ("sys/class", class, name, NULL);
  g_autofree char *target = g_build_filename ("../..", folder + strlen ("sys/"), NULL);

  fake_mkdir (f->k, folder);
  fake_link (f->k, link, target);
}

static void
set_attribute (const Fixture *f, const char *class, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename ("sys/class", class, path, NULL);

  fake_write (f->k, full, text);
}

static void
add_block (const Fixture *f, const char *place, const char *number)
{
  g_autofree char *name = g_path_get_basename (place);
  g_autofree char *dev = g_build_filename (name, "dev", NULL);

  add_member (f, DISK, "block", place);
  set_attribute (f, "block", dev, number);
}

/* Adds a holder of a block device, such as an LVM volume */
static void
add_holder (const Fixture *f, const char *block, const char *holder, const char *uuid, const char *name)
{
  g_autofree char *place = g_strconcat ("block/", holder, NULL);
  g_autofree char *link = g_build_filename ("sys/class/block", block, "holders", holder, NULL);
  g_autofree char *uuid_path = g_build_filename (holder, "dm/uuid", NULL);
  g_autofree char *name_path = g_build_filename (holder, "dm/name", NULL);

  add_member (f, NULL, "block", place);
  fake_link (f->k, link, "../../../../../../virtual/block");
  if (uuid)
    set_attribute (f, "block", uuid_path, uuid);
  if (name)
    set_attribute (f, "block", name_path, name);
}

/* Returns: the reasons, separated by newlines */
static char *
reasons_of (const Fixture *f, const char *address)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, address, &error);

  g_assert_no_error (error);
  g_autoptr (GPtrArray) reasons = vv_host_use (f->host, device);
  g_ptr_array_add (reasons, NULL);
  return g_strjoinv ("\n", (char **)reasons->pdata);
}

static void
assert_reasons (const Fixture *f, const char *address, const char *expected)
{
  g_autofree char *reasons = reasons_of (f, address);

  g_assert_cmpstr (reasons, ==, expected);
}

static void
test_idle (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  assert_reasons (f, NIC, "");
  assert_reasons (f, DISK, "");
}

/* --- network --- */

static void
test_interface_with_an_address (void)
{
  struct sockaddr_in ip4 = {.sin_family = AF_INET};
  struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6};
  struct sockaddr packet = {.sa_family = AF_PACKET};
  static const struct {
    const char *says, *flags;
    enum { NONE, PACKET, IP4, IP6, OTHERS, NO_ANSWER } address;
    const char *reasons;
  } cases[] = {
      {"up with IPv4", "0x1003", IP4, "network interface ens1 is up with address 192.0.2.7"},
      {"up with IPv6", "0x1003", IP6, "network interface ens1 is up with address 2001:db8::7"},
      {"up, only a hardware address", "0x1003", PACKET, ""},
      {"up, no socket address", "0x1003", NONE, ""},
      {"up, another interface has the address", "0x1003", OTHERS, ""},
      {"up, nobody knows", "0x1003", NO_ANSWER, ""},
      {"down with an address", "0x1002", IP4, ""},
  };

  inet_pton (AF_INET, "192.0.2.7", &ip4.sin_addr);
  inet_pton (AF_INET6, "2001:db8::7", &ip6.sin6_addr);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = in_use_fixture ();
    struct sockaddr *const addresses[] = {
        NULL, &packet, (struct sockaddr *)&ip4, (struct sockaddr *)&ip6, (struct sockaddr *)&ip4, NULL};
    struct ifaddrs one = {.ifa_name = (char *)(cases[i].address == OTHERS ? "ens2" : "ens1"),
                          .ifa_addr = addresses[cases[i].address]};
    g_test_message ("%s", cases[i].says);
    fake_addresses = cases[i].address == NO_ANSWER ? NULL : &one;
    add_member (f, NIC, "net", "net/ens1");
    set_attribute (f, "net", "ens1/flags", cases[i].flags);
    assert_reasons (f, NIC, cases[i].reasons);
    fake_addresses = NULL;
  }
}

static void
test_interface_in_something (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  add_member (f, NIC, "net", "net/ens1");
  fake_link (f->k, "sys/class/net/ens1/master", "../../../../virtual/net/br0");
  fake_link (f->k, "sys/class/net/ens1/upper_br0", "../../../../virtual/net/br0");
  assert_reasons (f, NIC, "network interface ens1 is part of br0 (a bridge, bond or team)");
  fake_link (f->k, "sys/class/net/ens1/upper_ens1.7", "../../../../virtual/net/ens1.7");
  assert_reasons (f, NIC,
                  "network interface ens1 is part of br0 (a bridge, bond or team)\n"
                  "network interface ens1 carries ens1.7 (a VLAN, macvtap or the like)");
}

/* A path with the device's path as a prefix is not below it. */
static void
test_neighbours_count_for_nothing (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  fake_add_device (f->k, NIC "0", NIC_MODALIAS, NULL, NULL);
  add_member (f, NIC "0", "net", "net/ens2");
  add_member (f, NULL, "net", "net/br0");
  fake_link (f->k, "sys/class/net/ens2/master", "../../../../virtual/net/br0");
  fake_link (f->k, "sys/class/net/odd", "nowhere");
  fake_mkdir (f->k, "sys/class/net/bonding_masters");
  assert_reasons (f, NIC, "");
}

/* --- disks --- */

static void
test_mounted (void)
{
  static const struct {
    const char *says, *mountinfo, *reasons;
  } cases[] = {
      {"by its number", "36 35 259:1 / /srv rw,noatime shared:1 - ext4 /dev/whatever rw\n",
       "block device nvme0n1p1 is mounted on /srv"},
      {"a blank in the mount point", "36 35 259:1 / /srv/a\\040b rw - ext4 /dev/whatever rw\n",
       "block device nvme0n1p1 is mounted on /srv/a b"},
      {"by its name, as btrfs has it", "36 35 0:44 /@ /home rw - btrfs /dev/nvme0n1p1 rw\n",
       "block device nvme0n1p1 is mounted on /home"},
      {"the first place of several",
       "36 35 259:1 / /a rw - ext4 /dev/nvme0n1p1 rw\n37 35 259:1 / /b rw - ext4 /dev/nvme0n1p1 rw\n",
       "block device nvme0n1p1 is mounted on /a"},
      {"another disk", "36 35 8:1 / / rw - ext4 /dev/sda1 rw\n", ""},
      {"a network file system of that name", "36 35 0:50 / /net rw - nfs server:/nvme0n1p1 rw\n", ""},
      {"a file of that name", "36 35 0:50 / /x rw - fuse /home/nvme0n1p1 rw\n", ""},
      {"a user's file system that claims to come from it",
       "36 35 0:50 / /x rw - fuse.evil /dev/nvme0n1p1 rw\n37 35 0:51 / /y rw - fuse /dev/nvme0n1p1 rw\n", ""},
      {"NTFS, which is root's", "36 35 259:1 / /x rw - fuseblk /dev/nvme0n1p1 rw\n",
       "block device nvme0n1p1 is mounted on /x"},
      {"a mount point with words for the terminal, and a line of its own",
       "36 35 259:1 / /a\033[2J\\012b rw - ext4 /dev/nvme0n1p1 rw\n",
       "block device nvme0n1p1 is mounted on /a\\x1b[2J; b"},
      {"lines that make no sense", "\n259:1\n36 35\n - \n36 35 259:1 /\n", ""},
      {"nothing", "", ""},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = in_use_fixture ();
    add_block (f, "nvme/nvme0/nvme0n1", "259:0\n");
    add_block (f, "nvme/nvme0/nvme0n1/nvme0n1p1", "259:1\n");
    fake_write (f->k, "proc/self/mountinfo", cases[i].mountinfo);
    assert_reasons (f, DISK, cases[i].reasons);
  }
}

static void
test_swap (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();
  g_autofree char *node = g_build_filename (f->k->root, "proc/alias-of-the-disk", NULL);
  g_autofree char *by_alias =
      g_strdup_printf ("Filename Type Size Used Priority\n%s partition 100 0 -2\n", node);

  add_block (f, "nvme/nvme0/nvme0n1", "259:0\n");
  fake_write (f->k, "proc/swaps",
              "Filename\t\t\tType\t\tSize\tUsed\tPriority\n/swapfile file 100 0 -2\n"
              "/dev/sda2 partition 100 0 -3\nnvme0n1 nonsense\n\n");
  assert_reasons (f, DISK, "");
  fake_write (f->k, "proc/swaps", "Filename Type\n/dev/nvme0n1                partition\t100\t0\t-2\n");
  assert_reasons (f, DISK, "block device nvme0n1 is swap space");
  fake_write (f->k, "proc/swaps", by_alias);
  assert_reasons (f, DISK, "");
  if (fake_node (node, S_IFBLK, 259, 0))
    assert_reasons (f, DISK, "block device nvme0n1 is swap space");
}

static void
test_blocked (void)
{
  static const struct {
    const char *holder, *uuid, *name, *reasons;
  } cases[] = {
      {"dm-0", "LVM-abc", "vg0-root", "block device nvme0n1 is in use by LVM (vg0-root)"},
      {"dm-1", "CRYPT-LUKS2-abc", "luks", "block device nvme0n1 is in use by disk encryption (luks)"},
      {"dm-2", "mpath-abc", "mpatha", "block device nvme0n1 is in use by multipath (mpatha)"},
      {"dm-3", "other", "thing", "block device nvme0n1 is in use by the device mapper (thing)"},
      {"md127", NULL, NULL, "block device nvme0n1 is in use by an md array (md127)"},
      {"bcache0", NULL, NULL, "block device nvme0n1 is in use by a device stacked on it (bcache0)"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = in_use_fixture ();
    add_block (f, "nvme/nvme0/nvme0n1", "259:0\n");
    add_holder (f, "nvme0n1", cases[i].holder, cases[i].uuid, cases[i].name);
    assert_reasons (f, DISK, cases[i].reasons);
  }
}

/* The mounted disk is elsewhere in the tree; the device has a hidden path device to it. */
static void
test_nvme_multipath (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  add_member (f, DISK, "block", "nvme/nvme0/nvme0c0n1");
  add_member (f, NULL, "block", "nvme-subsystem/nvme-subsys0/nvme0n1");
  add_member (f, NULL, "block", "nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p2");
  set_attribute (f, "block", "nvme0n1/dev", "259:0\n");
  set_attribute (f, "block", "nvme0n1p2/dev", "259:2\n");
  assert_reasons (f, DISK, "");
  fake_write (f->k, "proc/self/mountinfo", "36 35 259:2 / / rw - ext4 /dev/root rw\n");
  assert_reasons (f, DISK, "block device nvme0n1p2 is mounted on /");
  fake_write (f->k, "proc/self/mountinfo", "36 35 259:0 / /raw rw - ext4 /dev/root rw\n");
  assert_reasons (f, DISK, "block device nvme0n1 is mounted on /raw");
}

static void
test_no_procfs (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  add_block (f, "nvme/nvme0/nvme0n1", "259:0\n");
  g_clear_pointer (&f->host->proc, vv_dir_free);
  assert_reasons (f, DISK, "");
}

/* --- displays --- */

static void
test_console (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  add_member (f, NIC, "graphics", "graphics/fb0");
  assert_reasons (f, NIC, "");
  set_attribute (f, "vtconsole", "vtcon0/name", "(S) dummy device\n");
  set_attribute (f, "vtconsole", "vtcon0/bind", "1\n");
  set_attribute (f, "vtconsole", "vtcon1/name", "(M) frame buffer device\n");
  set_attribute (f, "vtconsole", "vtcon1/bind", "0\n");
  assert_reasons (f, NIC, "");
  set_attribute (f, "vtconsole", "vtcon1/bind", "1\n");
  assert_reasons (f, NIC, "display fb0 shows the console");
  assert_reasons (f, DISK, "");
}

static void
test_screen (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  add_member (f, NIC, "drm", "drm/card0");
  add_member (f, NIC, "drm", "drm/card0/card0-HDMI-A-1");
  set_attribute (f, "drm", "card0-HDMI-A-1/enabled", "disabled\n");
  assert_reasons (f, NIC, "");
  set_attribute (f, "drm", "card0-HDMI-A-1/enabled", "enabled\n");
  assert_reasons (f, NIC, "a display is active on card0-HDMI-A-1");
}

/* --- virtual functions --- */

static void
test_virtual_functions (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();
  g_autofree char *virtfn0 = fake_device_path (NIC, "virtfn0");
  g_autofree char *virtfn1 = fake_device_path (NIC, "virtfn1");

  fake_write_device (f->k, NIC, "sriov_numvfs", "0\n");
  assert_reasons (f, NIC, "");
  fake_add_device (f->k, "0000:3b:10.0", NIC_MODALIAS, NULL, NULL);
  fake_add_device (f->k, "0000:3b:10.1", NIC_MODALIAS, NULL, NULL);
  fake_write_device (f->k, NIC, "sriov_numvfs", "2\n");
  fake_link (f->k, virtfn0, "../0000:3b:10.0");
  fake_link (f->k, virtfn1, "../0000:3b:10.1");
  assert_reasons (f, NIC, "2 virtual functions are enabled, none on a driver");
  fake_remove_device (f->k, "0000:3b:10.0");
  fake_remove_device (f->k, "0000:3b:10.1");
  fake_add_device (f->k, "0000:3b:10.0", NIC_MODALIAS, NULL, "mlx5_core");
  fake_add_device (f->k, "0000:3b:10.1", NIC_MODALIAS, "91", "vfio-pci");
  assert_reasons (f, NIC,
                  "2 virtual functions are enabled: 0000:3b:10.0 on mlx5_core, 0000:3b:10.1 on vfio-pci");
}

static void
test_all_at_once (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  add_block (f, "nvme/nvme0/nvme0n1", "259:0\n");
  add_block (f, "nvme/nvme0/nvme0n1/nvme0n1p1", "259:1\n");
  add_holder (f, "nvme0n1p1", "dm-0", "LVM-abc", "vg0-root");
  fake_write (f->k, "proc/self/mountinfo", "36 35 259:0 / /srv rw - ext4 /dev/nvme0n1 rw\n");
  fake_write (f->k, "proc/swaps", "Filename\n/dev/nvme0n1p1 partition 100 0 -2\n");
  assert_reasons (f, DISK,
                  "block device nvme0n1 is mounted on /srv\n"
                  "block device nvme0n1p1 is swap space\n"
                  "block device nvme0n1p1 is in use by LVM (vg0-root)");
}

/* --- VFIO --- */

static char *
user_of (const Fixture *f, const char *address)
{
  g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, address, NULL);

  return vv_vfio_user (f->host, device);
}

static void
put_on_vfio (const Fixture *f)
{
  fake_remove_device (f->k, NIC);
  fake_add_device (f->k, NIC, NIC_MODALIAS, NIC_GROUP, "vfio-pci");
}

static void
test_vfio_user (void)
{
  static const struct {
    const char *says, *number, *user;
  } cases[] = {
      {"its group", "240:" NIC_GROUP, "qemu-system-x86 (pid 812)"},
      {"its own VFIO device", "241:" NIC_GROUP, "qemu-system-x86 (pid 812)"},
      {"another group", "240:" DISK_GROUP, NULL},
      {"something else", "1:3", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = in_use_fixture ();
    put_on_vfio (f);
    if (!fake_add_process (f->k, "812", "qemu-system-x86\n", cases[i].number))
      return;
    g_autofree char *user = user_of (f, NIC);
    g_assert_cmpstr (user, ==, cases[i].user);
  }
}

static void
test_no_vfio_user (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  fake_link (f->k, "proc/812/exe", "/usr/bin/program");
  fake_write (f->k, "proc/812/fd/3", "a file, no device");
  fake_link (f->k, "proc/812/fd/4", "socket:[4711]");
  fake_write (f->k, "proc/uptime", "1 1");
  g_autofree char *not_on_vfio = user_of (f, NIC);
  g_assert_null (not_on_vfio);
  put_on_vfio (f);
  g_autofree char *on_vfio = user_of (f, NIC);
  g_assert_null (on_vfio);
  fake_write (f->k, "sys/class/vfio/" NIC_GROUP "/dev", "nonsense\n");
  g_autofree char *odd = user_of (f, NIC);
  g_assert_null (odd);
  g_clear_pointer (&f->host->proc, vv_dir_free);
  g_autofree char *no_procfs = user_of (f, NIC);
  g_assert_null (no_procfs);
}

/* A block device with the same number */
static void
test_block_device_of_that_number (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();
  g_autofree char *node = g_build_filename (f->k->root, "vfio/41", NULL);

  put_on_vfio (f);
  fake_link (f->k, "proc/812/exe", "/usr/bin/program");
  fake_link (f->k, "proc/812/fd/3", node);
  fake_mkdir (f->k, "vfio");
  if (!fake_node (node, S_IFBLK, 240, (guint)atoi (NIC_GROUP)))
    return;
  g_autofree char *user = user_of (f, NIC);
  g_assert_null (user);
}

/* Without an IOMMU, the group's node has another name, and the device has no node of its own. */
static void
test_vfio_user_without_an_iommu (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  put_on_vfio (f);
  fake_remove (f->k, "sys/class/vfio/" NIC_GROUP);
  fake_remove (f->k, "sys/class/vfio-dev");
  fake_write (f->k, "sys/class/vfio/noiommu-" NIC_GROUP "/dev", "240:3\n");
  if (!fake_add_process (f->k, "812", "dpdk-testpmd\n", "240:3"))
    return;
  g_autofree char *user = user_of (f, NIC);
  g_assert_cmpstr (user, ==, "dpdk-testpmd (pid 812)");
}

/* udev opens a new node with O_PATH to set its owner, which does not open the device. Uses the real /proc,
 * with /dev/full as the group's node. */
static void
test_node_opened_by_path (void)
{
  static const struct {
    int flags;
    gboolean holds;
  } cases[] = {{O_PATH, FALSE}, {O_RDONLY, TRUE}, {O_WRONLY, TRUE}, {O_RDWR, TRUE}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = in_use_fixture ();
    put_on_vfio (f);
    fake_write (f->k, "sys/class/vfio/" NIC_GROUP "/dev", "1:7\n");
    vv_dir_free (f->host->proc);
    f->host->proc = vv_dir_open (NULL, "/proc", NULL);
    g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, NIC, NULL);
    int fd = open ("/dev/full", cases[i].flags | O_CLOEXEC);
    g_assert_cmpint (fd, >=, 0);
    g_assert_cmpint (vv_vfio_holder (f->host, device) == getpid (), ==, cases[i].holds);
    close (fd);
  }
}

/* Process 812 opens the device @number by a node at @path, relative to the fake root. */
static gboolean
open_in_process (const Fixture *f, const char *path, guint number)
{
  g_autofree char *node = g_build_filename (f->k->root, path, NULL);
  g_autofree char *folder = g_path_get_dirname (path);

  fake_link (f->k, "proc/812/exe", "/usr/bin/program");
  fake_write (f->k, "proc/812/comm", "program\n");
  fake_link (f->k, "proc/812/fd/3", node);
  fake_mkdir (f->k, folder);
  return fake_node (node, S_IFCHR, 240, number);
}

/* Only files with a matching name are examined. In a container, the nodes have other paths. */
static void
test_names_of_nodes (void)
{
  static const struct {
    const char *path;
    gboolean counts;
  } cases[] = {
      {"host/dev/vfio/41", TRUE},
      {"srv/chroot/dev/vfio/noiommu-41", TRUE},
      {"dev/vfio/devices/vfio3", TRUE},
      {"dev/vfio/41 (deleted)", TRUE}, /* after umount --lazy, or if the group was recreated */
      {"home/vfio/readme", FALSE},
      {"home/41", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].path);
    g_autoptr (Fixture) f = in_use_fixture ();
    put_on_vfio (f);
    if (!open_in_process (f, cases[i].path, 41))
      return;
    g_autofree char *user = user_of (f, NIC);
    g_assert_cmpstr (user, ==, cases[i].counts ? "program (pid 812)" : NULL);
  }
}

/* One scan of /proc serves all devices. A process without VFIO files is scanned again only for a device that
 * is enabled. A process with VFIO files is checked at every call, also for files opened since. */
static void
test_one_look_for_all (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  put_on_vfio (f);
  fake_write_device (f->k, NIC, "enable", "0\n");
  g_autofree char *before = user_of (f, NIC);
  g_assert_null (before);
  if (!fake_add_process (f->k, "812", "qemu-system-x86\n", "240:" NIC_GROUP))
    return;
  g_autofree char *not_open = user_of (f, NIC);
  g_assert_null (not_open);
  fake_write_device (f->k, NIC, "enable", "1\n");
  g_autofree char *open = user_of (f, NIC);
  g_assert_cmpstr (open, ==, "qemu-system-x86 (pid 812)");
  fake_write_device (f->k, NIC, "enable", "0\n");
  g_autofree char *known = user_of (f, NIC);
  g_assert_cmpstr (known, ==, "qemu-system-x86 (pid 812)");
  fake_remove (f->k, "proc/812/fd/7");
  g_autofree char *closed = user_of (f, NIC);
  g_assert_null (closed);
}

/* Any user can have very many open files. If the scan is incomplete, an enabled device may be in use. */
static void
test_a_look_that_takes_too_long (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  put_on_vfio (f);
  fake_write_device (f->k, NIC, "enable", "1\n");
  if (!fake_add_process (f->k, "812", "nobody\n", "1:3"))
    return;
  g_autofree char *in_time = user_of (f, NIC);
  g_assert_null (in_time);
  f->host->proc_look->limit = -1;
  f->host->proc_look->taken = 0; /* the scan is outdated */
  g_autofree char *enabled = user_of (f, NIC);
  g_assert_cmpstr (enabled, ==, "a process (not identified in time: too many open files on this host)");
  fake_write_device (f->k, NIC, "enable", "0\n");
  g_autofree char *idle = user_of (f, NIC);
  g_assert_null (idle);
}

/* A swap file's path may be on a file server, and names no block device. */
static void
test_swap_file (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();
  g_autofree char *node = g_build_filename (f->k->root, "swapfile", NULL);
  g_autofree char *swaps = g_strdup_printf ("Filename\n%s\t\t\tfile\t\t100\t0\t-2\n", node);

  add_block (f, "nvme/nvme0/nvme0n1", "259:0\n");
  if (!fake_node (node, S_IFBLK, 259, 0))
    return;
  fake_write (f->k, "proc/swaps", swaps);
  assert_reasons (f, DISK, "");
}

/* A kernel thread has no program, and its files are not read. Those of a process whose program was deleted
 * are. */
static void
test_kernel_thread (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  put_on_vfio (f);
  if (!fake_add_process (f->k, "812", "kworker/0:1\n", "240:" NIC_GROUP))
    return;
  g_autofree char *gone = user_of (f, NIC);
  g_assert_cmpstr (gone, ==, "kworker/0:1 (pid 812)");
  fake_remove (f->k, "proc/812/exe");
  g_autofree char *none = user_of (f, NIC);
  g_assert_null (none);
}

static void
test_vfio_user_without_a_name (void)
{
  g_autoptr (Fixture) f = in_use_fixture ();

  put_on_vfio (f);
  if (!fake_add_process (f->k, "812", "", "240:" NIC_GROUP))
    return;
  fake_remove (f->k, "proc/812/comm");
  g_autofree char *user = user_of (f, NIC);
  g_assert_cmpstr (user, ==, "a process (pid 812)");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/in-use/idle", test_idle);
  g_test_add_func ("/in-use/network/address", test_interface_with_an_address);
  g_test_add_func ("/in-use/network/bridge-and-vlan", test_interface_in_something);
  g_test_add_func ("/in-use/network/neighbours-count-for-nothing", test_neighbours_count_for_nothing);
  g_test_add_func ("/in-use/disk/mounted", test_mounted);
  g_test_add_func ("/in-use/disk/swap", test_swap);
  g_test_add_func ("/in-use/disk/swap-file", test_swap_file);
  g_test_add_func ("/in-use/disk/held", test_blocked);
  g_test_add_func ("/in-use/disk/nvme-multipath", test_nvme_multipath);
  g_test_add_func ("/in-use/disk/no-procfs", test_no_procfs);
  g_test_add_func ("/in-use/display/console", test_console);
  g_test_add_func ("/in-use/display/screen", test_screen);
  g_test_add_func ("/in-use/virtual-functions", test_virtual_functions);
  g_test_add_func ("/in-use/all-at-once", test_all_at_once);
  g_test_add_func ("/in-use/vfio/user", test_vfio_user);
  g_test_add_func ("/in-use/vfio/nobody", test_no_vfio_user);
  g_test_add_func ("/in-use/vfio/user-without-an-iommu", test_vfio_user_without_an_iommu);
  g_test_add_func ("/in-use/vfio/names-of-nodes", test_names_of_nodes);
  g_test_add_func ("/in-use/vfio/opened-by-path", test_node_opened_by_path);
  g_test_add_func ("/in-use/vfio/one-look-for-all", test_one_look_for_all);
  g_test_add_func ("/in-use/vfio/a-look-that-takes-too-long", test_a_look_that_takes_too_long);
  g_test_add_func ("/in-use/vfio/a-disk-of-that-number", test_block_device_of_that_number);
  g_test_add_func ("/in-use/vfio/kernel-thread", test_kernel_thread);
  g_test_add_func ("/in-use/vfio/user-without-a-name", test_vfio_user_without_a_name);
  return g_test_run ();
}
