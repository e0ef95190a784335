/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check: what check and status find out. Changes nothing: loads no module, takes no lock, opens no VFIO.
 *
 * Owns: the shape of a finding and the order in which findings are told (findings), what is looked at once,
 * and the questions: about the host (check-host, hook-scripts), about a device and the driver that it would
 * get (check-device), and about what is around it (check-environment). What the ids mean is told in
 * vfio-variant(1), FINDINGS. Nothing in a finding acts on a terminal.
 */
#pragma once

#include "attach.h"
#include "domain-xml.h"
#include "json.h"
#include "libvirt-process.h"

/* --- findings --- */

/** VV_SUBJECT_HOST: what is about no device. VV_SUBJECT_DOMAIN: what is about the domain as a whole. */
#define VV_SUBJECT_HOST "host"
#define VV_SUBJECT_DOMAIN "domain"

/**
 * VvSeverity:
 * @VV_OK: it was looked at, and is well
 * @VV_NOTE: good to know
 * @VV_WARNING: it goes on, but not as somebody might think
 * @VV_PROBLEM: an attach would not work, or what was asked for is not had
 */
typedef enum {
  VV_OK,
  VV_NOTE,
  VV_WARNING,
  VV_PROBLEM,
} VvSeverity;

/**
 * VvFinding:
 * @id: what kind it is; the same in every version
 * @severity: how bad it is
 * @subject: a device's address, VV_SUBJECT_HOST or VV_SUBJECT_DOMAIN
 * @what: what was found
 * @why: why it matters
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

/** vv_findings_new: Returns: (transfer full) (element-type VvFinding): none */
GPtrArray *vv_findings_new (void);

/** vv_findings_worst: Returns: the worst severity; VV_OK when there are none */
VvSeverity vv_findings_worst (const GPtrArray *findings);

/** vv_findings_print: prints them on standard output, grouped by subject in the order of its first finding
 * but the host last, the worst of each first; @titled: each group has its subject for a title;
 * @colour: with colours */
void vv_findings_print (const GPtrArray *findings, gboolean titled, gboolean colour);

/** vv_findings_json: adds the member "findings", an array, in the order of vv_findings_print() */
void vv_findings_json (const GPtrArray *findings, JsonBuilder *builder);

/* --- what is looked at once --- */

/** From which libvirt on hostdevs are put on variant drivers by libvirt itself, and from which on it takes a
 * device that is on one. */
#define VV_LIBVIRT_CHOOSES VV_LIBVIRT_VERSION (10, 0, 0)
#define VV_LIBVIRT_ACCEPTS VV_LIBVIRT_VERSION (9, 7, 0)

/** From which libvirt on it does without modules.alias, and takes vfio-pci. Tried: 11.3 refuses the
 * device, 12.8 and 12.9 do not; which of the versions between is the first is not known. */
#define VV_LIBVIRT_NEEDS_NO_TABLE VV_LIBVIRT_VERSION (12, 0, 0)

/**
 * VvCheckContext:
 * @context: what is looked at
 * @libvirt: (nullable): the libvirt that runs
 * @privileged: the caller is root, so that nothing is hidden from it
 * @signatures_enforced: (nullable): why the kernel takes signed modules only; NULL: it takes all
 */
typedef struct {
  VvContext *context;
  VvLibvirtProcess *libvirt;
  gboolean privileged;
  char *signatures_enforced;
} VvCheckContext;

/**
 * vv_check_context_new:
 * @context: (transfer full): gets the policy of its host
 */
VvCheckContext *vv_check_context_new (VvContext *context);
void vv_check_context_free (VvCheckContext *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCheckContext, vv_check_context_free)

/**
 * VvSubject: what a question is about
 * @s: what was looked at
 * @name: as VvFinding's @subject
 * @findings: (element-type VvFinding): where what is found goes
 */
typedef struct {
  const VvCheckContext *s;
  const char *name;
  GPtrArray *findings;
} VvSubject;

