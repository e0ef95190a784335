/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of policy-xml: the rules in policy files, the order of the files, and the files that are ignored.
 * test-policy-files.py tests the error messages for invalid files.
 */
#include "policy-xml.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

#define MAIN VV_LIBVIRT_DIR "/vfio-variant.xml"
#define FOLDER VV_LIBVIRT_DIR "/vfio-variant.d"
#define POLICY(text) "<vfio-variant>\n" text "</vfio-variant>\n"
#define NOBODY 65534

static VvPolicy *
read_text (const char *text)
{
  VvPolicy *policy = vv_policy_new ();
  g_autoptr (GError) error = NULL;

  vv_policy_add_text (policy, "p.xml", text, strlen (text), &error);
  g_assert_no_error (error);
  return policy;
}

static void
assert_list (char *const *list, const char *expected)
{
  g_autofree char *joined = list ? g_strjoinv (" ", (char **)list) : NULL;

  g_assert_cmpstr (joined, ==, expected);
}

/* --- contents of a file --- */

static void
test_rule (void)
{
  g_autoptr (VvPolicy) policy = read_text (POLICY (
      "<device address='3B:00.*' vendor='0x15B3' product='0x101e' subsystem-vendor='0x15b3'\n"
      "  subsystem-product='0x0058' class='0x0200' physical-function='0000:3b:00.0' host-driver='mlx5*'\n"
      "  modalias='pci:v000015B3d*' iommu-group='41' driver=' mlx5_vfio_pci \n generic' fallback='none'\n"
      "  migratable='require' unmanaged='manage' host-use='refuse' at-boot='no'/>"));

  g_assert_cmpuint (policy->rules->len, ==, 1);
  const VvRule *r = policy->rules->pdata[0];
  g_assert_cmpstr (r->file, ==, "p.xml");
  g_assert_cmpuint (r->line, ==, 2);
  g_assert_cmpstr (r->address, ==, "0000:3b:00.*");
  g_assert_cmpstr (r->physical_function, ==, "0000:3b:00.0");
  g_assert_cmpstr (r->host_driver, ==, "mlx5*");
  g_assert_cmpstr (r->modalias, ==, "pci:v000015B3d*");
  g_assert_cmpstr (r->iommu_group, ==, "41");
  g_assert_cmpstr (r->class_code, ==, "0200");
  g_assert_cmphex (r->vendor, ==, 0x15b3);
  g_assert_cmphex (r->product, ==, 0x101e);
  g_assert_cmphex (r->subsystem_vendor, ==, 0x15b3);
  g_assert_cmphex (r->subsystem_product, ==, 0x0058);
  assert_list (r->options.drivers, "mlx5_vfio_pci generic");
  g_assert_cmpint (r->options.values[VV_OPTION_FALLBACK], ==, VV_FALLBACK_NONE);
  g_assert_cmpint (r->options.values[VV_OPTION_MIGRATABLE], ==, VV_MIGRATABLE_REQUIRE);
  g_assert_cmpint (r->options.values[VV_OPTION_UNMANAGED], ==, VV_UNMANAGED_MANAGE);
  g_assert_cmpint (r->options.values[VV_OPTION_HOST_USE], ==, VV_HOST_USE_REFUSE);
}

/* Product 0 and IOMMU group 0 differ from unset attributes. */
static void
test_little (void)
{
  g_autoptr (VvPolicy) policy = read_text (
      POLICY ("<device product='0x0000' driver='auto'/><device iommu-group='0' host-use='warn'/>"));
  const VvRule *one = policy->rules->pdata[0], *two = policy->rules->pdata[1];

  g_assert_cmpint (one->product, ==, 0);
  g_assert_cmpint (one->vendor, ==, -1);
  g_assert_null (one->address);
  g_assert_null (one->class_code);
  assert_list (one->options.drivers, "auto");
  for (int option = 0; option < VV_OPTIONS; option++)
    g_assert_cmpint (one->options.values[option], ==, 0);
  g_assert_cmpstr (two->iommu_group, ==, "0");
  g_assert_cmpint (two->product, ==, -1);
  g_assert_null (two->options.drivers);
}

