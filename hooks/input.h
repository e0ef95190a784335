/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * input: what libvirt calls the qemu hook with, and the hook its program (domain.c): an operation, and the
 * domain's XML on standard input.
 */
#pragma once

#include <glib.h>

/** VvHookOperation: libvirt's hook operations at which there is something to do (libvirt's docs/hooks.rst) */
typedef enum {
  VV_HOOK_PREPARE,
  VV_HOOK_START,
  VV_HOOK_STARTED,
  VV_HOOK_RECONNECT,
  VV_HOOK_MIGRATE,
  VV_HOOK_RESTORE,
  VV_HOOK_RELEASE,
  VV_HOOK_NONE,
} VvHookOperation;

/** vv_hook_operation: Returns: the operation that libvirt calls @name @sub_operation; VV_HOOK_NONE for those
 * at which there is nothing to do */
VvHookOperation vv_hook_operation (const char *name, const char *sub_operation);

/**
 * vv_hook_input:
 *
 * Returns: (transfer full): standard input, or what there is of it up to one byte over VV_DOMAIN_XML_LIMIT:
 * vv_domain_parse() then says that it is too long
 */
GString *vv_hook_input (void);
