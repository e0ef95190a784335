/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "modalias.h"
#include "modules.h"

void
vv_candidate_free (VvCandidate *c)
{
  g_free (c->module);
  g_free (c->alias);
  g_free (c->driver);
  g_free (c->excluded);
  g_free (c);
}

VvCandidate *
vv_candidate_new (const char *module, const char *alias, VvSource source)
{
  VvCandidate *c = g_new0 (VvCandidate, 1);

  c->module = vv_module_name (module);
  c->alias = g_strdup (alias);
  c->wildcards = alias ? vv_modalias_wildcards (alias) : 0;
  c->source = source;
  return c;
}

const char *
vv_source_name (VvSource source)
{
  static const char *const names[] = {"modprobe.d", "modules.alias", "builtin", "default", "forced"};

  return names[source];
}

VvCandidate *
vv_candidate_of_module (const GPtrArray *candidates, const char *module)
{
  for (guint i = 0; i < candidates->len; i++) {
    VvCandidate *c = candidates->pdata[i];
    if (strcmp (c->module, module) == 0)
      return c;
  }
  return NULL;
}

VvSelection *
vv_selection_new (char *key)
{
  VvSelection *selection = g_new0 (VvSelection, 1);

  selection->key = key;
  selection->candidates = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_candidate_free);
  selection->excluded = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_candidate_free);
  return selection;
}

void
vv_selection_free (VvSelection *selection)
{
  if (!selection)
    return;
  g_free (selection->key);
  g_ptr_array_unref (selection->candidates);
  g_ptr_array_unref (selection->excluded);
  g_free (selection->ruled_by);
  g_free (selection);
}

static gboolean
check_name (const char *driver, GError **error)
{
  if (vv_name_is_safe (driver))
    return TRUE;
  g_autofree char *shown = g_strescape (driver, NULL);
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("'%.80s' is no driver name"), shown);
  return FALSE;
}

static void
exclude (VvSelection *selection, VvCandidate *c, const char *why)
{
  c->excluded = g_strdup (why);
  g_ptr_array_add (selection->excluded, c);
}

void
vv_selection_exclude_at (VvSelection *selection, guint i, const char *why)
{
  exclude (selection, g_ptr_array_steal_index (selection->candidates, i), why);
}

char *
vv_selection_why_none (const VvSelection *selection)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < selection->excluded->len; i++) {
    const VvCandidate *c = selection->excluded->pdata[i];
    g_string_append_printf (text, "%s%s (%s)", i ? "; " : "", c->module, c->excluded);
  }
  return text->len ? g_string_free (g_steal_pointer (&text), FALSE) : g_strdup (_ ("the kernel offers none"));
}

static VvCandidate *
candidate_forced (const char *driver)
{
  VvCandidate *forced = vv_candidate_new (driver, NULL, VV_SOURCE_FORCED);

  forced->driver = g_strdup (driver);
  return forced;
}

gboolean
vv_selection_force (VvSelection *selection, const char *driver, GError **error)
{
  if (!check_name (driver, error))
    return FALSE;
  g_autofree char *why = g_strdup_printf (_ ("'%s' was asked for"), driver);
  while (selection->candidates->len)
    vv_selection_exclude_at (selection, 0, why);
  g_ptr_array_add (selection->candidates, candidate_forced (driver));
  return TRUE;
}

gboolean
vv_selection_begin_with (const VvHost *host, VvSelection *selection, const char *driver, const char *why,
                         GError **error)
{
  if (!check_name (driver, error))
    return FALSE;
  const VvCandidate *first = vv_candidates_find (host, selection->candidates, driver);
  if (!first) {
    g_ptr_array_insert (selection->candidates, 0, candidate_forced (driver));
    return TRUE;
  }
  while (selection->candidates->pdata[0] != first)
    vv_selection_exclude_at (selection, 0, why);
  return TRUE;
}

