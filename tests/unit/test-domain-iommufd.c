/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of domain starts with iommufd: a device that libvirt opens before "start", the data that the hook and
 * the gate exchange, and a domain with several devices.
 */
#include "domain-fixture.h"

#include <string.h>
#include <unistd.h>

#include "fake-migration.h"
#include "migration.h"

/* --- iommufd: libvirt opens the device before "start" --- */

#define BY_IOMMUFD "<driver name='vfio' iommufd='yes'/>"
#define IS_OPENED "cannot be moved because libvirt has already opened it for iommufd; "

/* Returns: FALSE: cannot be tested here */
static gboolean
libvirt_opens (const Fixture *f)
{
  fake_write (f->k, "proc/900/stat",
              "900 (virtqemud) S 1 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n");
  return fake_add_process (f->k, "900", "virtqemud\n", "241:" NIC_GROUP);
}

static const struct {
  const char *says, *options;
  const char *on;      /* bound by libvirt or the gate */
  const char *answers; /* recorded before the start */
  const char *problem; /* NULL: the domain starts */
} opened[] = {
    {"nothing is wanted, and it is on the best", "fallback='next'", "special-vfio", "", NULL},
    {"nothing is wanted, and it is on another", "fallback='next'", "vfio-pci", "", NULL},
    {"another is wanted, not strictly", "driver='mlx5_vfio_pci'", "vfio-pci", "", NULL},
    {"the best, strictly", "fallback='none'", "special-vfio", "", NULL},
    {"the best, strictly, and it is on vfio-pci", "fallback='none'", "vfio-pci", "",
     NIC " is on vfio-pci, which policy /p.xml:2 does not allow, and " IS_OPENED
         "start vfio-variantd, *, or name "
         "the driver in the domain's <hostdev>: <driver model='special*'/>; rejected: *"},
    {"one by name, strictly", "driver='mlx5_vfio_pci' fallback='none'", "mlx5_vfio_pci", "", NULL},
    {"one by name, strictly, and it is on the best", "driver='mlx5_vfio_pci' fallback='none'", "special-vfio",
     "", NIC " is on special-vfio, which policy /p.xml:2 does not allow, and " IS_OPENED "*"},
    {"a driver that fell back to one that is allowed", "fallback='generic' migratable='prefer'", "vfio-pci",
     "", NULL},
    {"it must migrate, and can", "migratable='require'", "special-vfio", "special-vfio=yes", NULL},
    {"it must migrate, and the IOMMU tracks", "migratable='require'", "special-vfio", "special-vfio=iommu",
     NULL},
    {"it must migrate, and the IOMMU may track", "migratable='require'", "special-vfio",
     "special-vfio=perhaps", NULL},
    {"it must migrate, and nothing tracks", "migratable='require'", "special-vfio", "special-vfio=untracked",
     NIC " is on special-vfio, which *" IS_OPENED "*; rejected: special_vfio_pci (it cannot migrate, which "
         "policy /p.xml:2 requires: it has no DMA logging, and neither *"},
    {"it must migrate, and cannot", "migratable='require'", "special-vfio", "special-vfio=no",
     NIC " is on special-vfio, which policy /p.xml:2 does not allow, and " IS_OPENED
         "*: it does not support migration)*"},
    {"it must migrate, and is on the generic one", "migratable='require'", "vfio-pci", "",
     NIC " is on vfio-pci, which policy /p.xml:2 does not allow, and " IS_OPENED "*"},
    {"it must migrate, and was not asked", "migratable='require'", "special-vfio", "",
     NIC ": whether special-vfio supports migration, which policy /p.xml:2 requires, is unknown, and the "
         "driver cannot be queried because libvirt has already opened the device for iommufd; start "
         "vfio-variantd, *: vfio-variant bind " NIC " && vfio-variant probe " NIC
         "; vfio-variant restore " NIC},
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
  g_assert_true (vv_migration_store (f->s->store, driver, NIC_MODALIAS, &m, NULL));
  fake_migration ("");
}

