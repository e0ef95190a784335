/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "watchdog.h"

#define DEVICES "bus/pci/devices"
#define PROBE "bus/pci/drivers_probe"
#define STATUS_LIMIT 16384
#define REMADE_AFTER 64 /* removed devices; for each, the kernel keeps about 1 KiB */
/* A driver's remove, between the announcement and drivers_probe, may take long. */
#define ANNOUNCED_FOR_S 300
#define ANSWER_TRIES 3
#define BEAT_S 1
#define BATCH 128

/* A fanotify group. fanotify opens each file with the flags of the group: drivers_probe is not readable and
 * must be opened for writing, driver_override for reading. Hence two groups. */
typedef struct {
  VvFd fd;
  guint source;
  guint flags; /* of the descriptors in the events */
} Group;

struct VvGate {
  const VvHost *host;
  char **executables;
  guint deadline_ms;
  guint watchdog_ms;
  VvGateClient client;
  gpointer data;
  Group probe, overrides;
  GHashTable *watched;   /* addresses */
  GHashTable *announced; /* tid -> VvAnnouncement */
  GHashTable *blocked;   /* the VvAnnouncements whose thread is blocked at drivers_probe */
  guint announcing;      /* number of announcements whose thread is blocked at driver_override */
  guint unanswered;      /* number of opens that were read from a queue and not answered */
  VvFd busy;             /* an eventfd, readable while there may be such an open */
  gboolean is_busy;
  guint beat;        /* the timer that changes *progress while an open is pending; 0: none */
  guint64 *progress; /* shared with the watchdog */
  VvWatchdog *watchdog;
  guint removed;
  VvGateCounts counts;
};

/* Removes the timer and stops watching the thread's process. Once the thread is blocked at drivers_probe,
 * the client finishes its work even if that process dies. */
static void
stop_waiting (VvAnnouncement *a)
{
  if (a->expiry)
    g_source_remove (a->expiry);
  if (a->death)
    g_source_remove (a->death);
  vv_fd_close (&a->pidfd);
  a->expiry = a->death = 0;
}

static void
announced_free (VvAnnouncement *a)
{
  if (!a)
    return;
  stop_waiting (a);
  g_free (a->executable);
  g_free (a->address);
  vv_driver_state_clear (&a->before);
  g_free (a);
}

/* --- caller identification --- */

/* Returns the name of a thread's program. /proc/TID/exe of a program that an update replaced ends with "
 * (deleted)", see proc(5). */
static char *
executable_of (const VvGate *gate, pid_t tid)
{
  char path[32];

  snprintf (path, sizeof path, "%d/exe", (int)tid);
  g_autofree char *target = vv_io_link (gate->host->proc, path);
  if (!target)
    return NULL;
  if (g_str_has_suffix (target, " (deleted)"))
    target[strlen (target) - strlen (" (deleted)")] = '\0';
  return g_path_get_basename (target);
}

/* Any user may read driver_override and run a program with the name of libvirt's, but only root can move a
 * device. The owner of /proc/TID is no proof: it is root for any process that is not dumpable (proc(5)).
 * @process: (out): the process of the thread */
static gboolean
is_of_root (const VvGate *gate, pid_t tid, int *process)
{
  char path[32];
  guint real, effective;

  snprintf (path, sizeof path, "%d/status", (int)tid);
  g_autofree char *status = vv_io_read (gate->host->proc, path, STATUS_LIMIT, NULL);
  const char *tgid = status ? strstr (status, "\nTgid:") : NULL;
  const char *uid = tgid ? strstr (tgid, "\nUid:") : NULL;
  return uid && sscanf (tgid, "\nTgid: %d", process) == 1 &&
         sscanf (uid, "\nUid: %u %u", &real, &effective) == 2 && effective == 0;
}

/* --- watchdog --- */

static gboolean
beat (gpointer data)
{
  const VvGate *gate = data;

  __atomic_add_fetch (gate->progress, 1, __ATOMIC_RELAXED);
  return G_SOURCE_CONTINUE;
}

