/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * catalog: for a device, the ranked list of drivers that the kernel and the administrator offer (rule R1).
 *
 * Owns: the prefixed aliases of modprobe.d, modules.alias and the built-in modules, and their order. libkmod
 * finds modules but not the pattern that matched, and stops at the first source with a match, so the prefixed
 * lines (some dozens among tens of thousands) are read from the text once and kept; a lookup then costs the
 * same however many aliases a kernel has. Knows nothing of sysfs, of devices or of loading.
 */
#pragma once

#include "modules.h"

/** The module and the driver that take any PCI device (drivers/vfio/pci/vfio_pci.c). */
#define VV_GENERIC_MODULE "vfio_pci"
#define VV_GENERIC_DRIVER "vfio-pci"

/** What policies and domains may call the generic driver. */
#define VV_DRIVER_GENERIC "generic"

/**
 * VvSource:
 * @VV_SOURCE_MODPROBE: an alias line of modprobe.d, the administrator's
 * @VV_SOURCE_ALIAS: modules.alias, by depmod from the modules
 * @VV_SOURCE_BUILTIN: modules.builtin.modinfo, of the modules inside the kernel image
 * @VV_SOURCE_DEFAULT: no alias: the generic driver where no table names it for the device (a kernel before
 * 5.16, no modules directory)
 * @VV_SOURCE_FORCED: no alias: named by the administrator
 *
 * Where a candidate comes from; on equal wildcards the lower one wins.
 */
typedef enum {
  VV_SOURCE_MODPROBE,
  VV_SOURCE_ALIAS,
  VV_SOURCE_BUILTIN,
  VV_SOURCE_DEFAULT,
  VV_SOURCE_FORCED,
} VvSource;

/** vv_source_name: Returns: "modprobe.d", "modules.alias", "builtin", "default" or "forced" */
const char *vv_source_name (VvSource source);

/**
 * VvCandidate:
 * @module: the module's name
 * @alias: (nullable): the pattern that matched; NULL for VV_SOURCE_DEFAULT and VV_SOURCE_FORCED
 * @wildcards: the number of '*' in it
 * @source: where it stands
 * @rank: its place among all that the catalog has, excluded or not: by wildcards, then by source, then in the
 * order in which they were read; 0 for VV_SOURCE_DEFAULT and VV_SOURCE_FORCED
 * @driver: (nullable): the driver's name as the administrator spelled it, for VV_SOURCE_FORCED
 * @excluded: (nullable): why it is out of the race; NULL for a candidate
 */
typedef struct {
  char *module;
  char *alias;
  guint wildcards;
  VvSource source;
  guint rank;
  char *driver;
  char *excluded;
} VvCandidate;

/**
 * VvSelection:
 * @key: what was looked up
 * @candidates: (element-type VvCandidate): best first
 * @excluded: (element-type VvCandidate): what matched and is out, with the reason
 * @ruled_by: (nullable): what had a say in it besides the aliases, in words
 */
typedef struct {
  char *key;
  GPtrArray *candidates;
  GPtrArray *excluded;
  char *ruled_by;
} VvSelection;

void vv_selection_free (VvSelection *selection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSelection, vv_selection_free)

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
 * Returns: (transfer full): the selection, or NULL with @error set when @modalias is malformed
 */
VvSelection *vv_catalog_select (const VvCatalog *catalog, const char *modalias, GError **error);

/**
 * vv_selection_force:
 * @driver: a driver's or module's name
 *
 * Puts what the administrator named in the place of all candidates: nothing else is to be tried.
 *
 * Returns: TRUE, or FALSE with @error set when @driver cannot be a driver's name
 */
gboolean vv_selection_force (VvSelection *selection, const char *driver, GError **error);

/**
 * vv_selection_begin_with:
 * @driver: a driver's name
 * @why: why nothing better is to be tried; for the excluded
 *
 * Makes the candidate whose driver this is the first one; those that rank before it are excluded. When no
 * candidate has this driver it is put before all.
 *
 * Returns: TRUE, or FALSE with @error set when @driver cannot be a driver's name
 */
gboolean vv_selection_begin_with (const VvHost *host, VvSelection *selection, const char *driver,
                                  const char *why, GError **error);

/** vv_candidate_forced: Returns: (transfer full): a candidate that no alias names, by its driver's or
 * module's safe name */
VvCandidate *vv_candidate_forced (const char *driver);

/** vv_selection_exclude_at: puts the candidate with the number @i among the excluded */
void vv_selection_exclude_at (VvSelection *selection, guint i, const char *why);

/** vv_selection_exclude: puts @candidate, (transfer full), among the excluded */
void vv_selection_exclude (VvSelection *selection, VvCandidate *candidate, const char *why);

/** vv_selection_why_none: Returns: (transfer full): each of the excluded with the reason, in one line; or
 * that the kernel offers none */
char *vv_selection_why_none (const VvSelection *selection);

/** vv_candidate_driver: Returns: (transfer full) (nullable): its driver's name; NULL while the module is not
 * loaded */
char *vv_candidate_driver (const VvHost *host, const VvCandidate *candidate);

/** vv_driver_same: Returns: whether @a and @b name the same driver or module: dashes and underscores are one,
 * and "generic" (VV_DRIVER_GENERIC) is vfio-pci */
gboolean vv_driver_same (const char *a, const char *b);

/**
 * vv_candidate_named:
 * @candidates: (element-type VvCandidate): of a selection, the candidates or the excluded
 * @name: a driver or a module, as for vv_driver_same()
 *
 * Returns: (transfer none) (nullable): the first whose module, or loaded driver, has this name
 */
VvCandidate *vv_candidate_named (const VvHost *host, const GPtrArray *candidates, const char *name);

/**
 * vv_candidates_find:
 * @candidates: (element-type VvCandidate): of a selection, the candidates or the excluded
 * @driver: (nullable): a driver's name
 *
 * Returns: (transfer none) (nullable): the one whose driver this is
 */
const VvCandidate *vv_candidates_find (const VvHost *host, const GPtrArray *candidates, const char *driver);

/**
 * vv_selection_has_driver:
 * @driver: (nullable): a driver's name
 * @module: (nullable): its module, where that is known; NULL: it is looked up, or, where the driver is not
 * loaded, taken to have the same name
 *
 * Returns: whether @driver is a VFIO driver for the device, wanted or not
 */
gboolean vv_selection_has_driver (const VvHost *host, const VvSelection *selection, const char *driver,
                                  const char *module);
