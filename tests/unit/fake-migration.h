/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-migration: answers of drivers to the query whether a device can be migrated.
 *
 * For programs that are linked with --wrap=vv_migration_probe. fake-kernel provides the device's driver; only
 * the query to VFIO is replaced here (test-migration.c replaces VFIO itself).
 */
#pragma once

/** fake_migration: sets the answers and clears the recorded queries. @answers: "DRIVER=ANSWER", separated by
 * spaces: "yes", "no", "alone" (yes, but no P2P), "iommu" (no DMA logging, but the IOMMU tracks dirty pages),
 * "perhaps" (no DMA logging, and the IOMMU's capability is unknown) or "untracked" (neither). Queries of
 * other drivers fail, except of the generic driver, which answers no. */
void fake_migration (const char *answers);

/** fake_migration_asked: Returns: the drivers queried since, separated by spaces */
const char *fake_migration_asked (void);
