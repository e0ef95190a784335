/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-xml: the PCI devices that a libvirt domain takes from its host, and what its owner wants of them.
 *
 * Owns: reading a domain's XML (libvirt's docs/formatdomain.rst), and our element in its metadata
 * (schemas/domain-metadata.rng), with the bounds of xml, 8 MiB. Knows nothing of sysfs, nor of what becomes
 * of a request.
 */
#pragma once

#include "error.h"
#include "policy.h"

/** The largest domain XML that is read: libvirt's own limit on one string in its protocol is 4 MiB, libxml2's
 * on a document 10,000,000 bytes. */
#define VV_DOMAIN_XML_LIMIT (8 * 1024 * 1024)

/**
 * VvHostdev:
 * @address: the PCI address on the host
 * @managed: libvirt detaches and reattaches it
 * @alias: (nullable): the name in its <alias>
 * @requested: what the domain requests for it. The model is <driver model='...'/> (libvirt >= 10); drivers,
 * fallback and migratable are the metadata's. QEMU gets it through iommufd by <driver iommufd='yes'/>
 * (libvirt
 * >= 12.1) or, unless that says 'no', by the domain's <iommufd enabled='yes'/> (libvirt >= 12.2): libvirt
 * opens such a device itself, in qemuProcessPrepareHost(), before it runs the hook's "start".
 * enable-migration=on comes from <qemu:override>
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
 * type='hostdev'>, for VFIO (also <driver name='vfio'/>, not another name)
 * @problems: (element-type utf8): what is wrong with its metadata, a line each, with the line in the XML.
 * When its requests are not valid, none of them counts.
 * @vfio_devices: how many devices it has through VFIO: @hostdevs, those without an address, and mediated ones
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
 * A device whose address is missing or malformed is left out: libvirt itself speaks about it.
 *
 * Returns: (transfer full): the domain, or NULL with @error set (VV_ERROR_INVALID, with the line)
 */
VvDomain *vv_domain_parse (const char *xml, gsize length, GError **error);
void vv_domain_free (VvDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvDomain, vv_domain_free)
