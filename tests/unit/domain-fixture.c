/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-fixture.h"

#include <string.h>

VvDomain *
domain_with (const char *uuid, const char *attributes, const char *driver)
{
  g_autofree char *xml = g_strdup_printf (
      "<domain><name>vm1</name><uuid>%s</uuid><devices><hostdev mode='subsystem' type='pci' %s>%s<source>"
      "<address domain='0' bus='0x3b' slot='0' function='1'/></source></hostdev></devices></domain>",
      uuid, attributes, driver);
  g_autoptr (GError) error = NULL;
  VvDomain *domain = vv_domain_parse (xml, strlen (xml), &error);

  g_assert_no_error (error);
  return domain;
}

Fixture *
domain_fixture_with (const char *attributes, const char *driver)
{
  Fixture *f = fixture_new ();

  f->domain = domain_with (UUID, attributes, driver);
  return f;
}

Fixture *
domain_fixture (void)
{
  return domain_fixture_with ("managed='yes'", "");
}

/* --- libvirt's sysfs writes (virPCIDeviceBindWithDriverOverride() and its counterpart) --- */

void
libvirt_writes (const Fixture *f, const char *path, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (vv_io_write (f->s->host->sys, path, text, &error));
  g_assert_no_error (error);
}

void
libvirt_unbinds_and_probes (const Fixture *f)
{
  g_autofree char *driver = fake_driver_of (f->k, NIC);
  g_autofree char *unbind = driver ? g_build_filename ("bus/pci/drivers", driver, "unbind", NULL) : NULL;

  if (unbind)
    libvirt_writes (f, unbind, NIC);
  libvirt_writes (f, "bus/pci/drivers_probe", NIC);
}

void
libvirt_detaches_to (const Fixture *f, const char *driver)
{
  fake_register (f->k, driver);
  libvirt_writes (f, "bus/pci/devices/" NIC "/driver_override", driver);
  libvirt_unbinds_and_probes (f);
  fake_assert_device (f->k, NIC, driver, driver);
}

void
libvirt_reattaches (const Fixture *f)
{
  libvirt_writes (f, "bus/pci/devices/" NIC "/driver_override", "\n");
  libvirt_unbinds_and_probes (f);
}

/* --- assertions --- */

void
assert_entry (const Fixture *f, VvState state, const char *domain, gboolean in_use)
{
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  g_assert_nonnull (entry);
  g_assert_cmpstr (vv_state_name (entry->state), ==, vv_state_name (state));
  g_assert_cmpstr (entry->domain, ==, domain);
  g_assert_cmpstr (entry->domain_uuid, ==, domain ? UUID : NULL);
  g_assert_cmpint (entry->in_use, ==, in_use);
}

void
logged_move (const char *from, const char *to)
{
  g_autofree char *pattern = g_strdup_printf (NIC ": *: %s -> %s: *", from, to);

  fake_assert_logged (pattern);
}

/* --- fixtures with a policy --- */

Fixture *
domain_under_with (const char *options, const char *attributes, const char *driver)
{
  Fixture *f = domain_fixture_with (attributes, driver);

  set_policy (f, options);
  return f;
}

Fixture *
domain_under (const char *options)
{
  return domain_under_with (options, "managed='yes'", "");
}

static VvHostdev *
hostdev_of (const Fixture *f)
{
  return f->domain->hostdevs->pdata[0];
}

void
requests (const Fixture *f, const char *drivers, VvFallback fallback, VvMigratable migratable)
{
  VvOptions *request = &hostdev_of (f)->requested;

  g_strfreev (request->drivers);
  request->drivers = drivers ? g_strsplit (drivers, " ", -1) : NULL;
  request->values[VV_OPTION_FALLBACK] = fallback;
  request->values[VV_OPTION_MIGRATABLE] = migratable;
}

void
assert_refused (const Fixture *f, Operation operation, const char *name, const char *problem)
{
  g_autoptr (GError) refusal = NULL;
  g_autofree char *line = g_strdup_printf ("domain vm1, %s: %s", name, problem);

  g_assert_false (operation (f->s, f->domain, &refusal));
  fake_assert_error (refusal, VV_ERROR_POLICY, problem);
  fake_assert_logged (line);
}

void
assert_goes_on (const Fixture *f, Operation operation)
{
  g_autoptr (GError) refusal = NULL;

  g_assert_true (operation (f->s, f->domain, &refusal));
  g_assert_no_error (refusal);
}

void
assert_untouched (const Fixture *f, const char *driver, const char *override)
{
  fake_assert_device (f->k, NIC, driver, override);
  assert_no_entry (f);
}