/**
 * vv_find:
 * @id: a literal
 * @what: (transfer full): what was found
 * @why: why it matters
 * @fix: (transfer full) (nullable): a command or a setting
 *
 * Adds a finding about @about.
 */
void vv_find (const VvSubject *about, const char *id, VvSeverity severity, char *what, const char *why,
              char *fix);

/** vv_kernel_is_before: Returns: whether the kernel is older than @major.@minor; FALSE when its release does
 * not say */
gboolean vv_kernel_is_before (const VvHost *host, guint major, guint minor);

/** vv_libvirt_is_before: Returns: whether the libvirt that runs is older than @version
 * (VV_LIBVIRT_VERSION()); FALSE when none runs or its version is not known */
gboolean vv_libvirt_is_before (const VvCheckContext *context, guint version);

/**
 * vv_settings_grep:
 * @before: an extended regular expression: what stands before the name
 * @name: of a module, or a value
 *
 * Returns: (transfer full): a command that shows where modprobe.d or the kernel command line has that
 */
char *vv_settings_grep (const char *before, const char *name);

/* --- about the host, or a device --- */

/** vv_find_silent: variant drivers of the kernel image that publish no aliases (vv_catalog_silent());
 * @device: (nullable): a device that may be theirs; NULL: of the host */
void vv_find_silent (const VvSubject *about, const VvPciDevice *device);

/** vv_find_iommu_off: says that there is no IOMMU, and which of the reasons it has */
void vv_find_iommu_off (const VvSubject *about);

/**
 * vv_find_module:
 * @module: a module's name
 * @built_in: it is known to be part of the kernel image
 * @severity: how bad it is when it cannot be loaded
 *
 * Returns: whether the module is loaded or could be; if not, the reason is found
 */
gboolean vv_find_module (const VvSubject *about, const char *module, gboolean built_in, VvSeverity severity);

/** vv_find_damaged: that a device's state file cannot be read; @problem: why */
void vv_find_damaged (const VvSubject *about, const GError *problem);

/** vv_find_entry: what is wrong with a state file that was cut off; nothing when it was not.
 * @driver: (nullable): what its device is on */
void vv_find_entry (const VvSubject *about, const VvEntry *entry, const char *driver);

/** vv_find_at_boot: that a device should be on VFIO from boot on and is not; nothing when it is, or should
 * not.
 * @entry: (nullable): its state file */
void vv_find_at_boot (const VvSubject *about, const VvPciDevice *device, const VvEntry *entry);

/* --- about the host --- */

/**
 * vv_denials_newest:
 * @unreadable: (out) (transfer full) (nullable): a log that is there and could not be read; NULL: none
 *
 * A denial counts when its line names vfio, vfio-variant, libvirt's hooks or modules.alias. What was only
 * recorded (SELinux permissive, AppArmor complain) does not.
 *
 * Returns: (transfer full) (nullable): the line; NULL when there is none
 */
char *vv_denials_newest (const VvHost *host, char **unreadable);

/**
 * vv_find_host:
 * @about: the host
 *
 * What check finds as well: which libvirt runs, what it does by itself, and whether it can; other hook
 * scripts; depmod's tables and files of the policy that cannot be read; what SELinux or AppArmor kept from
 * us, and what a caller who is not root does not see.
 */
void vv_find_host (const VvSubject *about);

/**
 * VvHookUse:
 * @VV_HOOK_CALLS_LIBVIRT: virsh, which waits for libvirt, which waits for the hook
 * @VV_HOOK_MOVES_DEVICES: writes to bind, unbind, driver_override and the like, or unloads a VFIO module
 */
typedef enum {
  VV_HOOK_CALLS_LIBVIRT,
  VV_HOOK_MOVES_DEVICES,
} VvHookUse;

