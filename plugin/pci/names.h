/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * names: what people call a device, from udev's hardware database, hwdb(7), which has the names of pci.ids.
 *
 * Owns: the open database. It is no part of a system below a --sysroot: names are the same everywhere.
 */
#pragma once

#include <glib.h>

typedef struct VvNames VvNames;

/** vv_names_open: Returns: (transfer full): the names; none when this system has no such database */
VvNames *vv_names_open (void);
void vv_names_free (VvNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvNames, vv_names_free)

/**
 * vv_names_find:
 * @modalias: a device's
 *
 * Returns: (transfer full) (nullable): vendor and model, UTF-8 on one line; the one that is known; NULL:
 * neither
 */
char *vv_names_find (const VvNames *names, const char *modalias);
