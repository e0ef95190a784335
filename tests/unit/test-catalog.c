/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of catalog: the candidates for a device, their order, and their sources (rules R1, R2, R7). libkmod
 * and the catalog read real module tables and modprobe.d files below a temporary root.
 */
#include "catalog.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-kernel.h"
#include "modalias.h"

#define MODULES "lib/modules/" FAKE_RELEASE "/"
#define KEY "vfio_" NIC_MODALIAS
#define ANY "vfio_pci:v*d*sv*sd*bc*sc*i*"
#define MLX5 "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*"

/* A root with the three tables; NULL: the file is missing. */
typedef struct {
  FakeKernel *k;
  VvHost *host;
  VvModules *modules;
  VvCatalog *catalog;
} Tables;

static void
tables_open (Tables *t)
{
  g_autoptr (GError) error = NULL;

  t->host = vv_host_new (t->k->root, FAKE_RELEASE, &error);
  g_assert_no_error (error);
  t->modules = vv_modules_new (t->host, &error);
  g_assert_no_error (error);
  t->catalog = vv_catalog_new (t->host, t->modules, VV_PREFIX_VFIO);
}

static Tables *
tables_new (const char *modprobe, const char *alias, const char *builtin)
{
  Tables *t = g_new0 (Tables, 1);

  t->k = fake_new ();
  if (modprobe)
    fake_write (t->k, "etc/modprobe.d/test.conf", modprobe);
  if (alias)
    fake_write (t->k, MODULES "modules.alias", alias);
  if (builtin) { /* records end with NUL, written as ';' here */
    g_autofree char *records = g_strdup (builtin);
    gsize length = strlen (records);
    g_strdelimit (records, ";", '\0');
    fake_write_bytes (t->k, MODULES "modules.builtin.modinfo", records, length);
  }
  tables_open (t);
  return t;
}

static void
tables_free (Tables *t)
{
  vv_catalog_free (t->catalog);
  vv_modules_free (t->modules);
  vv_host_free (t->host);
  fake_free (t->k);
  g_free (t);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Tables, tables_free)

static char *
names_of (const GPtrArray *candidates)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < candidates->len; i++) {
    const VvCandidate *c = candidates->pdata[i];
    g_string_append_printf (text, "%s%s:%s", i ? " " : "", c->module, vv_source_name (c->source));
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static VvChoice *
select_nic (const Tables *t)
{
  g_autoptr (GError) error = NULL;
  VvChoice *selection = vv_catalog_select (t->catalog, NIC_MODALIAS, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (selection->key, ==, KEY);
  return selection;
}

static void
assert_offers (const Tables *t, const char *candidates, const char *excluded)
{
  g_autoptr (VvChoice) selection = select_nic (t);
  g_autofree char *offered = names_of (selection->candidates);
  g_autofree char *out = names_of (selection->excluded);

  g_assert_cmpstr (offered, ==, candidates);
  g_assert_cmpstr (out, ==, excluded);
}

/* --- order --- */

static void
test_rank (void)
{
  static const struct {
    const char *says, *modprobe, *alias, *builtin, *candidates;
  } cases[] = {
      {"fewest wildcards come first", "", "alias " ANY " vfio_pci\nalias " MLX5 " mlx5_vfio_pci\n", "",
       "mlx5_vfio_pci:modules.alias vfio_pci:modules.alias"},
      {"on a tie modprobe.d, modules.alias, builtin", "alias " MLX5 " z_admin\n",
       "alias " MLX5 " m_module\nalias " ANY " vfio_pci\n", "a_builtin.alias=" MLX5 ";",
       "z_admin:modprobe.d m_module:modules.alias a_builtin:builtin vfio_pci:modules.alias"},
      {"on a tie in modules.alias, its order", "",
       "alias " MLX5 " b_vfio\nalias " ANY " vfio_pci\nalias " MLX5 " a_vfio\n", "",
       "b_vfio:modules.alias a_vfio:modules.alias vfio_pci:modules.alias"},
      {"on a tie of other patterns, too", "",
       "alias " ANY " vfio_pci\nalias vfio_pci:v000015B3d*sv*sd*bc02sc*i* b_vfio\nalias " MLX5 " a_vfio\n",
       "", "b_vfio:modules.alias a_vfio:modules.alias vfio_pci:modules.alias"},
      {"on a tie in modprobe.d or builtin, their order", "alias " MLX5 " d_vfio\nalias " MLX5 " c_vfio\n",
       "alias " ANY " vfio_pci\n", "b_vfio.alias=" MLX5 ";a_vfio.alias=" MLX5 ";",
       "d_vfio:modprobe.d c_vfio:modprobe.d b_vfio:builtin a_vfio:builtin vfio_pci:modules.alias"},
      {"wildcards count more than the source", "alias " ANY " admin\n", "alias " ANY " vfio_pci\n",
       "inside.alias=" MLX5 ";", "inside:builtin admin:modprobe.d vfio_pci:modules.alias"},
      {"what does not match is not offered", "",
       "alias vfio_pci:v00008086d*sv*sd*bc*sc*i* other\nalias pci:v*d*sv*sd*bc*sc*i* native\nalias " ANY
       " vfio_pci\n",
       "", "vfio_pci:modules.alias"},
      {"a built-in generic driver is the generic driver", "", "",
       "vfio_pci.license=GPL v2;vfio_pci.alias=" ANY ";", "vfio_pci:builtin"},
      {"dashes and underscores are the same in a module's name", "alias " MLX5 " my-vfio\n",
       "alias " ANY " vfio-pci\n", "", "my_vfio:modprobe.d vfio_pci:modules.alias"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Tables) t = tables_new (cases[i].modprobe, cases[i].alias, cases[i].builtin);
    g_assert_null (vv_catalog_warning (t->catalog));
    assert_offers (t, cases[i].candidates, "");
  }
}

static void
test_candidate_says_where_it_comes_from (void)
{
  g_autoptr (Tables) t = tables_new ("", "alias " MLX5 " mlx5_vfio_pci\nalias " ANY " vfio_pci\n", "");
  g_autoptr (VvChoice) selection = select_nic (t);
  const VvCandidate *c = selection->candidates->pdata[0];

  g_assert_cmpstr (c->module, ==, "mlx5_vfio_pci");
  g_assert_cmpstr (c->alias, ==, MLX5);
  g_assert_cmpuint (c->wildcards, ==, 5);
  g_assert_cmpint (c->source, ==, VV_SOURCE_ALIAS);
  g_assert_null (c->driver);
  g_assert_null (c->excluded);
}

static void
test_blacklist (void)
{
  static const char *const cases[] = {"blacklist mlx5_vfio_pci\n", "blacklist mlx5-vfio-pci\n",
                                      "blacklist mlx5-vfio_pci\n"};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Tables) t =
        tables_new (cases[i], "alias " MLX5 " mlx5_vfio_pci\nalias " ANY " vfio_pci\n", "");
    assert_offers (t, "vfio_pci:modules.alias", "mlx5_vfio_pci:modules.alias");
    g_autoptr (VvChoice) selection = select_nic (t);
    const VvCandidate *out = selection->excluded->pdata[0];
    g_assert_cmpstr (out->excluded, ==, "blacklisted in modprobe.d or on the kernel command line");
    g_assert_cmpstr (out->alias, ==, MLX5);
  }
}

