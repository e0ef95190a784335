/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The qemu hook: libvirt runs it as /etc/libvirt/hooks/qemu.d/vfio-variant with the arguments DOMAIN
 * OPERATION SUB-OPERATION EXTRA and the domain's XML on standard input (libvirt's docs/hooks.rst).
 *
 * Always exits 0 when libvirt calls it (rule R7): at "reconnect" libvirt would kill the running guest
 * otherwise. Calls no libvirt function: libvirt waits for the hook and would never answer (rule R10). Prints
 * nothing on standard output: for "migrate" and "restore" libvirt takes that as the domain's new XML.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain-life.h"
#include "log.h"

/* @by_journal: the devices are those that the journal gives to the domain, not those of its XML. */
typedef struct {
  const char *operation;
  const char *sub_operation;
  void (*act) (const VvSession *session, const VvDomain *domain);
  gboolean by_journal;
} Station;

static const Station stations[] = {
    {"prepare", "begin", vv_domain_prepare, FALSE}, {"start", "begin", vv_domain_start, FALSE},
    {"started", "begin", vv_domain_running, FALSE}, {"reconnect", "begin", vv_domain_running, FALSE},
    {"release", "end", vv_domain_release, TRUE},
};

static const Station *
find_station (const char *operation, const char *sub_operation)
{
  for (gsize i = 0; i < G_N_ELEMENTS (stations); i++)
    if (strcmp (stations[i].operation, operation) == 0 &&
        strcmp (stations[i].sub_operation, sub_operation) == 0)
      return &stations[i];
  return NULL;
}

/* Standard input, or what there is of it up to one byte over the limit: the parser then says that it is too
 * long. */
static GString *
read_input (void)
{
  GString *text = g_string_sized_new (16384);
  char buffer[16384];
  ssize_t n = 1;

  while (n > 0 && text->len <= VV_DOMAIN_XML_LIMIT) {
    do
      n = read (STDIN_FILENO, buffer, sizeof buffer);
    while (n < 0 && errno == EINTR);
    if (n > 0)
      g_string_append_len (text, buffer, n);
  }
  return text;
}

static gboolean
has_managed (const VvDomain *domain)
{
  for (guint i = 0; i < domain->hostdevs->len; i++)
    if (((VvHostdev *)domain->hostdevs->pdata[i])->managed)
      return TRUE;
  return FALSE;
}

static gboolean
journal_is_empty (void)
{
  g_autoptr (VvHost) host = vv_host_new (NULL, NULL, NULL);
  g_autoptr (VvJournal) journal = host ? vv_journal_open (host, FALSE, NULL) : NULL;
  g_autoptr (GPtrArray) addresses = journal ? vv_journal_addresses (journal) : NULL;

  return addresses && addresses->len == 0;
}

/* Most domains have no PCI devices: they must not pay for those that do. */
static gboolean
is_none_of_ours (const Station *station, const GString *xml)
{
  return station->by_journal ? journal_is_empty () : !vv_domain_may_have_hostdevs (xml->str, xml->len);
}

static void
run (const Station *station, const char *name, const GString *xml)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvDomain) domain = vv_domain_parse (xml->str, xml->len, &error);

  if (domain && !station->by_journal && !has_managed (domain))
    return;
  g_autoptr (VvSession) session = domain ? vv_session_new (NULL, NULL, VV_SESSION_MOVE, &error) : NULL;
  if (!session) {
    g_warning ("domain %s: %s; its devices stay on the driver that libvirt chose", name, error->message);
    return;
  }
  station->act (session, domain);
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "--version") == 0) {
    puts ("vfio-variant-hook " VV_VERSION);
    return EXIT_SUCCESS;
  }
  if (argc < 4) {
    fputs ("vfio-variant-hook: libvirt runs this as its qemu hook: DOMAIN OPERATION SUB-OPERATION EXTRA, "
           "the domain's XML on standard input; see vfio-variant-hook(8)\n",
           stderr);
    return 2;
  }
  const Station *station = find_station (argv[2], argv[3]);
  if (!station)
    return EXIT_SUCCESS;

  g_autoptr (GString) xml = read_input ();
  if (!is_none_of_ours (station, xml)) {
    vv_log_to_system ();
    run (station, argv[1], xml);
  }
  return EXIT_SUCCESS;
}