/* The device is neither rebound nor queried, and its use by libvirt is no error. */
static void
test_start_of_what_libvirt_has_opened (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (opened); i++) {
    g_test_message ("%s", opened[i].says);
    g_autoptr (Fixture) f = domain_under_with (opened[i].options, "managed='yes'", BY_IOMMUFD);
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

/* A process with libvirt's name that is not root's counts as a user of the device. So does libvirt if the
 * domain does not use iommufd. */
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
    g_autoptr (Fixture) f = domain_under_with ("fallback='none'", "managed='yes'", cases[i].driver);
    g_autofree char *folder = g_build_filename (f->k->root, "proc/900", NULL);
    assert_goes_on (f, vv_domain_prepare);
    libvirt_detaches_to (f, "vfio-pci");
    if (!libvirt_opens (f))
      return;
    fake_write (f->k, "proc/900/stat", cases[i].stat);
    g_assert_cmpint (chown (folder, cases[i].owner, (gid_t)-1), ==, 0);
    assert_goes_on (f, vv_domain_start);
    fake_assert_logged ("domain vm1, start: " NIC " is in use by virtqemud (pid 900); leaving it alone");
  }
}

/* managed='no': "prepare" can query the device, because libvirt opens it later. */
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
       NIC ": mlx5_vfio_pci has no DMA logging, and whether the IOMMU tracks dirty pages is unknown"},
      {"it does not answer", "", "mlx5_vfio_pci", NULL, NIC ": it does not answer"},
      {"it cannot", "mlx5_vfio_pci=no", "mlx5_vfio_pci",
       NIC " stays on mlx5_vfio_pci, which prevents the migration that policy /p.xml:2 requires: it "
           "does not support migration",
       NIC ": mlx5_vfio_pci does not support migration"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = domain_under_with ("migratable='require'", "managed='no'", BY_IOMMUFD);
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

/* "prepare" queries only if the policy needs the answer and none is recorded. */
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
    g_autoptr (Fixture) f = domain_under_with (cases[i].options, "managed='no'", cases[i].driver);
    libvirt_detaches_to (f, "mlx5_vfio_pci");
    ask_before (f, "mlx5_vfio_pci", cases[i].noted ? "mlx5_vfio_pci=yes" : "");
    fake_migration ("mlx5_vfio_pci=yes");
    assert_goes_on (f, vv_domain_prepare);
    g_assert_cmpstr (fake_migration_asked (), ==, cases[i].asked);
  }
}

/* With unmanaged='manage', the device is on its driver before libvirt opens it. */
static void
test_unmanaged_that_the_policy_manages_by_iommufd (void)
{
  g_autoptr (Fixture) f =
      domain_under_with ("unmanaged='manage' migratable='require'", "managed='no'", BY_IOMMUFD);

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

/* --- data exchanged with the gate --- */

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
    g_autoptr (Fixture) f = domain_fixture_with (cases[i].attributes, cases[i].driver);
    assert_goes_on (f, vv_domain_prepare);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpstr (entry->requested, ==, cases[i].text);
  }
  g_autoptr (Fixture) f = domain_fixture ();
  requests (f, "special_vfio_pci generic", VV_FALLBACK_NONE, VV_MIGRATABLE_PREFER);
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
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
}

/* The probe would succeed: the driver is not bound, so "start" did not try it. */
static void
test_what_has_failed_is_not_tried_again (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  gate_notes_failure (f, "special_vfio_pci bind No such device\n");
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  fake_assert_logged (NIC ": not trying special_vfio_pci again: it failed recently at bind: No such device");
  logged_move ("vfio-pci", "mlx5_vfio_pci");
  vv_domain_running (f->s, f->domain);
  g_autoptr (VvEntry) running = entry_of_nic (f);
  g_assert_null (running->failed);
  libvirt_reattaches (f);
  vv_domain_release (f->s, f->domain);
  fake_assert_logged (RESTORED);

  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL)); /* the next start tries all drivers */
  gate_notes_failure (f, "special_vfio_pci bind No such device\n");
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  g_assert_true (vv_domain_start (f->s, f->domain, NULL));
  logged_move ("vfio-pci", "special-vfio");
}

