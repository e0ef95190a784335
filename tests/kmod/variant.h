/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VFIO variant driver for tests: it behaves like vfio-pci, but is a driver of its own.
 *
 * A module that defines VARIANT_DRIVER_NAME and the table variant_ids, and includes
 * this file, is a complete driver. Parameters in /sys/module/<module>/parameters/
 * control it at any time: its probes can fail or wait, and it can announce live
 * migration. It has no device state, so it migrates an empty state. It does not see
 * the DMA of the device, so it logs that all memory was written.
 */
#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iova_bitmap.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

static int probe_errno;
module_param (probe_errno, int, 0644);
MODULE_PARM_DESC (probe_errno, "fail every probe with this errno; 0: do not");

static bool probe_waits;
module_param (probe_waits, bool, 0644);
MODULE_PARM_DESC (probe_waits, "a probe waits until this is N, for 100 seconds at most");

static bool migration;
module_param (migration, bool, 0644);
MODULE_PARM_DESC (migration, "announce live migration for devices bound from now on");

static bool p2p;
module_param (p2p, bool, 0644);
MODULE_PARM_DESC (p2p, "with migration: and that they can be kept from peer-to-peer DMA");

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static bool pre_copy;
module_param (pre_copy, bool, 0644);
MODULE_PARM_DESC (pre_copy, "with migration: and pre-copy");
#endif

static bool dma_logging;
module_param (dma_logging, bool, 0644);
MODULE_PARM_DESC (dma_logging, "announce DMA logging for devices bound from now on");

struct variant_device {
  struct vfio_pci_core_device core;
  struct mutex state_mutex; /* protects the following members */
  enum vfio_device_mig_state state;
  struct file *stream; /* of a started transfer */
  bool logging;
};

/* A stream; it may outlive the device. */
struct variant_stream {
  bool pre_copy;
};

static struct variant_device *
variant_of (struct vfio_device *vdev)
{
  return container_of (vdev, struct variant_device, core.vdev);
}

/*
 * Migration: the states of include/uapi/linux/vfio.h. The data stream is empty when
 * read and discards all writes. During pre-copy, more data may follow, so a read
 * returns ENOMSG instead of the end.
 */
static ssize_t
variant_stream_read (struct file *file, char __user *buf, size_t count, loff_t *pos)
{
  struct variant_stream *stream = file->private_data;

  return READ_ONCE (stream->pre_copy) ? -ENOMSG : 0;
}

static ssize_t
variant_stream_write (struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
  return count;
}

static int
variant_stream_release (struct inode *inode, struct file *file)
{
  kfree (file->private_data);
  return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static long
variant_stream_ioctl (struct file *file, unsigned int cmd, unsigned long arg)
{
  struct variant_stream *stream = file->private_data;
  size_t size = offsetofend (struct vfio_precopy_info, dirty_bytes);
  struct vfio_precopy_info info;

  if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
    return -ENOTTY;
  if (copy_from_user (&info, (void __user *)arg, size))
    return -EFAULT;
  if (info.argsz < size || !READ_ONCE (stream->pre_copy))
    return -EINVAL;
  info.flags = 0;
  info.initial_bytes = 0;
  info.dirty_bytes = 0;
  return copy_to_user ((void __user *)arg, &info, size) ? -EFAULT : 0;
}
#endif

static const struct file_operations variant_stream_ops = {
    .owner = THIS_MODULE,
    .read = variant_stream_read,
    .write = variant_stream_write,
    .release = variant_stream_release,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
    .unlocked_ioctl = variant_stream_ioctl,
    .compat_ioctl = compat_ptr_ioctl,
#endif
};

/* Called with the state_mutex held, like the following functions. The caller gets a reference. */
static struct file *
variant_begin (struct variant_device *variant, int flags, bool pre_copying)
{
  struct variant_stream *stream = kzalloc (sizeof (*stream), GFP_KERNEL);
  struct file *file;

  if (!stream)
    return ERR_PTR (-ENOMEM);
  stream->pre_copy = pre_copying;
  file = anon_inode_getfile ("test-vfio-stream", &variant_stream_ops, stream, flags);
  if (IS_ERR (file)) {
    kfree (stream);
    return file;
  }
  stream_open (file_inode (file), file);
  variant->stream = get_file (file);
  return file;
}

static void
variant_end_pre_copy (struct variant_device *variant)
{
  struct variant_stream *stream = variant->stream->private_data;

  WRITE_ONCE (stream->pre_copy, false);
}

static void
variant_end (struct variant_device *variant)
{
  if (!variant->stream)
    return;
  variant_end_pre_copy (variant);
  fput (variant->stream);
  variant->stream = NULL;
}

static bool
is_pre_copy (enum vfio_device_mig_state state)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
  return state == VFIO_DEVICE_STATE_PRE_COPY || state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
#else
  return false;
#endif
}

