/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of subprocess: a program's output, its messages, and programs that print too much, take too long or
 * fail. test-nodedev-hooks.c tests what scripts inherit from their caller.
 */
#include "subprocess.h"

#include <string.h>
#include <unistd.h>

#include "fake-kernel.h"

#define SECOND_MS 1000

/* @output: at most 3 bytes */
static gboolean
shell (const char *script, const char *const *environment, guint limit_ms, GString *output, GError **error)
{
  const char *const argv[] = {"sh", "-c", script, NULL};
  const VvSubprocess process = {.path = "/bin/sh",
                                .argv = argv,
                                .environment = environment,
                                .limit_ms = limit_ms,
                                .output = output,
                                .output_limit = 3};

  return vv_subprocess_run (&process, NULL, error);
}

static void
assert_output (const char *script, const char *expected)
{
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  gboolean done = shell (script, NULL, 60 * SECOND_MS, output, &error);

  g_assert_no_error (error);
  g_assert_true (done);
  g_assert_cmpstr (output->str, ==, expected);
}

static void
test_output (void)
{
  assert_output ("printf 'a\\nb'; echo c >&2; cat", "a\nb");
  assert_output ("exec >&-", "");
}

/* A background process keeps the output open: it is neither waited for nor killed. */
static void
test_background (void)
{
  gint64 begun = g_get_monotonic_time ();

  assert_output ("sleep 60 & echo x", "x\n");
  g_assert_cmpint (g_get_monotonic_time () - begun, <, 40 * G_USEC_PER_SEC);
}

static void
test_failures (void)
{
  static const struct {
    const char *script;
    const char *message;
  } cases[] = {
      {"echo a; exit 3", "exit status 3"},
      {"echo ' not ' >&2; echo ' why '; exit 3", "printed more than 3 bytes: not"},
      {"echo ' why ' >&2; echo ' not ' >&2; exit 3", "exit status 3: why ;  not"},
      {"kill -9 $$", "was killed by signal 9 (Killed)"},
      {"printf abcd", "printed more than 3 bytes"},
      {"yes >&2 & exec yes", "printed more than 3 bytes*"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) output = g_string_new (NULL);
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", cases[i].script);
    g_assert_false (shell (cases[i].script, NULL, 60 * SECOND_MS, output, &error));
    fake_assert_error (error, VV_ERROR_FAILED, cases[i].message);
    g_assert_cmpuint (output->len, <=, 3);
  }
}

static void
test_limit (void)
{
  static const char *const scripts[] = {"sleep 60", "exec >&- 2>&-; sleep 60"};

  for (gsize i = 0; i < G_N_ELEMENTS (scripts); i++) {
    g_autoptr (GString) output = g_string_new (NULL);
    g_autoptr (GError) error = NULL;
    gint64 begun = g_get_monotonic_time ();
    g_assert_false (shell (scripts[i], NULL, SECOND_MS, output, &error));
    fake_assert_error (error, VV_ERROR_FAILED, "did not end within 1000 ms and was killed*");
    g_assert_cmpint (g_get_monotonic_time () - begun, <, 40 * G_USEC_PER_SEC);
  }
}

/* Messages beyond the limit are dropped, but do not block the program. */
static void
test_many_messages (void)
{
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (
      shell ("head -c 200000 /dev/zero | tr '\\0' x >&2; exit 1", NULL, 60 * SECOND_MS, output, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "exit status 1: x*x [and more]");
  g_assert_cmpuint (strlen (error->message), <, VV_SUBPROCESS_MESSAGES_LIMIT + 100);
}

static void
test_environment (void)
{
  const char *const environment[] = {"VV=x", NULL};
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (shell ("echo $VV", environment, 60 * SECOND_MS, output, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (output->str, ==, "x\n");
}

/* With a terminal, a program could wait for a password. */
static void
test_session (void)
{
  assert_output ("test \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ && echo y", "y\n");
}

int
main (int argc, char **argv) /* GLib skips tests named /subprocess */
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/run/output", test_output);
  g_test_add_func ("/run/background", test_background);
  g_test_add_func ("/run/failures", test_failures);
  g_test_add_func ("/run/limit", test_limit);
  g_test_add_func ("/run/many-messages", test_many_messages);
  g_test_add_func ("/run/environment", test_environment);
  g_test_add_func ("/run/session", test_session);
  return g_test_run ();
}
