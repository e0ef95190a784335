/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of policy: the rules that match a device, their options, the effect of a domain's request, and the
 * remaining candidates.
 */
#include "policy.h"

#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "policy-xml.h"

#define ALL "special_vfio_pci mlx5_vfio_pci vfio_pci"

/* --- helpers --- */

static VvPolicy *
policy_of (const char *rules)
{
  g_autofree char *text = g_strconcat ("<vfio-variant>\n", rules, "</vfio-variant>", NULL);
  g_autoptr (GError) error = NULL;
  VvPolicy *policy = vv_policy_new ();

  vv_policy_add_text (policy, "/p.xml", text, strlen (text), &error);
  g_assert_no_error (error);
  return policy;
}

/* A virtual function like NIC, without sysfs */
static VvPciDevice *
device_new (void)
{
  VvPciDevice *device = g_new0 (VvPciDevice, 1);

  device->address = g_strdup (NIC);
  device->modalias = g_strdup (NIC_MODALIAS);
  device->iommu_group = g_strdup (NIC_GROUP);
  device->physfn = g_strdup ("0000:3b:00.0");
  return device;
}

static void
decide_on (VvChoice *choice, const char *rules)
{
  g_autoptr (VvPolicy) policy = policy_of (rules);
  g_autoptr (VvPciDevice) device = device_new ();

  vv_choice_decide (choice, policy, device, "mlx5_core");
}

static VvChoice *
decide (const char *rules)
{
  VvChoice *choice = vv_choice_new (NULL);

  decide_on (choice, rules);
  return choice;
}

/* --- options --- */

static void
test_terms_are_spelled (void)
{
  static const struct {
    VvOption option;
    int value;
    const char *name, *text;
  } cases[] = {
      {VV_OPTION_FALLBACK, VV_FALLBACK_NEXT, "fallback", "next"},
      {VV_OPTION_FALLBACK, VV_FALLBACK_GENERIC, "fallback", "generic"},
      {VV_OPTION_FALLBACK, VV_FALLBACK_NONE, "fallback", "none"},
      {VV_OPTION_MIGRATABLE, VV_MIGRATABLE_IGNORE, "migratable", "ignore"},
      {VV_OPTION_MIGRATABLE, VV_MIGRATABLE_PREFER, "migratable", "prefer"},
      {VV_OPTION_MIGRATABLE, VV_MIGRATABLE_REQUIRE, "migratable", "require"},
      {VV_OPTION_UNMANAGED, VV_UNMANAGED_IGNORE, "unmanaged", "ignore"},
      {VV_OPTION_UNMANAGED, VV_UNMANAGED_MANAGE, "unmanaged", "manage"},
      {VV_OPTION_HOST_USE, VV_HOST_USE_REFUSE, "host-use", "refuse"},
      {VV_OPTION_HOST_USE, VV_HOST_USE_WARN, "host-use", "warn"},
      {VV_OPTION_AT_BOOT, VV_AT_BOOT_NO, "at-boot", "no"},
      {VV_OPTION_AT_BOOT, VV_AT_BOOT_YES, "at-boot", "yes"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_assert_cmpstr (vv_option_name (cases[i].option), ==, cases[i].name);
    g_assert_cmpstr (vv_option_value (cases[i].option, cases[i].value), ==, cases[i].text);
    g_assert_cmpint (vv_option_parse (cases[i].option, cases[i].text), ==, cases[i].value);
  }
}

static void
test_terms_that_are_none (void)
{
  static const char *const none[] = {"", "Next", "next ", "manage", NULL};

  for (int option = 0; option < VV_OPTIONS; option++) {
    g_assert_cmpstr (vv_option_value (option, 0), ==, "");
    g_assert_cmpstr (vv_option_value (option, -1), ==, "");
    g_assert_cmpstr (vv_option_value (option, 4), ==, "");
  }
  g_assert_cmpstr (vv_option_value (VV_OPTION_HOST_USE, 3), ==, "");
  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    g_assert_cmpint (vv_option_parse (VV_OPTION_FALLBACK, none[i]), ==, 0);
}

/* --- matching rules --- */

static const struct {
  const char *match;
  gboolean matches;
} matches[] = {
    {"address='0000:3b:00.1'", TRUE},
    {"address='3b:00.1'", TRUE},
    {"address='3B:00.*'", TRUE},
    {"address='0000:3b:00.[12]'", TRUE},
    {"address='*'", TRUE},
    {"address='0000:3b:00.2'", FALSE},
    {"address='0001:3b:00.1'", FALSE},
    {"vendor='0x15b3'", TRUE},
    {"vendor='0x15B3'", TRUE},
    {"vendor='0x8086'", FALSE},
    {"product='0x101e'", TRUE},
    {"product='0x101f'", FALSE},
    {"subsystem-vendor='0x15b3'", TRUE},
    {"subsystem-vendor='0x0000'", FALSE},
    {"subsystem-product='0x0058'", TRUE},
    {"subsystem-product='0x0059'", FALSE},
    {"class='0x02'", TRUE},
    {"class='0x0200'", TRUE},
    {"class='0x020000'", TRUE},
    {"class='0x0280'", FALSE},
    {"class='0x01'", FALSE},
    {"physical-function='0000:3b:00.0'", TRUE},
    {"physical-function='3b:00.*'", TRUE},
    {"physical-function='3b:00.1'", FALSE},
    {"host-driver='mlx5_core'", TRUE},
    {"host-driver='mlx*'", TRUE},
    {"host-driver='e1000e'", FALSE},
    {"modalias='pci:v000015B3d*'", TRUE},
    {"modalias='*bc02*'", TRUE},
    {"modalias='pci:v000015b3d*'", FALSE},
    {"iommu-group='41'", TRUE},
    {"iommu-group='4'", FALSE},
    {"vendor='0x15b3' class='0x02' address='3b:*'", TRUE},
    {"vendor='0x15b3' class='0x01' address='3b:*'", FALSE},
    {"vendor='0x15b3' host-driver='e1000e'", FALSE},
};

static void
test_what_a_rule_matches (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (matches); i++) {
    g_test_message ("%s", matches[i].match);
    g_autofree char *rule = g_strdup_printf ("<device %s driver='generic'/>\n", matches[i].match);
    g_autoptr (VvChoice) d = decide (rule);
    g_assert_cmpint (d->file != NULL, ==, matches[i].matches);
    g_assert_cmpstr (d->options.drivers[0], ==, matches[i].matches ? "generic" : "auto");
  }
}