/* The only driver that the policy allows has failed: the start is refused. */
static void
test_what_has_failed_and_is_all_there_is (void)
{
  g_autoptr (Fixture) f = domain_under ("fallback='none'");

  assert_goes_on (f, vv_domain_prepare);
  gate_notes_failure (f, "special_vfio_pci bind No such device\nmlx5_vfio_pci load x y\n");
  libvirt_detaches_to (f, "vfio-pci");
  g_autoptr (GError) refusal = NULL;
  g_assert_false (vv_domain_start (f->s, f->domain, &refusal));
  fake_assert_error (refusal, VV_ERROR_POLICY,
                     "policy /p.xml:2 allows no other driver: " NIC
                     ": no usable VFIO driver: *special_vfio_pci (failed recently at bind: No such device)*");
  fake_assert_logged (NIC ": not trying special_vfio_pci again: *");
  fake_assert_logged ("domain vm1, start: policy /p.xml:2 allows no other driver: " NIC ": *");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

/* A recorded failure of the current driver, or one that cannot be parsed, is ignored. */
static void
test_a_failure_that_is_none (void)
{
  static const char *const written[] = {
      "special_vfio_pci bind x\n", "", "\n", "special_vfio_pci", "special_vfio_pci bind",
      "special vfio_pci bind x"};

  for (gsize i = 0; i < G_N_ELEMENTS (written); i++) {
    g_autoptr (Fixture) f = domain_under ("fallback='none'");
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
  const char *on;                /* PEER's driver */
  const char *answers, *problem;
} pairs[] = {
    {"both have P2P", "migratable='require'", "migratable='require'", "mlx5_vfio_pci",
     "special-vfio=yes mlx5_vfio_pci=yes", NULL},
    {"one has none", "migratable='require' driver='special_vfio_pci' fallback='none'", "fallback='next'",
     "mlx5_vfio_pci", "special-vfio=alone mlx5_vfio_pci=yes",
     NIC ": no usable VFIO driver: *special_vfio_pci (" NIC
         ": special-vfio has no P2P state, which QEMU requires when a domain has several VFIO devices)"},
    {"the other has none", "fallback='next'", "migratable='require'", "mlx5_vfio_pci", "mlx5_vfio_pci=alone",
     "policy /p.xml:3 requires migration: " PEER ": mlx5_vfio_pci has no P2P state, *"},
    {"nothing is required", "fallback='next'", "fallback='next'", "vfio-pci", "special-vfio=alone", NULL},
    {"the other one cannot migrate", "migratable='require'", "fallback='next'", "vfio-pci",
     "special-vfio=yes",
     "policy /p.xml:2 requires that domain vm1 can be migrated: it has " PEER
     " on vfio-pci, which does not support migration"},
    {"of the other one nothing is known", "migratable='require'", "fallback='next'", "mlx5_vfio_pci",
     "special-vfio=yes", NULL},
};

static Fixture *
fixture_with_a_pair (const char *nic, const char *peer, const char *on)
{
  static const char xml[] = "<domain><name>vm1</name><uuid>" UUID "</uuid><devices>" HOSTDEV ("1", "yes")
      HOSTDEV ("2", "no") "</devices></domain>";
  Fixture *f = domain_fixture ();
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
    if (fake_was_logged (NIC ": *: special-vfio -> vfio-pci: *")) /* NIC was rolled back */
      fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
    fake_assert_logged (line);
  }
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-iommufd/start", test_start_of_what_libvirt_has_opened);
  g_test_add_func ("/domain-iommufd/others-have-opened-it", test_start_of_what_others_have_opened);
  g_test_add_func ("/domain-iommufd/unmanaged", test_unmanaged_that_libvirt_opens);
  g_test_add_func ("/domain-iommufd/unmanaged-that-the-policy-manages",
                   test_unmanaged_that_the_policy_manages_by_iommufd);
  g_test_add_func ("/domain-iommufd/asked-when-it-has-to-be", test_prepare_asks_what_it_has_to);
  g_test_add_func ("/domain-iommufd/gate/is-told-what-is-requested", test_prepare_writes_what_is_requested);
  g_test_add_func ("/domain-iommufd/gate/what-has-failed", test_what_has_failed_is_not_tried_again);
  g_test_add_func ("/domain-iommufd/gate/what-has-failed-strictly", test_what_has_failed_and_is_all_there_is);
  g_test_add_func ("/domain-iommufd/gate/a-failure-that-is-none", test_a_failure_that_is_none);
  g_test_add_func ("/domain-iommufd/several/must-migrate", test_a_domain_with_several);
  return g_test_run ();
}
