/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "attach.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "modalias.h"
#include "one-line.h"
#include "vfio-pci.h"

#define PROBLEM_LIMIT 256 /* maximum bytes of one error message in the state file */
#define FAILED_LIMIT 4096 /* approximate maximum of all of them; a state file has its own limit */

const char *
vv_choice_cannot_migrate (const VvContext *s, const VvPciDevice *device, const VvChoice *choice,
                          const char *driver)
{
  const char *why = NULL;

  return vv_migration_foresee (s->store, driver, device->modalias, &choice->options.use, &why) ==
                 VV_MIGRATION_NO
             ? why
             : NULL;
}

typedef struct {
  const VvContext *context;
  const VvPciDevice *device;
  const VvChoice *choice;
} Asked;

static const char *
cannot_migrate (const char *driver, gpointer data)
{
  const Asked *asked = data;

  return vv_choice_cannot_migrate (asked->context, asked->device, asked->choice, driver);
}

/* Returns NULL also when the host driver is unknown: the device is on VFIO, and has no recorded host
 * driver. */
static const char *
driver_on_host (const VvContext *s, const VvPciDevice *device, const VvEntry *entry, const char *seen_driver,
                const VvChoice *choice)
{
  const char *now = seen_driver ? seen_driver : device->now.driver;
  const char *module = seen_driver ? NULL : device->now.module;

  if (entry && entry->host_known)
    return entry->host.driver;
  return device->vfio_dev || vv_choice_has_driver (s->host, choice, now, module) ? NULL : now;
}

VvChoice *
vv_choose (const VvContext *s, const VvPciDevice *device, const VvEntry *entry, const char *seen_driver,
           const VvOptions *requested, const char *whose, GError **error)
{
  g_autoptr (VvChoice) choice = vv_catalog_select (s->catalog, device->modalias, error);

  if (!choice)
    return NULL;
  vv_choice_decide (choice, s->policy, device, driver_on_host (s, device, entry, seen_driver, choice));
  if (requested && !vv_choice_narrow (choice, s->host, requested, whose, error))
    return NULL;
  Asked asked = {s, device, choice};
  vv_choice_apply (choice, s->host, cannot_migrate, &asked);
  const char *model = choice->options.model;
  const VvCandidate *only = model ? vv_candidate_named (s->host, choice->candidates, model) : NULL;
  g_autofree char *other = model ? g_strdup_printf (_ ("'%s' was requested"), model) : NULL;
  /* Why the probe of vfio-pci rejects the device. The policy and domains cannot change that. */
  const char *refuses = vv_vfio_pci_reason (vv_vfio_pci_refuses (s->host, s->modules, device));
  for (guint i = 0; i < choice->candidates->len;) {
    VvCandidate *c = choice->candidates->pdata[i];
    if (refuses && strcmp (c->module, VV_GENERIC_MODULE) == 0)
      vv_choice_exclude (choice, c, refuses);
    else if (model && c != only)
      vv_choice_exclude (choice, c, other);
    else
      i++;
  }
  return g_steal_pointer (&choice);
}

/* --- strict requirements --- */

gboolean
vv_choice_takes (const VvContext *s, const VvPciDevice *device, const VvChoice *choice, const char *driver)
{
  return vv_choice_allows (choice, driver) &&
         !(vv_choice_requires (choice) && vv_choice_cannot_migrate (s, device, choice, driver));
}

/* Reports VV_ERROR_POLICY only if the driver failed. Other errors, such as a device in use, have nothing to
 * do with the policy. @problem: (transfer full) */
static void
fail (const VvChoice *choice, GError *problem, GError **error)
{
  if (!vv_choice_is_strict (choice) || !(g_error_matches (problem, VV_ERROR, VV_ERROR_FAILED) ||
                                         g_error_matches (problem, VV_ERROR, VV_ERROR_NOT_FOUND))) {
    g_propagate_error (error, problem);
    return;
  }
  g_autofree char *rule = vv_choice_rule (choice);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY, _ ("%s allows no other driver: %s"), rule, problem->message);
  g_error_free (problem);
}

static void
none_is_left (const VvPciDevice *device, const VvChoice *choice, GError **error)
{
  g_autofree char *why = vv_choice_why_none (choice);
  g_autoptr (GString) refused = g_string_new (NULL);

  for (guint i = 0; i < choice->refused->len; i++)
    g_string_append_printf (refused, "%s; ", (const char *)choice->refused->pdata[i]);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY, _ ("%s: no usable VFIO driver: %s%s"), device->address,
               refused->str, why);
}

gboolean
vv_choice_check (const VvContext *s, const VvPciDevice *device, const VvChoice *choice, GError **error)
{
  g_autoptr (GError) problem = NULL;
  gboolean strict = vv_choice_is_strict (choice);

  if (!choice->candidates->len) {
    none_is_left (device, choice, strict ? error : NULL);
    return !strict;
  }
  if (vv_binding_load_ahead (s, choice, &problem) || !strict)
    return TRUE;
  g_prefix_error (&problem, "%s: ", device->address);
  fail (choice, g_steal_pointer (&problem), error);
  return FALSE;
}

