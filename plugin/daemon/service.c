/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "gate.h"
#include "monitor-process.h"
#include "one-line.h"
#include "policy-xml.h"
#include "recovery.h"
#include "stats.h"
#include "status-socket.h"
#include "udev.h"
#include "worker.h"

#define DEADLINE_MS 30000
#define WATCHDOG_MS 10000
/* After the release, libvirt continues with the device. The monitor starts, and calls libvirt, only
 * later. */
#define LOOK_AFTER_S 1

struct VvService {
  VvServiceOptions options; /* this struct owns the executables, the caller owns the rest */
  VvSettings *settings;     /* from the options and the policy */
  gint64 policy_read;       /* g_get_real_time(); 0: not read yet */
  gint64 started;           /* g_get_real_time() */
  VvContext *context;
  VvGate *gate;         /* NULL: off */
  gboolean gate_closes; /* when no thread is blocked */
  char *gate_off;
  VvUevents *uevents;
  VvMonitorProcess *monitor;
  guint look; /* the timer that makes the monitor look; 0: none */
  VvStats *stats;
  VvStatusSocket *socket;
  GPtrArray *jobs; /* of Job */
  guint blocking;
  void (*stopped) (gpointer data);
  gpointer stopped_data;
};

/* A device that is announced. Its thread is blocked at drivers_probe if @since of the announcement is
 * set. */
typedef struct {
  VvService *service;
  VvAnnouncement *announcement;
  VvWorker *worker; /* NULL: its process died */
  gboolean released;
} Job;

static void override_read (const char *override, gpointer job);
static void work_finished (GKeyFile *report, gpointer job);
static const VvWorkerClient worker_client = {override_read, work_finished};

static void
job_free (Job *job)
{
  vv_worker_free (job->worker);
  g_ptr_array_remove_fast (job->service->jobs, job);
  g_free (job);
}

/* --- release --- */

/* Waits for the monitor, too: it may be rebinding a device, and must not be killed with the daemon. */
static void
look_for_the_end (VvService *s)
{
  if (s->stopped && !s->blocking && !vv_monitor_process_runs (s->monitor))
    s->stopped (s->stopped_data);
}

static void
forget_look (VvService *s)
{
  if (s->look)
    g_source_remove (s->look);
  s->look = 0;
}

static gboolean
monitor_looks (gpointer data)
{
  VvService *s = data;

  s->look = 0;
  vv_monitor_process_look (s->monitor);
  return G_SOURCE_REMOVE;
}

static void adjust_gate (VvService *s);
static void end_gate (VvService *s);

static void
all_is_free (VvService *s)
{
  vv_monitor_process_hold (s->monitor, FALSE);
  forget_look (s);
  if (!s->stopped)
    s->look = g_timeout_add_seconds (LOOK_AFTER_S, monitor_looks, s);
  if (s->gate_closes && !s->stopped) {
    end_gate (s);
    adjust_gate (s); /* a reload may have enabled it */
  }
  look_for_the_end (s);
}

/* Answers libvirt before all other work. @report: NULL: the worker has not finished. It is killed first,
 * because it must not write to sysfs when libvirt does. */
static void
release (Job *job, GKeyFile *report, const char *outcome)
{
  VvService *s = job->service;
  g_autoptr (GKeyFile) own = g_key_file_new ();
  g_autofree char *device = g_strdup (job->announcement->address);

  if (!report)
    g_clear_pointer (&job->worker, vv_worker_free);
  gint64 blocked = vv_gate_release (job->announcement, g_strcmp0 (outcome, VV_REFUSED) != 0);
  if (!report) {
    g_key_file_set_string (own, VV_REPORT, "device", device);
    g_key_file_set_string (own, VV_REPORT, "outcome", outcome);
  }
  vv_stats_change (s->stats, report ? report : own, blocked);
  g_debug ("%s: blocked for %" G_GINT64_FORMAT " us: %s", device, blocked, outcome);
  job_free (job);
  if (--s->blocking == 0)
    all_is_free (s);
}

/* --- workers --- */

/* Handles the death of a worker. If the worker had changed the device, a second worker must reset
 * driver_override before the gate releases libvirt, so that libvirt can bind the device. Returns: whether
 * the second worker was started */
