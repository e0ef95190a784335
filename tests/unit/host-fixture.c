/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-fixture.h"

HostFixture *
host_fixture_new (void)
{
  HostFixture *f = g_new0 (HostFixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_standard ();
  f->host = vv_host_new (f->k->root, NULL, &error);
  g_assert_no_error (error);
  return f;
}

void
host_fixture_free (HostFixture *f)
{
  vv_host_free (f->host);
  fake_free (f->k);
  g_free (f);
}
