/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy-xml.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modalias.h"
#include "one-line.h"

#define MAIN_FILE "vfio-variant.xml"
#define MORE_FILES "vfio-variant.d"
#define PATTERN_LIMIT 256 /* a PCI modalias has 57 bytes */
#define MOST_SECONDS 3600
#define DRIVERS_LIMIT 32 /* in one list */
#define BLANKS " \t\n\r" /* separators of an XML list */

/* --- values --- */

static char **
split (const char *value)
{
  g_auto (GStrv) parts = g_strsplit_set (value, BLANKS, -1);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (char **part = parts; *part; part++)
    if (**part)
      g_ptr_array_add (names, g_strdup (*part));
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

gboolean
vv_is_driver_list (const char *value)
{
  g_auto (GStrv) names = split (value);
  guint n = g_strv_length (names);

  for (char **name = names; *name; name++)
    if (!vv_name_is_safe (*name) || (n > 1 && strcmp (*name, VV_DRIVER_AUTO) == 0))
      return FALSE;
  return n > 0 && n <= DRIVERS_LIMIT;
}

gboolean
vv_is_fallback (const char *value)
{
  return vv_option_parse (VV_OPTION_FALLBACK, value) != 0;
}

gboolean
vv_is_migratable (const char *value)
{
  return vv_option_parse (VV_OPTION_MIGRATABLE, value) != 0;
}

/* Returns: whether each '[' has a ']', and between them a set that is not empty and has no character of
 * @forbidden. Other sets of fnmatch(3) are easy to misread. */
static gboolean
has_good_sets (const char *text, const char *forbidden)
{
  const char *open = NULL;

  for (const char *c = text; *c; c++) {
    if (open && (*c == '[' || strchr (forbidden, *c)))
      return FALSE;
    if (*c == ']' && (!open || c == open + 1 || (c == open + 2 && open[1] == '!')))
      return FALSE;
    if (*c == '[')
      open = c;
    else if (*c == ']')
      open = NULL;
  }
  return !open;
}

/* Returns: the number of characters that a pattern without '*' matches before @end; a set is one */
static guint
characters_before (const char *text, const char *end)
{
  guint n = 0;
  gboolean in_set = FALSE;

  for (const char *c = text; c < end; c++) {
    in_set = (in_set || *c == '[') && *c != ']';
    n += !in_set;
  }
  return n;
}

char *
vv_policy_address_glob (const char *text)
{
  gsize length = strnlen (text, PATTERN_LIMIT + 1);

  if (length > PATTERN_LIMIT || strspn (text, "0123456789abcdefABCDEF:.*?[]!-") != length)
    return NULL;
  if (!strpbrk (text, "*?["))
    return strchr (text, ':') ? vv_pci_address_parse (text, NULL) : NULL;
  g_autofree char *lower = g_ascii_strdown (text, -1);
  const char *colon = strchr (lower, ':');
  if (!has_good_sets (lower, ":.*?") || (colon && strcspn (lower, ".") < (gsize)(colon - lower)))
    return NULL;
  if (*lower == '*' || (colon && strchr (colon + 1, ':'))) /* a leading '*' includes any domain */
    return g_steal_pointer (&lower);
  if (!colon)
    return NULL;
  if (memchr (lower, '*', colon - lower))
    return NULL;
  guint n = characters_before (lower, colon);
  if (n >= 4)
    return g_steal_pointer (&lower);
  return n == 1 || n == 2 ? g_strconcat ("0000:", lower, NULL) : NULL;
}

static gboolean
is_address_glob (const char *value)
{
  g_autofree char *pattern = vv_policy_address_glob (value);

  return pattern != NULL;
}

/* Returns: the number of hexadecimal digits after 0x, or 0 if @value is not such a number */
static gsize
count_digits (const char *value)
{
  const char *digits = g_str_has_prefix (value, "0x") ? value + strlen ("0x") : "";
  gsize n = strspn (digits, "0123456789abcdefABCDEF");

  return digits[n] ? 0 : n;
}

static gboolean
is_id (const char *value)
{
  return count_digits (value) == 4;
}

static gboolean
is_class (const char *value)
{
  gsize n = count_digits (value);

  return n == 2 || n == 4 || n == 6;
}

static gboolean
is_driver_glob (const char *value)
{
  gsize length = strnlen (value, PATTERN_LIMIT + 1);

  for (const char *c = value; *c && length <= PATTERN_LIMIT; c++)
    if (!g_ascii_isalnum (*c) && !strchr ("_.+-*?[]!", *c))
      return FALSE;
  return length > 0 && length <= PATTERN_LIMIT && has_good_sets (value, "");
}

static gboolean
is_modalias_glob (const char *value)
{
  gsize length = strnlen (value, PATTERN_LIMIT + 1);

  for (const char *c = value; *c && length <= PATTERN_LIMIT; c++)
    if (!g_ascii_isgraph (*c) || strchr ("\\^", *c))
      return FALSE;
  return length <= PATTERN_LIMIT && (*value == '*' || g_str_has_prefix (value, "pci:")) &&
         has_good_sets (value, "");
}

/* In the spelling of sysfs, because it is compared as text. */
static gboolean
is_group (const char *value)
{
  return g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT, NULL, NULL) && (*value != '0' || !value[1]);
}