static void
test_settings (void)
{
  g_autoptr (VvPolicy) none = read_text (POLICY (""));
  g_autoptr (VvPolicy) bare = read_text (POLICY ("<hooks/><gate/>"));
  g_autoptr (VvPolicy) all = read_text (
      POLICY ("<default fallback='next'/>\n<gate enabled='no' "
              "deadline='3600'><serve executable='libvirtd'/><serve executable='virtqemud'/></gate>"
              "<hooks time-limit='1'/><default driver='a'/>"));

  g_assert_cmpint (none->gate, ==, VV_UNSAID);
  g_assert_cmpint (bare->gate, ==, VV_UNSAID);
  g_assert_cmpuint (bare->deadline_s, ==, 0);
  g_assert_null (bare->executables);
  g_assert_cmpuint (bare->hook_limit_s, ==, 0);
  g_assert_cmpint (all->gate, ==, VV_NO);
  g_assert_cmpuint (all->deadline_s, ==, 3600);
  assert_list (all->executables, "libvirtd virtqemud");
  g_assert_cmpuint (all->hook_limit_s, ==, 1);
  g_assert_cmpuint (all->defaults->len, ==, 2);
  g_assert_cmpuint (((VvRule *)all->defaults->pdata[0])->line, ==, 2);
  g_assert_cmpuint (((VvRule *)all->defaults->pdata[1])->line, ==, 3);
  g_assert_cmpuint (all->rules->len, ==, 0);
}

/* If a file is invalid at its end, its earlier rules do not count either. */
static void
test_all_or_nothing (void)
{
  const char *text = POLICY ("<device vendor='0x1234' driver='a'/><hooks time-limit='5'/><default/>");
  g_autoptr (VvPolicy) policy = vv_policy_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (vv_policy_add_text (policy, "p.xml", text, strlen (text), &error));
  fake_assert_error (error, VV_ERROR_INVALID, "p.xml:2: <default> sets nothing: *");
  g_assert_cmpuint (policy->rules->len, ==, 0);
  g_assert_cmpuint (policy->hook_limit_s, ==, 0);
  g_assert_cmpuint (policy->files->len, ==, 0);
}

static void
test_what_is_said_first_counts (void)
{
  g_autoptr (VvPolicy) policy =
      read_text (POLICY ("<gate deadline='7'/><device vendor='0x0001' driver='a'/>"));
  const char *second = POLICY ("<gate enabled='yes' deadline='8'><serve executable='x'/></gate><device "
                               "vendor='0x0002' driver='b'/><hooks time-limit='9'/>");
  const char *third = POLICY ("<gate enabled='no'><serve executable='y'/></gate><hooks time-limit='10'/>"
                              "<default driver='c'/>");

  g_assert_true (vv_policy_add_text (policy, "q.xml", second, strlen (second), NULL));
  g_assert_true (vv_policy_add_text (policy, "r.xml", third, strlen (third), NULL));
  g_assert_cmpint (policy->gate, ==, VV_YES);
  g_assert_cmpuint (policy->deadline_s, ==, 7);
  assert_list (policy->executables, "x");
  g_assert_cmpuint (policy->hook_limit_s, ==, 9);
  g_assert_cmpuint (policy->rules->len, ==, 2);
  g_assert_cmpstr (((VvRule *)policy->rules->pdata[0])->file, ==, "p.xml");
  g_assert_cmpstr (((VvRule *)policy->rules->pdata[1])->file, ==, "q.xml");
  g_assert_cmpuint (policy->defaults->len, ==, 1);
}

/* --- addresses --- */

