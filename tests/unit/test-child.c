/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * child: another program's output, and what happens when it prints too much, takes too long, or fails.
 */
#include "child.h"

#include <string.h>

#include "fake-kernel.h"

#define SECOND_MS 1000

static GString *
shell (const char *script, gsize limit, guint limit_ms, GError **error)
{
  const char *const argv[] = {"sh", "-c", script, NULL};

  return vv_child_run (argv, limit, limit_ms, error);
}

static void
test_output (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = shell ("printf 'a\\nb'; echo c >&2; cat", 3, 60 * SECOND_MS, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (text->str, ==, "a\nb");
}

static void
test_failures (void)
{
  static const struct {
    const char *script;
    const char *message;
  } cases[] = {
      {"echo a; exit 3", "sh: exit status 3"},
      {"echo ' why ' >&2; exit 3", "sh: exit status 3: why"},
      {"kill -9 $$", "sh: signal 9"},
      {"printf abcd", "sh: printed too much"},
      {"yes >&2 & exec yes", "sh: printed too much*"},
      {"sleep 60", "sh: did not end in time"},
      {"exec >&- 2>&-; sleep 60", "sh: did not end in time"},
      {"sleep 60 & echo x", "sh: did not end in time"}, /* what it leaves behind has its output */
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    gint64 begun = g_get_monotonic_time ();
    g_autoptr (GString) text = shell (cases[i].script, 3, SECOND_MS, &error);
    g_test_message ("%s", cases[i].script);
    g_assert_null (text);
    fake_assert_error (error, VV_ERROR_FAILED, cases[i].message);
    g_assert_cmpint (g_get_monotonic_time () - begun, <, 20 * G_USEC_PER_SEC);
  }
}

/* Past the limit nothing of its words is kept, and it can still say all it wants. */
static void
test_many_errors (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text =
      shell ("head -c 200000 /dev/zero | tr '\\0' x >&2; exit 1", 3, 60 * SECOND_MS, &error);

  g_assert_null (text);
  fake_assert_error (error, VV_ERROR_FAILED, "sh: exit status 1: x*");
  g_assert_cmpuint (strlen (error->message), <, VV_CHILD_ERRORS_LIMIT + 100);
}

static void
test_no_such_program (void)
{
  const char *const argv[] = {"vfio-variant-no-such-program", NULL};
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = vv_child_run (argv, 3, SECOND_MS, &error);

  g_assert_null (text);
  fake_assert_error (error, VV_ERROR_NOT_FOUND, "vfio-variant-no-such-program: *");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/child/output", test_output);
  g_test_add_func ("/child/failures", test_failures);
  g_test_add_func ("/child/many-errors", test_many_errors);
  g_test_add_func ("/child/no-such-program", test_no_such_program);
  return g_test_run ();
}
