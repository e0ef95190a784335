/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * session: the parts of the library that a program needs, opened together.
 */
#pragma once

#include "binding.h"
#include "policy.h"
#include "tally.h"

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
 * VvPurpose:
 * @VV_SESSION_LOOK: nothing is going to change
 * @VV_SESSION_MOVE: the program is going to move devices: the journal's directory is made, and what processes
 * that died left half done is finished or undone, and logged
 * @VV_SESSION_SERVE: as VV_SESSION_MOVE, but nothing is recovered: the program must not wait for the kernel,
 * and lets another process do that
 */
typedef enum {
  VV_SESSION_LOOK,
  VV_SESSION_MOVE,
  VV_SESSION_SERVE,
} VvPurpose;

/**
 * vv_session_new:
 * @sysroot: (nullable): as for vv_host_new()
 * @release: (nullable): as for vv_host_new()
 * @purpose: what the program is going to do
 *
 * Returns: (transfer full): the session, or NULL with @error set
 */
VvSession *vv_session_new (const char *sysroot, const char *release, VvPurpose purpose, GError **error);
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
 * @policy: (transfer full): counts from now on; a new session has one that says nothing
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

/**
 * vv_session_recover:
 *
 * Finishes or undoes what processes that died left half done, and logs it. A device whose lock another
 * process has is passed over: that process lives.
 */
void vv_session_recover (const VvSession *session);

/** vv_session_binding: as vv_binding_open(); what had to be recovered is logged */
VvBinding *vv_session_binding (const VvSession *session, const char *address, gboolean dry_run,
                               GError **error);

/** vv_session_log_change: logs a change (vv_change_log()) and counts it (vv_tally_change()) */
void vv_session_log_change (const VvSession *session, const VvChange *change);

/**
 * vv_session_count_failure:
 * @failed: (nullable): what vv_binding_failed() says; NULL: nothing was begun, so nothing is counted
 * @driver: (nullable): the driver that was asked for by name
 * @error: (nullable): why it came to nothing; what was refused, malformed, or about a device that is not
 * there is no failure of ours
 *
 * Counts a change that failed. The caller logs or prints it.
 *
 * Returns: FALSE, so that a function can end with it
 */
gboolean vv_session_count_failure (const VvSession *session, const VvChange *failed, const char *driver,
                                   const GError *error);

/** vv_session_binding_failed: the same for what has just been tried with @binding, with what it put into
 * @error */
gboolean vv_session_binding_failed (const VvSession *session, VvBinding *binding, const char *driver,
                                    GError **error);
