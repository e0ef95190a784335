/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check-context: what is looked at once, whichever devices are asked about, and what check and status both
 * find.
 *
 * Owns: which libvirt runs, what the caller may see, the IOMMU as a whole, the policy's files, and modules
 * that cannot be loaded; the findings about them. Knows nothing of single devices' choices.
 */
#pragma once

#include "findings.h"
#include "libvirt-process.h"
#include "context.h"

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

/** vv_kernel_is_before: Returns: whether the kernel is older than @major.@minor; FALSE when its release does
 * not say */
gboolean vv_kernel_is_before (const VvHost *host, guint major, guint minor);

/** vv_libvirt_is_before: Returns: whether the libvirt that runs is older than @version
 * (VV_LIBVIRT_VERSION()); FALSE when none runs or its version is not known */
gboolean vv_libvirt_is_before (const VvCheckContext *context, guint version);

/** vv_find_libvirt: which libvirt runs, what it does by itself, and whether it can */
void vv_find_libvirt (const VvCheckContext *s, GPtrArray *findings);

/** vv_find_denials: what SELinux or AppArmor kept from us */
void vv_find_denials (const VvCheckContext *s, GPtrArray *findings);

/** vv_find_tables: depmod's tables that cannot be read */
void vv_find_tables (const VvCheckContext *s, GPtrArray *findings);

/**
 * vv_settings_grep:
 * @before: an extended regular expression: what stands before the name
 * @name: of a module, or a value
 *
 * Returns: (transfer full): a command that shows where modprobe.d or the kernel command line has that
 */
char *vv_settings_grep (const char *before, const char *name);

/** vv_find_silent: variant drivers of the kernel image that publish no aliases (vv_catalog_silent());
 * @device: (nullable): a device that may be theirs; NULL: of the host */
void vv_find_silent (const VvCheckContext *s, const VvPciDevice *device, GPtrArray *findings);

/** vv_find_policy: files of the policy that do not count */
void vv_find_policy (const VvCheckContext *s, GPtrArray *findings);

/** vv_find_privilege: what a caller who is not root does not see */
void vv_find_privilege (const VvCheckContext *s, GPtrArray *findings);

/** vv_find_iommu_off: says that there is no IOMMU for @subject, and which of the reasons it has */
void vv_find_iommu_off (const VvCheckContext *s, const char *subject, GPtrArray *findings);

/**
 * vv_find_module:
 * @module: a module's name
 * @built_in: it is known to be part of the kernel image
 * @severity: how bad it is when it cannot be loaded
 * @subject: for whom it is wanted
 *
 * Returns: whether the module is loaded or could be; if not, the reason is among @findings
 */
gboolean vv_find_module (const VvCheckContext *s, const char *module, gboolean built_in, VvSeverity severity,
                         const char *subject, GPtrArray *findings);

/** vv_find_entry: what is wrong with a journal entry that was cut off; nothing when it was not.
 * @driver: (nullable): what its device is on */
void vv_find_entry (const VvEntry *entry, const char *driver, GPtrArray *findings);

/** vv_find_at_boot: that a device should be on VFIO from boot on and is not; nothing when it is, or should
 * not.
 * @entry: (nullable): its journal entry */
void vv_find_at_boot (const VvCheckContext *s, const VvPciDevice *device, const VvEntry *entry,
                      GPtrArray *findings);