static void
test_everything_blacklisted (void)
{
  g_autoptr (Tables) t = tables_new ("blacklist vfio_pci\n", "alias " ANY " vfio_pci\n", "");
  g_autoptr (Tables) without = tables_new ("blacklist vfio-pci\n", "", "");

  assert_offers (t, "", "vfio_pci:modules.alias");
  assert_offers (without, "", "vfio_pci:default");
}

static void
test_one_place_per_module (void)
{
  g_autoptr (Tables) t =
      tables_new ("alias " ANY " mlx5_vfio_pci\n",
                  "alias " ANY " mlx5_vfio_pci\nalias " MLX5 " mlx5_vfio_pci\nalias " ANY " vfio_pci\n",
                  "mlx5_vfio_pci.alias=" MLX5 ";");
  g_autoptr (VvChoice) selection = select_nic (t);
  const VvCandidate *out = selection->excluded->pdata[0];

  assert_offers (t, "mlx5_vfio_pci:modules.alias vfio_pci:modules.alias",
                 "mlx5_vfio_pci:builtin mlx5_vfio_pci:modprobe.d mlx5_vfio_pci:modules.alias");
  g_assert_cmpstr (out->excluded, ==, "the module has a better alias: " MLX5);
}

static void
test_modprobe_folders (void)
{
  static const char *const folders[] = {"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d",
                                        "usr/lib/modprobe.d", "lib/modprobe.d"};

  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autoptr (Tables) t = g_new0 (Tables, 1);
    g_autofree char *file = g_build_filename (folders[i], "a.conf", NULL);
    t->k = fake_new ();
    fake_write (t->k, file, "alias " MLX5 " mine\n");
    fake_write (t->k, MODULES "modules.alias", "alias " ANY " vfio_pci\n");
    tables_open (t);
    assert_offers (t, "mine:modprobe.d vfio_pci:modules.alias", "");
  }
}

/* --- damaged tables --- */

