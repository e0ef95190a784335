/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy-text: what goes in comes out, and what is damaged is refused.
 */
#include "policy-text.h"

#include <string.h>

#include "fake-kernel.h"

/* --- random policies --- */

/* What a key file must be careful with, among what is harmless; NULL in half of the cases */
static char *
random_text (void)
{
  static const char *const parts[] = {
      " ", "\t", "\n", "\r", ";", "\\", "=", "[", "]",        "#",
      "",  "a",  "Z",  "0",  ".", "*",  "?", "'", "\xc3\xa4", "\xf0\x9f\x92\xbe"};
  g_autoptr (GString) text = g_string_new (NULL);

  if (g_test_rand_bit ())
    return NULL;
  for (int n = g_test_rand_int_range (0, 6); n > 0; n--)
    g_string_append (text, parts[g_test_rand_int_range (0, G_N_ELEMENTS (parts))]);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
random_name (void)
{
  char *text = random_text ();

  return text ? text : g_strdup ("x");
}

static char **
random_list (void)
{
  int n = g_test_rand_int_range (0, 5);
  char **list = g_test_rand_bit () ? NULL : g_new0 (char *, n + 1);

  for (int i = 0; list && i < n; i++)
    list[i] = random_name ();
  return list;
}

static int
random_id (void)
{
  return g_test_rand_bit () ? -1 : g_test_rand_int_range (0, 0x10000);
}

static VvRule *
random_rule (void)
{
  g_autofree char *file = random_name ();
  VvRule *rule = vv_rule_new (file, (guint)g_test_rand_int_range (0, G_MAXINT));

  rule->address = random_text ();
  rule->physical_function = random_text ();
  rule->native_driver = random_text ();
  rule->modalias = random_text ();
  rule->iommu_group = random_text ();
  rule->class_code = random_text ();
  rule->vendor = random_id ();
  rule->product = random_id ();
  rule->subsystem_vendor = random_id ();
  rule->subsystem_product = random_id ();
  rule->terms.drivers = random_list ();
  rule->terms.values[VV_TERM_FALLBACK] = g_test_rand_int_range (0, 4);
  rule->terms.values[VV_TERM_MIGRATABLE] = g_test_rand_int_range (0, 4);
  rule->terms.values[VV_TERM_UNMANAGED] = g_test_rand_int_range (0, 3);
  rule->terms.values[VV_TERM_HOST_USE] = g_test_rand_int_range (0, 3);
  return rule;
}

static VvPolicy *
random_policy (void)
{
  VvPolicy *p = vv_policy_new ();

  for (int n = g_test_rand_int_range (0, 5); n > 0; n--)
    g_ptr_array_add (p->rules, random_rule ());
  for (int n = g_test_rand_int_range (0, 5); n > 0; n--)
    g_ptr_array_add (p->defaults, random_rule ());
  for (int n = g_test_rand_int_range (0, 5); n > 0; n--) {
    g_autofree char *path = random_name ();
    g_autofree char *problem = random_text ();
    vv_policy_add_file (p, path, problem);
  }
  p->gate = g_test_rand_int_range (0, 3);
  p->deadline_s = (guint)g_test_rand_int_range (0, 3601);
  p->hook_limit_s = (guint)g_test_rand_int_range (0, 3601);
  p->executables = random_list ();
  p->textfile = random_text ();
  return p;
}

/* --- comparing --- */

static void
assert_same_list (char *const *a, char *const *b)
{
  g_assert_true (!a == !b);
  for (; a && *a; a++, b++)
    g_assert_cmpstr (*a, ==, *b);
  g_assert_true (!b || !*b);
}

static void
assert_same_rules (const GPtrArray *one, const GPtrArray *other)
{
  g_assert_cmpuint (one->len, ==, other->len);
  for (guint i = 0; i < one->len; i++) {
    const VvRule *a = one->pdata[i], *b = other->pdata[i];
    g_assert_cmpstr (a->file, ==, b->file);
    g_assert_cmpuint (a->line, ==, b->line);
    g_assert_cmpstr (a->address, ==, b->address);
    g_assert_cmpstr (a->physical_function, ==, b->physical_function);
    g_assert_cmpstr (a->native_driver, ==, b->native_driver);
    g_assert_cmpstr (a->modalias, ==, b->modalias);
    g_assert_cmpstr (a->iommu_group, ==, b->iommu_group);
    g_assert_cmpstr (a->class_code, ==, b->class_code);
    g_assert_cmpint (a->vendor, ==, b->vendor);
    g_assert_cmpint (a->product, ==, b->product);
    g_assert_cmpint (a->subsystem_vendor, ==, b->subsystem_vendor);
    g_assert_cmpint (a->subsystem_product, ==, b->subsystem_product);
    assert_same_list (a->terms.drivers, b->terms.drivers);
    for (int term = 0; term < VV_TERMS; term++)
      g_assert_cmpint (a->terms.values[term], ==, b->terms.values[term]);
  }
}

static void
assert_same (const VvPolicy *a, const VvPolicy *b)
{
  assert_same_rules (a->rules, b->rules);
  assert_same_rules (a->defaults, b->defaults);
  g_assert_cmpuint (a->files->len, ==, b->files->len);
  for (guint i = 0; i < a->files->len; i++) {
    const VvPolicyFile *x = a->files->pdata[i], *y = b->files->pdata[i];
    g_assert_cmpstr (x->path, ==, y->path);
    g_assert_cmpstr (x->problem, ==, y->problem);
  }
  g_assert_cmpint (a->gate, ==, b->gate);
  g_assert_cmpuint (a->deadline_s, ==, b->deadline_s);
  g_assert_cmpuint (a->hook_limit_s, ==, b->hook_limit_s);
  assert_same_list (a->executables, b->executables);
  g_assert_cmpstr (a->textfile, ==, b->textfile);
}

static void
test_round_trip (void)
{
  for (int i = 0; i < 500; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvPolicy) policy = random_policy ();
    g_autofree char *text = vv_policy_to_text (policy);
    g_autoptr (VvPolicy) again = vv_policy_from_text (text, strlen (text), &error);
    g_assert_no_error (error);
    assert_same (policy, again);
  }
}