static gboolean
is_seconds (const char *value)
{
  return g_ascii_string_to_unsigned (value, 10, 1, MOST_SECONDS, NULL, NULL) && *value != '0';
}

static gboolean
is_unmanaged (const char *value)
{
  return vv_option_parse (VV_OPTION_UNMANAGED, value) != 0;
}

static gboolean
is_host_use (const char *value)
{
  return vv_option_parse (VV_OPTION_HOST_USE, value) != 0;
}

static gboolean
is_yes_or_no (const char *value)
{
  return strcmp (value, "yes") == 0 || strcmp (value, "no") == 0;
}

/* --- the format --- */

#define ADDRESSES N_ ("an address or a glob of addresses, such as 0000:3b:00.1 or 3b:00.*")
#define ID N_ ("0x and 4 hexadecimal digits")
#define SECONDS N_ ("a number of seconds from 1 to 3600")

/* Options that only the administrator can set */
#define HOST_OPTIONS                                                                                         \
  {"unmanaged", N_ ("ignore or manage"), is_unmanaged},                                                      \
  {                                                                                                          \
    "host-use", N_ ("refuse or warn"), is_host_use                                                           \
  }

static const VvXmlAttribute device_attributes[] = {
    {"address", ADDRESSES, is_address_glob},
    {"vendor", ID, is_id},
    {"product", ID, is_id},
    {"subsystem-vendor", ID, is_id},
    {"subsystem-product", ID, is_id},
    {"class", N_ ("0x and the first 2, 4 or all 6 hexadecimal digits"), is_class},
    {"physical-function", ADDRESSES, is_address_glob},
    {"host-driver", N_ ("a driver's name or a glob of names"), is_driver_glob},
    {"modalias", N_ ("a glob such as pci:v000015B3d*"), is_modalias_glob},
    {"iommu-group", N_ ("a number without leading zeros"), is_group},
    VV_DOMAIN_OPTIONS,
    HOST_OPTIONS,
    {"at-boot", N_ ("yes or no"), is_yes_or_no},
    {NULL},
};
static const VvXmlAttribute default_attributes[] = {VV_DOMAIN_OPTIONS, HOST_OPTIONS, {NULL}};
static const VvXmlAttribute gate_attributes[] = {
    {"enabled", N_ ("yes or no"), is_yes_or_no},
    {"deadline", SECONDS, is_seconds},
    {NULL},
};
static const VvXmlAttribute serve_attributes[] = {
    {"executable", N_ ("a program name without directories"), vv_name_is_safe},
    {NULL},
};
static const VvXmlAttribute hooks_attributes[] = {{"time-limit", SECONDS, is_seconds}, {NULL}};

static const VvXmlElement device_element = {"device", device_attributes, NULL, FALSE, NULL};
static const VvXmlElement default_element = {"default", default_attributes, NULL, FALSE, NULL};
static const VvXmlElement serve_element = {"serve", serve_attributes, NULL, FALSE, "executable"};
static const VvXmlElement *const in_gate[] = {&serve_element, NULL};
static const VvXmlElement gate_element = {"gate", gate_attributes, in_gate, TRUE, NULL};
static const VvXmlElement hooks_element = {"hooks", hooks_attributes, NULL, TRUE, NULL};
static const VvXmlElement *const in_policy[] = {
    &device_element, &default_element, &gate_element, &hooks_element, NULL,
};
static const VvXmlElement policy_element = {"vfio-variant", NULL, in_policy, TRUE, NULL};

