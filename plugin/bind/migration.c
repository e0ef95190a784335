/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "migration.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <linux/vfio.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "group.h"
#include "in-use.h"
#include "modalias.h"

/* Definitions that the headers of Linux 6.1 lack, from include/uapi/linux/vfio.h. The running kernel may be
 * newer than the headers. */
#ifndef VFIO_MIGRATION_PRE_COPY
#define VFIO_MIGRATION_PRE_COPY (1 << 2)
#endif
#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO (VFIO_TYPE, VFIO_BASE + 18)
struct vfio_device_bind_iommufd {
  guint32 argsz;
  guint32 flags;
  gint32 iommufd;
  guint32 out_devid;
};
#endif

/* include/uapi/linux/iommufd.h: the structure of Linux 6.7. Linux 6.6 accepts the longer structure, and
 * leaves unknown members at 0. */
#define GET_HW_INFO _IO (';', 0x8a)
#define HW_CAP_DIRTY_TRACKING (1 << 0)
struct hw_info {
  guint32 size;
  guint32 flags;
  guint32 dev_id;
  guint32 data_len;
  guint64 data_uptr;
  guint32 out_data_type;
  guint32 reserved;
  guint64 out_capabilities;
};

#define CONTAINER_NODE "/dev/vfio/vfio"
#define IOMMUFD_NODE "/dev/iommu"

#define GROUP "migration"
#define IOMMU_LOGGING "iommu-logging" /* a missing key means unknown */
#define MODALIAS_LIMIT 128 /* a PCI modalias has 54 characters; it is part of a file name (255 bytes) */

/* --- descriptors --- */

/* @base: the container or the iommufd. @iommu_logging: the answer of the IOMMU; VV_ANSWER_NO without
 * iommufd */
typedef struct {
  VvFd base;
  VvFd group;
  VvFd device;
  VvAnswer iommu_logging;
} Opened;

static void
opened_clear (Opened *o)
{
  vv_fd_close (&o->device);
  vv_fd_close (&o->group);
  vv_fd_close (&o->base);
  o->iommu_logging = VV_ANSWER_UNKNOWN;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Opened, opened_clear)

static gboolean
fail (const VvPciDevice *device, const char *what, int errnum, GError **error)
{
  if (errnum != EBUSY)
    return vv_set_errno (error, errnum, "%s: %s", device->address, what);
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, _ ("%s is in use: %s: %s"), device->address, what,
               g_strerror (errnum));
  return FALSE;
}

static gboolean
open_node (const VvHost *host, const VvPciDevice *device, const char *node, int *fd, GError **error)
{
  g_autofree char *path = vv_host_path (host, node);

  *fd = vv_io_open_node (path);
  return *fd >= 0 || fail (device, path, -*fd, error);
}

/* --- iommufd --- */

