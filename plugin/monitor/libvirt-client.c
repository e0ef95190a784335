/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-client.h"

#include <libvirt-glib/libvirt-glib-event.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "dir-watch.h"

/* libvirt takes all event callbacks as one type, and casts each to its real type before the call. */
#define EVENT_FUNC(func) VIR_DOMAIN_EVENT_CALLBACK ((void (*) (void)) (func))

struct VvLibvirtClient {
  char *uri;
  char *socket_directory;
  VvChangedFunc changed;
  gpointer data;
  virConnectPtr conn; /* NULL: not connected */
  gboolean lost;      /* conn was closed by libvirt */
  int events[3];      /* callback IDs; -1: none */
  VvDirWatch *watch;
  char *said; /* the problem that was logged last */
};

static void
say_nothing (void *data, virErrorPtr error)
{
  (void)data, (void)error; /* without this function, libvirt prints each error on standard error */
}

static const char *
last_error (void)
{
  const char *message = virGetLastErrorMessage ();

  return message ? message : "unknown error";
}

static void
say_once (VvLibvirtClient *c, GLogLevelFlags level, char *problem)
{
  if (g_strcmp0 (c->said, problem) != 0)
    g_log_structured (G_LOG_DOMAIN, level, "MESSAGE", "%s", problem);
  g_free (c->said);
  c->said = problem;
}

/* --- events --- */

static int
on_lifecycle (virConnectPtr conn, virDomainPtr domain, int event, int detail, void *data)
{
  VvLibvirtClient *c = data;

  (void)conn, (void)domain, (void)detail;
  if (event == VIR_DOMAIN_EVENT_STARTED || event == VIR_DOMAIN_EVENT_STOPPED ||
      event == VIR_DOMAIN_EVENT_CRASHED)
    c->changed (c->data);
  return 0;
}

static void
on_device (virConnectPtr conn, virDomainPtr domain, const char *alias, void *data)
{
  VvLibvirtClient *c = data;

  (void)conn, (void)domain, (void)alias;
  c->changed (c->data);
}

static void
on_close (virConnectPtr conn, int reason, void *data)
{
  VvLibvirtClient *c = data;

  (void)conn;
  g_info ("lost the connection to libvirt (reason %d)", reason);
  c->lost = TRUE;
  c->changed (c->data);
}

/* --- the connection --- */

/* Deregisters the callbacks first: a registered callback keeps the connection from being freed. */
static void
disconnect (VvLibvirtClient *c)
{
  if (!c->conn)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (c->events); i++)
    if (c->events[i] >= 0)
      virConnectDomainEventDeregisterAny (c->conn, c->events[i]);
  virConnectUnregisterCloseCallback (c->conn, on_close);
  virConnectClose (c->conn);
  c->conn = NULL;
  c->lost = FALSE;
}

static gboolean
register_events (VvLibvirtClient *c)
{
  static const int ids[] = {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
                            VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED};
  gboolean all = TRUE;

  G_STATIC_ASSERT (G_N_ELEMENTS (ids) == G_N_ELEMENTS (c->events));
  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++) {
    virConnectDomainEventGenericCallback func =
        ids[i] == VIR_DOMAIN_EVENT_ID_LIFECYCLE ? EVENT_FUNC (on_lifecycle) : EVENT_FUNC (on_device);
    c->events[i] = virConnectDomainEventRegisterAny (c->conn, NULL, ids[i], func, c, NULL);
    all = all && c->events[i] >= 0;
  }
  return all && virConnectRegisterCloseCallback (c->conn, on_close, c, NULL) == 0;
}

/* Connects if there is no connection. The watch makes repeated attempts unnecessary. It begins before the
 * attempt, so that it does not miss a daemon that starts in between. It also waits for the directory of the
 * sockets, which that daemon may create. A read-only connection is sufficient to list domains and to receive
 * events, and limits the harm that a defect in this client can do. */
