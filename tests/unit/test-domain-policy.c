/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of domain-life under a policy: the drivers that a domain's devices get, and refused operations.
 */
#include "domain-fixture.h"

#include <errno.h>
#include <string.h>

#include "fake-migration.h"

/* --- policy: prepare --- */

static void
test_prepare_refuses_what_cannot_be_had (void)
{
  static const struct {
    const char *options, *problem;
  } cases[] = {
      {"fallback='none'",
       "policy /p.xml:2 allows no other driver: " NIC ": module special_vfio_pci cannot be *"},
      {"driver='mlx5_vfio_pci' fallback='none'", "policy /p.xml:2 allows no other driver: *mlx5_vfio_pci*"},
      {"driver='generic' fallback='none' migratable='require'",
       NIC ": no usable VFIO driver: vfio_pci (it cannot migrate, which policy /p.xml:2 requires: it "
           "does not support migration); *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].options);
    g_autoptr (Fixture) f = domain_under (cases[i].options);
    g_autofree char *before = fake_snapshot (f->k);
    fake_driver (f->k, "special-vfio")->load_errno = ENOENT;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = ENOENT;
    assert_refused (f, vv_domain_prepare, "prepare", cases[i].problem);
    fake_assert_unchanged (f->k, before);
  }
}

/* With an unreadable state file, the device's state is unknown: only a strict rule refuses the start. */
static void
test_a_damaged_entry (void)
{
  static const char problem[] =
      NIC ": cannot determine whether it meets the requirements of policy /p.xml:2: cannot read */" NIC
          " as a state file*";
  g_autoptr (Fixture) strict = domain_under ("fallback='none'");
  g_autoptr (Fixture) f = domain_under ("fallback='generic'");

  fake_write (strict->k, "run/vfio-variant/" NIC, "x");
  assert_refused (strict, vv_domain_prepare, "prepare", problem);
  fake_assert_logged ("domain vm1, prepare: cannot read */" NIC
                      " as a state file*"); /* rollback is impossible */
  assert_refused (strict, vv_domain_start, "start", problem);
  fake_write (f->k, "run/vfio-variant/" NIC, "x");
  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged ("domain vm1, prepare: cannot read */" NIC " as a state file*");
  assert_goes_on (f, vv_domain_start);
  fake_assert_logged ("domain vm1, start: cannot read */" NIC " as a state file*");
}

/* With a less strict rule, the start continues (rule R7). */
static void
test_prepare_goes_on_with_less (void)
{
  static const char *const options[] = {"fallback='generic'", "fallback='next'", "driver='mlx5_vfio_pci'"};

  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    g_test_message ("%s", options[i]);
    g_autoptr (Fixture) f = domain_under (options[i]);
    fake_driver (f->k, "special-vfio")->load_errno = ENOENT;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = ENOENT;
    assert_goes_on (f, vv_domain_prepare);
    assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);
  }
}

/* Makes NIC's network interface part of a bridge. */
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
    g_autoptr (Fixture) f = domain_under (cases[i].options);
    host_uses_nic (f);
    g_autofree char *before = fake_snapshot (f->k);
    if (cases[i].refused) {
      assert_refused (f, vv_domain_prepare, "prepare",
                      NIC " is in use by the host, which policy /p.xml:2 refuses: network interface ens1 *");
      fake_assert_unchanged (f->k, before);
      continue;
    }
    assert_goes_on (f, vv_domain_prepare);
    fake_assert_logged ("domain vm1 uses " NIC ", which is in use by the host: network interface ens1 *");
    assert_entry (f, VV_STATE_RECORDED, "vm1", FALSE);
  }
}

/* A device on VFIO is not in use by the host, even if it has leftovers of an interface. */
static void
test_prepare_of_what_the_host_does_not_use (void)
{
  g_autoptr (Fixture) f = domain_under ("host-use='refuse'");

  libvirt_detaches_to (f, "vfio-pci");
  host_uses_nic (f);
  assert_goes_on (f, vv_domain_prepare);
}

