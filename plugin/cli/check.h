/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check: the findings of "vfio-variant check" and "vfio-variant status". Changes nothing: loads no module,
 * takes no lock, and opens no VFIO device.
 *
 * Owns: the structure of a finding and the output order of findings (findings); what all checks share
 * (VvCheckContext); and the checks of the host (check-host, hook-scripts), of a device and the driver that it
 * would get (check-device), and of the environment of a device (check-environment). vfio-variant(1), section
 * FINDINGS, documents the ids. The texts of a finding contain no control characters.
 */
#pragma once

#include "attach.h"
#include "domain-xml.h"
#include "json.h"
#include "libvirt-process.h"

/* --- findings --- */

/** The subjects of findings that are not about a device: the host, and the domain as a whole. */
#define VV_SUBJECT_HOST "host"
#define VV_SUBJECT_DOMAIN "domain"

/**
 * VvSeverity:
 * @VV_OK: the check passed
 * @VV_NOTE: information
 * @VV_WARNING: an attach works, but perhaps not as the administrator expects
 * @VV_PROBLEM: an attach would fail, or would not meet a requirement
 */
typedef enum {
  VV_OK,
  VV_NOTE,
  VV_WARNING,
  VV_PROBLEM,
} VvSeverity;

/**
 * VvFinding:
 * @id: the kind of finding; the same in every version
 * @severity: its severity
 * @subject: the address of a device, VV_SUBJECT_HOST or VV_SUBJECT_DOMAIN
 * @what: the fact
 * @why: its impact
 * @fix: (nullable): a command or a setting
 */
typedef struct {
  const char *id;
  VvSeverity severity;
  char *subject;
  char *what;
  char *why;
  char *fix;
} VvFinding;

/** vv_findings_new: Returns: (transfer full) (element-type VvFinding): an empty array */
GPtrArray *vv_findings_new (void);

/** vv_findings_worst: Returns: the highest severity; VV_OK if there are no findings */
VvSeverity vv_findings_worst (const GPtrArray *findings);

/**
 * vv_findings_print:
 * @titled: print the subject as the title of each group
 * @colour: print colours
 *
 * Prints the findings on standard output, grouped by subject. The groups are in the order of their first
 * findings, the host last. Each group is sorted by severity, the highest first.
 */
void vv_findings_print (const GPtrArray *findings, gboolean titled, gboolean colour);

/** vv_findings_json: Adds the array "findings", in the order of vv_findings_print() */
void vv_findings_json (const GPtrArray *findings, JsonBuilder *builder);

/* --- the context of all checks --- */

/** The first libvirt version that itself binds hostdevs to variant drivers, and the first that accepts a
 * device on a variant driver. */
#define VV_LIBVIRT_CHOOSES VV_LIBVIRT_VERSION (10, 0, 0)
#define VV_LIBVIRT_ACCEPTS VV_LIBVIRT_VERSION (9, 7, 0)

/** The first libvirt version that works without modules.alias and then binds vfio-pci. Tested: 11.3 refuses
 * the device, 12.8 and 12.9 accept it. The first such version between 11.3 and 12.8 is unknown. */
#define VV_LIBVIRT_NEEDS_NO_TABLE VV_LIBVIRT_VERSION (12, 0, 0)

/**
 * VvCheckContext:
 * @context: the host, its catalog, policy and state store
 * @libvirt: (nullable): the running libvirt
 * @privileged: the caller is root, so the kernel hides nothing from it
 * @signatures_enforced: (nullable): why the kernel accepts signed modules only; NULL: it accepts all modules
 */
typedef struct {
  VvContext *context;
  VvLibvirtProcess *libvirt;
  gboolean privileged;
  char *signatures_enforced;
} VvCheckContext;

/**
 * vv_check_context_new:
 * @context: (transfer full): the function reads the policy of its host into it
 */
VvCheckContext *vv_check_context_new (VvContext *context);
void vv_check_context_free (VvCheckContext *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCheckContext, vv_check_context_free)

/**
 * VvSubject: what a check is about
 * @s: the context of all checks
 * @name: as @subject of VvFinding
 * @findings: (element-type VvFinding): receives the findings
 */
typedef struct {
  const VvCheckContext *s;
  const char *name;
  GPtrArray *findings;
} VvSubject;