/* A rule does not match if the device's attribute is unknown. */
static void
test_what_is_not_known_does_not_match (void)
{
  static const char *const rules[] = {
      "physical-function='*'", "host-driver='*'", "iommu-group='41'", "vendor='0x15b3'", "class='0x02'",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++) {
    g_test_message ("%s", rules[i]);
    g_autofree char *rule = g_strdup_printf ("<device %s driver='generic'/>\n", rules[i]);
    g_autoptr (VvPolicy) policy = policy_of (rule);
    g_autoptr (VvPciDevice) device = device_new ();
    g_clear_pointer (&device->physfn, g_free);
    g_clear_pointer (&device->iommu_group, g_free);
    g_free (device->modalias);
    device->modalias = g_strdup ("pci:damaged");
    g_autoptr (VvChoice) d = vv_choice_new (NULL);
    vv_choice_decide (d, policy, device, NULL);
    g_assert_null (d->file);
  }
}

static void
assert_rule (const VvChoice *d, const char *expected)
{
  g_autofree char *rule = vv_choice_rule (d);

  g_assert_cmpstr (rule, ==, expected);
}

static void
assert_terms (const VvChoice *d, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *drivers = g_strjoinv (" ", d->options.drivers);

  g_string_append_printf (text, "[%s]", drivers);
  for (int i = 0; i < VV_OPTIONS; i++)
    g_string_append_printf (text, " %s%s", vv_option_value (i, d->options.values[i]), d->said[i] ? "!" : "");
  g_assert_cmpstr (text->str, ==, expected);
}

