/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * requested: what a domain requests for one of its devices.
 *
 * Owns: the text of a request in the device's journal entry, by which the hook's "prepare" tells the gate,
 * that sees no domain, what the hook's "start" would do. Knows nothing of XML, nor of what the policy grants.
 */
#pragma once

#include "migration.h"
#include "policy.h"

/**
 * VvRequested:
 * @model: (nullable): <driver model='...'/> of the hostdev: the only driver that is wanted
 * @options: what the domain's metadata requests
 * @use: how the domain has the device
 */
typedef struct {
  char *model;
  VvOptions options;
  VvMigrationUse use;
} VvRequested;

void vv_requested_clear (VvRequested *requested);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvRequested, vv_requested_clear)

/** vv_requested_to_text: Returns: (transfer full): one line */
char *vv_requested_to_text (const VvRequested *requested);

/**
 * vv_requested_from_text:
 * @text: (nullable): what vv_requested_to_text() has made; NULL: nothing was requested
 * @requested: (out): by vv_requested_clear(); nothing with FALSE
 *
 * Returns: FALSE when @text is none of that kind
 */
gboolean vv_requested_from_text (const char *text, VvRequested *requested);