static void
test_globs (void)
{
  static const struct {
    const char *text, *glob;
  } cases[] = {
      {"0000:3b:00.1", "0000:3b:00.1"},
      {"3B:00.1", "0000:3b:00.1"},
      {"10000:01:00.0", "10000:01:00.0"},
      {"3b:00.*", "0000:3b:00.*"},
      {"3b:*", "0000:3b:*"},
      {"?b:00.0", "0000:?b:00.0"},
      {"[0-3]b:*", "0000:[0-3]b:*"},
      {"0000:*", "0000:*"},
      {"1000[0-9]:*", "1000[0-9]:*"},
      {"0000:3b:00.[!0]", "0000:3b:00.[!0]"},
      {"*", "*"},
      {"*.0", "*.0"},
      {"*:00.0", "*:00.0"},
      {"*:3B:00.?", "*:3b:00.?"},
      {"1*:3b:00.0", "1*:3b:00.0"},
      {"1*:00.0", NULL}, /* ambiguous: a bus or a domain */
      {"3b*", NULL},
      {"???:00.0", NULL},
      {"", NULL},
      {"3b:00", NULL},
      {"3b:00.8", NULL},
      {"3b:20.0", NULL},
      {"3b.00:*", NULL},
      {"pci_0000_3b_00_1", NULL},
      {"/sys/bus/pci/devices/0000:3b:00.1", NULL},
      {"3b:00.[0", NULL},
      {"3b:00.0]", NULL},
      {"3b:00.[]", NULL},
      {"3b:00.[!]", NULL},
      {"3b:00.[[0]]", NULL},
      {"3b[:]00.0", NULL},
      {"3b:00.\\*", NULL},
      {"3b:00.* ", NULL},
      {"xx:*", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *glob = vv_policy_address_glob (cases[i].text);
    g_test_message ("%s", cases[i].text);
    g_assert_cmpstr (glob, ==, cases[i].glob);
  }
}

/* Globs match as in arguments of the command. */
static void
test_globs_are_those_of_the_command (void)
{
  static const char *const texts[] = {"*",          "0000:*",  "3b:*", "*.0",  "*:00.?",  "0000:?[4b]:00.*",
                                      "[0-4]*:*:*", "3b:00.1", "04:*", "*3b*", "10000:*", "*:04:00.0"};
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_add_device (f->k, "10000:04:00.0", DISK_MODALIAS, NULL, NULL);
  g_autoptr (GPtrArray) all = vv_pci_addresses (f->host, "*", NULL);
  g_assert_cmpuint (all->len, >, 2);
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autofree char *rule = g_strdup_printf (POLICY ("<device address='%s' driver='a'/>"), texts[i]);
    g_autoptr (VvPolicy) policy = read_text (rule);
    g_autoptr (GPtrArray) meant = vv_pci_addresses (f->host, texts[i], NULL);
    for (guint k = 0; k < all->len; k++) {
      g_autoptr (VvPciDevice) device = vv_pci_device_open (f->host, all->pdata[k], NULL);
      const VvRule *deciding = vv_policy_match (policy, device, NULL);
      gboolean is_meant = meant && g_ptr_array_find_with_equal_func (meant, all->pdata[k], g_str_equal, NULL);
      g_test_message ("%s, %s", texts[i], (char *)all->pdata[k]);
      g_assert_true (is_meant == (deciding != NULL));
    }
  }
}

/* --- files --- */

/* Returns: "NAME" or "NAME: problem" for each file, one per line, without the path of the root */
static char *
told (const Fixture *f, const VvPolicy *policy)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < policy->files->len; i++) {
    const VvPolicyFile *file = policy->files->pdata[i];
    g_string_append_printf (text, "%s%s%s%s", i ? "\n" : "", file->path, file->problem ? " -> " : "",
                            file->problem ? file->problem : "");
  }
  g_auto (GStrv) parts = g_strsplit (text->str, f->k->root, -1);
  return g_strjoinv ("", parts);
}

static void
assert_files (const Fixture *f, const char *expected)
{
  g_autoptr (VvPolicy) policy = vv_policy_read (f->host);
  g_autofree char *files = told (f, policy);

  g_assert_cmpstr (files, ==, expected);
}

