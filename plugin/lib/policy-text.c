/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy-text.h"

#include <glib/gi18n-lib.h>
#include <stddef.h>
#include <string.h>

#define GROUP "policy"
#define END "end" /* the last group: without it the text was cut off */
#define FORM 1    /* changes with what the text means */
#define MOST_ID 0xffff

/* Where a rule's texts and numbers are kept, and under which keys */
static const struct {
  const char *key;
  gsize offset;
} texts[] =
    {
        {"file", offsetof (VvRule, file)},
        {"address", offsetof (VvRule, address)},
        {"physical-function", offsetof (VvRule, physical_function)},
        {"native-driver", offsetof (VvRule, native_driver)},
        {"modalias", offsetof (VvRule, modalias)},
        {"iommu-group", offsetof (VvRule, iommu_group)},
        {"class", offsetof (VvRule, class_code)},
},
  numbers[] = {
      {"vendor", offsetof (VvRule, vendor)},
      {"product", offsetof (VvRule, product)},
      {"subsystem-vendor", offsetof (VvRule, subsystem_vendor)},
      {"subsystem-product", offsetof (VvRule, subsystem_product)},
};

/* --- writing --- */

static void
set_text (GKeyFile *file, const char *group, const char *key, const char *value)
{
  g_autofree char *valid = value ? g_utf8_make_valid (value, -1) : NULL;

  if (valid)
    g_key_file_set_string (file, group, key, valid);
}

static void
set_list (GKeyFile *file, const char *group, const char *key, char *const *values)
{
  g_autoptr (GPtrArray) valid = g_ptr_array_new_with_free_func (g_free);

  for (char *const *value = values; value && *value; value++)
    g_ptr_array_add (valid, g_utf8_make_valid (*value, -1));
  if (values)
    g_key_file_set_string_list (file, group, key, (const char *const *)valid->pdata, valid->len);
}

static void
write_rules (GKeyFile *file, const char *kind, const GPtrArray *rules)
{
  for (guint i = 0; i < rules->len; i++) {
    const char *rule = rules->pdata[i]; /* as bytes, for the offsets */
    const VvRule *r = rules->pdata[i];
    g_autofree char *group = g_strdup_printf ("%s %u", kind, i + 1);
    g_key_file_set_integer (file, group, "line", (int)r->line);
    for (gsize k = 0; k < G_N_ELEMENTS (texts); k++)
      set_text (file, group, texts[k].key, *(char *const *)(rule + texts[k].offset));
    for (gsize k = 0; k < G_N_ELEMENTS (numbers); k++)
      if (*(const int *)(rule + numbers[k].offset) >= 0)
        g_key_file_set_integer (file, group, numbers[k].key, *(const int *)(rule + numbers[k].offset));
    set_list (file, group, "driver", r->terms.drivers);
    for (VvTerm term = 0; term < VV_TERMS; term++)
      if (r->terms.values[term])
        set_text (file, group, vv_term_name (term), vv_term_value (term, r->terms.values[term]));
  }
}

static void
write_files (GKeyFile *file, const GPtrArray *files)
{
  for (guint i = 0; i < files->len; i++) {
    const VvPolicyFile *f = files->pdata[i];
    g_autofree char *group = g_strdup_printf ("file %u", i + 1);
    set_text (file, group, "path", f->path);
    set_text (file, group, "problem", f->problem);
  }
}

char *
vv_policy_to_text (const VvPolicy *policy)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  g_key_file_set_integer (file, GROUP, "form", FORM);
  g_key_file_set_integer (file, GROUP, "files", (int)policy->files->len);
  g_key_file_set_integer (file, GROUP, "rules", (int)policy->rules->len);
  g_key_file_set_integer (file, GROUP, "defaults", (int)policy->defaults->len);
  if (policy->gate != VV_UNSAID)
    g_key_file_set_boolean (file, GROUP, "gate", policy->gate == VV_YES);
  if (policy->deadline_s)
    g_key_file_set_uint64 (file, GROUP, "deadline-s", policy->deadline_s);
  if (policy->hook_limit_s)
    g_key_file_set_uint64 (file, GROUP, "hook-limit-s", policy->hook_limit_s);
  set_list (file, GROUP, "executables", policy->executables);
  set_text (file, GROUP, "textfile", policy->textfile);
  write_files (file, policy->files);
  write_rules (file, "rule", policy->rules);
  write_rules (file, "default", policy->defaults);
  g_key_file_set_boolean (file, END, "complete", TRUE);
  return g_key_file_to_data (file, NULL, NULL);
}

/* --- reading: the first thing that is wrong is kept, and ends it --- */

typedef struct {
  GKeyFile *file;
  char *problem;
} Reader;

static void
damaged (Reader *r, const char *group, const char *key)
{
  if (!r->problem)
    r->problem = g_strdup_printf ("[%.40s] %s", group, key);
}

