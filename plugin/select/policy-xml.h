/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * policy-xml: the files of the administrator's policy, vfio-variant.xml(5).
 *
 * Owns: the list of files, whether root can trust them, their format and limits. An invalid file is ignored
 * as a whole, and does not affect the other files (rule R7). Also reads the attributes that a domain's
 * metadata shares with the policy. Knows nothing of the effect of a policy.
 */
#pragma once

#include <glib/gi18n-lib.h>

#include "host.h"
#include "policy.h"
#include "xml.h"

/** Maximum size of a policy file in bytes, and maximum number of its rules and defaults. */
#define VV_POLICY_FILE_LIMIT (1024 * 1024)
#define VV_POLICY_RULE_LIMIT 4096

/** Maximum number of files in vfio-variant.d; the files that sort after these are ignored. */
#define VV_POLICY_FILES_LIMIT 256

/**
 * vv_policy_read:
 *
 * Reads VV_LIBVIRT_DIR/vfio-variant.xml, then the files in vfio-variant.d that end with ".xml", in the order
 * of strcmp(), below the host's sysroot if it has one. Missing files are no error. Records each file in the
 * policy's list of files, with the problem if the file is invalid, cannot be read, or is not trusted. If a
 * file cannot be read, also sets @unread of the policy. A file is trusted if only root can write it; below a
 * sysroot, also the caller.
 *
 * Returns: (transfer full): the policy, which may be empty
 */
VvPolicy *vv_policy_read (const VvHost *host);

/** vv_policy_add_path: Reads one file without checking whether it is trusted, and records it as
 * vv_policy_read() does; a missing file is a problem */
void vv_policy_add_path (VvPolicy *policy, const char *path);

/**
 * vv_policy_add_text:
 * @path: the source of the text, for rules and messages
 * @text: the document, @length bytes
 *
 * Appends the rules and defaults of the text to @policy, and adds the settings that @policy does not have. On
 * an error, @policy is unchanged. Does not change the policy's list of files.
 *
 * Returns: TRUE, or FALSE with @error set (VV_ERROR_INVALID, "PATH:LINE: WHAT")
 */
gboolean vv_policy_add_text (VvPolicy *policy, const char *path, const char *text, gsize length,
                             GError **error);

/**
 * vv_policy_address_glob:
 * @text: an address, or a glob of addresses; without a domain it means domain 0000
 *
 * Converts @text to one pattern for full addresses. Accepts the DEVICE arguments of the command
 * (vv_pci_addresses()), except a glob that could have a domain or not ("1*:00.0").
 *
 * Returns: (transfer full) (nullable): the pattern in lower case, or NULL if @text is not valid
 */
char *vv_policy_address_glob (const char *text);

/** Return whether @value is valid for the attribute of that name in VV_DOMAIN_OPTIONS */
gboolean vv_is_driver_list (const char *value);
gboolean vv_is_fallback (const char *value);
gboolean vv_is_migratable (const char *value);

/** VV_DOMAIN_OPTIONS: rows of a VvXmlAttribute table: the options that the owner of a domain can set, too */
#define VV_DOMAIN_OPTIONS                                                                                    \
  {"driver", N_ ("'auto', or up to 32 names of drivers or modules, 'generic' among them"),                   \
   vv_is_driver_list},                                                                                       \
      {"fallback", N_ ("next, generic or none"), vv_is_fallback},                                            \
  {                                                                                                          \
    "migratable", N_ ("ignore, prefer or require"), vv_is_migratable                                         \
  }

/** vv_options_from_xml: Sets the empty @options from the attributes of @element, which must be checked;
 * attributes may be missing */
void vv_options_from_xml (VvOptions *options, const xmlNode *element);
