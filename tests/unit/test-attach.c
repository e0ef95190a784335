/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of attach: the driver that a device gets under a policy and a request, and the rollback if the driver
 * is refused.
 */
#include "attach.h"

#include <errno.h>
#include <string.h>

#include "fake-migration.h"
#include "fixture.h"
#include "recovery.h"

/* --- helpers --- */

static VvChoice *
choose (const Fixture *f, const VvBinding *b)
{
  g_autoptr (GError) error = NULL;
  VvChoice *choice = vv_choose (f->s, b->device, b->entry, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return choice;
}

static char *
candidates_of (const VvChoice *choice)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < choice->candidates->len; i++)
    g_string_append_printf (text, "%s%s", i ? " " : "",
                            ((VvCandidate *)choice->candidates->pdata[i])->module);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* --- selection --- */

static void
test_nothing_is_said (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) choice = choose (f, b);
  g_autofree char *candidates = candidates_of (choice);

  g_assert_cmpstr (candidates, ==, "special_vfio_pci mlx5_vfio_pci vfio_pci");
  g_assert_null (choice->file);
  g_assert_cmpuint (choice->refused->len, ==, 0);
}

static void
test_a_request_is_narrowed (void)
{
  g_autoptr (Fixture) f = fixture_under ("driver='mlx5_vfio_pci generic' fallback='none'");
  g_autoptr (VvBinding) b = open_nic (f);
  g_auto (GStrv) drivers = g_strsplit ("special-vfio generic", " ", -1);
  const VvOptions requested = {.drivers = drivers};
  g_autoptr (VvChoice) choice = vv_choose (f->s, b->device, NULL, NULL, &requested, "domain vm1", NULL);
  g_autofree char *candidates = candidates_of (choice);

  g_assert_cmpstr (candidates, ==, "vfio_pci");
  fake_assert_names (choice->refused,
                     "domain vm1 requests special-vfio, which policy /p.xml:2 does not allow");
}

/* Recorded answers count before any rebind. */
static void
test_notes_count (void)
{
  g_autoptr (Fixture) f = fixture_under ("migratable='require'");

  fake_register (f->k, "special-vfio");
  fake_register (f->k, "mlx5_vfio_pci");
  note_answer (f, "special-vfio", FALSE);
  note_answer (f, "mlx5_vfio_pci", TRUE);
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) choice = choose (f, b);
  g_autofree char *candidates = candidates_of (choice);
  g_assert_cmpstr (candidates, ==, "mlx5_vfio_pci");
  g_assert_true (vv_choice_takes (f->s, b->device, choice, "mlx5_vfio_pci"));
  g_assert_true (vv_choice_takes (f->s, b->device, choice, "nobody_asked_it"));
  g_assert_false (vv_choice_takes (f->s, b->device, choice, "special-vfio"));
  g_assert_false (vv_choice_takes (f->s, b->device, choice, "vfio-pci"));
}

static void
test_takes_what_is_listed (void)
{
  g_autoptr (Fixture) f = fixture_under ("driver='mlx5_vfio_pci' migratable='prefer'");
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) choice = choose (f, b);

  note_answer (f, "mlx5_vfio_pci", FALSE);
  g_assert_true (vv_choice_takes (f->s, b->device, choice, "mlx5_vfio_pci")); /* only 'require' excludes */
  g_assert_false (vv_choice_takes (f->s, b->device, choice, "special-vfio"));
}

