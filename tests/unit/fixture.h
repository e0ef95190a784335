/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fixture: the standard fake host with an open context, and functions that detach and reattach NIC.
 */
#pragma once

#include "binding.h"
#include "domain-xml.h"
#include "fake-kernel.h"

#define ENTRY "run/vfio-variant/" NIC

/**
 * Fixture:
 * @host: the host of @s, if @s is set
 * @s: (nullable): NULL after host_fixture_new()
 * @domain: (nullable): see domain-fixture.h
 */
typedef struct {
  FakeKernel *k;
  VvHost *host;
  VvContext *s;
  VvDomain *domain;
} Fixture;

/** host_fixture_new: for tests that only read the host */
Fixture *host_fixture_new (void);
Fixture *fixture_new (void);
/** fixture_with_flr: NIC supports a function-level reset */
Fixture *fixture_with_flr (void);
/** fixture_under: with a policy rule for NIC that has @options */
Fixture *fixture_under (const char *options);
void fixture_free (Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

VvBinding *open_nic (const Fixture *f);
VvBinding *open_nic_as (const Fixture *f, gboolean dry_run);
VvChoice *select_nic (const Fixture *f);

/** detach_nic, reattach_nic: opens NIC and detaches or reattaches it, as a program does */
VvChange *detach_nic (const Fixture *f, GError **error);
VvChange *reattach_nic (const Fixture *f, GError **error);
/** well_detached, well_reattached: as detach_nic() and reattach_nic(), but an error fails the test */
VvChange *well_detached (const Fixture *f);
VvChange *well_reattached (const Fixture *f);
void must_detach_nic (const Fixture *f);

/** entry_of_nic: reads NIC's state file */
VvEntry *entry_of_nic (const Fixture *f);
void assert_no_entry (const Fixture *f);
/** assert_entry_unchanged: @before: the text of the state file before the test moved the device */
void assert_entry_unchanged (const Fixture *f, const char *before);

/** set_policy: sets a policy rule for NIC with @options, and clears the recorded migration queries */
void set_policy (const Fixture *f, const char *options);
/** note_answer: records, as probe does, whether @driver can migrate NIC */
void note_answer (const Fixture *f, const char *driver, gboolean can);

void set_override (const Fixture *f, const char *override);
/** put_on: as another tool leaves the device */
void put_on (const Fixture *f, const char *driver, const char *override);
/** fail_all_vfio: loads all VFIO drivers and makes their probes fail */
void fail_all_vfio (const Fixture *f, int errnum);
