/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant policy: shows the administrator's policy, and checks policy files.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>

#include "command.h"
#include "policy-xml.h"

/* --- rules --- */

/* The attributes that a rule can match, in the spelling of the policy */
static const char *const match_names[] = {
    "address",           "vendor",      "product",  "subsystem-vendor", "subsystem-product", "class",
    "physical-function", "host-driver", "modalias", "iommu-group"};

static char *
id_text (int id)
{
  return id < 0 ? NULL : g_strdup_printf ("0x%04x", (guint)id);
}

/* Returns: (transfer full) (element-type utf8): a value for each of match_names; NULL: matches any value */
static GPtrArray *
match_values (const VvRule *rule)
{
  char *const values[] = {g_strdup (rule->address),
                          id_text (rule->vendor),
                          id_text (rule->product),
                          id_text (rule->subsystem_vendor),
                          id_text (rule->subsystem_product),
                          rule->class_code ? g_strconcat ("0x", rule->class_code, NULL) : NULL,
                          g_strdup (rule->physical_function),
                          g_strdup (rule->host_driver),
                          g_strdup (rule->modalias),
                          g_strdup (rule->iommu_group)};
  GPtrArray *all = g_ptr_array_new_with_free_func (g_free);

  G_STATIC_ASSERT (G_N_ELEMENTS (values) == G_N_ELEMENTS (match_names));
  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    g_ptr_array_add (all, values[i]);
  return all;
}

static const char *
option_text (const VvRule *rule, VvOption option)
{
  int value = rule->options.values[option];

  return value ? vv_option_value (option, value) : NULL;
}

/* --- text --- */

static void
add_pair (GString *text, const char *name, const char *value)
{
  if (value)
    g_string_append_printf (text, "%s%s=%s", text->len ? " " : "", name, value);
}

/* The first column is empty and indents the others. */
static const char *const columns[] = {"", "", "", "", NULL};

/* @match: print the attributes to match; defaults have none */
static void
print_rules (const char *title, const GPtrArray *rules, gboolean match)
{
  struct libscols_table *table = vv_table_new (match ? columns : columns + 1, FALSE);

  for (guint i = 0; i < rules->len; i++) {
    const VvRule *rule = rules->pdata[i];
    g_autofree char *place = g_strdup_printf ("%s:%u", rule->file, rule->line);
    g_autoptr (GPtrArray) values = match_values (rule);
    g_autoptr (GString) matches = g_string_new (NULL);
    g_autoptr (GString) options = g_string_new (NULL);
    g_autofree char *drivers = rule->options.drivers ? g_strjoinv (",", rule->options.drivers) : NULL;
    for (gsize k = 0; k < G_N_ELEMENTS (match_names); k++)
      add_pair (matches, match_names[k], values->pdata[k]);
    add_pair (options, "driver", drivers);
    for (VvOption option = 0; option < VV_OPTIONS; option++)
      add_pair (options, vv_option_name (option), option_text (rule, option));
    vv_table_add (table, (const char *[]){"", place, match ? matches->str : options->str,
                                          match ? options->str : NULL, NULL});
  }
  vv_table_print (table, title);
}

static void
add_seconds (struct libscols_table *table, const char *name, guint seconds)
{
  g_autofree char *text = g_strdup_printf ("%u s", seconds);

  if (seconds)
    vv_table_add (table, (const char *[]){"", name, text, NULL});
}

static void
print_settings (const VvPolicy *policy)
{
  struct libscols_table *table = vv_table_new (columns + 1, FALSE);
  g_autofree char *served = policy->executables ? g_strjoinv (", ", policy->executables) : NULL;

  if (policy->gate != VV_UNSAID)
    vv_table_add (table, (const char *[]){"", "gate", policy->gate == VV_YES ? "yes" : "no", NULL});
  add_seconds (table, _ ("gate deadline"), policy->deadline_s);
  if (served)
    vv_table_add (table, (const char *[]){"", _ ("gate serves"), served, NULL});
  add_seconds (table, _ ("hooks time-limit"), policy->hook_limit_s);
  vv_table_print (table, _ ("Settings:"));
}

static void
print_text (const VvPolicy *policy)
{
  struct libscols_table *files = vv_table_new (columns + 1, FALSE);

  for (guint i = 0; i < policy->files->len; i++) {
    const VvPolicyFile *file = policy->files->pdata[i];
    vv_table_add (files, (const char *[]){"", file->path, file->problem ? _ ("ignored") : _ ("read"), NULL});
  }
  vv_table_print (files, _ ("Files:"));
  print_rules (_ ("Rules (the first that matches a device applies):"), policy->rules, TRUE);
  print_rules (_ ("Defaults (for options that the rule does not set):"), policy->defaults, FALSE);
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
json_match (JsonBuilder *b, const VvRule *rule)
{
  g_autoptr (GPtrArray) values = match_values (rule);

  vv_json_begin_object (b, "match");
  for (gsize i = 0; i < G_N_ELEMENTS (match_names); i++) {
    g_autofree char *key = vv_json_key (match_names[i]);
    vv_json_string (b, key, values->pdata[i]);
  }
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
    for (VvOption option = 0; option < VV_OPTIONS; option++) {
      g_autofree char *key = vv_json_key (vv_option_name (option));
      if (with_match || option != VV_OPTION_AT_BOOT) /* a default has no at-boot */
        vv_json_string (b, key, option_text (rule, option));
    }
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

int
vv_cmd_policy (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  g_autoptr (GError) error = NULL;
  /* VV_TAKES_ELSEWHERE would also add --kernel, which has no meaning here */
  const GOptionEntry entries[] = {
      {"sysroot", 0, 0, G_OPTION_ARG_FILENAME, &common.sysroot, N_ ("Read the policy below DIR"), "DIR"},
      {NULL},
  };
  int code = vv_parse_options (&argc, &argv, "[FILE...]",
                               N_ ("Shows the policy: its files, its rules in order, and its settings.\nWith "
                                   "FILE arguments, shows these files as if they were the policy."),
                               entries, VV_TAKES_DEFAULT, &common);

  if (code >= 0)
    return code;
  if (common.sysroot && argc > 1)
    return vv_usage_error (argv[0], _ ("--sysroot and FILE exclude each other"));
  g_autoptr (VvHost) host = argc > 1 ? NULL : vv_host_new (common.sysroot, NULL, &error);
  if (error)
    return vv_print_error (error);
  g_autoptr (VvPolicy) policy = host ? vv_policy_read (host) : vv_policy_new ();
  for (int i = 1; i < argc; i++)
    vv_policy_add_path (policy, argv[i]);
  if (common.json)
    print_json (policy);
  else
    print_text (policy);
  code = VV_EXIT_DONE;
  for (guint i = 0; i < policy->files->len; i++) {
    const VvPolicyFile *file = policy->files->pdata[i];
    if (!file->problem)
      continue;
    fprintf (stderr, "vfio-variant: %s\n", file->problem);
    code = VV_EXIT_FAILED;
  }
  return code;
}
