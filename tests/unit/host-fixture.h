/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * host-fixture: the standard fake host, opened, for tests that only read it.
 */
#pragma once

#include "fake-kernel.h"

typedef struct {
  FakeKernel *k;
  VvHost *host;
} HostFixture;

HostFixture *host_fixture_new (void);
void host_fixture_free (HostFixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (HostFixture, host_fixture_free)
