/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VFIO variant driver for tests: vfio-pci in all it does, but a driver of its own.
 *
 * A module defines VARIANT_DRIVER_NAME and the table variant_ids, and includes this
 * file: it becomes a whole driver then. It can be told, at any time, through
 * /sys/module/<module>/parameters/, to fail its probes, to be slow at them, and to
 * announce live migration. There is no device state: what it migrates is empty.
 */
#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

static int probe_errno;
module_param(probe_errno, int, 0644);
MODULE_PARM_DESC(probe_errno, "fail every probe with this errno; 0: do not");

static unsigned int probe_delay_ms;
module_param(probe_delay_ms, uint, 0644);
MODULE_PARM_DESC(probe_delay_ms, "milliseconds that a probe takes longer");

static bool migration;
module_param(migration, bool, 0644);
MODULE_PARM_DESC(migration, "announce live migration for devices bound from now on");

struct variant_device {
	struct vfio_pci_core_device core;
	struct mutex state_mutex; /* for state */
	enum vfio_device_mig_state state;
};

static struct variant_device *variant_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct variant_device, core.vdev);
}

/*
 * Migration: the states of include/uapi/linux/vfio.h, a data stream that is empty
 * on the way out and swallows what comes in.
 */
static ssize_t variant_stream_read(struct file *file, char __user *buf,
				   size_t count, loff_t *pos)
{
	return 0;
}

static ssize_t variant_stream_write(struct file *file, const char __user *buf,
				    size_t count, loff_t *pos)
{
	return count;
}

static const struct file_operations variant_stream_ops = {
	.owner = THIS_MODULE,
	.read = variant_stream_read,
	.write = variant_stream_write,
};

static struct file *variant_open_stream(int flags)
{
	struct file *file = anon_inode_getfile("test-vfio-stream", &variant_stream_ops,
					       NULL, flags);

	if (!IS_ERR(file))
		stream_open(file_inode(file), file);
	return file;
}

/* One arc of the state machine; only the two that begin a transfer have a stream. */
static struct file *variant_step(enum vfio_device_mig_state from,
				 enum vfio_device_mig_state to)
{
	if (from == VFIO_DEVICE_STATE_STOP && to == VFIO_DEVICE_STATE_STOP_COPY)
		return variant_open_stream(O_RDONLY);
	if (from == VFIO_DEVICE_STATE_STOP && to == VFIO_DEVICE_STATE_RESUMING)
		return variant_open_stream(O_WRONLY);
	return NULL;
}

static struct file *variant_set_state(struct vfio_device *vdev,
				      enum vfio_device_mig_state wanted)
{
	struct variant_device *variant = variant_of(vdev);
	struct file *stream = NULL;

	mutex_lock(&variant->state_mutex);
	while (variant->state != wanted && !stream) {
		enum vfio_device_mig_state next;
		int ret = vfio_mig_get_next_state(vdev, variant->state, wanted, &next);

		if (ret) {
			stream = ERR_PTR(ret);
			break;
		}
		stream = variant_step(variant->state, next);
		if (IS_ERR(stream))
			break;
		variant->state = next;
	}
	mutex_unlock(&variant->state_mutex);
	return stream;
}

static int variant_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct variant_device *variant = variant_of(vdev);

	mutex_lock(&variant->state_mutex);
	*state = variant->state;
	mutex_unlock(&variant->state_mutex);
	return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static int variant_get_data_size(struct vfio_device *vdev, unsigned long *length)
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

static void variant_set_running(struct variant_device *variant)
{
	mutex_lock(&variant->state_mutex);
	variant->state = VFIO_DEVICE_STATE_RUNNING;
	mutex_unlock(&variant->state_mutex);
}

/* The VFIO device */
static int variant_init(struct vfio_device *vdev)
{
	struct variant_device *variant = variant_of(vdev);

	mutex_init(&variant->state_mutex);
	variant->state = VFIO_DEVICE_STATE_RUNNING;
	if (migration) {
		vdev->migration_flags = VFIO_MIGRATION_STOP_COPY;
		vdev->mig_ops = &variant_migration_ops;
	}
	return vfio_pci_core_init_dev(vdev);
}

static int variant_open(struct vfio_device *vdev)
{
	struct variant_device *variant = variant_of(vdev);
	int ret = vfio_pci_core_enable(&variant->core);

	if (ret)
		return ret;
	variant_set_running(variant);
	vfio_pci_core_finish_enable(&variant->core);
	pci_info(variant->core.pdev, "%s: opened\n", VARIANT_DRIVER_NAME);
	return 0;
}

static const struct vfio_device_ops variant_ops = {
	.name = VARIANT_DRIVER_NAME,
	.init = variant_init,
	.release = vfio_pci_core_release_dev,
	.open_device = variant_open,
	.close_device = vfio_pci_core_close_device,
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
static int variant_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct variant_device *variant;
	int ret;

	if (probe_delay_ms)
		msleep(probe_delay_ms);
	if (probe_errno)
		return -abs(probe_errno);

	variant = vfio_alloc_device(variant_device, core.vdev, &pdev->dev, &variant_ops);
	if (IS_ERR(variant))
		return PTR_ERR(variant);

	dev_set_drvdata(&pdev->dev, &variant->core);
	ret = vfio_pci_core_register_device(&variant->core);
	if (ret) {
		vfio_put_device(&variant->core.vdev);
		return ret;
	}
	pci_info(pdev, "%s: bound%s\n", VARIANT_DRIVER_NAME,
		 variant->core.vdev.mig_ops ? ", migratable" : "");
	return 0;
}

static void variant_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(core);
	vfio_put_device(&core->vdev);
	pci_info(pdev, "%s: unbound\n", VARIANT_DRIVER_NAME);
}

/* A reset, VFIO_DEVICE_RESET or other, ends any migration. */
static void variant_reset_done(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);

	variant_set_running(variant_of(&core->vdev));
}

static const struct pci_error_handlers variant_err_handlers = {
	.reset_done = variant_reset_done,
	.error_detected = vfio_pci_core_aer_err_detected,
};

MODULE_DEVICE_TABLE(pci, variant_ids);

static struct pci_driver variant_driver = {
	.name = VARIANT_DRIVER_NAME,
	.id_table = variant_ids,
	.probe = variant_probe,
	.remove = variant_remove,
	.err_handler = &variant_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(variant_driver);

MODULE_LICENSE("GPL");
