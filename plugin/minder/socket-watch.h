/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * socket-watch: tells when a libvirt daemon makes its sockets, so that nobody has to try in a loop.
 *
 * Owns: an inotify(7) of its own, on the directory of the sockets or, while that is not there, on its parent.
 * (GFileMonitor would look for a missing directory every four seconds: rule R11.) Knows nothing of libvirt
 * but how its sockets are named, and connects to none.
 */
#pragma once

#include <glib.h>

typedef struct VvSocketWatch VvSocketWatch;
typedef void (*VvAppearedFunc) (gpointer data);

/**
 * vv_socket_watch_new:
 * @directory: where the sockets will be, absolute
 * @appeared: called from the default main context each time a socket, or the directory, has come
 *
 * Returns: (transfer full): the watch; that it cannot watch is logged
 */
VvSocketWatch *vv_socket_watch_new (const char *directory, VvAppearedFunc appeared, gpointer data);
void vv_socket_watch_free (VvSocketWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvSocketWatch, vv_socket_watch_free)
