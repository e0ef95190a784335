/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy: the administrator's rules: which drivers a device may get, and what else is wanted of it.
 *
 * Owns: what a rule can match and say, and which rule counts. Knows nothing of files or XML (policy-xml), of
 * candidates and what becomes of them (choice), nor of domains, whose requests are options like any other.
 */
#pragma once

#include "pci-device.h"

/** What a driver list may call the generic driver. */
#define VV_DRIVER_GENERIC "generic"

/** What a driver list can say besides names: the catalog's order. */
#define VV_DRIVER_AUTO "auto"

/**
 * VvOption:
 * @VV_OPTION_FALLBACK: what comes when the driver that was chosen fails (VvFallback)
 * @VV_OPTION_MIGRATABLE: whether live migration is asked for (VvMigratable)
 * @VV_OPTION_UNMANAGED: what becomes of devices that a domain has with managed='no' (VvUnmanaged)
 * @VV_OPTION_HOST_USE: what becomes of a device that the host uses (VvHostUse)
 * @VV_OPTION_AT_BOOT: whether a device goes to VFIO when it appears, without being asked for (VvAtBoot)
 *
 * What can be said of a device besides its drivers; each value 0 means that nothing is said.
 */
typedef enum {
  VV_OPTION_FALLBACK,
  VV_OPTION_MIGRATABLE,
  VV_OPTION_UNMANAGED,
  VV_OPTION_HOST_USE,
  VV_OPTION_AT_BOOT,
  VV_OPTIONS,
} VvOption;

/** VvFallback: all other candidates, best first; only the generic driver; nothing. Each is stricter than the
 * one before. */
typedef enum {
  VV_FALLBACK_UNSET,
  VV_FALLBACK_NEXT,
  VV_FALLBACK_GENERIC,
  VV_FALLBACK_NONE,
} VvFallback;

/** VvMigratable: all the same; who cannot migrate comes last; who cannot migrate is out. Each is stricter
 * than the one before. */
typedef enum {
  VV_MIGRATABLE_UNSET,
  VV_MIGRATABLE_IGNORE,
  VV_MIGRATABLE_PREFER,
  VV_MIGRATABLE_REQUIRE,
} VvMigratable;

/** VvUnmanaged: they are the administrator's; we detach and restore them as libvirt does the managed ones */
typedef enum {
  VV_UNMANAGED_UNSET,
  VV_UNMANAGED_IGNORE,
  VV_UNMANAGED_MANAGE,
} VvUnmanaged;

/** VvHostUse: what the host uses is not taken; it is taken, with a warning. Nothing said: bind refuses, the
 * start of a domain only warns (rule R7). */
typedef enum {
  VV_HOST_USE_UNSET,
  VV_HOST_USE_REFUSE,
  VV_HOST_USE_WARN,
} VvHostUse;

/** VvAtBoot: it stays on the host until somebody asks for it; it goes to VFIO as soon as it is there */
typedef enum {
  VV_AT_BOOT_UNSET,
  VV_AT_BOOT_NO,
  VV_AT_BOOT_YES,
} VvAtBoot;

/** vv_option_name: Returns: the attribute that says it: "fallback", "migratable", "unmanaged", "host-use",
 * "at-boot" */
const char *vv_option_name (VvOption option);

/** vv_option_value: Returns: the spelling of a value ("next"), "" for 0 */
const char *vv_option_value (VvOption option, int value);

/** vv_option_built_in: Returns: the value that holds where nobody says any */
int vv_option_built_in (VvOption option);

/** vv_option_parse: Returns: the value whose spelling @text is; 0 when there is none */
int vv_option_parse (VvOption option, const char *text);

/** VvAnswer: of a fact that may not be known */
typedef enum {
  VV_ANSWER_UNKNOWN,
  VV_ANSWER_NO,
  VV_ANSWER_YES,
} VvAnswer;

/**
 * VvMigrationUse:
 * @iommufd: whether QEMU gets the device through iommufd
 * @others: the domain has other VFIO devices, too
 * @forced: the device has QEMU's property enable-migration=on: QEMU does without dirty tracking
 *
 * How a domain has a device. All 0: nothing is known of a domain.
 */
typedef struct {
  VvAnswer iommufd;
  gboolean others;
  gboolean forced;
} VvMigrationUse;