static const struct {
  const char *says, *rules, *rule, *options;
} decisions[] = {
    {"nothing is said", "", "no rule", "[auto] next ignore ignore  no"},
    {"a rule for others", "<device address='04:00.0' driver='generic'/>\n", "no rule",
     "[auto] next ignore ignore  no"},
    {"a rule with drivers", "<device vendor='0x15b3' driver='mlx5_vfio_pci generic'/>\n", "policy /p.xml:2",
     "[mlx5_vfio_pci generic] next ignore ignore  no"},
    {"a rule that says all",
     "<device vendor='0x15b3' driver='auto' fallback='none' migratable='require' unmanaged='manage' "
     "host-use='refuse' at-boot='yes'/>\n",
     "policy /p.xml:2", "[auto] none! require! manage! refuse! yes!"},
    {"the first rule that matches is the only one",
     "<device address='04:00.0' fallback='none'/>\n<device address='3b:*' fallback='generic'/>\n"
     "<device address='3b:00.1' driver='generic' fallback='none' host-use='warn'/>\n",
     "policy /p.xml:3", "[auto] generic! ignore ignore  no"},
    {"defaults fill what the rule leaves",
     "<default driver='generic' host-use='warn'/>\n<device vendor='0x15b3' fallback='none'/>\n",
     "policy /p.xml:3", "[generic] none! ignore ignore warn! no"},
    {"a default changes nothing that the rule says",
     "<default driver='generic' fallback='generic'/>\n<device vendor='0x15b3' driver='auto' "
     "fallback='none'/>\n",
     "policy /p.xml:3", "[auto] none! ignore ignore  no"},
    {"the first default that says it counts",
     "<default fallback='none'/>\n<default fallback='generic' migratable='prefer'/>\n", "policy /p.xml:2",
     "[auto] none! prefer! ignore  no"},
};

static void
test_decisions (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (decisions); i++) {
    g_test_message ("%s", decisions[i].says);
    g_autoptr (VvChoice) d = decide (decisions[i].rules);
    assert_rule (d, decisions[i].rule);
    assert_terms (d, decisions[i].options);
  }
}

static void
test_at_boot_is_asked_for (void)
{
  static const struct {
    const char *rules;
    gboolean asked;
  } cases[] = {
      {"", FALSE},
      {"<device vendor='0x15b3' fallback='none'/>", FALSE},
      {"<device vendor='0x15b3' at-boot='no'/>", FALSE},
      {"<device vendor='0x15b3' at-boot='no'/><device vendor='0x8086' at-boot='yes'/>", TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (VvPolicy) policy = policy_of (cases[i].rules);
    g_assert_cmpint (vv_policy_has_at_boot (policy), ==, cases[i].asked);
  }
}

static void
test_strictness (void)
{
  static const struct {
    const char *options;
    gboolean strict;
  } cases[] = {
      {"driver='auto'", FALSE},       {"fallback='next'", FALSE},
      {"fallback='generic'", FALSE},  {"fallback='none'", TRUE},
      {"migratable='ignore'", FALSE}, {"migratable='prefer'", FALSE},
      {"migratable='require'", TRUE}, {"host-use='refuse'", FALSE},
      {"unmanaged='manage'", FALSE},  {"fallback='none' migratable='require'", TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].options);
    g_autofree char *rule = g_strdup_printf ("<default %s/>", cases[i].options);
    g_autoptr (VvChoice) d = decide (rule);
    g_assert_cmpint (vv_choice_is_strict (d), ==, cases[i].strict);
  }
}