static void
test_nothing (void)
{
  g_autoptr (VvPolicy) policy = vv_policy_new ();
  g_autofree char *text = vv_policy_to_text (policy);

  g_assert_cmpstr (text, ==, "[policy]\nform=1\nfiles=0\nrules=0\ndefaults=0\n\n[end]\ncomplete=true\n");
}

static void
test_what_is_no_text (void)
{
  g_autoptr (VvPolicy) policy = vv_policy_new ();
  g_autoptr (GError) error = NULL;

  vv_policy_add_file (policy, "/\xff.xml", NULL);
  g_autofree char *text = vv_policy_to_text (policy);
  g_autoptr (VvPolicy) again = vv_policy_from_text (text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (((VvPolicyFile *)again->files->pdata[0])->path, ==, "/\xef\xbf\xbd.xml");
}

#define HEAD "[policy]\nform=1\n"

static void
test_damaged (void)
{
  static const struct {
    const char *text, *where;
  } cases[] = {
      {"", "*: [policy] form"},
      {"garbage", "*: no key file"},
      {HEAD, "*: [end] complete"},
      {HEAD "[end]\ncomplete=false\n", "*: [end] complete"},
      {"[policy]\nform=2\n", "*: [policy] form"},
      {"[policy]\nform=one\n", "*: [policy] form"},
      {HEAD "gate=yes\n", "*: [policy] gate"},
      {HEAD "deadline-s=-1\n", "*: [policy] deadline-s"},
      {HEAD "hook-limit-s=99999999999\n", "*: [policy] hook-limit-s"},
      {HEAD "textfile=\\q\n", "*: [policy] textfile"},
      {HEAD "textfile=\xff\n", "*: [policy] textfile"},
      {HEAD "files=1\n", "*: [file 1] path"},
      {HEAD "files=2000000000\n", "*: [file 1] path"},
      {HEAD "rules=1\n", "*: [rule 1] file"},
      {HEAD "rules=1\n[rule 1]\nfile=f\nline=x\n", "*: [rule 1] line"},
      {HEAD "rules=1\n[rule 1]\nfile=f\nvendor=65536\n", "*: [rule 1] vendor"},
      {HEAD "rules=1\n[rule 1]\nfile=f\nproduct=0x1\n", "*: [rule 1] product"},
      {HEAD "rules=2\n[rule 1]\nfile=f\n", "*: [rule 2] file"},
      {HEAD "defaults=1\n[default 1]\nfile=f\nfallback=maybe\n", "*: [default 1] fallback"},
      {HEAD "defaults=1\n[default 1]\nfile=f\nhost-use=\n", "*: [default 1] host-use"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].where);
    g_assert_null (vv_policy_from_text (cases[i].text, strlen (cases[i].text), &error));
    fake_assert_error (error, VV_ERROR_INVALID, cases[i].where);
  }
}

static void
test_nul_bytes (void)
{
  static const char text[] = HEAD "[end]\ncomplete=true\n\0";
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_policy_from_text (text, sizeof text, &error));
  fake_assert_error (error, VV_ERROR_INVALID, "*: no key file");
  g_autoptr (VvPolicy) without = vv_policy_from_text (text, sizeof text - 2, NULL);
  g_assert_nonnull (without);
}

/* What a child that died leaves is not taken for a policy that says less. */
static void
test_every_prefix (void)
{
  g_autoptr (VvPolicy) policy = vv_policy_new ();

  g_ptr_array_add (policy->rules, random_rule ());
  g_ptr_array_add (policy->defaults, random_rule ());
  g_autofree char *text = vv_policy_to_text (policy);
  for (gsize length = 0; length < strlen (text) - strlen ("\n"); length++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *part = g_strndup (text, length); /* its own block: a read past its end is seen */
    g_assert_null (vv_policy_from_text (part, length, &error));
    g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
  }
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/policy-text/round-trip", test_round_trip);
  g_test_add_func ("/policy-text/nothing", test_nothing);
  g_test_add_func ("/policy-text/what-is-no-text-is-replaced", test_what_is_no_text);
  g_test_add_func ("/policy-text/damaged-is-refused", test_damaged);
  g_test_add_func ("/policy-text/NUL-bytes-are-refused", test_nul_bytes);
  g_test_add_func ("/policy-text/a-text-that-was-cut-off-is-refused", test_every_prefix);
  return g_test_run ();
}