/**
 * VvOptions:
 * @drivers: (nullable): "auto" alone; or drivers or modules by name, first wanted first, "generic" among
 * them; NULL: nothing is said
 * @model: (nullable): <driver model='...'/> of a domain's hostdev: the only driver that is wanted; no rule
 * has it
 * @values: for each VvOption
 * @use: how a domain has the device; no rule has it
 *
 * What a rule of the policy, or a domain, requests for a device.
 */
typedef struct {
  char **drivers;
  char *model;
  int values[VV_OPTIONS];
  VvMigrationUse use;
} VvOptions;

void vv_options_clear (VvOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvOptions, vv_options_clear)

/** vv_options_are_empty: Returns: whether @options have neither drivers nor values: nothing that a rule could
 * say */
gboolean vv_options_are_empty (const VvOptions *options);

/**
 * VvRule:
 * @file, @line: where it stands
 * @address, @physical_function: (nullable): globs of addresses; the device's own, and that of the physical
 * function it is a virtual function of
 * @host_driver: (nullable): glob of its driver on the host
 * @modalias: (nullable): glob of its modalias, without the prefix
 * @iommu_group: (nullable): number of its IOMMU group
 * @vendor, @product, @subsystem_vendor, @subsystem_product: PCI ids; -1: any
 * @class_code: (nullable): the first two, four or six digits of its class, in lower case
 * @options: what it says
 *
 * A rule. What is NULL or -1 matches any device.
 */
typedef struct {
  char *file;
  guint line;
  char *address;
  char *physical_function;
  char *host_driver;
  char *modalias;
  char *iommu_group;
  int vendor;
  int product;
  int subsystem_vendor;
  int subsystem_product;
  char *class_code;
  VvOptions options;
} VvRule;

/** vv_rule_new: Returns: (transfer full): a rule that matches any device and says nothing */
VvRule *vv_rule_new (const char *file, guint line);
void vv_rule_free (VvRule *rule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvRule, vv_rule_free)

/**
 * VvPolicyFile:
 * @path: a file that was looked at
 * @problem: (nullable): why it does not count: one line, with the remedy
 */
typedef struct {
  char *path;
  char *problem;
} VvPolicyFile;

/** VvSwitch: a setting that may be unsaid */
typedef enum { VV_UNSAID, VV_YES, VV_NO } VvSwitch;

/**
 * VvPolicy:
 * @rules: (element-type VvRule): <device>, the first that matches a device decides
 * @defaults: (element-type VvRule): <default>, for what the deciding rule does not say; what the first of
 * them says counts
 * @gate: whether vfio-variantd holds libvirt
 * @deadline_s: for how long, seconds; 0: not said
 * @executables: (nullable): which programs it holds; NULL: not said
 * @hook_limit_s: how long a node-device hook may run, seconds; 0: not said
 * @files: (element-type VvPolicyFile): what was read, in order
 * @unread: (nullable): the first file or folder that could not be read, and why; NULL: all could
 */
typedef struct {
  GPtrArray *rules;
  GPtrArray *defaults;
  VvSwitch gate;
  guint deadline_s;
  char **executables;
  guint hook_limit_s;
  GPtrArray *files;
  char *unread;
} VvPolicy;

/** vv_policy_new: Returns: (transfer full): the policy that says nothing: every candidate, best first */
VvPolicy *vv_policy_new (void);
void vv_policy_free (VvPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvPolicy, vv_policy_free)

/** vv_policy_add_file: notes that a file was read; @problem: (nullable): why it does not count */
void vv_policy_add_file (VvPolicy *policy, const char *path, const char *problem);

/** vv_policy_has_at_boot: Returns: whether any rule wants devices on VFIO from boot on */
gboolean vv_policy_has_at_boot (const VvPolicy *policy);

/** vv_policy_warn: logs what is wrong with files of the policy */
void vv_policy_warn (const VvPolicy *policy);

/** vv_policy_match: Returns: (transfer none) (nullable): the first rule that matches the device, of the
 * driver
 * @host_driver (nullable) on the host, when that is known; NULL: none does */
const VvRule *vv_policy_match (const VvPolicy *policy, const VvPciDevice *device, const char *host_driver);
