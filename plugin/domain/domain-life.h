/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain-life: what happens to a domain's PCI devices at each hook operation.
 *
 * Owns: the meaning of libvirt's hook operations for the devices (the table in docs/design.rst). Each
 * function takes all devices of a domain that libvirt manages, or that the policy hands to us, goes on past
 * one that fails, and says so in the log: a guest must be able to start without us (rule R7). Only what the
 * policy, or the domain itself, wants strictly ends it: FALSE with @refusal set (VV_ERROR_POLICY). What two
 * of them do is also there for a single device, for who learns of hot plug. Knows nothing of how a hook is
 * called.
 */
#pragma once

#include "binding.h"
#include "domain-xml.h"

/**
 * vv_domain_strict_rule: whether something is wanted strictly of a device of the domain
 * @prepare: whether the domain is at "prepare", where the host's own use of a device counts
 *
 * To be called before what may take long; changes nothing and logs nothing.
 *
 * Returns: (transfer full) (nullable): what is to be said if it cannot be found out whether the device has
 * it; NULL: the domain may start in any case
 */
char *vv_domain_strict_rule (const VvContext *context, const VvDomain *domain, gboolean prepare);

/**
 * vv_domain_prepare: before libvirt detaches the devices (hook "prepare begin")
 *
 * Writes each device's home to the state store, loads the modules that will be needed, and warns of what will
 * keep the guest from starting. A device that another running domain holds is left alone. With managed='no'
 * a device goes to the generic driver here when the policy says unmanaged='manage', and is from then on as
 * one that libvirt manages.
 *
 * Returns: FALSE with @refusal set when the domain must not start; then all is as before
 */
gboolean vv_domain_prepare (const VvContext *context, const VvDomain *domain, GError **refusal);

/**
 * vv_domain_foresee: a domain is about to come from elsewhere (hooks "migrate begin", "restore begin")
 *
 * Changes no device; loads modules, whose drivers are known then.
 *
 * Returns: FALSE with @refusal set when this host cannot give it what it must have
 */
gboolean vv_domain_foresee (const VvContext *context, const VvDomain *domain, GError **refusal);

/**
 * vv_domain_start: libvirt has detached the devices, QEMU does not run yet (hook "start begin")
 *
 * Moves each device that is on a worse driver than the best one, or on none, to the best that works. Where
 * migration is required the drivers are asked.
 *
 * Returns: FALSE with @refusal set when the domain must not start; libvirt then releases it
 */
gboolean vv_domain_start (const VvContext *context, const VvDomain *domain, GError **refusal);

/** vv_domain_running: QEMU runs (hooks "started begin" and "reconnect begin"): marks the entries as in use */
void vv_domain_running (const VvContext *context, const VvDomain *domain);

/**
 * vv_domain_release: libvirt has reattached the devices (hook "release end")
 *
 * For every device that the state store gives to the domain (a virtual function that libvirt took from a
 * network is not in its XML any more): looks whether it is as the state store says it was, mends it if not,
 * and drops the entry. One that the administrator had detached by hand goes back to the VFIO driver it was
 * on.
 */
void vv_domain_release (const VvContext *context, const VvDomain *domain);

/**
 * vv_domain_device_running: what vv_domain_running() does, for one device
 * @managed: whether libvirt gives it back when the domain is done with it
 * @binding: the device, which is on the driver on which the domain has it
 *
 * Returns: FALSE with @error set when the state store cannot be written
 */
gboolean vv_domain_device_running (const VvDomain *domain, gboolean managed, VvBinding *binding,
                                   GError **error);

/**
 * vv_domain_device_release: what vv_domain_release() does, for one device
 * @domain: its name and UUID are enough
 *
 * Does nothing when the entry is not @domain's (any more).
 *
 * Returns: FALSE with @error set when the device could not be brought to where it belongs
 */
gboolean vv_domain_device_release (const VvDomain *domain, VvBinding *binding, GError **error);
