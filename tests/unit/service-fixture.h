/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * service-fixture: the whole daemon on a fake host: the kernel's own permission events, workers that are
 * processes of their own, and the driver core that fake-kernel plays for them, too.
 *
 * While the gate is there the test must not open a device's driver_override itself: nobody would answer.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "libvirt-actor.h"
#include "service.h"

#define LONG_MS 60000 /* nothing here takes that long */
#define ENTRY "run/vfio-variant/" NIC
#define OVERRIDE "sys/bus/pci/devices/" NIC "/driver_override"

/* The steps of a worker that takes NIC to its best driver */
enum { LOAD = 1, STATE, WRITE_OVERRIDE, BIND, ARRIVE };

typedef struct {
  FakeKernel *k;
  VvService *service;
  guint deadline_ms;
  gboolean no_gate;
  gboolean stopped;
  int released; /* see release() */
} Fixture;

/** below: Returns: (transfer full): @path on the machine's own root */
char *below (const Fixture *f, const char *path);

/* --- the daemon --- */

/** write_monitor: @script: what is run instead of vfio-variant-monitor, in the host's root */
void write_monitor (const FakeKernel *k, const char *script);
/** fixture_without_service: NIC can be reset alone, and nothing is started yet */
Fixture *fixture_without_service (void);
/** fixture_new: the same, with the daemon */
Fixture *fixture_new (void);
VvService *new_service (const Fixture *f, GError **error);
void start (Fixture *f);
/** stop: as main does at SIGTERM: whatever child ends is told */
void stop (Fixture *f);
/** set_flag: for vv_service_stop(): @flag is a gboolean */
void set_flag (gpointer flag);
void fixture_free (Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/** start_daemon: in a process of its own, whose workers outlive it; Returns: that process */
pid_t start_daemon (Fixture *f);

/** stop_and_assert_device: the driver_override can be read when nobody watches any more */
void stop_and_assert_device (Fixture *f, const char *driver, const char *override);
/** assert_driver: the same of the driver alone, which can be read at any time */
void assert_driver (const Fixture *f, const char *driver);

/* --- libvirt --- */

/** new_libvirt: a process that is taken for libvirt 9.0 */
LibvirtActor *new_libvirt (const Fixture *f);
/** begin_to_move: all that libvirt does before it is held, and the open that it is held at */
void begin_to_move (const Fixture *f, LibvirtActor *libvirt, const char *override);
/** detach, reattach: the whole of it, to vfio-pci and back */
void detach (const Fixture *f, LibvirtActor *libvirt);
void reattach (const Fixture *f, LibvirtActor *libvirt);

/** new_fifo: where a module's loading or a probe can be made to wait */
char *new_fifo (const Fixture *f);
/** release: a process that waits at the fifo goes on; so does one that comes later, until the last worker has
 * ended: one that has written the driver_override may have the bind still before it */
void release (Fixture *f, const char *fifo);

/* --- what it tells --- */

/** command_says: what vfio-variant prints on this host, where status finds problems that are none of the
 * daemon's */
char *command_says (const Fixture *f, const char *command, const char *option);
JsonNode *status_of (const Fixture *f);
/** number, text: @group: (nullable): the object at the top that has @key */
gint64 number (JsonNode *status, const char *group, const char *key);
const char *text (JsonNode *status, const char *key);
/** nth: Returns: (nullable): an object of an array at the top */
JsonObject *nth (JsonNode *status, const char *array, guint n);
/** latest: Returns: (nullable): a text of the last change */
const char *latest (JsonNode *status, const char *key);
/** assert_outcome: the last change is NIC's, and the only one with this outcome */
void assert_outcome (const Fixture *f, const char *outcome);

void run_until_blocking (const Fixture *f, gboolean blocking);
void run_until_logged (void);

/* --- the program --- */

/** service_main: skips every test where there can be no gate: in a container, or not as root */
int service_main (int argc, char **argv, const FakeTest *tests, gsize n);
