/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of libvirt-client, with the test driver in libvirt's library, on which the domain "test" runs. All
 * connections of a process to test:///default share one host: the client receives events of changes by a
 * second connection.
 */
#include "libvirt-client.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#include "fake-kernel.h"

typedef struct {
  FakeKernel *k; /* only its directories are used */
  VvLibvirtClient *client;
  guint changed;
} Fixture;

static void
on_changed (gpointer data)
{
  Fixture *f = data;

  f->changed++;
}

static Fixture *
fixture_new (const char *uri)
{
  Fixture *f = g_new0 (Fixture, 1);

  f->k = fake_new ();
  fake_mkdir (f->k, "run/libvirt");
  g_autofree char *sockets = g_build_filename (f->k->root, "run/libvirt", NULL);
  f->client = vv_libvirt_client_new (uri, sockets, on_changed, f);
  return f;
}

static void
fixture_free (Fixture *f)
{
  vv_libvirt_client_free (f->client);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

static void
dispatch (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Queries the running domains, and compares their names with @expected */
static gboolean
running_are (const Fixture *f, const char *expected)
{
  g_autoptr (GPtrArray) running = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_domain_free);
  g_autoptr (GPtrArray) starting = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_domain_free);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  if (!vv_libvirt_client_domains (f->client, running, starting))
    return FALSE;
  g_assert_cmpuint (starting->len, ==, 0);
  for (guint i = 0; i < running->len; i++)
    g_ptr_array_add (names, ((VvDomain *)running->pdata[i])->name);
  fake_assert_names (names, expected);
  return TRUE;
}

static void
test_domains (void)
{
  g_autoptr (Fixture) f = fixture_new ("test:///default");

  g_assert_true (running_are (f, "test"));
  fake_assert_logged ("connected to libvirt, test:///default");
  g_assert_true (running_are (f, "test")); /* by the same connection */
}

static void
test_events (void)
{
  g_autoptr (Fixture) f = fixture_new ("test:///default");

  g_assert_true (running_are (f, "test"));
  fake_assert_logged ("connected to libvirt, *");
  virConnectPtr other = virConnectOpen ("test:///default");
  virDomainPtr domain = virDomainLookupByName (other, "test");
  g_assert_cmpint (virDomainDestroy (domain), ==, 0);
  dispatch ();
  g_assert_cmpuint (f->changed, ==, 1);
  g_assert_true (running_are (f, ""));

  g_assert_cmpint (virDomainCreate (domain), ==, 0);
  dispatch ();
  g_assert_cmpuint (f->changed, ==, 2);
  g_assert_true (running_are (f, "test"));

  g_assert_cmpint (virDomainSuspend (domain), ==, 0); /* moves no devices: ignored */
  dispatch ();
  g_assert_cmpuint (f->changed, ==, 2);
  virDomainFree (domain);
  virConnectClose (other);
}

static void
test_unreachable_is_said_once (void)
{
  g_autoptr (Fixture) f = fixture_new ("qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro");

  g_assert_false (running_are (f, ""));
  fake_assert_logged (
      "cannot connect to libvirt at qemu+unix:///system?socket=* (*): until the connection succeeds, *");
  g_assert_false (running_are (f, ""));
  fake_assert_log_empty ();
  fake_write (f->k, "run/libvirt/libvirt-sock-ro", "");
  dispatch ();
  g_assert_cmpuint (f->changed, ==, 1);
}

static void
test_uri_that_is_none (void)
{
  g_autoptr (Fixture) f = fixture_new ("nonsense://");

  g_assert_false (running_are (f, ""));
  fake_assert_logged ("cannot connect to libvirt at nonsense:// (*): *");
}

/* While connected, the client ignores changes in the directory of the sockets. */
static void
test_no_watch_while_connected (void)
{
  g_autoptr (Fixture) f = fixture_new ("test:///default");

  g_assert_true (running_are (f, "test"));
  fake_assert_logged ("connected to libvirt, *");
  fake_write (f->k, "run/libvirt/libvirt-sock-ro", "");
  dispatch ();
  g_assert_cmpuint (f->changed, ==, 0);
}

static void
test_never_asked (void)
{
  g_autoptr (Fixture) f = fixture_new ("test:///default");

  g_assert_nonnull (f->client);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/libvirt-client/domains", test_domains);
  g_test_add_func ("/libvirt-client/events", test_events);
  g_test_add_func ("/libvirt-client/unreachable", test_unreachable_is_said_once);
  g_test_add_func ("/libvirt-client/uri-that-is-none", test_uri_that_is_none);
  g_test_add_func ("/libvirt-client/no-watch-while-connected", test_no_watch_while_connected);
  g_test_add_func ("/libvirt-client/never-asked", test_never_asked);
  return g_test_run ();
}