static gboolean
has_node (const VvHost *host, const char *node)
{
  g_autofree char *path = vv_host_path (host, node);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static char *
cdev_node (const VvPciDevice *device)
{
  return device->vfio_dev ? g_build_filename ("/dev/vfio/devices", device->vfio_dev, NULL) : NULL;
}

static gboolean
open_by_iommufd (const VvHost *host, const VvPciDevice *device, Opened *o, GError **error)
{
  g_autofree char *node = cdev_node (device);
  struct vfio_device_bind_iommufd bind = {.argsz = sizeof bind};

  if (!open_node (host, device, node, &o->device, error) ||
      !open_node (host, device, IOMMUFD_NODE, &o->base, error))
    return FALSE;
  bind.iommufd = o->base;
  int result = vv_io_ioctl (o->device, VFIO_DEVICE_BIND_IOMMUFD, &bind);
  if (result < 0)
    return fail (device, "VFIO_DEVICE_BIND_IOMMUFD", -result, error);
  /* iommufd_get_hw_info() in drivers/iommu/iommufd/device.c. ENOTTY: a kernel before 6.6, which cannot track
   * dirty pages. */
  struct hw_info info = {.size = sizeof info, .dev_id = bind.out_devid};
  result = vv_io_ioctl (o->base, GET_HW_INFO, &info);
  if (result >= 0)
    o->iommu_logging = info.out_capabilities & HW_CAP_DIRTY_TRACKING ? VV_ANSWER_YES : VV_ANSWER_NO;
  else
    o->iommu_logging = result == -ENOTTY ? VV_ANSWER_NO : VV_ANSWER_UNKNOWN;
  return TRUE;
}

/* --- IOMMU group --- */

static gboolean
open_container (const VvHost *host, const VvPciDevice *device, Opened *o, guint *type, GError **error)
{
  if (!open_node (host, device, CONTAINER_NODE, &o->base, error))
    return FALSE;
  int version = vv_io_ioctl (o->base, VFIO_GET_API_VERSION, NULL);
  if (version < 0)
    return fail (device, "VFIO_GET_API_VERSION", -version, error);
  if (version != VFIO_API_VERSION) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED, _ ("%s: unsupported VFIO API version %d, expected %d"),
                 device->address, version, VFIO_API_VERSION);
    return FALSE;
  }
  *type = VFIO_TYPE1v2_IOMMU;
  if (vv_io_ioctl (o->base, VFIO_CHECK_EXTENSION, GUINT_TO_POINTER (*type)) > 0)
    return TRUE;
  *type = VFIO_TYPE1_IOMMU;
  if (vv_io_ioctl (o->base, VFIO_CHECK_EXTENSION, GUINT_TO_POINTER (*type)) > 0)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               _ ("%s: this kernel has no VFIO type 1 IOMMU driver (vfio_iommu_type1)"), device->address);
  return FALSE;
}

static gboolean
open_group (const VvHost *host, const VvPciDevice *device, Opened *o, GError **error)
{
  g_autofree char *node = g_build_filename ("/dev/vfio", device->iommu_group, NULL);
  struct vfio_group_status status = {.argsz = sizeof status};

  if (!open_node (host, device, node, &o->group, error))
    return FALSE;
  int result = vv_io_ioctl (o->group, VFIO_GROUP_GET_STATUS, &status);
  if (result < 0)
    return fail (device, "VFIO_GROUP_GET_STATUS", -result, error);
  if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
    return TRUE;
  g_autoptr (GPtrArray) obstacles = vv_group_obstacles (host, NULL, device, NULL);
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s: %s", device->address,
               obstacles->len ? (char *)obstacles->pdata[0]
                              : _ ("a driver other than VFIO does DMA in its IOMMU group"));
  return FALSE;
}

/* VFIO_SET_IOMMU: vfio_iommu_type1_attach_group() in drivers/vfio/vfio_iommu_type1.c */
static gboolean
set_iommu (const VvPciDevice *device, const Opened *o, guint type, GError **error)
{
  int result = vv_io_ioctl (o->base, VFIO_SET_IOMMU, GUINT_TO_POINTER (type));

  if (result != -EPERM)
    return result >= 0 || fail (device, "VFIO_SET_IOMMU", -result, error);
  g_set_error (error, VV_ERROR, VV_ERROR_PERMISSION,
               _ ("%s: VFIO_SET_IOMMU: %s: without interrupt remapping, VFIO requires the module parameter "
                  "allow_unsafe_interrupts of vfio_iommu_type1"),
               device->address, g_strerror (EPERM));
  return FALSE;
}

static gboolean
open_by_group (const VvHost *host, const VvPciDevice *device, Opened *o, GError **error)
{
  guint type = 0;

  if (!open_container (host, device, o, &type, error) || !open_group (host, device, o, error))
    return FALSE;
  int result = vv_io_ioctl (o->group, VFIO_GROUP_SET_CONTAINER, &o->base);
  if (result < 0)
    return fail (device, "VFIO_GROUP_SET_CONTAINER", -result, error);
  if (!set_iommu (device, o, type, error))
    return FALSE;
  o->device = vv_io_ioctl (o->group, VFIO_GROUP_GET_DEVICE_FD, device->address);
  return o->device >= 0 || fail (device, "VFIO_GROUP_GET_DEVICE_FD", -o->device, error);
}

