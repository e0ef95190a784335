/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of modalias: keys, wildcards, pattern matching and names.
 */
#include "modalias.h"

#include <string.h>

#include "fake-kernel.h"

static void
test_key (void)
{
  static const struct {
    const char *prefix, *modalias, *key;
  } cases[] = {
      {"vfio", NIC_MODALIAS, "vfio_" NIC_MODALIAS},
      {"vfio", "cdx:v000010EEd00006300", "vfio_cdx:v000010EEd00006300"},
      {"vfio", "of:NnetT(null)Cfsl,dpaa", "vfio_of:NnetT(null)Cfsl,dpaa"},
      {"other", "acpi:PNP0A08:PNP0A03:", "other_acpi:PNP0A08:PNP0A03:"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *key = vv_modalias_key (cases[i].prefix, cases[i].modalias, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (key, ==, cases[i].key);
  }
}

static void
test_malformed_key (void)
{
  static const char *const cases[] = {
      "",         ":",        "pci",    "pci:",         ":v00",       "p ci:v00",       "pci:v 00",
      "pci:v*",   "pci:v?",   "pci:[a", "pci:a]",       "pci:\\v",    "pci:v\n",        "p/ci:v",
      "pci:v\t0", "pci:\x7f", "p*:v",   "pci:\xc3\xa4", "pci:v0\n\n", "\xff\xfe:v0000",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (vv_modalias_key ("vfio", cases[i], &error));
    fake_assert_error (error, VV_ERROR_INVALID, "'*' is not a modalias (BUS:FIELDS)");
    g_assert_true (g_utf8_validate (error->message, -1, NULL)); /* safe on a terminal */
  }
}

static void
test_key_length (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *longest = g_strnfill (1024, '0');
  g_autofree char *longer = g_strnfill (1025, '0');

  memcpy (longest, "pci:", 4);
  memcpy (longer, "pci:", 4);
  g_autofree char *key = vv_modalias_key ("vfio", longest, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strlen (key), ==, 1024 + strlen ("vfio_"));
  g_assert_null (vv_modalias_key ("vfio", longer, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_INVALID);
  g_assert_cmpuint (strlen (error->message), <, 200);
}

static void
test_wildcards (void)
{
  static const struct {
    const char *pattern;
    guint wildcards;
  } cases[] = {
      {"", 0},
      {"vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", 5},
      {"vfio_pci:v*d*sv*sd*bc*sc*i*", 7},
      {"vfio_cdx:v*d*", 2},
      {"**", 2},
      {"a?b", 0}, /* exactly one character: more specific than '*' */
      {"[*]", 0}, /* literal in brackets */
      {"[!*]", 0},
      {"[^*]", 0},
      {"[]*]", 0}, /* the first ']' belongs to the set */
      {"[!]*]", 0},
      {"[\\]*]", 0}, /* so does one after a backslash */
      {"[*]*", 1},
      {"[0-9]*", 1},
      {"[]", 0},
      {"\\*", 0}, /* literal after a backslash */
      {"\\\\*", 1},
      {"\\", 0},
      {"*\\", 1},
      {"[", 0}, /* unclosed: '[' is literal */
      {"[*", 1},
      {"[!", 0},
      {"[!*", 1},
      {"[]*", 1},
      {"a[*b*", 2},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].pattern);
    g_assert_cmpuint (vv_modalias_wildcards (cases[i].pattern), ==, cases[i].wildcards);
  }
}

static void
test_match (void)
{
  static const struct {
    const char *pattern, *key;
    gboolean matches;
  } cases[] = {
      {"vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_" NIC_MODALIAS, TRUE},
      {"vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", "vfio_" NIC_MODALIAS, TRUE},
      {"vfio_pci:v000015B3d0000101Dsv*sd*bc*sc*i*", "vfio_" NIC_MODALIAS, FALSE},
      {"vfio_pci:v000015b3d0000101esv*sd*bc*sc*i*", "vfio_" NIC_MODALIAS, FALSE}, /* case-sensitive */
      {"pci:v000015B3d0000101Esv*sd*bc*sc*i*", "vfio_" NIC_MODALIAS, FALSE},
      {"vfio_pci:v000015B3", "vfio_" NIC_MODALIAS, FALSE}, /* no prefix match */
      {"", "vfio_" NIC_MODALIAS, FALSE},
      {"a?c", "abc", TRUE},
      {"a?c", "ac", FALSE},
      {"a[0-9]c", "a5c", TRUE},
      {"a[!0-9]c", "a5c", FALSE},
      {"a\\*c", "a*c", TRUE},
      {"a\\*c", "abc", FALSE},
      {"a[c", "a[c", TRUE},
      {"*", "anything/with:signs", TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s %s", cases[i].pattern, cases[i].key);
    g_assert_cmpint (vv_modalias_match (cases[i].pattern, cases[i].key), ==, cases[i].matches);
  }
}

static void
test_module_name (void)
{
  static const struct {
    const char *name, *spelled;
  } cases[] = {{"vfio-pci", "vfio_pci"}, {"xe_vfio_pci", "xe_vfio_pci"}, {"a-b_c-d", "a_b_c_d"}, {"", ""}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name = vv_module_name (cases[i].name);
    g_assert_cmpstr (name, ==, cases[i].spelled);
  }
}

static void
test_safe_names (void)
{
  static const char *const good[] = {"vfio-pci", "a", "8139too", "snd_hda.intel", "c++", "_x", "-"};
  static const char *const bad[] = {"",    ".",   "..",         ".hidden", "a/b", "../vfio-pci", "a b",
                                    "a\n", "a:b", "vf\xc3\xbc", "$(x)",    "*",   "a\\b",        "a\x01"};
  g_autofree char *longest = g_strnfill (64, 'a');
  g_autofree char *longer = g_strnfill (65, 'a');

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (vv_name_is_safe (good[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (vv_name_is_safe (bad[i]));
  g_assert_true (vv_name_is_safe (longest));
  g_assert_false (vv_name_is_safe (longer));
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/modalias/the-key-is-prefix-and-modalias", test_key);
  g_test_add_func ("/modalias/malformed-ones-have-no-key", test_malformed_key);
  g_test_add_func ("/modalias/length-is-bounded", test_key_length);
  g_test_add_func ("/modalias/wildcards-are-stars-that-match-anything", test_wildcards);
  g_test_add_func ("/modalias/a-pattern-matches-the-whole-key", test_match);
  g_test_add_func ("/modalias/module-names-have-no-dash", test_module_name);
  g_test_add_func ("/modalias/unsafe-names-are-told", test_safe_names);
  return g_test_run ();
}
