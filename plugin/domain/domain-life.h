/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-life: what each hook operation does with a domain's PCI devices.
 *
 * Owns: the meaning of libvirt's hook operations for the devices (the table in docs/design.rst). Each
 * function handles all devices of a domain that libvirt manages, or that the policy has vfio-variant manage.
 * If a device fails, the function logs this and continues with the next: a guest must be able to start
 * without vfio-variant (rule R7). Only a strict requirement of the policy or of the domain ends it: FALSE
 * with @refusal set (VV_ERROR_POLICY). Two operations also exist for a single device, for callers that handle
 * hot plug. Knows nothing of how libvirt calls a hook.
 */
#pragma once

#include "binding.h"
#include "domain-xml.h"

/**
 * vv_domain_strict_rule:
 * @prepare: whether the domain is at "prepare", where use of a device by the host counts
 *
 * Checks whether the policy or the domain has a strict requirement for a device of the domain. Call this
 * before steps that may take long. Changes nothing and logs nothing.
 *
 * Returns: (transfer full) (nullable): the error message for the case that the requirement cannot be checked;
 * NULL: the domain may start in any case
 */
char *vv_domain_strict_rule (const VvContext *context, const VvDomain *domain, gboolean prepare);

/**
 * vv_domain_prepare:
 *
 * Handles the hook operation "prepare begin", before libvirt detaches the devices.
 *
 * Records each device's host driver in the state store, loads the modules that will be needed, and warns of
 * obstacles to the start. Leaves a device alone that another running domain uses. If the policy says
 * unmanaged='manage', binds a device with managed='no' to the generic driver. From then on, handles it like a
 * device that libvirt manages.
 *
 * Returns: FALSE with @refusal set when the domain must not start; the devices are then in their former state
 */
gboolean vv_domain_prepare (const VvContext *context, const VvDomain *domain, GError **refusal);

/**
 * vv_domain_foresee:
 *
 * Handles the hook operations "migrate begin" and "restore begin", before a domain arrives from another host
 * or from a saved state.
 *
 * Changes no device. Loads modules, because the names of their drivers are known for sure only then.
 *
 * Returns: FALSE with @refusal set when this host cannot meet the strict requirements of the domain
 */
gboolean vv_domain_foresee (const VvContext *context, const VvDomain *domain, GError **refusal);

/**
 * vv_domain_start:
 *
 * Handles the hook operation "start begin": libvirt has detached the devices, and QEMU does not run yet.
 *
 * Binds each device to the best driver that works, unless it is already on the best driver. If migration is
 * required, queries the drivers.
 *
 * Returns: FALSE with @refusal set when the domain must not start; libvirt then releases it
 */
gboolean vv_domain_start (const VvContext *context, const VvDomain *domain, GError **refusal);

/** vv_domain_running: Handles the hook operations "started begin" and "reconnect begin", when QEMU runs: sets
 * the entries to in use. */
void vv_domain_running (const VvContext *context, const VvDomain *domain);

/**
 * vv_domain_release:
 *
 * Handles the hook operation "release end", after libvirt has reattached the devices.
 *
 * Verifies each device that the state store assigns to the domain. Restores it if it is not in its recorded
 * host state, and removes its entry. Does not use the domain's XML, which no longer has a virtual function
 * that libvirt took from a network. A pinned device returns to the VFIO driver that it was on.
 */
void vv_domain_release (const VvContext *context, const VvDomain *domain);

/**
 * vv_domain_device_running:
 * @managed: whether libvirt reattaches the device when the domain releases it
 * @binding: the device, on the driver on which the domain uses it
 *
 * Does the work of vv_domain_running() for one device.
 *
 * Returns: FALSE with @error set when the state store cannot be written
 */
gboolean vv_domain_device_running (const VvDomain *domain, gboolean managed, VvBinding *binding,
                                   GError **error);

/**
 * vv_domain_device_release:
 * @domain: only its name and UUID are used
 *
 * Does the work of vv_domain_release() for one device. Does nothing when the entry is not, or no longer,
 * assigned to @domain.
 *
 * Returns: FALSE with @error set when the device could not be restored
 */
gboolean vv_domain_device_release (const VvDomain *domain, VvBinding *binding, GError **error);
