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

char *below (const Fixture *f, const char *path);

/* --- the daemon --- */

void write_monitor (const FakeKernel *k, const char *script);

Fixture *fixture_without_service (void);

VvService *new_service (const Fixture *f, GError **error);

void start (Fixture *f);

Fixture *fixture_new (void);

void set_flag (gpointer flag);

/** stop: as main does at SIGTERM: whatever child ends is told */
void stop (Fixture *f);

void fixture_free (Fixture *f);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/** stop_and_assert_device: the driver_override can be read when nobody watches any more */
void stop_and_assert_device (Fixture *f, const char *driver, const char *override);

/* --- libvirt --- */

LibvirtActor *new_libvirt (const Fixture *f);

/** begin_to_move: all that libvirt does before it is held, and the open that it is held at */
void begin_to_move (const Fixture *f, LibvirtActor *libvirt, const char *override);

void detach (const Fixture *f, LibvirtActor *libvirt);

void reattach (const Fixture *f, LibvirtActor *libvirt);

void assert_driver (const Fixture *f, const char *driver);

/* --- what it tells --- */

gboolean hear (int fd, GIOCondition condition, gpointer data);

/** command_says: that status finds a problem on this host, which has no modules that could be loaded, is none
 * of the daemon's */
char *command_says (const Fixture *f, const char *command, const char *option);

JsonNode *status_of (const Fixture *f);

gint64 number (JsonNode *status, const char *group, const char *key);

const char *text (JsonNode *status, const char *key);

JsonObject *nth (JsonNode *status, const char *array, guint n);

const char *latest (JsonNode *status, const char *key);

void assert_outcome (const Fixture *f, const char *outcome);

void run_until_holding (const Fixture *f, gboolean holding);

void run_until_logged (void);

char *new_fifo (const Fixture *f);

/** release: a process that waits at the fifo goes on; so does one that comes later, until the last worker has
 * ended: one that has written the driver_override may have the bind still before it */
void release (Fixture *f, const char *fifo);

pid_t start_daemon (Fixture *f);

/** service_main: the program: skips every test where there can be no gate: in a container, or not as root */
int service_main (int argc, char **argv, const FakeTest *tests, gsize n);
