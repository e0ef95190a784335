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

VvChoice *
vv_choice_new (char *key)
{
  VvChoice *choice = g_new0 (VvChoice, 1);

  choice->key = key;
  choice->candidates = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_candidate_free);
  choice->excluded = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_candidate_free);
  choice->refused = g_ptr_array_new_with_free_func (g_free);
  return choice;
}

void
vv_choice_free (VvChoice *choice)
{
  if (!choice)
    return;
  g_free (choice->key);
  g_ptr_array_unref (choice->candidates);
  g_ptr_array_unref (choice->excluded);
  g_ptr_array_unref (choice->refused);
  g_free (choice->file);
  g_free (choice->whose);
  vv_options_clear (&choice->options);
  g_free (choice);
}

static gboolean
check_name (const char *driver, GError **error)
{
  if (vv_name_is_safe (driver))
    return TRUE;
  g_autofree char *shown = g_strescape (driver, NULL);
  g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("'%.80s' is not a valid driver name"), shown);
  return FALSE;
}

void
vv_choice_exclude (VvChoice *choice, VvCandidate *c, const char *why)
{
  guint i;

  c->excluded = g_strdup (why);
  if (g_ptr_array_find (choice->candidates, c, &i))
    g_ptr_array_steal_index (choice->candidates, i);
  g_ptr_array_add (choice->excluded, c);
}

char *
vv_choice_why_none (const VvChoice *choice)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < choice->excluded->len; i++) {
    const VvCandidate *c = choice->excluded->pdata[i];
    g_string_append_printf (text, "%s%s (%s)", i ? "; " : "", c->module, c->excluded);
  }
  return text->len ? g_string_free (g_steal_pointer (&text), FALSE) : g_strdup (_ ("no alias matches"));
}

static VvCandidate *
candidate_forced (const char *driver)
{
  VvCandidate *forced = vv_candidate_new (driver, NULL, VV_SOURCE_FORCED);

  forced->driver = g_strdup (driver);
  return forced;
}

gboolean
vv_choice_force (VvChoice *choice, const char *driver, GError **error)
{
  if (!check_name (driver, error))
    return FALSE;
  g_autofree char *why = g_strdup_printf (_ ("'%s' was requested"), driver);
  while (choice->candidates->len)
    vv_choice_exclude (choice, choice->candidates->pdata[0], why);
  g_ptr_array_add (choice->candidates, candidate_forced (driver));
  return TRUE;
}

gboolean
vv_choice_begin_with (const VvHost *host, VvChoice *choice, const char *driver, const char *why,
                      GError **error)
{
  if (!check_name (driver, error))
    return FALSE;
  const VvCandidate *first = vv_candidates_find (host, choice->candidates, driver);
  if (!first) {
    g_ptr_array_insert (choice->candidates, 0, candidate_forced (driver));
    return TRUE;
  }
  while (choice->candidates->pdata[0] != first)
    vv_choice_exclude (choice, choice->candidates->pdata[0], why);
  return TRUE;
}

