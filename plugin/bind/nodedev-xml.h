/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nodedev-xml: a PCI device as libvirt's node-device XML.
 *
 * Owns: libvirt's name for a device and the document that a node-device hook reads
 * (schemas/nodedev-hook.rng). Reads sysfs through pci-device and knows nothing of hooks, nor of libvirt
 * itself: no call to it is possible where this is needed. Source of the format: libvirt's schemas/nodedev.rng
 * and virNodeDeviceDefFormat().
 */
#pragma once

#include "pci-device.h"

/** VV_NODEDEV_ADDRESS_LIMIT: the most virtual functions, and the most members of a group, that are listed */
#define VV_NODEDEV_ADDRESS_LIMIT 4096

/** vv_nodedev_name: Returns: (transfer full): libvirt's name of the device at @address: pci_0000_3b_00_1 */
char *vv_nodedev_name (const char *address);

/**
 * vv_nodedev_xml:
 * @device: as it was loaded: driver, group and physical function are taken from it, so that they are the
 * caller's view in the middle of a change
 *
 * As `virsh nodedev-dumpxml` prints it, but for what only libvirt knows or a hook has no use for: names of
 * vendor and product, bridges, mediated devices, VPD, the PCI Express link. Characters that XML does not
 * allow become U+FFFD. At most %VV_NODEDEV_ADDRESS_LIMIT addresses in each list, so well below 1 MiB.
 *
 * Returns: (transfer full) (nullable): the XML, or NULL when the device went away
 */
char *vv_nodedev_xml (const VvHost *host, const VvPciDevice *device);