static void
test_allows (void)
{
  static const struct {
    const char *drivers, *driver;
    gboolean allowed;
  } cases[] = {
      {"auto", "anything", TRUE},
      {"mlx5_vfio_pci", "mlx5_vfio_pci", TRUE},
      {"mlx5_vfio_pci", "mlx5-vfio-pci", TRUE},
      {"mlx5-vfio-pci", "mlx5_vfio_pci", TRUE},
      {"mlx5_vfio_pci", "vfio-pci", FALSE},
      {"mlx5_vfio_pci", "mlx5_vfio", FALSE},
      {"mlx5_vfio_pci generic", "vfio-pci", TRUE},
      {"mlx5_vfio_pci generic", "vfio_pci", TRUE},
      {"mlx5_vfio_pci generic", "generic", TRUE},
      {"vfio-pci", "generic", TRUE},
      {"generic", "special-vfio", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s: %s", cases[i].drivers, cases[i].driver);
    g_autofree char *rule = g_strdup_printf ("<default driver='%s'/>", cases[i].drivers);
    g_autoptr (VvChoice) d = decide (rule);
    g_assert_cmpint (vv_choice_allows (d, cases[i].driver), ==, cases[i].allowed);
  }
}

/* --- requests --- */

/* @data: drivers that cannot migrate, separated by spaces */
static const char *
is_listed (const char *driver, gpointer data)
{
  g_auto (GStrv) names = g_strsplit (data, " ", -1);

  return g_strv_contains ((const char *const *)names, driver) ? "is listed" : NULL;
}

/* @drivers: separated by spaces, or NULL */
static VvOptions
request_of (const char *drivers, VvFallback fallback, VvMigratable migratable)
{
  VvOptions request = {.drivers = drivers ? g_strsplit (drivers, " ", -1) : NULL};

  request.values[VV_OPTION_FALLBACK] = fallback;
  request.values[VV_OPTION_MIGRATABLE] = migratable;
  return request;
}

static const struct {
  const char *says, *rules;
  const char *drivers;
  VvFallback fallback;
  VvMigratable migratable;
  const char *options, *refused;
} requests[] = {
    {"nothing is requested", "", NULL, 0, 0, "[auto] next ignore ignore  no", ""},
    {"auto is no request", "<default driver='generic'/>", "auto", 0, 0, "[generic] next ignore ignore  no",
     ""},
    {"candidates where none is listed", "", "mlx5-vfio-pci generic", 0, 0,
     "[mlx5-vfio-pci generic] next ignore ignore  no", ""},
    {"a driver by its own name, not its module's", "", "special-vfio", 0, 0,
     "[special-vfio] next ignore ignore  no", ""},
    {"what no alias offers", "", "my_driver generic", 0, 0, "[generic] next ignore ignore  no",
     "domain d requests my_driver, which no alias offers for the device"},
    {"what no alias offers, and nothing else", "", "my_driver", VV_FALLBACK_GENERIC, 0,
     "[auto] generic ignore ignore  no", "domain d requests my_driver, which no alias offers for the device"},
    {"what no alias offers, strictly", "", "my_driver", VV_FALLBACK_NONE, 0, "[] none ignore ignore  no",
     "domain d requests my_driver, which no alias offers for the device"},
    {"what the policy says auto for", "<default driver='auto'/>", "my_driver", 0, 0,
     "[auto] next ignore ignore  no", "domain d requests my_driver, which no alias offers for the device"},
    {"the policy's own spelling counts", "<default driver='my_driver generic'/>", "my-driver", 0, 0,
     "[my_driver] next ignore ignore  no", ""},
    {"one of those that are listed", "<default driver='a b generic'/>", "b", 0, 0,
     "[b] next ignore ignore  no", ""},
    {"the same in another order", "<default driver='a b generic'/>", "generic b a", 0, 0,
     "[generic b a] next ignore ignore  no", ""},
    {"one that is listed and one that is not", "<default driver='a b'/>", "c b", 0, 0,
     "[b] next ignore ignore  no", "domain d requests c, which policy /p.xml:2 does not allow"},
    {"none that is listed", "<default driver='a b'/>", "c d", 0, 0, "[a b] next ignore ignore  no",
     "domain d requests c, which policy /p.xml:2 does not allow|domain d requests d, which policy /p.xml:2 "
     "does not allow"},
    {"stricter than what is built in", "", NULL, VV_FALLBACK_NONE, VV_MIGRATABLE_REQUIRE,
     "[auto] none require ignore  no", ""},
    {"stricter than the policy", "<default fallback='generic' migratable='prefer'/>", NULL, VV_FALLBACK_NONE,
     VV_MIGRATABLE_REQUIRE, "[auto] none! require! ignore  no", ""},
    {"the same as the policy", "<default fallback='none' migratable='require'/>", NULL, VV_FALLBACK_NONE,
     VV_MIGRATABLE_REQUIRE, "[auto] none! require! ignore  no", ""},
    {"laxer than the policy", "<default fallback='none' migratable='require'/>", NULL, VV_FALLBACK_NEXT,
     VV_MIGRATABLE_IGNORE, "[auto] none! require! ignore  no",
     "domain d requests fallback='next', but policy /p.xml:2 says 'none'|domain d requests "
     "migratable='ignore', but policy /p.xml:2 says 'require'"},
    {"one of them laxer", "<default driver='a b' fallback='generic'/>", "b", VV_FALLBACK_NEXT,
     VV_MIGRATABLE_PREFER, "[b] generic! prefer ignore  no",
     "domain d requests fallback='next', but policy /p.xml:2 says 'generic'"},
};

static void
test_requests (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (requests); i++) {
    g_test_message ("%s", requests[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, "special-vfio"); /* differs from its module's name */
    g_autoptr (VvChoice) d = select_nic (f);
    decide_on (d, requests[i].rules);
    VvOptions request = request_of (requests[i].drivers, requests[i].fallback, requests[i].migratable);
    g_assert_true (vv_choice_narrow (d, f->s->host, &request, "domain d", NULL));
    assert_terms (d, requests[i].options);
    g_ptr_array_add (d->refused, NULL);
    g_autofree char *text = g_strjoinv ("|", (char **)d->refused->pdata);
    g_assert_cmpstr (text, ==, requests[i].refused);
    vv_options_clear (&request);
    g_assert_null (request.drivers);
    g_assert_cmpint (request.values[VV_OPTION_FALLBACK], ==, 0);
  }
}

/* The error for a refused device names the rule or the domain that causes the refusal. */
static void
test_a_request_has_its_part (void)
{
  static const struct {
    const char *rules;
    VvMigratable wanted;
    const char *rule;
  } cases[] = {
      {"", VV_MIGRATABLE_REQUIRE, "domain d"},
      {"", VV_MIGRATABLE_IGNORE, "no rule"},
      {"<default migratable='prefer'/>", VV_MIGRATABLE_REQUIRE, "policy /p.xml:2 with domain d"},
      {"<default migratable='prefer'/>", VV_MIGRATABLE_PREFER, "policy /p.xml:2"},
      {"<default migratable='prefer'/>", VV_MIGRATABLE_IGNORE, "policy /p.xml:2"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (VvChoice) d = select_nic (f);
    decide_on (d, cases[i].rules);
    VvOptions request = request_of (NULL, VV_FALLBACK_UNSET, cases[i].wanted);
    g_assert_true (vv_choice_narrow (d, f->s->host, &request, "domain d", NULL));
    vv_choice_apply (d, f->s->host, is_listed, (gpointer) "vfio-pci");
    assert_rule (d, cases[i].rule);
  }
}

/* Options that are reserved to the administrator are ignored in a request. */
static void
test_a_request_never_speaks_for_the_host (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvChoice) d = select_nic (f);
  decide_on (d, "<default host-use='refuse'/>");
  VvOptions request = {0};

  request.values[VV_OPTION_HOST_USE] = VV_HOST_USE_WARN;
  request.values[VV_OPTION_UNMANAGED] = VV_UNMANAGED_MANAGE;
  g_assert_true (vv_choice_narrow (d, f->s->host, &request, "domain d", NULL));
  assert_terms (d, "[auto] next ignore ignore refuse! no");
}

/* --- candidates --- */

static void
assert_candidates (const VvChoice *choice, const char *expected)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < choice->candidates->len; i++)
    g_ptr_array_add (names, ((VvCandidate *)choice->candidates->pdata[i])->module);
  fake_assert_names (names, expected);
}