static void
test_no_modules_directory (void)
{
  g_autoptr (Tables) t = g_new0 (Tables, 1);

  t->k = fake_new ();
  fake_remove (t->k, "lib");
  tables_open (t);
  fake_assert_matches (vv_catalog_warning (t->catalog),
                       "*modules.alias*No such file*only the generic driver can be found reliably*depmod*");
  g_assert_null (strstr (vv_catalog_warning (t->catalog), "builtin")); /* one warning for all files */
  assert_offers (t, "vfio_pci:default", "");
}

static void
test_no_builtin_table (void)
{
  g_autoptr (Tables) t = tables_new ("", "alias " ANY " vfio_pci\n", NULL);

  fake_assert_matches (vv_catalog_warning (t->catalog), "*modules.builtin.modinfo*");
  assert_offers (t, "vfio_pci:modules.alias", "");
}

static void
test_unreadable_table (void)
{
  g_autoptr (Tables) t = g_new0 (Tables, 1);

  t->k = fake_new ();
  fake_mkdir (t->k, MODULES "modules.alias"); /* unreadable even for root */
  fake_write (t->k, MODULES "modules.builtin.modinfo", "");
  tables_open (t);
  fake_assert_matches (vv_catalog_warning (t->catalog), "*modules.alias*");
  assert_offers (t, "vfio_pci:default", "");
}

/* The FIFO has no writer: an open would block forever. */
static void
test_table_is_a_fifo (void)
{
  g_autoptr (Tables) t = g_new0 (Tables, 1);

  t->k = fake_new ();
  fake_write (t->k, MODULES "modules.builtin.modinfo", "");
  g_autofree char *path = g_build_filename (t->k->root, MODULES "modules.alias", NULL);
  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  tables_open (t);
  fake_assert_matches (vv_catalog_warning (t->catalog), "*modules.alias*");
  assert_offers (t, "vfio_pci:default", "");
}

static void
test_kernel_without_vfio_aliases (void)
{
  g_autoptr (Tables) t = tables_new ("", "alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core\n",
                                     "loop.alias=block-major-7-*;");
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChoice) cdx = vv_catalog_select (t->catalog, "cdx:v000010EEd00006300", &error);

  g_assert_no_error (error);
  g_assert_null (vv_catalog_warning (t->catalog));
  assert_offers (t, "vfio_pci:default", "");
  g_assert_cmpuint (cdx->candidates->len, ==, 0); /* vfio-pci binds only PCI devices */
}

static void
test_default_comes_last (void)
{
  g_autoptr (Tables) t = tables_new ("", "alias " MLX5 " mlx5_vfio_pci\nalias " ANY " other_generic\n", "");
  g_autoptr (VvChoice) selection = select_nic (t);
  const VvCandidate *last = selection->candidates->pdata[2];

  assert_offers (t, "mlx5_vfio_pci:modules.alias other_generic:modules.alias vfio_pci:default", "");
  g_assert_null (last->alias);
}

/* Each device gets the generic driver, even if a table has an alias for other devices. */
static void
test_default_for_each_device (void)
{
  static const struct {
    const char *says, *modprobe, *alias, *builtin;
    const char *candidates, *excluded;
  } cases[] = {
      {"an alias line for another device", "alias vfio_pci:v00008086d*sv*sd*bc*sc*i* vfio_pci\n", "", "",
       "vfio_pci:default", ""},
      {"one of modules.alias", "", "alias vfio_pci:v00008086d*sv*sd*bc*sc*i* vfio_pci\n", "",
       "vfio_pci:default", ""},
      {"one of a built-in module", "", "", "vfio_pci.alias=vfio_pci:v00008086d*sv*sd*bc*sc*i*;",
       "vfio_pci:default", ""},
      {"one for this device", "alias " MLX5 " vfio_pci\n", "", "", "vfio_pci:modprobe.d", ""},
      {"one for this device, and it is blacklisted", "alias " MLX5 " vfio_pci\nblacklist vfio_pci\n", "", "",
       "", "vfio_pci:modprobe.d"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Tables) t = tables_new (cases[i].modprobe, cases[i].alias, cases[i].builtin);
    assert_offers (t, cases[i].candidates, cases[i].excluded);
  }
}

/* With --sysroot, the command line below that root counts. */
static void
test_blacklist_of_the_command_line (void)
{
  static const struct {
    const char *line;
    gboolean out;
  } cases[] = {
      {"quiet modprobe.blacklist=mlx5_vfio_pci", TRUE},
      {"modprobe.blacklist=nouveau,mlx5-vfio-pci ro\n", TRUE},
      {"modprobe.blacklist=nouveau modprobe.blacklist=mlx5_vfio_pci", TRUE},
      {"modprobe.blacklist=nouveau", FALSE},
      {"modprobe.blacklist=", FALSE},
      {"modprobe.blacklist", FALSE},
      {"other.blacklist=mlx5_vfio_pci mlx5_vfio_pci", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].line);
    g_autoptr (Tables) t = g_new0 (Tables, 1);
    t->k = fake_new ();
    fake_write (t->k, "proc/cmdline", cases[i].line);
    fake_write (t->k, MODULES "modules.alias", "alias " MLX5 " mlx5_vfio_pci\nalias " ANY " vfio_pci\n");
    fake_write (t->k, MODULES "modules.builtin.modinfo", "");
    tables_open (t);
    if (cases[i].out)
      assert_offers (t, "vfio_pci:modules.alias", "mlx5_vfio_pci:modules.alias");
    else
      assert_offers (t, "mlx5_vfio_pci:modules.alias vfio_pci:modules.alias", "");
  }
}

