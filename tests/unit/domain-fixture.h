/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-fixture: a domain with NIC on the standard fake host, and what libvirt itself does with its device.
 */
#pragma once

#include "domain-life.h"
#include "fixture.h"

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

/** domain_with: a domain with NIC; @attributes and @driver are put into its <hostdev> */
VvDomain *domain_with (const char *uuid, const char *attributes, const char *driver);

/** domain_fixture_with: @attributes and @driver are put into its <hostdev> */
Fixture *domain_fixture_with (const char *attributes, const char *driver);

/** domain_fixture: managed='yes', and no driver is named */
Fixture *domain_fixture (void);

/* --- what libvirt itself writes (virPCIDeviceBindWithDriverOverride() and its counterpart) --- */

void libvirt_writes (const Fixture *f, const char *path, const char *text);

void libvirt_unbinds_and_probes (const Fixture *f);

void libvirt_detaches_to (const Fixture *f, const char *driver);

void libvirt_reattaches (const Fixture *f);

/* --- looking --- */

void assert_entry (const Fixture *f, VvState state, const char *domain, gboolean in_use);

void logged_move (const char *from, const char *to);

#define CAME_HOME "domain vm1, release: " NIC " is on mlx5_core, as it was before"

/* --- under a policy --- */

/** domain_under_with: a rule for NIC with @options, and the domain with @attributes and @driver in its
 * <hostdev> */
Fixture *domain_under_with (const char *options, const char *attributes, const char *driver);

Fixture *domain_under (const char *options);

/** wishes: what the owner of the domain wants; @drivers: joined by blanks, or NULL */
void wishes (const Fixture *f, const char *drivers, VvFallback fallback, VvMigratable migratable);

typedef gboolean (*Operation) (const VvContext *context, const VvDomain *domain, GError **refusal);

/** assert_refused: it is said to libvirt and to the log alike */
void assert_refused (const Fixture *f, Operation operation, const char *name, const char *problem);

void assert_goes_on (const Fixture *f, Operation operation);

/** assert_untouched: the way that is there, not what it left in memory of modules: those stay loaded */
void assert_untouched (const Fixture *f, const char *driver, const char *override);
