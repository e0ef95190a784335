/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-life: what happens to a domain's devices from prepare to release, with libvirt's own moves between.
 */
#include "domain-life.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fake-kernel.h"
#include "fake-migration.h"
#include "in-use.h"
#include "migration.h"
#include "recovery.h"
#include "counters.h"

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

typedef struct {
  FakeKernel *k;
  VvContext *s;
  VvDomain *domain;
} Fixture;

static void
fixture_free (Fixture *f)
{
  vv_domain_free (f->domain);
  vv_context_free (f->s);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/* A domain with NIC; @attributes and @driver are put into its <hostdev> */
static VvDomain *
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

static Fixture *
fixture_with (const char *attributes, const char *driver)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_standard ();
  f->s = vv_context_new (f->k->root, NULL, TRUE, &error);
  g_assert_no_error (error);
  f->domain = domain_with (UUID, attributes, driver);
  return f;
}

static Fixture *
fixture_new (void)
{
  return fixture_with ("managed='yes'", "");
}

/* --- what libvirt itself writes (virPCIDeviceBindWithDriverOverride() and its counterpart) --- */

static void
libvirt_writes (const Fixture *f, const char *path, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (vv_io_write (f->s->host->sys, path, text, &error));
  g_assert_no_error (error);
}

static void
libvirt_unbinds_and_probes (const Fixture *f)
{
  g_autofree char *driver = fake_driver_of (f->k, NIC);
  g_autofree char *unbind = driver ? g_build_filename ("bus/pci/drivers", driver, "unbind", NULL) : NULL;

  if (unbind)
    libvirt_writes (f, unbind, NIC);
  libvirt_writes (f, "bus/pci/drivers_probe", NIC);
}

static void
libvirt_detaches_to (const Fixture *f, const char *driver)
{
  fake_register (f->k, driver);
  libvirt_writes (f, "bus/pci/devices/" NIC "/driver_override", driver);
  libvirt_unbinds_and_probes (f);
  fake_assert_device (f->k, NIC, driver, driver);
}

static void
libvirt_reattaches (const Fixture *f)
{
  libvirt_writes (f, "bus/pci/devices/" NIC "/driver_override", "\n");
  libvirt_unbinds_and_probes (f);
}

/* --- looking --- */

static VvEntry *
entry_of_nic (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VvEntry *entry = vv_journal_load (f->s->journal, NIC, &error);

  g_assert_no_error (error);
  return entry;
}

static void
assert_entry (const Fixture *f, VvState state, const char *domain, gboolean in_use)
{
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  g_assert_nonnull (entry);
  g_assert_cmpstr (vv_state_name (entry->state), ==, vv_state_name (state));
  g_assert_cmpstr (entry->domain, ==, domain);
  g_assert_cmpstr (entry->domain_uuid, ==, domain ? UUID : NULL);
  g_assert_cmpint (entry->in_use, ==, in_use);
}

static void
assert_no_entry (const Fixture *f)
{
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  g_assert_null (entry);
}

static void
logged_move (const char *from, const char *to)
{
  g_autofree char *pattern = g_strdup_printf (NIC ": *: %s -> %s: *", from, to);

  fake_assert_logged (pattern);
}

#define CAME_HOME "domain vm1, release: " NIC " is on mlx5_core, as it was before"

/* --- whole lives --- */

static void
test_life_on_old_libvirt (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "mlx5_core", NULL); /* libvirt detaches, not we */
  assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);

  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
  logged_move ("vfio-pci", "special-vfio");

  vv_domain_running (f->s, f->domain);
  assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);

  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_logged (CAME_HOME);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

/* libvirt >= 10 chooses the variant itself: only the journal has something to do. */
static void
test_life_on_new_libvirt (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  vv_domain_running (f->s, f->domain);
  assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  assert_no_entry (f);
  fake_assert_logged (CAME_HOME); /* no change of hands of ours: nothing else is said */
}

/* A driver of the vendor's that is a VFIO driver, and that no alias names: libvirt takes the device from it,
 * and it comes home to it, also when vfio-pci does not take it (vGPU: vfio-pci fails with EINVAL). */
static void
test_life_from_a_vendors_driver (void)
{
  for (int refused = 0; refused < 2; refused++) {
    g_autoptr (Fixture) f = fixture_new ();
    fake_unbind (f->k, NIC);
    fake_unregister (f->k, "mlx5_core");
    fake_add_driver (f->k, "acme", "acme", "pci:v000015B3d*", TRUE);
    fake_register (f->k, "acme");
    fake_assert_device (f->k, NIC, "acme", NULL);
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    fake_assert_device (f->k, NIC, "acme", NULL); /* we do not take it */

    if (refused) {
      const char *const drivers[] = {"vfio-pci", "special-vfio", "mlx5_vfio_pci"};
      for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++)
        fake_driver (f->k, drivers[i])->probe_errno = EINVAL;
      libvirt_writes (f, "bus/pci/devices/" NIC "/driver_override", "vfio-pci");
      libvirt_unbinds_and_probes (f);
    } else {
      libvirt_detaches_to (f, "vfio-pci");
    }
    g_assert_true (vv_domain_start (f->s, f->domain, NULL)); /* what cannot be had is no refusal */
    if (refused)
      fake_assert_logged ("domain vm1, start: " NIC ": no VFIO driver could be bound*");
    else
      logged_move ("vfio-pci", "special-vfio");
    libvirt_reattaches (f);
    vv_domain_release (f->s, f->domain);
    fake_assert_device (f->k, NIC, "acme", NULL);
    assert_no_entry (f);
    fake_assert_logged ("domain vm1, release: " NIC " is on acme, as it was before");
  }
}

/* What libvirt forgets: the administrator's driver_override */
static void
test_release_mends_what_libvirt_forgets (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *path = fake_device_path (NIC, "driver_override");

  fake_write (f->k, path, "mlx5_core\n");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  libvirt_reattaches (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", "mlx5_core");
  assert_no_entry (f);
  logged_move ("mlx5_core", "mlx5_core");
}

static void
test_release_brings_home_what_libvirt_could_not (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_unregister (f->k, "mlx5_core");
  libvirt_reattaches (f); /* finds no driver */
  fake_assert_device (f->k, NIC, NULL, NULL);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  logged_move ("no driver", "mlx5_core");
}

static void
test_model_is_obeyed (void)
{
  g_autoptr (Fixture) f = fixture_with ("managed='yes'", "<driver name='vfio' model='vfio-pci'/>");

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

static void
test_unmanaged_is_left_alone (void)
{
  g_autoptr (Fixture) f = fixture_with ("managed='no'", "");
  g_autofree char *before = fake_snapshot (f->k);

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  vv_domain_running (f->s, f->domain);
  vv_domain_release (f->s, f->domain);
  fake_assert_unchanged (f->k, before);
}

/* The administrator had detached it by hand: it goes back to where he put it, not to the host. */
static void
test_held_by_hand (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, FALSE, NULL);
  g_autoptr (VvChoice) selection = vv_catalog_select (f->s->catalog, NIC_MODALIAS, NULL);

  vv_choice_force (selection, "mlx5_vfio_pci", NULL);
  g_assert_true (vv_binding_detach (b, selection, NULL));
  b->entry->held = TRUE;
  g_assert_true (vv_binding_save (b, NULL));
  g_clear_pointer (&b, vv_binding_free);

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  logged_move ("mlx5_vfio_pci", "special-vfio");
  vv_domain_running (f->s, f->domain);
  libvirt_reattaches (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  vv_domain_release (f->s, f->domain);
  logged_move ("mlx5_core", "special-vfio");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_entry (f, VV_STATE_DETACHED, NULL, FALSE);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_true (entry->held);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
}

/* --- prepare --- */

static void
test_prepare_loads_what_will_be_bound (void)
{
  static const struct {
    const char *says;
    int special, mlx5;
    gboolean special_loaded, mlx5_loaded;
  } cases[] = {
      {"the best", 0, 0, TRUE, FALSE},
      {"the next when the best does not load", ENOENT, 0, FALSE, TRUE},
      {"none when the generic one is all there is", ENOENT, ENOENT, FALSE, FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_driver (f->k, "special-vfio")->load_errno = cases[i].special;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = cases[i].mlx5;
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    g_assert_cmpint (fake_exists (f->k, "sys/module/special_vfio_pci"), ==, cases[i].special_loaded);
    g_assert_cmpint (fake_exists (f->k, "sys/module/mlx5_vfio_pci"), ==, cases[i].mlx5_loaded);
    assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
  }
}

static void
test_prepare_drops_a_stale_entry (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvEntry) stale = vv_entry_new (NIC, NIC_MODALIAS);

  stale->state = VV_STATE_DETACHED;
  stale->host_known = TRUE;
  stale->host.driver = g_strdup ("some_old_driver");
  stale->in_use = TRUE;
  g_assert_true (vv_journal_store (f->s->journal, stale, NULL));
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
  assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
}

static void
test_prepare_warns_of_the_group (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_add_device (f->k, "0000:3b:00.2", NIC_MODALIAS, NIC_GROUP, "mlx5_core");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1: " NIC ": 0000:3b:00.2 in the same IOMMU group " NIC_GROUP
                      " is on mlx5_core; *");
  assert_entry (f, VV_STATE_NOTED, "vm1", FALSE); /* and the guest has its try */
}

static void
test_another_guest_has_it (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvDomain) other = domain_with ("other", "managed='yes'", "");

  libvirt_detaches_to (f, "vfio-pci");
  vv_domain_running (f->s, f->domain);
  if (!fake_add_process (f->k, "812", "qemu-system-x86", "240:" NIC_GROUP)) {
    g_test_skip ("mknod(2) is not allowed");
    return;
  }
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_true (vv_domain_prepare (f->s, other, NULL));
  fake_assert_logged ("domain vm1, prepare: " NIC
                      " is in use by qemu-system-x86 (pid 812) and is left alone");
  g_assert_true (vv_domain_start (f->s, other, NULL));
  fake_assert_logged ("domain vm1, start: " NIC " is in use by qemu-system-x86 (pid 812) and is left alone");
  vv_domain_release (f->s, other); /* libvirt releases a domain that could not start */
  fake_assert_unchanged (f->k, before);
}

