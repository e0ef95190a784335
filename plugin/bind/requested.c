/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requested.h"

#include <string.h>

#include "modalias.h"

#define OTHERS "other-devices"
#define FORCED "enable-migration"

static const VvOption options_of_domain[] = {VV_OPTION_FALLBACK, VV_OPTION_MIGRATABLE};

static void
add (GString *text, const char *name, const char *value)
{
  g_string_append_printf (text, " %s=%s", name, value);
}

/* The words are separated by spaces, which driver names do not contain. */
char *
vv_requested_to_text (const VvOptions *r)
{
  g_autoptr (GString) text = g_string_new (r->use.iommufd == VV_ANSWER_YES ? "iommufd=yes" : "iommufd=no");

  if (r->use.others)
    add (text, OTHERS, "yes");
  if (r->use.forced)
    add (text, FORCED, "yes");
  if (r->model)
    add (text, "model", r->model);
  for (char **name = r->drivers; name && *name; name++)
    add (text, "driver", *name);
  for (gsize i = 0; i < G_N_ELEMENTS (options_of_domain); i++)
    if (r->values[options_of_domain[i]])
      add (text, vv_option_name (options_of_domain[i]),
           vv_option_value (options_of_domain[i], r->values[options_of_domain[i]]));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* Returns FALSE if @name and @value do not belong to VvMigrationUse. */
static gboolean
read_use (const char *name, const char *value, VvMigrationUse *use)
{
  gboolean yes = strcmp (value, "yes") == 0;

  if (strcmp (name, "iommufd") == 0 && (yes || strcmp (value, "no") == 0))
    use->iommufd = yes ? VV_ANSWER_YES : VV_ANSWER_NO;
  else if (strcmp (name, OTHERS) == 0 && yes)
    use->others = TRUE;
  else if (strcmp (name, FORCED) == 0 && yes)
    use->forced = TRUE;
  else
    return FALSE;
  return TRUE;
}

static gboolean
read_word (const char *word, VvOptions *r, GPtrArray *drivers)
{
  g_auto (GStrv) parts = g_strsplit (word, "=", 2);
  const char *value = parts[0] ? parts[1] : NULL;

  if (!value)
    return FALSE;
  if (read_use (parts[0], value, &r->use))
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (options_of_domain); i++)
    if (strcmp (parts[0], vv_option_name (options_of_domain[i])) == 0) {
      r->values[options_of_domain[i]] = vv_option_parse (options_of_domain[i], value);
      return r->values[options_of_domain[i]] != 0;
    }
  gboolean is_driver = strcmp (parts[0], "driver") == 0;
  if ((!is_driver && strcmp (parts[0], "model") != 0) || !vv_name_is_safe (value))
    return FALSE;
  if (is_driver) {
    g_ptr_array_add (drivers, g_strdup (value));
  } else {
    g_free (r->model);
    r->model = g_strdup (value);
  }
  return TRUE;
}

gboolean
vv_requested_from_text (const char *text, VvOptions *requested)
{
  g_auto (GStrv) words = g_strsplit (text ? text : "", " ", -1);
  g_autoptr (GPtrArray) drivers = g_ptr_array_new_with_free_func (g_free);
  g_auto (VvOptions) r = {0};

  *requested = r;
  for (char **word = words; *word; word++)
    if (!read_word (*word, &r, drivers))
      return FALSE;
  if (drivers->len) {
    g_ptr_array_add (drivers, NULL);
    r.drivers = (char **)g_ptr_array_free (g_steal_pointer (&drivers), FALSE);
  }
  *requested = r;
  r = (VvOptions){0};
  return TRUE;
}
