/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "in-use.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "one-line.h"

#define PROC_LIMIT (4 * 1024 * 1024) /* enough for mountinfo of a host with very many containers */

/* Makes the reason safe for logs and terminals: names of mount points and of device mapper devices may have
 * any characters. */
static void add_reason (GPtrArray *reasons, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add_reason (GPtrArray *reasons, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_ptr_array_add (reasons, vv_one_line (reason, strlen (reason), FALSE));
}

/* Returns: the path of a link's target in the device tree: what follows "devices/" */
static char *
tree_path (const VvDir *dir, const char *link)
{
  g_autofree char *target = vv_io_link (dir, link);
  const char *devices = target ? strstr (target, "devices/") : NULL;

  return devices ? g_strconcat (devices + strlen ("devices/"), "/", NULL) : NULL;
}

/* Returns: the members of a class (net, block, drm, ...) below the device in the device tree */
static GPtrArray *
class_members (const VvHost *host, const VvPciDevice *device, const char *class)
{
  g_autofree char *folder = g_build_filename ("class", class, NULL);
  g_autofree char *self = g_build_filename ("bus/pci/devices", device->address, NULL);
  g_autofree char *place = tree_path (host->sys, self);
  GPtrArray *names = vv_io_list (host->sys, folder);

  for (guint i = names->len; i-- > 0;) {
    g_autofree char *link = g_build_filename (folder, names->pdata[i], NULL);
    g_autofree char *member = tree_path (host->sys, link);
    if (!place || !member || !g_str_has_prefix (member, place))
      g_ptr_array_remove_index (names, i);
  }
  return names;
}

/* --- network --- */

static char *
interface_address (const char *name)
{
  struct ifaddrs *all = NULL;
  char text[INET6_ADDRSTRLEN] = "";

  if (getifaddrs (&all) < 0)
    return NULL;
  for (struct ifaddrs *a = all; a && !*text; a = a->ifa_next) {
    if (strcmp (a->ifa_name, name) != 0 || !a->ifa_addr)
      continue;
    if (a->ifa_addr->sa_family == AF_INET)
      inet_ntop (AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, text, sizeof text);
    else if (a->ifa_addr->sa_family == AF_INET6)
      inet_ntop (AF_INET6, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, text, sizeof text);
  }
  freeifaddrs (all);
  return *text ? g_strdup (text) : NULL;
}

static void
judge_interface (const VvHost *host, const char *name, GPtrArray *reasons)
{
  g_autofree char *folder = g_build_filename ("class/net", name, NULL);
  g_autofree char *master_link = g_build_filename (folder, "master", NULL);
  g_autofree char *master = vv_io_link_name (host->sys, master_link);
  g_autofree char *address = host->sysroot ? NULL : interface_address (name);
  g_autofree char *flags_path = g_build_filename (folder, "flags", NULL);
  g_autofree char *flags = address ? vv_io_attribute (host->sys, flags_path) : NULL;
  g_autoptr (GPtrArray) entries = vv_io_list (host->sys, folder);

  if (master)
    add_reason (reasons, _ ("network interface %s is part of %s (a bridge, bond or team)"), name, master);
  for (guint i = 0; i < entries->len; i++) {
    const char *upper = entries->pdata[i];
    if (g_str_has_prefix (upper, "upper_") && g_strcmp0 (upper + strlen ("upper_"), master) != 0)
      add_reason (reasons, _ ("network interface %s carries %s (a VLAN, macvtap or the like)"), name,
                  upper + strlen ("upper_"));
  }
  if (flags && (g_ascii_strtoull (flags, NULL, 0) & IFF_UP))
    add_reason (reasons, _ ("network interface %s is up with address %s"), name, address);
}

/* --- disks --- */

static gboolean
same_block_device (const char *number, const char *name, const char *path)
{
  g_autofree char *base = g_path_get_basename (path);
  struct stat st;

  if (strcmp (base, name) == 0)
    return TRUE;
  if (*path != '/' || stat (path, &st) < 0 || !S_ISBLK (st.st_mode))
    return FALSE;
  g_autofree char *at_path = g_strdup_printf ("%u:%u", major (st.st_rdev), minor (st.st_rdev));
  return strcmp (at_path, number) == 0;
}

static char *
proc_text (const VvHost *host, const char *name)
{
  return host->proc ? vv_io_read (host->proc, name, PROC_LIMIT, NULL) : NULL;
}

/* Returns: the mount point of a block device. Fields: id parent major:minor root MOUNT-POINT options... -
 * type SOURCE options (proc(5)). btrfs reports an anonymous device number, so the source counts too. But any
 * user may mount FUSE and claim any device as the source. For FUSE, only the kernel's number counts. It is
 * right for "fuseblk", with which root mounts NTFS. */
static char *
mount_point (const VvHost *host, const char *number, const char *name)
{
  g_autofree char *text = proc_text (host, "self/mountinfo");
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  for (char **line = lines; *line; line++) {
    g_auto (GStrv) fields = g_strsplit (*line, " ", -1);
    const char *tail = strstr (*line, " - ");
    g_auto (GStrv) source = g_strsplit (tail ? tail + 3 : "", " ", 3);
    if (g_strv_length (fields) < 5)
      continue;
    gboolean source_counts = g_strv_length (source) > 1 && strcmp (source[0], "fuse") != 0 &&
                             !g_str_has_prefix (source[0], "fuse.");
    if (strcmp (fields[2], number) == 0 || (source_counts && g_str_has_prefix (source[1], "/dev/") &&
                                            same_block_device (number, name, source[1])))
      return g_strcompress (fields[4]); /* \040 for a blank */
  }
  return NULL;
}

/* Fields: path, type, size, used, priority (proc(5)). Checks only partitions: a swap file may be on a file
 * server, which stat(2) would query. */
static gboolean
is_swap (const VvHost *host, const char *number, const char *name)
{
  g_autofree char *text = proc_text (host, "swaps");
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  for (char **line = lines; *line; line++) {
    char type[16] = "";
    sscanf (*line, "%*s %15s", type);
    g_auto (GStrv) words = g_strsplit_set (*line, " \t", 2);
    if (strcmp (type, "partition") == 0 && same_block_device (number, name, words[0]))
      return TRUE;
  }
  return FALSE;
}

/* Returns: the kind and name of a holder of a block device, such as "LVM (vg0-root)". dm/uuid begins with the
 * name of the subsystem that created it. */
static char *
holder_kind (const VvHost *host, const char *holder)
{
  g_autofree char *uuid_path = g_build_filename ("class/block", holder, "dm/uuid", NULL);
  g_autofree char *name_path = g_build_filename ("class/block", holder, "dm/name", NULL);
  g_autofree char *uuid = vv_io_attribute (host->sys, uuid_path);
  g_autofree char *name = vv_io_attribute (host->sys, name_path);
  const char *kind = !uuid                               ? _ ("a device stacked on it")
                     : g_str_has_prefix (uuid, "LVM-")   ? "LVM"
                     : g_str_has_prefix (uuid, "CRYPT-") ? _ ("disk encryption")
                     : g_str_has_prefix (uuid, "mpath-") ? "multipath"
                                                         : _ ("the device mapper");

  if (g_str_has_prefix (holder, "md"))
    kind = _ ("an md array");
  return g_strdup_printf ("%s (%s)", kind, name ? name : holder);
}

static void
judge_block (const VvHost *host, const char *name, GPtrArray *reasons)
{
  g_autofree char *number_path = g_build_filename ("class/block", name, "dev", NULL);
  g_autofree char *number = vv_io_attribute (host->sys, number_path); /* "259:3", as in mountinfo */
  g_autofree char *holders_path = g_build_filename ("class/block", name, "holders", NULL);
  g_autoptr (GPtrArray) holders = vv_io_list (host->sys, holders_path);
  g_autofree char *mounted = number ? mount_point (host, number, name) : NULL;

  if (mounted)
    add_reason (reasons, _ ("block device %s is mounted on %s"), name, mounted);
  if (number && is_swap (host, number, name))
    add_reason (reasons, _ ("block device %s is swap space"), name);
  for (guint i = 0; i < holders->len; i++) {
    g_autofree char *kind = holder_kind (host, holders->pdata[i]);
    add_reason (reasons, _ ("block device %s is in use by %s"), name, kind);
  }
}

/* Returns: the disks below a device. For the hidden paths of NVMe multipath (nvme0c1n1), adds the disk that
 * they belong to (nvme0n1) and its partitions. The kernel places that disk elsewhere in the device tree
 * (drivers/nvme/host/multipath.c). */
static GPtrArray *
block_devices (const VvHost *host, const VvPciDevice *device)
{
  GPtrArray *names = class_members (host, device, "block");
  guint own = names->len;

  for (guint i = 0; i < own; i++) {
    guint subsystem, controller, namespace;
    if (sscanf (names->pdata[i], "nvme%uc%un%u", &subsystem, &controller, &namespace) != 3)
      continue;
    g_autofree char *head = g_strdup_printf ("nvme%un%u", subsystem, namespace);
    g_autofree char *folder = g_build_filename ("class/block", head, NULL);
    g_autoptr (GPtrArray) inside = vv_io_list (host->sys, folder);
    for (guint k = 0; k < inside->len; k++)
      if (g_str_has_prefix (inside->pdata[k], head))
        g_ptr_array_add (names, g_strdup (inside->pdata[k]));
    g_ptr_array_add (names, g_steal_pointer (&head));
  }
  return names;
}

/* --- displays --- */

static gboolean
console_on_framebuffer (const VvHost *host)
{
  g_autoptr (GPtrArray) consoles = vv_io_list (host->sys, "class/vtconsole");

  for (guint i = 0; i < consoles->len; i++) {
    g_autofree char *name_path = g_build_filename ("class/vtconsole", consoles->pdata[i], "name", NULL);
    g_autofree char *bind_path = g_build_filename ("class/vtconsole", consoles->pdata[i], "bind", NULL);
    g_autofree char *name = vv_io_attribute (host->sys, name_path);
    g_autofree char *bind = vv_io_attribute (host->sys, bind_path);
    if (name && strstr (name, "frame buffer") && g_strcmp0 (bind, "1") == 0)
      return TRUE;
  }
  return FALSE;
}

static void
judge_display (const VvHost *host, const VvPciDevice *device, GPtrArray *reasons)
{
  g_autoptr (GPtrArray) framebuffers = class_members (host, device, "graphics");
  g_autoptr (GPtrArray) drm = class_members (host, device, "drm");

  if (framebuffers->len && console_on_framebuffer (host))
    add_reason (reasons, _ ("display %s shows the console"), (char *)framebuffers->pdata[0]);
  for (guint i = 0; i < drm->len; i++) { /* connectors, such as card0-HDMI-A-1 */
    g_autofree char *path = g_build_filename ("class/drm", drm->pdata[i], "enabled", NULL);
    g_autofree char *enabled = vv_io_attribute (host->sys, path);
    if (g_strcmp0 (enabled, "enabled") == 0)
      add_reason (reasons, _ ("a display is active on %s"), (char *)drm->pdata[i]);
  }
}

/* --- virtual functions --- */

static void
judge_virtual_functions (const VvPciDevice *device, GPtrArray *reasons)
{
  g_autofree char *enabled = vv_io_attribute (device->dir, "sriov_numvfs");
  g_autoptr (GPtrArray) entries = vv_io_list (device->dir, ".");
  g_autoptr (GString) bound = g_string_new (NULL);

  if (!enabled || strcmp (enabled, "0") == 0)
    return;
  for (guint i = 0; i < entries->len; i++) {
    if (!g_str_has_prefix (entries->pdata[i], "virtfn"))
      continue;
    g_autofree char *driver_link = g_build_filename (entries->pdata[i], "driver", NULL);
    g_autofree char *driver = vv_io_link_name (device->dir, driver_link);
    g_autofree char *address = vv_io_link_name (device->dir, entries->pdata[i]);
    if (driver)
      g_string_append_printf (bound, "%s%s on %s", bound->len ? ", " : "", address, driver);
  }
  gulong n = strtoul (enabled, NULL, 10);
  if (bound->len)
    add_reason (reasons,
                g_dngettext (GETTEXT_PACKAGE, "%lu virtual function is enabled: %s",
                             "%lu virtual functions are enabled: %s", n),
                n, bound->str);
  else
    add_reason (reasons,
                g_dngettext (GETTEXT_PACKAGE, "%lu virtual function is enabled, on no driver",
                             "%lu virtual functions are enabled, none on a driver", n),
                n);
}

GPtrArray *
vv_host_use (const VvHost *host, const VvPciDevice *device)
{
  GPtrArray *reasons = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) interfaces = class_members (host, device, "net");
  g_autoptr (GPtrArray) blocks = block_devices (host, device);

  for (guint i = 0; i < interfaces->len; i++)
    judge_interface (host, interfaces->pdata[i], reasons);
  for (guint i = 0; i < blocks->len; i++)
    judge_block (host, blocks->pdata[i], reasons);
  judge_display (host, device, reasons);
  judge_virtual_functions (device, reasons);
  return reasons;
}