/* If the driver or the kernel does not support iommufd for the device, the group may still work. If a process
 * uses the device, the group fails too. If the kernel has no groups, returns the error of iommufd. */
static gboolean
open_device (const VvHost *host, const VvPciDevice *device, Opened *o, GError **error)
{
  g_autofree char *node = cdev_node (device);
  g_autoptr (GError) first = NULL, second = NULL;

  if (!node || !has_node (host, node) || !has_node (host, IOMMUFD_NODE)) {
    o->iommu_logging = VV_ANSWER_NO;
    return open_by_group (host, device, o, error);
  }
  if (open_by_iommufd (host, device, o, &first))
    return TRUE;
  opened_clear (o);
  if (!g_error_matches (first, VV_ERROR, VV_ERROR_REFUSED)) {
    if (open_by_group (host, device, o, &second))
      return TRUE;
    if (!g_error_matches (second, VV_ERROR, VV_ERROR_NOT_FOUND)) {
      g_propagate_error (error, g_steal_pointer (&second));
      return FALSE;
    }
  }
  g_propagate_error (error, g_steal_pointer (&first));
  return FALSE;
}

/* --- queries --- */

/* Returns the flags of VFIO_DEVICE_FEATURE_MIGRATION; @flags is 0 if the driver has no such feature. */
static gboolean
ask_migration (const VvPciDevice *device, int fd, guint64 *flags, GError **error)
{
  struct vfio_device_feature_migration answer = {0};
  gsize size = sizeof (struct vfio_device_feature) + sizeof answer;
  g_autofree struct vfio_device_feature *feature = g_malloc0 (size);

  feature->argsz = size;
  feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION;
  int result = vv_io_ioctl (fd, VFIO_DEVICE_FEATURE, feature);
  if (result < 0 && result != -ENOTTY)
    return fail (device, "VFIO_DEVICE_FEATURE_MIGRATION", -result, error);
  if (result >= 0)
    memcpy (&answer, feature->data, sizeof answer);
  *flags = answer.flags;
  return TRUE;
}

static gboolean
ask_dma_logging (const VvPciDevice *device, int fd, gboolean *has, GError **error)
{
  struct vfio_device_feature feature = {
      .argsz = sizeof feature,
      .flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  };
  int result = vv_io_ioctl (fd, VFIO_DEVICE_FEATURE, &feature);

  *has = result >= 0;
  return result >= 0 || result == -ENOTTY ||
         fail (device, "VFIO_DEVICE_FEATURE_DMA_LOGGING_START", -result, error);
}

/* --- preconditions --- */

/* Before Linux 6.1, sysfs has no VFIO devices, only VFIO groups. */
static gboolean
is_on_vfio (const VvHost *host, const VvPciDevice *device)
{
  if (device->vfio_dev)
    return TRUE;
  if (!device->now.driver || !device->iommu_group || vv_io_exists (host->sys, "class/vfio-dev"))
    return FALSE;
  g_autofree char *group = g_build_filename ("class/vfio", device->iommu_group, NULL);
  return vv_io_exists (host->sys, group);
}

/* Returns the process that has the device or another device of its IOMMU group open. */
static char *
group_user (const VvHost *host, const VvPciDevice *device)
{
  g_autoptr (GPtrArray) members = vv_pci_group_members (host, device);
  char *user = vv_vfio_user (host, device);

  for (guint i = 0; !user && i < members->len; i++) {
    g_autoptr (VvPciDevice) member = vv_pci_device_open (host, members->pdata[i], NULL);
    if (member && member->vfio_dev && strcmp (member->address, device->address) != 0)
      user = vv_vfio_user (host, member);
  }
  return user;
}

