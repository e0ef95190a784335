/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * status-socket: tells whoever connects how the daemon is, and nothing else.
 *
 * A unix socket that is only written to: one text for each connection, then it is closed. Nothing is read, so
 * there is nothing to parse, and no bus is needed: the daemon holds libvirt, so it must depend on as little
 * as can be. For root only: the socket's mode is 0600, and only root can write to its directory. So a client
 * can trust the answer.
 *
 * Owns: the socket, and the lock of vfio-variantd.lock beside it, which tells that a daemon runs. Knows
 * nothing of what is told.
 */
#pragma once

#include "host.h"

typedef struct VvStatusSocket VvStatusSocket;

/** VvStatusFunc: Returns: (transfer full): what is to be told now */
typedef char *(*VvStatusFunc) (gpointer data);

/**
 * vv_status_socket_new: listens at vfio-variantd.sock in the directory of the state store, which is there
 *
 * Returns: (transfer full): the socket, or NULL with @error set (VV_ERROR_REFUSED: another daemon runs)
 */
VvStatusSocket *vv_status_socket_new (const VvHost *host, VvStatusFunc func, gpointer data, GError **error);
void vv_status_socket_free (VvStatusSocket *socket);