/* --- VFIO --- */

#define LOOK_AGE_US (10 * G_USEC_PER_SEC)

/* The group's node, the group's node without an IOMMU, and the device's own node */
#define NODES 3

/* A character device that a process has open */
typedef struct {
  int pid;
  dev_t number;
} OpenNode;

/* Returns: the number of a character device, from its "dev" attribute, or 0 */
static dev_t
char_number (const VvDir *dir, const char *class, const char *prefix, const char *name)
{
  g_autofree char *path = g_strdup_printf ("class/%s/%s%s/dev", class, prefix, name ? name : "-");
  g_autofree char *text = vv_io_attribute (dir, path);
  guint major_number, minor_number;

  if (!text || sscanf (text, "%u:%u", &major_number, &minor_number) != 2)
    return 0;
  return makedev (major_number, minor_number);
}

/* Checks the name only, which is cheap. In a container or chroot, the nodes have another path, but a
 * directory named vfio. In /dev itself, a node can have any name. */
static gboolean
may_be_node (const char *name)
{
  static const char deleted[] = " (deleted)"; /* d_path() in fs/d_path.c */
  gsize length = strlen (name);

  if (g_str_has_prefix (name, "/dev/") && !g_str_has_prefix (name, "/dev/shm/"))
    return TRUE;
  if (g_str_has_suffix (name, deleted))
    length -= strlen (deleted);
  return length > 0 && g_ascii_isdigit (name[length - 1]) && strstr (name, "/vfio/");
}