static gboolean
connect_if_needed (VvLibvirtClient *c)
{
  g_autoptr (GError) error = NULL;

  if (c->lost || (c->conn && virConnectIsAlive (c->conn) != 1))
    disconnect (c);
  if (c->conn)
    return TRUE;
  if (!c->watch)
    c->watch =
        vv_dir_watch_new (c->socket_directory, IN_CREATE | IN_MOVED_TO, "-sock", c->changed, c->data, &error);
  if (!c->watch)
    g_message ("cannot watch for the start of a libvirt daemon: %s", error->message);
  c->conn = virConnectOpenReadOnly (c->uri);
  if (c->conn && register_events (c)) {
    g_clear_pointer (&c->watch, vv_dir_watch_free);
    g_info ("connected to libvirt, %s", c->uri);
    return TRUE;
  }
  say_once (c, G_LOG_LEVEL_MESSAGE,
            g_strdup_printf (
                "cannot connect to libvirt at %s (%s): until the connection succeeds, hot-plugged devices "
                "are not assigned to their domain in the state store, and are not restored after it",
                c->uri, last_error ()));
  disconnect (c);
  return FALSE;
}

/* --- the domains --- */

/* @problem: (out): set if the domain cannot be read */
static void
add_domain (virDomainPtr domain, GPtrArray *running, GPtrArray *starting, char **problem)
{
  int state = VIR_DOMAIN_NOSTATE, reason = 0;
  /* before the XML: a domain that has just finished starting is handled by a later look */
  gboolean up = virDomainGetState (domain, &state, &reason, 0) < 0 || state != VIR_DOMAIN_PAUSED ||
                reason != VIR_DOMAIN_PAUSED_STARTING_UP;
  char *xml = virDomainGetXMLDesc (domain, 0);
  g_autoptr (GError) error = NULL;

  if (!xml && virGetLastErrorCode () == VIR_ERR_NO_DOMAIN)
    return; /* the domain has just ended */
  VvDomain *parsed = xml ? vv_domain_parse (xml, strlen (xml), &error) : NULL;
  free (xml); /* libvirt allocated it by malloc() */
  if (parsed)
    g_ptr_array_add (up ? running : starting, parsed);
  else
    *problem =
        g_strdup_printf ("domain %s: %s", virDomainGetName (domain), error ? error->message : last_error ());
}

gboolean
vv_libvirt_client_domains (VvLibvirtClient *c, GPtrArray *running, GPtrArray *starting)
{
  g_autofree char *problem = NULL;
  virDomainPtr *list = NULL;

  if (!connect_if_needed (c))
    return FALSE;
  int n = virConnectListAllDomains (c->conn, &list, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
  if (n < 0)
    problem = g_strdup (last_error ());
  for (int i = 0; i < n; i++) {
    if (!problem)
      add_domain (list[i], running, starting, &problem);
    virDomainFree (list[i]);
  }
  free (list);
  if (problem) {
    say_once (
        c, G_LOG_LEVEL_WARNING,
        g_strdup_printf ("cannot list the domains of libvirt: %s; trying again at its next event", problem));
    return FALSE;
  }
  g_clear_pointer (&c->said, g_free);
  return TRUE;
}

VvLibvirtClient *
vv_libvirt_client_new (const char *uri, const char *socket_directory, VvChangedFunc changed, gpointer data)
{
  VvLibvirtClient *c = g_new0 (VvLibvirtClient, 1);

  virSetErrorFunc (NULL, say_nothing);
  gvir_event_register (); /* before any connection */
  c->uri = g_strdup (uri);
  c->socket_directory = g_strdup (socket_directory);
  c->changed = changed;
  c->data = data;
  for (gsize i = 0; i < G_N_ELEMENTS (c->events); i++)
    c->events[i] = -1;
  return c;
}

void
vv_libvirt_client_free (VvLibvirtClient *c)
{
  if (!c)
    return;
  disconnect (c);
  vv_dir_watch_free (c->watch);
  g_free (c->uri);
  g_free (c->socket_directory);
  g_free (c->said);
  g_free (c);
}