/* Starts a watchdog that sleeps on the queues of both groups, and on the eventfd that signals opens that
 * were read and not answered. */
static void
start_watchdog (VvGate *gate)
{
  const int fds[VV_WATCHDOG_FDS] = {gate->probe.fd, gate->overrides.fd, gate->busy};

  g_clear_pointer (&gate->watchdog, vv_watchdog_free);
  gate->watchdog = vv_watchdog_new (fds, gate->progress, gate->watchdog_ms);
}

/* Starts the progress timer while an open is pending. Otherwise stops it and clears the eventfd. Called
 * after a queue was read, and after a later answer. */
static void
settle (VvGate *gate)
{
  eventfd_t value;

  if (gate->unanswered) {
    if (!gate->beat)
      gate->beat = g_timeout_add_seconds (BEAT_S, beat, gate);
    return;
  }
  if (gate->beat)
    g_source_remove (gate->beat);
  gate->beat = 0;
  if (gate->is_busy && eventfd_read (gate->busy, &value) < 0)
    g_warning ("gate: eventfd: %s", g_strerror (errno));
  gate->is_busy = FALSE;
}

/* --- answers --- */

/* Without an answer, the thread is blocked until the descriptors are closed. Therefore a failed answer is
 * repeated. After ANSWER_TRIES failures, the daemon aborts, and the kernel allows all opens. */
static void
answer (VvGate *gate, const Group *group, int fd, gboolean allow)
{
  int errnum = vv_io_answer (group->fd, fd, allow);

  for (guint i = 1; errnum && errnum != ENOENT && i < ANSWER_TRIES; i++) {
    g_warning ("gate: cannot answer an open: %s", g_strerror (errnum));
    errnum = vv_io_answer (group->fd, fd, allow);
  }
  if (errnum && errnum != ENOENT)
    g_error ("gate: cannot answer an open: %s; exiting, so that the kernel allows it", g_strerror (errnum));
  close (fd);
  gate->unanswered--;
  __atomic_add_fetch (gate->progress, 1, __ATOMIC_RELAXED);
}

gint64
vv_gate_release (VvAnnouncement *a, gboolean allow)
{
  VvGate *gate = a->gate;

  answer (gate, &gate->probe, a->probe, allow);
  gint64 usec = g_get_monotonic_time () - a->since;
  g_hash_table_remove (gate->blocked, a);
  announced_free (a);
  settle (gate);
  return usec;
}

/* --- announcements --- */

static void
unblock (VvAnnouncement *a)
{
  if (a->fd < 0)
    return;
  answer (a->gate, &a->gate->overrides, a->fd, TRUE);
  a->fd = -1;
  a->gate->announcing--;
  settle (a->gate);
}

static void
drop (VvAnnouncement *a)
{
  unblock (a);
  a->gate->client.dropped (a->device_data, a->gate->data);
  announced_free (a);
}

void
vv_gate_forget (VvAnnouncement *a)
{
  g_hash_table_steal (a->gate->announced, GINT_TO_POINTER (a->tid));
  drop (a);
}

static gboolean
announcement_expires (gpointer data)
{
  VvAnnouncement *a = data;

  a->expiry = 0;
  if (a->fd >= 0)
    g_warning (
        "%s: the deadline passed before its driver_override could be read: libvirt continues without it",
        a->address);
  vv_gate_forget (a);
  return G_SOURCE_REMOVE;
}

void
vv_gate_proceed (VvAnnouncement *a, const char *override)
{
  a->before.override = g_strdup (override);
  unblock (a);
  if (a->expiry)
    g_source_remove (a->expiry);
  a->expiry = g_timeout_add_seconds (ANNOUNCED_FOR_S, announcement_expires, a);
}

/* The process may have unbound the device and will not continue. While its thread was blocked at
 * driver_override, it had not changed the device. */
