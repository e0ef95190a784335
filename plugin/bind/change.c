/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "change.h"

#include <glib/gi18n-lib.h>
#include <string.h>

const char *
vv_operation_name (VvOperation operation)
{
  return operation == VV_DETACH ? "detach" : "reattach";
}

static void
attempt_free (VvAttempt *attempt)
{
  g_free (attempt->module);
  g_free (attempt->problem);
  g_free (attempt);
}

VvChange *
vv_change_new (const char *device, VvOperation operation, const char *from)
{
  VvChange *change = g_new0 (VvChange, 1);

  change->device = g_strdup (device);
  change->operation = operation;
  change->from = g_strdup (from);
  change->attempts = g_ptr_array_new_with_free_func ((GDestroyNotify)attempt_free);
  change->steps = g_ptr_array_new_with_free_func (g_free);
  return change;
}

void
vv_change_free (VvChange *change)
{
  if (!change)
    return;
  g_free (change->device);
  g_free (change->from);
  g_free (change->to);
  g_free (change->alias);
  g_free (change->why);
  g_free (change->domain);
  g_free (change->wanted);
  g_clear_error (&change->problem);
  g_ptr_array_unref (change->attempts);
  g_ptr_array_unref (change->steps);
  g_free (change);
}

void
vv_change_failed_attempt (VvChange *change, const char *module, const char *step, const GError *problem)
{
  VvAttempt *attempt = g_new0 (VvAttempt, 1);

  attempt->module = g_strdup (module);
  attempt->step = step;
  attempt->problem = g_strdup (problem->message);
  g_ptr_array_add (change->attempts, attempt);
}

char *
vv_change_attempts (const VvChange *change)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < change->attempts->len; i++) {
    const VvAttempt *a = change->attempts->pdata[i];
    g_string_append_printf (text, _ ("%s%s failed at %s (%s)"), i ? "; " : "", a->module, a->step,
                            a->problem);
  }
  return text->len ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

static const char *
name_or_none (const char *driver)
{
  return driver ? driver : "no driver"; /* not translated: for the log */
}

const char *
vv_change_outcome (const VvChange *change)
{
  return change->attempts->len ? "fell-back" : "done";
}

void
vv_change_log (const VvChange *change)
{
  g_autofree char *failed = vv_change_attempts (change);
  g_autofree char *wildcards = g_strdup_printf ("%u", change->wildcards);
  g_autofree char *usec = g_strdup_printf ("%" G_GINT64_FORMAT, change->usec);

  if (change->problem || (!change->changed && !failed))
    return;
  g_log_structured (G_LOG_DOMAIN, failed ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE, "VFIO_VARIANT_DEVICE",
                    change->device, "VFIO_VARIANT_OPERATION", vv_operation_name (change->operation),
                    "VFIO_VARIANT_FROM", change->from ? change->from : "", "VFIO_VARIANT_TO",
                    change->to ? change->to : "", "VFIO_VARIANT_ALIAS", change->alias ? change->alias : "",
                    "VFIO_VARIANT_WILDCARDS", wildcards, "VFIO_VARIANT_WHY", change->why ? change->why : "",
                    "VFIO_VARIANT_USEC", usec, "VFIO_VARIANT_OUTCOME", vv_change_outcome (change),
                    "VFIO_VARIANT_DOMAIN", change->domain ? change->domain : "", "MESSAGE",
                    "%s: %s: %s -> %s: %s%s%s (%s us)", change->device, vv_operation_name (change->operation),
                    name_or_none (change->from), name_or_none (change->to), change->why ? change->why : "",
                    failed ? "; " : "", failed ? failed : "", usec);
}
