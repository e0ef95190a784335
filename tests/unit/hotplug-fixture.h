/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hotplug-fixture: NIC on the standard fake host while libvirt detaches or reattaches it, for tests of the
 * gate's worker.
 */
#pragma once

#include "hand-over.h"
#include "libvirt-version.h"

#define LONG (60 * G_TIME_SPAN_SECOND) /* no test takes this long */
#define DEBIAN_12 VV_LIBVIRT_VERSION (9, 0, 0)
#define BY_NAME VV_LIBVIRT_VERSION (9, 7, 0)
#define BY_ITSELF VV_LIBVIRT_VERSION (10, 0, 0)

static const VvDriverState host_driver = ON ("mlx5_core", "mlx5_core", NULL);
static const VvDriverState host_driver_by_name = ON ("mlx5_core", "mlx5_core", "mlx5_core");
static const VvDriverState generic = ON ("vfio-pci", "vfio_pci", "vfio-pci");
static const VvDriverState variant = ON ("special-vfio", "special_vfio_pci", "special-vfio");
static const VvDriverState driverless = ON (NULL, NULL, NULL);

/** libvirt_unbinds: libvirt writes @override (NULL: clears it) and unbinds NIC */
void libvirt_unbinds (const Fixture *f, const char *override);
/** hand_over: the worker handles the request for libvirt version @libvirt; @before: NIC's previous driver */
VvChange *hand_over (const Fixture *f, const VvDriverState *before, guint libvirt, GError **error);
VvChange *must_hand_over (const Fixture *f, const VvDriverState *before, guint libvirt);

void assert_change (const VvChange *change, VvOperation operation, const char *from, const char *to,
                    const char *why);
/** assert_left: the worker changed nothing */
void assert_left (const VvChange *change, VvOperation operation, const char *from, const char *why);

/** write_entry: @host: NULL: not known; @domain: NULL: none */
void write_entry (const Fixture *f, VvState state, const VvDriverState *host, const char *domain);
void assert_host (const VvEntry *entry, VvState state, const VvDriverState *host);