#define TWO                                                                                                  \
  "<domain><name>vm1</name><uuid>" UUID "</uuid><devices>"                                                   \
  "<hostdev type='pci' managed='%s'><source><address bus='0x3b' slot='0' function='1'/></source></hostdev>"  \
  "<hostdev type='pci' managed='yes'><source><address bus='0x04' slot='0' function='0'/></source></hostdev>" \
  "</devices></domain>"

/* NIC, and DISK, which a rule refuses */
static Fixture *
fixture_of_two (const char *managed, const char *options)
{
  Fixture *f = domain_fixture ();
  g_autofree char *xml = g_strdup_printf (TWO, managed);
  g_autofree char *rules = g_strdup_printf (
      "<device address='" NIC "' %s/><device address='" DISK "' driver='nowhere' fallback='none'/>", options);

  vv_domain_free (f->domain);
  f->domain = vv_domain_parse (xml, strlen (xml), NULL);
  fake_policy (f->s, rules);
  return f;
}

#define DISK_IS_REFUSED "policy /p.xml:2 allows no other driver: " DISK ": *nowhere*"

static void
test_prepare_refused_by_another_device (void)
{
  g_autoptr (Fixture) f = fixture_of_two ("yes", "driver='generic'");
  g_autofree char *before = fake_snapshot (f->k);

  assert_refused (f, vv_domain_prepare, "prepare", DISK_IS_REFUSED);
  fake_assert_unchanged (f->k, before);
}

/* A device that was detached for no domain, or pinned, stays on its driver. */
static void
test_prepare_refused_of_what_was_away (void)
{
  for (int held = 0; held < 2; held++) {
    g_test_message ("%s", held ? "held" : "not held");
    g_autoptr (Fixture) f = fixture_of_two ("yes", "driver='generic'");
    g_autoptr (VvBinding) b = vv_binding_open (f->s, NIC, FALSE, NULL);
    g_autoptr (VvChoice) selection = vv_catalog_select (f->s->catalog, NIC_MODALIAS, NULL);
    g_assert_true (vv_binding_detach (b, selection, NULL));
    b->entry->pinned = held;
    g_assert_true (vv_binding_save (b, NULL));
    g_clear_pointer (&b, vv_binding_free);
    g_autofree char *before = fake_snapshot (f->k);
    assert_refused (f, vv_domain_prepare, "prepare", DISK_IS_REFUSED);
    fake_assert_unchanged (f->k, before);
    fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  }
}

/* A device that we detached returns to its host driver and driver_override. */
static void
test_prepare_refused_after_an_unmanaged_one (void)
{
  g_autoptr (Fixture) f = fixture_of_two ("no", "unmanaged='manage'");
  g_autoptr (GError) refusal = NULL;

  fake_write_device (f->k, NIC, "driver_override", "mlx5_core\n");
  g_assert_false (vv_domain_prepare (f->s, f->domain, &refusal));
  fake_assert_error (refusal, VV_ERROR_POLICY, DISK_IS_REFUSED);
  logged_move ("mlx5_core", "vfio-pci");
  fake_assert_logged ("domain vm1, prepare: " DISK_IS_REFUSED);
  logged_move ("vfio-pci", "mlx5_core");
  assert_untouched (f, "mlx5_core", "mlx5_core");
  g_assert_false (fake_exists (f->k, "run/vfio-variant/" DISK));
}

/* A refusal keeps the state file of another domain. */
static void
test_prepare_refused_with_a_claim_of_another (void)
{
  g_autoptr (Fixture) f = domain_under ("driver='nowhere' fallback='none'");
  g_autoptr (VvDomain) other = domain_with ("other", "managed='yes'", "");

  g_assert_true (vv_domain_prepare (f->s, other, NULL));
  fake_assert_logged ("*nowhere*"); /* only logged: no strict rule */
  g_autoptr (VvEntry) claim = vv_entry_new (NIC, NIC_MODALIAS);
  claim->host_known = TRUE;
  claim->host.driver = g_strdup ("mlx5_core");
  vv_entry_set_domain (claim, "other", "other");
  g_assert_true (vv_state_store_save (f->s->store, claim, NULL));
  g_autofree char *before = fake_snapshot (f->k);
  assert_refused (f, vv_domain_prepare, "prepare", "*nowhere*");
  fake_assert_unchanged (f->k, before);
}

