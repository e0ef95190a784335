/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant-monitor: the part of the daemon that calls libvirt. vfio-variantd starts it while the state
 * store has entries, and tells it on standard input when it may call libvirt.
 *
 * Owns: the main loop and the only timer, which is armed only while work is due. The monitor is a separate
 * program, so that the daemon does not link libvirt. It runs only when needed, because its connection keeps
 * an idle libvirtd that systemd starts on demand from stopping.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "libvirt-client.h"
#include "log.h"
#include "orders.h"
#include "reconcile.h"
#include "recovery.h"

#define SOON_MS 500           /* after an order of the daemon: libvirt finishes its blocked call */
#define AFTER_LIBVIRT_MS 1000 /* libvirt sends events in bursts, and creates its sockets early */

typedef struct {
  char *uri;
  int grace_ms;
  char *sysroot;
  gboolean version;
} Options;

typedef struct {
  GMainLoop *loop;
  VvContext *context;
  VvReconciler *reconciler;
  VvLibvirtClient *client;
  gboolean blocked;
  guint timer; /* 0: nothing is due */
  gint64 due;  /* g_get_monotonic_time() */
} Monitor;

static void look_within (Monitor *m, gint64 usec);

static gboolean
state_store_is_empty (const Monitor *m)
{
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (m->context->store);

  return addresses->len == 0;
}

static gint64
reconcile (const Monitor *m)
{
  g_autoptr (GPtrArray) running = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_domain_free);
  g_autoptr (GPtrArray) starting = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_domain_free);
  sigset_t term, before;

  if (!vv_libvirt_client_domains (m->client, running, starting))
    return -1;
  sigemptyset (&term);
  sigaddset (&term, SIGTERM);
  /* Neither the daemon's death nor its SIGTERM may interrupt a rebind. */
  pthread_sigmask (SIG_BLOCK, &term, &before);
  gint64 wait = vv_reconciler_run (m->reconciler, running, starting, g_get_monotonic_time ());
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return wait;
}

static gboolean
on_timer (gpointer data)
{
  Monitor *m = data;

  m->timer = 0;
  if (m->blocked) /* VV_ORDER_FREE starts the next look */
    return G_SOURCE_REMOVE;
  gint64 wait = state_store_is_empty (m) ? -1 : reconcile (m);
  if (state_store_is_empty (m))
    g_main_loop_quit (m->loop); /* the daemon starts the monitor again when the state store has entries */
  else if (wait >= 0)
    look_within (m, wait);
  return G_SOURCE_REMOVE;
}

/* Starts the timer, unless a look is due earlier: one look handles all changes before it. */
static void
look_within (Monitor *m, gint64 usec)
{
  gint64 due = g_get_monotonic_time () + usec;

  if (m->timer && m->due <= due)
    return;
  if (m->timer)
    g_source_remove (m->timer);
  m->due = due;
  m->timer = g_timeout_add ((guint)(usec / G_TIME_SPAN_MILLISECOND) + 1, on_timer, m);
}

static void
on_libvirt_changed (gpointer data)
{
  look_within (data, AFTER_LIBVIRT_MS * G_TIME_SPAN_MILLISECOND);
}

static gboolean
on_input (int fd, GIOCondition condition, gpointer data)
{
  Monitor *m = data;
  char orders[256];
  ssize_t n = read (fd, orders, sizeof orders);

  (void)condition;
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return G_SOURCE_CONTINUE;
  if (n <= 0) { /* the daemon has ended */
    g_main_loop_quit (m->loop);
    return G_SOURCE_REMOVE;
  }
  for (ssize_t i = 0; i < n; i++) {
    if (orders[i] == VV_ORDER_BLOCKED || orders[i] == VV_ORDER_FREE)
      m->blocked = orders[i] == VV_ORDER_BLOCKED;
    else if (orders[i] != VV_ORDER_LOOK)
      continue;
    if (!m->blocked)
      look_within (m, SOON_MS * G_TIME_SPAN_MILLISECOND);
  }
  return G_SOURCE_CONTINUE;
}

static int
mind (const Options *options)
{
  if (fcntl (STDIN_FILENO, F_GETFD) < 0)
    return EXIT_SUCCESS; /* no daemon sends orders, and another file would get descriptor 0 */
  g_autoptr (GError) error = NULL;
  g_autoptr (VvContext) context = vv_context_new (options->sysroot, NULL, TRUE, &error);

  if (!context) {
    g_warning ("vfio-variant-monitor: %s", error->message);
    return EXIT_FAILURE;
  }
  vv_recover (context);
  g_autofree char *sockets = vv_host_path (context->host, "/run/libvirt");
  g_autoptr (VvReconciler) reconciler = vv_reconciler_new (context, options->grace_ms);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Monitor m = {.loop = loop, .context = context, .reconciler = reconciler};
  m.client = vv_libvirt_client_new (options->uri, sockets, on_libvirt_changed, &m);
  /* Higher priority than the timer: the first look follows the orders that the daemon has already
   * written. */
  g_unix_fd_add_full (G_PRIORITY_HIGH, STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, &m, NULL);
  look_within (&m, 0);
  g_main_loop_run (loop);
  if (m.blocked)
    _exit (EXIT_SUCCESS); /* libvirt would not answer virConnectClose(); the kernel closes the connection */
  vv_libvirt_client_free (m.client);
  return EXIT_SUCCESS;
}

static gboolean
parse_options (int argc, char **argv, Options *o, GError **error)
{
  const GOptionEntry entries[] = {
      {"connect", 'c', 0, G_OPTION_ARG_STRING, &o->uri, "Connect to this libvirt (default: qemu:///system)",
       "URI"},
      {"grace-ms", 0, 0, G_OPTION_ARG_INT, &o->grace_ms,
       "Wait this long for libvirt to return a device to the host (default: 5000)", "N"},
      {"sysroot", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &o->sysroot, NULL, NULL},
      {"version", 0, 0, G_OPTION_ARG_NONE, &o->version, "Show the version and exit", NULL},
      {NULL}};
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (context, "Keeps the state store of vfio-variant consistent with the domains "
                                         "of libvirt. Started by vfio-variantd.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  if (argc > 1) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "'%s': this program takes no arguments", argv[1]);
    return FALSE;
  }
  if (o->grace_ms < 0) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, "--grace-ms must not be negative");
    return FALSE;
  }
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Options options = {.grace_ms = 5000};

  setlocale (LC_CTYPE, ""); /* not LC_MESSAGES: the log is in English */
  if (!parse_options (argc, argv, &options, &error)) {
    fprintf (stderr, "vfio-variant-monitor: %s\nTry 'vfio-variant-monitor --help'.\n", error->message);
    return 2;
  }
  if (options.version) {
    puts ("vfio-variant-monitor " VV_VERSION);
    return EXIT_SUCCESS;
  }
  if (!options.uri)
    options.uri = g_strdup ("qemu:///system");
  vv_log_to_system ();
  signal (SIGPIPE, SIG_IGN); /* a write to a libvirtd that has ended returns an error */
  prctl (PR_SET_PDEATHSIG,
         SIGTERM); /* also during a call to libvirt, when the monitor does not see the end of its input */
  int status = mind (&options);
  g_free (options.uri);
  g_free (options.sysroot);
  return status;
}