static gboolean
stands_back (Job *job)
{
  const VvAnnouncement *a = job->announcement;
  gboolean touched = vv_worker_touched (job->worker);

  g_critical ("%s: the process that moved it died; libvirt continues without it", a->address);
  g_clear_pointer (&job->worker, vv_worker_free);
  if (touched)
    job->worker = vv_worker_release (job->service->context, a, &worker_client, job);
  return job->worker != NULL;
}

static void
work_finished (GKeyFile *report, gpointer data)
{
  Job *job = data;
  g_autofree char *outcome = report ? g_key_file_get_string (report, VV_REPORT, "outcome", NULL) : NULL;

  if (job->announcement->fd >= 0) {
    g_warning ("%s: the process that reads its driver_override died; libvirt continues without it",
               job->announcement->address);
    vv_gate_forget (job->announcement);
  } else if (!job->announcement->since) /* the worker died before its thread was blocked at drivers_probe */
    g_clear_pointer (&job->worker, vv_worker_free);
  else if (outcome || job->released)
    release (job, report, job->released ? "crashed" : outcome);
  else if (job->released = TRUE, !stands_back (job))
    release (job, NULL, "crashed");
}

static void
override_read (const char *override, gpointer data)
{
  const Job *job = data;

  vv_gate_proceed (job->announcement, override);
}

/* --- callbacks of the gate --- */

static void
reload_tables (VvService *s)
{
  g_autoptr (GError) error = NULL;

  if (!vv_context_reload (s->context, &error))
    g_warning ("keeping the old modprobe.d and module tables: %s", error->message);
  else if (vv_catalog_warning (s->context->catalog))
    g_warning ("%s", vv_catalog_warning (s->context->catalog));
}

static gpointer
device_announced (VvAnnouncement *announcement, gpointer data)
{
  VvService *s = data;
  Job *job = g_new0 (Job, 1);
  g_autoptr (GError) error = NULL;

  if (vv_modules_changed (s->context->modules)) /* the next device uses depmod's new tables */
    reload_tables (s);
  job->service = s;
  job->announcement = announcement;
  job->worker = vv_worker_start (s->context, announcement, &worker_client, job, &error);
  if (!job->worker) {
    g_warning ("%s: cannot start a process for it: %s", announcement->address, error->message);
    g_free (job);
    return NULL;
  }
  g_ptr_array_add (s->jobs, job);
  return job;
}

static void
device_dropped (gpointer job, gpointer data)
{
  (void)data;
  job_free (job);
}

/* No thread is blocked, so the daemon does not wait for the process that restores the device. */
static void
device_orphaned (const VvAnnouncement *announcement, gpointer device_data, gpointer data)
{
  const VvService *s = data;

  job_free (device_data);
  vv_worker_rescue (s->context, announcement);
}

static void
device_blocked (VvAnnouncement *announcement, gpointer device_data, gpointer data)
{
  VvService *s = data;
  Job *job = device_data;

  if (s->blocking++ == 0)
    vv_monitor_process_hold (s->monitor, TRUE);
  if (s->stopped) /* the gate read this open just before it was disabled */
    release (job, NULL, "deadline");
  else if (job->worker)
    vv_worker_go (job->worker, announcement->since, announcement->deadline);
  else
    release (job, NULL, "crashed");
}

/* Once the worker has written to sysfs, only the kernel can still delay it. libvirt must not continue during
 * a probe: drivers_probe skips a device that a driver is probing (bus_rescan_devices_helper() in the
 * kernel's drivers/base/bus.c). libvirt would then find no VFIO device. The worker begins nothing new after
 * the deadline. */
static void
device_late (VvAnnouncement *announcement, gpointer device_data, gpointer data)
{
  Job *job = device_data;

  (void)data;
  if (vv_worker_touched (job->worker)) {
    g_warning ("%s: the deadline has passed, but the kernel is still working on it: libvirt continues when "
               "it has finished",
               announcement->address);
    return;
  }
  g_warning ("%s: the deadline passed before anything was done: libvirt continues without it",
             announcement->address);
  release (job, NULL, "deadline");
}

/* --- device uevents --- */

static void
device_event (const char *address, VvUevent what, gpointer data)
{
  VvService *s = data;

  if (!address)
    vv_gate_watch_all (s->gate);
  else if (what == VV_UEVENT_ADDED)
    vv_gate_watch (s->gate, address);
  else if (what == VV_UEVENT_REMOVED)
    vv_gate_unwatch (s->gate, address);
}

/* --- status --- */

