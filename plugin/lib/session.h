/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * session: the parts of the library that a program needs, opened together.
 */
#pragma once

#include "binding.h"

/**
 * VvSession: host, modules, catalog and journal, which live as long as the session.
 */
typedef struct {
  VvHost *host;
  VvModules *modules;
  VvCatalog *catalog;
  VvJournal *journal;
} VvSession;

/**
 * vv_session_new:
 * @sysroot: (nullable): as for vv_host_new()
 * @release: (nullable): as for vv_host_new()
 * @change: the program is going to move devices: the journal's directory is made, and what processes that
 * died left half done is finished or undone, and logged
 *
 * Returns: (transfer full): the session, or NULL with @error set
 */
VvSession *vv_session_new (const char *sysroot, const char *release, gboolean change, GError **error);
void vv_session_free (VvSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSession, vv_session_free)

/** vv_session_binding: as vv_binding_open(); what had to be recovered is logged */
VvBinding *vv_session_binding (const VvSession *session, const char *address, gboolean dry_run,
                               GError **error);
