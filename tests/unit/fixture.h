/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fixture: the standard fake host, opened, and NIC moved to and fro on it.
 */
#pragma once

#include "binding.h"
#include "domain-xml.h"
#include "fake-kernel.h"

#define ENTRY "run/vfio-variant/" NIC

/**
 * Fixture:
 * @host: that of @s, where there is one
 * @s: (nullable): NULL after host_fixture_new()
 * @domain: (nullable): see domain-fixture.h
 */
typedef struct {
  FakeKernel *k;
  VvHost *host;
  VvContext *s;
  VvDomain *domain;
} Fixture;

/** host_fixture_new: for what only reads the host */
Fixture *host_fixture_new (void);
Fixture *fixture_new (void);
/** fixture_with_flr: NIC can be reset alone */
Fixture *fixture_with_flr (void);
/** fixture_under: under a rule for NIC with @options */
Fixture *fixture_under (const char *options);
void fixture_free (Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

VvBinding *open_nic (const Fixture *f);
VvBinding *open_nic_as (const Fixture *f, gboolean dry_run);
VvChoice *select_nic (const Fixture *f);

/** detach_nic, reattach_nic: opens NIC and moves it, as a program would */
VvChange *detach_nic (const Fixture *f, GError **error);
VvChange *reattach_nic (const Fixture *f, GError **error);
/** well_detached, well_reattached: the same, and no error is allowed */
VvChange *well_detached (const Fixture *f);
VvChange *well_reattached (const Fixture *f);
void must_detach_nic (const Fixture *f);

/** entry_of_nic: what is on disk */
VvEntry *entry_of_nic (const Fixture *f);
void assert_no_entry (const Fixture *f);

/** set_policy: a rule for NIC with @options; no driver has been asked for migration yet */
void set_policy (const Fixture *f, const char *options);
/** note_answer: what probe found out of @driver before */
void note_answer (const Fixture *f, const char *driver, gboolean can);

void set_override (const Fixture *f, const char *override);
/** put_on: as another tool leaves the device */
void put_on (const Fixture *f, const char *driver, const char *override);
/** fail_all_vfio: all VFIO drivers are loaded, and their probes fail */
void fail_all_vfio (const Fixture *f, int errnum);
