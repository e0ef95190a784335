/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * service-fixture: the whole daemon on a fake host, with the kernel's real permission events and with workers
 * in processes of their own. fake-kernel plays the driver core for the workers, too.
 *
 * While the gate is on, the test must not open a device's driver_override itself: it would block forever.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "libvirt-actor.h"
#include "service.h"

#define LONG_MS 60000 /* no test takes this long */
#define ENTRY "run/vfio-variant/" NIC
#define OVERRIDE "sys/bus/pci/devices/" NIC "/driver_override"

/* The steps of a worker that binds NIC to its best driver */
enum { LOAD = 1, STATE, WRITE_OVERRIDE, BIND, ARRIVE };

typedef struct {
  FakeKernel *k;
  VvService *service;
  guint deadline_ms;
  gboolean no_gate;
  gboolean stopped;
  int released; /* see release() */
} Fixture;

/** below: Returns: (transfer full): the absolute path of @path on the fake host */
char *below (const Fixture *f, const char *path);

/* --- the daemon --- */

/** write_monitor: @script: runs instead of vfio-variant-monitor, in the host's root directory */
void write_monitor (const FakeKernel *k, const char *script);
/** fixture_without_service: NIC supports FLR, and the daemon is not started yet */
Fixture *fixture_without_service (void);
/** fixture_new: as fixture_without_service(), with the daemon started */
Fixture *fixture_new (void);
VvService *new_service (const Fixture *f, GError **error);
void start (Fixture *f);
/** stop: as main() does at SIGTERM: handles the end of any child */
void stop (Fixture *f);
/** set_flag: callback for vv_service_stop(); @flag: a gboolean */
void set_flag (gpointer flag);
void fixture_free (Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/** start_daemon: in a process of its own, whose workers survive it; Returns: that process */
pid_t start_daemon (Fixture *f);

/** stop_and_assert_device: stops the daemon first, because reading driver_override would block */
void stop_and_assert_device (Fixture *f, const char *driver, const char *override);
/** assert_driver: checks only the driver, without stopping the daemon */
void assert_driver (const Fixture *f, const char *driver);

/* --- libvirt --- */

/** new_libvirt: a process that the daemon takes for libvirt 9.0 */
LibvirtActor *new_libvirt (const Fixture *f);
/** begin_to_move: libvirt's steps before drivers_probe, and the open of drivers_probe, which blocks */
void begin_to_move (const Fixture *f, LibvirtActor *libvirt, const char *override);
/** detach, reattach: libvirt's whole detach to vfio-pci, and its reattach */
void detach (const Fixture *f, LibvirtActor *libvirt);
void reattach (const Fixture *f, LibvirtActor *libvirt);

/** new_fifo: a FIFO at which a module load or a probe can block */
char *new_fifo (const Fixture *f);
/** release: continues a process that blocks at @fifo, and later ones until the last worker has ended: a
 * worker that has written driver_override may not have reached the bind yet */
void release (Fixture *f, const char *fifo);

/* --- status --- */

/** command_says: the output of vfio-variant on this host, on which status finds problems unrelated to the
 * daemon */
char *command_says (const Fixture *f, const char *command, const char *option);
JsonNode *status_of (const Fixture *f);
/** number, text: @group: (nullable): the top-level object that contains @key */
gint64 number (JsonNode *status, const char *group, const char *key);
const char *text (JsonNode *status, const char *key);
/** nth: Returns: (nullable): element @n of a top-level array */
JsonObject *nth (JsonNode *status, const char *array, guint n);
/** latest: Returns: (nullable): a string of the last rebind */
const char *latest (JsonNode *status, const char *key);
/** assert_outcome: the last rebind is of NIC, and the only one with this outcome */
void assert_outcome (const Fixture *f, const char *outcome);

void run_until_blocking (const Fixture *f, gboolean blocking);
void run_until_logged (void);

/* --- main() --- */

/** service_main: skips all tests if the gate is unavailable: in a container, or without root */
int service_main (int argc, char **argv, const FakeTest *tests, gsize n);