/* Before Linux 6.18, built-in modules publish no aliases, but modules.builtin lists them. */
static void
test_built_in_without_aliases (void)
{
  static const char image[] =
      "kernel/drivers/vfio/vfio.ko\nkernel/drivers/vfio/pci/vfio-pci-core.ko\n"
      "kernel/drivers/vfio/pci/vfio-pci.ko\nkernel/drivers/vfio/pci/mlx5/mlx5-vfio-pci.ko\n"
      "kernel/drivers/vfio/pci/pds/pds-vfio-pci.ko\nkernel/fs/ext4/ext4.ko\n";
  static const struct {
    const char *says, *table, *modprobe, *builtin, *silent;
  } cases[] = {
      {"none has aliases", image, "", "mlx5_vfio_pci.license=GPL;", "mlx5_vfio_pci pds_vfio_pci"},
      {"modprobe.d has one for one", image, "alias " MLX5 " mlx5-vfio-pci\n", "", "pds_vfio_pci"},
      {"Linux 6.18", image, "", "mlx5_vfio_pci.alias=" MLX5 ";pds_vfio_pci.alias=vfio_pci:v00001DD8d*;", ""},
      {"no variant is built in",
       "kernel/drivers/vfio/pci/vfio-pci.ko\nkernel/drivers/vfio/pci/vfio-pci-core.ko\n", "", "", ""},
      {"damage", "vfio_pci\n/\n\n.ko\nkernel/a_vfio_pci.ko.xz\nkernel/../b vfio_pci.ko\nc_vfio_pci.ko", "",
       "", "c_vfio_pci"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Tables) t = tables_new (cases[i].modprobe, "alias " ANY " vfio_pci\n", cases[i].builtin);
    fake_write (t->k, MODULES "modules.builtin", cases[i].table);
    g_autoptr (GPtrArray) silent = vv_catalog_silent (t->catalog, t->host);
    fake_assert_names (silent, cases[i].silent);
  }
  g_autoptr (Tables) without = tables_new ("", "", "");
  g_autoptr (GPtrArray) none = vv_catalog_silent (without->catalog, without->host);
  g_assert_cmpuint (none->len, ==, 0);
}

static void
test_other_bus (void)
{
  g_autoptr (Tables) t = tables_new (
      "", "alias vfio_cdx:v*d* vfio_cdx\nalias vfio_cdx:v000010EEd* special\nalias " ANY " vfio_pci\n", "");
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChoice) selection = vv_catalog_select (t->catalog, "cdx:v000010EEd00006300", &error);

  g_assert_no_error (error);
  g_autofree char *offered = names_of (selection->candidates);
  g_assert_cmpstr (selection->key, ==, "vfio_cdx:v000010EEd00006300");
  g_assert_cmpstr (offered, ==, "special:modules.alias vfio_cdx:modules.alias");
}

static void
test_other_prefix (void)
{
  g_autoptr (Tables) t =
      tables_new ("", "alias vdpa_pci:v*d*sv*sd*bc*sc*i* generic_vdpa\nalias " ANY " vfio_pci\n", "");
  g_autoptr (VvCatalog) catalog = vv_catalog_new (t->host, t->modules, "vdpa");
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChoice) selection = vv_catalog_select (catalog, NIC_MODALIAS, &error);

  g_assert_no_error (error);
  g_autofree char *offered = names_of (selection->candidates);
  g_assert_cmpstr (selection->key, ==, "vdpa_" NIC_MODALIAS);
  g_assert_cmpstr (offered, ==, "generic_vdpa:modules.alias"); /* without vfio-pci */
}

static void
test_malformed_modalias (void)
{
  g_autoptr (Tables) t = tables_new ("", "", "");
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_catalog_select (t->catalog, "pci:v*", &error));
  fake_assert_error (error, VV_ERROR_INVALID, "'pci:v?' is not a modalias*");
}

/* --- hostile lines: invalid lines are skipped, and the valid one is found --- */

