/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-xml: the PCI devices of the host that a libvirt domain uses, and what the domain requests for them.
 *
 * Owns: the parser of a domain's XML (libvirt's docs/formatdomain.rst), and of the vfio-variant element in
 * its metadata (schemas/domain-metadata.rng). The limits are those of xml, and 8 MiB. Knows nothing of sysfs,
 * nor of the result of a request.
 */
#pragma once

#include "error.h"
#include "policy.h"

/** The maximum size of a domain XML in bytes. libvirt's protocol limits a string to 4 MiB, and libxml2 limits
 * a document to 10,000,000 bytes. */
#define VV_DOMAIN_XML_LIMIT (8 * 1024 * 1024)

/**
 * VvHostdev:
 * @address: the PCI address on the host
 * @managed: libvirt detaches and reattaches the device
 * @alias: (nullable): the name in its <alias>
 * @requested: what the domain requests for it. The model is <driver model='...'/> (libvirt >= 10). The
 * metadata has drivers, fallback and migratable. The device goes to QEMU through iommufd with <driver
 * iommufd='yes'/> (libvirt >= 12.1) or, unless the driver has iommufd='no', with the domain's <iommufd
 * enabled='yes'/> (libvirt >= 12.2). libvirt opens such a device itself, in qemuProcessPrepareHost(), before
 * it runs the hook's "start". enable-migration=on is from <qemu:override>.
 */
typedef struct {
  char *address;
  gboolean managed;
  char *alias;
  VvOptions requested;
} VvHostdev;

/**
 * VvDomain:
 * @name: the domain's name
 * @uuid: its UUID
 * @hostdevs: (element-type VvHostdev): from <hostdev mode='subsystem' type='pci'> and <interface
 * type='hostdev'>, with <driver name='vfio'/> or without a driver name
 * @problems: (element-type utf8): errors in its metadata, one line each, with the line number in the XML. If
 * the requests are not valid, all of them are ignored.
 * @vfio_devices: the number of its VFIO devices: @hostdevs, devices without an address, and mediated devices
 * @emulator: (nullable): the path of its emulator
 */
typedef struct {
  char *name;
  char *uuid;
  GPtrArray *hostdevs;
  GPtrArray *problems;
  guint vfio_devices;
  char *emulator;
} VvDomain;

/**
 * vv_domain_parse:
 * @xml: the document, @length bytes
 *
 * Omits a device whose address is missing or malformed: libvirt reports that error itself.
 *
 * Returns: (transfer full): the domain, or NULL with @error set (VV_ERROR_INVALID, with the line)
 */
VvDomain *vv_domain_parse (const char *xml, gsize length, GError **error);
void vv_domain_free (VvDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvDomain, vv_domain_free)