static void
assert_excluded (const VvChoice *choice, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < choice->excluded->len; i++) {
    const VvCandidate *c = choice->excluded->pdata[i];
    g_string_append_printf (text, "%s%s: %s", i ? "; " : "", c->module, c->excluded);
  }
  g_assert_cmpstr (text->str, ==, expected);
}

#define NOT_TAKEN "policy /p.xml:2 does not allow it"
#define CANNOT "it cannot migrate, which policy /p.xml:2 requires: it is listed"

static const struct {
  const char *says, *options, *cannot;
  const char *candidates, *excluded;
} lists[] = {
    {"as it is", "host-use='warn'", "vfio-pci", ALL, ""},
    {"the best and no other", "fallback='none'", "", "special_vfio_pci",
     "mlx5_vfio_pci: " NOT_TAKEN "; vfio_pci: " NOT_TAKEN},
    {"the best, else the generic one", "fallback='generic'", "", "special_vfio_pci vfio_pci",
     "mlx5_vfio_pci: " NOT_TAKEN},
    {"one by its module's name, then the others", "driver='mlx5_vfio_pci'", "",
     "mlx5_vfio_pci special_vfio_pci vfio_pci", ""},
    {"one by its driver's name", "driver='special-vfio' fallback='none'", "", "special_vfio_pci",
     "mlx5_vfio_pci: " NOT_TAKEN "; vfio_pci: " NOT_TAKEN},
    {"one spelled otherwise", "driver='mlx5-vfio-pci' fallback='none'", "", "mlx5_vfio_pci",
     "special_vfio_pci: " NOT_TAKEN "; vfio_pci: " NOT_TAKEN},
    {"one, else the generic one", "driver='mlx5_vfio_pci' fallback='generic'", "", "mlx5_vfio_pci vfio_pci",
     "special_vfio_pci: " NOT_TAKEN},
    {"the generic one first", "driver='generic'", "", "vfio_pci special_vfio_pci mlx5_vfio_pci", ""},
    {"the generic one, else the generic one", "driver='generic' fallback='generic'", "", "vfio_pci",
     "special_vfio_pci: " NOT_TAKEN "; mlx5_vfio_pci: " NOT_TAKEN},
    {"two in another order", "driver='mlx5_vfio_pci special-vfio' fallback='none'", "",
     "mlx5_vfio_pci special_vfio_pci", "vfio_pci: " NOT_TAKEN},
    {"one by all its names", "driver='special-vfio special_vfio_pci special_vfio-pci' fallback='none'", "",
     "special_vfio_pci", "mlx5_vfio_pci: " NOT_TAKEN "; vfio_pci: " NOT_TAKEN},
    {"one that no alias names, twice", "driver='my-driver my_driver' fallback='generic'", "",
     "my_driver vfio_pci", "special_vfio_pci: " NOT_TAKEN "; mlx5_vfio_pci: " NOT_TAKEN},
    {"one that no alias names", "driver='my-driver' fallback='generic'", "", "my_driver vfio_pci",
     "special_vfio_pci: " NOT_TAKEN "; mlx5_vfio_pci: " NOT_TAKEN},
    {"who cannot migrate comes last", "migratable='prefer'", "special-vfio",
     "mlx5_vfio_pci vfio_pci special_vfio_pci", ""},
    {"nobody can", "migratable='prefer'", "special-vfio mlx5_vfio_pci vfio-pci", ALL, ""},
    {"the best of those that may, and no other", "migratable='prefer' fallback='none'",
     "special-vfio vfio-pci", "mlx5_vfio_pci", "special_vfio_pci: " NOT_TAKEN "; vfio_pci: " NOT_TAKEN},
    {"who cannot migrate is out", "migratable='require'", "special-vfio vfio-pci", "mlx5_vfio_pci",
     "special_vfio_pci: " CANNOT "; vfio_pci: " CANNOT},
    {"who was not chosen is looked at, too", "driver='mlx5_vfio_pci' migratable='require'", "vfio-pci",
     "mlx5_vfio_pci special_vfio_pci", "vfio_pci: " CANNOT},
    {"the one that was chosen cannot", "driver='mlx5_vfio_pci' migratable='require' fallback='none'",
     "mlx5_vfio_pci vfio-pci", "",
     "mlx5_vfio_pci: " CANNOT "; vfio_pci: " CANNOT "; special_vfio_pci: " NOT_TAKEN},
    {"nobody can, and one must", "migratable='require'", "special-vfio mlx5_vfio_pci vfio-pci", "",
     "special_vfio_pci: " CANNOT "; mlx5_vfio_pci: " CANNOT "; vfio_pci: " CANNOT},
    {"the generic fallback cannot migrate either", "migratable='require' fallback='generic'",
     "special-vfio vfio-pci", "mlx5_vfio_pci", "special_vfio_pci: " CANNOT "; vfio_pci: " CANNOT},
};

