/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * catalog: for a device, the ranked list of drivers that the kernel and the administrator offer (rule R1).
 *
 * Owns: the prefixed aliases of modprobe.d, modules.alias and the built-in modules, and their order. libkmod
 * finds modules but not the pattern that matched, and stops at the first source with a match, so the prefixed
 * lines (some dozens among tens of thousands) are read from the text once and kept; a lookup then costs the
 * same however many aliases a kernel has. Knows nothing of sysfs, of devices, of loading, or of policies.
 */
#pragma once

#include "choice.h"
#include "modules.h"

typedef struct VvCatalog VvCatalog;

/**
 * vv_catalog_new:
 * @prefix: the subsystem's prefix, VV_PREFIX_VFIO
 *
 * Reads the tables. One that is missing or unreadable is no error (rule R7): see vv_catalog_warning().
 *
 * Returns: (transfer full): the catalog; @modules must live longer
 */
VvCatalog *vv_catalog_new (const VvHost *host, VvModules *modules, const char *prefix);
void vv_catalog_free (VvCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCatalog, vv_catalog_free)

/** vv_catalog_warning: Returns: (nullable): what could not be read, and what follows from it; NULL when all
 * is well */
const char *vv_catalog_warning (const VvCatalog *catalog);

/**
 * vv_catalog_silent:
 *
 * The variant drivers of the kernel image that no alias names, by modules.builtin and the way in which they
 * are called (*vfio_pci). Before Linux 6.18 built-in code publishes no aliases ("modpost: Create modalias for
 * builtin modules").
 *
 * Returns: (transfer full) (element-type utf8): their modules, in the order of the file
 */
GPtrArray *vv_catalog_silent (const VvCatalog *catalog, const VvHost *host);

/**
 * vv_catalog_select:
 * @modalias: a device's modalias, of any bus
 *
 * Every module with an alias for the device, fewest wildcards first; on a tie by source, then in the order of
 * the lines there. Blacklisted modules, and all aliases of a module but its best, are listed as excluded. For
 * a PCI device and the prefix "vfio" the generic driver comes last where no table offers it for the device.
 * May be called from several threads.
 *
 * Returns: (transfer full): the choice, or NULL with @error set when @modalias is malformed
 */
VvChoice *vv_catalog_select (const VvCatalog *catalog, const char *modalias, GError **error);