static bool
is_saving (enum vfio_device_mig_state state)
{
  return state == VFIO_DEVICE_STATE_STOP_COPY || is_pre_copy (state);
}

/*
 * One arc of the state machine. A stream begins with a transfer, continues between
 * the states of saving, and ends when the device leaves them.
 */
static struct file *
variant_step (struct variant_device *variant, enum vfio_device_mig_state to)
{
  enum vfio_device_mig_state from = variant->state;

  if (is_saving (from) && is_saving (to)) {
    if (!is_pre_copy (to))
      variant_end_pre_copy (variant);
    return NULL;
  }
  variant_end (variant);
  if (is_saving (to))
    return variant_begin (variant, O_RDONLY, is_pre_copy (to));
  if (to == VFIO_DEVICE_STATE_RESUMING)
    return variant_begin (variant, O_WRONLY, false);
  return NULL;
}

static struct file *
variant_set_state (struct vfio_device *vdev, enum vfio_device_mig_state wanted)
{
  struct variant_device *variant = variant_of (vdev);
  struct file *stream = NULL;

  mutex_lock (&variant->state_mutex);
  while (variant->state != wanted && !stream) {
    enum vfio_device_mig_state next;
    int ret = vfio_mig_get_next_state (vdev, variant->state, wanted, &next);

    if (ret) {
      stream = ERR_PTR (ret);
      break;
    }
    stream = variant_step (variant, next);
    if (IS_ERR (stream))
      break;
    variant->state = next;
  }
  mutex_unlock (&variant->state_mutex);
  return stream;
}

