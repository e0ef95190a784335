/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include "fake-migration.h"
#include "migration.h"
#include "recovery.h"

void
fixture_free (Fixture *f)
{
  vv_domain_free (f->domain);
  if (f->s)
    vv_context_free (f->s);
  else
    vv_host_free (f->host);
  fake_free (f->k);
  g_free (f);
}

Fixture *
host_fixture_new (void)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_standard ();
  f->host = vv_host_new (f->k->root, NULL, &error);
  g_assert_no_error (error);
  return f;
}

Fixture *
fixture_new (void)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_standard ();
  f->s = vv_context_new (f->k->root, NULL, TRUE, &error);
  g_assert_no_error (error);
  f->host = f->s->host;
  vv_recover (f->s);
  return f;
}

Fixture *
fixture_with_flr (void)
{
  Fixture *f = fixture_new ();

  fake_write_device (f->k, NIC, "reset_method", "flr pm\n");
  return f;
}

Fixture *
fixture_under (const char *options)
{
  Fixture *f = fixture_new ();

  set_policy (f, options);
  return f;
}

VvBinding *
open_nic_as (const Fixture *f, gboolean dry_run)
{
  g_autoptr (GError) error = NULL;
  VvBinding *b = vv_binding_open (f->s, NIC, dry_run, &error);

  g_assert_no_error (error);
  return b;
}

VvBinding *
open_nic (const Fixture *f)
{
  return open_nic_as (f, FALSE);
}

VvChoice *
select_nic (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VvChoice *selection = vv_catalog_select (f->s->catalog, NIC_MODALIAS, &error);

  g_assert_no_error (error);
  return selection;
}

VvChange *
detach_nic (const Fixture *f, GError **error)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  return vv_binding_detach (b, selection, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

VvChange *
reattach_nic (const Fixture *f, GError **error)
{
  g_autoptr (VvBinding) b = open_nic (f);

  return vv_binding_reattach (b, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

VvEntry *
entry_of_nic (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VvEntry *entry = vv_state_store_load (f->s->store, NIC, &error);

  g_assert_no_error (error);
  return entry;
}

void
assert_no_entry (const Fixture *f)
{
  g_assert_false (fake_exists (f->k, ENTRY));
}

void
assert_entry_unchanged (const Fixture *f, const char *before)
{
  g_autofree char *now = fake_read (f->k, ENTRY);

  g_assert_cmpstr (now, ==, before);
}

void
set_policy (const Fixture *f, const char *options)
{
  g_autofree char *rule = g_strdup_printf ("<device address='" NIC "' %s/>\n", options);

  fake_policy (f->s, rule);
  fake_migration ("");
}

void
note_answer (const Fixture *f, const char *driver, gboolean can)
{
  const VvMigration m = {.stop_copy = can};

  g_assert_true (vv_migration_store (f->s->store, driver, NIC_MODALIAS, &m, NULL));
}

void
set_override (const Fixture *f, const char *override)
{
  fake_write_device (f->k, NIC, "driver_override", override);
}

/* As another tool, or an older version, leaves the device */
void
put_on (const Fixture *f, const char *driver, const char *override)
{
  fake_remove_device (f->k, NIC);
  fake_add_device (f->k, NIC, NIC_MODALIAS, NIC_GROUP, driver);
  set_override (f, override);
}

VvChange *
well_detached (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VvChange *change = detach_nic (f, &error);

  g_assert_no_error (error);
  return change;
}

VvChange *
well_reattached (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VvChange *change = reattach_nic (f, &error);

  g_assert_no_error (error);
  return change;
}

void
must_detach_nic (const Fixture *f)
{
  vv_change_free (well_detached (f));
}

void
fail_all_vfio (const Fixture *f, int errnum)
{
  static const char *const drivers[] = {"special-vfio", "mlx5_vfio_pci", "vfio-pci"};

  for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++) {
    fake_driver (f->k, drivers[i])->probe_errno = errnum;
    fake_register (f->k, drivers[i]);
  }
}
