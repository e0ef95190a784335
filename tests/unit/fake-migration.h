/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-migration: what drivers answer when they are asked whether they can migrate a device.
 *
 * For executables that are linked with --wrap=vv_migration_probe. Which driver a device is on is the fake
 * kernel's; only the question to VFIO is played here (test-migration plays VFIO itself).
 */
#pragma once

/** fake_migration: @answers: "DRIVER=ANSWER", joined by blanks: "yes", "no", "alone" (yes, but for P2P),
 * "iommu" (no DMA logging, but the IOMMU tracks dirty pages), "perhaps" (no DMA logging, and the IOMMU does
 * not tell) or "untracked" (neither of them logs). The other drivers cannot be asked, but for the generic
 * one, which says no. What was asked so far is forgotten. */
void fake_migration (const char *answers);

/** fake_migration_asked: Returns: the drivers that were asked since, joined by blanks */
const char *fake_migration_asked (void);
