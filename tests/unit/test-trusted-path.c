/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of trusted-path: paths to a file below a fake host, with links, and the users who can change them.
 */
#include "trusted-path.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

#define NOBODY 65534

static void
set_mode (const Fixture *f, const char *path, mode_t mode)
{
  g_autofree char *full = g_build_filename (f->k->root, path, NULL);

  g_assert_cmpint (chmod (full, mode), ==, 0);
}

/* @fault: (nullable): a pattern; NULL: the path is trusted */
static void
assert_fault (const Fixture *f, const char *path, const char *fault)
{
  g_autofree char *full = g_build_filename (f->k->root, path, NULL);
  g_autofree char *found = vv_trusted_path_fault (f->host, full);

  g_test_message ("%s: %s", path, found ? found : "none");
  if (fault)
    g_assert_true (found && g_pattern_match_simple (fault, found));
  else
    g_assert_null (found);
}

static Fixture *
links_fixture (void)
{
  Fixture *f = host_fixture_new ();

  fake_write (f->k, "a/b/c/file", "x\n");
  fake_mkdir (f->k, "links");
  fake_link (f->k, "links/directory", "../a/./b/x/..//");
  fake_mkdir (f->k, "a/b/x");
  fake_link (f->k, "links/file", "directory/c/file");
  return f;
}

static void
test_links (void)
{
  static const char *const ways[] = {"a", "a/b", "a/b/c", "a/b/c/file", "a/b/x", "links"};
  g_autoptr (Fixture) f = links_fixture ();

  assert_fault (f, "links/file", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++) {
    g_autofree char *pattern = g_strdup_printf ("*/%s is writable by*: chmod go-w */%s", ways[i], ways[i]);
    set_mode (f, ways[i], 0775);
    assert_fault (f, "links/file", pattern);
    set_mode (f, ways[i], 0755);
  }
  assert_fault (f, "links/file", NULL);
}

static void
test_link_of_others (void)
{
  static const char *const ways[] = {"links/file", "links/directory", "a/b", "a/b/c/file"};
  g_autoptr (Fixture) f = links_fixture ();

  if (geteuid () != 0) {
    g_test_skip ("needs root");
    return;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++) {
    g_autofree char *full = g_build_filename (f->k->root, ways[i], NULL);
    g_autofree char *pattern = g_strdup_printf ("*/%s belongs to user 65534 and not to root*", ways[i]);
    g_assert_cmpint (lchown (full, NOBODY, NOBODY), ==, 0);
    assert_fault (f, "links/file", pattern);
    g_assert_cmpint (lchown (full, 0, 0), ==, 0);
  }
  assert_fault (f, "links/file", NULL);
}

/* A sticky directory is trusted if its entry on the path is root's: other users cannot replace it. */
static void
test_sticky (void)
{
  g_autoptr (Fixture) f = links_fixture ();

  set_mode (f, "a", 01777);
  set_mode (f, "a/b", 01777);
  set_mode (f, "a/b/x", 01777);
  assert_fault (f, "links/file", NULL);
  assert_fault (f, "a/b/x", "*/a/b is writable*");
  assert_fault (f, "a/b/x/.", "*/a/b/x is writable*");
  set_mode (f, "a/b/c", 01777);
  assert_fault (f, "links/file", "*/a/b/c is writable*");
  set_mode (f, "a/b/c", 0755);
  set_mode (f, "links", 01777);
  assert_fault (f, "links/file", "*/links is writable*");
  assert_fault (f, "links/directory/c/file", NULL);
}

/* Directories above the sysroot are not checked. The target of a link that leads out of it is. */
static void
test_sysroot (void)
{
  g_autoptr (Fixture) f = host_fixture_new ();
  g_autofree char *inner = g_build_filename (f->k->root, "inner", NULL);
  g_autofree char *outer = g_build_filename (f->k->root, "outer/file", NULL);

  fake_write (f->k, "inner/file", "x\n");
  fake_write (f->k, "outer/file", "x\n");
  fake_link (f->k, "inner/link", outer);
  set_mode (f, "", 0777);
  g_free (f->host->sysroot);
  f->host->sysroot = g_steal_pointer (&inner);
  assert_fault (f, "inner/file", NULL);
  assert_fault (f, "inner/link", NULL);
  set_mode (f, "outer", 0777);
  assert_fault (f, "inner/link", "*/outer is writable*");
  set_mode (f, "inner", 0777);
  assert_fault (f, "inner/file", "*/inner is writable*");
}

static void
test_leads_nowhere (void)
{
  g_autoptr (Fixture) f = links_fixture ();

  fake_link (f->k, "links/loop", "loop");
  fake_link (f->k, "links/dangling", "nothing");
  assert_fault (f, "links/loop", "too many symbolic links");
  assert_fault (f, "links/dangling", "*/links/nothing: No such file or directory");
  assert_fault (f, "links/file/x", "*/a/b/c/file/x: Not a directory");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/trusted-path/links", test_links);
  g_test_add_func ("/trusted-path/link-of-others", test_link_of_others);
  g_test_add_func ("/trusted-path/sticky", test_sticky);
  g_test_add_func ("/trusted-path/sysroot", test_sysroot);
  g_test_add_func ("/trusted-path/leads-nowhere", test_leads_nowhere);
  return g_test_run ();
}