static gboolean
process_dies (int fd, GIOCondition condition, gpointer data)
{
  VvAnnouncement *a = data;

  (void)fd;
  (void)condition;
  a->death = 0;
  if (a->fd >= 0) {
    vv_gate_forget (a);
    return G_SOURCE_REMOVE;
  }
  g_hash_table_steal (a->gate->announced, GINT_TO_POINTER (a->tid));
  a->gate->client.orphaned (a, a->device_data, a->gate->data);
  announced_free (a);
  return G_SOURCE_REMOVE;
}

/* Returns the PCI address: the name of the directory that contains this driver_override. */
static char *
device_of (int fd)
{
  char path[64];

  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  g_autofree char *target = g_file_read_link (path, NULL);
  g_autofree char *folder = target ? g_path_get_dirname (target) : NULL;
  return folder ? g_path_get_basename (folder) : NULL;
}

static char *
device_link (const VvGate *gate, const char *address, const char *link)
{
  g_autofree char *path = g_build_filename (DEVICES, address, link, NULL);

  return vv_io_link_name (gate->host->sys, path);
}

static VvAnnouncement *
new_announcement (VvGate *gate, int fd, pid_t tid)
{
  g_autofree char *executable = executable_of (gate, tid);
  int process;

  if (!executable || !g_strv_contains ((const char *const *)gate->executables, executable))
    return NULL;
  g_autofree char *address = is_of_root (gate, tid, &process) ? device_of (fd) : NULL;
  if (!address)
    return NULL;
  VvAnnouncement *a = g_new0 (VvAnnouncement, 1);
  a->gate = gate;
  a->pidfd = (int)syscall (SYS_pidfd_open, process, 0); /* since Linux 5.3; -1 before */
  a->tid = tid;
  a->fd = fd;
  a->before.driver = device_link (gate, address, "driver");
  a->before.module = device_link (gate, address, "driver/module");
  a->executable = g_steal_pointer (&executable);
  a->address = g_steal_pointer (&address);
  return a;
}

static void
override_opened (VvGate *gate, int fd, pid_t tid)
{
  VvAnnouncement *a = new_announcement (gate, fd, tid);

  if (!a) {
    answer (gate, &gate->overrides, fd, TRUE);
    return;
  }
  gpointer before = g_hash_table_lookup (gate->announced, GINT_TO_POINTER (tid));
  if (before)
    drop (before);
  g_hash_table_insert (gate->announced, GINT_TO_POINTER (tid), a);
  gate->announcing++;
  a->expiry = g_timeout_add (gate->deadline_ms, announcement_expires, a);
  if (a->pidfd >= 0)
    a->death = g_unix_fd_add (a->pidfd, G_IO_IN, process_dies, a);
  a->device_data = gate->client.announced (a, gate->data);
  if (a->device_data)
    return;
  g_hash_table_steal (gate->announced, GINT_TO_POINTER (tid));
  unblock (a);
  announced_free (a);
}

/* --- blocked opens --- */

static gboolean
deadline_passes (gpointer data)
{
  VvAnnouncement *a = data;

  a->expiry = 0;
  a->gate->client.late (a, a->device_data, a->gate->data);
  return G_SOURCE_REMOVE;
}

static void
probe_opened (VvGate *gate, int fd, pid_t tid)
{
  VvAnnouncement *a = g_hash_table_lookup (gate->announced, GINT_TO_POINTER (tid));

  gate->counts.seen++;
  if (a && a->fd >= 0) { /* a blocked thread opens nothing: that thread died, and its number was reused */
    vv_gate_forget (a);
    a = NULL;
  }
  if (!a) {
    answer (gate, &gate->probe, fd, TRUE);
    gate->counts.passed++;
    return;
  }
  gate->counts.blocked++;
  g_hash_table_steal (gate->announced, GINT_TO_POINTER (tid));
  stop_waiting (a);
  a->probe = fd;
  a->since = g_get_monotonic_time ();
  a->deadline = a->since + (gint64)gate->deadline_ms * G_TIME_SPAN_MILLISECOND;
  a->expiry = g_timeout_add (gate->deadline_ms, deadline_passes, a);
  g_hash_table_add (gate->blocked, a);
  gate->client.blocked (a, a->device_data, gate->data);
}

