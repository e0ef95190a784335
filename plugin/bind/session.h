/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * session: the parts of the library that a program needs, opened together.
 */
#pragma once

#include "catalog.h"
#include "journal.h"
#include "nodedev-hooks.h"
#include "policy.h"

/**
 * VvSession: host, modules, catalog, policy, journal and hooks, which live as long as the session.
 */
typedef struct {
  VvHost *host;
  VvModules *modules;
  VvCatalog *catalog;
  VvPolicy *policy;
  VvJournal *journal;
  VvNodedevHooks *hooks;
  /*< private >*/
  VvGoesOn goes_on;
  gpointer goes_on_data;
} VvSession;

/**
 * vv_session_new:
 * @sysroot: (nullable): as for vv_host_new()
 * @release: (nullable): as for vv_host_new()
 * @moves: whether devices are going to be moved: the journal's directory is made then
 *
 * Returns: (transfer full): the session, with a policy that says nothing, or NULL with @error set
 */
VvSession *vv_session_new (const char *sysroot, const char *release, gboolean moves, GError **error);
void vv_session_free (VvSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSession, vv_session_free)

/**
 * vv_session_reload:
 *
 * Reads modprobe.d and depmod's tables again: @session->modules and @session->catalog are others afterwards.
 *
 * Returns: FALSE with @error set when they stay as they were
 */
gboolean vv_session_reload (VvSession *session, GError **error);

/**
 * vv_session_set_policy:
 * @policy: (transfer full): counts from now on
 */
void vv_session_set_policy (VvSession *session, VvPolicy *policy);

/**
 * vv_session_watch:
 * @goes_on: called before and after each wait for a device, and as vv_nodedev_hooks_watch() has it
 * @data: for @goes_on
 *
 * For a caller whose progress is watched.
 */
void vv_session_watch (VvSession *session, VvGoesOn goes_on, gpointer data);

/** vv_session_goes_on: tells who watches that a wait for a device is over */
void vv_session_goes_on (const VvSession *session);
