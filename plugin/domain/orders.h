/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * orders: what the daemon tells vfio-variant-monitor, by a pipe that is its standard input: a byte each.
 * Other bytes are passed over.
 */
#pragma once

/**
 * VvOrder:
 * @VV_ORDER_BLOCKED: a thread of libvirt's is blocked: it must not be asked anything
 * @VV_ORDER_FREE: none is blocked any more
 * @VV_ORDER_LOOK: something changed in the state store
 */
typedef enum {
  VV_ORDER_BLOCKED = 'h',
  VV_ORDER_FREE = 'f',
  VV_ORDER_LOOK = 'l',
} VvOrder;
