/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * input: the input of the qemu hook, which the hook passes on to vfio-variant-domain (domain.c). It is an
 * operation as arguments, and the domain's XML on standard input.
 */
#pragma once

#include <glib.h>

/** VvHookOperation: the hook operations of libvirt that require work (libvirt's docs/hooks.rst) */
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

/** vv_hook_operation: Returns: the operation that libvirt calls @name @sub_operation; VV_HOOK_NONE if it
 * requires no work */
VvHookOperation vv_hook_operation (const char *name, const char *sub_operation);

/**
 * vv_hook_input:
 *
 * Reads standard input, but stops after more than VV_DOMAIN_XML_LIMIT bytes. vv_domain_parse() then reports
 * that the XML is too long.
 *
 * Returns: (transfer full): the text
 */
GString *vv_hook_input (void);
