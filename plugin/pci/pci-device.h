/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pci-device: what sysfs says of one PCI device, through one open directory.
 *
 * Owns: addresses in all their spellings, the attributes of a device, and the waits, all of them bounded, for
 * one that has just appeared. Reads only; who may change a device, and how, is binding's business. Source of
 * the attributes: Documentation/ABI/testing/sysfs-bus-pci of the kernel.
 */
#pragma once

#include "host.h"

/**
 * VvDriverState:
 * @driver: (nullable): the driver that a device is bound to; NULL: none
 * @module: (nullable): the module of that driver; NULL for a built-in one
 * @override: (nullable): its driver_override, the only driver that may bind it; NULL: not set
 *
 * What is changed when a device is given to another driver, and what it has to be again.
 */
typedef struct {
  char *driver;
  char *module;
  char *override;
} VvDriverState;

void vv_driver_state_clear (VvDriverState *state);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvDriverState, vv_driver_state_clear)

/** vv_driver_state_copy: Returns: (transfer full): by vv_driver_state_clear() */
VvDriverState vv_driver_state_copy (const VvDriverState *state);

/** vv_driver_state_equal: Returns: whether driver and override are the same; the module follows from the
 * driver
 */
gboolean vv_driver_state_equal (const VvDriverState *a, const VvDriverState *b);

/**
 * VvPciDevice:
 * @dir: its directory; it goes stale when the device goes away
 * @address: DOMAIN:BUS:SLOT.FUNCTION in lower case
 * @modalias: its modalias
 * @now: its driver state
 * @iommu_group: (nullable): number of its IOMMU group
 * @vfio_dev: (nullable): its VFIO device ("vfio0") while it is bound to a VFIO driver, kernel 6.1 and later
 * @physfn: (nullable): address of the physical function it is a virtual function of
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
 * Returns: (transfer full): the address in full, lower case, or NULL with @error set (VV_ERROR_INVALID)
 */
char *vv_pci_address_parse (const char *text, GError **error);

/** vv_pci_address: Returns: (transfer full): the address from its numbers */
char *vv_pci_address (guint domain, guint bus, guint slot, guint function);

/**
 * vv_pci_addresses:
 * @text: as for vv_pci_address_parse(), or a glob of addresses ("0000:3b:*")
 *
 * Returns: (transfer full) (element-type utf8): the addresses of present devices that @text means, sorted; or
 * NULL with
 * @error set: malformed (VV_ERROR_INVALID), or there is none (VV_ERROR_NO_DEVICE)
 */
GPtrArray *vv_pci_addresses (const VvHost *host, const char *text, GError **error);

/** VvPciIds: what a PCI device is; @class_code: base class, subclass and programming interface, 24 bits */
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
 * Returns: FALSE when it is none of a PCI device
 */
gboolean vv_pci_ids_parse (const char *modalias, VvPciIds *ids);

/**
 * vv_pci_device_open:
 * @address: as vv_pci_address_parse() returns it
 *
 * Returns: (transfer full): the device with its present attributes, or NULL with @error set
 * (VV_ERROR_NO_DEVICE)
 */
VvPciDevice *vv_pci_device_open (const VvHost *host, const char *address, GError **error);
void vv_pci_device_free (VvPciDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvPciDevice, vv_pci_device_free)

/**
 * vv_pci_override_from_text:
 * @text: (nullable): what a file driver_override says, without the line's end
 *
 * Returns: (transfer full) (nullable): the driver; NULL: none is set, for which the kernel prints "(null)"
 * (driver_override_show() in drivers/pci/pci-sysfs.c)
 */
char *vv_pci_override_from_text (const char *text);

/**
 * vv_pci_device_look:
 *
 * As vv_pci_device_open(), but for driver_override: older kernels show that only while no driver is being
 * tried on the device (driver_override_show() in drivers/pci/pci-sysfs.c waits for the device's lock), which
 * may take long.
 */
VvPciDevice *vv_pci_device_look (const VvHost *host, const char *address, GError **error);

/**
 * vv_pci_device_reload:
 *
 * Reads all attributes again.
 *
 * Returns: FALSE with @error set (VV_ERROR_NO_DEVICE) when this very device is gone
 */
gboolean vv_pci_device_reload (VvPciDevice *device, GError **error);

/**
 * vv_pci_device_reload_driver:
 *
 * Reads again what a bind changes: the driver, its module, the VFIO device. While the gate of vfio-variantd
 * is on, driver_override is a file that takes long to open.
 *
 * Returns: as vv_pci_device_reload()
 */
gboolean vv_pci_device_reload_driver (VvPciDevice *device, GError **error);

/**
 * vv_pci_has_flr:
 *
 * Returns: whether the kernel resets the device by Function Level Reset (reset_method, Linux 5.15 and later;
 * FALSE before)
 */
gboolean vv_pci_has_flr (const VvPciDevice *device);

/** vv_pci_group_members: Returns: (transfer full) (element-type utf8): addresses in @device's IOMMU group,
 * itself included */
GPtrArray *vv_pci_group_members (const VvHost *host, const VvPciDevice *device);

/*
 * A device that the kernel is adding right now, as the virtual functions that a write to sriov_numvfs makes
 *
 * The kernel tells user space of a device (device_add() in drivers/base/core.c) before it has shown all of
 * it, and before it lets drivers have it: pci_iov_add_virtfn() (drivers/pci/iov.c) makes the link to the
 * physical function after that, and pci_bus_add_device() (drivers/pci/bus.c) then makes its file below
 * /proc/bus/pci, sets match_driver, without which no driver matches, not even one that is bound by hand, and
 * tries the drivers.
 */

/**
 * vv_new_device_wait_shown:
 *
 * Waits until the kernel has shown all of the device, its link to the physical function among it; for 2
 * seconds at most. Returns at once for any other device, one with a driver among them, and where there is no
 * /proc/bus/pci to tell by.
 */
void vv_new_device_wait_shown (const VvHost *host, const char *address);

/**
 * vv_new_device_wait_tried:
 *
 * Waits until the kernel has let drivers try the device: of a virtual function, until whoever makes it and
 * its siblings is done (sriov_numvfs_show() takes the physical function's lock, which sriov_numvfs_store()
 * holds meanwhile); of another, for a tenth of a second.
 */
void vv_new_device_wait_tried (const VvPciDevice *device);

/** vv_new_device_is_left_alone: Returns: whether the kernel is told not to look for a driver for this virtual
 * function (its physical function's sriov_drivers_autoprobe is 0) */
gboolean vv_new_device_is_left_alone (const VvPciDevice *device);
