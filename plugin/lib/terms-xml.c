/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "terms-xml.h"

#include <string.h>

#include "modalias.h"

/* What an XML list is separated by */
#define BLANKS " \t\n\r"

static char **
split (const char *value)
{
  g_auto (GStrv) parts = g_strsplit_set (value, BLANKS, -1);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (char **part = parts; *part; part++)
    if (**part)
      g_ptr_array_add (names, g_strdup (*part));
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

gboolean
vv_is_driver_list (const char *value)
{
  g_auto (GStrv) names = split (value);
  guint n = g_strv_length (names);

  for (char **name = names; *name; name++)
    if (!vv_name_is_safe (*name) || (n > 1 && strcmp (*name, VV_DRIVER_AUTO) == 0))
      return FALSE;
  return n > 0 && n <= VV_DRIVERS_LIMIT;
}

gboolean
vv_is_fallback (const char *value)
{
  return vv_term_parse (VV_TERM_FALLBACK, value) != 0;
}

gboolean
vv_is_migratable (const char *value)
{
  return vv_term_parse (VV_TERM_MIGRATABLE, value) != 0;
}

gboolean
vv_is_unmanaged (const char *value)
{
  return vv_term_parse (VV_TERM_UNMANAGED, value) != 0;
}

gboolean
vv_is_host_use (const char *value)
{
  return vv_term_parse (VV_TERM_HOST_USE, value) != 0;
}

gboolean
vv_is_at_boot (const char *value)
{
  return vv_term_parse (VV_TERM_AT_BOOT, value) != 0;
}

VvTerms
vv_terms_from_xml (const xmlNode *element)
{
  g_autofree char *drivers = vv_xml_attribute (element, "driver");
  VvTerms terms = {.drivers = drivers ? split (drivers) : NULL};

  for (VvTerm term = 0; term < VV_TERMS; term++) {
    g_autofree char *value = vv_xml_attribute (element, vv_term_name (term));
    terms.values[term] = value ? vv_term_parse (term, value) : 0;
  }
  return terms;
}

gboolean
vv_terms_are_empty (const VvTerms *terms)
{
  gboolean empty = !terms->drivers;

  for (VvTerm term = 0; term < VV_TERMS; term++)
    empty = empty && !terms->values[term];
  return empty;
}
