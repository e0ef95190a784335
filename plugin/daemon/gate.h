/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gate: holds libvirt at /sys/bus/pci/drivers_probe until a device is where it should be.
 *
 * libvirt moves a device by writing driver_override, unbinding it, and writing its address to drivers_probe;
 * at a hot plug it runs no hook. The gate holds fanotify permission marks (FAN_OPEN_PERM, fanotify(7)) on
 * two kinds of files: on each device's driver_override, whose opening by a libvirt daemon announces which
 * device that thread is about to move, while it still is what it was; and on drivers_probe, whose opening by
 * the same thread is blocked until vv_gate_release().
 *
 * Owns: the fanotify descriptors, the marks, the deadline of each blocked open, and the watchdog. Reads /proc
 * to see who opens. Must never open a marked file itself (it alone could answer), never wait for the kernel's
 * driver core, and knows nothing of drivers nor of what happens to a device while it is blocked.
 *
 * When the process dies, the kernel closes the descriptors and lets everybody through.
 */
#pragma once

#include "pci-device.h"

typedef struct VvGate VvGate;

/**
 * VvAnnouncement:
 * @tid: the thread that opened driver_override
 * @executable: the name of its program
 * @address: the device
 * @before: its driver state then; its driver_override is set by vv_gate_proceed()
 * @fd: that driver_override, open for reading, while the thread is blocked in its open; -1: it is not
 * @since: when the thread came to drivers_probe, where it is blocked, by g_get_monotonic_time(); 0: not yet
 * @deadline: until when it is blocked there
 *
 * A device that a thread is moving. The gate's, until vv_gate_forget() or vv_gate_release().
 */
typedef struct {
  pid_t tid;
  char *executable;
  char *address;
  VvDriverState before;
  int fd;
  gint64 since;
  gint64 deadline;
  /*< private >*/
  VvGate *gate;
  gpointer device_data;
  guint expiry; /* of the deadline, while its thread waits for us; else of the announcement */
  VvFd pidfd;   /* of the thread's process; -1: none */
  guint death;
  int probe; /* drivers_probe, while its thread is blocked there */
} VvAnnouncement;

/**
 * VvGateClient:
 * @announced: a thread is about to move a device. It is blocked until vv_gate_proceed(), vv_gate_forget(), or
 * the deadline. Returns: what is to be given to the other functions; NULL: the device is left to that thread
 * @dropped: it went no further: the announcement is forgotten
 * @orphaned: the same, since its process died, perhaps in the middle of the move; @announcement is still
 * valid
 * @blocked: it waits at drivers_probe; to be answered by vv_gate_release(), now or later
 * @late: the deadline of a blocked open has passed; it is still held
 *
 * All are called from the main loop and must return at once.
 */
typedef struct {
  gpointer (*announced) (VvAnnouncement *announcement, gpointer data);
  void (*dropped) (gpointer device_data, gpointer data);
  void (*orphaned) (const VvAnnouncement *announcement, gpointer device_data, gpointer data);
  void (*blocked) (VvAnnouncement *announcement, gpointer device_data, gpointer data);
  void (*late) (VvAnnouncement *announcement, gpointer device_data, gpointer data);
} VvGateClient;

/** VvGateCounts: opens of drivers_probe: all, those that passed at once, those that were blocked */
typedef struct {
  guint64 seen;
  guint64 passed;
  guint64 blocked;
} VvGateCounts;

/**
 * vv_gate_new:
 * @executables: names of the programs that are served
 * @deadline_ms: how long an open is blocked before @client is told that it is late
 * @watchdog_ms: how long nobody may be answered while somebody waits, before the process is killed
 * (watchdog.h)
 *
 * Needs CAP_SYS_ADMIN and a kernel with permission events (CONFIG_FANOTIFY_ACCESS_PERMISSIONS).
 *
 * Returns: (transfer full): the gate, no device watched yet; or NULL with @error set
 */
VvGate *vv_gate_new (const VvHost *host, const char *const *executables, guint deadline_ms, guint watchdog_ms,
                     const VvGateClient *client, gpointer data, GError **error);

/** vv_gate_free: lets everybody through, for good */
void vv_gate_free (VvGate *gate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvGate, vv_gate_free)

/** vv_gate_set: other @executables and another deadline, for opens from now on */
void vv_gate_set (VvGate *gate, const char *const *executables, guint deadline_ms);

/** vv_gate_watch_all: watches all present devices that a guest could get: bridges are none */
void vv_gate_watch_all (VvGate *gate);

/** vv_gate_watch: a device has come */
void vv_gate_watch (VvGate *gate, const char *address);

/** vv_gate_unwatch: a device has gone */
void vv_gate_unwatch (VvGate *gate, const char *address);

/** vv_gate_disable: whoever comes from now on passes; those who are blocked stay so */
void vv_gate_disable (VvGate *gate);

/**
 * vv_gate_proceed:
 * @announcement: one whose thread is blocked
 * @override: (nullable): what was read from its @fd
 *
 * Lets the thread open driver_override, which it is going to write. Reading @fd may sleep: older kernels show
 * a driver_override only under the device's lock (driver_override_show() in drivers/pci/pci-sysfs.c), which
 * is blocked during a driver's probe and remove; newer ones have a spinlock for it
 * (device_set_driver_override() in include/linux/device.h). So another process reads it. Where it sleeps, the
 * thread would, too, when it writes.
 */
void vv_gate_proceed (VvAnnouncement *announcement, const char *override);

/** vv_gate_forget: lets the thread go on, if it is blocked; the announcement is dropped */
void vv_gate_forget (VvAnnouncement *announcement);

/**
 * vv_gate_release:
 * @announcement: one whose thread is held at drivers_probe
 * @allow: FALSE: its open fails with EPERM
 *
 * Answers, and frees @announcement.
 *
 * Returns: how long it was blocked, microseconds
 */
gint64 vv_gate_release (VvAnnouncement *announcement, gboolean allow);

guint vv_gate_watched (const VvGate *gate);
const VvGateCounts *vv_gate_counts (const VvGate *gate);
