/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-fixture: a domain with NIC on the standard fake host, and the sysfs writes of libvirt for its
 * device.
 */
#pragma once

#include "domain-life.h"
#include "fixture.h"

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

#define RESTORED "domain vm1, release: " NIC " stays on mlx5_core, its driver before the start"

/** domain_with: a domain with NIC; @attributes and @driver are inserted into its <hostdev> */
VvDomain *domain_with (const char *uuid, const char *attributes, const char *driver);

/** domain_fixture: a host with a domain that has managed='yes' and names no driver */
Fixture *domain_fixture (void);
Fixture *domain_fixture_with (const char *attributes, const char *driver);
/** domain_under, domain_under_with: the same, with a policy rule for NIC that has @options */
Fixture *domain_under (const char *options);
Fixture *domain_under_with (const char *options, const char *attributes, const char *driver);

/** requests: sets the request of the domain's owner; @drivers: separated by spaces, or NULL */
void requests (const Fixture *f, const char *drivers, VvFallback fallback, VvMigratable migratable);

/* --- libvirt's sysfs writes (virPCIDeviceBindWithDriverOverride() and its counterpart) --- */

void libvirt_writes (const Fixture *f, const char *path, const char *text);
void libvirt_unbinds_and_probes (const Fixture *f);
/** libvirt_detaches_to: detaches NIC and binds it to @driver */
void libvirt_detaches_to (const Fixture *f, const char *driver);
/** libvirt_reattaches: reattaches NIC; the kernel binds the first matching driver, if any */
void libvirt_reattaches (const Fixture *f);

/* --- assertions --- */

void assert_entry (const Fixture *f, VvState state, const char *domain, gboolean in_use);
/** assert_untouched: NIC is on @driver and has no state file; loaded modules are ignored */
void assert_untouched (const Fixture *f, const char *driver, const char *override);
/** logged_move: the next rebind in the log is from @from to @to */
void logged_move (const char *from, const char *to);

typedef gboolean (*Operation) (const VvContext *context, const VvDomain *domain, GError **refusal);

/** assert_refused: @operation fails, and the error and the log have the same text */
void assert_refused (const Fixture *f, Operation operation, const char *name, const char *problem);
void assert_goes_on (const Fixture *f, Operation operation);