static gboolean
may_be_asked (const VvHost *host, const VvPciDevice *device, GError **error)
{
  if (!is_on_vfio (host, device)) {
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
                 _ ("%s is on %s: only VFIO drivers can be queried; run 'vfio-variant bind %s' first"),
                 device->address, device->now.driver ? device->now.driver : _ ("no driver"), device->address);
    return FALSE;
  }
  g_autofree char *noiommu = g_strconcat ("class/vfio/noiommu-", device->iommu_group, NULL);
  if (!device->iommu_group || vv_io_exists (host->sys, noiommu)) {
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
                 _ ("%s is on VFIO without an IOMMU (no-IOMMU mode); guests cannot use it"), device->address);
    return FALSE;
  }
  g_autofree char *user = group_user (host, device);
  if (user)
    g_set_error (
        error, VV_ERROR, VV_ERROR_REFUSED,
        _ ("%s: IOMMU group %s is in use by %s; shut that guest down or detach the device from it first"),
        device->address, device->iommu_group, user);
  return !user;
}

gboolean
vv_migration_probe (const VvHost *host, const VvPciDevice *device, VvMigration *migration, GError **error)
{
  g_auto (Opened) opened = {-1, -1, -1, VV_ANSWER_UNKNOWN};
  guint64 flags = 0;
  VvMigration m = {0};

  if (!may_be_asked (host, device, error))
    return FALSE;
  if (g_strcmp0 (device->now.driver, VV_GENERIC_DRIVER) != 0 &&
      (!open_device (host, device, &opened, error) || !ask_migration (device, opened.device, &flags, error)))
    return FALSE;
  m.stop_copy = (flags & VFIO_MIGRATION_STOP_COPY) != 0;
  m.p2p = m.stop_copy && (flags & VFIO_MIGRATION_P2P);
  m.pre_copy = m.stop_copy && (flags & VFIO_MIGRATION_PRE_COPY);
  if (m.stop_copy && !ask_dma_logging (device, opened.device, &m.dma_logging, error))
    return FALSE;
  m.iommu_logging = m.stop_copy ? opened.iommu_logging : VV_ANSWER_UNKNOWN;
  *migration = m;
  return TRUE;
}

/* --- QEMU's conditions --- */

/* For a device without DMA logging: whether the IOMMU can track the memory that the device writes to. */
static VvMigratability
judge_tracking (const VvMigration *m, VvAnswer iommufd, const char **why)
{
  if (m->iommu_logging == VV_ANSWER_NO) {
    *why = _ ("has no DMA logging, and neither the IOMMU nor this kernel tracks dirty pages for it");
    return VV_MIGRATION_NO;
  }
  if (iommufd == VV_ANSWER_NO) {
    *why = _ ("has no DMA logging, and without iommufd the IOMMU tracks no dirty pages: use <driver "
              "iommufd='yes'/> (libvirt 12.1, QEMU 9.1)");
    return VV_MIGRATION_NO;
  }
  if (iommufd == VV_ANSWER_YES && m->iommu_logging == VV_ANSWER_YES)
    return VV_MIGRATION_YES;
  *why = iommufd == VV_ANSWER_YES
             ? _ ("has no DMA logging, and whether the IOMMU tracks dirty pages is unknown")
             : _ ("has no DMA logging: migration works only with <driver iommufd='yes'/> (libvirt 12.1, QEMU "
                  "9.1) on an IOMMU that tracks dirty pages");
  return VV_MIGRATION_UNKNOWN;
}

VvMigratability
vv_migration_judge (const VvMigration *m, const VvMigrationUse *use, const char **why)
{
  const VvMigrationUse nothing = {0};
  const char *reason = NULL;
  VvMigratability verdict = VV_MIGRATION_NO;

  if (!use)
    use = &nothing;
  if (!m->stop_copy)
    reason = _ ("does not support migration");
  else if (use->others && !m->p2p)
    reason = _ ("has no P2P state, which QEMU requires when a domain has several VFIO devices");
  else
    verdict = m->dma_logging || use->forced ? VV_MIGRATION_YES : judge_tracking (m, use->iommufd, &reason);
  if (why)
    *why = reason;
  return verdict;
}

/* --- notes --- */

static char *
note_name (const char *driver, const char *modalias)
{
  if (!driver || !vv_name_is_safe (driver) || strnlen (modalias, MODALIAS_LIMIT) == MODALIAS_LIMIT ||
      !*modalias || strchr (modalias, '/'))
    return NULL;
  return g_strdup_printf ("migration-%s-%s", driver, modalias);
}

