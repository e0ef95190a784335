/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-life: what happens to a domain's devices from prepare to release, with libvirt's own moves between.
 */
#include "domain-life.h"

#include <errno.h>
#include <string.h>

#include "fake-kernel.h"
#include "in-use.h"

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

typedef struct {
  FakeKernel *k;
  VvSession *s;
  VvDomain *domain;
} Fixture;

static void
fixture_free (Fixture *f)
{
  vv_domain_free (f->domain);
  vv_session_free (f->s);
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
  f->s = vv_session_new (f->k->root, NULL, VV_SESSION_MOVE, &error);
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
  g_autoptr (VvBinding) b = vv_session_binding (f->s, NIC, FALSE, NULL);
  g_autoptr (VvSelection) selection = vv_catalog_select (f->s->catalog, NIC_MODALIAS, NULL);

  vv_selection_force (selection, "mlx5_vfio_pci", NULL);
  g_autoptr (VvChange) change = vv_binding_detach (b, selection, NULL);
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
  g_assert_cmpstr (entry->home_driver, ==, "mlx5_core");
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
  stale->home_known = TRUE;
  stale->home_driver = g_strdup ("some_old_driver");
  stale->in_use = TRUE;
  g_assert_true (vv_journal_store (f->s->journal, stale, NULL));
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpstr (entry->home_driver, ==, "mlx5_core");
  assert_entry (f, VV_STATE_NOTED, "vm1", FALSE);
}

static void
test_prepare_warns_of_the_group (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_add_device (f->k, "0000:3b:00.2", NIC_MODALIAS, NIC_GROUP, "mlx5_core");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  fake_assert_logged ("domain vm1: " NIC ": 0000:3b:00.2 in the same IOMMU group " NIC_GROUP
                      " is on mlx5_core: *");
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
  g_autoptr (VvSession) s = NULL;

  fake_remove (f->k, "lib/modules");
  s = vv_session_new (f->k->root, FAKE_RELEASE, VV_SESSION_MOVE, NULL);
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
  g_assert_false (entry->home_known); /* what it comes from is not known, and not invented */
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
  g_assert_false (entry->home_known);
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
  g_autoptr (VvTally) tally = vv_tally_read (f->s->journal, NULL);

  g_assert_nonnull (tally);
  g_assert_cmpuint (tally->rows->len, ==, n + 1);
  const VvTallyRow *row = tally->rows->pdata[n];
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
  g_assert_null (vv_session_new (k->root, NULL, VV_SESSION_MOVE, &error));
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

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-life/counted", test_counted);
  g_test_add_func ("/domain-life/on-libvirt-before-10", test_life_on_old_libvirt);
  g_test_add_func ("/domain-life/on-libvirt-10-and-later", test_life_on_new_libvirt);
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
  return g_test_run ();
}