/* --- policy: unmanaged devices --- */

static void
test_unmanaged_that_the_policy_manages (void)
{
  for (int reconnected = 0; reconnected < 2; reconnected++) {
    g_test_message ("%s", reconnected ? "with a reconnect" : "without");
    g_autoptr (Fixture) f = domain_under_with ("unmanaged='manage'", "managed='no'", "");
    fake_write_device (f->k, NIC, "driver_override", "mlx5_core\n");

    assert_goes_on (f, vv_domain_prepare);
    logged_move ("mlx5_core", "vfio-pci"); /* any libvirt accepts vfio-pci */
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
      {"there is no rule", NULL, FALSE},
      {"nothing is said", "driver='generic'", FALSE},
      {"it is said", "unmanaged='ignore' driver='generic'", FALSE},
      {"it is said, on VFIO", "unmanaged='ignore'", TRUE},
      {"it is on VFIO already", "unmanaged='manage'", TRUE},
      {"so strict that a managed one were refused", "unmanaged='ignore' driver='nowhere' fallback='none'",
       FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = cases[i].options ? domain_under_with (cases[i].options, "managed='no'", "")
                                             : domain_fixture_with ("managed='no'", "");
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
  g_autoptr (Fixture) f = domain_under_with ("unmanaged='manage'", "managed='no'", "");

  fake_driver (f->k, "vfio-pci")->probe_errno = EINVAL;
  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged ("domain vm1, prepare: " NIC ": no VFIO driver could be bound, returned to mlx5_core*");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  vv_domain_release (f->s, f->domain);
  fake_assert_logged (RESTORED);
  assert_untouched (f, "mlx5_core", NULL);
}

static void
test_unmanaged_that_the_host_uses (void)
{
  g_autoptr (Fixture) f = domain_under_with ("unmanaged='manage' host-use='refuse'", "managed='no'", "");

  host_uses_nic (f);
  g_autofree char *before = fake_snapshot (f->k);
  assert_refused (f, vv_domain_prepare, "prepare", NIC " is in use by the host, which policy *");
  fake_assert_unchanged (f->k, before);
}

/* Of an unmanaged device, a policy can require only migration. */
static void
test_unmanaged_that_must_migrate (void)
{
  static const struct {
    const char *says, *options, *answers;
    const char *problem; /* NULL: the domain starts */
  } cases[] = {
      {"it can", "migratable='require'", "mlx5_vfio_pci=yes", NULL},
      {"it cannot", "migratable='require'", "mlx5_vfio_pci=no",
       "policy /p.xml:2 requires migration: " NIC ": mlx5_vfio_pci does not support migration"},
      {"it does not answer", "migratable='require'", "",
       "policy /p.xml:2 requires migration: " NIC ": it does not answer"},
      {"it is managed by the policy, and was on VFIO", "migratable='require' unmanaged='manage'",
       "mlx5_vfio_pci=no", "policy /p.xml:2 requires migration: *"},
      {"it need not", "migratable='prefer'", "mlx5_vfio_pci=no", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = domain_under_with (cases[i].options, "managed='no'", "");
    libvirt_detaches_to (f, "mlx5_vfio_pci");
    fake_migration (cases[i].answers);
    if (cases[i].problem)
      assert_refused (f, vv_domain_start, "start", cases[i].problem);
    else
      assert_goes_on (f, vv_domain_start);
    assert_untouched (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
  }
}

/* --- policy: start --- */

static const struct {
  const char *says, *options;
  int special_errno; /* of its probe */
  const char *answers;
  const char *gets, *problem;
  const char *moves; /* drivers of the logged rebinds, in order */
} starts[] = {
    {"the best", "fallback='none'", 0, "", "special-vfio", NULL, "special-vfio"},
    {"the best fails, the next does", "fallback='next'", EINVAL, "", "mlx5_vfio_pci", NULL, "mlx5_vfio_pci"},
    {"the best fails, the generic one does", "fallback='generic'", EINVAL, "", "vfio-pci", NULL, "vfio-pci"},
    {"the best fails, and no other will do", "fallback='none'", EINVAL, "", "vfio-pci",
     "policy /p.xml:2 allows no other driver: " NIC
     ": no VFIO driver could be bound, returned to vfio-pci: *",
     ""},
    {"the generic one by name", "driver='generic' fallback='none'", 0, "", "vfio-pci", NULL, ""},
    {"the best can migrate", "migratable='require'", 0, "special-vfio=yes", "special-vfio", NULL,
     "special-vfio"},
    {"the next can migrate", "migratable='require'", 0, "special-vfio=no mlx5_vfio_pci=yes", "mlx5_vfio_pci",
     NULL, "special-vfio mlx5_vfio_pci"},
    {"none can migrate", "migratable='require'", 0, "special-vfio=no mlx5_vfio_pci=no", "vfio-pci",
     NIC ": no usable VFIO driver: *", "special-vfio mlx5_vfio_pci vfio-pci"},
    {"it could not be told", "migratable='require'", 0, "", "vfio-pci",
     NIC ": cannot determine whether special-vfio supports migration, which policy /p.xml:2 requires: *",
     "special-vfio vfio-pci"},
    {"prefer asks nobody", "migratable='prefer'", 0, "special-vfio=no", "special-vfio", NULL, "special-vfio"},
};

static void
test_starts (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (starts); i++) {
    g_test_message ("%s", starts[i].says);
    g_autoptr (Fixture) f = domain_under (starts[i].options);
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
    vv_domain_release (f->s, f->domain); /* libvirt also releases a domain that failed to start */
    fake_assert_logged (RESTORED);
    assert_untouched (f, "mlx5_core", NULL);
  }
}

static void
test_prefer_goes_by_what_is_known (void)
{
  g_autoptr (Fixture) f = domain_under ("migratable='prefer'");

  fake_register (f->k, "special-vfio");
  note_answer (f, "special-vfio", FALSE);
  g_assert_true (vv_domain_prepare (f->s, f->domain, NULL));
  libvirt_detaches_to (f, "vfio-pci");
  assert_goes_on (f, vv_domain_start);
  logged_move ("vfio-pci", "mlx5_vfio_pci");
  g_assert_cmpstr (fake_migration_asked (), ==, "");
  note_answer (f, "mlx5_vfio_pci", FALSE); /* neither migrates: best driver */
  assert_goes_on (f, vv_domain_start);
  logged_move ("mlx5_vfio_pci", "special-vfio");
}

/* --- policy: migrate, restore --- */

static const struct {
  const char *says, *options, *attributes, *cannot; /* @cannot: drivers recorded as not migratable */
  const char *problem;                              /* NULL: the operation continues */
} foresights[] = {
    {"nobody asked yet", "migratable='require'", "managed='yes'", "", NULL},
    {"one cannot, others may", "migratable='require'", "managed='yes'", "special-vfio", NULL},
    {"all are known not to", "migratable='require'", "managed='yes'", "special-vfio mlx5_vfio_pci",
     NIC ": no usable VFIO driver: *"},
    {"the one that is allowed is known not to", "driver='special-vfio' fallback='none' migratable='require'",
     "managed='yes'", "special-vfio", NIC ": no usable VFIO driver: *"},
    {"it need not", "migratable='prefer'", "managed='yes'", "special-vfio mlx5_vfio_pci", NULL},
    {"a driver that is not there", "driver='nowhere' fallback='none'", "managed='yes'", "",
     "policy /p.xml:2 allows no other driver: " NIC ": *nowhere*"},
    {"managed by the policy, all are known not to", "migratable='require' unmanaged='manage'", "managed='no'",
     "special-vfio mlx5_vfio_pci", NIC ": no usable VFIO driver: *"},
    {"managed by nobody, and the others are known not to", "migratable='require'", "managed='no'",
     "special-vfio mlx5_vfio_pci", NULL},
    {"managed by nobody, and known not to", "migratable='require'", "managed='no'", "mlx5_core",
     NIC " stays on mlx5_core, which prevents the migration that policy /p.xml:2 requires: it "
         "does not support migration"},
};

static void
test_foresights (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (foresights); i++) {
    g_test_message ("%s", foresights[i].says);
    g_autoptr (Fixture) f = domain_under_with (foresights[i].options, foresights[i].attributes, "");
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

/* unmanaged='manage', but the device is on VFIO already and stays there. */
static void
test_foresee_what_stays (void)
{
  g_autoptr (Fixture) f = domain_under_with ("migratable='require' unmanaged='manage'", "managed='no'", "");

  libvirt_detaches_to (f, "vfio-pci");
  g_autofree char *before = fake_snapshot (f->k);
  assert_refused (f, vv_domain_foresee, "incoming migration or restore",
                  NIC " stays on vfio-pci, which prevents the migration that policy /p.xml:2 "
                      "requires: it does not support migration");
  fake_assert_unchanged (f->k, before);
}

/* <qemu:override> with enable-migration=on works without dirty page tracking. */
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
    g_autoptr (Fixture) f = domain_under ("migratable='require'");
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

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-policy/start/migration-that-is-forced", test_migration_that_is_forced);
  g_test_add_func ("/domain-policy/prepare/refuses-what-cannot-be-had",
                   test_prepare_refuses_what_cannot_be_had);
  g_test_add_func ("/domain-policy/prepare/goes-on-with-less", test_prepare_goes_on_with_less);
  g_test_add_func ("/domain-policy/a-damaged-entry", test_a_damaged_entry);
  g_test_add_func ("/domain-policy/prepare/what-the-host-uses", test_prepare_of_what_the_host_uses);
  g_test_add_func ("/domain-policy/prepare/what-the-host-does-not-use",
                   test_prepare_of_what_the_host_does_not_use);
  g_test_add_func ("/domain-policy/prepare/refused-by-another-device",
                   test_prepare_refused_by_another_device);
  g_test_add_func ("/domain-policy/prepare/refused-of-what-was-away", test_prepare_refused_of_what_was_away);
  g_test_add_func ("/domain-policy/prepare/refused-after-an-unmanaged-one",
                   test_prepare_refused_after_an_unmanaged_one);
  g_test_add_func ("/domain-policy/prepare/refused-with-a-claim-of-another",
                   test_prepare_refused_with_a_claim_of_another);
  g_test_add_func ("/domain-policy/unmanaged/that-it-manages", test_unmanaged_that_the_policy_manages);
  g_test_add_func ("/domain-policy/unmanaged/that-stays-the-administrators",
                   test_unmanaged_that_stays_the_administrators);
  g_test_add_func ("/domain-policy/unmanaged/that-cannot-be-detached",
                   test_unmanaged_that_cannot_be_detached);
  g_test_add_func ("/domain-policy/unmanaged/that-the-host-uses", test_unmanaged_that_the_host_uses);
  g_test_add_func ("/domain-policy/unmanaged/that-must-migrate", test_unmanaged_that_must_migrate);
  g_test_add_func ("/domain-policy/start/gets-or-is-refused", test_starts);
  g_test_add_func ("/domain-policy/start/prefer-goes-by-what-is-known", test_prefer_goes_by_what_is_known);
  g_test_add_func ("/domain-policy/foresee/what-is-known", test_foresights);
  g_test_add_func ("/domain-policy/foresee/what-stays", test_foresee_what_stays);
  return g_test_run ();
}
