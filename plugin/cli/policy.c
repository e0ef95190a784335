/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant policy: the administrator's policy as it was read, and whether files would do as one.
 */
#include <glib/gi18n-lib.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "policy-xml.h"

/* --- in words --- */

static void
add_pair (GString *text, const char *name, const char *value)
{
  if (value)
    g_string_append_printf (text, "%s%s=%s", text->len ? " " : "", name, value);
}

static char *
id_text (int id)
{
  return id < 0 ? NULL : g_strdup_printf ("0x%04x", (guint)id);
}

static char *
class_text (const VvRule *rule)
{
  return rule->class_code ? g_strconcat ("0x", rule->class_code, NULL) : NULL;
}

static void
add_id (GString *text, const char *name, int id)
{
  g_autofree char *value = id_text (id);

  add_pair (text, name, value);
}

static char *
match_text (const VvRule *rule)
{
  GString *text = g_string_new (NULL);
  g_autofree char *class = class_text (rule);

  add_pair (text, "address", rule->address);
  add_id (text, "vendor", rule->vendor);
  add_id (text, "product", rule->product);
  add_id (text, "subsystem-vendor", rule->subsystem_vendor);
  add_id (text, "subsystem-product", rule->subsystem_product);
  add_pair (text, "class", class);
  add_pair (text, "physical-function", rule->physical_function);
  add_pair (text, "native-driver", rule->native_driver);
  add_pair (text, "modalias", rule->modalias);
  add_pair (text, "iommu-group", rule->iommu_group);
  return g_string_free (text, FALSE);
}

static const char *
option_text (const VvOptions *options, VvOption option)
{
  return options->values[option] ? vv_option_value (option, options->values[option]) : NULL;
}

static char *
options_text (const VvOptions *options)
{
  GString *text = g_string_new (NULL);
  g_autofree char *drivers = options->drivers ? g_strjoinv (",", options->drivers) : NULL;

  add_pair (text, "driver", drivers);
  for (VvOption option = 0; option < VV_OPTIONS; option++)
    add_pair (text, vv_option_name (option), option_text (options, option));
  return g_string_free (text, FALSE);
}

/* --- text --- */

static struct libscols_table *
new_table (guint columns)
{
  struct libscols_table *table = scols_new_table ();

  scols_table_enable_noheadings (table, TRUE);
  for (guint i = 0; i <= columns; i++)
    scols_table_new_column (table, "", 0, 0);
  return table;
}

static void
add_row (struct libscols_table *table, const char *first, const char *second, const char *third)
{
  struct libscols_line *line = scols_table_new_line (table, NULL);
  const char *const cells[] = {"", first, second, third};

  for (gsize i = 0; i < G_N_ELEMENTS (cells) && cells[i]; i++)
    scols_line_set_data (line, i, cells[i]);
}

static void
print_table (const char *title, struct libscols_table *table)
{
  if (!scols_table_is_empty (table)) {
    puts (title);
    scols_print_table (table);
  }
  scols_unref_table (table);
}

static void
print_files (const GPtrArray *files)
{
  struct libscols_table *table = new_table (2);

  for (guint i = 0; i < files->len; i++) {
    const VvPolicyFile *file = files->pdata[i];
    add_row (table, file->path, file->problem ? _ ("ignored") : _ ("read"), NULL);
  }
  print_table (_ ("Files:"), table);
}

static void
print_rules (const GPtrArray *rules)
{
  struct libscols_table *table = new_table (3);

  for (guint i = 0; i < rules->len; i++) {
    const VvRule *rule = rules->pdata[i];
    g_autofree char *place = g_strdup_printf ("%s:%u", rule->file, rule->line);
    g_autofree char *match = match_text (rule);
    g_autofree char *options = options_text (&rule->options);
    add_row (table, place, match, options);
  }
  print_table (_ ("Rules; the first that matches a device decides:"), table);
}

static void
print_defaults (const GPtrArray *defaults)
{
  struct libscols_table *table = new_table (2);

  for (guint i = 0; i < defaults->len; i++) {
    const VvRule *rule = defaults->pdata[i];
    g_autofree char *place = g_strdup_printf ("%s:%u", rule->file, rule->line);
    g_autofree char *options = options_text (&rule->options);
    add_row (table, place, options, NULL);
  }
  print_table (_ ("Defaults, for what that rule does not say:"), table);
}

static void
add_seconds (struct libscols_table *table, const char *name, guint seconds)
{
  g_autofree char *text = seconds ? g_strdup_printf ("%u s", seconds) : NULL;

  if (text)
    add_row (table, name, text, NULL);
}

static void
print_settings (const VvPolicy *policy)
{
  struct libscols_table *table = new_table (2);
  g_autofree char *served = policy->executables ? g_strjoinv (", ", policy->executables) : NULL;

  if (policy->gate != VV_UNSAID)
    add_row (table, "gate", policy->gate == VV_YES ? "yes" : "no", NULL);
  add_seconds (table, _ ("gate deadline"), policy->deadline_s);
  if (served)
    add_row (table, _ ("gate serves"), served, NULL);
  add_seconds (table, _ ("hooks time-limit"), policy->hook_limit_s);
  print_table (_ ("Settings:"), table);
}