/* libvirt gives the device to one of two domains that start together; the other one's end changes nothing. */
static void
test_two_domains_at_once (void)
{
  for (guint winner = 0; winner < 2; winner++) {
    g_test_message ("the %s one wins", winner ? "second" : "first");
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (VvDomain) second = domain_with ("second", "managed='yes'", "");
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    g_assert_true (vv_domain_prepare (f->s, second, NULL));
    assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
    libvirt_detaches_to (f, "special-vfio");
    g_assert_true (vv_domain_start (f->s, winner ? second : f->domain, NULL));
    g_autofree char *before = fake_snapshot (f->k);
    vv_domain_release (f->s, winner ? f->domain : second);
    fake_assert_unchanged (f->k, before);
    libvirt_reattaches (f);
    vv_domain_release (f->s, winner ? second : f->domain);
    fake_assert_logged (CAME_HOME);
    assert_no_entry (f);
  }
}

static void
test_no_module_tables (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvContext) s = NULL;

  fake_remove (f->k, "lib/modules");
  s = vv_context_new (f->k->root, FAKE_RELEASE, TRUE, NULL);
  g_assert_true (vv_domain_prepare (s, f->domain, NULL));
  fake_assert_logged ("domain vm1: *modules.alias*only the generic driver is sure to be found*");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (s, f->domain, NULL));
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
}

/* --- start --- */

static void
test_start_without_prepare (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  logged_move ("vfio-pci", "special-vfio");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_false (entry->host_known); /* what it comes from is not known, and not invented */
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_start_of_what_libvirt_did_not_detach (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, start: " NIC " is on mlx5_core: libvirt has not detached it, so it is *");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_start_when_no_variant_works (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = EINVAL;
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged (NIC ": detach: vfio-pci -> vfio-pci: *; special_vfio_pci failed at bind (*); "
                          "mlx5_vfio_pci failed at bind (*)*");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci"); /* as without us (rule R7) */
  assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
}

static void
test_model_that_is_none (void)
{
  g_autoptr (Fixture) f = fixture_with ("managed='yes'", "<driver model='../evil'/>");

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, prepare: '../evil' is no driver name");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, start: '../evil' is no driver name");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

/* --- running, reconnect --- */

static void
test_reconnect_rebuilds_the_journal (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  libvirt_detaches_to (f, "special-vfio");
  vv_domain_running (f->s, f->domain);
  assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_false (entry->host_known);
  g_assert_cmpstr (entry->vfio_driver, ==, "special-vfio");
}

/* --- release --- */

static void
test_release_of_another_domain (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvDomain) other = domain_with ("other", "managed='yes'", "");

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  vv_domain_running (f->s, f->domain);
  g_autofree char *before = fake_snapshot (f->k);
  vv_domain_release (f->s, other);
  fake_assert_unchanged (f->k, before);
}

/* A virtual function of a network: libvirt takes it after "prepare" and has given it back before "release".
 */
static void
test_release_of_what_left_the_xml (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;
  const char *bare = "<domain><name>vm1</name><uuid>" UUID "</uuid><devices/></domain>";
  g_autoptr (VvDomain) without = vv_domain_parse (bare, strlen (bare), &error);

  g_assert_no_error (error);
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  vv_domain_running (f->s, f->domain);
  fake_assert_logged (NIC ": detach: vfio-pci -> special-vfio: *");
  libvirt_reattaches (f);
  vv_domain_release (f->s, without);
  g_autoptr (VvEntry) entry = vv_journal_load (f->s->journal, NIC, &error);
  g_assert_no_error (error);
  g_assert_null (entry);
}

static void
test_release_without_an_entry (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *before = fake_snapshot (f->k);

  vv_domain_release (f->s, f->domain);
  fake_assert_unchanged (f->k, before);
}

static void
test_release_that_fails_is_said (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "special-vfio");
  vv_domain_running (f->s, f->domain);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  vv_domain_release (f->s, f->domain);
  fake_assert_logged ("domain vm1, release: " NIC ": mlx5_core could not be brought back: *");
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  assert_entry (f, VV_STATE_DETACHED, NULL, FALSE);
}

/* --- what is counted --- */

static void
assert_counted (const Fixture *f, guint n, const char *driver, guint64 fell_back, guint64 failed)
{
  g_autoptr (VvCounters) counters = vv_counters_read (f->s->journal, NULL);

  g_assert_nonnull (counters);
  g_assert_cmpuint (counters->rows->len, ==, n + 1);
  const VvCounterRow *row = counters->rows->pdata[n];
  g_assert_cmpstr (row->driver, ==, driver);
  g_assert_cmpuint (row->fell_back, ==, fell_back);
  g_assert_cmpuint (row->failed, ==, failed);
}

static void
test_counted (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged (NIC ": detach: vfio-pci -> mlx5_vfio_pci: *");
  assert_counted (f, 0, "mlx5_vfio_pci", 1, 0);
  vv_domain_running (f->s, f->domain);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  vv_domain_release (f->s, f->domain);
  fake_assert_logged ("domain vm1, release: *");
  assert_counted (f, 1, "mlx5_core", 0, 1);
}

/* --- the plugin is in trouble: the guest goes on, as without it (rule R7) --- */

static void
test_full_journal (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  f->k->journal_full = TRUE;
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, prepare: */" NIC ": write: No space left on device");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1, start: */" NIC ": write: No space left on device");
  vv_domain_running (f->s, f->domain);
  fake_assert_logged ("domain vm1, started: */" NIC ": write: No space left on device");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_no_run_directory (void)
{
  g_autoptr (FakeKernel) k = fake_standard ();
  g_autoptr (GError) error = NULL;

  fake_remove (k, "run");
  g_assert_null (vv_context_new (k->root, NULL, TRUE, &error));
  fake_assert_error (error, VV_ERROR_NOT_FOUND, "*/run/vfio-variant: mkdir: No such file or directory");
}

static void
test_one_bad_device_spoils_no_other (void)
{
  static const char xml[] = "<domain><name>vm1</name><uuid>" UUID "</uuid><devices>"
                            "<hostdev type='pci' managed='yes'><source><address bus='0xff' slot='0' "
                            "function='0'/></source></hostdev>"
                            "<hostdev type='pci' managed='yes'><source><address bus='0x3b' slot='0' "
                            "function='1'/></source></hostdev>"
                            "</devices></domain>";
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvDomain) both = vv_domain_parse (xml, strlen (xml), NULL);

  g_assert_true (vv_domain_prepare (f->s, both, NULL));
  fake_assert_logged ("domain vm1, prepare: 0000:ff:00.0: no such PCI device*");
  assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
}

/* --- under a policy --- */

/* A rule for NIC with @options, and the domain with @attributes and @driver in its <hostdev> */
static Fixture *
fixture_under_with (const char *options, const char *attributes, const char *driver)
{
  Fixture *f = fixture_with (attributes, driver);
  g_autofree char *rule = g_strdup_printf ("<device address='" NIC "' %s/>\n", options);

  fake_policy (f->s, rule);
  fake_migration ("");
  return f;
}

static Fixture *
fixture_under (const char *options)
{
  return fixture_under_with (options, "managed='yes'", "");
}

static VvHostdev *
hostdev_of (const Fixture *f)
{
  return f->domain->hostdevs->pdata[0];
}

/* What the owner of the domain wants; @drivers: joined by blanks, or NULL */
static void
wishes (const Fixture *f, const char *drivers, VvFallback fallback, VvMigratable migratable)
{
  VvOptions *wish = &hostdev_of (f)->requested;

  g_strfreev (wish->drivers);
  wish->drivers = drivers ? g_strsplit (drivers, " ", -1) : NULL;
  wish->values[VV_OPTION_FALLBACK] = fallback;
  wish->values[VV_OPTION_MIGRATABLE] = migratable;
}

static void
note_answer (const Fixture *f, const char *driver, gboolean can)
{
  const VvMigration m = {.stop_copy = can};

  g_assert_true (vv_migration_store (f->s->journal, driver, NIC_MODALIAS, &m, NULL));
}

typedef gboolean (*Operation) (const VvContext *context, const VvDomain *domain, GError **refusal);

/* It is said to libvirt and to the log alike. */
static void
assert_refused (const Fixture *f, Operation operation, const char *name, const char *problem)
{
  g_autoptr (GError) refusal = NULL;
  g_autofree char *line = g_strdup_printf ("domain vm1, %s: %s", name, problem);

  g_assert_false (operation (f->s, f->domain, &refusal));
  fake_assert_error (refusal, VV_ERROR_POLICY, problem);
  fake_assert_logged (line);
}

static void
assert_goes_on (const Fixture *f, Operation operation)
{
  g_autoptr (GError) refusal = NULL;

  g_assert_true (operation (f->s, f->domain, &refusal));
  g_assert_no_error (refusal);
}

/* The way that is there, not what it left in memory of modules: those stay loaded. */
static void
assert_untouched (const Fixture *f, const char *driver, const char *override)
{
  fake_assert_device (f->k, NIC, driver, override);
  assert_no_entry (f);
}

/* --- under a policy: prepare --- */