/* --- failed drivers --- */

/* @failed: (nullable): lines of a module, a step and a problem. Returns: (transfer full) (nullable): why not
 * to try @module again */
static char *
why_failed (const char *failed, const char *module)
{
  g_auto (GStrv) lines = g_strsplit (failed ? failed : "", "\n", -1);

  for (char **line = lines; *line; line++) {
    g_auto (GStrv) words = g_strsplit (*line, " ", 3);
    if (g_strv_length (words) == 3 && strcmp (words[0], module) == 0)
      return g_strdup_printf (_ ("failed recently at %s: %s"), words[1], words[2]);
  }
  return NULL;
}

void
vv_attach_record_failed (VvBinding *b)
{
  /* Failures of the driver itself. The other steps fail because of the host or of a hook script. */
  static const char *const drivers_steps[] = {"load", "driver", "bind", "verify", NULL};
  g_autoptr (GString) lines = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  if (!b->entry || !b->change)
    return;
  for (guint i = 0; i < b->change->attempts->len; i++) {
    const VvAttempt *a = b->change->attempts->pdata[i];
    g_autofree char *problem = vv_one_line (a->problem, MIN (strlen (a->problem), PROBLEM_LIMIT), FALSE);
    if (problem && g_strv_contains (drivers_steps, a->step) && lines->len < FAILED_LIMIT)
      g_string_append_printf (lines, "%s %s %s\n", a->module, a->step, problem);
  }
  if (!lines->len)
    return;
  g_free (b->entry->failed);
  b->entry->failed = g_string_free (g_steal_pointer (&lines), FALSE);
  if (!vv_binding_save (b, &error))
    g_warning ("%s", error->message);
}

/* Does not skip the driver that the device is on, even if the state file lists it. Returns: whether any
 * driver was skipped */
static gboolean
skip_failed (const VvBinding *b, VvChoice *choice)
{
  const char *failed = b->entry ? b->entry->failed : NULL;
  gboolean skipped = FALSE;

  for (guint i = 0; failed && i < choice->candidates->len;) {
    VvCandidate *c = choice->candidates->pdata[i];
    g_autofree char *driver = vv_candidate_driver (b->context->host, c);
    g_autofree char *why = why_failed (failed, c->module);
    if (!why || (driver && g_strcmp0 (driver, b->device->now.driver) == 0)) {
      i++;
      continue;
    }
    g_message ("%s: not trying %s again: it %s", b->device->address, c->module, why);
    vv_choice_exclude (choice, c, why);
    skipped = TRUE;
  }
  return skipped;
}

/* --- migration --- */

gboolean
vv_attach_can_migrate (const VvContext *s, const VvPciDevice *device, const VvMigrationUse *use,
                       GError **error)
{
  g_autoptr (GError) unsaved = NULL;
  VvMigration migration;
  const char *why;

  if (!vv_migration_probe (s->host, device, &migration, error))
    return FALSE;
  if (!vv_migration_store (s->store, device->now.driver, device->modalias, &migration, &unsaved))
    g_warning ("%s", unsaved->message);
  switch (vv_migration_judge (&migration, use, &why)) {
  case VV_MIGRATION_NO:
    g_set_error (error, VV_ERROR, VV_ERROR_POLICY, "%s: %s %s", device->address, device->now.driver, why);
    return FALSE;
  case VV_MIGRATION_UNKNOWN:
    g_message ("%s: %s %s", device->address, device->now.driver, why);
    return TRUE;
  default:
    return TRUE;
  }
}

/* Handles a present driver that cannot migrate the device. Returns: whether to try another driver; FALSE with
 * @error set: none is left, or the driver could not be queried */
static gboolean
try_another (VvBinding *b, VvChoice *choice, const GError *immobile, GError **error)
{
  if (!g_error_matches (immobile, VV_ERROR, VV_ERROR_POLICY)) {
    g_autofree char *rule = vv_choice_rule (choice);
    g_set_error (error, VV_ERROR, VV_ERROR_POLICY,
                 _ ("%s: cannot determine whether %s supports migration, which %s requires: %s"),
                 b->device->address, b->device->now.driver, rule, immobile->message);
    return FALSE;
  }
  /* Do not try drivers again that have just failed. */
  for (guint i = 0; i < b->change->attempts->len; i++) {
    const VvAttempt *a = b->change->attempts->pdata[i];
    VvCandidate *failed = vv_candidate_of_module (choice->candidates, a->module);
    g_autofree char *why = g_strdup_printf (_ ("failed at %s: %s"), a->step, a->problem);
    if (failed)
      vv_choice_exclude (choice, failed, why);
  }
  VvCandidate *on = vv_candidates_find (b->context->host, choice->candidates, b->device->now.driver);
  if (on)
    vv_choice_exclude (choice, on, immobile->message);
  if (on && choice->candidates->len)
    return TRUE;
  none_is_left (b->device, choice, error);
  return FALSE;
}