/* GLib may return something beside an error: only that there is none counts. */
static gboolean
is_good (Reader *r, const char *group, const char *key, const GError *error)
{
  if (error && !g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND) &&
      !g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_GROUP_NOT_FOUND))
    damaged (r, group, key);
  return !error;
}

static char *
get_text (Reader *r, const char *group, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *value = g_key_file_get_string (r->file, group, key, &error);

  return is_good (r, group, key, error) ? g_steal_pointer (&value) : NULL;
}

static char **
get_list (Reader *r, const char *group, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) values = g_key_file_get_string_list (r->file, group, key, NULL, &error);

  return is_good (r, group, key, error) ? g_steal_pointer (&values) : NULL;
}

/* Returns: @otherwise when it is not there */
static int
get_number (Reader *r, const char *group, const char *key, int most, int otherwise)
{
  g_autofree char *text = get_text (r, group, key);
  guint64 value = 0;

  if (!text)
    return otherwise;
  if (!g_ascii_string_to_unsigned (text, 10, 0, (guint64)most, &value, NULL))
    damaged (r, group, key);
  return (int)value;
}

static VvSwitch
get_switch (Reader *r, const char *group, const char *key)
{
  g_autofree char *text = get_text (r, group, key);

  if (text && strcmp (text, "true") != 0 && strcmp (text, "false") != 0)
    damaged (r, group, key);
  return !text ? VV_UNSAID : strcmp (text, "true") == 0 ? VV_YES : VV_NO;
}

static void
read_terms (Reader *r, const char *group, VvTerms *terms)
{
  terms->drivers = get_list (r, group, "driver");
  for (VvTerm term = 0; term < VV_TERMS; term++) {
    g_autofree char *value = get_text (r, group, vv_term_name (term));
    terms->values[term] = value ? vv_term_parse (term, value) : 0;
    if (value && !terms->values[term])
      damaged (r, group, vv_term_name (term));
  }
}

static VvRule *
read_rule (Reader *r, const char *group)
{
  VvRule *rule = vv_rule_new (NULL, (guint)get_number (r, group, "line", G_MAXINT, 0));
  char *bytes = (char *)rule;

  for (gsize k = 0; k < G_N_ELEMENTS (texts); k++)
    *(char **)(bytes + texts[k].offset) = get_text (r, group, texts[k].key);
  for (gsize k = 0; k < G_N_ELEMENTS (numbers); k++)
    *(int *)(bytes + numbers[k].offset) = get_number (r, group, numbers[k].key, MOST_ID, -1);
  if (!rule->file)
    damaged (r, group, "file");
  read_terms (r, group, &rule->terms);
  return rule;
}

static void
read_rules (Reader *r, const char *kind, const char *count, GPtrArray *rules)
{
  int n = get_number (r, GROUP, count, G_MAXINT, 0);

  for (int i = 1; i <= n && !r->problem; i++) {
    g_autofree char *group = g_strdup_printf ("%s %d", kind, i);
    g_ptr_array_add (rules, read_rule (r, group));
  }
}

static void
read_files (Reader *r, VvPolicy *policy)
{
  int n = get_number (r, GROUP, "files", G_MAXINT, 0);

  for (int i = 1; i <= n && !r->problem; i++) {
    g_autofree char *group = g_strdup_printf ("file %d", i);
    g_autofree char *path = get_text (r, group, "path");
    g_autofree char *problem = get_text (r, group, "problem");
    if (path)
      vv_policy_add_file (policy, path, problem);
    else
      damaged (r, group, "path");
  }
}

static void
read_policy (Reader *r, VvPolicy *policy)
{
  if (get_number (r, GROUP, "form", G_MAXINT, 0) != FORM)
    damaged (r, GROUP, "form");
  policy->gate = get_switch (r, GROUP, "gate");
  policy->deadline_s = (guint)get_number (r, GROUP, "deadline-s", G_MAXINT, 0);
  policy->hook_limit_s = (guint)get_number (r, GROUP, "hook-limit-s", G_MAXINT, 0);
  policy->executables = get_list (r, GROUP, "executables");
  policy->textfile = get_text (r, GROUP, "textfile");
  read_files (r, policy);
  read_rules (r, "rule", "rules", policy->rules);
  read_rules (r, "default", "defaults", policy->defaults);
  if (get_switch (r, END, "complete") != VV_YES)
    damaged (r, END, "complete");
}

VvPolicy *
vv_policy_from_text (const char *text, gsize length, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (VvPolicy) policy = vv_policy_new ();
  Reader r = {file, NULL};

  if (length > VV_POLICY_TEXT_LIMIT || memchr (text, 0, length) ||
      !g_key_file_load_from_data (file, text, length, G_KEY_FILE_NONE, NULL))
    r.problem = g_strdup (_ ("no key file"));
  else
    read_policy (&r, policy);
  if (!r.problem)
    return g_steal_pointer (&policy);
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID,
               _ ("the text of the policy is damaged or of another version: %s"), r.problem);
  g_free (r.problem);
  return NULL;
}
