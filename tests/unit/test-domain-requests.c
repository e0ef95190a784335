/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of requests in domain XML: options in its metadata, and <driver model='...'/>.
 */
#include "domain-fixture.h"

#include <errno.h>

/* --- requested options --- */

static const struct {
  const char *says, *options, *drivers;
  VvFallback fallback;
  VvMigratable migratable;
  const char *gets, *said; /* NULL: the request is fully granted */
} granted[] = {
    {"one that is allowed", "driver='special_vfio_pci mlx5_vfio_pci generic'", "mlx5_vfio_pci", 0, 0,
     "mlx5_vfio_pci", NULL},
    {"a candidate where none is listed", "host-use='warn'", "mlx5_vfio_pci", VV_FALLBACK_NONE, 0,
     "mlx5_vfio_pci", NULL},
    {"one that is not allowed", "driver='special_vfio_pci' fallback='generic'", "mlx5_vfio_pci", 0, 0,
     "special-vfio", "domain vm1 requests mlx5_vfio_pci, which policy /p.xml:2 does not allow"},
    {"laxer than the policy", "fallback='none'", NULL, VV_FALLBACK_NEXT, 0, "special-vfio",
     "domain vm1 requests fallback='next', but policy /p.xml:2 says 'none'"},
};

static void
test_requests (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (granted); i++) {
    g_test_message ("%s", granted[i].says);
    g_autoptr (Fixture) f = domain_under (granted[i].options);
    g_autofree char *line = g_strdup_printf (NIC ": %s", granted[i].said);
    requests (f, granted[i].drivers, granted[i].fallback, granted[i].migratable);
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

/* Adds modules without an alias for the device, and modules blacklisted in modprobe.d. Their "install" lines
 * show whether modprobe loads them. */
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
  g_autofree char *line = g_strdup_printf (NIC ": domain vm1 requests %s, %s", asks, why);

  fake_assert_logged (line);
}

/* Domain XML cannot make root load a module that is not a candidate. */
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
        domain_under_with (ungranted[i % G_N_ELEMENTS (ungranted)].options, "managed='yes'", driver);
    g_autofree char *loaded = forbid_modules (f);
    if (!by_model)
      requests (f, asks, 0, 0);
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

/* A domain that requests only such a driver, and no fallback, does not start. */
static void
test_what_is_asked_strictly_is_refused (void)
{
  static const Operation operations[] = {vv_domain_foresee, vv_domain_prepare};

  for (guint i = 0; i < 4; i++) {
    g_autoptr (Fixture) f =
        domain_under_with ("host-use='warn'", "managed='yes'", i % 2 ? "<driver model='evil_mod'/>" : "");
    g_autofree char *loaded = forbid_modules (f);
    requests (f, i % 2 ? NULL : "evil_mod", VV_FALLBACK_NONE, 0);
    g_autoptr (GError) refusal = NULL;
    g_assert_false (operations[i / 2](f->s, f->domain, &refusal));
    fake_assert_error (refusal, VV_ERROR_POLICY,
                       NIC ": no usable VFIO driver: domain vm1 requests evil_mod, which no alias offers for "
                           "the device; *special_vfio_pci (*domain vm1 does not allow it)*");
    assert_said ("evil_mod", "which no alias offers for the device");
    fake_assert_logged ("domain vm1, *no usable VFIO driver*");
    assert_untouched (f, "mlx5_core", NULL);
    g_assert_false (g_file_test (loaded, G_FILE_TEST_EXISTS));
  }
}

/* The hook needs to know whether a rule is strict when its worker fails. */
static void
test_strict_rules (void)
{
  static const struct {
    const char *options, *hostdev;
    VvFallback request;
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
    g_autoptr (Fixture) f = domain_under_with (cases[i].options, cases[i].hostdev, "");
    if (cases[i].request)
      requests (f, NULL, cases[i].request, 0);
    g_autofree char *at_prepare = vv_domain_strict_rule (f->s, f->domain, TRUE);
    g_autofree char *later = vv_domain_strict_rule (f->s, f->domain, FALSE);
    g_assert_cmpint (at_prepare != NULL, ==, cases[i].at_prepare);
    g_assert_cmpint (later != NULL, ==, cases[i].later);
    if (at_prepare)
      fake_assert_matches (at_prepare,
                           NIC ": cannot determine whether it meets the requirements of policy /p.xml:2*");
  }
}

