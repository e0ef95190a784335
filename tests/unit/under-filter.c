/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * under-filter [--also CALL]... UNIT PROGRAM [ARGUMENT...]: runs a program under the system call filter of a
 * systemd unit, without systemd: the SystemCallFilter= lines of UNIT, as systemd.exec(5) describes them,
 * expanded by "systemd-analyze syscall-filter". CALL is a call that only the test itself needs.
 *
 * Unlike in the unit, a forbidden call kills the process by SIGSYS: the test fails instead of handling the
 * error. Without systemd-analyze, exits with 77, which skips the test.
 */
#include <errno.h>
#include <glib.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_SKIP 77
#define MOST_NESTING 8

static void G_GNUC_NORETURN G_GNUC_PRINTF (1, 2) die (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_printerr ("under-filter: %s\n", text);
  exit (EXIT_FAILURE);
}

/* --- systemd's sets --- */

/* Returns: (transfer full): systemd-analyze's description of a set: one line per call or set in it */
static char *
list_set (const char *set)
{
  const char *const argv[] = {"systemd-analyze", "syscall-filter", set, NULL};
  g_autoptr (GError) error = NULL;
  char *text = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                     &text, NULL, &status, &error)) {
    g_printerr ("under-filter: %s\n", error->message);
    exit (EXIT_SKIP);
  }
  if (!g_str_has_prefix (text, set))
    die ("systemd-analyze knows no set %s", set);
  return text;
}

/* Adds @word, a call or a set of calls, to @calls, or removes it. As in systemd, names that this architecture
 * lacks are ignored. */
static void
apply (GHashTable *calls, const char *word, gboolean allow, int nesting)
{
  if (*word != '@') {
    int number = seccomp_syscall_resolve_name (word);
    if (number == __NR_SCMP_ERROR)
      return; /* unknown to this libseccomp or architecture: as in systemd, ignored */
    if (allow)
      g_hash_table_add (calls, GINT_TO_POINTER (number));
    else
      g_hash_table_remove (calls, GINT_TO_POINTER (number));
    return;
  }
  if (nesting > MOST_NESTING)
    die ("%s: sets without end", word);
  g_autofree char *text = list_set (word);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines + 1; *line; line++) {
    const char *member = g_strstrip (*line);
    if (*member && *member != '#')
      apply (calls, member, allow, nesting + 1);
  }
}

/* --- unit file --- */

/* "A=b \" continues in the next line. Returns: (transfer full): the values of the SystemCallFilter= lines */
static GPtrArray *
filter_lines (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GRegex) goes_on = g_regex_new ("\\\\\n", 0, 0, NULL);
  g_autofree char *text = NULL;
  GPtrArray *values = g_ptr_array_new_with_free_func (g_free);

  if (!g_file_get_contents (path, &text, NULL, &error))
    die ("%s", error->message);
  g_autofree char *joined = g_regex_replace_literal (goes_on, text, -1, 0, " ", 0, NULL);
  g_auto (GStrv) lines = g_strsplit (joined, "\n", -1);
  for (char **line = lines; *line; line++)
    if (g_str_has_prefix (*line, "SystemCallFilter="))
      g_ptr_array_add (values, g_strdup (*line + strlen ("SystemCallFilter=")));
  return values;
}

/* The first line decides whether it is an allow list or a deny list. Only allow lists are supported. */
static GHashTable *
allowed_calls (const char *path)
{
  g_autoptr (GPtrArray) values = filter_lines (path);
  GHashTable *calls = g_hash_table_new (NULL, NULL);

  if (!values->len || *(char *)values->pdata[0] == '~')
    die ("%s: it has no SystemCallFilter= that begins with what is allowed", path);
  apply (calls, "@default", TRUE, 0); /* always: systemd.exec(5) */
  for (guint i = 0; i < values->len; i++) {
    const char *value = values->pdata[i];
    gboolean allow = *value != '~';
    g_auto (GStrv) words = g_strsplit_set (allow ? value : value + 1, " \t", -1);
    for (char **word = words; *word; word++)
      if (**word)
        apply (calls, *word, allow, 0);
  }
  return calls;
}

/* Allows only the native architecture: calls of other architectures kill the process as well. */
static void
install (GHashTable *calls)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
  GHashTableIter iter;
  gpointer number;

  if (!filter)
    die ("libseccomp: no filter");
  g_hash_table_iter_init (&iter, calls);
  while (g_hash_table_iter_next (&iter, &number, NULL)) {
    int r = seccomp_rule_add (filter, SCMP_ACT_ALLOW, GPOINTER_TO_INT (number), 0);
    if (r < 0 && r != -EDOM) /* a call of another architecture */
      die ("libseccomp: call %d: %s", GPOINTER_TO_INT (number), g_strerror (-r));
  }
  seccomp_attr_set (filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int r = seccomp_load (filter);
  if (r < 0)
    die ("the filter cannot be installed: %s", g_strerror (-r));
  seccomp_release (filter);
}

int
main (int argc, char **argv)
{
  int at = 1;

  while (at + 1 < argc && strcmp (argv[at], "--also") == 0)
    at += 2;
  if (argc < at + 2)
    die ("usage: under-filter [--also CALL]... UNIT PROGRAM [ARGUMENT...]");
  g_autoptr (GHashTable) calls = allowed_calls (argv[at]);
  for (int i = 1; i < at; i += 2)
    apply (calls, argv[i + 1], TRUE, 0);
  install (calls);
  execvp (argv[at + 1], argv + at + 1);
  die ("%s: %s", argv[at + 1], g_strerror (errno));
}