/** Called with each use: the line, from 1, and what is done there, valid during the call only. */
typedef void (*VvHookUseFunc) (VvHookUse use, guint line, const char *what, gpointer data);

/**
 * vv_hook_script_read:
 * @text: a script, any text; one whose interpreter is no shell has no uses
 */
void vv_hook_script_read (const char *text, VvHookUseFunc func, gpointer data);

/** vv_find_hook_scripts: the scripts below libvirt's hooks with such uses, each kind once for each script.
 * Read are root's files of 256 KiB at most: what is executable in the folder and its *.d, and any file
 * further below, which other scripts may run */
void vv_find_hook_scripts (const VvSubject *about);

/**
 * vv_check_host:
 * @about: the host
 * @daemon: (nullable): what vfio-variantd says; NULL: it does not run
 *
 * All that status finds.
 */
void vv_check_host (const VvSubject *about, JsonObject *daemon);

/* --- about a device --- */

/**
 * VvQemu:
 * @path: (nullable): the emulator; NULL: none was found
 * @version: MAJOR * 1000 + MINOR; 0: it cannot be told
 * @problem: (nullable): why it cannot be told
 */
typedef struct {
  char *path;
  guint version;
  char *problem;
} VvQemu;

/**
 * VvPlan:
 * @domain: (nullable): the domain that is going to have the devices
 * @along: (element-type utf8): all devices that are checked together
 * @qemu: (nullable): the QEMU that they are for; NULL: it was not looked at
 *
 * What is going to happen to the devices.
 */
typedef struct {
  const VvDomain *domain;
  const GPtrArray *along;
  const VvQemu *qemu;
} VvPlan;

/**
 * VvCheck: a device that is asked about, and what was found
 * @about: the device; the findings are the check's own
 * @context: where it is; not owned
 * @plan: what is going to happen to it
 * @hostdev: (nullable): how the plan's domain has it
 * @entry: (nullable): its state file
 * @choice: what decides which driver it gets
 * @chosen: (nullable): the candidate that would be bound
 * @on_vfio: it is on a VFIO driver now
 * @driver: (nullable): the driver that it would get; NULL: none, or its module is not loaded
 * @module: (nullable): the module of that driver; NULL: none, or it stays where it is
 * @why: what decides that, in words
 * @fallback: (element-type utf8): what would be tried after it, in order: drivers, or modules that are not
 * loaded
 * @migratable: whether the domain could be migrated live with it, as far as is known
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
 * @hostdev: (nullable): how the plan's domain has it
 *
 * Returns: (transfer full): what was found, which @s and @plan must outlive, or NULL with @error set: no such
 * device (VV_ERROR_NO_DEVICE), or its modalias is malformed
 */
VvCheck *vv_check_device (const VvCheckContext *s, const VvPlan *plan, const char *address,
                          const VvHostdev *hostdev, GError **error);

/**
 * vv_find_environment:
 * @along: (element-type utf8): the devices that go to VFIO together with @device
 *
 * Its IOMMU and IOMMU group; functions that stay with the host and depend on it: those to which the kernel
 * has linked it (consumer:pci:*, quirk_gpu_hda() and its like in the kernel's drivers/pci/quirks.c), and the
 * audio, USB and UCSI functions of a GPU's slot; and the firmware's framebuffer, on which the host shows its
 * console, in one of its BARs (root only, as /proc/iomem is).
 */
void vv_find_environment (const VvSubject *about, const VvPciDevice *device, const GPtrArray *along);

/**
 * vv_find_settings:
 * @entry: (nullable): its state file
 * @variant: (nullable): the variant driver, or its module, that @device would get; NULL: it would get
 * vfio-pci or none, or it stays where it is
 *
 * What the administrator has set for the device or for vfio-pci: that module's options, a driver_override
 * that no driver answers to, and that it is on vfio-pci already.
 */
void vv_find_settings (const VvSubject *about, const VvPciDevice *device, const VvEntry *entry,
                       const char *variant);
