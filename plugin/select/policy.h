/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy: the administrator's rules: the drivers that a device may get, and its other options.
 *
 * Owns: the conditions and options of rules, and which rule applies. Knows nothing of files or XML
 * (policy-xml), of candidates and their ranking (choice), nor of domains. A domain's request has the same
 * options as a rule.
 */
#pragma once

#include "pci-device.h"

/** The name of the generic driver in a driver list. */
#define VV_DRIVER_GENERIC "generic"

/** The driver list that keeps the order of the catalog. */
#define VV_DRIVER_AUTO "auto"

/**
 * VvOption:
 * @VV_OPTION_FALLBACK: what to try when the chosen driver fails (VvFallback)
 * @VV_OPTION_MIGRATABLE: whether live migration is required (VvMigratable)
 * @VV_OPTION_UNMANAGED: whether to move devices that a domain has with managed='no' (VvUnmanaged)
 * @VV_OPTION_HOST_USE: whether to take a device that the host uses (VvHostUse)
 * @VV_OPTION_AT_BOOT: whether to bind a device to VFIO when it appears (VvAtBoot)
 *
 * The options of a device besides its drivers. The value 0 of each means unset.
 */
typedef enum {
  VV_OPTION_FALLBACK,
  VV_OPTION_MIGRATABLE,
  VV_OPTION_UNMANAGED,
  VV_OPTION_HOST_USE,
  VV_OPTION_AT_BOOT,
  VV_OPTIONS,
} VvOption;

/** VvFallback: tries all other candidates, best first; only the generic driver; no driver. Each value is
 * stricter than the one before. */
typedef enum {
  VV_FALLBACK_UNSET,
  VV_FALLBACK_NEXT,
  VV_FALLBACK_GENERIC,
  VV_FALLBACK_NONE,
} VvFallback;

/** VvMigratable: ignores migration; tries drivers that cannot migrate last; excludes them. Each value is
 * stricter than the one before. */
typedef enum {
  VV_MIGRATABLE_UNSET,
  VV_MIGRATABLE_IGNORE,
  VV_MIGRATABLE_PREFER,
  VV_MIGRATABLE_REQUIRE,
} VvMigratable;

/** VvUnmanaged: leaves the devices to the administrator; detaches and restores them, as libvirt does for
 * managed devices */
typedef enum {
  VV_UNMANAGED_UNSET,
  VV_UNMANAGED_IGNORE,
  VV_UNMANAGED_MANAGE,
} VvUnmanaged;

/** VvHostUse: refuses a device that the host uses; takes it with a warning. If unset, "vfio-variant bind"
 * refuses the device, and the start of a domain only warns (rule R7). */
typedef enum {
  VV_HOST_USE_UNSET,
  VV_HOST_USE_REFUSE,
  VV_HOST_USE_WARN,
} VvHostUse;

/** VvAtBoot: leaves a new device on the host until a request for it; binds it to VFIO when it appears */
typedef enum {
  VV_AT_BOOT_UNSET,
  VV_AT_BOOT_NO,
  VV_AT_BOOT_YES,
} VvAtBoot;

/** vv_option_name: Returns: the attribute of the option: "fallback", "migratable", "unmanaged", "host-use" or
 * "at-boot" */
const char *vv_option_name (VvOption option);

/** vv_option_value: Returns: the spelling of a value ("next"), or "" for 0 */
const char *vv_option_value (VvOption option, int value);

/** vv_option_built_in: Returns: the default value */
int vv_option_built_in (VvOption option);

/** vv_option_parse: Returns: the value with the spelling @text, or 0 if there is none */
int vv_option_parse (VvOption option, const char *text);

/** VvAnswer: a fact that may be unknown */
typedef enum {
  VV_ANSWER_UNKNOWN,
  VV_ANSWER_NO,
  VV_ANSWER_YES,
} VvAnswer;

/**
 * VvMigrationUse:
 * @iommufd: whether QEMU uses the device through iommufd
 * @others: the domain has other VFIO devices
 * @forced: the device has QEMU's property enable-migration=on: QEMU migrates without dirty tracking
 *
 * How a domain uses a device. All 0: nothing is known of a domain.
 */
