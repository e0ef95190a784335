/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-migration: what drivers answer when they are asked whether they can migrate a device.
 *
 * For executables that are linked with --wrap=vv_migration_probe. Which driver a device is on is the fake
 * kernel's; only the question to VFIO is played here (test-migration plays VFIO itself).
 */
#pragma once

/** fake_migration: @answers: "DRIVER=yes" or "DRIVER=no", joined by blanks; the others cannot be asked, but
 * for the generic driver, which says no. What was asked so far is forgotten. */
void fake_migration (const char *answers);

/** fake_migration_asked: Returns: the drivers that were asked since, joined by blanks */
const char *fake_migration_asked (void);