/* A plain stat(2) queries the server of a network or FUSE file system, which may be dead; files there can be
 * named like VFIO nodes. The permissions of the link show the open mode (tid_fd_mode() in fs/proc/fd.c). They
 * are empty with O_PATH, which udev uses briefly on a new node. Returns: 0 for a file that is no character
 * device, or open with O_PATH */
static dev_t
open_number (int folder, const char *fd)
{
  char name[PATH_MAX];
  struct statx stx;
  struct stat link;
  ssize_t n = readlinkat (folder, fd, name, sizeof name - 1);

  name[MAX (n, 0)] = '\0';
  if (n <= 0 || !may_be_node (name) ||
      statx (folder, fd, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) < 0 ||
      !S_ISCHR (stx.stx_mode) || fstatat (folder, fd, &link, AT_SYMLINK_NOFOLLOW) < 0 ||
      !(link.st_mode & (S_IRUSR | S_IWUSR)))
    return 0;
  return makedev (stx.stx_rdev_major, stx.stx_rdev_minor);
}

/* Adds the character devices that a process has open. Kernel threads have no executable and no open files
 * (proc_exe_link() in fs/proc/base.c), and a large host has thousands: one readlink(2) skips each. Does not
 * use vv_io_list(), which would store up to a hundred thousand names. Returns: FALSE if the time limit
 * @until was exceeded */