static void
test_prepare_refuses_what_cannot_be_had (void)
{
  static const struct {
    const char *options, *problem;
  } cases[] = {
      {"fallback='none'", "policy /p.xml:2 takes nothing else: " NIC ": module special_vfio_pci cannot be *"},
      {"driver='mlx5_vfio_pci' fallback='none'", "policy /p.xml:2 takes nothing else: *mlx5_vfio_pci*"},
      {"driver='generic' fallback='none' migratable='require'",
       NIC ": no VFIO driver is left: vfio_pci (it cannot migrate, which policy /p.xml:2 requires: it "
           "announces no migration); *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].options);
    g_autoptr (Fixture) f = fixture_under (cases[i].options);
    g_autofree char *before = fake_snapshot (f->k);
    fake_driver (f->k, "special-vfio")->load_errno = ENOENT;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = ENOENT;
    assert_refused (f, vv_domain_prepare, "prepare", cases[i].problem);
    fake_assert_unchanged (f->k, before);
  }
}

/* An entry that nobody can read tells nothing of the device: only who wants something strictly does not
 * start. */
static void
test_a_damaged_entry (void)
{
  static const char problem[] =
      NIC ": it is not known whether it has what policy /p.xml:2 requires: */" NIC " is not readable as *";
  g_autoptr (Fixture) strict = fixture_under ("fallback='none'");
  g_autoptr (Fixture) f = fixture_under ("fallback='generic'");

  fake_write (strict->k, "run/vfio-variant/" NIC, "x");
  assert_refused (strict, vv_domain_prepare, "prepare", problem);
  fake_assert_logged ("domain vm1, prepare: */" NIC " is not readable as *"); /* nothing can be undone */
  assert_refused (strict, vv_domain_start, "start", problem);
  fake_write (f->k, "run/vfio-variant/" NIC, "x");
  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged ("domain vm1, prepare: */" NIC " is not readable as *");
  assert_goes_on (f, vv_domain_start);
  fake_assert_logged ("domain vm1, start: */" NIC " is not readable as *");
}

/* The same, of somebody who wants it less strictly, goes on (rule R7). */
static void
test_prepare_goes_on_with_less (void)
{
  static const char *const options[] = {"fallback='generic'", "fallback='next'", "driver='mlx5_vfio_pci'"};

  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    g_test_message ("%s", options[i]);
    g_autoptr (Fixture) f = fixture_under (options[i]);
    fake_driver (f->k, "special-vfio")->load_errno = ENOENT;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = ENOENT;
    assert_goes_on (f, vv_domain_prepare);
    assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
  }
}

/* NIC's network interface is part of a bridge. */
static void
host_uses_nic (const Fixture *f)
{
  g_autofree char *folder = fake_device_path (NIC, "net/ens1");
  g_autofree char *target = g_build_filename ("../..", folder + strlen ("sys/"), NULL);

  fake_mkdir (f->k, folder);
  fake_link (f->k, "sys/class/net/ens1", target);
  fake_link (f->k, "sys/class/net/ens1/master", "../../../../virtual/net/br0");
}

static void
test_prepare_of_what_the_host_uses (void)
{
  static const struct {
    const char *options;
    gboolean refused;
  } cases[] = {{"host-use='refuse'", TRUE}, {"host-use='warn'", FALSE}, {"fallback='next'", FALSE}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].options);
    g_autoptr (Fixture) f = fixture_under (cases[i].options);
    host_uses_nic (f);
    g_autofree char *before = fake_snapshot (f->k);
    if (cases[i].refused) {
      assert_refused (f, vv_domain_prepare, "prepare",
                      NIC " is in use by the host, which policy /p.xml:2 refuses: network interface ens1 *");
      fake_assert_unchanged (f->k, before);
      continue;
    }
    assert_goes_on (f, vv_domain_prepare);
    fake_assert_logged ("domain vm1 takes " NIC ", which is in use by the host: network interface ens1 *");
    assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
  }
}

/* What is on VFIO is not the host's, whatever is to be seen there. */
static void
test_prepare_of_what_the_host_does_not_use (void)
{
  g_autoptr (Fixture) f = fixture_under ("host-use='refuse'");

  libvirt_detaches_to (f, "vfio-pci");
  host_uses_nic (f);
  assert_goes_on (f, vv_domain_prepare);
}

#define TWO                                                                                                  \
  "<domain><name>vm1</name><uuid>" UUID "</uuid><devices>"                                                   \
  "<hostdev type='pci' managed='%s'><source><address bus='0x3b' slot='0' function='1'/></source></hostdev>"  \
  "<hostdev type='pci' managed='yes'><source><address bus='0x04' slot='0' function='0'/></source></hostdev>" \
  "</devices></domain>"

/* NIC, and DISK, which no rule lets start */
static Fixture *
fixture_of_two (const char *managed, const char *options)
{
  Fixture *f = fixture_new ();
  g_autofree char *xml = g_strdup_printf (TWO, managed);
  g_autofree char *rules = g_strdup_printf (
      "<device address='" NIC "' %s/><device address='" DISK "' driver='nowhere' fallback='none'/>", options);

  vv_domain_free (f->domain);
  f->domain = vv_domain_parse (xml, strlen (xml), NULL);
  fake_policy (f->s, rules);
  return f;
}

#define DISK_IS_REFUSED "policy /p.xml:2 takes nothing else: " DISK ": *nowhere*"

static void
test_prepare_refused_by_another_device (void)
{
  g_autoptr (Fixture) f = fixture_of_two ("yes", "driver='generic'");
  g_autofree char *before = fake_snapshot (f->k);

  assert_refused (f, vv_domain_prepare, "prepare", DISK_IS_REFUSED);
  fake_assert_unchanged (f->k, before);
}

/* What was detached for nobody, or held, stays where it is. */
static void
test_prepare_refused_of_what_was_away (void)
{
  for (int held = 0; held < 2; held++) {
    g_test_message ("%s", held ? "held" : "not held");
    g_autoptr (Fixture) f = fixture_of_two ("yes", "driver='generic'");
    g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, FALSE, NULL);
    g_autoptr (VvChoice) selection = vv_catalog_select (f->s->catalog, NIC_MODALIAS, NULL);
    g_assert_true (vv_binding_detach (b, selection, NULL));
    b->entry->held = held;
    g_assert_true (vv_binding_save (b, NULL));
    g_clear_pointer (&b, vv_binding_free);
    g_autofree char *before = fake_snapshot (f->k);
    assert_refused (f, vv_domain_prepare, "prepare", DISK_IS_REFUSED);
    fake_assert_unchanged (f->k, before);
    fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  }
}

/* What we had detached ourselves comes home, with its driver_override. */
static void
test_prepare_refused_after_an_unmanaged_one (void)
{
  g_autoptr (Fixture) f = fixture_of_two ("no", "unmanaged='manage'");
  g_autofree char *path = fake_device_path (NIC, "driver_override");
  g_autoptr (GError) refusal = NULL;

  fake_write (f->k, path, "mlx5_core\n");
  g_assert_false (vv_domain_prepare (f->s, f->domain, &refusal));
  fake_assert_error (refusal, VV_ERROR_POLICY, DISK_IS_REFUSED);
  logged_move ("mlx5_core", "vfio-pci");
  fake_assert_logged ("domain vm1, prepare: " DISK_IS_REFUSED);
  logged_move ("vfio-pci", "mlx5_core");
  assert_untouched (f, "mlx5_core", "mlx5_core");
  g_assert_false (fake_exists (f->k, "run/vfio-variant/" DISK));
}

/* Another domain's claim outlives a refusal. */
static void
test_prepare_refused_with_a_claim_of_another (void)
{
  g_autoptr (Fixture) f = fixture_under ("driver='nowhere' fallback='none'");
  g_autoptr (VvDomain) other = domain_with ("other", "managed='yes'", "");

  g_assert_true (vv_domain_prepare (f->s, other, NULL));
  fake_assert_logged ("*nowhere*"); /* without a @refusal it is only said */
  g_autoptr (VvEntry) claim = vv_entry_new (NIC, NIC_MODALIAS);
  claim->host_known = TRUE;
  claim->host.driver = g_strdup ("mlx5_core");
  vv_entry_set_domain (claim, "other", "other");
  g_assert_true (vv_journal_store (f->s->journal, claim, NULL));
  g_autofree char *before = fake_snapshot (f->k);
  assert_refused (f, vv_domain_prepare, "prepare", "*nowhere*");
  fake_assert_unchanged (f->k, before);
}

/* --- under a policy: unmanaged devices --- */

static void
test_unmanaged_that_the_policy_manages (void)
{
  for (int reconnected = 0; reconnected < 2; reconnected++) {
    g_test_message ("%s", reconnected ? "with a reconnect" : "without");
    g_autoptr (Fixture) f = fixture_under_with ("unmanaged='manage'", "managed='no'", "");
    g_autofree char *path = fake_device_path (NIC, "driver_override");
    fake_write (f->k, path, "mlx5_core\n");

    assert_goes_on (f, vv_domain_prepare);
    logged_move ("mlx5_core", "vfio-pci"); /* every libvirt takes a device from there */
    fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
    assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);

    assert_goes_on (f, vv_domain_start);
    logged_move ("vfio-pci", "special-vfio");
    for (int i = 0; i <= reconnected; i++)
      vv_domain_running (f->s, f->domain);
    assert_entry (f, VV_STATE_DETACHED, "vm1", TRUE);

    vv_domain_release (f->s, f->domain);
    logged_move ("special-vfio", "mlx5_core");
    assert_untouched (f, "mlx5_core", "mlx5_core");
  }
}

