/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy-xml: the administrator's policy as it stands in files, vfio-variant.xml(5).
 *
 * Owns: which files there are, whether root may believe them, their format and bounds. A file counts as a
 * whole or not at all, and what is wrong with one does not touch the others (rule R7). The attributes that a
 * domain's metadata shares with the policy are here, too. Knows nothing of what follows from a policy.
 */
#pragma once

#include <glib/gi18n-lib.h>

#include "host.h"
#include "policy.h"
#include "xml.h"

/** The largest file of the policy, in bytes, and the most of its rules and defaults. */
#define VV_POLICY_FILE_LIMIT (1024 * 1024)
#define VV_POLICY_RULE_LIMIT 4096

/** The most files in vfio-variant.d that are read; those that sort behind do not count. */
#define VV_POLICY_FILES_LIMIT 256

/**
 * vv_policy_read:
 *
 * Reads VV_LIBVIRT_DIR/vfio-variant.xml, and then what in vfio-variant.d ends with ".xml", in the order of
 * strcmp(), below the host's sysroot when there is one. Files that are not there are no error. Each other is
 * recorded in the policy's files, with the problem when it is broken, cannot be read (then @unread of the
 * policy says so, too), or somebody else than root (below a sysroot: or the caller) could have written it.
 *
 * Returns: (transfer full): what the files say, which may be nothing
 */
VvPolicy *vv_policy_read (const VvHost *host);

/** vv_policy_add_path: reads one file, whoever may write it, and notes it as vv_policy_read() does; that it
 * is not there is a problem */
void vv_policy_add_path (VvPolicy *policy, const char *path);

/**
 * vv_policy_add_text:
 * @path: where the text comes from, for the rules and for messages
 * @text: the document, @length bytes
 *
 * Adds what the text says behind what @policy says already; of a setting that was said, nothing. All or
 * nothing; the policy's list of files stays as it is.
 *
 * Returns: FALSE with @error set (VV_ERROR_INVALID, "PATH:LINE: WHAT")
 */
gboolean vv_policy_add_text (VvPolicy *policy, const char *path, const char *text, gsize length,
                             GError **error);

/**
 * vv_policy_address_glob:
 * @text: an address, or a glob of addresses, without the domain when that is 0000
 *
 * As the DEVICE arguments of the command (vv_pci_addresses()), but what could be meant with or without a
 * domain ("1*:00.0") is refused, so that one pattern says it all.
 *
 * Returns: (transfer full) (nullable): the pattern of whole addresses, in lower case; NULL when it is none
 */
char *vv_policy_address_glob (const char *text);

/** Whether @value is what the attribute of that name can be: of VV_DOMAIN_OPTIONS */
gboolean vv_is_driver_list (const char *value);
gboolean vv_is_fallback (const char *value);
gboolean vv_is_migratable (const char *value);

/** VV_DOMAIN_OPTIONS: rows of a table of VvXmlAttribute: what the owner of a domain can say, too */
#define VV_DOMAIN_OPTIONS                                                                                    \
  {"driver", N_ ("'auto', or up to 32 names of drivers or modules, 'generic' among them"),                   \
   vv_is_driver_list},                                                                                       \
      {"fallback", N_ ("next, generic or none"), vv_is_fallback},                                            \
  {                                                                                                          \
    "migratable", N_ ("ignore, prefer or require"), vv_is_migratable                                         \
  }

/** vv_options_from_xml: adds to @options, of which none is said, those that @element, which was checked, has
 * as attributes; all may be unsaid */
void vv_options_from_xml (VvOptions *options, const xmlNode *element);