static void
test_hostile_alias_lines (void)
{
  static const struct {
    const char *says;
    const char *line;
    gsize length;
  } cases[] = {
#define LINE(text) (text), sizeof (text) - 1
      {"nothing", LINE ("")},
      {"no module", LINE ("alias " MLX5 "\n")},
      {"no module, a blank", LINE ("alias " MLX5 " \n")},
      {"no pattern", LINE ("alias \nalias vfio_\nalias vfio_ \n")},
      {"only the word", LINE ("alias vfio_")},
      {"a path as module", LINE ("alias " MLX5 " ../../evil\n")},
      {"a hidden module", LINE ("alias " MLX5 " .evil\n")},
      {"an option as module", LINE ("alias " MLX5 " evil --force\n")},
      {"control characters", LINE ("alias " MLX5 " ev\x1bil\n")},
      {"NUL in the module", LINE ("alias " MLX5 " \0evil\n")},
      {"NUL in the pattern", LINE ("alias vfio_pci:v\0* evil\n")},
      {"only NULs", LINE ("\0\0\0\0\0\0\0\n")},
      {"binary garbage", LINE ("\x7f"
                               "ELF\x02\x01\x01\xff\xfe\n\n\n\r\n\t\x80\n")},
      {"an unclosed bracket", LINE ("alias vfio_pci:[v evil\n")},
#undef LINE
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (GString) text = g_string_new_len (cases[i].line, (gssize)cases[i].length);
    g_autoptr (Tables) t = g_new0 (Tables, 1);
    if (text->len && text->str[text->len - 1] != '\n')
      g_string_append_c (text, '\n');
    g_string_append (text, "alias " ANY " vfio_pci"); /* without a newline at the end */
    t->k = fake_new ();
    fake_write_bytes (t->k, MODULES "modules.alias", text->str, text->len);
    fake_write (t->k, MODULES "modules.builtin.modinfo", "");
    tables_open (t);
    assert_offers (t, "vfio_pci:modules.alias", "");
  }
}

static void
test_long_lines (void)
{
  static const gsize lengths[] = {4096, 5000, 1000000};

  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++) {
    g_autofree char *stars = g_strnfill (lengths[i], '*');
    g_autofree char *alias = g_strdup_printf ("alias vfio_pci:%s evil\nalias " ANY " vfio_pci\n", stars);
    g_autofree char *builtin = g_strdup_printf ("evil.alias=vfio_pci:%s;", stars);
    g_autoptr (Tables) t = tables_new ("", alias, builtin);
    assert_offers (t, "vfio_pci:modules.alias", "");
  }
}

static void
test_costly_pattern (void)
{
  g_autoptr (GString) pattern = g_string_new ("vfio_pci:");

  while (pattern->len < 4000)
    g_string_append (pattern, "*0");
  g_string_append (pattern, "x");
  g_autofree char *alias = g_strdup_printf ("alias %s evil\nalias " ANY " vfio_pci\n", pattern->str);
  g_autoptr (Tables) t = tables_new ("", alias, "");
  g_autofree char *zeros = g_strnfill (1000, '0');
  g_autofree char *modalias = g_strdup_printf ("pci:v%sd0sv0sd0bc0sc0i0", zeros);
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  g_autoptr (VvChoice) selection = vv_catalog_select (t->catalog, modalias, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (selection->candidates->len, ==, 1);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 5 * G_TIME_SPAN_SECOND);
}

static void
test_hostile_builtin_records (void)
{
  static const char *const cases[] = {
      "",
      ";",
      ";;;;",
      ".alias=" MLX5 ";",        /* no module */
      "../evil.alias=" MLX5 ";", /* a path instead of a module */
      "evil.license=.alias=;",
      "evil.alias=;",
      "evil.alias",
      "evil.description=x\x80.alias=pci:v*;",
      "evil.description=has .alias=" MLX5 " inside;",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("case %" G_GSIZE_FORMAT, i);
    g_autofree char *records = g_strconcat (cases[i], "vfio_pci.alias=" ANY, NULL); /* no NUL at the end */
    g_autofree char *ended = g_str_has_suffix (cases[i], ";") || !*cases[i]
                                 ? g_strdup (records)
                                 : g_strconcat (cases[i], ";vfio_pci.alias=" ANY, NULL);
    g_autoptr (Tables) t = tables_new ("", "", ended);
    assert_offers (t, "vfio_pci:builtin", "");
  }
}

static void
test_hostile_modprobe_lines (void)
{
  g_autofree char *stars = g_strnfill (10000, '*');
  g_autofree char *text = g_strdup_printf ("alias\nalias " MLX5 "\nalias vfio_pci:%s evil\nblacklist\n"
                                           "\x01\xff garbage\nalias " MLX5 " ../evil\n\\\n\\",
                                           stars);
  g_autoptr (Tables) t = tables_new (text, "alias " ANY " vfio_pci\n", "");

  assert_offers (t, "vfio_pci:modules.alias", "");
}

/* --- names (rule R2) --- */