static void
test_unmanaged_that_stays_the_administrators (void)
{
  static const struct {
    const char *says, *options;
    gboolean on_vfio;
  } cases[] = {
      {"nothing is said", "driver='generic'", FALSE},
      {"it is said", "unmanaged='ignore' driver='generic'", FALSE},
      {"it is said, on VFIO", "unmanaged='ignore'", TRUE},
      {"it is on VFIO already", "unmanaged='manage'", TRUE},
      {"so strict that a managed one were refused", "unmanaged='ignore' driver='nowhere' fallback='none'",
       FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_under_with (cases[i].options, "managed='no'", "");
    if (cases[i].on_vfio)
      libvirt_detaches_to (f, "mlx5_vfio_pci");
    g_autofree char *before = fake_snapshot (f->k);
    assert_goes_on (f, vv_domain_prepare);
    assert_goes_on (f, vv_domain_start);
    vv_domain_running (f->s, f->domain);
    vv_domain_release (f->s, f->domain);
    fake_assert_unchanged (f->k, before);
  }
}

static void
test_unmanaged_that_cannot_be_detached (void)
{
  g_autoptr (Fixture) f = fixture_under_with ("unmanaged='manage'", "managed='no'", "");

  fake_driver (f->k, "vfio-pci")->probe_errno = EINVAL;
  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged ("domain vm1, prepare: " NIC
                      ": no VFIO driver could be bound, it is back on mlx5_core*");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  vv_domain_release (f->s, f->domain);
  fake_assert_logged (CAME_HOME);
  assert_untouched (f, "mlx5_core", NULL);
}

static void
test_unmanaged_that_the_host_uses (void)
{
  g_autoptr (Fixture) f = fixture_under_with ("unmanaged='manage' host-use='refuse'", "managed='no'", "");

  host_uses_nic (f);
  g_autofree char *before = fake_snapshot (f->k);
  assert_refused (f, vv_domain_prepare, "prepare", NIC " is in use by the host, which policy *");
  fake_assert_unchanged (f->k, before);
}

/* The only thing that may be asked of it is that it can migrate. */
static void
test_unmanaged_that_must_migrate (void)
{
  static const struct {
    const char *says, *options, *answers;
    const char *problem; /* NULL: it starts */
  } cases[] = {
      {"it can", "migratable='require'", "mlx5_vfio_pci=yes", NULL},
      {"it cannot", "migratable='require'", "mlx5_vfio_pci=no",
       "policy /p.xml:2 requires migration: " NIC ": mlx5_vfio_pci announces no migration"},
      {"it does not answer", "migratable='require'", "",
       "policy /p.xml:2 requires migration: " NIC ": it does not answer"},
      {"it is managed by the policy, and was on VFIO", "migratable='require' unmanaged='manage'",
       "mlx5_vfio_pci=no", "policy /p.xml:2 requires migration: *"},
      {"it need not", "migratable='prefer'", "mlx5_vfio_pci=no", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_under_with (cases[i].options, "managed='no'", "");
    libvirt_detaches_to (f, "mlx5_vfio_pci");
    fake_migration (cases[i].answers);
    if (cases[i].problem)
      assert_refused (f, vv_domain_start, "start", cases[i].problem);
    else
      assert_goes_on (f, vv_domain_start);
    assert_untouched (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
  }
}

/* --- under a policy: start --- */

static const struct {
  const char *says, *options;
  int special_errno; /* what its probe fails with */
  const char *answers;
  const char *gets, *problem;
  const char *moves; /* the drivers it comes to, as they are logged */
} starts[] = {
    {"the best", "fallback='none'", 0, "", "special-vfio", NULL, "special-vfio"},
    {"the best fails, the next does", "fallback='next'", EINVAL, "", "mlx5_vfio_pci", NULL, "mlx5_vfio_pci"},
    {"the best fails, the generic one does", "fallback='generic'", EINVAL, "", "vfio-pci", NULL, "vfio-pci"},
    {"the best fails, and no other will do", "fallback='none'", EINVAL, "", "vfio-pci",
     "policy /p.xml:2 takes nothing else: " NIC ": no VFIO driver could be bound, it is back on vfio-pci: *",
     ""},
    {"the generic one by name", "driver='generic' fallback='none'", 0, "", "vfio-pci", NULL, ""},
    {"the best can migrate", "migratable='require'", 0, "special-vfio=yes", "special-vfio", NULL,
     "special-vfio"},
    {"the next can migrate", "migratable='require'", 0, "special-vfio=no mlx5_vfio_pci=yes", "mlx5_vfio_pci",
     NULL, "special-vfio mlx5_vfio_pci"},
    {"none can migrate", "migratable='require'", 0, "special-vfio=no mlx5_vfio_pci=no", "vfio-pci",
     NIC ": no VFIO driver is left: *", "special-vfio mlx5_vfio_pci vfio-pci"},
    {"it could not be told", "migratable='require'", 0, "", "vfio-pci",
     NIC ": whether special-vfio can migrate it, which policy /p.xml:2 requires, could not be told: *",
     "special-vfio vfio-pci"},
    {"prefer asks nobody", "migratable='prefer'", 0, "special-vfio=no", "special-vfio", NULL, "special-vfio"},
};

static void
test_starts (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (starts); i++) {
    g_test_message ("%s", starts[i].says);
    g_autoptr (Fixture) f = fixture_under (starts[i].options);
    g_autoptr (GError) refusal = NULL;
    g_auto (GStrv) moves = g_strsplit (starts[i].moves, " ", -1);
    fake_driver (f->k, "special-vfio")->probe_errno = starts[i].special_errno;
    fake_migration (starts[i].answers);
    g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
    libvirt_detaches_to (f, "vfio-pci");
    g_assert_cmpint (vv_domain_start (f->s, f->domain, &refusal), ==, !starts[i].problem);
    for (gsize k = 0; moves[k]; k++)
      logged_move (k ? moves[k - 1] : "vfio-pci", moves[k]);
    fake_assert_device (f->k, NIC, starts[i].gets, starts[i].gets);
    if (starts[i].problem) {
      g_autofree char *line = g_strdup_printf ("domain vm1, start: %s", starts[i].problem);
      fake_assert_logged (line);
      fake_assert_error (refusal, VV_ERROR_POLICY, starts[i].problem);
    }
    libvirt_reattaches (f);
    vv_domain_release (f->s, f->domain); /* also of a domain that could not start */
    fake_assert_logged (CAME_HOME);
    assert_untouched (f, "mlx5_core", NULL);
  }
}

static void
test_prefer_goes_by_what_is_known (void)
{
  g_autoptr (Fixture) f = fixture_under ("migratable='prefer'");

  fake_register (f->k, "special-vfio");
  note_answer (f, "special-vfio", FALSE);
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  assert_goes_on (f, vv_domain_start);
  logged_move ("vfio-pci", "mlx5_vfio_pci");
  g_assert_cmpstr (fake_migration_asked (), ==, "");
  note_answer (f, "mlx5_vfio_pci", FALSE); /* both: as without the policy */
  assert_goes_on (f, vv_domain_start);
  logged_move ("mlx5_vfio_pci", "special-vfio");
}

/* --- under a policy: migrate, restore --- */

static const struct {
  const char *says, *options, *attributes, *cannot; /* @cannot: drivers for which a note says no */
  const char *problem;                              /* NULL: it goes on */
} foresights[] = {
    {"nobody asked yet", "migratable='require'", "managed='yes'", "", NULL},
    {"one cannot, others may", "migratable='require'", "managed='yes'", "special-vfio", NULL},
    {"all are known not to", "migratable='require'", "managed='yes'", "special-vfio mlx5_vfio_pci",
     NIC ": no VFIO driver is left: *"},
    {"the one that is allowed is known not to", "driver='special-vfio' fallback='none' migratable='require'",
     "managed='yes'", "special-vfio", NIC ": no VFIO driver is left: *"},
    {"it need not", "migratable='prefer'", "managed='yes'", "special-vfio mlx5_vfio_pci", NULL},
    {"a driver that is not there", "driver='nowhere' fallback='none'", "managed='yes'", "",
     "policy /p.xml:2 takes nothing else: " NIC ": *nowhere*"},
    {"managed by the policy, all are known not to", "migratable='require' unmanaged='manage'", "managed='no'",
     "special-vfio mlx5_vfio_pci", NIC ": no VFIO driver is left: *"},
    {"managed by nobody, and the others are known not to", "migratable='require'", "managed='no'",
     "special-vfio mlx5_vfio_pci", NULL},
    {"managed by nobody, and known not to", "migratable='require'", "managed='no'", "mlx5_core",
     NIC " stays on mlx5_core, with which the domain cannot be migrated, as policy /p.xml:2 requires: it "
         "announces no migration"},
};

static void
test_foresights (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (foresights); i++) {
    g_test_message ("%s", foresights[i].says);
    g_autoptr (Fixture) f = fixture_under_with (foresights[i].options, foresights[i].attributes, "");
    g_auto (GStrv) cannot = g_strsplit (foresights[i].cannot, " ", -1);
    fake_register (f->k, "special-vfio");
    fake_register (f->k, "mlx5_vfio_pci");
    for (gsize k = 0; cannot[k] && *cannot[k]; k++)
      note_answer (f, cannot[k], FALSE);
    g_autofree char *before = fake_snapshot (f->k);
    if (foresights[i].problem)
      assert_refused (f, vv_domain_foresee, "incoming migration or restore", foresights[i].problem);
    else
      assert_goes_on (f, vv_domain_foresee);
    fake_assert_unchanged (f->k, before);
    g_assert_cmpstr (fake_migration_asked (), ==, "");
  }
}

/* The policy would manage it, but it is on VFIO already, and stays there. */
static void
test_foresee_what_stays (void)
{
  g_autoptr (Fixture) f = fixture_under_with ("migratable='require' unmanaged='manage'", "managed='no'", "");

  libvirt_detaches_to (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  assert_refused (f, vv_domain_foresee, "incoming migration or restore",
                  NIC " stays on vfio-pci, with which the domain cannot be migrated, as policy /p.xml:2 "
                      "requires: it announces no migration");
  fake_assert_unchanged (f->k, before);
}

/* --- what the domain's owner wants --- */

static const struct {
  const char *says, *options, *drivers;
  VvFallback fallback;
  VvMigratable migratable;
  const char *gets, *said; /* NULL: all was granted */
} granted[] = {
    {"one that is allowed", "driver='special_vfio_pci mlx5_vfio_pci generic'", "mlx5_vfio_pci", 0, 0,
     "mlx5_vfio_pci", NULL},
    {"a candidate where none is listed", "host-use='warn'", "mlx5_vfio_pci", VV_FALLBACK_NONE, 0,
     "mlx5_vfio_pci", NULL},
    {"one that is not allowed", "driver='special_vfio_pci' fallback='generic'", "mlx5_vfio_pci", 0, 0,
     "special-vfio", "domain vm1 asks for mlx5_vfio_pci, which policy /p.xml:2 does not allow"},
    {"laxer than the policy", "fallback='none'", NULL, VV_FALLBACK_NEXT, 0, "special-vfio",
     "domain vm1 asks for fallback='next', but policy /p.xml:2 says 'none'"},
};

static void
test_wishes (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (granted); i++) {
    g_test_message ("%s", granted[i].says);
    g_autoptr (Fixture) f = fixture_under (granted[i].options);
    g_autofree char *line = g_strdup_printf (NIC ": %s", granted[i].said);
    wishes (f, granted[i].drivers, granted[i].fallback, granted[i].migratable);
    assert_goes_on (f, vv_domain_prepare);
    if (granted[i].said)
      fake_assert_logged (line);
    libvirt_detaches_to (f, "vfio-pci");
    assert_goes_on (f, vv_domain_start);
    if (granted[i].said)
      fake_assert_logged (line);
    logged_move ("vfio-pci", granted[i].gets);
    fake_assert_device (f->k, NIC, granted[i].gets, granted[i].gets);
  }
}

/* Modules that the device has no alias for, or that modprobe.d blacklists: with "install" lines, so that a
 * load would be seen. */
static char *
forbid_modules (const Fixture *f)
{
  char *loaded = g_build_filename (f->k->root, "loaded", NULL);
  g_autofree char *lines = g_strdup_printf ("install evil_mod touch %s\nblacklist evil_mod\n"
                                            "alias innocent evil_mod\nblacklist mlx5_vfio_pci\n",
                                            loaded);

  fake_write (f->k, "etc/modprobe.d/evil.conf", lines);
  g_assert_true (vv_context_reload (f->s, NULL));
  return loaded;
}

static const struct {
  const char *says, *options, *asks, *why;
} ungranted[] = {
    {"no alias of the device names it", "host-use='warn'", "evil_mod",
     "which no alias offers for the device"},
    {"modprobe.d has another name for it", "host-use='warn'", "innocent",
     "which no alias offers for the device"},
    {"a driver of the host", "host-use='warn'", "mlx5_core", "which no alias offers for the device"},
    {"one that is blacklisted", "host-use='warn'", "mlx5_vfio_pci",
     "which is excluded: blacklisted in modprobe.d or on the kernel command line"},
    {"under a rule that says auto", "driver='auto' fallback='next'", "evil_mod",
     "which no alias offers for the device"},
    {"under a rule that names drivers", "driver='special_vfio_pci'", "evil_mod",
     "which policy /p.xml:2 does not allow"},
};

static void
assert_said (const char *asks, const char *why)
{
  g_autofree char *line = g_strdup_printf (NIC ": domain vm1 asks for %s, %s", asks, why);

  fake_assert_logged (line);
}

/* A domain's XML makes root load no module but a candidate's. */
static void
test_what_is_no_candidate_is_not_granted (void)
{
  for (gsize i = 0; i < 2 * G_N_ELEMENTS (ungranted); i++) {
    gboolean by_model = i >= G_N_ELEMENTS (ungranted);
    const char *asks = ungranted[i % G_N_ELEMENTS (ungranted)].asks;
    const char *why = ungranted[i % G_N_ELEMENTS (ungranted)].why;
    g_test_message ("%s%s", ungranted[i % G_N_ELEMENTS (ungranted)].says, by_model ? ", by model" : "");
    g_autofree char *driver = by_model ? g_strdup_printf ("<driver model='%s'/>", asks) : g_strdup ("");
    g_autoptr (Fixture) f =
        fixture_under_with (ungranted[i % G_N_ELEMENTS (ungranted)].options, "managed='yes'", driver);
    g_autofree char *loaded = forbid_modules (f);
    if (!by_model)
      wishes (f, asks, 0, 0);
    assert_goes_on (f, vv_domain_foresee);
    assert_said (asks, why);
    assert_goes_on (f, vv_domain_prepare);
    assert_said (asks, why);
    libvirt_detaches_to (f, "vfio-pci");
    assert_goes_on (f, vv_domain_start);
    assert_said (asks, why);
    logged_move ("vfio-pci", "special-vfio");
    g_assert_false (g_file_test (loaded, G_FILE_TEST_EXISTS));
  }
}

/* A domain that asks for that and nothing else does not start without it. */
static void
test_what_is_asked_strictly_is_refused (void)
{
  static const Operation operations[] = {vv_domain_foresee, vv_domain_prepare};

  for (guint i = 0; i < 4; i++) {
    g_autoptr (Fixture) f =
        fixture_under_with ("host-use='warn'", "managed='yes'", i % 2 ? "<driver model='evil_mod'/>" : "");
    g_autofree char *loaded = forbid_modules (f);
    wishes (f, i % 2 ? NULL : "evil_mod", VV_FALLBACK_NONE, 0);
    g_autoptr (GError) refusal = NULL;
    g_assert_false (operations[i / 2](f->s, f->domain, &refusal));
    fake_assert_error (refusal, VV_ERROR_POLICY,
                       NIC
                       ": no VFIO driver is left: domain vm1 asks for evil_mod, which no alias offers for "
                       "the device; *special_vfio_pci (*domain vm1 does not take it)*");
    assert_said ("evil_mod", "which no alias offers for the device");
    fake_assert_logged ("domain vm1, *no VFIO driver is left*");
    assert_untouched (f, "mlx5_core", NULL);
    g_assert_false (g_file_test (loaded, G_FILE_TEST_EXISTS));
  }
}

/* What the hook must know when it gives up */
static void
test_strict_rules (void)
{
  static const struct {
    const char *options, *hostdev;
    VvFallback wish;
    gboolean at_prepare, later;
  } cases[] = {
      {"fallback='next'", "managed='yes'", 0, FALSE, FALSE},
      {"fallback='none'", "managed='yes'", 0, TRUE, TRUE},
      {"migratable='require'", "managed='yes'", 0, TRUE, TRUE},
      {"migratable='prefer'", "managed='yes'", 0, FALSE, FALSE},
      {"host-use='refuse'", "managed='yes'", 0, TRUE, FALSE},
      {"fallback='none' host-use='refuse'", "managed='no'", 0, FALSE, FALSE},
      {"fallback='none' unmanaged='manage'", "managed='no'", 0, TRUE, TRUE},
      {"host-use='refuse' unmanaged='manage'", "managed='no'", 0, TRUE, FALSE},
      {"migratable='require'", "managed='no'", 0, TRUE, TRUE},
      {"fallback='generic'", "managed='yes'", VV_FALLBACK_NONE, TRUE, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s, %s", cases[i].options, cases[i].hostdev);
    g_autoptr (Fixture) f = fixture_under_with (cases[i].options, cases[i].hostdev, "");
    if (cases[i].wish)
      wishes (f, NULL, cases[i].wish, 0);
    g_autofree char *at_prepare = vv_domain_strict_rule (f->s, f->domain, TRUE);
    g_autofree char *later = vv_domain_strict_rule (f->s, f->domain, FALSE);
    g_assert_cmpint (at_prepare != NULL, ==, cases[i].at_prepare);
    g_assert_cmpint (later != NULL, ==, cases[i].later);
    if (at_prepare)
      fake_assert_matches (at_prepare, NIC ": it is not known whether it has what policy /p.xml:2* requires");
  }
}

static void
test_a_wish_alone_is_strict (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *none = vv_domain_strict_rule (f->s, f->domain, TRUE);

  wishes (f, NULL, VV_FALLBACK_NONE, VV_MIGRATABLE_UNSET);
  g_autofree char *some = vv_domain_strict_rule (f->s, f->domain, TRUE);
  g_assert_null (none);
  g_assert_cmpstr (some, ==, NIC ": it is not known whether it has what domain vm1 requires");
}

/* A wish is as strict as a rule, and is named when it is what the domain fails at. */
static void
test_a_wish_refuses (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  wishes (f, "special-vfio", VV_FALLBACK_NONE, VV_MIGRATABLE_UNSET);
  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  fake_register (f->k, "special-vfio"); /* prepare sees that it is there */
  assert_goes_on (f, vv_domain_prepare);
  libvirt_detaches_to (f, "vfio-pci");
  assert_refused (f, vv_domain_start, "start", "domain vm1 takes nothing else: " NIC ": no VFIO driver *");

  wishes (f, NULL, VV_FALLBACK_UNSET, VV_MIGRATABLE_REQUIRE);
  note_answer (f, "special-vfio", FALSE);
  note_answer (f, "mlx5_vfio_pci", FALSE);
  fake_register (f->k, "mlx5_vfio_pci");
  assert_refused (f, vv_domain_foresee, "incoming migration or restore",
                  NIC ": no VFIO driver is left: special_vfio_pci (it cannot migrate, which domain vm1 "
                      "requires: it announces no migration); *");
}

/* What is refused of a wish is said once for a operation, also where two things are done there. */
static void
test_a_refused_wish_is_said_once (void)
{
  g_autoptr (Fixture) f = fixture_under_with ("driver='generic' unmanaged='manage'", "managed='no'", "");

  wishes (f, "special-vfio", VV_FALLBACK_UNSET, VV_MIGRATABLE_UNSET);
  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged (NIC ": domain vm1 asks for special-vfio, which policy /p.xml:2 does not allow");
  logged_move ("mlx5_core", "vfio-pci");
  fake_assert_log_empty ();
}

/* --- <driver model='...'/> --- */

static const struct {
  const char *says, *options, *model;
  const char *gets, *said; /* @said: NULL: the model was allowed */
} models[] = {
    {"without a rule for drivers", "host-use='warn'", "mlx5_vfio_pci", "mlx5_vfio_pci", NULL},
    {"one of those that are listed", "driver='special_vfio_pci mlx5_vfio_pci'", "mlx5_vfio_pci",
     "mlx5_vfio_pci", NULL},
    {"the generic one", "driver='special_vfio_pci generic'", "vfio-pci", "vfio-pci", NULL},
    {"one that is not", "driver='special_vfio_pci'", "mlx5_vfio_pci", "special-vfio",
     "domain vm1 asks for mlx5_vfio_pci, which policy /p.xml:2 does not allow"},
};

static void
test_models (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (models); i++) {
    g_test_message ("%s", models[i].says);
    g_autofree char *driver = g_strdup_printf ("<driver name='vfio' model='%s'/>", models[i].model);
    g_autofree char *line = g_strdup_printf (NIC ": %s", models[i].said);
    g_autoptr (Fixture) f = fixture_under_with (models[i].options, "managed='yes'", driver);
    assert_goes_on (f, vv_domain_prepare);
    if (models[i].said)
      fake_assert_logged (line);
    libvirt_detaches_to (f, models[i].model);
    assert_goes_on (f, vv_domain_start);
    if (models[i].said) {
      fake_assert_logged (line);
      logged_move (models[i].model, models[i].gets);
    }
    fake_assert_device (f->k, NIC, models[i].gets, models[i].gets);
  }
}

/* It admits no other, also when something else of what the domain wants is refused. */
static void
test_a_model_admits_no_other (void)
{
  g_autoptr (Fixture) f =
      fixture_under_with ("fallback='generic'", "managed='yes'", "<driver model='mlx5_vfio_pci'/>");

  wishes (f, NULL, VV_FALLBACK_NEXT, VV_MIGRATABLE_UNSET);
  fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = EINVAL;
  fake_register (f->k, "mlx5_vfio_pci");
  libvirt_detaches_to (f, "special-vfio");
  assert_goes_on (f, vv_domain_start);
  fake_assert_logged (NIC ": domain vm1 asks for fallback='next', but policy /p.xml:2 says 'generic'");
  fake_assert_logged ("domain vm1, start: " NIC ": no VFIO driver could be bound, it is back on "
                      "special-vfio: mlx5_vfio_pci failed at bind (*)");
}

/* What is asked for by name does not get around what is required. */
static void
test_a_model_that_must_migrate (void)
{
  g_autoptr (Fixture) f =
      fixture_under_with ("migratable='require'", "managed='yes'", "<driver model='vfio-pci'/>");
  static const char problem[] =
      NIC ": no VFIO driver is left: *vfio_pci (it cannot migrate, which policy /p.xml:2 with domain vm1 "
          "requires: it *)*";

  assert_refused (f, vv_domain_foresee, "incoming migration or restore", problem);
  assert_refused (f, vv_domain_prepare, "prepare", problem);
  assert_untouched (f, "mlx5_core", NULL);
}

static void
test_a_model_that_is_none_under_a_policy (void)
{
  g_autoptr (Fixture) f =
      fixture_under_with ("driver='special-vfio'", "managed='yes'", "<driver model='a&#10;b/c'/>");

  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged ("domain vm1, prepare: 'a\\nb/c' is no driver name");
}

/* --- iommufd: libvirt opens the device before "start" --- */

#define BY_IOMMUFD "<driver name='vfio' iommufd='yes'/>"
#define IS_OPENED "cannot be moved: libvirt has opened it for iommufd; "

/* FALSE: this cannot be tested here */
static gboolean
libvirt_opens (const Fixture *f)
{
  fake_write (f->k, "proc/900/stat",
              "900 (virtqemud) S 1 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n");
  if (fake_add_process (f->k, "900", "virtqemud\n", "241:" NIC_GROUP))
    return TRUE;
  g_test_skip ("mknod(2) is not allowed");
  return FALSE;
}

static const struct {
  const char *says, *options;
  const char *on;      /* where libvirt, or the gate, has put it */
  const char *answers; /* of drivers, asked before the start */
  const char *problem; /* NULL: it starts */
} opened[] = {
    {"nothing is wanted, and it is on the best", "fallback='next'", "special-vfio", "", NULL},
    {"nothing is wanted, and it is on another", "fallback='next'", "vfio-pci", "", NULL},
    {"another is wanted, not strictly", "driver='mlx5_vfio_pci'", "vfio-pci", "", NULL},
    {"the best, strictly", "fallback='none'", "special-vfio", "", NULL},
    {"the best, strictly, and it is on vfio-pci", "fallback='none'", "vfio-pci", "",
     NIC " is on vfio-pci, which policy /p.xml:2 does not take, and " IS_OPENED
         "run vfio-variantd, *, or name "
         "the driver in the domain's <hostdev>: <driver model='special*'/>; not taken: *"},
    {"one by name, strictly", "driver='mlx5_vfio_pci' fallback='none'", "mlx5_vfio_pci", "", NULL},
    {"one by name, strictly, and it is on the best", "driver='mlx5_vfio_pci' fallback='none'", "special-vfio",
     "", NIC " is on special-vfio, which policy /p.xml:2 does not take, and " IS_OPENED "*"},
    {"a driver that fell back to one that is allowed", "fallback='generic' migratable='prefer'", "vfio-pci",
     "", NULL},
    {"it must migrate, and can", "migratable='require'", "special-vfio", "special-vfio=yes", NULL},
    {"it must migrate, and the IOMMU tracks", "migratable='require'", "special-vfio", "special-vfio=iommu",
     NULL},
    {"it must migrate, and the IOMMU may track", "migratable='require'", "special-vfio",
     "special-vfio=perhaps", NULL},
    {"it must migrate, and nothing tracks", "migratable='require'", "special-vfio", "special-vfio=untracked",
     NIC " is on special-vfio, which *" IS_OPENED "*; not taken: special_vfio_pci (it cannot migrate, which "
         "policy /p.xml:2 requires: it has no DMA logging, and neither *"},
    {"it must migrate, and cannot", "migratable='require'", "special-vfio", "special-vfio=no",
     NIC " is on special-vfio, which policy /p.xml:2 does not take, and " IS_OPENED "*: it announces no "
         "migration)*"},
    {"it must migrate, and is on the generic one", "migratable='require'", "vfio-pci", "",
     NIC " is on vfio-pci, which policy /p.xml:2 does not take, and " IS_OPENED "*"},
    {"it must migrate, and was not asked", "migratable='require'", "special-vfio", "",
     NIC
     ": whether special-vfio can migrate it, which policy /p.xml:2 requires, is not known, and it cannot be "
     "asked: libvirt has opened it for iommufd; run vfio-variantd, *: vfio-variant bind " NIC
     " && vfio-variant probe " NIC "; vfio-variant restore " NIC},
};

static void
ask_before (const Fixture *f, const char *driver, const char *answers)
{
  g_autoptr (VvPciDevice) device = vv_pci_device_open (f->s->host, NIC, NULL);
  VvMigration m;

  fake_migration (answers);
  if (!*answers)
    return;
  g_assert_true (vv_migration_probe (f->s->host, device, &m, NULL));
  g_assert_true (vv_migration_store (f->s->journal, driver, NIC_MODALIAS, &m, NULL));
  fake_migration ("");
}

/* It is neither moved nor asked, and that libvirt has it is no surprise. */
static void
test_start_of_what_libvirt_has_opened (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (opened); i++) {
    g_test_message ("%s", opened[i].says);
    g_autoptr (Fixture) f = fixture_under_with (opened[i].options, "managed='yes'", BY_IOMMUFD);
    assert_goes_on (f, vv_domain_prepare);
    libvirt_detaches_to (f, opened[i].on);
    ask_before (f, opened[i].on, opened[i].answers);
    if (!libvirt_opens (f))
      return;
    if (opened[i].problem)
      assert_refused (f, vv_domain_start, "start", opened[i].problem);
    else
      assert_goes_on (f, vv_domain_start);
    fake_assert_log_empty ();
    fake_assert_device (f->k, NIC, opened[i].on, opened[i].on);
    g_assert_cmpstr (fake_migration_asked (), ==, "");
    assert_entry (f, VV_STATE_DETACHED, "vm1", FALSE);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpstr (entry->vfio_driver, ==, opened[i].on);
  }
}