static void
test_a_request_alone_is_strict (void)
{
  g_autoptr (Fixture) f = domain_fixture ();
  g_autofree char *none = vv_domain_strict_rule (f->s, f->domain, TRUE);

  requests (f, NULL, VV_FALLBACK_NONE, VV_MIGRATABLE_UNSET);
  g_autofree char *some = vv_domain_strict_rule (f->s, f->domain, TRUE);
  g_assert_null (none);
  g_assert_cmpstr (some, ==, NIC ": cannot determine whether it meets the requirements of domain vm1");
}

/* A request is as strict as a rule, and the error names it if it causes the refusal. */
static void
test_a_request_refuses (void)
{
  g_autoptr (Fixture) f = domain_fixture ();

  requests (f, "special-vfio", VV_FALLBACK_NONE, VV_MIGRATABLE_UNSET);
  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  fake_register (f->k, "special-vfio"); /* prepare finds it registered */
  assert_goes_on (f, vv_domain_prepare);
  libvirt_detaches_to (f, "vfio-pci");
  assert_refused (f, vv_domain_start, "start",
                  "domain vm1 allows no other driver: " NIC ": no VFIO driver *");

  requests (f, NULL, VV_FALLBACK_UNSET, VV_MIGRATABLE_REQUIRE);
  note_answer (f, "special-vfio", FALSE);
  note_answer (f, "mlx5_vfio_pci", FALSE);
  fake_register (f->k, "mlx5_vfio_pci");
  assert_refused (f, vv_domain_foresee, "incoming migration or restore",
                  NIC ": no usable VFIO driver: special_vfio_pci (it cannot migrate, which domain vm1 "
                      "requires: it does not support migration); *");
}

/* A refused request is logged once per hook operation, even if the operation has two steps. */
static void
test_a_refused_request_is_said_once (void)
{
  g_autoptr (Fixture) f = domain_under_with ("driver='generic' unmanaged='manage'", "managed='no'", "");

  requests (f, "special-vfio", VV_FALLBACK_UNSET, VV_MIGRATABLE_UNSET);
  assert_goes_on (f, vv_domain_prepare);
  fake_assert_logged (NIC ": domain vm1 requests special-vfio, which policy /p.xml:2 does not allow");
  logged_move ("mlx5_core", "vfio-pci");
  fake_assert_log_empty ();
}

/* --- <driver model='...'/> --- */

static const struct {
  const char *says, *options, *model;
  const char *gets, *said; /* @said: NULL: the model was granted */
} models[] = {
    {"without a policy", NULL, "mlx5_vfio_pci", "mlx5_vfio_pci", NULL},
    {"the generic one, without a policy", NULL, "vfio-pci", "vfio-pci", NULL},
    {"without a rule for drivers", "host-use='warn'", "mlx5_vfio_pci", "mlx5_vfio_pci", NULL},
    {"one of those that are listed", "driver='special_vfio_pci mlx5_vfio_pci'", "mlx5_vfio_pci",
     "mlx5_vfio_pci", NULL},
    {"the generic one", "driver='special_vfio_pci generic'", "vfio-pci", "vfio-pci", NULL},
    {"one that is not", "driver='special_vfio_pci'", "mlx5_vfio_pci", "special-vfio",
     "domain vm1 requests mlx5_vfio_pci, which policy /p.xml:2 does not allow"},
};