/* --- a device that libvirt has open --- */

static gboolean
refuse_opened (const VvContext *s, const VvPciDevice *device, const VvChoice *choice, GError **error)
{
  g_autofree char *rule = vv_choice_rule (choice);
  g_autofree char *out = choice->excluded->len ? vv_choice_why_none (choice) : NULL;
  const GPtrArray *candidates = choice->candidates;
  g_autofree char *driver = candidates->len ? vv_candidate_driver (s->host, candidates->pdata[0]) : NULL;
  g_autofree char *remedy = NULL; /* how to bind the device to that driver before libvirt opens it */

  if (candidates->len)
    remedy = g_strdup_printf (_ ("start vfio-variantd, which moves the device before libvirt opens it, or "
                                 "name the driver in the domain's <hostdev>: <driver model='%s'/>"),
                              driver ? driver : ((const VvCandidate *)candidates->pdata[0])->module);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY,
               _ ("%s is on %s, which %s does not allow, and cannot be moved because libvirt has already "
                  "opened it for iommufd; %s%s%s"),
               device->address, device->now.driver ? device->now.driver : _ ("no driver"), rule,
               remedy ? remedy : _ ("no other driver is available"), out ? _ ("; rejected: ") : "",
               out ? out : "");
  return FALSE;
}

gboolean
vv_attach_opened (const VvBinding *b, VvChoice *choice, gboolean must_know, GError **error)
{
  const VvContext *s = b->context;
  const VvPciDevice *d = b->device;

  if (!vv_choice_is_strict (choice))
    return TRUE;
  skip_failed (b, choice);
  if (!vv_candidates_find (s->host, choice->candidates, d->now.driver))
    return refuse_opened (s, d, choice, error);
  if (!vv_choice_requires (choice) || !must_know ||
      vv_migration_known (s->store, d->now.driver, d->modalias, NULL) != VV_MIGRATION_UNKNOWN)
    return TRUE;
  g_autofree char *rule = vv_choice_rule (choice);
  g_set_error (error, VV_ERROR, VV_ERROR_POLICY,
               _ ("%s: whether %s supports migration, which %s requires, is unknown, and the driver cannot "
                  "be queried because libvirt has already opened the device for iommufd; start "
                  "vfio-variantd, which queries it before that, or query it while no guest uses it: "
                  "vfio-variant bind %s && vfio-variant probe %s; vfio-variant restore %s"),
               d->address, d->now.driver, rule, d->address, d->address, d->address);
  return FALSE;
}

/* --- attach --- */

/* Does not restore a device that had no driver at the call: only its caller knows its former driver.
 * Exception: for a new device, the kernel chooses the driver. */
static void
go_back (VvBinding *b, const VvDriverState *before, const VvEntry *entry)
{
  g_autoptr (GError) error = NULL;

  if (!b->entry || g_strcmp0 (b->device->now.driver, before->driver) == 0 || (!before->driver && !b->is_new))
    return;
  if (before->driver ? !vv_binding_undo (b, before, entry, _ ("a strict requirement cannot be met"), &error)
                     : !vv_binding_reattach (b, &error))
    g_warning ("%s", error->message);
  vv_binding_tell (b); /* before the caller logs the reason */
}

gboolean
vv_attach (VvBinding *b, VvChoice *choice, GError **error)
{
  g_auto (VvDriverState) before = vv_driver_state_copy (&b->device->now);
  g_autoptr (VvEntry) entry = b->entry ? vv_entry_copy (b->entry) : NULL;
  gboolean asks = vv_choice_requires (choice) && b->lock;
  g_autoptr (GError) problem = NULL;

  gboolean skipped = skip_failed (b, choice);
  if (!choice->candidates->len && vv_choice_is_strict (choice)) {
    g_autofree char *rule = vv_choice_rule (choice);
    none_is_left (b->device, choice, &problem);
    if (skipped)
      g_prefix_error (&problem, _ ("%s allows no other driver: "), rule);
    g_propagate_error (error, g_steal_pointer (&problem));
    return FALSE;
  }
  while (!problem) {
    g_autoptr (GError) failure = NULL;
    g_autoptr (GError) immobile = NULL;
    if (!vv_binding_detach (b, choice, &failure))
      fail (choice, g_steal_pointer (&failure), &problem);
    else if (!asks || vv_attach_can_migrate (b->context, b->device, &choice->options.use, &immobile))
      return TRUE;
    else
      try_another (b, choice, immobile, &problem);
  }
  if (g_error_matches (problem, VV_ERROR, VV_ERROR_POLICY))
    go_back (b, &before, entry);
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}
