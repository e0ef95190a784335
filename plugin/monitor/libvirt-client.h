/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-client: the connection to libvirt: lists the domains, and reports when they change.
 *
 * Owns: the connection, its events, and the wait for a libvirt that is not running. Calls libvirt only in
 * vv_libvirt_client_domains() and vv_libvirt_client_free(). A caller that must not call libvirt (rule R10)
 * only has to avoid these two functions. Has no timer of its own. Knows nothing of devices or the state
 * store.
 */
#pragma once

#include "domain-xml.h"

typedef struct VvLibvirtClient VvLibvirtClient;

/** VvChangedFunc: called from the default main context when the caller should soon list the domains again */
typedef void (*VvChangedFunc) (gpointer data);

/**
 * vv_libvirt_client_new:
 * @uri: libvirt's URI of the hypervisor
 * @socket_directory: the directory in which libvirt's daemons create their sockets
 *
 * Creates a client. Does not connect yet.
 *
 * Returns: (transfer full): the client
 */
VvLibvirtClient *vv_libvirt_client_new (const char *uri, const char *socket_directory, VvChangedFunc changed,
                                        gpointer data);

/** vv_libvirt_client_free: closes the connection, which waits for an answer of libvirt, and frees @client */
void vv_libvirt_client_free (VvLibvirtClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvLibvirtClient, vv_libvirt_client_free)

/**
 * vv_libvirt_client_domains:
 * @running: (element-type VvDomain): the running domains are added
 * @starting: (element-type VvDomain): the domains that libvirt is starting are added
 *
 * Connects if there is no connection. If libvirt cannot be reached, logs that once and waits for libvirt:
 * @changed is called when a daemon of libvirt starts.
 *
 * Returns: FALSE if not all domains could be read; then a domain that is missing may still run
 */
gboolean vv_libvirt_client_domains (VvLibvirtClient *client, GPtrArray *running, GPtrArray *starting);
