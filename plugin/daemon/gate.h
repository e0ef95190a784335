/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gate: blocks libvirt at /sys/bus/pci/drivers_probe until the device is rebound.
 *
 * libvirt moves a device in three steps: it writes driver_override, unbinds the device, and writes the
 * address to drivers_probe. It runs no hook at hot plug. The gate sets fanotify permission marks
 * (FAN_OPEN_PERM, fanotify(7)) on two kinds of files:
 *
 * - driver_override of each device. When a thread of a libvirt daemon opens it, the thread announces the
 *   device that it is about to move. The device is still unchanged then.
 * - drivers_probe. When the same thread opens it, the thread is blocked until vv_gate_release().
 *
 * Owns: the fanotify descriptors, the marks, the deadline of each blocked open, and the watchdog. Reads
 * /proc to identify the process that opens a file. Must never open a marked file itself, because only the
 * gate could answer that open. Must never wait for the kernel's driver core. Knows nothing of drivers, nor
 * of the work on a device while its thread is blocked.
 *
 * When the process dies, the kernel closes the descriptors and allows all opens.
 */
#pragma once

#include "pci-device.h"

typedef struct VvGate VvGate;

/**
 * VvAnnouncement:
 * @tid: the thread that opened driver_override
 * @executable: the name of the thread's program
 * @address: the device
 * @before: the driver state of the device at the announcement; vv_gate_proceed() sets its driver_override
 * @fd: the device's driver_override, open for reading, while the thread is blocked in that open; else -1
 * @since: when the gate blocked the thread at drivers_probe, by g_get_monotonic_time(); 0: not yet
 * @deadline: when the deadline of that blocked open passes, by g_get_monotonic_time()
 *
 * A device that a thread is moving. The gate owns it, until vv_gate_forget() or vv_gate_release().
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
  guint expiry; /* of the deadline, while the thread is blocked; else of the announcement */
  VvFd pidfd;   /* of the thread's process; -1: none */
  guint death;
  int probe; /* drivers_probe, while the thread is blocked there */
} VvAnnouncement;

/**
 * VvGateClient:
 * @announced: A thread is about to move a device. The thread is blocked until vv_gate_proceed(),
 * vv_gate_forget(), or the deadline. Returns: the device_data of the other functions; NULL: the gate forgets
 * the announcement and does not handle the device
 * @dropped: The gate forgets the announcement before the thread reached drivers_probe.
 * @orphaned: As @dropped, because the thread's process died, perhaps in the middle of the move.
 * @announcement is valid during the call.
 * @blocked: The thread is blocked at drivers_probe. The client calls vv_gate_release(), now or later.
 * @late: The deadline of a blocked open has passed. The thread is still blocked.
 *
 * The gate calls all of them from the main loop. They must return at once.
 */
typedef struct {
  gpointer (*announced) (VvAnnouncement *announcement, gpointer data);
  void (*dropped) (gpointer device_data, gpointer data);
  void (*orphaned) (const VvAnnouncement *announcement, gpointer device_data, gpointer data);
  void (*blocked) (VvAnnouncement *announcement, gpointer device_data, gpointer data);
  void (*late) (VvAnnouncement *announcement, gpointer device_data, gpointer data);
} VvGateClient;

/** VvGateCounts: opens of drivers_probe: all, those allowed at once, those blocked */
typedef struct {
  guint64 seen;
  guint64 passed;
  guint64 blocked;
} VvGateCounts;

/**
 * vv_gate_new:
 * @executables: names of the programs that the gate serves
 * @deadline_ms: how long an open is blocked before the gate calls @client's late()
 * @watchdog_ms: how long the daemon may make no progress while an open is pending, before the watchdog kills
 * it (watchdog.h)
 *
 * Opens the gate, without a mark on any device yet. Requires CAP_SYS_ADMIN and a kernel with permission
 * events (CONFIG_FANOTIFY_ACCESS_PERMISSIONS).
 *
 * Returns: (transfer full): the gate, or NULL with @error set
 */
VvGate *vv_gate_new (const VvHost *host, const char *const *executables, guint deadline_ms, guint watchdog_ms,
                     const VvGateClient *client, gpointer data, GError **error);

/** vv_gate_free: drops all announcements, allows all blocked opens, and closes the descriptors */
void vv_gate_free (VvGate *gate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvGate, vv_gate_free)

/** vv_gate_set: sets the served programs and the deadline for opens from now on */
void vv_gate_set (VvGate *gate, const char *const *executables, guint deadline_ms);

/** vv_gate_watch_all: watches all present devices, except bridges, which a guest cannot get */
void vv_gate_watch_all (VvGate *gate);

/** vv_gate_watch: watches a device that has appeared, unless it is a bridge */
void vv_gate_watch (VvGate *gate, const char *address);

/** vv_gate_unwatch: stops watching a device that has been removed */
void vv_gate_unwatch (VvGate *gate, const char *address);

/** vv_gate_disable: blocks no further open; blocked threads stay blocked */
void vv_gate_disable (VvGate *gate);

/**
 * vv_gate_proceed:
 * @announcement: its thread is blocked at driver_override
 * @override: (nullable): the driver_override that was read from @fd
 *
 * Allows the thread to open driver_override, which it is going to write.
 *
 * Reading @fd may sleep, so another process reads it. Older kernels take the device's lock in
 * driver_override_show() (drivers/pci/pci-sysfs.c); the driver core holds that lock during probe and remove.
 * Newer kernels use a spinlock (device_set_driver_override() in include/linux/device.h). Where the read
 * sleeps, libvirt's write would sleep, too.
 */
void vv_gate_proceed (VvAnnouncement *announcement, const char *override);

/** vv_gate_forget: drops the announcement; if its thread is blocked at driver_override, allows the open */
void vv_gate_forget (VvAnnouncement *announcement);

/**
 * vv_gate_release:
 * @announcement: its thread is blocked at drivers_probe
 * @allow: FALSE: the open fails with EPERM
 *
 * Answers the open, and frees @announcement.
 *
 * Returns: how long the thread was blocked, in microseconds
 */
gint64 vv_gate_release (VvAnnouncement *announcement, gboolean allow);

guint vv_gate_watched (const VvGate *gate);
const VvGateCounts *vv_gate_counts (const VvGate *gate);
