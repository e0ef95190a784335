/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * choice: the drivers to try for a device, in order, and the reasons why others are excluded.
 *
 * Owns: the candidates, and the effect of the policy and of a domain's request on them. The first rule that
 * sets an option applies. Knows nothing of aliases (catalog), nor of how devices are rebound.
 */
#pragma once

#include "policy.h"

/** The module and the driver that bind any PCI device (drivers/vfio/pci/vfio_pci.c). */
#define VV_GENERIC_MODULE "vfio_pci"
#define VV_GENERIC_DRIVER "vfio-pci"

/**
 * VvSource:
 * @VV_SOURCE_MODPROBE: an alias line of modprobe.d, from the administrator
 * @VV_SOURCE_ALIAS: modules.alias, which depmod writes from the modules
 * @VV_SOURCE_BUILTIN: modules.builtin.modinfo, for modules inside the kernel image
 * @VV_SOURCE_DEFAULT: no alias: the generic driver, if no table offers it for the device (a kernel before
 * 5.16, no modules directory)
 * @VV_SOURCE_FORCED: no alias: the administrator named the driver
 *
 * The source of a candidate. For equal wildcards, the lower value ranks first.
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
 * @wildcards: the number of '*' in @alias
 * @source: the source of @alias
 * @rank: its index among all entries of the catalog, excluded ones included: by wildcards, then by source,
 * then in the order in which they were read; 0 for VV_SOURCE_DEFAULT and VV_SOURCE_FORCED
 * @driver: (nullable): the driver's name in the administrator's spelling, for VV_SOURCE_FORCED
 * @excluded: (nullable): why it is excluded; NULL for a candidate
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
 * VvChoice:
 * @key: the key that was looked up for the device's modalias
 * @candidates: (element-type VvCandidate): the drivers to try, best first
 * @excluded: (element-type VvCandidate): other drivers that match, with the reason
 * @options: the options of the device. vv_choice_decide() sets all drivers and values; host-use may stay 0.
 * vv_choice_narrow() sets the model if it is granted
 * @said: which values of @options the administrator set; the others are built-in defaults
 * @file, @line: (nullable): the rule that matches the device, or the first <default>; NULL: neither exists
 * @whose: (nullable): the source of the request that changed @options, such as "domain vm1"
 * @refused: (element-type utf8): the parts of that request that the policy does not grant, one sentence each
 *
 * vv_catalog_select() creates it, with all drivers that match.
 */
typedef struct {
  char *key;
  GPtrArray *candidates;
  GPtrArray *excluded;
  VvOptions options;
  gboolean said[VV_OPTIONS];
  char *file;
  guint line;
  char *whose;
  GPtrArray *refused;
} VvChoice;

/** vv_choice_new: @key: (transfer full). Returns: (transfer full): a choice without candidates */
VvChoice *vv_choice_new (char *key);
void vv_choice_free (VvChoice *choice);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvChoice, vv_choice_free)

/** vv_candidate_new: Returns: (transfer full): a candidate; @alias: (nullable) */
VvCandidate *vv_candidate_new (const char *module, const char *alias, VvSource source);
void vv_candidate_free (VvCandidate *candidate);

/**
 * vv_choice_force:
 * @driver: a driver's or module's name
 *
 * Replaces all candidates with the driver that the administrator named, so that no other driver is tried.
 *
 * Returns: TRUE, or FALSE with @error set if @driver is not a valid driver name
 */
gboolean vv_choice_force (VvChoice *choice, const char *driver, GError **error);

/**
 * vv_choice_begin_with:
 * @driver: a driver's name
 * @why: why no better driver is tried; for the excluded candidates
 *
 * Makes the candidate with this driver the first one, and excludes the candidates that rank before it. If no
 * candidate has this driver, inserts one in first place.
 *
 * Returns: TRUE, or FALSE with @error set if @driver is not a valid driver name
 */
gboolean vv_choice_begin_with (const VvHost *host, VvChoice *choice, const char *driver, const char *why,
                               GError **error);

/** vv_choice_exclude: Moves @candidate from the candidates of @choice to the excluded ones */
void vv_choice_exclude (VvChoice *choice, VvCandidate *candidate, const char *why);

/** vv_choice_why_none: Returns: (transfer full): all excluded drivers with the reasons, on one line; or that
 * no alias matches */
