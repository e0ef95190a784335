/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * orders: the one-byte commands that the daemon sends to vfio-variant-monitor, through a pipe to its standard
 * input. The monitor ignores unknown bytes.
 */
#pragma once

/**
 * VvOrder:
 * @VV_ORDER_BLOCKED: the gate blocks a libvirt thread: the monitor must not call libvirt
 * @VV_ORDER_FREE: no libvirt thread is blocked any more
 * @VV_ORDER_LOOK: the state store changed
 */
typedef enum {
  VV_ORDER_BLOCKED = 'h',
  VV_ORDER_FREE = 'f',
  VV_ORDER_LOOK = 'l',
} VvOrder;
