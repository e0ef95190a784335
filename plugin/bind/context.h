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
 * VvContext: host, modules, catalog, policy, journal and hooks, which live as long as the context.
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
 * @moves: whether devices are going to be moved: the state store's directory is made then
 *
 * Returns: (transfer full): the context, with a policy that says nothing, or NULL with @error set
 */
VvContext *vv_context_new (const char *sysroot, const char *release, gboolean moves, GError **error);
void vv_context_free (VvContext *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvContext, vv_context_free)

/**
 * vv_context_reload:
 *
 * Reads modprobe.d and depmod's tables again: @context->modules and @context->catalog are others afterwards.
 *
 * Returns: FALSE with @error set when they stay as they were
 */
gboolean vv_context_reload (VvContext *context, GError **error);

/**
 * vv_context_set_policy:
 * @policy: (transfer full): counts from now on
 */
void vv_context_set_policy (VvContext *context, VvPolicy *policy);

/**
 * vv_context_watch:
 * @goes_on: called before and after each wait for a device, and as vv_nodedev_hooks_watch() has it
 * @data: for @goes_on
 *
 * For a caller whose progress is watched.
 */
void vv_context_watch (VvContext *context, VvGoesOn goes_on, gpointer data);

/** vv_context_goes_on: tells who watches that a wait for a device is over */
void vv_context_goes_on (const VvContext *context);
