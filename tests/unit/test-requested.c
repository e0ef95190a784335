/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of requested: the gate reads what the hook writes, and rejects anything else.
 */
#include "requested.h"

#include "fake-kernel.h"

static void
test_there_and_back (void)
{
  char mlx5[] = "mlx5-vfio-pci", generic[] = "generic", model[] = "xe-vfio-pci";
  char *drivers[] = {mlx5, generic, NULL};
  const VvOptions cases[] = {
      {.use = {.iommufd = VV_ANSWER_NO}},
      {.use = {.iommufd = VV_ANSWER_YES, .others = TRUE, .forced = TRUE}},
      {.model = model, .use = {.iommufd = VV_ANSWER_YES}},
      {.drivers = drivers, .use = {.iommufd = VV_ANSWER_YES, .others = TRUE}},
      {.values = {[VV_OPTION_FALLBACK] = VV_FALLBACK_NONE, [VV_OPTION_MIGRATABLE] = VV_MIGRATABLE_REQUIRE},
       .use = {.iommufd = VV_ANSWER_NO}},
  };
  static const char *const texts[] = {
      "iommufd=no",
      "iommufd=yes other-devices=yes enable-migration=yes",
      "iommufd=yes model=xe-vfio-pci",
      "iommufd=yes other-devices=yes driver=mlx5-vfio-pci driver=generic",
      "iommufd=no fallback=none migratable=require",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = vv_requested_to_text (&cases[i]);
    g_auto (VvOptions) read = {0};
    g_assert_cmpstr (text, ==, texts[i]);
    g_assert_true (vv_requested_from_text (text, &read));
    g_assert_cmpstr (read.model, ==, cases[i].model);
    g_assert_cmpmem (&read.use, sizeof read.use, &cases[i].use, sizeof cases[i].use);
    g_assert_cmpmem (read.values, sizeof read.values, cases[i].values, sizeof cases[i].values);
    g_autofree char *again = vv_requested_to_text (&read);
    g_assert_cmpstr (again, ==, text);
  }
}

static void
test_nothing (void)
{
  g_auto (VvOptions) read = {0};

  g_assert_true (vv_requested_from_text (NULL, &read));
  g_assert_cmpint (read.use.iommufd, ==, VV_ANSWER_UNKNOWN);
  g_assert_null (read.model);
}

static void
test_what_is_none (void)
{
  static const char *const texts[] = {"x",
                                      "iommufd=yes else",
                                      "iommufd=perhaps",
                                      "iommufd=yes ",
                                      "model=",
                                      "model=../x",
                                      "driver=a driver=b/c",
                                      "fallback=never",
                                      "unmanaged=manage",
                                      "host-use=warn",
                                      "other-devices=no"};

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    VvOptions read;
    g_test_message ("%s", texts[i]);
    g_assert_false (vv_requested_from_text (texts[i], &read));
    g_assert_cmpint (read.use.iommufd, ==, VV_ANSWER_UNKNOWN);
    g_assert_null (read.model);
    g_assert_null (read.drivers);
  }
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/requested/there-and-back", test_there_and_back);
  g_test_add_func ("/requested/nothing", test_nothing);
  g_test_add_func ("/requested/what-is-none", test_what_is_none);
  return g_test_run ();
}
