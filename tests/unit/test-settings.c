/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of settings: command line options override the policy, and the policy overrides the defaults.
 */
#include "service.h"

#include <string.h>

#include "fake-kernel.h"
#include "policy-xml.h"

static VvPolicy *
policy_of (const char *settings)
{
  g_autofree char *text = g_strconcat ("<vfio-variant>", settings, "</vfio-variant>", NULL);
  g_autoptr (GError) error = NULL;
  VvPolicy *policy = vv_policy_new ();

  vv_policy_add_text (policy, "/p.xml", text, strlen (text), &error);
  g_assert_no_error (error);
  return policy;
}

static const struct {
  const char *says, *policy;
  const char *executables; /* of the options, separated by spaces; NULL: not set */
  guint deadline_ms;
  gboolean no_gate;
  const char *gets; /* executables, deadline, gate */
} cases[] = {
    {"nothing is said", "", NULL, 0, FALSE, "libvirtd virtqemud virtchd, 30000, on"},
    {"the policy says all",
     "<gate enabled='yes' deadline='7'><serve executable='my-libvirt'/><serve executable='other'/></gate>",
     NULL, 0, FALSE, "my-libvirt other, 7000, on"},
    {"the options say all", "<gate enabled='yes' deadline='7'><serve executable='my-libvirt'/></gate>",
     "libvirtd", 250, FALSE, "libvirtd, 250, on"},
    {"the options alone", "", "one two", 3600000, FALSE, "one two, 3600000, on"},
    {"the policy turns the gate off", "<gate enabled='no'/>", NULL, 0, FALSE,
     "libvirtd virtqemud virtchd, 30000, turned off by the policy; 'vfio-variant policy' shows where"},
    {"an option turns the gate off", "", NULL, 0, TRUE,
     "libvirtd virtqemud virtchd, 30000, turned off by --no-gate"},
    {"the policy does not turn it on again", "<gate enabled='yes'/>", NULL, 0, TRUE,
     "libvirtd virtqemud virtchd, 30000, turned off by --no-gate"},
    {"both turn it off", "<gate enabled='no' deadline='3600'/>", NULL, 0, TRUE,
     "libvirtd virtqemud virtchd, 3600000, turned off by --no-gate"},
};

static void
assert_settings (const VvSettings *s, const char *expected)
{
  g_autofree char *executables = g_strjoinv (" ", s->executables);
  g_autofree char *text =
      g_strdup_printf ("%s, %u, %s", executables, s->deadline_ms, s->gate_off ? s->gate_off : "on");

  g_assert_cmpstr (text, ==, expected);
}

static void
test_what_is_said_first_counts (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (VvPolicy) policy = policy_of (cases[i].policy);
    g_auto (GStrv) executables = cases[i].executables ? g_strsplit (cases[i].executables, " ", -1) : NULL;
    const VvServiceOptions options = {
        .executables = executables, .deadline_ms = cases[i].deadline_ms, .no_gate = cases[i].no_gate};
    g_autoptr (VvSettings) s = vv_settings_new (&options, policy);
    assert_settings (s, cases[i].gets);
  }
}

/* The settings remain valid after the policy is freed. */
static void
test_settings_stand_alone (void)
{
  VvPolicy *policy = policy_of ("<gate><serve executable='my-libvirt'/></gate>");
  const VvServiceOptions options = {0};
  g_autoptr (VvSettings) s = vv_settings_new (&options, policy);

  vv_policy_free (policy);
  assert_settings (s, "my-libvirt, 30000, on");
  vv_settings_free (NULL);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/settings/what-is-said-first-counts", test_what_is_said_first_counts);
  g_test_add_func ("/settings/stand-alone", test_settings_stand_alone);
  return g_test_run ();
}
