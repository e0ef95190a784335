/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "modalias.h"

#define VALUES 4 /* the most values of an option, the unset one included */

static const struct {
  const char *name;
  const char *values[VALUES];
  int built_in;
} options_known[VV_OPTIONS] = {
    [VV_OPTION_FALLBACK] = {"fallback", {"", "next", "generic", "none"}, VV_FALLBACK_NEXT},
    [VV_OPTION_MIGRATABLE] = {"migratable", {"", "ignore", "prefer", "require"}, VV_MIGRATABLE_IGNORE},
    [VV_OPTION_UNMANAGED] = {"unmanaged", {"", "ignore", "manage"}, VV_UNMANAGED_IGNORE},
    [VV_OPTION_HOST_USE] = {"host-use", {"", "refuse", "warn"}, VV_HOST_USE_UNSET},
    [VV_OPTION_AT_BOOT] = {"at-boot", {"", "no", "yes"}, VV_AT_BOOT_NO},
};

const char *
vv_option_name (VvOption option)
{
  return options_known[option].name;
}

const char *
vv_option_value (VvOption option, int value)
{
  const char *text = value >= 0 && value < VALUES ? options_known[option].values[value] : NULL;

  return text ? text : "";
}

int
vv_option_built_in (VvOption option)
{
  return options_known[option].built_in;
}

int
vv_option_parse (VvOption option, const char *text)
{
  for (int i = 1; i < VALUES && options_known[option].values[i]; i++)
    if (g_strcmp0 (options_known[option].values[i], text) == 0)
      return i;
  return 0;
}

void
vv_options_clear (VvOptions *options)
{
  g_strfreev (options->drivers);
  g_free (options->model);
  *options = (VvOptions){0};
}

gboolean
vv_options_are_empty (const VvOptions *options)
{
  gboolean empty = !options->drivers;

  for (VvOption option = 0; option < VV_OPTIONS; option++)
    empty = empty && !options->values[option];
  return empty;
}

/* --- rules and the policy --- */

VvRule *
vv_rule_new (const char *file, guint line)
{
  VvRule *rule = g_new0 (VvRule, 1);

  rule->file = g_strdup (file);
  rule->line = line;
  rule->vendor = rule->product = rule->subsystem_vendor = rule->subsystem_product = -1;
  return rule;
}

void
vv_rule_free (VvRule *rule)
{
  if (!rule)
    return;
  g_free (rule->file);
  g_free (rule->address);
  g_free (rule->physical_function);
  g_free (rule->host_driver);
  g_free (rule->modalias);
  g_free (rule->iommu_group);
  g_free (rule->class_code);
  vv_options_clear (&rule->options);
  g_free (rule);
}

static void
policy_file_free (VvPolicyFile *file)
{
  g_free (file->path);
  g_free (file->problem);
  g_free (file);
}

VvPolicy *
vv_policy_new (void)
{
  VvPolicy *policy = g_new0 (VvPolicy, 1);

  policy->rules = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_rule_free);
  policy->defaults = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_rule_free);
  policy->files = g_ptr_array_new_with_free_func ((GDestroyNotify)policy_file_free);
  return policy;
}

void
vv_policy_free (VvPolicy *policy)
{
  if (!policy)
    return;
  g_ptr_array_unref (policy->rules);
  g_ptr_array_unref (policy->defaults);
  g_ptr_array_unref (policy->files);
  g_strfreev (policy->executables);
  g_free (policy->unread);
  g_free (policy);
}

void
vv_policy_add_file (VvPolicy *policy, const char *path, const char *problem)
{
  VvPolicyFile *file = g_new0 (VvPolicyFile, 1);

  file->path = g_strdup (path);
  file->problem = g_strdup (problem);
  g_ptr_array_add (policy->files, file);
}

gboolean
vv_policy_has_at_boot (const VvPolicy *policy)
{
  for (guint i = 0; i < policy->rules->len; i++)
    if (((const VvRule *)policy->rules->pdata[i])->options.values[VV_OPTION_AT_BOOT] == VV_AT_BOOT_YES)
      return TRUE;
  return FALSE;
}

void
vv_policy_warn (const VvPolicy *policy)
{
  for (guint i = 0; i < policy->files->len; i++) {
    const VvPolicyFile *file = policy->files->pdata[i];
    if (file->problem)
      g_warning ("policy: %s", file->problem);
  }
}

/* --- rule matching --- */

static gboolean
glob_matches (const char *glob, const char *text)
{
  return !glob || (text && fnmatch (glob, text, 0) == 0);
}

static gboolean
rule_matches (const VvRule *rule, const VvPciDevice *device, const char *host_driver)
{
  VvPciIds ids;

  if (!glob_matches (rule->address, device->address) ||
      !glob_matches (rule->physical_function, device->physfn) ||
      !glob_matches (rule->host_driver, host_driver) || !glob_matches (rule->modalias, device->modalias) ||
      (rule->iommu_group && g_strcmp0 (rule->iommu_group, device->iommu_group) != 0))
    return FALSE;
  if (rule->vendor < 0 && rule->product < 0 && rule->subsystem_vendor < 0 && rule->subsystem_product < 0 &&
      !rule->class_code)
    return TRUE;
  if (!vv_pci_ids_parse (device->modalias, &ids))
    return FALSE;
  const struct {
    int wanted;
    guint is;
  } pairs[] = {
      {rule->vendor, ids.vendor},
      {rule->product, ids.product},
      {rule->subsystem_vendor, ids.subsystem_vendor},
      {rule->subsystem_product, ids.subsystem_product},
  };
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (pairs[i].wanted >= 0 && (guint)pairs[i].wanted != pairs[i].is)
      return FALSE;
  g_autofree char *class_code = g_strdup_printf ("%06x", ids.class_code);
  return !rule->class_code || g_str_has_prefix (class_code, rule->class_code);
}

const VvRule *
vv_policy_match (const VvPolicy *policy, const VvPciDevice *device, const char *host_driver)
{
  for (guint i = 0; i < policy->rules->len; i++)
    if (rule_matches (policy->rules->pdata[i], device, host_driver))
      return policy->rules->pdata[i];
  return NULL;
}
