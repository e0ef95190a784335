/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libvirt-version.h"
#include "fork.h"
#include "stats.h"

#define REPORT_LIMIT 16384
#define TEXT_LIMIT 4000 /* bytes of one text, which may quote many scripts; status shows less */
#define AFTER_LIBVIRT_US G_TIME_SPAN_SECOND
#define TOUCHED "T"
#define UNTOUCHED "U"
#define OVERRIDE 'O'        /* followed by the driver_override, if it is set; a report begins with "[" */
#define OVERRIDE_LIMIT 4096 /* driver_set_override() in the kernel's drivers/base/driver.c */

struct VvWorker {
  int pidfd; /* no number: another process may have it before the daemon kills the worker */
  int fd;
  guint source;
  gboolean touched;
  gboolean reported; /* the worker still writes its log, and then exits */
  const VvWorkerClient *client;
  gpointer data;
};

/* The message that starts the rebind. Both times are by g_get_monotonic_time(), which is the same in all
 * processes. */
typedef struct {
  gint64 since;
  gint64 deadline;
} Go;

/* --- in the child --- */

static void
tell_touched (gboolean touched, gpointer data)
{
  const int *fd = data;

  send (*fd, touched ? TOUCHED : UNTOUCHED, 1, MSG_NOSIGNAL);
}

/* Sets a text of the report. The status accepts only UTF-8, and must fit into a socket's buffer. */
static void
put (GKeyFile *report, const char *key, const char *value)
{
  g_autofree char *text = value ? g_utf8_make_valid (value, MIN (strlen (value), TEXT_LIMIT)) : NULL;

  if (text)
    g_key_file_set_string (report, VV_REPORT, key, text);
}

static const char *
outcome_of (const VvChange *change)
{
  if (!change->changed)
    return "left-alone";
  if (change->operation == VV_REATTACH)
    return "reattached";
  return change->attempts->len ? "fell-back" : "detached";
}

static void
send_report (int fd, const char *device, const char *outcome, const VvChange *change, VvPhaseTimer *timer,
             const GError *error)
{
  g_autoptr (GKeyFile) report = g_key_file_new ();

  vv_phase_timer_enter (timer, VV_PHASE_REPLY);
  put (report, "device", device);
  put (report, "failed", error ? error->message : NULL);
  put (report, "outcome", outcome);
  if (change) {
    g_autofree char *failed = vv_change_attempts (change);
    put (report, "operation", vv_operation_name (change->operation));
    put (report, "from", change->from);
    put (report, "to", change->to);
    put (report, "why", change->why);
    put (report, "failed", failed);
  }
  if (timer) {
    g_key_file_set_int64 (report, VV_REPORT, "kernel-us", vv_phase_timer_kernel (timer));
    vv_phase_timer_write (timer, report, VV_REPORT);
  }
  gsize length;
  g_autofree char *text = g_key_file_to_data (report, &length, NULL);
  send (fd, text, MIN (length, REPORT_LIMIT - 1), MSG_NOSIGNAL);
}

/* Reads driver_override and sends it to the daemon. Uses the descriptor of the event, because reading that
 * causes no event. Waits for the device's lock, as libvirt's write would. Returns: (transfer full)
 * (nullable): the driver_override */
static char *
tell_override (const VvAnnouncement *a, int fd)
{
  char text[OVERRIDE_LIMIT];
  ssize_t n = read (a->fd, text, sizeof text - 1);
  char *override = NULL;

  close (a->fd);
  if (n > 0) {
    text[n] = '\0';
    g_strchomp (text);
    override = vv_pci_override_from_text (text);
  }
  g_autofree char *message = g_strdup_printf ("%c%s", OVERRIDE, override ? override : "");
  send (fd, message, strlen (message), MSG_NOSIGNAL);
  return override;
}

/* The work after the report does not delay libvirt. This includes the close of the binding. */
static void
hand_over (const VvContext *context, const VvAnnouncement *a, int fd)
{
  g_autofree char *override = tell_override (a, fd);
  VvHotplugRequest request = {a->address,
                              {a->before.driver, a->before.module, override},
                              vv_libvirt_version_of (context->host, a->tid)};
  VvPhaseTimer timer;
  VvDeadline deadline = {.touched = tell_touched, .data = &fd, .timer = &timer};
  Go go;
  g_autoptr (GError) error = NULL;

  gint64 loading = vv_hotplug_prepare (context, &request), ready = g_get_monotonic_time ();
  if (recv (fd, &go, sizeof go, 0) != sizeof go)
    return; /* the gate dropped the announcement */
  deadline.until = go.deadline;
  vv_phase_timer_start (&timer, go.since);
  g_autoptr (VvBinding) b = vv_hotplug_open (context, &request, &deadline, &error);
  const VvChange *change = b && vv_hotplug (b, &request, &error) ? b->change : NULL;
  /* if libvirt was blocked before @ready, it waited for the module load */
  gint64 waited = CLAMP (ready - go.since, 0, loading);
  timer.usec[VV_PHASE_WAIT] -= waited;
  timer.usec[VV_PHASE_MODULE] += waited;
  gboolean refused = g_error_matches (error, VV_ERROR, VV_ERROR_POLICY);
  send_report (fd, a->address,
               change    ? outcome_of (change)
               : refused ? VV_REFUSED
                         : "failed",
               change, &timer, error);
  if (!change)
    g_warning ("gate, %s: %s: %s", a->address, refused ? "refusing libvirt" : "libvirt continues without it",
               error->message);
  else if (!change->changed)
    g_message ("gate, %s: left to libvirt: %s", a->address, change->why);
}