static void
print_text (const VvPolicy *policy)
{
  print_files (policy->files);
  print_rules (policy->rules);
  print_defaults (policy->defaults);
  print_settings (policy);
  if (!policy->rules->len && !policy->defaults->len)
    puts (_ ("no rules: each device gets the best driver that works"));
}

/* --- JSON --- */

static void
json_seconds (JsonBuilder *b, const char *name, guint seconds)
{
  if (seconds)
    vv_json_number (b, name, seconds);
  else
    vv_json_string (b, name, NULL);
}

static void
json_id (JsonBuilder *b, const char *name, int id)
{
  g_autofree char *text = id_text (id);

  vv_json_string (b, name, text);
}

static void
json_match (JsonBuilder *b, const VvRule *rule)
{
  g_autofree char *class = class_text (rule);

  vv_json_begin_object (b, "match");
  vv_json_string (b, "address", rule->address);
  json_id (b, "vendor", rule->vendor);
  json_id (b, "product", rule->product);
  json_id (b, "subsystem_vendor", rule->subsystem_vendor);
  json_id (b, "subsystem_product", rule->subsystem_product);
  vv_json_string (b, "class", class);
  vv_json_string (b, "physical_function", rule->physical_function);
  vv_json_string (b, "native_driver", rule->native_driver);
  vv_json_string (b, "modalias", rule->modalias);
  vv_json_string (b, "iommu_group", rule->iommu_group);
  json_builder_end_object (b);
}

static void
json_rules (JsonBuilder *b, const char *name, const GPtrArray *rules, gboolean with_match)
{
  vv_json_begin_array (b, name);
  for (guint i = 0; i < rules->len; i++) {
    const VvRule *rule = rules->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "file", rule->file);
    vv_json_number (b, "line", rule->line);
    if (with_match)
      json_match (b, rule);
    vv_json_strings (b, "drivers", rule->options.drivers, -1);
    vv_json_string (b, "fallback", option_text (&rule->options, VV_OPTION_FALLBACK));
    vv_json_string (b, "migratable", option_text (&rule->options, VV_OPTION_MIGRATABLE));
    vv_json_string (b, "unmanaged", option_text (&rule->options, VV_OPTION_UNMANAGED));
    vv_json_string (b, "host_use", option_text (&rule->options, VV_OPTION_HOST_USE));
    if (with_match) /* a default cannot say it */
      vv_json_string (b, "at_boot", option_text (&rule->options, VV_OPTION_AT_BOOT));
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

static void
json_files (JsonBuilder *b, const GPtrArray *files)
{
  vv_json_begin_array (b, "files");
  for (guint i = 0; i < files->len; i++) {
    const VvPolicyFile *file = files->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "path", file->path);
    vv_json_string (b, "problem", file->problem);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

static void
print_json (const VvPolicy *policy)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();

  json_builder_begin_object (b);
  json_files (b, policy->files);
  json_rules (b, "rules", policy->rules, TRUE);
  json_rules (b, "defaults", policy->defaults, FALSE);
  vv_json_answer (b, "gate", policy->gate != VV_UNSAID, policy->gate == VV_YES);
  json_seconds (b, "deadline_s", policy->deadline_s);
  vv_json_strings (b, "executables", policy->executables, -1);
  json_seconds (b, "hook_time_limit_s", policy->hook_limit_s);
  json_builder_end_object (b);
  vv_json_print (b);
}

/* --- the command --- */

static VvPolicy *
read_policy (const VvCommon *common, int argc, char **argv, GError **error)
{
  VvPolicy *policy;

  if (argc > 1) {
    policy = vv_policy_new ();
    for (int i = 1; i < argc; i++)
      vv_policy_add_path (policy, argv[i]);
    return policy;
  }
  g_autoptr (VvHost) host = vv_host_new (common->sysroot, NULL, error);
  return host ? vv_policy_read (host) : NULL;
}

static int
say_problems (const VvPolicy *policy)
{
  int code = VV_EXIT_DONE;

  for (guint i = 0; i < policy->files->len; i++) {
    const VvPolicyFile *file = policy->files->pdata[i];
    if (!file->problem)
      continue;
    fprintf (stderr, "vfio-variant: %s\n", file->problem);
    code = VV_EXIT_FAILED;
  }
  return code;
}

int
vv_cmd_policy (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  g_autoptr (GError) error = NULL;
  /* not among the options of the commands that only read: those have --kernel, which means nothing here */
  const GOptionEntry entries[] = {
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot, N_ ("Read the policy below DIR"), "DIR"},
      {NULL},
  };
  int code =
      vv_parse_options (&argc, &argv, "[FILE...]",
                        N_ ("Shows the policy: the files, the rules in the order in which they count, and "
                            "the settings.\nWith FILE: what these files say, as if they were the policy."),
                        entries, FALSE, &common);

  if (code >= 0)
    return code;
  if (common.sysroot && argc > 1)
    return vv_usage_error (argv[0], _ ("--sysroot or a FILE, not both"));
  g_autoptr (VvPolicy) policy = read_policy (&common, argc, argv, &error);
  if (!policy)
    return vv_print_error (error);
  if (common.json)
    print_json (policy);
  else
    print_text (policy);
  return say_problems (policy);
}
