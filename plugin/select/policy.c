/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <fnmatch.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>

#include "modalias.h"

#define VALUES 4 /* the most that an option has, the unsaid one included */

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
  g_free (rule->native_driver);
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

/* --- which rule --- */

static gboolean
glob_matches (const char *glob, const char *text)
{
  return !glob || (text && fnmatch (glob, text, 0) == 0);
}

static gboolean
rule_matches (const VvRule *rule, const VvPciDevice *device, const char *native_driver)
{
  VvPciIds ids;

  if (!glob_matches (rule->address, device->address) ||
      !glob_matches (rule->physical_function, device->physfn) ||
      !glob_matches (rule->native_driver, native_driver) ||
      !glob_matches (rule->modalias, device->modalias) ||
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

/* --- the decision --- */

void
vv_decision_free (VvDecision *decision)
{
  if (!decision)
    return;
  g_free (decision->file);
  g_free (decision->whose);
  vv_options_clear (&decision->options);
  g_free (decision);
}

/* What a rule says counts where nothing was said before. */
static void
take_terms (VvDecision *d, const VvRule *rule)
{
  if (!d->file) {
    d->file = g_strdup (rule->file);
    d->line = rule->line;
  }
  if (!d->options.drivers)
    d->options.drivers = g_strdupv (rule->options.drivers);
  for (int i = 0; i < VV_OPTIONS; i++)
    if (!d->said[i] && rule->options.values[i]) {
      d->options.values[i] = rule->options.values[i];
      d->said[i] = TRUE;
    }
}

VvDecision *
vv_policy_decide (const VvPolicy *policy, const VvPciDevice *device, const char *native_driver)
{
  static const char *const any[] = {VV_DRIVER_AUTO, NULL};
  VvDecision *d = g_new0 (VvDecision, 1);

  for (guint i = 0; i < policy->rules->len; i++)
    if (rule_matches (policy->rules->pdata[i], device, native_driver)) {
      take_terms (d, policy->rules->pdata[i]);
      break;
    }
  for (guint i = 0; i < policy->defaults->len; i++)
    take_terms (d, policy->defaults->pdata[i]);
  if (!d->options.drivers)
    d->options.drivers = g_strdupv ((char **)any);
  for (int i = 0; i < VV_OPTIONS; i++)
    if (!d->said[i])
      d->options.values[i] = options_known[i].built_in;
  return d;
}

char *
vv_decision_rule (const VvDecision *d)
{
  if (!d->file)
    return g_strdup (d->whose ? d->whose : _ ("no rule"));
  return d->whose ? g_strdup_printf (_ ("policy %s:%u with %s"), d->file, d->line, d->whose)
                  : g_strdup_printf ("policy %s:%u", d->file, d->line);
}

gboolean
vv_decision_is_strict (const VvDecision *d)
{
  return d->options.values[VV_OPTION_FALLBACK] == VV_FALLBACK_NONE ||
         d->options.values[VV_OPTION_MIGRATABLE] == VV_MIGRATABLE_REQUIRE;
}

/* --- wishes --- */

static gboolean
is_auto (const VvOptions *options)
{
  return options->drivers && g_strcmp0 (options->drivers[0], VV_DRIVER_AUTO) == 0;
}

/* @driver as the list spells it; NULL: it is not there */
static const char *
listed (char *const *drivers, const char *driver)
{
  for (; *drivers; drivers++)
    if (vv_driver_same (*drivers, driver))
      return *drivers;
  return NULL;
}

gboolean
vv_decision_lists (const VvDecision *d, const char *driver)
{
  return !is_auto (&d->options) && listed (d->options.drivers, driver) != NULL;
}

gboolean
vv_decision_allows (const VvDecision *d, const char *driver)
{
  return is_auto (&d->options) || listed (d->options.drivers, driver) != NULL;
}

static char *
why_not (const VvDecision *d, const VvHost *host, const VvSelection *selection, const char *whose,
         const char *name)
{
  const VvCandidate *out = vv_candidate_named (host, selection->excluded, name);
  g_autofree char *rule = vv_decision_rule (d);

  if (!is_auto (&d->options))
    return g_strdup_printf (_ ("%s asks for %s, which %s does not allow"), whose, name, rule);
  if (out)
    return g_strdup_printf (_ ("%s asks for %s, which is excluded: %s"), whose, name, out->excluded);
  return g_strdup_printf (_ ("%s asks for %s, which no alias offers for the device"), whose, name);
}

/* Returns: whether it changes anything */
static gboolean
narrow_drivers (VvDecision *d, const VvHost *host, const VvSelection *selection, const VvOptions *wish,
                const char *whose, GPtrArray *refused)
{
  g_autoptr (GPtrArray) granted = g_ptr_array_new_with_free_func (g_free);

  if (!wish->drivers || is_auto (wish))
    return FALSE;
  for (char *const *name = wish->drivers; *name; name++) {
    const char *may; /* a driver that the policy lists, else a candidate's */
    if (!is_auto (&d->options))
      may = listed (d->options.drivers, *name);
    else
      may = vv_candidate_named (host, selection->candidates, *name) ? *name : NULL;
    if (may)
      g_ptr_array_add (granted, g_strdup (may));
    else
      g_ptr_array_add (refused, why_not (d, host, selection, whose, *name));
  }
  if (!granted->len && wish->values[VV_OPTION_FALLBACK] != VV_FALLBACK_NONE)
    return FALSE;
  g_ptr_array_add (granted, NULL);
  g_strfreev (d->options.drivers);
  d->options.drivers = (char **)g_ptr_array_free (g_steal_pointer (&granted), FALSE);
  return TRUE;
}

/* The values of these options rise with their strictness. Returns: whether it changes anything */
static gboolean
narrow_value (VvDecision *d, VvOption option, int wanted, const char *whose, GPtrArray *refused)
{
  int decided = d->options.values[option];

  if (!wanted || wanted == decided)
    return FALSE;
  if (wanted > decided) {
    d->options.values[option] = wanted;
    return TRUE;
  }
  g_autofree char *rule = vv_decision_rule (d);
  g_ptr_array_add (refused, g_strdup_printf (_ ("%s asks for %s='%s', but %s says '%s'"), whose,
                                             vv_option_name (option), vv_option_value (option, wanted), rule,
                                             vv_option_value (option, decided)));
  return FALSE;
}

GPtrArray *
vv_decision_narrow (VvDecision *d, const VvHost *host, const VvSelection *selection, const VvOptions *wish,
                    const char *whose)
{
  GPtrArray *refused = g_ptr_array_new_with_free_func (g_free);
  gboolean narrowed = narrow_drivers (d, host, selection, wish, whose, refused);

  narrowed |= narrow_value (d, VV_OPTION_FALLBACK, wish->values[VV_OPTION_FALLBACK], whose, refused);
  narrowed |= narrow_value (d, VV_OPTION_MIGRATABLE, wish->values[VV_OPTION_MIGRATABLE], whose, refused);
  if (narrowed) {
    g_free (d->whose);
    d->whose = g_strdup (whose);
  }
  return refused;
}

/* --- what becomes of the candidates --- */

static void
move_all (GPtrArray *from, GPtrArray *to)
{
  while (from->len)
    g_ptr_array_add (to, g_ptr_array_steal_index (from, 0));
}

/* Of @rest the candidate that is called @name, or one that no alias names: blacklisted, or not the kernel's
 * own. */
static VvCandidate *
take_named (const VvHost *host, GPtrArray *rest, const char *name)
{
  VvCandidate *named = vv_candidate_named (host, rest, name);

  if (named) {
    g_ptr_array_remove (rest, named);
    return named;
  }
  return vv_candidate_forced (strcmp (name, VV_DRIVER_GENERIC) == 0 ? VV_GENERIC_DRIVER : name);
}

static const char *
known_not_to_migrate (const VvHost *host, const VvCandidate *c, VvCannotMigrate cannot, gpointer data)
{
  g_autofree char *driver = vv_candidate_driver (host, c);

  return cannot (driver ? driver : c->module, data);
}

/* Those of @list for which it is known that they cannot migrate go to @to, in their order. */
static void
set_apart (const VvHost *host, GPtrArray *list, GPtrArray *to, VvCannotMigrate cannot, gpointer data)
{
  for (guint i = 0; i < list->len;)
    if (known_not_to_migrate (host, list->pdata[i], cannot, data))
      g_ptr_array_add (to, g_ptr_array_steal_index (list, i));
    else
      i++;
}

/* @chosen: what was asked for, in order; @rest: all others */
static void
fall_back (const VvDecision *d, const VvHost *host, GPtrArray *chosen, GPtrArray *rest)
{
  int fallback = d->options.values[VV_OPTION_FALLBACK];

  if (is_auto (&d->options) && fallback != VV_FALLBACK_NEXT && chosen->len) { /* the best one, and no other */
    VvCandidate *best = g_ptr_array_steal_index (chosen, 0);
    while (chosen->len)
      g_ptr_array_insert (rest, 0, g_ptr_array_steal_index (chosen, chosen->len - 1));
    g_ptr_array_add (chosen, best);
  }
  if (fallback == VV_FALLBACK_NEXT)
    move_all (rest, chosen);
  VvCandidate *generic =
      fallback == VV_FALLBACK_GENERIC ? vv_candidate_named (host, rest, VV_DRIVER_GENERIC) : NULL;
  if (generic && g_ptr_array_remove (rest, generic))
    g_ptr_array_add (chosen, generic);
}

void
vv_decision_apply (const VvDecision *d, const VvHost *host, VvSelection *selection, VvCannotMigrate cannot,
                   gpointer data)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  g_autoptr (GPtrArray) rest = g_ptr_array_new ();
  g_autoptr (GPtrArray) immobile = g_ptr_array_new ();
  g_autofree char *rule = vv_decision_rule (d);
  int migratable = d->options.values[VV_OPTION_MIGRATABLE];

  move_all (selection->candidates, rest);
  if (is_auto (&d->options))
    move_all (rest, chosen);
  for (char **name = d->options.drivers; !is_auto (&d->options) && *name; name++)
    if (!vv_candidate_named (host, chosen, *name)) /* it may be named twice, by its module and its driver */
      g_ptr_array_add (chosen, take_named (host, rest, *name));
  if (migratable != VV_MIGRATABLE_IGNORE) {
    set_apart (host, chosen, immobile, cannot, data);
    if (migratable == VV_MIGRATABLE_PREFER)
      move_all (immobile, chosen);
    else
      set_apart (host, rest, immobile, cannot, data);
  }
  fall_back (d, host, chosen, rest);
  move_all (chosen, selection->candidates);
  /* mostly none are out, here and below: the words cost more than the choice */
  while (immobile->len) {
    VvCandidate *c = g_ptr_array_steal_index (immobile, 0);
    g_autofree char *why = g_strdup_printf (_ ("it cannot migrate, which %s requires: it %s"), rule,
                                            known_not_to_migrate (host, c, cannot, data));
    vv_selection_exclude (selection, c, why);
  }
  g_autofree char *not_taken = rest->len ? g_strdup_printf (_ ("%s does not take it"), rule) : NULL;
  while (rest->len)
    vv_selection_exclude (selection, g_ptr_array_steal_index (rest, 0), not_taken);
  if (d->file || d->whose)
    selection->ruled_by = g_strdup (rule);
}