static void
test_models (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (models); i++) {
    g_test_message ("%s", models[i].says);
    g_autofree char *driver = g_strdup_printf ("<driver name='vfio' model='%s'/>", models[i].model);
    g_autofree char *line = g_strdup_printf (NIC ": %s", models[i].said);
    g_autoptr (Fixture) f = models[i].options ? domain_under_with (models[i].options, "managed='yes'", driver)
                                              : domain_fixture_with ("managed='yes'", driver);
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

/* The model excludes other drivers, even if another part of the request is refused. */
static void
test_a_model_admits_no_other (void)
{
  g_autoptr (Fixture) f =
      domain_under_with ("fallback='generic'", "managed='yes'", "<driver model='mlx5_vfio_pci'/>");

  requests (f, NULL, VV_FALLBACK_NEXT, VV_MIGRATABLE_UNSET);
  fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = EINVAL;
  fake_register (f->k, "mlx5_vfio_pci");
  libvirt_detaches_to (f, "special-vfio");
  assert_goes_on (f, vv_domain_start);
  fake_assert_logged (NIC ": domain vm1 requests fallback='next', but policy /p.xml:2 says 'generic'");
  fake_assert_logged ("domain vm1, start: " NIC ": no VFIO driver could be bound, returned to "
                      "special-vfio: mlx5_vfio_pci failed at bind (*)");
}

/* A requested model does not bypass the policy's requirements. */
static void
test_a_model_that_must_migrate (void)
{
  g_autoptr (Fixture) f =
      domain_under_with ("migratable='require'", "managed='yes'", "<driver model='vfio-pci'/>");
  static const char problem[] =
      NIC ": no usable VFIO driver: *vfio_pci (it cannot migrate, which policy /p.xml:2 with domain vm1 "
          "requires: it *)*";

  assert_refused (f, vv_domain_foresee, "incoming migration or restore", problem);
  assert_refused (f, vv_domain_prepare, "prepare", problem);
  assert_untouched (f, "mlx5_core", NULL);
}

static void
test_a_model_that_is_none (void)
{
  static const struct {
    const char *options, *model, *shown;
  } cases[] = {{NULL, "../evil", "../evil"}, {"driver='special-vfio'", "a&#10;b/c", "a\\nb/c"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *driver = g_strdup_printf ("<driver model='%s'/>", cases[i].model);
    g_autofree char *at_prepare =
        g_strdup_printf ("domain vm1, prepare: '%s' is not a valid driver name", cases[i].shown);
    g_autofree char *at_start =
        g_strdup_printf ("domain vm1, start: '%s' is not a valid driver name", cases[i].shown);
    g_autoptr (Fixture) f = cases[i].options ? domain_under_with (cases[i].options, "managed='yes'", driver)
                                             : domain_fixture_with ("managed='yes'", driver);
    assert_goes_on (f, vv_domain_prepare);
    fake_assert_logged (at_prepare);
    libvirt_detaches_to (f, "vfio-pci");
    assert_goes_on (f, vv_domain_start);
    fake_assert_logged (at_start);
    fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  }
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/domain-requests/requests/no-candidate", test_what_is_no_candidate_is_not_granted);
  g_test_add_func ("/domain-requests/requests/no-candidate-strictly", test_what_is_asked_strictly_is_refused);
  g_test_add_func ("/domain-requests/request/granted-or-said", test_requests);
  g_test_add_func ("/domain-requests/what-is-strict", test_strict_rules);
  g_test_add_func ("/domain-requests/a-request-alone-is-strict", test_a_request_alone_is_strict);
  g_test_add_func ("/domain-requests/request/refuses", test_a_request_refuses);
  g_test_add_func ("/domain-requests/request/refused-is-said-once", test_a_refused_request_is_said_once);
  g_test_add_func ("/domain-requests/model/within-and-outside", test_models);
  g_test_add_func ("/domain-requests/model/admits-no-other", test_a_model_admits_no_other);
  g_test_add_func ("/domain-requests/model/that-must-migrate", test_a_model_that_must_migrate);
  g_test_add_func ("/domain-requests/model/that-is-none", test_a_model_that_is_none);
  return g_test_run ();
}