static void
write_daemon (const VvService *s, JsonBuilder *b)
{
  vv_json_boolean (b, "running", TRUE);
  vv_json_string (b, "version", VV_VERSION);
  vv_json_number (b, "pid", getpid ());
  vv_json_number (b, "started", s->started);
  vv_json_string (b, "gate", s->gate ? "on" : "off");
  vv_json_printable (b, "reason", s->gate_off);
  json_builder_set_member_name (b, "executables");
  json_builder_begin_array (b);
  for (char **name = s->settings->executables; *name; name++) {
    g_autofree char *text = vv_printable (*name, VV_JSON_CHARACTERS);
    json_builder_add_string_value (b, text);
  }
  json_builder_end_array (b);
  vv_json_number (b, "deadline_ms", s->settings->deadline_ms);
  vv_json_number (b, "devices", s->gate ? vv_gate_watched (s->gate) : 0);
  vv_json_string (b, "monitor", vv_monitor_process_runs (s->monitor) ? "running" : "idle");
  vv_json_number (b, "policy_read", s->policy_read);
}

static void
write_opens (const VvService *s, JsonBuilder *b)
{
  const VvGateCounts *counts = s->gate ? vv_gate_counts (s->gate) : &(VvGateCounts){0};

  json_builder_set_member_name (b, "opens");
  json_builder_begin_object (b);
  vv_json_number (b, "seen", (gint64)counts->seen);
  vv_json_number (b, "passed", (gint64)counts->passed);
  vv_json_number (b, "blocked", (gint64)counts->blocked);
  json_builder_end_object (b);
}