char *vv_choice_why_none (const VvChoice *choice);

/** vv_candidate_driver: Returns: (transfer full) (nullable): the candidate's driver; NULL while its module is
 * not loaded */
char *vv_candidate_driver (const VvHost *host, const VvCandidate *candidate);

/** vv_driver_same: Returns: whether @a and @b name the same driver or module; dashes equal underscores, and
 * "generic" (VV_DRIVER_GENERIC) is vfio-pci */
gboolean vv_driver_same (const char *a, const char *b);

/**
 * vv_candidate_named:
 * @candidates: (element-type VvCandidate): the candidates or the excluded ones of a choice
 * @name: a driver or a module, as for vv_driver_same()
 *
 * Returns: (transfer none) (nullable): the first whose module, or loaded driver, has this name
 */
VvCandidate *vv_candidate_named (const VvHost *host, const GPtrArray *candidates, const char *name);

/** vv_candidate_of_module: Returns: (transfer none) (nullable): the first of @candidates, as for
 * vv_candidate_named(), with this module */
VvCandidate *vv_candidate_of_module (const GPtrArray *candidates, const char *module);

/**
 * vv_candidates_find:
 * @candidates: (element-type VvCandidate): the candidates or the excluded ones of a choice
 * @driver: (nullable): a driver's name
 *
 * Returns: (transfer none) (nullable): the first with this driver
 */
VvCandidate *vv_candidates_find (const VvHost *host, const GPtrArray *candidates, const char *driver);

/**
 * vv_choice_has_driver:
 * @driver: (nullable): a driver's name
 * @module: (nullable): its module, if known; NULL: looks it up, or assumes the driver's name if the driver is
 * not loaded
 *
 * Returns: whether @driver is a VFIO driver for the device, as a candidate or excluded
 */
gboolean vv_choice_has_driver (const VvHost *host, const VvChoice *choice, const char *driver,
                               const char *module);

/**
 * vv_choice_decide:
 * @host_driver: (nullable): the device's host driver, if known
 *
 * Sets the options of @choice from the policy, and the rule that they come from.
 */
void vv_choice_decide (VvChoice *choice, const VvPolicy *policy, const VvPciDevice *device,
                       const char *host_driver);

/**
 * vv_choice_narrow:
 * @requested: the options that a domain requests for the device; a model replaces the drivers
 * @whose: the source of the request for messages, such as "domain vm1"
 *
 * Applies the request of a domain. Call it after vv_choice_decide(). A request can be stricter than the
 * policy. It can choose among the drivers that the policy lists, or among the candidates if the policy lists
 * none. Only the administrator can name another module. If the request has fallback='none' and the policy
 * allows none of its drivers, no driver remains.
 *
 * Returns: TRUE, or FALSE with @error set if the model is not a valid driver name
 */
gboolean vv_choice_narrow (VvChoice *choice, const VvHost *host, const VvOptions *requested,
                           const char *whose, GError **error);

/** VvCannotMigrate: Returns: (transfer none) (nullable): why a domain cannot migrate with the device on
 * @driver, as the rest of a sentence that begins with "it"; NULL: no reason is known */
typedef const char *(*VvCannotMigrate) (const char *driver, gpointer data);

/**
 * vv_choice_apply:
 * @cannot_migrate: called with @data if the options depend on migration
 *
 * Applies the options to the candidates. The remaining candidates are the drivers to try, in order. The
 * others are excluded, with the rule as the reason. There may be no remaining candidate.
 */
void vv_choice_apply (VvChoice *choice, const VvHost *host, VvCannotMigrate cannot_migrate, gpointer data);

/** vv_choice_rule: Returns: (transfer full): the source of the options: "policy FILE:LINE", "domain vm1" for
 * a request, "policy FILE:LINE with domain vm1", or "no rule" */
char *vv_choice_rule (const VvChoice *choice);

/** vv_choice_is_strict: Returns: whether the device must be refused if no allowed driver works, because the
 * administrator or the domain requires it */
gboolean vv_choice_is_strict (const VvChoice *choice);

/** vv_choice_requires: Returns: whether a domain with the device must be migratable */
gboolean vv_choice_requires (const VvChoice *choice);

/** vv_choice_allows: Returns: whether libvirt may choose @driver: any with "auto", else a listed one */
gboolean vv_choice_allows (const VvChoice *choice, const char *driver);