/* The rule selects devices of mlx5_core: tests the sources of the host driver. */
static void
test_host_driver (void)
{
  static const struct {
    const char *says, *on, *override, *seen;
    gboolean entry;
    gboolean matches;
  } cases[] = {
      {"it is on it", "mlx5_core", "(null)", NULL, FALSE, TRUE},
      {"it was seen on it", NULL, "(null)", "mlx5_core", FALSE, TRUE},
      {"its entry says so", "vfio-pci", "vfio-pci", NULL, TRUE, TRUE},
      {"its entry says so, whatever was seen", NULL, "(null)", "vfio-pci", TRUE, TRUE},
      {"nobody saw it before VFIO", "vfio-pci", "vfio-pci", NULL, FALSE, FALSE},
      {"it was seen on a driver of VFIO", NULL, "(null)", "vfio-pci", FALSE, FALSE},
      {"it is on none", NULL, "(null)", NULL, FALSE, FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_policy (f->s, "<device host-driver='mlx5_core' driver='generic'/>");
    put_on (f, cases[i].on, cases[i].override);
    g_autoptr (VvBinding) b = open_nic (f);
    g_autoptr (VvEntry) entry = vv_entry_new (NIC, NIC_MODALIAS);
    entry->host_known = TRUE;
    entry->host.driver = g_strdup ("mlx5_core");
    g_autoptr (VvChoice) choice =
        vv_choose (f->s, b->device, cases[i].entry ? entry : NULL, cases[i].seen, NULL, NULL, NULL);
    g_assert_cmpint (choice->file != NULL, ==, cases[i].matches);
  }
}

static void
test_malformed_modalias (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (GError) error = NULL;

  g_free (b->device->modalias);
  b->device->modalias = g_strdup ("");
  g_assert_null (vv_choose (f->s, b->device, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
  vv_choice_free (NULL);
}

/* --- devices that vfio-pci refuses --- */

#define BRIDGE "0000:04:02.0"
#define QAT_VF "pci:v00008086d000037C9sv00008086sd00000002bc0Bsc40i00"
#define DENYLISTED "it is on vfio-pci's denylist of devices with errata; for trusted guests*"
#define NO_BRIDGES "vfio-pci does not bind bridges; *"

static const struct {
  const char *says, *modalias;
  const char *parameter; /* file of the loaded module's parameter; "none"; NULL: not loaded */
  const char *modprobe, *cmdline;
  const char *config; /* the header type, or NULL */
  const char *driver, *why;
} refused_devices[] = {
    {"a switch port", "pci:v0000111Dd00008018sv00000000sd00000000bc06sc04i00", "N", "", "", "\x01",
     "pcieport", NO_BRIDGES},
    {"one with several functions", "pci:v0000111Dd00008018sv00000000sd00000000bc06sc04i00", "N", "", "",
     "\x81", "pcieport", NO_BRIDGES},
    {"one whose header ", "pci:v0000111Dd00008018sv00000000sd00000000bc06sc04i01", "N", "", "", NULL,
     "pcieport", NO_BRIDGES},
    {"a CardBus bridge", "pci:v0000104Cd0000AC56sv00000000sd00000000bc06sc07i00", "N", "", "", "\x02", NULL,
     NO_BRIDGES},
    {"a host bridge has no bridge's header", "pci:v00008086d000029C0sv00000000sd00000000bc06sc00i00", "N", "",
     "", "\x00", NULL, NULL},
    {"nor has an ISA bridge", "pci:v00008086d00002918sv00000000sd00000000bc06sc01i00", "N", "", "", NULL,
     NULL, NULL},
    {"a semi-transparent one goes by its header", "pci:v00003388d00000029sv00000000sd00000000bc06sc09i00",
     "N", "", "", "\x01", NULL, NO_BRIDGES},
    {"and may have none", "pci:v00001011d00000046sv00000000sd00000000bc06sc09i00", "N", "", "", "\x00", NULL,
     NULL},
    {"on the denylist", QAT_VF, "N", "", "", NULL, "c6xxvf", DENYLISTED},
    {"its physical function", "pci:v00008086d000037C8sv00008086sd00000000bc0Bsc40i00", "N", "", "", NULL,
     NULL, DENYLISTED},
    {"QAT C3XXX", "pci:v00008086d000019E2sv00008086sd00000000bc0Bsc40i00", "N", "", "", NULL, NULL,
     DENYLISTED},
    {"its virtual function", "pci:v00008086d000019E3sv00008086sd00000000bc0Bsc40i00", "N", "", "", NULL, NULL,
     DENYLISTED},
    {"QAT DH895XCC", "pci:v00008086d00000435sv00008086sd00000000bc0Bsc40i00", "N", "", "", NULL, NULL,
     DENYLISTED},
    {"its virtual function", "pci:v00008086d00000443sv00008086sd00000000bc0Bsc40i00", "N", "", "", NULL, NULL,
     DENYLISTED},
    {"DSA", "pci:v00008086d00000B25sv00008086sd00000000bc08sc80i00", "N", "", "", NULL, "idxd", DENYLISTED},
    {"IAX", "pci:v00008086d00000CFEsv00008086sd00000000bc08sc80i00", "N", "", "", NULL, "idxd", DENYLISTED},
    {"QAT 4XXX is not", "pci:v00008086d00004941sv00008086sd00000000bc0Bsc40i00", "N", "", "", NULL, NULL,
     NULL},
    {"the same id of another vendor", "pci:v000019E5d000037C9sv00008086sd00000002bc0Bsc40i00", "N", "", "",
     NULL, NULL, NULL},
    {"the parameter lifts it", QAT_VF, "Y", "", "", NULL, NULL, NULL},
    {"a kernel before 5.9 has none", QAT_VF, "none", "", "", NULL, NULL, NULL},
    {"the loaded module counts, not modprobe.d", QAT_VF, "N", "options vfio-pci disable_denylist=1\n", "",
     NULL, NULL, DENYLISTED},
    {"not loaded", QAT_VF, NULL, "", "", NULL, NULL, DENYLISTED},
    {"modprobe.d lifts it", QAT_VF, NULL, "options vfio-pci ids=8086:37c9 disable_denylist=1\n", "", NULL,
     NULL, NULL},
    {"in other words", QAT_VF, NULL, "options vfio_pci disable_denylist\n", "", NULL, NULL, NULL},
    {"modprobe.d does not", QAT_VF, NULL, "options vfio-pci disable_denylist=0 disable_idle_d3=1\n", "", NULL,
     NULL, DENYLISTED},
    {"of another module", QAT_VF, NULL, "options vfio disable_denylist=1\n", "", NULL, NULL, DENYLISTED},
    {"another option", QAT_VF, NULL, "options vfio-pci disable_denylists=1\n", "", NULL, NULL, DENYLISTED},
    {"the last one counts", QAT_VF, NULL,
     "options vfio-pci disable_denylist=Y\noptions vfio-pci disable_denylist=off\n", "", NULL, NULL,
     DENYLISTED},
    {"the command line lifts it", QAT_VF, NULL, "", "ro vfio-pci.disable_denylist=on quiet", NULL, NULL,
     NULL},
    {"vfio-pci has it already", QAT_VF, NULL, "", "vfio vfio-pci vfio_pci.", NULL, "vfio-pci", NULL},
};

static void
load_vfio_pci (const Fixture *f, const char *parameter)
{
  fake_remove (f->k, "sys/module/vfio_pci");
  if (parameter)
    fake_write (f->k, "sys/module/vfio_pci/parameters/disable_idle_d3", "N\n");
  if (parameter && strcmp (parameter, "none") != 0)
    fake_write (f->k, "sys/module/vfio_pci/parameters/disable_denylist", parameter);
}

static void
write_header (const Fixture *f, const char *type)
{
  g_autofree char *path = fake_device_path (BRIDGE, "config");
  char header[64] = {0};

  header[0x0e] = *type;
  fake_write_bytes (f->k, path, header, sizeof header);
}

static void
test_refused_devices (void)
{
  static const char *const policies[] = {"", "<default driver='generic' fallback='none'/>",
                                         "<default driver='vfio-pci mlx5_vfio_pci'/>"};

  for (gsize i = 0; i < G_N_ELEMENTS (refused_devices) * G_N_ELEMENTS (policies); i++) {
    gsize n = i / G_N_ELEMENTS (policies);
    g_test_message ("%s", refused_devices[n].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_policy (f->s, policies[i % G_N_ELEMENTS (policies)]);
    fake_add_device (f->k, BRIDGE, refused_devices[n].modalias, "30", NULL);
    load_vfio_pci (f, refused_devices[n].parameter);
    fake_write (f->k, "etc/modprobe.d/test.conf", refused_devices[n].modprobe);
    fake_write (f->k, "proc/cmdline", refused_devices[n].cmdline);
    if (refused_devices[n].config)
      write_header (f, refused_devices[n].config);
    g_assert_true (vv_context_reload (f->s, NULL));
    g_autoptr (VvPciDevice) device = vv_pci_device_open (f->s->host, BRIDGE, NULL);
    device->now.driver = g_strdup (refused_devices[n].driver);
    g_autoptr (VvChoice) choice = vv_choose (f->s, device, NULL, NULL, NULL, NULL, NULL);
    const VvCandidate *out = vv_candidate_named (f->s->host, choice->excluded, "vfio-pci");
    const VvCandidate *in = vv_candidate_named (f->s->host, choice->candidates, "vfio-pci");
    g_assert_true ((in != NULL) == (refused_devices[n].why == NULL));
    g_assert_true ((out != NULL) == (refused_devices[n].why != NULL));
    if (out)
      fake_assert_matches (out->excluded, refused_devices[n].why);
  }
}

/* --- check before a start --- */

static const struct {
  const char *says, *options;
  int load_errno;      /* of the variant modules */
  const char *problem; /* NULL: none */
  const char *loaded;  /* a driver, or NULL */
} checks[] = {
    {"the best loads", "fallback='none'", 0, NULL, "special-vfio"},
    {"it does not, and the next would do", "fallback='next'", ENOENT, NULL, NULL},
    {"it does not, and that was asked for strictly", "fallback='none'", ENOENT,
     "policy /p.xml:2 allows no other driver: " NIC ": module special_vfio_pci cannot be loaded*", NULL},
    {"it fails otherwise", "driver='mlx5_vfio_pci' fallback='none'", EINVAL,
     "policy /p.xml:2 allows no other driver: " NIC ": module mlx5_vfio_pci cannot be loaded*", NULL},
    {"one that is not there, and no other is allowed", "driver='nowhere' fallback='none'", 0,
     "policy /p.xml:2 allows no other driver: " NIC ": *nowhere*", NULL},
    {"one that is not there, and others are", "driver='nowhere'", 0, NULL, "special-vfio"},
    {"the generic one is there", "driver='generic' fallback='none'", ENOENT, NULL, NULL},
    {"nothing is left", "driver='generic' fallback='none' migratable='require'", 0,
     NIC ": no usable VFIO driver: vfio_pci (it cannot migrate, which policy /p.xml:2 requires: it "
         "does not support migration); "
         "special_vfio_pci (policy /p.xml:2 does not allow it); mlx5_vfio_pci (policy*)",
     NULL},
};

static void
test_checks (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (checks); i++) {
    g_test_message ("%s", checks[i].says);
    g_autoptr (Fixture) f = fixture_under (checks[i].options);
    g_autoptr (GError) error = NULL;
    fake_driver (f->k, "special-vfio")->load_errno = checks[i].load_errno;
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = checks[i].load_errno;
    g_autoptr (VvBinding) b = open_nic (f);
    g_autoptr (VvChoice) choice = choose (f, b);
    gboolean good = vv_choice_check (f->s, b->device, choice, &error);
    g_assert_cmpint (good, ==, !checks[i].problem);
    if (checks[i].problem)
      fake_assert_error (error, VV_ERROR_POLICY, checks[i].problem);
    else
      g_assert_no_error (error);
    g_assert_cmpint (fake_exists (f->k, "sys/bus/pci/drivers/special-vfio"), ==, checks[i].loaded != NULL);
    fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  }
}

/* No alias matches the device: only a strict rule refuses it. */
static void
test_check_of_nothing_offered (void)
{
  static const char *const options[] = {"host-use='warn'", "fallback='none'"};

  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    g_autoptr (Fixture) f = fixture_under (options[i]);
    g_autoptr (GError) error = NULL;
    g_autoptr (VvBinding) b = open_nic (f);
    g_autoptr (VvChoice) choice = choose (f, b);
    g_ptr_array_set_size (choice->candidates, 0);
    g_ptr_array_set_size (choice->excluded, 0);
    g_assert_cmpint (vv_choice_check (f->s, b->device, choice, &error), ==, i == 0);
    if (i)
      fake_assert_error (error, VV_ERROR_POLICY, NIC ": no usable VFIO driver: no alias matches");
    else
      g_assert_no_error (error);
  }
}

/* --- attach --- */

static VvChange *
place (const Fixture *f, GError **error)
{
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) choice = choose (f, b);

  return vv_attach (b, choice, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}

static const struct {
  const char *says, *options, *answers;
  const char *gets, *asked;
} places[] = {
    {"the best, unasked", "fallback='next'", "", "special-vfio", ""},
    {"one by name", "driver='mlx5_vfio_pci'", "", "mlx5_vfio_pci", ""},
    {"who is preferred is not asked either", "migratable='prefer'", "", "special-vfio", ""},
    {"the best can", "migratable='require'", "special-vfio=yes", "special-vfio", "special-vfio"},
    {"the next can", "migratable='require'", "special-vfio=no mlx5_vfio_pci=yes", "mlx5_vfio_pci",
     "special-vfio mlx5_vfio_pci"},
    {"one by name can", "driver='mlx5_vfio_pci' migratable='require' fallback='none'", "mlx5_vfio_pci=yes",
     "mlx5_vfio_pci", "mlx5_vfio_pci"},
};

static void
test_places (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++) {
    g_test_message ("%s", places[i].says);
    g_autoptr (Fixture) f = fixture_under (places[i].options);
    g_autoptr (GError) error = NULL;
    fake_migration (places[i].answers);
    g_autoptr (VvChange) change = place (f, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (change->to, ==, places[i].gets);
    fake_assert_matches (change->why, "*; policy /p.xml:2");
    fake_assert_device (f->k, NIC, places[i].gets, places[i].gets);
    g_assert_cmpstr (fake_migration_asked (), ==, places[i].asked);
    if (strchr (places[i].asked, ' ')) /* two queries: two rebinds */
      fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
  }
}

static const struct {
  const char *says, *options, *answers;
  int special_errno, mlx5_errno; /* of their probes */
  const char *asked, *problem;
  guint moves; /* rebinds logged, including the rollback */
} refusals[] = {
    {"nobody can", "migratable='require'", "special-vfio=no mlx5_vfio_pci=no", 0, 0,
     "special-vfio mlx5_vfio_pci",
     NIC ": no usable VFIO driver: vfio_pci (*); special_vfio_pci (" NIC
         ": special-vfio does not support migration); mlx5_vfio_pci (" NIC
         ": mlx5_vfio_pci does not support migration)",
     3},
    {"the only one that is allowed cannot", "migratable='require' fallback='none'", "special-vfio=no", 0, 0,
     "special-vfio", NIC ": no usable VFIO driver: *special_vfio_pci (" NIC ": special-vfio does not *)*", 2},
    {"it could not be told", "migratable='require'", "", 0, 0, "special-vfio",
     NIC ": cannot determine whether special-vfio supports migration, which policy /p.xml:2 requires: " NIC
         ": it does not answer",
     2},
    {"the next fails after one that cannot", "migratable='require'", "special-vfio=no", 0, EINVAL,
     "special-vfio",
     "policy /p.xml:2 allows no other driver: " NIC ": no VFIO driver could be bound, returned to *", 2},
    {"none was ever bound", "fallback='none'", "", EINVAL, 0, "",
     "policy /p.xml:2 allows no other driver: " NIC ": no VFIO driver could be bound, returned to mlx5_core: "
     "special_vfio_pci failed at bind (*)",
     0},
    {"nothing is left beforehand", "driver='generic' fallback='none' migratable='require'", "", 0, 0, "",
     NIC ": no usable VFIO driver: vfio_pci (it cannot migrate, which policy /p.xml:2 requires: it "
         "does not support migration); *",
     0},
};

static void
logged_moves (guint n)
{
  for (guint i = 0; i + 1 < n; i++)
    fake_assert_logged (NIC ": detach: *");
  if (n)
    fake_assert_logged (NIC ": reattach: *: a strict requirement cannot be met*");
}

static void
test_refused_and_back (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (refusals); i++) {
    g_test_message ("%s", refusals[i].says);
    g_autoptr (Fixture) f = fixture_under (refusals[i].options);
    g_autoptr (GError) error = NULL;
    fake_driver (f->k, "special-vfio")->probe_errno = refusals[i].special_errno;
    fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = refusals[i].mlx5_errno;
    fake_migration (refusals[i].answers);
    g_assert_null (place (f, &error));
    fake_assert_error (error, VV_ERROR_POLICY, refusals[i].problem);
    g_assert_cmpstr (fake_migration_asked (), ==, refusals[i].asked);
    logged_moves (refusals[i].moves);
    fake_assert_device (f->k, NIC, "mlx5_core", NULL);
    assert_no_entry (f);
  }
}

/* libvirt detached the device, and it has a state file: the rollback returns it to that driver. */
static void
test_refused_and_back_on_vfio (void)
{
  g_autoptr (Fixture) f = fixture_under ("migratable='require'");
  g_autoptr (GError) error = NULL;

  put_on (f, "vfio-pci", "vfio-pci");
  g_autoptr (VvEntry) entry = vv_entry_new (NIC, NIC_MODALIAS);
  entry->host_known = TRUE;
  entry->host.driver = g_strdup ("mlx5_core");
  vv_entry_set_domain (entry, "vm1", "6695eb01");
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
  g_autofree char *before = fake_read (f->k, ENTRY);
  fake_migration ("special-vfio=no mlx5_vfio_pci=no");
  g_assert_null (place (f, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
  logged_moves (3);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  g_autofree char *after = fake_read (f->k, ENTRY);
  g_assert_cmpstr (after, ==, before);
}

/* The host driver fails: the state file remains, and recovery tries again. */
static void
test_refused_and_no_way_back (void)
{
  g_autoptr (Fixture) f = fixture_under ("migratable='require' fallback='none'");
  g_autoptr (GError) error = NULL;

  fake_migration ("special-vfio=no");
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  g_assert_null (place (f, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
  fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
  fake_assert_logged (NIC ": cannot return to mlx5_core: *");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpint (entry->state, ==, VV_STATE_DETACHING);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
}

static void
place_and_die (FakeKernel *k, gpointer fixture)
{
  g_autoptr (GError) error = NULL;

  (void)k;
  g_assert_null (place (fixture, &error));
}

/* The process dies during attach or rollback: the next caller finds the device on VFIO with a state file, or
 * restores it. */
static void
test_a_process_dies_at_a_refusal (void)
{
  static const FakeFault faults[] = {FAKE_DIE_BEFORE, FAKE_DIE_AFTER};
  guint deaths = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (faults); i++)
    for (guint step = 1;; step++) {
      g_autoptr (Fixture) f = fixture_under ("migratable='require' fallback='none'");
      fake_migration ("special-vfio=no");
      fake_fault (f->k, faults[i], step, 0);
      if (!fake_dies (f->k, place_and_die, f))
        break;
      deaths++;
      fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
      g_autoptr (VvContext) next = vv_context_new (f->k->root, NULL, TRUE, NULL);
      vv_recover (next);
      while (!fake_log_is_empty ())
        fake_assert_logged (NIC ": *: a process died while moving it*");
      g_autofree char *driver = fake_driver_of (f->k, NIC);
      g_autoptr (VvEntry) entry = entry_of_nic (f);
      if (entry) {
        g_assert_cmpstr (driver, ==, "special-vfio");
        g_assert_cmpint (entry->state, ==, VV_STATE_DETACHED);
        g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
      } else {
        fake_assert_device (f->k, NIC, "mlx5_core", NULL);
      }
    }
  g_assert_cmpuint (deaths, >, 20);
}

/* Without a strict option, a failure is not reported as a refusal by the policy. */
static void
test_failure_is_no_refusal (void)
{
  g_autoptr (Fixture) f = fixture_under ("driver='generic'");
  g_autoptr (GError) error = NULL;

  fail_all_vfio (f, EINVAL);
  g_assert_null (place (f, &error));
  fake_assert_error (error, VV_ERROR_FAILED, NIC ": no VFIO driver could be bound, *");
}

/* A device in use is not reported as a refusal by the policy, even if the policy is strict. */
static void
test_in_use_is_no_refusal_of_the_policy (void)
{
  g_autoptr (Fixture) f = fixture_under ("fallback='none'");
  g_autoptr (GError) error = NULL;

  put_on (f, "vfio-pci", "vfio-pci");
  if (!fake_add_process (f->k, "812", "qemu-system-x86", "240:" NIC_GROUP))
    return;
  g_assert_null (place (f, &error));
  fake_assert_error (error, VV_ERROR_REFUSED, NIC ": IOMMU group 41 is in use by qemu-system-x86 (pid 812)*");
}

static void
test_a_dry_run_asks_nobody (void)
{
  g_autoptr (Fixture) f = fixture_under ("migratable='require'");
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvBinding) b = open_nic_as (f, TRUE);
  g_autoptr (VvChoice) choice = choose (f, b);
  g_autoptr (GError) error = NULL;

  vv_attach (b, choice, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (fake_migration_asked (), ==, "");
  fake_assert_unchanged (f->k, before);
}

/* A device on the vendor's own VFIO driver stays there, and must support migration if required. */
static void
test_a_vendors_own_driver (void)
{
  static const char *const answers[] = {"vendor-vfio=yes", "vendor-vfio=no"};

  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++) {
    g_autoptr (Fixture) f = fixture_under ("migratable='require'");
    g_autoptr (GError) error = NULL;
    fake_add_driver (f->k, "vendor-vfio", "vendor_vfio", NULL, TRUE);
    fake_register (f->k, "vendor-vfio");
    put_on (f, "vendor-vfio", "(null)");
    fake_migration (answers[i]);
    g_autoptr (VvChange) change = place (f, &error);
    g_assert_cmpint (change != NULL, ==, i == 0);
    if (i)
      g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
    fake_assert_device (f->k, NIC, "vendor-vfio", NULL);
    assert_no_entry (f);
  }
}

/* A probe may take 30 seconds: it is not repeated if the next driver cannot migrate. */
static void
test_what_failed_is_not_tried_again (void)
{
  g_autoptr (Fixture) f = fixture_under ("migratable='require'");
  g_autoptr (GError) error = NULL;

  fake_driver (f->k, "special-vfio")->probe_errno = ENODEV;
  fake_migration ("mlx5_vfio_pci=no");
  g_assert_null (place (f, &error));
  fake_assert_error (error, VV_ERROR_POLICY,
                     NIC ": no usable VFIO driver: *special_vfio_pci (failed at bind: *No such device); "
                         "mlx5_vfio_pci (" NIC ": mlx5_vfio_pci does not support migration)");
  fake_assert_logged (NIC ": detach: mlx5_core -> mlx5_vfio_pci: *special_vfio_pci failed at bind*");
  fake_assert_logged (NIC ": reattach: mlx5_vfio_pci -> mlx5_core: *");
}

/* --- migration queries --- */

static void
test_answers_are_recorded (void)
{
  static const struct {
    const char *answers;
    VvMigratability known;
    const char *problem;
  } cases[] = {
      {"mlx5_vfio_pci=yes", VV_MIGRATION_YES, NULL},
      {"mlx5_vfio_pci=no", VV_MIGRATION_NO, NIC ": mlx5_vfio_pci does not support migration"},
      {"", VV_MIGRATION_UNKNOWN, NIC ": it does not answer"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    put_on (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
    g_autoptr (VvPciDevice) device = vv_pci_device_open (f->s->host, NIC, NULL);
    fake_migration (cases[i].answers);
    g_assert_cmpint (vv_attach_can_migrate (f->s, device, NULL, &error), ==, !cases[i].problem);
    if (cases[i].problem)
      fake_assert_error (error, *cases[i].answers ? VV_ERROR_POLICY : VV_ERROR_FAILED, cases[i].problem);
    g_assert_cmpint (vv_migration_known (f->s->store, "mlx5_vfio_pci", NIC_MODALIAS, NULL), ==,
                     cases[i].known);
  }
}

static void
test_an_answer_that_cannot_be_recorded_counts (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  put_on (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
  g_autoptr (VvPciDevice) device = vv_pci_device_open (f->s->host, NIC, NULL);
  fake_migration ("mlx5_vfio_pci=yes");
  f->k->journal_full = TRUE;
  g_assert_true (vv_attach_can_migrate (f->s, device, NULL, NULL));
  fake_assert_logged ("*migration-mlx5_vfio_pci-*: write: No space left on device");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/attach/choice/what-vfio-pci-refuses", test_refused_devices);
  g_test_add_func ("/attach/choose/nothing-is-said", test_nothing_is_said);
  g_test_add_func ("/attach/choose/a-request-is-narrowed", test_a_request_is_narrowed);
  g_test_add_func ("/attach/choose/notes-count", test_notes_count);
  g_test_add_func ("/attach/choose/takes-what-is-listed", test_takes_what_is_listed);
  g_test_add_func ("/attach/choose/host-driver", test_host_driver);
  g_test_add_func ("/attach/choose/malformed-modalias", test_malformed_modalias);
  g_test_add_func ("/attach/check/what-can-be-had", test_checks);
  g_test_add_func ("/attach/check/nothing-is-offered", test_check_of_nothing_offered);
  g_test_add_func ("/attach/place/gets", test_places);
  g_test_add_func ("/attach/place/refused-and-back", test_refused_and_back);
  g_test_add_func ("/attach/place/refused-and-back-on-vfio", test_refused_and_back_on_vfio);
  g_test_add_func ("/attach/place/refused-and-no-way-back", test_refused_and_no_way_back);
  g_test_add_func ("/attach/place/a-process-dies-at-a-refusal", test_a_process_dies_at_a_refusal);
  g_test_add_func ("/attach/place/failure-is-no-refusal", test_failure_is_no_refusal);
  g_test_add_func ("/attach/place/in-use-is-no-refusal-of-the-policy",
                   test_in_use_is_no_refusal_of_the_policy);
  g_test_add_func ("/attach/place/a-dry-run-asks-nobody", test_a_dry_run_asks_nobody);
  g_test_add_func ("/attach/place/a-vendors-own-driver", test_a_vendors_own_driver);
  g_test_add_func ("/attach/place/what-failed-is-not-tried-again", test_what_failed_is_not_tried_again);
  g_test_add_func ("/attach/ask/answers-are-recorded", test_answers_are_recorded);
  g_test_add_func ("/attach/ask/an-answer-that-cannot-be-recorded-counts",
                   test_an_answer_that_cannot_be_recorded_counts);
  return g_test_run ();
}
