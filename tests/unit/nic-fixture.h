/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nic-fixture: a context on the standard fake host, and NIC moved to and fro on it.
 */
#pragma once

#include "binding.h"
#include "fake-kernel.h"

#define ENTRY "run/vfio-variant/" NIC

typedef struct {
  FakeKernel *k;
  VvContext *s;
} Fixture;

Fixture *fixture_new (void);
void fixture_free (Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

VvBinding *open_nic (const Fixture *f);
VvBinding *open_nic_as (const Fixture *f, gboolean dry_run);
VvChoice *select_nic (const Fixture *f);

/** detach_nic, reattach_nic: opens NIC and moves it, as a program would */
VvChange *detach_nic (const Fixture *f, GError **error);
VvChange *reattach_nic (const Fixture *f, GError **error);
void must_detach_nic (const Fixture *f);

/** entry_of_nic: what is on disk */
VvEntry *entry_of_nic (const Fixture *f);
void assert_no_entry (const Fixture *f);

void set_override (const Fixture *f, const char *override);
/** put_on: as another tool leaves the device */
void put_on (const Fixture *f, const char *driver, const char *override);
/** fail_all_vfio: all VFIO drivers are loaded, and their probes fail */
void fail_all_vfio (const Fixture *f, int errnum);
