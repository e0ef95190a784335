/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variantd: the daemon. Handles options, signals and systemd; service does the work.
 *
 * The daemon has one thread, because it forks. GLib's own sources for signals and children would start
 * another thread: hence a signalfd.
 */
#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"
#include "service.h"

#define EXIT_USAGE 2
#define EXIT_UNPRIVILEGED 5
#define NOT_SAID (-1)
#define MOST_DEADLINE_S 3600

/** The options of the command line; main() frees @serve and @textfile. */
typedef struct {
  char **serve;
  int deadline_s;
  gboolean no_gate;
  char *textfile; /* removed before 1.0; ignored with a warning, so that hot plug still works */
  gboolean version;
  gboolean help;
} Options;

typedef struct {
  VvService *service;
  GMainLoop *loop;
} Daemon;

/* --- signals --- */

static void
tell_state (const Daemon *d)
{
  const char *off = vv_service_gate_off (d->service);
  g_autofree char *state =
      g_strconcat ("READY=1\nSTATUS=", off ? "The gate is off: " : "The gate is on.", off, NULL);

  vv_notify (state);
}

static void
stopped (gpointer data)
{
  Daemon *d = data;

  g_main_loop_quit (d->loop);
}

static gboolean
signalled (int fd, GIOCondition condition, gpointer data)
{
  Daemon *d = data;
  struct signalfd_siginfo info;
  pid_t pid;

  (void)condition;
  if (read (fd, &info, sizeof info) != sizeof info)
    return G_SOURCE_CONTINUE;
  switch (info.ssi_signo) {
  case SIGCHLD:
    while ((pid = waitpid (-1, NULL, WNOHANG)) > 0)
      vv_service_reaped (d->service, pid);
    break;
  case SIGHUP:
    vv_notify ("RELOADING=1");
    vv_service_reload (d->service);
    tell_state (d);
    g_message ("reloaded the policy, modprobe.d and the module tables");
    break;
  default:
    vv_notify ("STOPPING=1");
    vv_service_stop (d->service, stopped, d);
  }
  return G_SOURCE_CONTINUE;
}

static int
open_signals (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGCHLD);
  sigaddset (&set, SIGHUP);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigprocmask (SIG_BLOCK, &set, NULL);
  signal (SIGPIPE, SIG_IGN);
  return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- options --- */

static int
usage_error (const char *what)
{
  fprintf (stderr, "vfio-variantd: %s\nTry 'vfio-variantd --help'.\n", what);
  return EXIT_USAGE;
}

/* Returns: -1 to continue, or the exit status */
static int
parse (int *argc, char ***argv, Options *o)
{
  const GOptionEntry entries[] = {
      {"deadline", 'd', 0, G_OPTION_ARG_INT, &o->deadline_s,
       "Stop work on a device after SECONDS and let libvirt continue (default: from the policy, else 30)",
       "SECONDS"},
      {"serve", 's', 0, G_OPTION_ARG_STRING_ARRAY, &o->serve,
       "Handle this program; may be given more than once (default: from the policy, else libvirtd, virtqemud "
       "and virtchd)",
       "NAME"},
      {"no-gate", 0, 0, G_OPTION_ARG_NONE, &o->no_gate, "Do not block libvirt; only report the status", NULL},
      {"textfile", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &o->textfile, NULL, NULL},
      {"version", 0, 0, G_OPTION_ARG_NONE, &o->version, "Show the version and exit", NULL},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &o->help, "Show this help and exit", NULL},
      {NULL},
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (
      context,
      "Blocks libvirt while it rebinds a PCI device, so that the device gets its VFIO variant driver at hot "
      "plug\nand returns to its host driver afterwards. Runs in the foreground; systemd starts it.");
  g_option_context_set_description (context, "See vfio-variantd(8).");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, &error))
    return usage_error (error->message);
  if (*argc > 1)
    return usage_error ("this command takes no arguments");
  if (o->deadline_s != NOT_SAID && (o->deadline_s < 1 || o->deadline_s > MOST_DEADLINE_S))
    return usage_error ("--deadline must be a number from 1 to 3600");
  if (o->help) {
    g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);
    fputs (text, stdout);
  } else if (o->version) {
    puts ("vfio-variantd " VV_VERSION);
  }
  return o->help || o->version ? EXIT_SUCCESS : -1;
}

static int
run (const Options *o)
{
  const VvServiceOptions service_options = {
      .executables = o->serve,
      .deadline_ms = o->deadline_s == NOT_SAID ? 0 : (guint)o->deadline_s * 1000,
      .no_gate = o->no_gate,
      .monitor = VV_MONITOR,
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  int signals = open_signals ();

  if (o->textfile)
    g_warning ("ignoring --textfile, which was removed: use 'systemctl enable --now "
               "vfio-variant-metrics.timer' to write the metrics to a file");
  g_autoptr (VvService) service = vv_service_new (&service_options, &error);

  if (!service) {
    fprintf (stderr, "vfio-variantd: %s\n", error->message);
    return EXIT_FAILURE;
  }
  Daemon daemon = {service, loop};
  g_unix_fd_add (signals, G_IO_IN, signalled, &daemon);
  tell_state (&daemon);
  g_main_loop_run (loop);
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  Options options = {.deadline_s = NOT_SAID};

  setlocale (LC_CTYPE, ""); /* not LC_MESSAGES: the log is in English */
  int code = parse (&argc, &argv, &options);
  if (code < 0 && geteuid () != 0) {
    fputs ("vfio-variantd: must be run as root: permission events of fanotify require CAP_SYS_ADMIN\n",
           stderr);
    code = EXIT_UNPRIVILEGED;
  }
  if (code < 0) {
    vv_log_to_system ();
    code = run (&options);
  }
  g_strfreev (options.serve);
  g_free (options.textfile);
  return code;
}