static void
test_no_files (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  assert_files (f, "");
  fake_mkdir (f->k, FOLDER);
  assert_files (f, "");
}

static void
test_order (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();
  static const char *const names[] = {FOLDER "/b.xml", FOLDER "/10-a.xml", MAIN, FOLDER "/9.xml",
                                      FOLDER "/B.xml"};
  static const char *const passed_over[] = {"x.xml~", "x.xml.bak",      ".x.xml", "README",
                                            "x.XML",  "x.xml.dpkg-old", "xml"};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    fake_write (f->k, names[i], POLICY ("<device vendor='0x1234' driver='a'/>"));
  for (gsize i = 0; i < G_N_ELEMENTS (passed_over); i++) {
    g_autofree char *path = g_build_filename (FOLDER, passed_over[i], NULL);
    fake_write (f->k, path, "broken");
  }
  assert_files (f, MAIN "\n" FOLDER "/10-a.xml\n" FOLDER "/9.xml\n" FOLDER "/B.xml\n" FOLDER "/b.xml");
  g_autoptr (VvPolicy) policy = vv_policy_read (f->host);
  for (guint i = 0; i < policy->files->len; i++)
    g_assert_cmpstr (((VvRule *)policy->rules->pdata[i])->file, ==,
                     ((VvPolicyFile *)policy->files->pdata[i])->path);
}

/* A broken file is ignored as a whole; the other files count. */
static void
test_broken (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write (f->k, MAIN, POLICY ("<device vendor='0x1234' driver='a'/>\n <device driver='a'/>"));
  fake_write (f->k, FOLDER "/a.xml", "<vfio-variant>");
  fake_write (f->k, FOLDER "/b.xml", POLICY ("<default driver='b'/>"));
  fake_write (f->k, FOLDER "/c.xml", "");
  fake_mkdir (f->k, FOLDER "/d.xml");
  fake_link (f->k, FOLDER "/e.xml", "nowhere");
  fake_write_bytes (f->k, FOLDER "/f.xml", "<vfio-variant/>\0", strlen ("<vfio-variant/>") + 1);
  assert_files (
      f, MAIN " -> " MAIN ":3: <device> selects no devices: it needs one of address, vendor, class "
              "and so on; use <default> for all devices; ignoring the file\n" FOLDER "/a.xml -> " FOLDER
              "/a.xml:1: Premature end of data in tag vfio-variant line 1; ignoring the file\n" FOLDER
              "/b.xml\n" FOLDER "/c.xml -> " FOLDER "/c.xml:1: Document is empty; ignoring the file\n" FOLDER
              "/d.xml -> " FOLDER "/d.xml: not a regular file; ignoring the file\n" FOLDER "/e.xml -> " FOLDER
              "/e.xml: No such file or directory; ignoring the file\n" FOLDER "/f.xml -> " FOLDER
              "/f.xml: read: Invalid or incomplete multibyte or wide character; ignoring the file");
  g_autoptr (VvPolicy) policy = vv_policy_read (f->host);
  g_assert_cmpuint (policy->rules->len, ==, 0);
  g_assert_cmpuint (policy->defaults->len, ==, 1);
}

static void
change_mode (const Fixture *f, const char *path, mode_t mode)
{
  g_autofree char *full = g_build_filename (f->k->root, path, NULL);

  g_assert_cmpint (chmod (full, mode), ==, 0);
}

static void
test_others_can_write (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write (f->k, MAIN, POLICY (""));
  fake_write (f->k, FOLDER "/a.xml", POLICY ("<default driver='b'/>"));
  change_mode (f, MAIN, 0664);
  change_mode (f, FOLDER "/a.xml", 0602);
  assert_files (f, MAIN " -> " MAIN " is writable by its group or others; ignoring the file; if its contents "
                        "are yours: chmod go-w " MAIN "\n" FOLDER "/a.xml -> " FOLDER
                        "/a.xml is writable by its group or others; ignoring the file; if its contents are "
                        "yours: chmod go-w " FOLDER "/a.xml");
  change_mode (f, MAIN, 0644);
  change_mode (f, FOLDER "/a.xml", 0640);
  assert_files (f, MAIN "\n" FOLDER "/a.xml");
  change_mode (f, FOLDER, 0777);
  assert_files (f,
                MAIN "\n" FOLDER " -> " FOLDER " is writable by its group or others; ignoring the file; if "
                     "its contents are yours: chmod go-w " FOLDER);
}