/* --- reading --- */

void
vv_options_from_xml (VvOptions *options, const xmlNode *element)
{
  g_autofree char *drivers = vv_xml_attribute (element, "driver");

  options->drivers = drivers ? split (drivers) : NULL;
  for (VvOption option = 0; option < VV_OPTIONS; option++) {
    g_autofree char *value = vv_xml_attribute (element, vv_option_name (option));
    options->values[option] = value ? vv_option_parse (option, value) : 0;
  }
}

static int
id_of (const xmlNode *node, const char *name)
{
  g_autofree char *value = vv_xml_attribute (node, name);

  return value ? (int)g_ascii_strtoull (value + strlen ("0x"), NULL, 16) : -1;
}

static guint
seconds_of (const xmlNode *node, const char *name)
{
  g_autofree char *value = vv_xml_attribute (node, name);

  return value ? (guint)g_ascii_strtoull (value, NULL, 10) : 0;
}

static char *
glob_of (const xmlNode *node, const char *name)
{
  g_autofree char *value = vv_xml_attribute (node, name);

  return value ? vv_policy_address_glob (value) : NULL;
}

static void
read_match (VvRule *rule, const xmlNode *node)
{
  g_autofree char *class = vv_xml_attribute (node, "class");

  rule->address = glob_of (node, "address");
  rule->physical_function = glob_of (node, "physical-function");
  rule->host_driver = vv_xml_attribute (node, "host-driver");
  rule->modalias = vv_xml_attribute (node, "modalias");
  rule->iommu_group = vv_xml_attribute (node, "iommu-group");
  rule->vendor = id_of (node, "vendor");
  rule->product = id_of (node, "product");
  rule->subsystem_vendor = id_of (node, "subsystem-vendor");
  rule->subsystem_product = id_of (node, "subsystem-product");
  rule->class_code = class ? g_ascii_strdown (class + strlen ("0x"), -1) : NULL;
}

/* Also checks what the tables cannot express: a rule must select devices and set an option. */
static gboolean
add_rule (VvPolicy *policy, const char *path, const xmlNode *node, GError **error)
{
  gboolean is_default = vv_xml_is_element (node, "default");
  g_autoptr (VvRule) rule = vv_rule_new (path, vv_xml_line (node));

  read_match (rule, node);
  vv_options_from_xml (&rule->options, node);
  if (policy->rules->len + policy->defaults->len == VV_POLICY_RULE_LIMIT)
    return vv_xml_fail (node, error, _ ("more than %d rules"), VV_POLICY_RULE_LIMIT);
  if (!is_default && !rule->address && !rule->physical_function && !rule->host_driver && !rule->modalias &&
      !rule->iommu_group && rule->vendor < 0 && rule->product < 0 && rule->subsystem_vendor < 0 &&
      rule->subsystem_product < 0 && !rule->class_code)
    return vv_xml_fail (node, error,
                        _ ("<device> selects no devices: it needs one of address, vendor, class and so on; "
                           "use <default> for all devices"));
  if (vv_options_are_empty (&rule->options))
    return vv_xml_fail (
        node, error,
        is_default
            ? _ ("<%s> sets nothing: it needs one of driver, fallback, migratable, unmanaged, host-use")
            : _ ("<%s> sets nothing: it needs one of driver, fallback, migratable, unmanaged, host-use, "
                 "at-boot"),
        (const char *)node->name);
  if (rule->host_driver && rule->options.values[VV_OPTION_AT_BOOT] == VV_AT_BOOT_YES)
    return vv_xml_fail (node, error,
                        _ ("at-boot='yes' excludes host-driver: a new device has no driver yet; select it by "
                           "other attributes"));
  g_ptr_array_add (is_default ? policy->defaults : policy->rules, g_steal_pointer (&rule));
  return TRUE;
}