static void
write_blocking (const VvService *s, JsonBuilder *b)
{
  json_builder_set_member_name (b, "blocking");
  json_builder_begin_array (b);
  for (guint i = 0; i < s->jobs->len; i++) {
    const VvAnnouncement *a = ((const Job *)s->jobs->pdata[i])->announcement;
    if (!a->since)
      continue;
    json_builder_begin_object (b);
    vv_json_string (b, "device", a->address);
    vv_json_number (b, "pid", a->tid);
    vv_json_printable (b, "executable", a->executable);
    vv_json_number (b, "since_us", g_get_monotonic_time () - a->since);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

/* Returns the status as in status.schema.json, without "error" and "findings", which the command adds. */
static char *
tell_status (gpointer data)
{
  const VvService *s = data;
  g_autoptr (JsonBuilder) b = json_builder_new ();

  json_builder_begin_object (b);
  write_daemon (s, b);
  write_opens (s, b);
  write_blocking (s, b);
  vv_stats_write (s->stats, b);
  json_builder_end_object (b);
  return vv_json_text (b, FALSE);
}

/* --- start and stop --- */

static gboolean
open_gate (VvService *s, GError **error)
{
  static const VvGateClient client = {device_announced, device_dropped, device_orphaned, device_blocked,
                                      device_late};

  s->gate = vv_gate_new (s->context->host, (const char *const *)s->settings->executables,
                         s->settings->deadline_ms, WATCHDOG_MS, &client, s, error);
  if (!s->gate)
    return FALSE;
  s->uevents = vv_uevents_new (device_event, s, error); /* before vv_gate_watch_all(), to miss no device */
  if (!s->uevents) {
    g_clear_pointer (&s->gate, vv_gate_free);
    return FALSE;
  }
  vv_gate_watch_all (s->gate);
  return TRUE;
}

static void
end_gate (VvService *s)
{
  g_clear_pointer (&s->uevents, vv_uevents_free);
  g_clear_pointer (&s->gate, vv_gate_free);
  s->gate_closes = FALSE;
}

/* Opens, closes or updates the gate as the settings say. */
static void
adjust_gate (VvService *s)
{
  g_autoptr (GError) error = NULL;

  if (s->settings->gate_off) {
    g_free (s->gate_off);
    s->gate_off = g_strdup (s->settings->gate_off);
    if (!s->gate || s->gate_closes)
      return;
    s->gate_closes = TRUE;
    vv_gate_disable (s->gate); /* blocked threads stay blocked */
    if (!s->blocking)
      end_gate (s);
  } else if (!s->gate) {
    g_clear_pointer (&s->gate_off, g_free);
    if (open_gate (s, &error))
      return;
    s->gate_off = g_strdup (error->message);
    g_warning ("the gate is off, so hot plug uses the driver that libvirt chooses: %s", s->gate_off);
  } else if (!s->gate_closes) {
    vv_gate_set (s->gate, (const char *const *)s->settings->executables, s->settings->deadline_ms);
  }
}

/* --- settings and policy --- */

VvSettings *
vv_settings_new (const VvServiceOptions *options, const VvPolicy *policy)
{
  static const char *const libvirt[] = {"libvirtd", "virtqemud", "virtchd", NULL};
  VvSettings *settings = g_new0 (VvSettings, 1);
  char **executables = options->executables ? options->executables : policy->executables;

  settings->executables = g_strdupv (executables ? executables : (char **)libvirt);
  settings->deadline_ms = options->deadline_ms ? options->deadline_ms
                          : policy->deadline_s ? policy->deadline_s * 1000
                                               : DEADLINE_MS;
  if (options->no_gate)
    settings->gate_off = g_strdup ("turned off by --no-gate");
  else if (policy->gate == VV_NO)
    settings->gate_off = g_strdup ("turned off by the policy; 'vfio-variant policy' shows where");
  return settings;
}

void
vv_settings_free (VvSettings *settings)
{
  if (!settings)
    return;
  g_strfreev (settings->executables);
  g_free (settings->gate_off);
  g_free (settings);
}

static void
adopt_settings (VvService *s)
{
  vv_settings_free (s->settings);
  s->settings = vv_settings_new (&s->options, s->context->policy);
  adjust_gate (s);
}

/* A policy that cannot be read, perhaps because a disk fails, does not replace the current one: a rule must
 * not be lost. An invalid policy does replace it. */
static void
read_policy (VvService *s)
{
  g_autoptr (VvPolicy) policy = vv_policy_read (s->context->host);

  if (s->policy_read && policy->unread) {
    g_warning ("cannot read the policy, keeping the old one: %s", policy->unread);
    return;
  }
  vv_policy_warn (policy);
  vv_context_set_policy (s->context, g_steal_pointer (&policy));
  malloc_trim (0); /* the documents used more memory than the policy keeps, and lie behind it in the heap */
  s->policy_read = g_get_real_time ();
}

VvService *
vv_service_new (const VvServiceOptions *options, GError **error)
{
  g_autoptr (VvService) s = g_new0 (VvService, 1);

  s->options = *options;
  s->options.executables = g_strdupv (options->executables);
  s->started = g_get_real_time ();
  s->jobs = g_ptr_array_new ();
  s->stats = vv_stats_new ();
  s->monitor = vv_monitor_process_new (options->monitor);
  s->context = vv_context_new (options->sysroot, NULL, TRUE, error);
  if (!s->context)
    return NULL;
  if (vv_catalog_warning (s->context->catalog))
    g_warning ("%s", vv_catalog_warning (s->context->catalog));
  read_policy (s);
  s->socket = vv_status_socket_new (s->context->host, tell_status, s, error);
  if (!s->socket)
    return NULL;
  adopt_settings (s);
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (s->context->store);
  if (addresses->len) {
    /* Recovery of what an earlier daemon left half done may wait for the kernel. A child does it. */
    vv_worker_run (vv_recover, s->context);
    vv_monitor_process_look (s->monitor);
  }
  return g_steal_pointer (&s);
}

void
vv_service_reload (VvService *s)
{
  reload_tables (s);
  read_policy (s);
  adopt_settings (s);
}

void
vv_service_stop (VvService *s, void (*stopped) (gpointer data), gpointer data)
{
  s->stopped = stopped;
  s->stopped_data = data;
  if (s->gate)
    vv_gate_disable (s->gate);
  forget_look (s);
  vv_monitor_process_end (s->monitor);
  for (guint i = s->jobs->len; i-- > 0;) {
    Job *job = s->jobs->pdata[i];
    if (job->announcement->since && !vv_worker_touched (job->worker))
      release (job, NULL, "deadline");
  }
  look_for_the_end (s);
}

void
vv_service_reaped (VvService *s, pid_t pid)
{
  if (vv_monitor_process_reaped (s->monitor, pid))
    look_for_the_end (s);
}

const char *
vv_service_gate_off (const VvService *s)
{
  return s->gate_off;
}

void
vv_service_free (VvService *s)
{
  if (!s)
    return;
  vv_status_socket_free (s->socket);
  end_gate (s);
  forget_look (s);
  vv_monitor_process_free (s->monitor);
  vv_stats_free (s->stats);
  vv_context_free (s->context);
  g_ptr_array_unref (s->jobs);
  g_strfreev (s->options.executables);
  vv_settings_free (s->settings);
  g_free (s->gate_off);
  g_free (s);
}
