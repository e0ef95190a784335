/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * choice: for a device, the drivers that may be tried, in order, and why the others are out.
 *
 * Owns: the candidates, and what the policy and a domain's request make of them. One principle throughout:
 * what is said first counts. Knows nothing of aliases (catalog), nor of how devices move.
 */
#pragma once

#include "policy.h"

/** The module and the driver that take any PCI device (drivers/vfio/pci/vfio_pci.c). */
#define VV_GENERIC_MODULE "vfio_pci"
#define VV_GENERIC_DRIVER "vfio-pci"

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
 * VvChoice:
 * @key: the device's modalias as it was looked up
 * @candidates: (element-type VvCandidate): what may be tried, best first
 * @excluded: (element-type VvCandidate): what matched and is out, with the reason
 * @options: what holds for the device; everything is said once vv_choice_decide() was called. A model is
 * there when it was granted
 * @said: which values of @options the administrator said; the others are built in
 * @file, @line: (nullable): the rule that decided; NULL: no rule speaks of the device
 * @whose: (nullable): whose request has a part in @options
 * @refused: (element-type utf8): what of that request the policy did not grant, a sentence each
 *
 * Made by vv_catalog_select(), with all that matched.
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

/** vv_choice_new: @key: (transfer full). Returns: (transfer full): a choice of nothing */
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
 * Puts what the administrator named in the place of all candidates: nothing else is to be tried.
 *
 * Returns: TRUE, or FALSE with @error set when @driver cannot be a driver's name
 */
gboolean vv_choice_force (VvChoice *choice, const char *driver, GError **error);

/**
 * vv_choice_begin_with:
 * @driver: a driver's name
 * @why: why nothing better is to be tried; for the excluded
 *
 * Makes the candidate whose driver this is the first one; those that rank before it are excluded. When no
 * candidate has this driver it is put before all.
 *
 * Returns: TRUE, or FALSE with @error set when @driver cannot be a driver's name
 */
gboolean vv_choice_begin_with (const VvHost *host, VvChoice *choice, const char *driver, const char *why,
                               GError **error);

/** vv_choice_exclude: puts @candidate, one of the candidates of @choice, among the excluded */
void vv_choice_exclude (VvChoice *choice, VvCandidate *candidate, const char *why);

/** vv_choice_why_none: Returns: (transfer full): each of the excluded with the reason, in one line; or
 * that the kernel offers none */
char *vv_choice_why_none (const VvChoice *choice);

/** vv_candidate_driver: Returns: (transfer full) (nullable): its driver's name; NULL while the module is not
 * loaded */
char *vv_candidate_driver (const VvHost *host, const VvCandidate *candidate);

/** vv_driver_same: Returns: whether @a and @b name the same driver or module: dashes and underscores are one,
 * and "generic" (VV_DRIVER_GENERIC) is vfio-pci */
gboolean vv_driver_same (const char *a, const char *b);

/**
 * vv_candidate_named:
 * @candidates: (element-type VvCandidate): of a choice, the candidates or the excluded
 * @name: a driver or a module, as for vv_driver_same()
 *
 * Returns: (transfer none) (nullable): the first whose module, or loaded driver, has this name
 */
VvCandidate *vv_candidate_named (const VvHost *host, const GPtrArray *candidates, const char *name);

/** vv_candidate_of_module: Returns: (transfer none) (nullable): the one of @candidates, as for
 * vv_candidate_named(), whose module this is */
VvCandidate *vv_candidate_of_module (const GPtrArray *candidates, const char *module);

/**
 * vv_candidates_find:
 * @candidates: (element-type VvCandidate): of a choice, the candidates or the excluded
 * @driver: (nullable): a driver's name
 *
 * Returns: (transfer none) (nullable): the one whose driver this is
 */
VvCandidate *vv_candidates_find (const VvHost *host, const GPtrArray *candidates, const char *driver);

/**
 * vv_choice_has_driver:
 * @driver: (nullable): a driver's name
 * @module: (nullable): its module, where that is known; NULL: it is looked up, or, where the driver is not
 * loaded, taken to have the same name
 *
 * Returns: whether @driver is a VFIO driver for the device, wanted or not
 */
gboolean vv_choice_has_driver (const VvHost *host, const VvChoice *choice, const char *driver,
                               const char *module);

/**
 * vv_choice_decide:
 * @host_driver: (nullable): the device's driver on the host, when it is known
 *
 * Gives @choice what the policy wants of the device: the options, and from which rule they are.
 */
void vv_choice_decide (VvChoice *choice, const VvPolicy *policy, const VvPciDevice *device,
                       const char *host_driver);

/**
 * vv_choice_narrow:
 * @requested: what a domain requests for the device; its model takes the place of its drivers
 * @whose: whose request that is, for the messages
 *
 * To be called after vv_choice_decide(). A request may be stricter than the policy, and choose among the
 * drivers that it lists; where it lists none, among the candidates. Only the administrator can name another
 * module. A request for drivers of which none is granted, and for no fallback, leaves no driver at all.
 *
 * Returns: TRUE, or FALSE with @error set when the model cannot be a driver's name
 */
gboolean vv_choice_narrow (VvChoice *choice, const VvHost *host, const VvOptions *requested,
                           const char *whose, GError **error);

/** Returns: (transfer none) (nullable): why a domain cannot be migrated with the device on @driver, as what
 * follows "it"; NULL: that is not known */
typedef const char *(*VvCannotMigrate) (const char *driver, gpointer data);

/**
 * vv_choice_apply:
 * @cannot_migrate: asked when the options care, with @data
 *
 * Makes of the candidates what the options say: what remains is what may be tried, in this order; what does
 * not is excluded with the rule. Nothing may remain.
 */
void vv_choice_apply (VvChoice *choice, const VvHost *host, VvCannotMigrate cannot_migrate, gpointer data);

/** vv_choice_rule: Returns: (transfer full): who decided, in words: "policy FILE:LINE", "domain vm1" after a
 * request of its, both, or "no rule" */
char *vv_choice_rule (const VvChoice *choice);

/** vv_choice_is_strict: Returns: whether a device that cannot have what was decided is to be refused: the
 * administrator, or the domain's owner, asked for that */
gboolean vv_choice_is_strict (const VvChoice *choice);

/** vv_choice_requires: Returns: whether a domain with the device must be migratable */
gboolean vv_choice_requires (const VvChoice *choice);

/** vv_choice_allows: Returns: whether libvirt may choose @driver: with "auto" any, else one of those that are
 * listed */
gboolean vv_choice_allows (const VvChoice *choice, const char *driver);