static char **
executables_of (const xmlNode *gate)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (const xmlNode *node = gate->children; node; node = node->next)
    if (vv_xml_is_element (node, "serve"))
      g_ptr_array_add (names, vv_xml_attribute (node, "executable"));
  if (!names->len)
    return NULL;
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static gboolean
read_element (VvPolicy *policy, const char *path, const xmlNode *node, GError **error)
{
  if (vv_xml_is_element (node, "device") || vv_xml_is_element (node, "default"))
    return add_rule (policy, path, node, error);
  if (vv_xml_is_element (node, "hooks"))
    policy->hook_limit_s = seconds_of (node, "time-limit");
  if (vv_xml_is_element (node, "gate")) {
    g_autofree char *enabled = vv_xml_attribute (node, "enabled");
    if (enabled)
      policy->gate = strcmp (enabled, "yes") == 0 ? VV_YES : VV_NO;
    policy->deadline_s = seconds_of (node, "deadline");
    policy->executables = executables_of (node);
  }
  return TRUE;
}

static void
append_all (GPtrArray *to, GPtrArray *from)
{
  for (guint i = 0; i < from->len; i++)
    g_ptr_array_add (to, from->pdata[i]);
  g_ptr_array_set_free_func (from, NULL);
}

/* Appends the rules and defaults of @later to @policy. For each setting, the first one applies. */
static void
append_policy (VvPolicy *policy, VvPolicy *later)
{
  append_all (policy->rules, later->rules);
  append_all (policy->defaults, later->defaults);
  if (policy->gate == VV_UNSAID)
    policy->gate = later->gate;
  if (!policy->deadline_s)
    policy->deadline_s = later->deadline_s;
  if (!policy->hook_limit_s)
    policy->hook_limit_s = later->hook_limit_s;
  if (!policy->executables)
    policy->executables = g_steal_pointer (&later->executables);
}

/* Before 1.0, <metrics> set the file to which vfio-variantd writes its metrics. Ignores it, so that the file
 * keeps its rules. */
static void
pass_over_metrics (const char *path, const xmlNode *root)
{
  xmlNode *metrics = (xmlNode *)vv_xml_child (root, "metrics");

  if (!metrics)
    return;
  g_warning ("%s:%u: ignoring <metrics>, which was removed: delete it, and use 'systemctl enable --now "
             "vfio-variant-metrics.timer' to write the metrics to a file",
             path, vv_xml_line (metrics));
  xmlUnlinkNode (metrics);
  xmlFreeNode (metrics);
}

/* The name of host-driver before 1.0 was native-driver. */
static void
rename_native_driver (const char *path, const xmlNode *root)
{
  for (xmlNode *node = root->children; node; node = node->next) {
    xmlAttr *attribute =
        vv_xml_is_element (node, "device") ? xmlHasNsProp (node, BAD_CAST "native-driver", NULL) : NULL;
    if (!attribute || xmlHasNsProp (node, BAD_CAST "host-driver", NULL))
      continue; /* which of two is meant cannot be known: the attribute is refused */
    g_warning_once ("%s:%u: native-driver was renamed to host-driver: use the new name", path,
                    vv_xml_line (node));
    xmlNodeSetName ((xmlNode *)attribute, BAD_CAST "host-driver");
  }
}

gboolean
vv_policy_add_text (VvPolicy *policy, const char *path, const char *text, gsize length, GError **error)
{
  g_autoptr (VvXml) xml = vv_xml_parse (path, text, length, VV_POLICY_FILE_LIMIT, error);
  const xmlNode *root = xml ? vv_xml_root (xml) : NULL;
  g_autoptr (VvPolicy) said = vv_policy_new ();

  if (root) {
    pass_over_metrics (path, root);
    rename_native_driver (path, root);
  }
  if (!root || !vv_xml_check (root, &policy_element, NULL, error))
    return FALSE;
  for (const xmlNode *node = root->children; node; node = node->next)
    if (!read_element (said, path, node, error))
      return FALSE;
  append_policy (policy, said);
  return TRUE;
}

/* --- files --- */

static char *
problem_with (const char *path, const char *what)
{
  return g_strdup_printf (_ ("%s: %s; ignoring the file"), path, what);
}

/* Returns: the problem with @path, for which a system call failed with @errnum */
static char *
fail_to_read (VvPolicy *policy, const char *path, int errnum)
{
  if (!policy->unread && errnum != ENOENT) /* ENOENT: a dangling link */
    policy->unread = g_strdup_printf ("%s: %s", path, g_strerror (errnum));
  return problem_with (path, g_strerror (errnum));
}

