/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-client: the connection to libvirt: which domains there are, and when that changes.
 *
 * Owns: the connection, its events, and waiting for a libvirt that is not there. All calls that libvirt
 * answers are made inside vv_libvirt_client_domains(), so whoever must not ask libvirt anything (rule R10)
 * only has to keep from calling that. Has no timer of its own. Knows nothing of devices or the state store.
 */
#pragma once

#include "domain-xml.h"

typedef struct VvLibvirtClient VvLibvirtClient;

/** VvChangedFunc: called from the default main context: it is worth asking for the domains again, soon */
typedef void (*VvChangedFunc) (gpointer data);

/**
 * vv_libvirt_client_new:
 * @uri: of the hypervisor, as libvirt has it
 * @socket_directory: where libvirt's daemons make their sockets
 *
 * Does not connect yet.
 *
 * Returns: (transfer full): the client
 */
VvLibvirtClient *vv_libvirt_client_new (const char *uri, const char *socket_directory, VvChangedFunc changed,
                                        gpointer data);

/** vv_libvirt_client_free: takes leave of libvirt, which is a call that it answers */
void vv_libvirt_client_free (VvLibvirtClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvLibvirtClient, vv_libvirt_client_free)

/**
 * vv_libvirt_client_domains:
 * @running: (element-type VvDomain): those that run are added
 * @starting: (element-type VvDomain): those that libvirt is just starting are added
 *
 * Connects when there is no connection. When libvirt cannot be reached, that is logged, once, and from then
 * on it is waited for: @changed is called when it comes.
 *
 * Returns: FALSE when not all domains could be had: then nothing follows from one that is missing
 */
gboolean vv_libvirt_client_domains (VvLibvirtClient *client, GPtrArray *running, GPtrArray *starting);
