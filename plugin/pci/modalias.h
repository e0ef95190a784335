/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * modalias: the text of device identities and of the patterns that match them.
 *
 * A device's modalias is "BUS:FIELDS" (pci:v000015B3d0000101E...). Drivers for another subsystem than the
 * native one publish prefixed aliases: PREFIX_BUS:PATTERN (scripts/mod/file2alias.c and
 * include/linux/mod_devicetable.h of the kernel; the prefix "vfio" and the buses pci and cdx exist). Knows
 * nothing of files or modules.
 */
#pragma once

#include "error.h"

/** The prefix of the aliases of VFIO drivers. */
#define VV_PREFIX_VFIO "vfio"

/**
 * vv_modalias_key:
 * @prefix: a subsystem's prefix, as VV_PREFIX_VFIO
 * @modalias: a device's modalias, of any bus
 *
 * Returns: (transfer full): what to look up among the aliases ("vfio_pci:v000015B3..."), or NULL with @error
 * set when
 * @modalias is none: no bus, empty, over 1,024 bytes, or with characters that no modalias has
 */
char *vv_modalias_key (const char *prefix, const char *modalias, GError **error);

/**
 * vv_modalias_wildcards:
 *
 * How unspecific a pattern is: its number of '*' that match anything. One inside brackets or behind a
 * backslash matches itself and is not counted.
 */
guint vv_modalias_wildcards (const char *pattern);

/** vv_modalias_match: Returns: whether @pattern matches the whole of @key, as fnmatch(3) and libkmod do */
gboolean vv_modalias_match (const char *pattern, const char *key);

/**
 * vv_module_name:
 *
 * Returns: (transfer full): a module's name as the kernel spells it: '-' and '_' are the same there, and '_'
 * is what /sys/module and modules.alias use
 */
char *vv_module_name (const char *name);

/** vv_name_is_safe: Returns: whether @name can be a driver or module name: 1 to 64 of [A-Za-z0-9_.+-], no
 * leading dot */
gboolean vv_name_is_safe (const char *name);
