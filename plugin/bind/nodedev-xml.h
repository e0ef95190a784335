/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nodedev-xml: a PCI device as libvirt's node-device XML.
 *
 * Owns: libvirt's name for a device, and the document that a node-device hook reads
 * (schemas/nodedev-hook.rng). Reads sysfs through pci-device. Knows nothing of hooks. It cannot call libvirt,
 * which waits for the rebind. Source of the format: libvirt's schemas/nodedev.rng and
 * virNodeDeviceDefFormat().
 */
#pragma once

#include "pci-device.h"

/** VV_NODEDEV_ADDRESS_LIMIT: the maximum number of listed virtual functions, and of listed group members */
#define VV_NODEDEV_ADDRESS_LIMIT 4096

/** vv_nodedev_name: Returns: (transfer full): libvirt's name of the device at @address, like
 * pci_0000_3b_00_1 */
char *vv_nodedev_name (const char *address);

/**
 * vv_nodedev_xml:
 * @device: as it was loaded; driver, group and physical function are taken from it, so that the XML has the
 * caller's view during a rebind
 *
 * Writes the XML that `virsh nodedev-dumpxml` prints. Omits data that only libvirt has or that hooks do not
 * need: vendor and product names, bridges, mediated devices, VPD, the PCI Express link. Replaces characters
 * that XML does not allow by U+FFFD. Lists at most %VV_NODEDEV_ADDRESS_LIMIT addresses of each kind, so the
 * result is well below 1 MiB.
 *
 * Returns: (transfer full) (nullable): the XML, or NULL when the device disappeared
 */
char *vv_nodedev_xml (const VvHost *host, const VvPciDevice *device);