/* Returns: (nullable): why root must not trust @path */
static char *
fault_of (VvPolicy *policy, const VvHost *host, const char *path)
{
  uid_t owner = host->sysroot ? geteuid () : 0;
  struct stat st;

  if (stat (path, &st) < 0)
    return fail_to_read (policy, path, errno);
  if (st.st_uid != 0 && st.st_uid != owner)
    return g_strdup_printf (_ ("%s belongs to user %u and not to root; ignoring the file; if its contents "
                               "are yours: chown root %s"),
                            path, st.st_uid, path);
  if (st.st_mode & 022)
    return g_strdup_printf (_ ("%s is writable by its group or others; ignoring the file; if its contents "
                               "are yours: chmod go-w %s"),
                            path, path);
  return NULL;
}

static char *
read_file (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr (VvDir) dir = vv_dir_open (NULL, folder, error);
  struct stat st;

  if (!dir)
    return NULL;
  if (stat (path, &st) == 0 && (!S_ISREG (st.st_mode) || st.st_size > VV_POLICY_FILE_LIMIT)) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "%s: %s", path,
                 S_ISREG (st.st_mode) ? g_strerror (EFBIG) : _ ("not a regular file"));
    return NULL;
  }
  return vv_io_read (dir, name, VV_POLICY_FILE_LIMIT, error);
}

void
vv_policy_add_path (VvPolicy *policy, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = read_file (path, &error);
  g_autofree char *problem = NULL;

  if (!text || !vv_policy_add_text (policy, path, text, strlen (text), &error))
    problem = g_strdup_printf (_ ("%s; ignoring the file"), error->message);
  if (error && !g_error_matches (error, VV_ERROR, VV_ERROR_INVALID) && !policy->unread)
    policy->unread = g_strdup (error->message);
  vv_policy_add_file (policy, path, problem);
}

static void
add_trusted (VvPolicy *policy, const VvHost *host, const char *path)
{
  g_autofree char *fault = fault_of (policy, host, path);

  if (fault)
    vv_policy_add_file (policy, path, fault);
  else
    vv_policy_add_path (policy, path);
}

/* A name that cannot be printed cannot identify the file of a rule either. */
static void
add_named (VvPolicy *policy, const VvHost *host, const char *folder, const char *name)
{
  g_autofree char *escaped = vv_can_be_shown (name) ? NULL : g_strescape (name, NULL);
  g_autofree char *path = g_build_filename (folder, escaped ? escaped : name, NULL);

  if (!escaped) {
    add_trusted (policy, host, path);
    return;
  }
  g_autofree char *problem =
      problem_with (path, _ ("its name has control characters or is not valid UTF-8; rename it"));
  vv_policy_add_file (policy, path, problem);
}

static void
add_folder (VvPolicy *policy, const VvHost *host, const char *folder)
{
  g_autofree char *fault = fault_of (policy, host, folder);
  g_autoptr (VvDir) dir = fault ? NULL : vv_dir_open (NULL, folder, NULL);
  g_autoptr (GPtrArray) names = dir ? vv_io_list (dir, ".") : g_ptr_array_new ();
  guint n = 0;

  if (!fault && (!dir || faccessat (dir->fd, ".", R_OK | X_OK, AT_EACCESS) < 0))
    fault = fail_to_read (policy, folder, errno);
  for (guint i = 0; !fault && i < names->len; i++) {
    if (!g_str_has_suffix (names->pdata[i], ".xml"))
      continue;
    if (n++ == VV_POLICY_FILES_LIMIT)
      fault =
          g_strdup_printf (_ ("%s: more than 256 files; ignoring those that sort after the 256th"), folder);
    else
      add_named (policy, host, folder, names->pdata[i]);
  }
  if (fault)
    vv_policy_add_file (policy, folder, fault);
}

/* A dangling link counts as existing. */
static gboolean
is_there (const char *path)
{
  struct stat st;

  return lstat (path, &st) == 0 || errno != ENOENT;
}

VvPolicy *
vv_policy_read (const VvHost *host)
{
  g_autofree char *main_file = vv_host_path (host, VV_LIBVIRT_DIR "/" MAIN_FILE);
  g_autofree char *folder = vv_host_path (host, VV_LIBVIRT_DIR "/" MORE_FILES);
  VvPolicy *policy = vv_policy_new ();

  if (is_there (main_file))
    add_trusted (policy, host, main_file);
  if (is_there (folder))
    add_folder (policy, host, folder);
  return policy;
}