/* libvirt now has the kernel choose the driver, without the host's driver_override. The recovery finds the
 * device bound, or binds it, before or after libvirt's probe. libvirt finishes a detach itself. */
static void
finish_reattach (const VvContext *context, const char *address)
{
  g_autoptr (GError) error = NULL;

  g_usleep (AFTER_LIBVIRT_US);
  g_autoptr (VvEntry) entry = vv_state_store_load (context->store, address, NULL);
  if (!entry || entry->state != VV_STATE_REATTACHING)
    return;
  g_autoptr (VvBinding) b = vv_binding_open (context, address, FALSE, &error); /* this recovers */
  if (!b)
    g_warning ("%s", error->message);
}

static void
release_device (const VvContext *context, const VvAnnouncement *a, int fd)
{
  g_autoptr (GError) crash = NULL;

  vv_binding_reset_override (context, a->address);
  g_set_error (&crash, VV_ERROR, VV_ERROR_FAILED, "the process that moved it died");
  send_report (fd, a->address, "crashed", NULL, NULL, crash);
  finish_reattach (context, a->address);
}

/* --- in the parent --- */

/* Receives one message: the driver_override, TOUCHED or UNTOUCHED, the report, or the end of file. */
static gboolean
readable (int fd, GIOCondition condition, gpointer data)
{
  VvWorker *worker = data;
  char text[REPORT_LIMIT];
  ssize_t n = recv (fd, text, sizeof text - 1, MSG_DONTWAIT);

  (void)condition;
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n > 0 && *text == OVERRIDE) {
    text[n] = '\0';
    worker->client->read (n > 1 ? text + 1 : NULL, worker->data);
    return G_SOURCE_CONTINUE;
  }
  if (n == 1) {
    worker->touched = *text == *TOUCHED;
    return G_SOURCE_CONTINUE;
  }
  g_autoptr (GKeyFile) report = g_key_file_new ();
  gboolean sound = n > 1 && g_key_file_load_from_data (report, text, n, G_KEY_FILE_NONE, NULL);
  worker->source = 0;
  worker->reported = n > 1;
  worker->client->finished (sound ? report : NULL, worker->data);
  return G_SOURCE_REMOVE;
}

static VvWorker *
start (const VvContext *context, const VvAnnouncement *announcement, const VvWorkerClient *client,
       gpointer data, void (*work) (const VvContext *, const VvAnnouncement *, int), GError **error)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
    vv_set_errno (error, errno, "socketpair");
    return NULL;
  }
  const int keep[] = {fds[1], announcement->fd};
  pid_t pid = vv_fork (keep, G_N_ELEMENTS (keep));
  if (pid == 0) {
    work (context, announcement, fds[1]);
    _exit (0);
  }
  int errnum = errno;
  close (fds[1]);
  if (pid < 0) {
    vv_set_errno (error, errnum, "fork");
    close (fds[0]);
    return NULL;
  }
  VvWorker *worker = g_new0 (VvWorker, 1);
  worker->pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  worker->fd = fds[0];
  worker->client = client;
  worker->data = data;
  worker->source = g_unix_fd_add (fds[0], G_IO_IN | G_IO_HUP, readable, worker);
  return worker;
}

VvWorker *
vv_worker_start (const VvContext *context, const VvAnnouncement *announcement, const VvWorkerClient *client,
                 gpointer data, GError **error)
{
  return start (context, announcement, client, data, hand_over, error);
}

VvWorker *
vv_worker_release (const VvContext *context, const VvAnnouncement *announcement, const VvWorkerClient *client,
                   gpointer data)
{
  VvWorker *worker = start (context, announcement, client, data, release_device, NULL);

  if (worker)
    worker->touched = TRUE;
  return worker;
}

void
vv_worker_go (VvWorker *worker, gint64 since, gint64 deadline)
{
  const Go go = {since, deadline};

  send (worker->fd, &go, sizeof go, MSG_NOSIGNAL | MSG_DONTWAIT); /* readable() sees the death of a worker */
}

/* Reads the messages that the main loop has not read yet. */
gboolean
vv_worker_touched (VvWorker *worker)
{
  char word;

  while (recv (worker->fd, &word, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) == 1) {
    recv (worker->fd, &word, 1, MSG_DONTWAIT);
    worker->touched = word == *TOUCHED;
  }
  return worker->touched;
}

void
vv_worker_free (VvWorker *worker)
{
  if (!worker)
    return;
  if (worker->source)
    g_source_remove (worker->source);
  if (!worker->reported)
    syscall (SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
  close (worker->pidfd);
  close (worker->fd);
  g_free (worker);
}

void
vv_worker_run (void (*func) (const VvContext *context), const VvContext *context)
{
  pid_t pid = vv_fork (NULL, 0);

  if (pid == 0) {
    func (context);
    _exit (0);
  }
  if (pid < 0)
    g_warning ("fork: %s", g_strerror (errno));
}

void
vv_worker_rescue (const VvContext *context, const VvAnnouncement *announcement)
{
  pid_t pid = vv_fork (NULL, 0);

  if (pid == 0) {
    const VvHotplugRequest request = {announcement->address, announcement->before, 0};
    g_autoptr (GError) error = NULL;
    g_autoptr (VvChange) change = vv_hotplug_rescue (context, &request, &error);
    if (!change)
      g_warning ("gate, %s: %s died while moving it: %s", announcement->address, announcement->executable,
                 error->message);
    _exit (0);
  }
  if (pid < 0)
    g_warning ("fork: %s", g_strerror (errno));
}
