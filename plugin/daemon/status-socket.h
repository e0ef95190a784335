/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * status-socket: sends the daemon's status to each client that connects.
 *
 * The daemon only writes to this unix socket: it sends one text for each connection, then closes the
 * connection. The socket accepts no input, so there is nothing to parse. It needs no bus: the daemon blocks
 * libvirt, so it must depend on as little as possible. Only root can connect, because the socket's mode is
 * 0600. Only root can write to the socket's directory, so a client can trust the answer.
 *
 * Owns: the socket, and the lock of vfio-variantd.lock beside it, which shows that a daemon is running.
 * Knows nothing of the content.
 */
#pragma once

#include "host.h"

typedef struct VvStatusSocket VvStatusSocket;

/** VvStatusFunc: Returns: (transfer full): the present status */
typedef char *(*VvStatusFunc) (gpointer data);

/**
 * vv_status_socket_new: listens at vfio-variantd.sock in the directory of the state store, which must exist
 *
 * Returns: (transfer full): the socket, or NULL with @error set (VV_ERROR_REFUSED: another daemon is
 * running)
 */
VvStatusSocket *vv_status_socket_new (const VvHost *host, VvStatusFunc func, gpointer data, GError **error);
void vv_status_socket_free (VvStatusSocket *socket);
