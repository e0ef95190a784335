/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pci-device: one PCI device in sysfs, through one open directory.
 *
 * Owns: addresses in all spellings, the attributes of a device, and the waits, all with a limit, for a device
 * that just appeared. Only reads; binding owns all changes. Source of the attributes:
 * Documentation/ABI/testing/sysfs-bus-pci of the kernel.
 */
#pragma once

#include "host.h"

/**
 * VvDriverState:
 * @driver: (nullable): the driver that the device is bound to; NULL: none
 * @module: (nullable): the module of that driver; NULL for a built-in driver
 * @override: (nullable): its driver_override, the only driver that can bind the device; NULL: not set
 *
 * The part of a device that a rebind changes and a restore sets back.
 */
typedef struct {
  char *driver;
  char *module;
  char *override;
} VvDriverState;

void vv_driver_state_clear (VvDriverState *state);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvDriverState, vv_driver_state_clear)

/** vv_driver_state_copy: Returns: (transfer full): a copy; free it with vv_driver_state_clear() */
VvDriverState vv_driver_state_copy (const VvDriverState *state);

/** vv_driver_state_equal: Returns: whether driver and override are equal; the driver implies the module */
gboolean vv_driver_state_equal (const VvDriverState *a, const VvDriverState *b);

/**
 * VvPciDevice:
 * @dir: its directory, which becomes stale when the device is removed
 * @address: DOMAIN:BUS:SLOT.FUNCTION in lower case
 * @modalias: its modalias
 * @now: its driver state
 * @iommu_group: (nullable): number of its IOMMU group
 * @vfio_dev: (nullable): its VFIO device ("vfio0") while it is on a VFIO driver, Linux 6.1 and later
 * @physfn: (nullable): address of its physical function, if it is a virtual function
 */
typedef struct {
  VvDir *dir;
  char *address;
  char *modalias;
  VvDriverState now;
  char *iommu_group;
  char *vfio_dev;
  char *physfn;
} VvPciDevice;

/**
 * vv_pci_address_parse:
 * @text: 0000:3b:00.1, 3b:00.1, pci_0000_3b_00_1 or a path that ends with an address
 *
 * Returns: (transfer full): the full address in lower case, or NULL with @error set (VV_ERROR_INVALID)
 */
char *vv_pci_address_parse (const char *text, GError **error);

/** vv_pci_address: Returns: (transfer full): the address from its numbers */
char *vv_pci_address (guint domain, guint bus, guint slot, guint function);

/**
 * vv_pci_addresses:
 * @text: as for vv_pci_address_parse(), or a glob of addresses ("0000:3b:*")
 *
 * Returns: (transfer full) (element-type utf8): the sorted addresses of the present devices that match @text,
 * or NULL with @error set: @text is malformed (VV_ERROR_INVALID), or no device matches (VV_ERROR_NO_DEVICE)
 */
GPtrArray *vv_pci_addresses (const VvHost *host, const char *text, GError **error);

/** VvPciIds: the ids of a PCI device; @class_code: base class, subclass and programming interface, 24 bits */
typedef struct {
  guint vendor;
  guint product;
  guint subsystem_vendor;
  guint subsystem_product;
  guint class_code;
} VvPciIds;

/**
 * vv_pci_ids_parse:
 * @modalias: "pci:v...d...sv...sd...bc..sc..i.." (pci_uevent() in the kernel's drivers/pci/pci-driver.c)
 *
 * Returns: FALSE if @modalias is not that of a PCI device
 */
gboolean vv_pci_ids_parse (const char *modalias, VvPciIds *ids);

/**
 * vv_pci_device_open:
 * @address: as vv_pci_address_parse() returns it
 *
 * Returns: (transfer full): the device with its current attributes, or NULL with @error set
 * (VV_ERROR_NO_DEVICE)
 */
VvPciDevice *vv_pci_device_open (const VvHost *host, const char *address, GError **error);
void vv_pci_device_free (VvPciDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvPciDevice, vv_pci_device_free)

/**
 * vv_pci_override_from_text:
 * @text: (nullable): the contents of a driver_override file, without the line feed
 *
 * Returns: (transfer full) (nullable): the driver; NULL if none is set, which the kernel prints as "(null)"
 * (driver_override_show() in drivers/pci/pci-sysfs.c)
 */
char *vv_pci_override_from_text (const char *text);

/**
 * vv_pci_device_look:
 *
 * Like vv_pci_device_open(), but does not read driver_override. In older kernels, that read waits for the
 * device's lock (driver_override_show() in drivers/pci/pci-sysfs.c), which may take long while a driver
 * probes the device.
 */
VvPciDevice *vv_pci_device_look (const VvHost *host, const char *address, GError **error);

/**
 * vv_pci_device_reload:
 *
 * Reads all attributes again.
 *
 * Returns: TRUE, or FALSE with @error set (VV_ERROR_NO_DEVICE) if this device was removed, even if another
 * device has its address
 */
gboolean vv_pci_device_reload (VvPciDevice *device, GError **error);

/**
 * vv_pci_device_reload_driver:
 *
 * Reads again what a bind changes: the driver, its module, the VFIO device. Does not read driver_override:
 * while the gate of vfio-variantd is enabled, an open of that file takes long.
 *
 * Returns: as vv_pci_device_reload()
 */
gboolean vv_pci_device_reload_driver (VvPciDevice *device, GError **error);

/**
 * vv_pci_has_flr:
 *
 * Returns: whether the kernel can reset the device by Function Level Reset (reset_method, Linux 5.15 and
 * later; FALSE before)
 */
gboolean vv_pci_has_flr (const VvPciDevice *device);

/** vv_pci_group_members: Returns: (transfer full) (element-type utf8): the addresses of the devices in
 * @device's IOMMU group, @device included */
GPtrArray *vv_pci_group_members (const VvHost *host, const VvPciDevice *device);

/*
 * New devices: devices that the kernel is adding, such as virtual functions after a write to sriov_numvfs
 *
 * The kernel announces a device to user space (device_add() in drivers/base/core.c) before the device is
 * complete, and before drivers can bind it. Afterwards, pci_iov_add_virtfn() (drivers/pci/iov.c) creates the
 * link to the physical function. Then pci_bus_add_device() (drivers/pci/bus.c) creates the device's file
 * below /proc/bus/pci, sets match_driver, and probes the drivers. Without match_driver no driver matches, not
 * even through a write to the driver's bind file.
 */

/**
 * vv_new_device_wait_shown:
 *
 * Waits until the device is complete in sysfs, with its link to the physical function; at most 2 seconds.
 * Returns at once for a device that is complete or has a driver, and on a system without /proc/bus/pci.
 */
void vv_new_device_wait_shown (const VvHost *host, const char *address);

/**
 * vv_new_device_wait_tried:
 *
 * Waits until the kernel has probed drivers for the device. For a virtual function, waits until the write
 * that creates it and its siblings ends: sriov_numvfs_show() takes the lock of the physical function, which
 * sriov_numvfs_store() holds meanwhile. For any other device, waits a tenth of a second.
 */
void vv_new_device_wait_tried (const VvPciDevice *device);

/** vv_new_device_is_left_alone: Returns: whether the kernel probes no drivers for this new virtual function
 * (sriov_drivers_autoprobe of its physical function is 0) */
gboolean vv_new_device_is_left_alone (const VvPciDevice *device);