static void
test_lists (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++) {
    g_test_message ("%s", lists[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, "special-vfio"); /* differs from its module's name */
    g_autoptr (VvChoice) d = select_nic (f);
    g_autofree char *rule = g_strdup_printf ("<device vendor='0x15b3' %s/>", lists[i].options);
    decide_on (d, rule);
    vv_choice_apply (d, f->s->host, is_listed, (gpointer)lists[i].cannot);
    assert_candidates (d, lists[i].candidates);
    assert_excluded (d, lists[i].excluded);
    assert_rule (d, "policy /p.xml:2");
  }
}

static void
test_no_rule_changes_nothing (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvChoice) d = select_nic (f);
  decide_on (d, "");

  vv_choice_apply (d, f->s->host, is_listed, (gpointer) "vfio-pci");
  assert_candidates (d, ALL);
  g_assert_cmpuint (d->excluded->len, ==, 0);
  assert_rule (d, "no rule");
}

/* A rule that names a blacklisted module allows it; otherwise, the module is excluded. */
static void
test_blacklisted_and_listed (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_write (f->k, "etc/modprobe.d/a.conf", "blacklist mlx5_vfio_pci\nblacklist vfio_pci\n");
  g_assert_true (vv_context_reload (f->s, NULL));
  g_autoptr (VvChoice) d = select_nic (f);
  decide_on (d, "<default driver='mlx5_vfio_pci generic' fallback='none'/>");
  vv_choice_apply (d, f->s->host, is_listed, (gpointer) "");
  assert_candidates (d, "mlx5_vfio_pci vfio_pci");
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (((VvCandidate *)d->candidates->pdata[i])->source, ==, VV_SOURCE_FORCED);
}