static gboolean
look_at_process (const VvDir *proc, int pid, GArray *open, gint64 until)
{
  char path[32], first;

  snprintf (path, sizeof path, "%d/exe", pid);
  if (readlinkat (proc->fd, path, &first, sizeof first) < 0 && errno == ENOENT)
    return TRUE;
  snprintf (path, sizeof path, "%d/fd", pid);
  int folder = openat (proc->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = folder < 0 ? NULL : fdopendir (folder);
  if (!stream) {
    if (folder >= 0)
      close (folder);
    return TRUE;
  }
  gboolean in_time = TRUE;
  for (const struct dirent *e = readdir (stream); e && in_time; e = readdir (stream)) {
    const OpenNode node = {pid, open_number (folder, e->d_name)};
    if (node.number)
      g_array_append_val (open, node);
    in_time = g_get_monotonic_time () < until;
  }
  closedir (stream);
  return in_time;
}

/* Has a time limit, because any user can have half a million open files in each of many processes. */
static void
look_through_proc (const VvHost *host)
{
  VvProcLook *look = host->proc_look;
  g_autoptr (GPtrArray) names = vv_io_list (host->proc, ".");

  look->taken = g_get_monotonic_time ();
  look->is_cut = FALSE;
  g_clear_pointer (&look->open, g_array_unref);
  look->open = g_array_new (FALSE, FALSE, sizeof (OpenNode));
  for (guint i = 0; i < names->len && !look->is_cut; i++) {
    guint64 pid;
    if (g_ascii_string_to_unsigned (names->pdata[i], 10, 1, G_MAXINT, &pid, NULL))
      look->is_cut = !look_at_process (host->proc, (int)pid, look->open, look->taken + look->limit);
  }
}

/* VFIO has one major number for all groups, and one for all devices. */
static gboolean
is_vfio (const dev_t nodes[NODES], dev_t number)
{
  for (guint i = 0; i < NODES; i++)
    if (nodes[i] && major (nodes[i]) == major (number))
      return TRUE;
  return FALSE;
}

static gboolean
process_holds (const VvHost *host, int pid, const dev_t nodes[NODES])
{
  g_autoptr (GArray) open = g_array_new (FALSE, FALSE, sizeof (OpenNode));
  gboolean holds = FALSE;

  look_at_process (host->proc, pid, open, g_get_monotonic_time () + host->proc_look->limit);
  for (guint i = 0; !holds && i < open->len; i++) {
    dev_t number = g_array_index (open, OpenNode, i).number;
    holds = number == nodes[0] || number == nodes[1] || number == nodes[2];
  }
  return holds;
}

/* Checks what the processes that had a VFIO node open at the last scan have open now. */
static int
holder_of (const VvHost *host, const dev_t nodes[NODES])
{
  const GArray *open = host->proc_look->open;
  int asked = 0;

  for (guint i = 0; open && i < open->len; i++) {
    const OpenNode *node = &g_array_index (open, OpenNode, i);
    if (node->pid == asked || !is_vfio (nodes, node->number))
      continue;
    asked = node->pid;
    if (process_holds (host, asked, nodes))
      return asked;
  }
  return 0;
}

/* An open of the device enables it (vfio_pci_core_enable() in drivers/vfio/pci/vfio_pci_core.c), and the last
 * close disables it (vfio_pci_core_disable()). A previous driver may have left it enabled. */
static gboolean
is_enabled (const VvPciDevice *device)
{
  g_autofree char *count = device->dir ? vv_io_attribute (device->dir, "enable") : NULL;

  return count && g_ascii_strtoull (count, NULL, 10) > 0;
}

pid_t
vv_vfio_holder (const VvHost *host, const VvPciDevice *device)
{
  gint64 begun = g_get_monotonic_time ();
  VvProcLook *look = host->proc_look;
  /* vfio_create_group() in drivers/vfio/group.c names the groups */
  const dev_t nodes[NODES] = {char_number (host->sys, "vfio", "", device->iommu_group),
                              char_number (host->sys, "vfio", "noiommu-", device->iommu_group),
                              char_number (host->sys, "vfio-dev", "", device->vfio_dev)};

  if (!host->proc || (!nodes[0] && !nodes[1] && !nodes[2]))
    return 0;
  g_mutex_lock (&look->lock);
  if (!look->open || begun - look->taken > LOOK_AGE_US)
    look_through_proc (host);
  int pid = holder_of (host, nodes);
  if (!pid && look->taken < begun && is_enabled (device)) { /* opened after the scan? */
    look_through_proc (host);
    pid = holder_of (host, nodes);
  }
  if (!pid && look->is_cut && is_enabled (device))
    pid = VV_HOLDER_UNKNOWN;
  g_mutex_unlock (&look->lock);
  return pid;
}

char *
vv_vfio_user (const VvHost *host, const VvPciDevice *device)
{
  int pid = vv_vfio_holder (host, device);

  if (!pid)
    return NULL;
  if (pid == VV_HOLDER_UNKNOWN)
    return g_strdup (_ ("a process (not identified in time: too many open files on this host)"));
  g_autofree char *path = g_strdup_printf ("%d/comm", pid);
  g_autofree char *comm = vv_io_attribute (host->proc, path);
  g_autofree char *shown = comm ? vv_one_line (comm, strlen (comm), FALSE) : NULL;
  return g_strdup_printf ("%s (pid %d)", shown ? shown : _ ("a process"), pid);
}