static void
test_driver_names (void)
{
  static const struct {
    const char *says, *module, *links, *driver;
  } cases[] = {
      {"not loaded", "mlx5_vfio_pci", "", NULL},
      {"named like the module", "mlx5_vfio_pci", "pci:mlx5_vfio_pci", "mlx5_vfio_pci"},
      {"with dashes", "xe_vfio_pci", "pci:xe-vfio-pci", "xe-vfio-pci"},
      {"another name altogether", "test_named_vfio_pci", "pci:test-named-vfio", "test-named-vfio"},
      {"on two buses", "both", "auxiliary:aux pci:both-pci platform:plat", "both-pci"},
      {"several: the one named like the module", "mine", "pci:another pci:mine pci:zebra", "mine"},
      {"several, none named so: the first", "mine", "pci:zebra pci:another", "another"},
      {"none on this bus", "mine", "usb:mine", NULL},
      {"the generic one is known", "vfio_pci", "", "vfio-pci"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Tables) t = tables_new ("", "", "");
    g_auto (GStrv) links = g_strsplit (cases[i].links, " ", -1);
    for (char **link = links; *link && **link; link++) {
      g_autofree char *path = g_build_filename ("sys/module", cases[i].module, "drivers", *link, NULL);
      fake_link (t->k, path, "../../../bus/some");
    }
    const VvCandidate candidate = {.module = (char *)cases[i].module, .source = VV_SOURCE_ALIAS};
    g_autofree char *driver = vv_candidate_driver (t->host, &candidate);
    g_assert_cmpstr (driver, ==, cases[i].driver);
  }
}

static void
test_forced (void)
{
  g_autoptr (Tables) t =
      tables_new ("blacklist mlx5_vfio_pci\n", "alias " MLX5 " mlx5_vfio_pci\nalias " ANY " vfio_pci\n", "");
  g_autoptr (VvChoice) selection = select_nic (t);
  g_autoptr (GError) error = NULL;

  g_assert_true (vv_choice_force (selection, "xe-vfio-pci", &error));
  g_assert_no_error (error);
  g_autofree char *offered = names_of (selection->candidates);
  g_autofree char *out = names_of (selection->excluded);
  g_assert_cmpstr (offered, ==, "xe_vfio_pci:forced");
  g_assert_cmpstr (out, ==, "mlx5_vfio_pci:modules.alias vfio_pci:modules.alias");
  const VvCandidate *generic = selection->excluded->pdata[1];
  g_assert_cmpstr (generic->excluded, ==, "'xe-vfio-pci' was requested");
}

static void
test_forced_driver_name (void)
{
  g_autoptr (Tables) t = tables_new ("", "", "");
  g_autoptr (VvChoice) selection = select_nic (t);

  g_assert_true (vv_choice_force (selection, "test-named-vfio", NULL));
  const VvCandidate *c = selection->candidates->pdata[0];
  g_assert_null (vv_candidate_driver (t->host, c)); /* neither registered nor loaded */
  fake_mkdir (t->k, "sys/bus/pci/drivers/test-named-vfio");
  g_autofree char *driver = vv_candidate_driver (t->host, c);
  g_assert_cmpstr (driver, ==, "test-named-vfio");
}

static void
test_forced_nonsense (void)
{
  static const char *const cases[] = {"", "../x", "a b", ".", "x\n"};
  g_autoptr (Tables) t = tables_new ("", "", "");
  g_autoptr (VvChoice) selection = select_nic (t);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_false (vv_choice_force (selection, cases[i], &error));
    fake_assert_error (error, VV_ERROR_INVALID, "'*' is not a valid driver name");
    g_assert_cmpuint (selection->candidates->len, ==, 1); /* unchanged */
  }
}

/* --- loading --- */

static void
test_load_failures (void)
{
  static const struct {
    const char *says, *modprobe, *module;
    VvError code;
    const char *message;
  } cases[] = {
      {"no such module", "", "vv-test-none", VV_ERROR_NOT_FOUND,
       "module vv_test_none is not installed below *lib/modules/" FAKE_RELEASE
       "; if it was just added, run 'depmod'"},
      {"its install command fails", "install vv_test_none /bin/false\n", "vv_test_none", VV_ERROR_FAILED,
       "module vv_test_none: its install command in modprobe.d, '/bin/false', failed: exit status 1"},
      {"what its install command says", "install vv_test_none echo why; exit 17\n", "vv_test_none",
       VV_ERROR_FAILED,
       "module vv_test_none: its install command in modprobe.d, 'echo why; exit 17', failed: exit status 17: "
       "why"},
      {"no name", "", "", VV_ERROR_FAILED, "module*"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Tables) t = tables_new (cases[i].modprobe, "", "");
    g_autoptr (GError) error = NULL;
    fake_write (t->k, MODULES "modules.dep", "");
    g_assert_false (vv_modules_load (t->modules, cases[i].module, &error));
    g_assert_nonnull (error);
    if (*cases[i].module)
      fake_assert_error (error, cases[i].code, cases[i].message);
    else
      fake_assert_matches (error->message, cases[i].message);
  }
}