gboolean
vv_migration_store (const VvStateStore *store, const char *driver, const char *modalias, const VvMigration *m,
                    GError **error)
{
  g_autofree char *name = note_name (driver, modalias);
  g_autoptr (GKeyFile) file = g_key_file_new ();

  if (!name) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("the driver name or the modalias is missing"));
    return FALSE;
  }
  g_key_file_set_string (file, GROUP, "driver", driver);
  g_key_file_set_string (file, GROUP, "modalias", modalias);
  g_key_file_set_boolean (file, GROUP, "stop-copy", m->stop_copy);
  g_key_file_set_boolean (file, GROUP, "p2p", m->p2p);
  g_key_file_set_boolean (file, GROUP, "pre-copy", m->pre_copy);
  g_key_file_set_boolean (file, GROUP, "dma-logging", m->dma_logging);
  if (m->iommu_logging != VV_ANSWER_UNKNOWN)
    g_key_file_set_boolean (file, GROUP, IOMMU_LOGGING, m->iommu_logging == VV_ANSWER_YES);
  g_autofree char *text = g_key_file_to_data (file, NULL, NULL);
  return vv_state_store_write (store, name, text, error);
}

static gboolean
has_text (GKeyFile *file, const char *key, const char *wanted)
{
  g_autofree char *text = g_key_file_get_string (file, GROUP, key, NULL);

  return g_strcmp0 (text, wanted) == 0;
}

/* Returns TRUE if the key has a valid value, which it stores in @value. */
static gboolean
read_flag (GKeyFile *file, const char *key, gboolean *value)
{
  g_autoptr (GError) error = NULL;

  *value = g_key_file_get_boolean (file, GROUP, key, &error);
  return !error;
}

static gboolean
parse_note (const char *text, const char *driver, const char *modalias, VvMigration *m)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  gboolean iommu_logs = FALSE;

  if (!g_key_file_load_from_data (file, text, -1, G_KEY_FILE_NONE, NULL) ||
      !has_text (file, "driver", driver) || !has_text (file, "modalias", modalias) ||
      !read_flag (file, "stop-copy", &m->stop_copy) || !read_flag (file, "p2p", &m->p2p) ||
      !read_flag (file, "pre-copy", &m->pre_copy) || !read_flag (file, "dma-logging", &m->dma_logging))
    return FALSE;
  if (!g_key_file_has_key (file, GROUP, IOMMU_LOGGING, NULL))
    return TRUE;
  if (!read_flag (file, IOMMU_LOGGING, &iommu_logs))
    return FALSE;
  m->iommu_logging = iommu_logs ? VV_ANSWER_YES : VV_ANSWER_NO;
  return TRUE;
}

VvMigratability
vv_migration_known (const VvStateStore *store, const char *driver, const char *modalias,
                    VvMigration *migration)
{
  gboolean generic = g_strcmp0 (driver, VV_GENERIC_DRIVER) == 0;
  g_autofree char *name = generic ? NULL : note_name (driver, modalias);
  g_autofree char *text = name ? vv_state_store_read (store, name) : NULL;
  VvMigration m = {0};
  gboolean known = text && parse_note (text, driver, modalias, &m);

  if (migration)
    *migration = known && m.stop_copy ? m : (VvMigration){0};
  if (known && m.stop_copy)
    return VV_MIGRATION_YES;
  return known || generic ? VV_MIGRATION_NO : VV_MIGRATION_UNKNOWN;
}

VvMigratability
vv_migration_foresee (const VvStateStore *store, const char *driver, const char *modalias,
                      const VvMigrationUse *use, const char **why)
{
  VvMigration m;

  if (vv_migration_known (store, driver, modalias, &m) != VV_MIGRATION_UNKNOWN)
    return vv_migration_judge (&m, use, why);
  if (why)
    *why = _ ("has not been queried yet");
  return VV_MIGRATION_UNKNOWN;
}
