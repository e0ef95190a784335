/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * terms-xml: what is wanted of a device, as attributes: the same in the policy and in a domain's metadata.
 *
 * Owns: the spelling of driver lists, and the attributes of terms. Knows nothing of which element they are
 * on.
 */
#pragma once

#include <glib/gi18n-lib.h>

#include "policy.h"
#include "xml.h"

/** VV_DRIVERS_LIMIT: the most names in one driver list */
#define VV_DRIVERS_LIMIT 32

gboolean vv_is_driver_list (const char *value);
gboolean vv_is_fallback (const char *value);
gboolean vv_is_migratable (const char *value);
gboolean vv_is_unmanaged (const char *value);
gboolean vv_is_host_use (const char *value);
gboolean vv_is_at_boot (const char *value);

/** VV_TERMS_OF_DOMAIN: rows of a table of VvXmlAttribute: what the owner of a domain can say, too */
#define VV_TERMS_OF_DOMAIN                                                                                   \
  {"driver", N_ ("'auto', or up to 32 names of drivers or modules, 'generic' among them"),                   \
   vv_is_driver_list},                                                                                       \
      {"fallback", N_ ("next, generic or none"), vv_is_fallback},                                            \
  {                                                                                                          \
    "migratable", N_ ("ignore, prefer or require"), vv_is_migratable                                         \
  }

/** VV_TERMS_OF_HOST: rows of a table of VvXmlAttribute: what only the administrator can say */
#define VV_TERMS_OF_HOST                                                                                     \
  {"unmanaged", N_ ("ignore or manage"), vv_is_unmanaged},                                                   \
  {                                                                                                          \
    "host-use", N_ ("refuse or warn"), vv_is_host_use                                                        \
  }

/** VV_TERMS_OF_RULE: rows of a table of VvXmlAttribute: what has to be said of certain devices, never of all
 */
#define VV_TERMS_OF_RULE                                                                                     \
  {                                                                                                          \
    "at-boot", N_ ("yes or no"), vv_is_at_boot                                                               \
  }

/** vv_terms_from_xml: Returns: (transfer full): by vv_terms_clear(): the terms that @element, which was
 * checked, has as attributes; all may be unsaid */
VvTerms vv_terms_from_xml (const xmlNode *element);

/** vv_terms_are_empty: Returns: whether @terms say nothing */
gboolean vv_terms_are_empty (const VvTerms *terms);