typedef struct {
  VvAnswer iommufd;
  gboolean others;
  gboolean forced;
} VvMigrationUse;

/**
 * VvOptions:
 * @drivers: (nullable): only "auto"; or names of drivers or modules in the order of preference, with
 * "generic" for the generic driver; NULL: unset
 * @model: (nullable): <driver model='...'/> of a domain's hostdev: the only driver to try; rules do not set
 * it
 * @values: a value for each VvOption
 * @use: how a domain uses the device; rules do not set it
 *
 * The options that a rule of the policy sets, or a domain requests, for a device.
 */
typedef struct {
  char **drivers;
  char *model;
  int values[VV_OPTIONS];
  VvMigrationUse use;
} VvOptions;

void vv_options_clear (VvOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvOptions, vv_options_clear)

/** vv_options_are_empty: Returns: whether @options has neither drivers nor values, which is all that a rule
 * can set */
gboolean vv_options_are_empty (const VvOptions *options);

/**
 * VvRule:
 * @file, @line: its location
 * @address, @physical_function: (nullable): globs of addresses: the device's own, and that of its physical
 * function, if it is a virtual function
 * @host_driver: (nullable): glob of its host driver
 * @modalias: (nullable): glob of its modalias, without the prefix
 * @iommu_group: (nullable): number of its IOMMU group
 * @vendor, @product, @subsystem_vendor, @subsystem_product: PCI ids; -1: any
 * @class_code: (nullable): the first two, four or six hexadecimal digits of its class, in lower case
 * @options: the options for matching devices
 *
 * A rule. A condition that is NULL or -1 matches any device.
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

/** vv_rule_new: Returns: (transfer full): a rule that matches any device and sets no option */
VvRule *vv_rule_new (const char *file, guint line);
void vv_rule_free (VvRule *rule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvRule, vv_rule_free)

/**
 * VvPolicyFile:
 * @path: a file, or the directory of files
 * @problem: (nullable): why it is ignored, on one line, with the fix
 */
typedef struct {
  char *path;
  char *problem;
} VvPolicyFile;

/** VvSwitch: a setting that may be unset */
typedef enum { VV_UNSAID, VV_YES, VV_NO } VvSwitch;

/**
 * VvPolicy:
 * @rules: (element-type VvRule): the <device> elements; the first that matches a device applies
 * @defaults: (element-type VvRule): the <default> elements, for options that the matching rule does not set;
 * for each option, the first that sets it applies
 * @gate: whether vfio-variantd blocks libvirt
 * @deadline_s: the longest time that it blocks libvirt, seconds; 0: unset
 * @executables: (nullable): the programs that it blocks; NULL: unset
 * @hook_limit_s: time limit of a node-device hook, seconds; 0: unset
 * @files: (element-type VvPolicyFile): the files, in the order of reading
 * @unread: (nullable): the first file or directory that could not be read, and why; NULL: none
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

/** vv_policy_new: Returns: (transfer full): an empty policy, which allows every candidate, best first */
VvPolicy *vv_policy_new (void);
void vv_policy_free (VvPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvPolicy, vv_policy_free)

/** vv_policy_add_file: Records that a file was read; @problem: (nullable): why it is ignored */
void vv_policy_add_file (VvPolicy *policy, const char *path, const char *problem);

/** vv_policy_has_at_boot: Returns: whether any rule has at-boot='yes' */
gboolean vv_policy_has_at_boot (const VvPolicy *policy);

/** vv_policy_warn: Logs the problems of the policy's files */
void vv_policy_warn (const VvPolicy *policy);

/**
 * vv_policy_match:
 * @host_driver: (nullable): the host driver of @device, if known
 *
 * Returns: (transfer none) (nullable): the first rule that matches @device, or NULL
 */
const VvRule *vv_policy_match (const VvPolicy *policy, const VvPciDevice *device, const char *host_driver);