static void
test_owner (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();
  g_autofree char *full = g_build_filename (f->k->root, MAIN, NULL);

  if (geteuid () != 0) {
    g_test_skip ("only root can give a file away");
    return;
  }
  fake_write (f->k, MAIN, POLICY (""));
  g_assert_cmpint (chown (full, NOBODY, NOBODY), ==, 0);
  assert_files (f, MAIN " -> " MAIN " belongs to user 65534 and not to root; ignoring the file; if its "
                        "contents are yours: chown root " MAIN);
}

/* Turns root's capability to read any file on or off (capset(2)) */
static void
see_all (gboolean on)
{
  const guint32 bits = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];

  g_assert_cmpint (syscall (SYS_capget, &header, data), ==, 0);
  data[0].effective = on ? data[0].effective | (bits & data[0].permitted) : data[0].effective & ~bits;
  g_assert_cmpint (syscall (SYS_capset, &header, data), ==, 0);
}

static void
test_unreadable (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write (f->k, MAIN, POLICY (""));
  fake_mkdir (f->k, FOLDER);
  change_mode (f, MAIN, 0);
  change_mode (f, FOLDER, 0);
  see_all (FALSE);
  assert_files (f, MAIN " -> " MAIN ": open: Permission denied; ignoring the file\n" FOLDER " -> " FOLDER
                        ": Permission denied; ignoring the file");
  g_autoptr (VvPolicy) policy = vv_policy_read (f->host);
  see_all (TRUE);
  fake_assert_matches (policy->unread, "*" MAIN ": open: Permission denied");
  change_mode (f, FOLDER, 0755);
}

/* Files that cannot be read differ from invalid files and files with a wrong owner or mode. */
static void
test_unread (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write (f->k, MAIN, "<vfio-variant>");
  fake_write (f->k, FOLDER "/a.xml", POLICY (""));
  change_mode (f, FOLDER "/a.xml", 0666);
  g_autofree char *blanks = g_strnfill (VV_POLICY_FILE_LIMIT + 1, ' ');
  fake_write (f->k, FOLDER "/b.xml", blanks);
  fake_link (f->k, FOLDER "/c.xml", "nowhere");
  g_autoptr (VvPolicy) wrong = vv_policy_read (f->host);
  g_assert_cmpuint (wrong->files->len, ==, 4);
  g_assert_null (wrong->unread);
  fake_link (f->k, FOLDER "/d.xml", "d.xml");
  g_autoptr (VvPolicy) unread = vv_policy_read (f->host);
  fake_assert_matches (unread->unread, "*/d.xml: Too many levels of symbolic links");
}

static void
test_names (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();

  fake_write (f->k, FOLDER "/a\n.xml", POLICY (""));
  fake_write (f->k, FOLDER "/\xff.xml", POLICY (""));
  fake_write (f->k, FOLDER "/\xc3\xa4.xml", POLICY (""));
  assert_files (
      f, FOLDER
      "/a\\n.xml -> " FOLDER "/a\\n.xml: its name has control characters or is not valid UTF-8; rename it; "
      "ignoring the file\n" FOLDER "/\xc3\xa4.xml\n" FOLDER "/\\377.xml -> " FOLDER
      "/\\377.xml: its name has control characters or is not valid UTF-8; rename it; ignoring the file");
}

/* --- limits --- */

