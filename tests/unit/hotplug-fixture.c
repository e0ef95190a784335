/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hotplug-fixture.h"

void
libvirt_unbinds (const Fixture *f, const char *override)
{
  g_autofree char *line = g_strconcat (override ? override : "(null)", "\n", NULL);

  fake_unbind (f->k, NIC);
  set_override (f, line);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
}

VvChange *
hand_over (const Fixture *f, const VvDriverState *before, guint libvirt, GError **error)
{
  const VvHotplugRequest request = {NIC, *before, libvirt};
  const VvDeadline deadline = {.until = g_get_monotonic_time () + LONG};

  return hand_over_now (f, &request, &deadline, error);
}

VvChange *
must_hand_over (const Fixture *f, const VvDriverState *before, guint libvirt)
{
  g_autoptr (GError) error = NULL;
  VvChange *change = hand_over (f, before, libvirt, &error);

  g_assert_no_error (error);
  return change;
}

void
assert_change (const VvChange *change, VvOperation operation, const char *from, const char *to,
               const char *why)
{
  g_assert_cmpstr (change->device, ==, NIC);
  g_assert_cmpint (change->operation, ==, operation);
  g_assert_cmpstr (change->from, ==, from);
  g_assert_cmpstr (change->to, ==, to);
  fake_assert_matches (change->why, why);
}

void
assert_left (const VvChange *change, VvOperation operation, const char *from, const char *why)
{
  assert_change (change, operation, from, NULL, why);
  g_assert_false (change->changed);
}

void
assert_host (const VvEntry *entry, VvState state, const VvDriverState *host)
{
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->state, ==, state);
  g_assert_true (entry->host_known);
  g_assert_cmpstr (entry->host.driver, ==, host->driver);
  g_assert_cmpstr (entry->host.module, ==, host->module);
  g_assert_cmpstr (entry->host.override, ==, host->override);
}

void
write_entry (const Fixture *f, VvState state, const VvDriverState *host, const char *domain)
{
  g_autoptr (VvEntry) entry = vv_entry_new (NIC, NIC_MODALIAS);

  entry->state = state;
  entry->host_known = host != NULL;
  if (host) {
    entry->host.driver = g_strdup (host->driver);
    entry->host.module = g_strdup (host->module);
    entry->host.override = g_strdup (host->override);
  }
  if (state != VV_STATE_RECORDED)
    entry->vfio_driver = g_strdup ("special-vfio");
  vv_entry_set_domain (entry, domain, domain ? "6695eb01" : NULL);
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
}