/* --- events --- */

/* Reads at most BATCH events, then returns to the main loop. After each batch, the main loop serves the
 * other group, the workers and the deadlines, even if a process opens a watched file in a loop. Each event
 * uses a descriptor: the kernel denies an open when the daemon has no free descriptor for it. */
static gboolean
readable (int fd, GIOCondition condition, gpointer data)
{
  VvGate *gate = data;
  void (*opened) (VvGate *, int, pid_t) = fd == gate->probe.fd ? probe_opened : override_opened;
  struct fanotify_event_metadata events[BATCH];

  (void)condition;
  /* From the read to the answer, only this eventfd shows the watchdog that an open is pending. */
  if (!gate->is_busy && eventfd_write (gate->busy, 1) < 0)
    g_warning ("gate: eventfd: %s", g_strerror (errno));
  gate->is_busy = TRUE;
  ssize_t n = read (fd, events, sizeof events);
  if (n < 0 && errno != EAGAIN && errno != EINTR)
    g_warning ("gate: fanotify: read: %s", g_strerror (errno));
  ssize_t left = n; /* FAN_EVENT_NEXT() decrements it */
  for (const struct fanotify_event_metadata *e = events; FAN_EVENT_OK (e, left); e = FAN_EVENT_NEXT (e, left))
    gate->unanswered += e->fd >= 0 && (e->mask & FAN_OPEN_PERM);
  for (const struct fanotify_event_metadata *e = events; FAN_EVENT_OK (e, n); e = FAN_EVENT_NEXT (e, n)) {
    if (e->fd >= 0 && (e->mask & FAN_OPEN_PERM))
      opened (gate, e->fd, e->pid);
    else if (e->fd >= 0)
      close (e->fd);
  }
  settle (gate);
  return G_SOURCE_CONTINUE;
}

/* --- groups and marks --- */

static gboolean
open_group (Group *group, VvGate *gate, GError **error)
{
  group->fd = fanotify_init (FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_TID |
                                 FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS,
                             group->flags | O_CLOEXEC | O_LARGEFILE);
  if (group->fd < 0)
    return vv_set_errno (error, errno, "fanotify_init (it needs CAP_SYS_ADMIN)");
  group->source = g_unix_fd_add (group->fd, G_IO_IN, readable, gate);
  return TRUE;
}

static void
close_group (Group *group)
{
  if (group->source)
    g_source_remove (group->source);
  vv_fd_close (&group->fd);
  group->source = 0;
}

static gboolean
mark (const VvGate *gate, const Group *group, const char *path, GError **error)
{
  if (fanotify_mark (group->fd, FAN_MARK_ADD, FAN_OPEN_PERM, gate->host->sys->fd, path) == 0)
    return TRUE;
  if (errno == EINVAL)
    return vv_set_errno (error, errno,
                         "fanotify_mark: this kernel has no permission events "
                         "(CONFIG_FANOTIFY_ACCESS_PERMISSIONS): only the qemu hook can work");
  return vv_set_errno (error, errno, "%s/%s: fanotify_mark", gate->host->sys->path, path);
}

void
vv_gate_watch (VvGate *gate, const char *address)
{
  g_autofree char *path = g_build_filename (DEVICES, address, "driver_override", NULL);
  g_autofree char *class_path = g_build_filename (DEVICES, address, "class", NULL);
  g_autofree char *class = vv_io_attribute (gate->host->sys, class_path);
  g_autoptr (GError) error = NULL;

  if (!class || g_str_has_prefix (class, "0x06")) /* a bridge */
    return;
  if (mark (gate, &gate->overrides, path, &error))
    g_hash_table_add (gate->watched, g_strdup (address));
  else if (error->code != VV_ERROR_NOT_FOUND) /* the device may have been removed already */
    g_warning ("gate: %s", error->message);
}

void
vv_gate_watch_all (VvGate *gate)
{
  g_autoptr (GPtrArray) addresses = vv_io_list (gate->host->sys, DEVICES);

  for (guint i = 0; i < addresses->len; i++)
    vv_gate_watch (gate, addresses->pdata[i]);
}

