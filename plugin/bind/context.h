/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * context: the parts of the library that a program needs, opened together.
 */
#pragma once

#include "catalog.h"
#include "state-store.h"
#include "nodedev-hooks.h"
#include "policy.h"

/**
 * VvContext: host, modules, catalog, policy, state store and hooks, all owned by the context.
 */
typedef struct {
  VvHost *host;
  VvModules *modules;
  VvCatalog *catalog;
  VvPolicy *policy;
  VvStateStore *store;
  VvNodedevHooks *hooks;
  /*< private >*/
  VvGoesOn goes_on;
  gpointer goes_on_data;
} VvContext;

/**
 * vv_context_new:
 * @sysroot: (nullable): as for vv_host_new()
 * @release: (nullable): as for vv_host_new()
 * @moves: whether the caller will rebind devices; if so, creates the state store's directory
 *
 * Returns: (transfer full): the context, with an empty policy, or NULL with @error set
 */
VvContext *vv_context_new (const char *sysroot, const char *release, gboolean moves, GError **error);
void vv_context_free (VvContext *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvContext, vv_context_free)

/**
 * vv_context_reload:
 *
 * Reads modprobe.d and depmod's tables again, and replaces @context->modules and @context->catalog.
 *
 * Returns: FALSE with @error set when both are unchanged
 */
gboolean vv_context_reload (VvContext *context, GError **error);

/**
 * vv_context_set_policy:
 * @policy: (transfer full): replaces the present policy
 */
void vv_context_set_policy (VvContext *context, VvPolicy *policy);

/**
 * vv_context_watch:
 * @goes_on: called after each wait for a device's lock, and as for vv_nodedev_hooks_watch()
 * @data: for @goes_on
 *
 * Sets a callback for a caller with a watchdog.
 */
void vv_context_watch (VvContext *context, VvGoesOn goes_on, gpointer data);

/** vv_context_goes_on: Calls the callback of vv_context_watch(), after a wait for a device. */
void vv_context_goes_on (const VvContext *context);