/**
 * vv_find:
 * @id: a string literal
 * @what: (transfer full): the fact
 * @why: its impact
 * @fix: (transfer full) (nullable): a command or a setting
 *
 * Adds a finding about @about.
 */
void vv_find (const VvSubject *about, const char *id, VvSeverity severity, char *what, const char *why,
              char *fix);

/** vv_kernel_is_before: Returns: whether the kernel is older than @major.@minor; FALSE if its release does
 * not begin with a version */
gboolean vv_kernel_is_before (const VvHost *host, guint major, guint minor);

/** vv_libvirt_is_before: Returns: whether the running libvirt is older than @version (VV_LIBVIRT_VERSION());
 * FALSE if no libvirt is running or its version is unknown */
gboolean vv_libvirt_is_before (const VvCheckContext *context, guint version);

/**
 * vv_settings_grep:
 * @before: an extended regular expression for the text before @name
 * @name: the name of a module, or a value
 *
 * Returns: (transfer full): a shell command that finds the setting in modprobe.d or on the kernel command
 * line
 */
char *vv_settings_grep (const char *before, const char *name);

/* --- about the host, or a device --- */

/** vv_find_silent: Adds a finding if built-in variant drivers publish no aliases (vv_catalog_silent()).
 * @device: (nullable): a device that they may support; NULL: the finding is about the host */
void vv_find_silent (const VvSubject *about, const VvPciDevice *device);

/** vv_find_iommu_off: Adds the finding that there is no IOMMU, with the reason */
void vv_find_iommu_off (const VvSubject *about);

/**
 * vv_find_module:
 * @module: the name of a module
 * @built_in: the caller knows that the module is built into the kernel
 * @severity: the severity of the finding
 *
 * Adds a finding with the reason if the module cannot be loaded.
 *
 * Returns: whether the module is loaded or can be loaded
 */
gboolean vv_find_module (const VvSubject *about, const char *module, gboolean built_in, VvSeverity severity);

/** vv_find_damaged: Adds the finding that the state file of a device cannot be read; @problem: the reason */
void vv_find_damaged (const VvSubject *about, const GError *problem);

/** vv_find_entry: Adds a finding if @entry records an unfinished rebind, or a VFIO driver while the device
 * has no driver. @driver: (nullable): the current driver of the device */
void vv_find_entry (const VvSubject *about, const VvEntry *entry, const char *driver);

/** vv_find_at_boot: Adds a finding if the policy sets at-boot='yes' for the device, but it is not on VFIO.
 * @entry: (nullable): its state file */
void vv_find_at_boot (const VvSubject *about, const VvPciDevice *device, const VvEntry *entry);

/* --- about the host --- */

/**
 * vv_denials_newest:
 * @unreadable: (out) (transfer full) (nullable): a log that the caller may not read; NULL: none
 *
 * Reads the kernel log and the audit log. A denial counts if its line contains vfio, modules.alias,
 * libvirt/hooks, driver_override or drivers_probe. Accesses that were only logged (SELinux permissive,
 * AppArmor complain) do not count.
 *
 * Returns: (transfer full) (nullable): the line of the newest denial; NULL if there is none
 */
char *vv_denials_newest (const VvHost *host, char **unreadable);

/**
 * vv_find_host:
 * @about: the host
 *
 * Adds the findings about the host that check and status share: the running libvirt, how it chooses drivers,
 * and whether it can read modules.alias; other hook scripts; tables of depmod and policy files that cannot be
 * read; denials by SELinux or AppArmor; and checks that are skipped without root.
 */
void vv_find_host (const VvSubject *about);

/**
 * VvHookUse:
 * @VV_HOOK_CALLS_LIBVIRT: the script calls virsh, which waits for libvirt, which waits for the hook
 * @VV_HOOK_MOVES_DEVICES: the script writes to bind, unbind, driver_override or a similar file, or unloads a
 * VFIO module
 */
typedef enum {
  VV_HOOK_CALLS_LIBVIRT,
  VV_HOOK_MOVES_DEVICES,
} VvHookUse;

/** Called for each use. @line counts from 1. @what is the command or the file, and is valid during the call
 * only. */
typedef void (*VvHookUseFunc) (VvHookUse use, guint line, const char *what, gpointer data);

/**
 * vv_hook_script_read:
 * @text: the text of a script, or any other text
 *
 * Calls @func for each use in @text. A script whose interpreter is not a shell has no uses.
 */
void vv_hook_script_read (const char *text, VvHookUseFunc func, gpointer data);