static void
test_bounds (void)
{
  g_autoptr (VvPolicy) policy = vv_policy_new ();
  g_autoptr (GString) text = g_string_new ("<vfio-variant>\n");
  g_autoptr (GError) error = NULL, too_long = NULL;

  for (guint i = 0; i < VV_POLICY_RULE_LIMIT; i++)
    g_string_append (text, i % 2 ? "<default driver='a'/>\n" : "<device vendor='0x1234' driver='a'/>\n");
  g_string_append (text, "</vfio-variant>");
  g_assert_true (vv_policy_add_text (policy, "p.xml", text->str, text->len, NULL));
  g_assert_cmpuint (policy->rules->len + policy->defaults->len, ==, VV_POLICY_RULE_LIMIT);
  g_string_truncate (text, text->len - strlen ("</vfio-variant>"));
  g_string_append (text, "<default driver='a'/></vfio-variant>");
  g_assert_false (vv_policy_add_text (policy, "p.xml", text->str, text->len, &error));
  fake_assert_error (error, VV_ERROR_INVALID, "p.xml:4098: more than 4096 rules");
  g_autofree char *blanks = g_strnfill (VV_POLICY_FILE_LIMIT + 1, ' ');
  g_assert_false (vv_policy_add_text (policy, "p.xml", blanks, VV_POLICY_FILE_LIMIT + 1, &too_long));
  fake_assert_error (too_long, VV_ERROR_INVALID, "p.xml is larger than 1 MiB");
}

static void
test_bounds_of_files (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();
  g_autofree char *blanks = g_strnfill (VV_POLICY_FILE_LIMIT + 1, ' ');

  fake_write (f->k, MAIN, blanks);
  assert_files (f, MAIN " -> " MAIN ": File too large; ignoring the file");
  fake_remove (f->k, MAIN);
  for (guint i = 0; i <= VV_POLICY_FILES_LIMIT + 3; i++) {
    g_autofree char *path = g_strdup_printf (FOLDER "/%03u.xml", i);
    fake_write (f->k, path, POLICY (""));
  }
  g_autoptr (VvPolicy) policy = vv_policy_read (f->host);
  g_assert_cmpuint (policy->files->len, ==, VV_POLICY_FILES_LIMIT + 1);
  const VvPolicyFile *last = policy->files->pdata[VV_POLICY_FILES_LIMIT];
  fake_assert_matches (last->problem, "*/vfio-variant.d: more than 256 files; *");
  g_assert_null (((VvPolicyFile *)policy->files->pdata[VV_POLICY_FILES_LIMIT - 1])->problem);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/policy-xml/a-rule", test_rule);
  g_test_add_func ("/policy-xml/a-rule-that-says-little", test_little);
  g_test_add_func ("/policy-xml/settings", test_settings);
  g_test_add_func ("/policy-xml/all-or-nothing", test_all_or_nothing);
  g_test_add_func ("/policy-xml/what-is-said-first-counts", test_what_is_said_first_counts);
  g_test_add_func ("/policy-xml/globs-of-addresses", test_globs);
  g_test_add_func ("/policy-xml/globs-are-those-of-the-command", test_globs_are_those_of_the_command);
  g_test_add_func ("/policy-xml/no-files", test_no_files);
  g_test_add_func ("/policy-xml/order-of-files", test_order);
  g_test_add_func ("/policy-xml/broken-files", test_broken);
  g_test_add_func ("/policy-xml/files-that-others-can-write", test_others_can_write);
  g_test_add_func ("/policy-xml/files-of-others", test_owner);
  g_test_add_func ("/policy-xml/files-that-cannot-be-read", test_unreadable);
  g_test_add_func ("/policy-xml/what-cannot-be-read-is-told-from-what-is-wrong", test_unread);
  g_test_add_func ("/policy-xml/names-that-are-no-text", test_names);
  g_test_add_func ("/policy-xml/rules-and-length-are-bounded", test_bounds);
  g_test_add_func ("/policy-xml/number-of-files-is-bounded", test_bounds_of_files);
  return g_test_run ();
}