char *
vv_candidate_driver (const VvHost *host, const VvCandidate *candidate)
{
  /* what was asked for by its driver's name may be there under that very name */
  g_autofree char *folder =
      candidate->driver ? g_build_filename ("bus/pci/drivers", candidate->driver, NULL) : NULL;

  if (folder && vv_io_exists (host->sys, folder))
    return g_strdup (candidate->driver);
  if (strcmp (candidate->module, VV_GENERIC_MODULE) == 0)
    return g_strdup (VV_GENERIC_DRIVER);
  return vv_module_driver (host, "pci", candidate->module);
}

static char *
plain_name (const char *name)
{
  return vv_module_name (strcmp (name, VV_DRIVER_GENERIC) == 0 ? VV_GENERIC_DRIVER : name);
}

gboolean
vv_driver_same (const char *a, const char *b)
{
  g_autofree char *x = plain_name (a);
  g_autofree char *y = plain_name (b);

  return strcmp (x, y) == 0;
}

VvCandidate *
vv_candidate_named (const VvHost *host, const GPtrArray *candidates, const char *name)
{
  for (guint i = 0; i < candidates->len; i++) {
    VvCandidate *c = candidates->pdata[i];
    g_autofree char *driver = vv_candidate_driver (host, c);
    if (vv_driver_same (c->module, name) || (driver && vv_driver_same (driver, name)))
      return c;
  }
  return NULL;
}

/* @module: (nullable): the driver's own. It rules most candidates out without a look at sysfs. */
static const VvCandidate *
find_driver (const VvHost *host, const GPtrArray *candidates, const char *driver, const char *module)
{
  for (guint i = 0; i < candidates->len; i++) {
    const VvCandidate *c = candidates->pdata[i];
    if (!c->driver && strcmp (c->module, VV_GENERIC_MODULE) != 0 && g_strcmp0 (c->module, module) != 0)
      continue;
    g_autofree char *name = vv_candidate_driver (host, c);
    if (g_strcmp0 (name, driver) == 0)
      return c;
  }
  return NULL;
}

const VvCandidate *
vv_candidates_find (const VvHost *host, const GPtrArray *candidates, const char *driver)
{
  g_autofree char *module = driver ? vv_driver_module (host, "pci", driver) : NULL;

  return driver ? find_driver (host, candidates, driver, module) : NULL;
}

gboolean
vv_selection_has_driver (const VvHost *host, const VvSelection *selection, const char *driver,
                         const char *module)
{
  if (!driver)
    return FALSE;
  g_autofree char *found = module ? NULL : vv_driver_module (host, "pci", driver);
  const char *its = module ? module : found;
  if (strcmp (driver, VV_GENERIC_DRIVER) == 0 || find_driver (host, selection->candidates, driver, its) ||
      find_driver (host, selection->excluded, driver, its))
    return TRUE;
  g_autofree char *likely = vv_module_name (driver); /* of one that is not loaded */
  return !its && (vv_candidate_of_module (selection->candidates, likely) ||
                  vv_candidate_of_module (selection->excluded, likely));
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
  const VvRule *rule = vv_policy_match (policy, device, native_driver);
  VvDecision *d = g_new0 (VvDecision, 1);

  if (rule)
    take_terms (d, rule);
  for (guint i = 0; i < policy->defaults->len; i++)
    take_terms (d, policy->defaults->pdata[i]);
  if (!d->options.drivers)
    d->options.drivers = g_strdupv ((char **)any);
  for (int i = 0; i < VV_OPTIONS; i++)
    if (!d->said[i])
      d->options.values[i] = vv_option_built_in (i);
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
  return candidate_forced (strcmp (name, VV_DRIVER_GENERIC) == 0 ? VV_GENERIC_DRIVER : name);
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
    exclude (selection, c, why);
  }
  g_autofree char *not_taken = rest->len ? g_strdup_printf (_ ("%s does not take it"), rule) : NULL;
  while (rest->len)
    exclude (selection, g_ptr_array_steal_index (rest, 0), not_taken);
  if (d->file || d->whose)
    selection->ruled_by = g_strdup (rule);
}
