/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * catalog: the ranked list of drivers that the kernel and the administrator offer for a device (rule R1).
 *
 * Owns: the aliases with the prefix in modprobe.d, modules.alias and the built-in modules, and their order.
 * libkmod returns modules, but not the pattern that matched, and stops at the first source with a match. So
 * the catalog reads the lines with the prefix from the text once and keeps them. There are some dozens among
 * tens of thousands, so the cost of a lookup does not depend on the number of aliases. Knows nothing of
 * sysfs, devices, module loading or policies.
 */
#pragma once

#include "choice.h"
#include "modules.h"

typedef struct VvCatalog VvCatalog;

/**
 * vv_catalog_new:
 * @prefix: the subsystem's prefix, VV_PREFIX_VFIO
 *
 * Reads the tables. A missing or unreadable table is no error (rule R7): see vv_catalog_warning().
 *
 * Returns: (transfer full): the catalog; @modules must outlive it
 */
VvCatalog *vv_catalog_new (const VvHost *host, VvModules *modules, const char *prefix);
void vv_catalog_free (VvCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCatalog, vv_catalog_free)

/** vv_catalog_warning: Returns: (nullable): the first table that could not be read, and the consequence; NULL
 * if all tables were read */
const char *vv_catalog_warning (const VvCatalog *catalog);

/**
 * vv_catalog_silent:
 *
 * Finds the built-in variant drivers without an alias, from modules.builtin and their names (*vfio_pci).
 * Before Linux 6.18, built-in code publishes no aliases ("modpost: Create modalias for builtin modules").
 *
 * Returns: (transfer full) (element-type utf8): their modules, in the order of the file
 */
GPtrArray *vv_catalog_silent (const VvCatalog *catalog, const VvHost *host);

/**
 * vv_catalog_select:
 * @modalias: a device's modalias, of any bus
 *
 * Ranks the modules that have an alias for the device: by fewest wildcards, then by source, then by the order
 * of the lines in it. Lists as excluded the blacklisted modules, and all aliases of a module except its best.
 * For a PCI device and the prefix "vfio", adds the generic driver in last place if no table offers it.
 * Several threads may call this at the same time.
 *
 * Returns: (transfer full): the choice, or NULL with @error set if @modalias is malformed
 */
VvChoice *vv_catalog_select (const VvCatalog *catalog, const char *modalias, GError **error);