/* --- files --- */

static void
test_broken_files_are_warned_of (void)
{
  g_autoptr (FakeKernel) k = fake_standard ();
  g_autoptr (VvPolicy) policy = vv_policy_new ();

  vv_policy_warn (policy);
  vv_policy_add_file (policy, "/a.xml", NULL);
  vv_policy_add_file (policy, "/b.xml", "/b.xml: it is broken");
  vv_policy_add_file (policy, "/c.xml", "/c.xml: so is it");
  vv_policy_warn (policy);
  fake_assert_logged ("policy: /b.xml: it is broken");
  fake_assert_logged ("policy: /c.xml: so is it");
  fake_assert_log_empty ();
}

static void
test_nothing_can_be_freed (void)
{
  vv_rule_free (NULL);
  vv_policy_free (NULL);
  vv_choice_free (NULL);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/policy/options/are-spelled", test_terms_are_spelled);
  g_test_add_func ("/policy/options/that-are-none", test_terms_that_are_none);
  g_test_add_func ("/policy/rule/what-it-matches", test_what_a_rule_matches);
  g_test_add_func ("/policy/rule/what-is-not-known-does-not-match", test_what_is_not_known_does_not_match);
  g_test_add_func ("/policy/decision/who-decides-what", test_decisions);
  g_test_add_func ("/policy/at-boot", test_at_boot_is_asked_for);
  g_test_add_func ("/policy/decision/strictness", test_strictness);
  g_test_add_func ("/policy/decision/allows", test_allows);
  g_test_add_func ("/policy/request/narrows", test_requests);
  g_test_add_func ("/policy/request/has-its-part", test_a_request_has_its_part);
  g_test_add_func ("/policy/request/never-speaks-for-the-host", test_a_request_never_speaks_for_the_host);
  g_test_add_func ("/policy/candidates/lists", test_lists);
  g_test_add_func ("/policy/candidates/no-rule-changes-nothing", test_no_rule_changes_nothing);
  g_test_add_func ("/policy/candidates/blacklisted-and-listed", test_blacklisted_and_listed);
  g_test_add_func ("/policy/files/broken-ones-are-warned-of", test_broken_files_are_warned_of);
  g_test_add_func ("/policy/nothing-can-be-freed", test_nothing_can_be_freed);
  return g_test_run ();
}