/* A process by that name that is not root's, or of a domain that does without iommufd, is a user like any. */
static void
test_start_of_what_others_have_opened (void)
{
  static const struct {
    const char *driver, *stat;
    uid_t owner;
  } cases[] = {
      {"", "900 (virtqemud) S 1 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n", 0},
      {BY_IOMMUFD, "900 (qemu-system-x86) S 1 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n", 0},
      {BY_IOMMUFD, "900 (virtqemud) S 1 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n", 65534},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_under_with ("fallback='none'", "managed='yes'", cases[i].driver);
    g_autofree char *folder = g_build_filename (f->k->root, "proc/900", NULL);
    assert_goes_on (f, vv_domain_prepare);
    libvirt_detaches_to (f, "vfio-pci");
    if (!libvirt_opens (f))
      return;
    fake_write (f->k, "proc/900/stat", cases[i].stat);
    g_assert_cmpint (chown (folder, cases[i].owner, (gid_t)-1), ==, 0);
    assert_goes_on (f, vv_domain_start);
    fake_assert_logged ("domain vm1, start: " NIC " is in use by virtqemud (pid 900) and is left alone");
  }
}

/* managed='no': it can be asked at "prepare", when libvirt has not opened it yet. */
static void
test_unmanaged_that_libvirt_opens (void)
{
  static const struct {
    const char *says, *answers, *asked, *refused; /* @refused: at "prepare" */
    const char *said;                             /* NULL: nothing */
  } cases[] = {
      {"it can", "mlx5_vfio_pci=yes", "mlx5_vfio_pci", NULL, NULL},
      {"by the IOMMU", "mlx5_vfio_pci=iommu", "mlx5_vfio_pci", NULL, NULL},
      {"perhaps", "mlx5_vfio_pci=perhaps", "mlx5_vfio_pci", NULL,
       NIC ": mlx5_vfio_pci has no DMA logging, and whether the IOMMU tracks dirty pages is not known"},
      {"it does not answer", "", "mlx5_vfio_pci", NULL, NIC ": it does not answer"},
      {"it cannot", "mlx5_vfio_pci=no", "mlx5_vfio_pci",
       NIC
       " stays on mlx5_vfio_pci, with which the domain cannot be migrated, as policy /p.xml:2 requires: it "
       "announces no migration",
       NIC ": mlx5_vfio_pci announces no migration"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_under_with ("migratable='require'", "managed='no'", BY_IOMMUFD);
    libvirt_detaches_to (f, "mlx5_vfio_pci");
    fake_migration (cases[i].answers);
    g_autoptr (GError) refusal = NULL;
    g_assert_cmpint (vv_domain_prepare (f->s, f->domain, &refusal), ==, !cases[i].refused);
    if (cases[i].said)
      fake_assert_logged (cases[i].said);
    if (cases[i].refused) {
      g_autofree char *line = g_strdup_printf ("domain vm1, prepare: %s", cases[i].refused);
      fake_assert_error (refusal, VV_ERROR_POLICY, cases[i].refused);
      fake_assert_logged (line);
    }
    if (!libvirt_opens (f))
      return;
    if (cases[i].refused)
      assert_refused (f, vv_domain_start, "start", cases[i].refused);
    else
      assert_goes_on (f, vv_domain_start);
    g_assert_cmpstr (fake_migration_asked (), ==, cases[i].asked);
    assert_untouched (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
  }
}

/* What is known is not asked again, and what is not wanted never. */
static void
test_prepare_asks_what_it_has_to (void)
{
  static const struct {
    const char *options, *driver;
    gboolean noted;
    const char *asked;
  } cases[] = {
      {"migratable='require'", BY_IOMMUFD, FALSE, "mlx5_vfio_pci"},
      {"migratable='require'", BY_IOMMUFD, TRUE, ""},
      {"migratable='prefer'", BY_IOMMUFD, FALSE, ""},
      {"migratable='require'", "", FALSE, ""},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_under_with (cases[i].options, "managed='no'", cases[i].driver);
    libvirt_detaches_to (f, "mlx5_vfio_pci");
    ask_before (f, "mlx5_vfio_pci", cases[i].noted ? "mlx5_vfio_pci=yes" : "");
    fake_migration ("mlx5_vfio_pci=yes");
    assert_goes_on (f, vv_domain_prepare);
    g_assert_cmpstr (fake_migration_asked (), ==, cases[i].asked);
  }
}

/* What the policy hands to us is on its driver before libvirt opens it. */
static void
test_unmanaged_that_the_policy_manages_by_iommufd (void)
{
  g_autoptr (Fixture) f =
      fixture_under_with ("unmanaged='manage' migratable='require'", "managed='no'", BY_IOMMUFD);

  fake_migration ("special-vfio=no mlx5_vfio_pci=yes");
  assert_goes_on (f, vv_domain_prepare);
  logged_move ("mlx5_core", "special-vfio");
  logged_move ("special-vfio", "mlx5_vfio_pci");
  if (!libvirt_opens (f))
    return;
  assert_goes_on (f, vv_domain_start);
  fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
  fake_remove (f->k, "proc/900");
  vv_domain_release (f->s, f->domain);
  logged_move ("mlx5_vfio_pci", "mlx5_core");
  assert_untouched (f, "mlx5_core", NULL);
}

/* --- what the gate is told, and tells --- */

static void
test_prepare_writes_what_is_requested (void)
{
  static const struct {
    const char *attributes, *driver, *text;
  } cases[] = {
      {"managed='yes'", "", "iommufd=no"},
      {"managed='yes'", BY_IOMMUFD, "iommufd=yes"},
      {"managed='yes'", "<driver iommufd='yes' model='mlx5_vfio_pci'/>", "iommufd=yes model=mlx5_vfio_pci"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_with (cases[i].attributes, cases[i].driver);
    assert_goes_on (f, vv_domain_prepare);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpstr (entry->requested, ==, cases[i].text);
  }
  g_autoptr (Fixture) f = fixture_new ();
  wishes (f, "special_vfio_pci generic", VV_FALLBACK_NONE, VV_MIGRATABLE_PREFER);
  assert_goes_on (f, vv_domain_prepare);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpstr (entry->requested, ==,
                   "iommufd=no driver=special_vfio_pci driver=generic fallback=none migratable=prefer");
}

static void
gate_notes_failure (const Fixture *f, const char *failed)
{
  g_autoptr (VvEntry) entry = entry_of_nic (f);

  entry->failed = g_strdup (failed);
  g_assert_true (vv_journal_store (f->s->journal, entry, NULL));
}

/* Its probe would work here: that it is not bound shows that it was not tried. */
static void
test_what_has_failed_is_not_tried_again (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  gate_notes_failure (f, "special_vfio_pci bind No such device\n");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged (
      NIC ": special_vfio_pci is not tried again: it failed at bind a moment ago: No such device");
  logged_move ("vfio-pci", "mlx5_vfio_pci");
  vv_domain_running (f->s, f->domain);
  g_autoptr (VvEntry) running = entry_of_nic (f);
  g_assert_null (running->failed);
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_logged (CAME_HOME);

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL)); /* the next start tries all of them */
  gate_notes_failure (f, "special_vfio_pci bind No such device\n");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  logged_move ("vfio-pci", "special-vfio");
}

/* ... and refused, where nothing else will do. */
static void
test_what_has_failed_and_is_all_there_is (void)
{
  g_autoptr (Fixture) f = fixture_under ("fallback='none'");

  assert_goes_on (f, vv_domain_prepare);
  gate_notes_failure (f, "special_vfio_pci bind No such device\nmlx5_vfio_pci load x y\n");
  libvirt_detaches_to (f, "vfio-pci");
  g_autoptr (GError) refusal = NULL;
  g_assert_false (vv_domain_start (f->s, f->domain, &refusal));
  fake_assert_error (refusal, VV_ERROR_POLICY,
                     "policy /p.xml:2 takes nothing else: " NIC
                     ": no VFIO driver is left: *special_vfio_pci (failed at bind a moment ago: No such "
                     "device)*");
  fake_assert_logged (NIC ": special_vfio_pci is not tried again: *");
  fake_assert_logged ("domain vm1, start: policy /p.xml:2 takes nothing else: " NIC ": *");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

/* What is on a driver has not failed there, and what is written otherwise is nothing. */
static void
test_a_failure_that_is_none (void)
{
  static const char *const written[] = {
      "special_vfio_pci bind x\n", "", "\n", "special_vfio_pci", "special_vfio_pci bind",
      "special vfio_pci bind x"};

  for (gsize i = 0; i < G_N_ELEMENTS (written); i++) {
    g_autoptr (Fixture) f = fixture_under ("fallback='none'");
    assert_goes_on (f, vv_domain_prepare);
    gate_notes_failure (f, written[i]);
    libvirt_detaches_to (f, "special-vfio");
    assert_goes_on (f, vv_domain_start);
    fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  }
}

/* --- a domain with several devices --- */

#define PEER "0000:3b:00.2"
#define HOSTDEV(function, managed)                                                                           \
  "<hostdev mode='subsystem' type='pci' managed='" managed                                                   \
  "'><source><address domain='0' bus='0x3b' slot='0' "                                                       \
  "function='" function "'/></source></hostdev>"

static const struct {
  const char *says, *nic, *peer; /* options of their rules */
  const char *on;                /* where PEER is */
  const char *answers, *problem;
} pairs[] = {
    {"both have P2P", "migratable='require'", "migratable='require'", "mlx5_vfio_pci",
     "special-vfio=yes mlx5_vfio_pci=yes", NULL},
    {"one has none", "migratable='require' driver='special_vfio_pci' fallback='none'", "fallback='next'",
     "mlx5_vfio_pci", "special-vfio=alone mlx5_vfio_pci=yes",
     NIC ": no VFIO driver is left: *special_vfio_pci (" NIC
         ": special-vfio has no P2P, which QEMU requires of every VFIO device of a domain that has several)"},
    {"the other has none", "fallback='next'", "migratable='require'", "mlx5_vfio_pci", "mlx5_vfio_pci=alone",
     "policy /p.xml:3 requires migration: " PEER ": mlx5_vfio_pci has no P2P, *"},
    {"nothing is required", "fallback='next'", "fallback='next'", "vfio-pci", "special-vfio=alone", NULL},
    {"the other one cannot migrate", "migratable='require'", "fallback='next'", "vfio-pci",
     "special-vfio=yes",
     "policy /p.xml:2 requires that domain vm1 can be migrated: it has " PEER
     " on vfio-pci, which announces no "
     "migration"},
    {"of the other one nothing is known", "migratable='require'", "fallback='next'", "mlx5_vfio_pci",
     "special-vfio=yes", NULL},
};

static Fixture *
fixture_with_a_pair (const char *nic, const char *peer, const char *on)
{
  static const char xml[] = "<domain><name>vm1</name><uuid>" UUID "</uuid><devices>" HOSTDEV ("1", "yes")
      HOSTDEV ("2", "no") "</devices></domain>";
  Fixture *f = fixture_new ();
  g_autofree char *rules =
      g_strdup_printf ("<device address='" NIC "' %s/>\n<device address='" PEER "' %s/>\n", nic, peer);

  vv_domain_free (f->domain);
  f->domain = vv_domain_parse (xml, strlen (xml), NULL);
  fake_policy (f->s, rules);
  fake_register (f->k, on);
  fake_add_device (f->k, PEER, NIC_MODALIAS, "42", on);
  return f;
}

static void
test_a_domain_with_several (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++) {
    g_test_message ("%s", pairs[i].says);
    g_autoptr (Fixture) f = fixture_with_a_pair (pairs[i].nic, pairs[i].peer, pairs[i].on);
    g_autoptr (GError) refusal = NULL;
    fake_migration (pairs[i].answers);
    assert_goes_on (f, vv_domain_prepare);
    libvirt_detaches_to (f, "vfio-pci");
    g_assert_cmpint (vv_domain_start (f->s, f->domain, &refusal), ==, !pairs[i].problem);
    logged_move ("vfio-pci", "special-vfio");
    if (!pairs[i].problem)
      continue;
    fake_assert_error (refusal, VV_ERROR_POLICY, pairs[i].problem);
    g_autofree char *line = g_strdup_printf ("domain vm1, start: %s", pairs[i].problem);
    if (fake_was_logged (NIC ": *: special-vfio -> vfio-pci: *")) /* it is back */
      fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
    fake_assert_logged (line);
  }
}

/* <qemu:override> with enable-migration=on does without tracking. */
static void
test_migration_that_is_forced (void)
{
  static const char xml[] =
      "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>vm1</name><uuid>" UUID "</uuid>"
      "<devices><hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0x3b' "
      "slot='0' function='1'/></source><alias name='ua-nic'/></hostdev></devices><qemu:override><qemu:device "
      "alias='ua-nic'><qemu:frontend><qemu:property name='enable-migration' type='string' value='%s'/>"
      "</qemu:frontend></qemu:device></qemu:override></domain>";
  static const struct {
    const char *value, *gets;
  } cases[] = {{"on", "special-vfio"}, {"auto", "mlx5_vfio_pci"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_under ("migratable='require'");
    g_auto (GStrv) halves = g_strsplit (xml, "%s", 2);
    g_autofree char *domain = g_strjoinv (cases[i].value, halves);
    vv_domain_free (f->domain);
    f->domain = vv_domain_parse (domain, strlen (domain), NULL);
    fake_migration ("special-vfio=untracked mlx5_vfio_pci=yes");
    assert_goes_on (f, vv_domain_prepare);
    libvirt_detaches_to (f, "vfio-pci");
    assert_goes_on (f, vv_domain_start);
    logged_move ("vfio-pci", "special-vfio");
    if (i)
      logged_move ("special-vfio", "mlx5_vfio_pci");
    fake_assert_device (f->k, NIC, cases[i].gets, cases[i].gets);
  }
}

static void
add_iommufd_tests (void)
{
  g_test_add_func ("/domain-life/iommufd/start", test_start_of_what_libvirt_has_opened);
  g_test_add_func ("/domain-life/iommufd/others-have-opened-it", test_start_of_what_others_have_opened);
  g_test_add_func ("/domain-life/iommufd/unmanaged", test_unmanaged_that_libvirt_opens);
  g_test_add_func ("/domain-life/iommufd/unmanaged-that-the-policy-manages",
                   test_unmanaged_that_the_policy_manages_by_iommufd);
  g_test_add_func ("/domain-life/iommufd/asked-when-it-has-to-be", test_prepare_asks_what_it_has_to);
  g_test_add_func ("/domain-life/gate/is-told-what-is-requested", test_prepare_writes_what_is_requested);
  g_test_add_func ("/domain-life/gate/what-has-failed", test_what_has_failed_is_not_tried_again);
  g_test_add_func ("/domain-life/gate/what-has-failed-strictly", test_what_has_failed_and_is_all_there_is);
  g_test_add_func ("/domain-life/gate/a-failure-that-is-none", test_a_failure_that_is_none);
  g_test_add_func ("/domain-life/several/must-migrate", test_a_domain_with_several);
  g_test_add_func ("/domain-life/policy/start/migration-that-is-forced", test_migration_that_is_forced);
}

static void
add_policy_tests (void)
{
  g_test_add_func ("/domain-life/policy/wishes/no-candidate", test_what_is_no_candidate_is_not_granted);
  g_test_add_func ("/domain-life/policy/wishes/no-candidate-strictly",
                   test_what_is_asked_strictly_is_refused);
  g_test_add_func ("/domain-life/policy/prepare/refuses-what-cannot-be-had",
                   test_prepare_refuses_what_cannot_be_had);
  g_test_add_func ("/domain-life/policy/prepare/goes-on-with-less", test_prepare_goes_on_with_less);
  g_test_add_func ("/domain-life/policy/a-damaged-entry", test_a_damaged_entry);
  g_test_add_func ("/domain-life/policy/prepare/what-the-host-uses", test_prepare_of_what_the_host_uses);
  g_test_add_func ("/domain-life/policy/prepare/what-the-host-does-not-use",
                   test_prepare_of_what_the_host_does_not_use);
  g_test_add_func ("/domain-life/policy/prepare/refused-by-another-device",
                   test_prepare_refused_by_another_device);
  g_test_add_func ("/domain-life/policy/prepare/refused-of-what-was-away",
                   test_prepare_refused_of_what_was_away);
  g_test_add_func ("/domain-life/policy/prepare/refused-after-an-unmanaged-one",
                   test_prepare_refused_after_an_unmanaged_one);
  g_test_add_func ("/domain-life/policy/prepare/refused-with-a-claim-of-another",
                   test_prepare_refused_with_a_claim_of_another);
  g_test_add_func ("/domain-life/policy/unmanaged/that-it-manages", test_unmanaged_that_the_policy_manages);
  g_test_add_func ("/domain-life/policy/unmanaged/that-stays-the-administrators",
                   test_unmanaged_that_stays_the_administrators);
  g_test_add_func ("/domain-life/policy/unmanaged/that-cannot-be-detached",
                   test_unmanaged_that_cannot_be_detached);
  g_test_add_func ("/domain-life/policy/unmanaged/that-the-host-uses", test_unmanaged_that_the_host_uses);
  g_test_add_func ("/domain-life/policy/unmanaged/that-must-migrate", test_unmanaged_that_must_migrate);
  g_test_add_func ("/domain-life/policy/start/gets-or-is-refused", test_starts);
  g_test_add_func ("/domain-life/policy/start/prefer-goes-by-what-is-known",
                   test_prefer_goes_by_what_is_known);
  g_test_add_func ("/domain-life/policy/foresee/what-is-known", test_foresights);
  g_test_add_func ("/domain-life/policy/foresee/what-stays", test_foresee_what_stays);
  g_test_add_func ("/domain-life/policy/wish/granted-or-said", test_wishes);
  g_test_add_func ("/domain-life/policy/what-is-strict", test_strict_rules);
  g_test_add_func ("/domain-life/policy/a-wish-alone-is-strict", test_a_wish_alone_is_strict);
  g_test_add_func ("/domain-life/policy/wish/refuses", test_a_wish_refuses);
  g_test_add_func ("/domain-life/policy/wish/refused-is-said-once", test_a_refused_wish_is_said_once);
  g_test_add_func ("/domain-life/policy/model/within-and-outside", test_models);
  g_test_add_func ("/domain-life/policy/model/admits-no-other", test_a_model_admits_no_other);
  g_test_add_func ("/domain-life/policy/model/that-must-migrate", test_a_model_that_must_migrate);
  g_test_add_func ("/domain-life/policy/model/that-is-none", test_a_model_that_is_none_under_a_policy);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-life/counted", test_counted);
  g_test_add_func ("/domain-life/on-libvirt-before-10", test_life_on_old_libvirt);
  g_test_add_func ("/domain-life/on-libvirt-10-and-later", test_life_on_new_libvirt);
  g_test_add_func ("/domain-life/from-a-vendors-driver", test_life_from_a_vendors_driver);
  g_test_add_func ("/domain-life/release-mends-what-libvirt-forgets",
                   test_release_mends_what_libvirt_forgets);
  g_test_add_func ("/domain-life/release-brings-home-what-libvirt-could-not",
                   test_release_brings_home_what_libvirt_could_not);
  g_test_add_func ("/domain-life/the-model-is-obeyed", test_model_is_obeyed);
  g_test_add_func ("/domain-life/unmanaged-is-left-alone", test_unmanaged_is_left_alone);
  g_test_add_func ("/domain-life/held-by-hand-stays-held", test_held_by_hand);
  g_test_add_func ("/domain-life/prepare/loads-what-will-be-bound", test_prepare_loads_what_will_be_bound);
  g_test_add_func ("/domain-life/prepare/drops-a-stale-entry", test_prepare_drops_a_stale_entry);
  g_test_add_func ("/domain-life/prepare/warns-of-the-group", test_prepare_warns_of_the_group);
  g_test_add_func ("/domain-life/prepare/another-guest-has-it", test_another_guest_has_it);
  g_test_add_func ("/domain-life/prepare/two-domains-at-once", test_two_domains_at_once);
  g_test_add_func ("/domain-life/start/without-prepare", test_start_without_prepare);
  g_test_add_func ("/domain-life/start/not-detached", test_start_of_what_libvirt_did_not_detach);
  g_test_add_func ("/domain-life/start/no-variant-works", test_start_when_no_variant_works);
  g_test_add_func ("/domain-life/start/a-model-that-is-none", test_model_that_is_none);
  g_test_add_func ("/domain-life/reconnect/rebuilds-the-journal", test_reconnect_rebuilds_the_journal);
  g_test_add_func ("/domain-life/release/of-another-domain", test_release_of_another_domain);
  g_test_add_func ("/domain-life/release/without-an-entry", test_release_without_an_entry);
  g_test_add_func ("/domain-life/release/what-left-the-xml", test_release_of_what_left_the_xml);
  g_test_add_func ("/domain-life/release/that-fails-is-said", test_release_that_fails_is_said);
  g_test_add_func ("/domain-life/trouble/full-journal", test_full_journal);
  g_test_add_func ("/domain-life/trouble/no-module-tables", test_no_module_tables);
  g_test_add_func ("/domain-life/trouble/no-run-directory", test_no_run_directory);
  g_test_add_func ("/domain-life/trouble/one-bad-device-spoils-no-other",
                   test_one_bad_device_spoils_no_other);
  add_policy_tests ();
  add_iommufd_tests ();
  return g_test_run ();
}