char *
vv_candidate_driver (const VvHost *host, const VvCandidate *candidate)
{
  /* a driver that was requested by name may be registered under exactly that name */
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

/* @module: (nullable): the driver's module. It rules out most candidates without access to sysfs. */
static VvCandidate *
find_driver (const VvHost *host, const GPtrArray *candidates, const char *driver, const char *module)
{
  for (guint i = 0; i < candidates->len; i++) {
    VvCandidate *c = candidates->pdata[i];
    if (!c->driver && strcmp (c->module, VV_GENERIC_MODULE) != 0 && g_strcmp0 (c->module, module) != 0)
      continue;
    g_autofree char *name = vv_candidate_driver (host, c);
    if (g_strcmp0 (name, driver) == 0)
      return c;
  }
  return NULL;
}

VvCandidate *
vv_candidates_find (const VvHost *host, const GPtrArray *candidates, const char *driver)
{
  g_autofree char *module = driver ? vv_driver_module (host, "pci", driver) : NULL;

  return driver ? find_driver (host, candidates, driver, module) : NULL;
}

gboolean
vv_choice_has_driver (const VvHost *host, const VvChoice *choice, const char *driver, const char *module)
{
  if (!driver)
    return FALSE;
  g_autofree char *found = module ? NULL : vv_driver_module (host, "pci", driver);
  const char *its = module ? module : found;
  if (strcmp (driver, VV_GENERIC_DRIVER) == 0 || find_driver (host, choice->candidates, driver, its) ||
      find_driver (host, choice->excluded, driver, its))
    return TRUE;
  g_autofree char *likely = vv_module_name (driver); /* the module of a driver that is not loaded */
  return !its && (vv_candidate_of_module (choice->candidates, likely) ||
                  vv_candidate_of_module (choice->excluded, likely));
}

/* --- the options --- */

/* Applies the options of a rule that no earlier rule set. */
static void
take_rule (VvChoice *c, const VvRule *rule)
{
  if (!c->file) {
    c->file = g_strdup (rule->file);
    c->line = rule->line;
  }
  if (!c->options.drivers)
    c->options.drivers = g_strdupv (rule->options.drivers);
  for (int i = 0; i < VV_OPTIONS; i++)
    if (!c->said[i] && rule->options.values[i]) {
      c->options.values[i] = rule->options.values[i];
      c->said[i] = TRUE;
    }
}

void
vv_choice_decide (VvChoice *c, const VvPolicy *policy, const VvPciDevice *device, const char *host_driver)
{
  static const char *const any[] = {VV_DRIVER_AUTO, NULL};
  const VvRule *rule = vv_policy_match (policy, device, host_driver);

  if (rule)
    take_rule (c, rule);
  for (guint i = 0; i < policy->defaults->len; i++)
    take_rule (c, policy->defaults->pdata[i]);
  if (!c->options.drivers)
    c->options.drivers = g_strdupv ((char **)any);
  for (int i = 0; i < VV_OPTIONS; i++)
    if (!c->said[i])
      c->options.values[i] = vv_option_built_in (i);
}

char *
vv_choice_rule (const VvChoice *c)
{
  if (!c->file)
    return g_strdup (c->whose ? c->whose : _ ("no rule"));
  return c->whose ? g_strdup_printf (_ ("policy %s:%u with %s"), c->file, c->line, c->whose)
                  : g_strdup_printf ("policy %s:%u", c->file, c->line);
}

gboolean
vv_choice_is_strict (const VvChoice *c)
{
  return c->options.values[VV_OPTION_FALLBACK] == VV_FALLBACK_NONE || vv_choice_requires (c);
}

gboolean
vv_choice_requires (const VvChoice *c)
{
  return c->options.values[VV_OPTION_MIGRATABLE] == VV_MIGRATABLE_REQUIRE;
}

/* --- what a domain requests --- */

static gboolean
is_auto (const VvOptions *options)
{
  return options->drivers && g_strcmp0 (options->drivers[0], VV_DRIVER_AUTO) == 0;
}

/* Returns: @driver in the spelling of the list, or NULL if it is not listed */
static const char *
listed (char *const *drivers, const char *driver)
{
  for (; *drivers; drivers++)
    if (vv_driver_same (*drivers, driver))
      return *drivers;
  return NULL;
}

gboolean
vv_choice_allows (const VvChoice *c, const char *driver)
{
  return is_auto (&c->options) || listed (c->options.drivers, driver) != NULL;
}

static char *
why_not (const VvChoice *c, const VvHost *host, const char *whose, const char *name)
{
  const VvCandidate *out = vv_candidate_named (host, c->excluded, name);
  g_autofree char *rule = vv_choice_rule (c);

  if (!is_auto (&c->options))
    return g_strdup_printf (_ ("%s requests %s, which %s does not allow"), whose, name, rule);
  if (out)
    return g_strdup_printf (_ ("%s requests %s, which is excluded: %s"), whose, name, out->excluded);
  return g_strdup_printf (_ ("%s requests %s, which no alias offers for the device"), whose, name);
}

/* Returns: whether the request changed the choice */
static gboolean
narrow_drivers (VvChoice *c, const VvHost *host, const VvOptions *requested, const char *whose)
{
  char *const only[] = {requested->model, NULL};
  char *const *drivers = requested->model ? only : requested->drivers;
  g_autoptr (GPtrArray) granted = g_ptr_array_new_with_free_func (g_free);

  if (!drivers || g_strcmp0 (*drivers, VV_DRIVER_AUTO) == 0)
    return FALSE;
  for (char *const *name = drivers; *name; name++) {
    const char *may; /* the granted name: as the policy lists it; with "auto", that of a candidate */
    if (!is_auto (&c->options))
      may = listed (c->options.drivers, *name);
    else
      may = vv_candidate_named (host, c->candidates, *name) ? *name : NULL;
    if (may)
      g_ptr_array_add (granted, g_strdup (may));
    else
      g_ptr_array_add (c->refused, why_not (c, host, whose, *name));
  }
  if (granted->len)
    c->options.model = g_strdup (requested->model);
  else if (requested->values[VV_OPTION_FALLBACK] != VV_FALLBACK_NONE)
    return FALSE;
  g_ptr_array_add (granted, NULL);
  g_strfreev (c->options.drivers);
  c->options.drivers = (char **)g_ptr_array_free (g_steal_pointer (&granted), FALSE);
  return TRUE;
}

/* For these options, a greater value is stricter. Returns: whether the request changed the choice */
static gboolean
narrow_value (VvChoice *c, VvOption option, int wanted, const char *whose)
{
  int decided = c->options.values[option];

  if (!wanted || wanted == decided)
    return FALSE;
  if (wanted > decided) {
    c->options.values[option] = wanted;
    return TRUE;
  }
  g_autofree char *rule = vv_choice_rule (c);
  g_ptr_array_add (c->refused, g_strdup_printf (_ ("%s requests %s='%s', but %s says '%s'"), whose,
                                                vv_option_name (option), vv_option_value (option, wanted),
                                                rule, vv_option_value (option, decided)));
  return FALSE;
}

gboolean
vv_choice_narrow (VvChoice *c, const VvHost *host, const VvOptions *requested, const char *whose,
                  GError **error)
{
  if (requested->model && !check_name (requested->model, error))
    return FALSE;
  c->options.use = requested->use;
  gboolean narrowed = narrow_drivers (c, host, requested, whose);
  narrowed |= narrow_value (c, VV_OPTION_FALLBACK, requested->values[VV_OPTION_FALLBACK], whose);
  narrowed |= narrow_value (c, VV_OPTION_MIGRATABLE, requested->values[VV_OPTION_MIGRATABLE], whose);
  if (narrowed)
    c->whose = g_strdup (whose);
  return TRUE;
}

/* --- applying the options to the candidates --- */

static void
move_all (GPtrArray *from, GPtrArray *to)
{
  while (from->len)
    g_ptr_array_add (to, g_ptr_array_steal_index (from, 0));
}

/* Takes the candidate with the name @name from @rest. If there is none, creates one without an alias: the
 * module may be blacklisted, or not part of the kernel. */
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

/* Moves the candidates that are known to prevent migration from @list to @to, in order. */
static void
set_apart (const VvHost *host, GPtrArray *list, GPtrArray *to, VvCannotMigrate cannot, gpointer data)
{
  for (guint i = 0; i < list->len;)
    if (known_not_to_migrate (host, list->pdata[i], cannot, data))
      g_ptr_array_add (to, g_ptr_array_steal_index (list, i));
    else
      i++;
}

/* @chosen: the requested candidates, in order; @rest: all others */
static void
fall_back (const VvChoice *c, const VvHost *host, GPtrArray *chosen, GPtrArray *rest)
{
  int fallback = c->options.values[VV_OPTION_FALLBACK];

  if (is_auto (&c->options) && fallback != VV_FALLBACK_NEXT && chosen->len) { /* only the best one */
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
vv_choice_apply (VvChoice *c, const VvHost *host, VvCannotMigrate cannot, gpointer data)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  g_autoptr (GPtrArray) rest = g_ptr_array_new ();
  g_autoptr (GPtrArray) immobile = g_ptr_array_new ();
  int migratable = c->options.values[VV_OPTION_MIGRATABLE];

  move_all (c->candidates, rest);
  if (is_auto (&c->options))
    move_all (rest, chosen);
  for (char **name = c->options.drivers; !is_auto (&c->options) && *name; name++)
    if (!vv_candidate_named (host, chosen, *name)) /* a list may have both its module and its driver */
      g_ptr_array_add (chosen, take_named (host, rest, *name));
  if (migratable != VV_MIGRATABLE_IGNORE) {
    set_apart (host, chosen, immobile, cannot, data);
    if (migratable == VV_MIGRATABLE_PREFER)
      move_all (immobile, chosen);
    else
      set_apart (host, rest, immobile, cannot, data);
  }
  fall_back (c, host, chosen, rest);
  move_all (chosen, c->candidates);
  if (!immobile->len && !rest->len)
    return; /* Usually nothing is excluded. Composing the reasons costs more than the choice. */
  g_autofree char *rule = vv_choice_rule (c);
  g_autofree char *not_taken = g_strdup_printf (_ ("%s does not allow it"), rule);
  while (immobile->len) {
    VvCandidate *out = g_ptr_array_steal_index (immobile, 0);
    g_autofree char *why = g_strdup_printf (_ ("it cannot migrate, which %s requires: it %s"), rule,
                                            known_not_to_migrate (host, out, cannot, data));
    vv_choice_exclude (c, out, why);
  }
  while (rest->len)
    vv_choice_exclude (c, g_ptr_array_steal_index (rest, 0), not_taken);
}
