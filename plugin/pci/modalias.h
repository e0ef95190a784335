/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * modalias: the syntax of device identities and of the patterns that match them.
 *
 * A device's modalias is "BUS:FIELDS" (pci:v000015B3d0000101E...). Drivers that bind devices for another
 * subsystem publish aliases with its prefix: PREFIX_BUS:PATTERN (scripts/mod/file2alias.c and
 * include/linux/mod_devicetable.h of the kernel; the prefix "vfio" and the buses pci and cdx exist). Knows
 * nothing of files or modules.
 */
#pragma once

#include "error.h"

/** The prefix of the aliases of VFIO drivers. */
#define VV_PREFIX_VFIO "vfio"

/**
 * vv_modalias_key:
 * @prefix: a subsystem's prefix, such as VV_PREFIX_VFIO
 * @modalias: a device's modalias, of any bus
 *
 * Returns: (transfer full): the key to look up among the aliases ("vfio_pci:v000015B3..."), or NULL with
 * @error set if @modalias is not valid: no bus, no fields, over 1,024 bytes, or invalid characters
 */
char *vv_modalias_key (const char *prefix, const char *modalias, GError **error);

/**
 * vv_modalias_wildcards:
 *
 * Counts the wildcards: the more a pattern has, the less specific it is. A '*' in brackets or after a
 * backslash is literal and does not count.
 *
 * Returns: the number of '*' that match any text
 */
guint vv_modalias_wildcards (const char *pattern);

/** vv_modalias_match: Returns: whether @pattern matches the whole of @key, as fnmatch(3) and libkmod match */
gboolean vv_modalias_match (const char *pattern, const char *key);

/**
 * vv_module_name:
 *
 * Returns: (transfer full): the module's name in the spelling of /sys/module and modules.alias, with '_' for
 * '-'; the kernel treats both alike
 */
char *vv_module_name (const char *name);

/** vv_name_is_safe: Returns: whether @name is valid as a driver or module name: 1 to 64 of [A-Za-z0-9_.+-],
 * no leading dot */
gboolean vv_name_is_safe (const char *name);