static void
test_install_command_is_run (void)
{
  g_autoptr (Tables) t = tables_new ("install vv_test_none /bin/true\n", "", "");
  g_autoptr (GError) error = NULL;

  g_assert_true (vv_modules_load (t->modules, "vv-test-none", &error));
  g_assert_no_error (error);
}

/* libvirt may parse the hook's standard output as XML, so the command gets other files. */
static void
test_install_command_has_files_of_its_own (void)
{
  g_autoptr (Tables) t = tables_new (
      "install vv_test_none test ! -e /proc/self/fd/77 && echo $MODPROBE_MODULE; echo 2 >&2\n", "", "");
  g_autoptr (GError) error = NULL;
  char path[] = "/tmp/vv-test-XXXXXX", byte;
  int output = mkstemp (path), kept = dup (STDOUT_FILENO);

  fflush (stdout);
  unlink (path);
  g_assert_cmpint (dup2 (output, STDOUT_FILENO), ==, STDOUT_FILENO);
  g_assert_cmpint (dup2 (output, 77), ==, 77);
  gboolean done = vv_modules_load (t->modules, "vv-test-none", &error);
  g_assert_cmpint (dup2 (kept, STDOUT_FILENO), ==, STDOUT_FILENO);
  g_assert_no_error (error);
  g_assert_true (done);
  g_assert_cmpint (pread (output, &byte, 1, 0), ==, 0);
  close (77);
  close (kept);
  close (output);
  fake_assert_logged ("module vv_test_none: its install command in modprobe.d printed: vv_test_none; 2");
}

