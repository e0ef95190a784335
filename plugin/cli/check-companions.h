/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check-companions: what of the host is tied to a device, besides its IOMMU group.
 *
 * Owns: the findings about functions that depend on a device, and about the boot console in its memory. Reads
 * sysfs and /proc/iomem only.
 */
#pragma once

#include "check-context.h"

/**
 * vv_find_companions:
 * @along: (element-type utf8): the devices that go to VFIO together with @device
 *
 * Functions that stay with the host and depend on @device: those to which the kernel has linked it
 * (consumer:pci:*, quirk_gpu_hda() and its like in the kernel's drivers/pci/quirks.c), and the audio, USB and
 * UCSI functions of a GPU's slot. Those of its IOMMU group are another finding.
 */
void vv_find_companions (const VvCheckContext *s, const VvPciDevice *device, const GPtrArray *along,
                         GPtrArray *findings);

/** vv_find_boot_framebuffer: that the framebuffer of the firmware, on which the host shows its console, is in
 * a BAR of
 * @device; needs root, as /proc/iomem does */
void vv_find_boot_framebuffer (const VvCheckContext *s, const VvPciDevice *device, GPtrArray *findings);