/* The kernel keeps the inode of a removed file as long as it has a mark. After REMADE_AFTER removals, a new
 * group with marks for the present devices replaces the old group. */
void
vv_gate_unwatch (VvGate *gate, const char *address)
{
  Group fresh = gate->overrides;
  g_autoptr (GError) error = NULL;

  if (!g_hash_table_remove (gate->watched, address) || ++gate->removed < REMADE_AFTER || gate->announcing)
    return; /* a blocked open must be answered through the group that reported it */
  gate->removed = 0;
  if (!open_group (&fresh, gate, &error)) {
    g_warning ("gate: %s", error->message);
    return;
  }
  Group old = gate->overrides;
  gate->overrides = fresh;
  g_hash_table_remove_all (gate->watched);
  vv_gate_watch_all (gate);
  close_group (&old); /* the kernel allows the opens that are pending in the old group */
  start_watchdog (gate);
}

static gboolean
open_progress (VvGate *gate, GError **error)
{
  void *shared =
      mmap (NULL, sizeof *gate->progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (shared == MAP_FAILED)
    return vv_set_errno (error, errno, "mmap");
  gate->progress = shared;
  gate->busy = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return gate->busy >= 0 || vv_set_errno (error, errno, "eventfd");
}

VvGate *
vv_gate_new (const VvHost *host, const char *const *executables, guint deadline_ms, guint watchdog_ms,
             const VvGateClient *client, gpointer data, GError **error)
{
  g_autoptr (VvGate) gate = g_new0 (VvGate, 1);

  gate->host = host;
  gate->executables = g_strdupv ((char **)executables);
  gate->deadline_ms = deadline_ms;
  gate->watchdog_ms = watchdog_ms;
  gate->client = *client;
  gate->data = data;
  gate->busy = -1;
  gate->probe = (Group){-1, 0, O_WRONLY};
  gate->overrides = (Group){-1, 0, O_RDONLY};
  gate->watched = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gate->announced = g_hash_table_new (NULL, NULL);
  gate->blocked = g_hash_table_new (NULL, NULL);
  if (!host->proc) {
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND,
                 "/proc is not mounted: cannot identify the processes that open files");
    return NULL;
  }
  if (!open_progress (gate, error) || !open_group (&gate->overrides, gate, error) ||
      !open_group (&gate->probe, gate, error) || !mark (gate, &gate->probe, PROBE, error))
    return NULL;
  start_watchdog (gate);
  return g_steal_pointer (&gate);
}

void
vv_gate_set (VvGate *gate, const char *const *executables, guint deadline_ms)
{
  g_strfreev (gate->executables);
  gate->executables = g_strdupv ((char **)executables);
  gate->deadline_ms = deadline_ms;
}

void
vv_gate_disable (VvGate *gate)
{
  fanotify_mark (gate->probe.fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
  fanotify_mark (gate->overrides.fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
}

void
vv_gate_free (VvGate *gate)
{
  GHashTableIter iter;
  gpointer value;

  if (!gate)
    return;
  g_hash_table_iter_init (&iter, gate->announced);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    drop (value);
  g_autoptr (GList) blocked = g_hash_table_get_keys (gate->blocked);
  for (GList *i = blocked; i; i = i->next)
    vv_gate_release (i->data, TRUE);
  close_group (&gate->probe);
  close_group (&gate->overrides);
  vv_watchdog_free (gate->watchdog);
  vv_fd_close (&gate->busy);
  if (gate->progress)
    munmap (gate->progress, sizeof *gate->progress);
  g_hash_table_unref (gate->watched);
  g_hash_table_unref (gate->announced);
  g_hash_table_unref (gate->blocked);
  g_strfreev (gate->executables);
  g_free (gate);
}

guint
vv_gate_watched (const VvGate *gate)
{
  return g_hash_table_size (gate->watched);
}

const VvGateCounts *
vv_gate_counts (const VvGate *gate)
{
  return &gate->counts;
}