/* As before close_range(2) in Linux 5.11 */
static void
refuse_close_range (void)
{
  struct sock_filter calls[] = {
      BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
      BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
      BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog filter = {G_N_ELEMENTS (calls), calls};

  g_assert_cmpint (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
  g_assert_cmpint (prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), ==, 0);
  g_assert_cmpint (syscall (SYS_close_range, 100, 100, 0), ==, -1);
}

static void
test_install_command_on_an_old_kernel (void)
{
  if (!g_test_subprocess ()) {
    g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed ();
    return;
  }
  refuse_close_range ();
  test_install_command_has_files_of_its_own ();
}

/* Returns: (nullable): the contents of the file, once it is not empty */
static char *
wait_for_text (const char *path)
{
  char *text = NULL;

  for (guint i = 0; i < 500 && (!text || !*text); i++) {
    g_clear_pointer (&text, g_free);
    g_usleep (20000);
    g_file_get_contents (path, &text, NULL, NULL);
  }
  return text;
}

/* If the caller is killed, its install command is killed, too. */
static void
test_install_command_dies_with_its_caller (void)
{
  g_autofree char *path = g_strdup_printf ("/tmp/vv-test-pid-%d", (int)getpid ());
  g_autofree char *line = g_strdup_printf ("install vv_test_none echo $$ >%s; exec sleep 300\n", path);
  g_autoptr (Tables) t = tables_new (line, "", "");

  pid_t caller = fork ();
  if (caller == 0)
    _exit (vv_modules_load (t->modules, "vv-test-none", NULL));
  g_autofree char *text = wait_for_text (path);
  g_assert_nonnull (text);
  struct pollfd command = {(int)syscall (SYS_pidfd_open, atoi (text), 0), POLLIN, 0};
  g_assert_cmpint (command.fd, >=, 0);
  kill (caller, SIGKILL);
  g_assert_cmpint (poll (&command, 1, 5000), ==, 1);
  g_assert_cmpint (waitpid (caller, NULL, 0), ==, caller);
  close (command.fd);
  unlink (path);
}

/* --- location of the tables --- */

static void
test_release (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (VvHost) only = vv_host_new (k->root, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (only->release, ==, FAKE_RELEASE); /* the only release below the root */
  g_assert_true (g_str_has_suffix (only->modules_path, "/lib/modules/" FAKE_RELEASE));
  fake_mkdir (k, "lib/modules/6.2.0-test");
  g_autoptr (VvHost) several = vv_host_new (k->root, NULL, NULL);
  g_assert_cmpstr (several->release, !=, FAKE_RELEASE); /* several: the running kernel's release */
  fake_remove (k, "lib");
  fake_mkdir (k, "usr/lib/modules/6.3.0-test");
  g_autoptr (VvHost) usr = vv_host_new (k->root, NULL, NULL);
  g_assert_cmpstr (usr->release, ==, "6.3.0-test");
}

static void
test_bad_release (void)
{
  static const char *const cases[] = {"", "..", ".", "../../etc", "6.1/../../x", ".6"};
  g_autoptr (FakeKernel) k = fake_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (vv_host_new (k->root, cases[i], &error));
    fake_assert_error (error, VV_ERROR_INVALID, "'*' is not a valid kernel release");
  }
}

static void
test_no_sysfs (void)
{
  g_autoptr (FakeKernel) k = fake_new ();
  g_autoptr (GError) error = NULL;

  fake_remove (k, "sys");
  g_assert_null (vv_host_new (k->root, NULL, &error));
  fake_assert_error (error, VV_ERROR_NOT_FOUND, "*/sys: No such file or directory");
}

static void
test_running_host (void)
{
  g_autoptr (VvHost) running = vv_host_new (NULL, "6.1.0-test", NULL);
  g_autoptr (VvHost) slash = vv_host_new ("/", "6.1.0-test", NULL);

  g_assert_null (running->sysroot);
  g_assert_null (slash->sysroot);
  g_assert_cmpstr (running->run_path, ==, "/run/vfio-variant");
  g_assert_cmpstr (slash->sys->path, ==, "/sys");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/catalog/rank", test_rank);
  g_test_add_func ("/catalog/a-candidate-says-where-it-comes-from", test_candidate_says_where_it_comes_from);
  g_test_add_func ("/catalog/blacklisted-modules-are-out", test_blacklist);
  g_test_add_func ("/catalog/everything-may-be-blacklisted", test_everything_blacklisted);
  g_test_add_func ("/catalog/a-module-has-one-place", test_one_place_per_module);
  g_test_add_func ("/catalog/all-modprobe.d-folders-are-read", test_modprobe_folders);
  g_test_add_func ("/catalog/no-modules-directory-leaves-the-generic-driver", test_no_modules_directory);
  g_test_add_func ("/catalog/no-builtin-table-is-said", test_no_builtin_table);
  g_test_add_func ("/catalog/an-unreadable-table-leaves-the-generic-driver", test_unreadable_table);
  g_test_add_func ("/catalog/a-table-that-is-a-fifo-is-not-waited-for", test_table_is_a_fifo);
  g_test_add_func ("/catalog/a-kernel-before-5.16-has-the-generic-driver", test_kernel_without_vfio_aliases);
  g_test_add_func ("/catalog/the-default-comes-last", test_default_comes_last);
  g_test_add_func ("/catalog/the-default-is-for-each-device", test_default_for_each_device);
  g_test_add_func ("/catalog/the-command-line-blacklists", test_blacklist_of_the_command_line);
  g_test_add_func ("/catalog/built-in-without-aliases", test_built_in_without_aliases);
  g_test_add_func ("/catalog/another-bus-goes-the-same-way", test_other_bus);
  g_test_add_func ("/catalog/another-prefix-goes-the-same-way", test_other_prefix);
  g_test_add_func ("/catalog/a-malformed-modalias-is-refused", test_malformed_modalias);
  g_test_add_func ("/catalog/hostile/modules.alias", test_hostile_alias_lines);
  g_test_add_func ("/catalog/hostile/long-lines", test_long_lines);
  g_test_add_func ("/catalog/hostile/a-costly-pattern-costs-little", test_costly_pattern);
  g_test_add_func ("/catalog/hostile/modules.builtin.modinfo", test_hostile_builtin_records);
  g_test_add_func ("/catalog/hostile/modprobe.d", test_hostile_modprobe_lines);
  g_test_add_func ("/catalog/driver-names-come-from-sysfs", test_driver_names);
  g_test_add_func ("/catalog/forced/takes-the-place-of-all", test_forced);
  g_test_add_func ("/catalog/forced/may-name-a-driver", test_forced_driver_name);
  g_test_add_func ("/catalog/forced/nonsense-is-refused", test_forced_nonsense);
  g_test_add_func ("/modules/what-fails-to-load-says-why", test_load_failures);
  g_test_add_func ("/modules/an-install-command-is-run", test_install_command_is_run);
  g_test_add_func ("/modules/an-install-command-has-files-of-its-own",
                   test_install_command_has_files_of_its_own);
  g_test_add_func ("/modules/an-install-command-dies-with-its-caller",
                   test_install_command_dies_with_its_caller);
  g_test_add_func ("/modules/an-install-command-on-an-old-kernel", test_install_command_on_an_old_kernel);
  g_test_add_func ("/host/the-release-is-found", test_release);
  g_test_add_func ("/host/a-release-cannot-lead-out", test_bad_release);
  g_test_add_func ("/host/no-sysfs-is-an-error", test_no_sysfs);
  g_test_add_func ("/host/the-running-one-has-no-sysroot", test_running_host);
  return g_test_run ();
}