static int
variant_get_state (struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
  struct variant_device *variant = variant_of (vdev);

  mutex_lock (&variant->state_mutex);
  *state = variant->state;
  mutex_unlock (&variant->state_mutex);
  return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static int
variant_get_data_size (struct vfio_device *vdev, unsigned long *length)
{
  *length = 0;
  return 0;
}
#endif

static const struct vfio_migration_ops variant_migration_ops = {
    .migration_set_state = variant_set_state,
    .migration_get_state = variant_get_state,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
    .migration_get_data_size = variant_get_data_size,
#endif
};

static void
variant_set_running (struct variant_device *variant)
{
  mutex_lock (&variant->state_mutex);
  variant_end (variant);
  variant->state = VFIO_DEVICE_STATE_RUNNING;
  mutex_unlock (&variant->state_mutex);
}

/* DMA logging: can start only once, and reports every requested page as dirty. */
static int
variant_set_logging (struct vfio_device *vdev, bool wanted)
{
  struct variant_device *variant = variant_of (vdev);
  bool was;

  mutex_lock (&variant->state_mutex);
  was = variant->logging;
  variant->logging = wanted;
  mutex_unlock (&variant->state_mutex);
  return wanted && was ? -EBUSY : 0;
}

static int
variant_log_start (struct vfio_device *vdev, struct rb_root_cached *ranges, u32 nnodes, u64 *page_size)
{
  return variant_set_logging (vdev, true);
}

static int
variant_log_stop (struct vfio_device *vdev)
{
  return variant_set_logging (vdev, false);
}

static int
variant_log_read_and_clear (struct vfio_device *vdev, unsigned long iova, unsigned long length,
                            struct iova_bitmap *dirty)
{
  struct variant_device *variant = variant_of (vdev);
  bool logging;

  mutex_lock (&variant->state_mutex);
  logging = variant->logging;
  mutex_unlock (&variant->state_mutex);
  if (!logging)
    return -EINVAL;
  iova_bitmap_set (dirty, iova, length);
  return 0;
}

static const struct vfio_log_ops variant_log_ops = {
    .log_start = variant_log_start,
    .log_stop = variant_log_stop,
    .log_read_and_clear = variant_log_read_and_clear,
};

/* The VFIO device */
static int
variant_init (struct vfio_device *vdev)
{
  struct variant_device *variant = variant_of (vdev);

  mutex_init (&variant->state_mutex);
  variant->state = VFIO_DEVICE_STATE_RUNNING;
  if (migration) {
    vdev->migration_flags = VFIO_MIGRATION_STOP_COPY;
    if (p2p)
      vdev->migration_flags |= VFIO_MIGRATION_P2P;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
    if (pre_copy)
      vdev->migration_flags |= VFIO_MIGRATION_PRE_COPY;
#endif
    vdev->mig_ops = &variant_migration_ops;
  }
  if (dma_logging)
    vdev->log_ops = &variant_log_ops;
  return vfio_pci_core_init_dev (vdev);
}

static int
variant_open (struct vfio_device *vdev)
{
  struct variant_device *variant = variant_of (vdev);
  int ret = vfio_pci_core_enable (&variant->core);

  if (ret)
    return ret;
  variant_set_running (variant);
  vfio_pci_core_finish_enable (&variant->core);
  pci_info (variant->core.pdev, "%s: opened\n", VARIANT_DRIVER_NAME);
  return 0;
}

static void
variant_close (struct vfio_device *vdev)
{
  variant_set_logging (vdev, false);
  variant_set_running (variant_of (vdev));
  vfio_pci_core_close_device (vdev);
}

static const struct vfio_device_ops variant_ops = {
    .name = VARIANT_DRIVER_NAME,
    .init = variant_init,
    .release = vfio_pci_core_release_dev,
    .open_device = variant_open,
    .close_device = variant_close,
    .ioctl = vfio_pci_core_ioctl,
    .device_feature = vfio_pci_core_ioctl_feature,
    .read = vfio_pci_core_read,
    .write = vfio_pci_core_write,
    .mmap = vfio_pci_core_mmap,
    .request = vfio_pci_core_request,
    .match = vfio_pci_core_match,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
    .bind_iommufd = vfio_iommufd_physical_bind,
    .unbind_iommufd = vfio_iommufd_physical_unbind,
    .attach_ioas = vfio_iommufd_physical_attach_ioas,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
    .detach_ioas = vfio_iommufd_physical_detach_ioas,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
    .match_token_uuid = vfio_pci_core_match_token_uuid,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
    .get_region_info_caps = vfio_pci_ioctl_get_region_info,
#endif
};

/* The PCI driver */
static int
variant_probe (struct pci_dev *pdev, const struct pci_device_id *id)
{
  struct variant_device *variant;
  int ret, i;

  for (i = 0; READ_ONCE (probe_waits) && i < 1000; i++)
    msleep (100);
  if (probe_errno)
    return -abs (probe_errno);

  variant = vfio_alloc_device (variant_device, core.vdev, &pdev->dev, &variant_ops);
  if (IS_ERR (variant))
    return PTR_ERR (variant);

  dev_set_drvdata (&pdev->dev, &variant->core);
  ret = vfio_pci_core_register_device (&variant->core);
  if (ret) {
    vfio_put_device (&variant->core.vdev);
    return ret;
  }
  pci_info (pdev, "%s: bound%s\n", VARIANT_DRIVER_NAME, variant->core.vdev.mig_ops ? ", migratable" : "");
  return 0;
}

static void
variant_remove (struct pci_dev *pdev)
{
  struct vfio_pci_core_device *core = dev_get_drvdata (&pdev->dev);

  vfio_pci_core_unregister_device (core);
  vfio_put_device (&core->vdev);
  pci_info (pdev, "%s: unbound\n", VARIANT_DRIVER_NAME);
}

/* Every reset, by VFIO_DEVICE_RESET or otherwise, ends a migration. */
static void
variant_reset_done (struct pci_dev *pdev)
{
  struct vfio_pci_core_device *core = dev_get_drvdata (&pdev->dev);

  variant_set_running (variant_of (&core->vdev));
}

static const struct pci_error_handlers variant_err_handlers = {
    .reset_done = variant_reset_done,
    .error_detected = vfio_pci_core_aer_err_detected,
};

MODULE_DEVICE_TABLE (pci, variant_ids);

static struct pci_driver variant_driver = {
    .name = VARIANT_DRIVER_NAME,
    .id_table = variant_ids,
    .probe = variant_probe,
    .remove = variant_remove,
    .err_handler = &variant_err_handlers,
    .driver_managed_dma = true,
};
module_pci_driver (variant_driver);

MODULE_LICENSE ("GPL");
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS ("IOMMUFD"); /* iova_bitmap_set() */
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
MODULE_IMPORT_NS (IOMMUFD);
#endif