/**
 * vv_find_hook_scripts:
 *
 * Adds a finding for each kind of use in each script below libvirt's hooks directory. Reads files of root, up
 * to 256 KiB each: executable files in that directory and in its subdirectories, and all files further below,
 * which other scripts may run.
 */
void vv_find_hook_scripts (const VvSubject *about);

/**
 * vv_check_host:
 * @about: the host
 * @daemon: (nullable): the status that vfio-variantd reports; NULL: it is not running
 *
 * Adds all findings of status.
 */
void vv_check_host (const VvSubject *about, JsonObject *daemon);

/* --- about a device --- */

/**
 * VvQemu:
 * @path: (nullable): the emulator; NULL: none was found
 * @version: MAJOR * 1000 + MINOR; 0: unknown
 * @problem: (nullable): why the version is unknown
 */
typedef struct {
  char *path;
  guint version;
  char *problem;
} VvQemu;

/**
 * VvPlan:
 * @domain: (nullable): the domain that would get the devices
 * @along: (element-type utf8): the addresses of all devices that are checked together
 * @qemu: (nullable): the QEMU that would get the devices; NULL: its version was not queried
 *
 * The attach that is checked.
 */
typedef struct {
  const VvDomain *domain;
  const GPtrArray *along;
  const VvQemu *qemu;
} VvPlan;

/**
 * VvCheck: a device and the result of its check
 * @about: the device; the check owns the findings
 * @context: not owned
 * @plan: the attach that is checked; not owned
 * @hostdev: (nullable): the hostdev of the domain of @plan; not owned
 * @entry: (nullable): its state file
 * @choice: its driver selection
 * @chosen: (nullable): the candidate that would be bound
 * @on_vfio: it is on a VFIO driver now
 * @driver: (nullable): the driver that it would get; NULL: none, or its module is not loaded
 * @module: (nullable): the module of that driver; NULL: none, or the device stays on its current driver
 * @why: the reason for that driver, as text
 * @fallback: (element-type utf8): what would be tried next, in order: drivers, or modules that are not loaded
 * @migratable: whether a domain with the device could be migrated live, as far as is known
 */
typedef struct {
  VvSubject about;
  const VvContext *context;
  const VvPlan *plan;
  const VvHostdev *hostdev;
  VvPciDevice *device;
  VvEntry *entry;
  VvChoice *choice;
  const VvCandidate *chosen;
  gboolean on_vfio;
  char *driver;
  char *module;
  char *why;
  GPtrArray *fallback;
  VvMigratability migratable;
} VvCheck;

void vv_check_free (VvCheck *check);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCheck, vv_check_free)

/**
 * vv_check_device:
 * @hostdev: (nullable): the hostdev of the domain of @plan
 *
 * Returns: (transfer full): the result, which @s and @plan must outlive, or NULL with @error set:
 * VV_ERROR_NO_DEVICE if there is no such device, or another error if its modalias is malformed
 */
VvCheck *vv_check_device (const VvCheckContext *s, const VvPlan *plan, const char *address,
                          const VvHostdev *hostdev, GError **error);

/**
 * vv_find_environment:
 * @along: (element-type utf8): the devices that go to VFIO together with @device
 *
 * Checks the IOMMU and the IOMMU group of the device, the functions that depend on it and stay with the host,
 * and the boot framebuffer.
 *
 * Dependent functions are those that the kernel links to the device (consumer:pci:*, quirk_gpu_hda() and
 * similar quirks in the kernel's drivers/pci/quirks.c), and the audio, USB and UCSI functions in the slot of
 * a GPU.
 *
 * The boot framebuffer is the firmware's framebuffer that the host's console uses. It matters if it is in a
 * BAR of the device. Only root can see this, in /proc/iomem.
 */
void vv_find_environment (const VvSubject *about, const VvPciDevice *device, const GPtrArray *along);

/**
 * vv_find_settings:
 * @entry: (nullable): its state file
 * @variant: (nullable): the variant driver, or its module, that @device would get; NULL: it would get
 * vfio-pci or none, or it stays on its current driver
 *
 * Checks the settings of the administrator for the device and for vfio-pci: the options of the vfio-pci
 * module, a driver_override that names no existing driver, and a device that is on vfio-pci already.
 */
void vv_find_settings (const VvSubject *about, const VvPciDevice *device, const VvEntry *entry,
                       const char *variant);
