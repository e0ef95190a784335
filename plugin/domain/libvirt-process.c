/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE "hook-caller"
#define PROC_STAT_LIMIT (4 * 1024 * 1024) /* a number for each interrupt, a line for each CPU */

void
vv_libvirt_process_free (VvLibvirtProcess *process)
{
  if (!process)
    return;
  g_free (process->name);
  g_free (process);
}

/* Parses "PID (NAME) STATE ...", where field 22 is the start time (proc(5)). The name may contain spaces and
 * parentheses. Returns: (nullable): the name, if it is that of a libvirt daemon */
static char *
read_stat (const VvHost *host, const char *pid, guint64 *start)
{
  g_autofree char *path = g_build_filename (pid, "stat", NULL);
  g_autofree char *text = host->proc ? vv_io_attribute (host->proc, path) : NULL;
  char *begin = text ? strchr (text, '(') : NULL, *end = begin ? strrchr (begin, ')') : NULL;

  if (!end)
    return NULL;
  *end = '\0';
  if (strcmp (begin + 1, "libvirtd") != 0 && strcmp (begin + 1, "virtqemud") != 0)
    return NULL;
  g_auto (GStrv) fields = g_strsplit (g_strchug (end + 1), " ", -1); /* from field 3 on */
  if (g_strv_length (fields) < 20 ||
      !g_ascii_string_to_unsigned (fields[19], 10, 0, G_MAXUINT64, start, NULL))
    return NULL;
  return g_strdup (begin + 1);
}

/* Users run their own libvirt (qemu:///session), and can give any program this name. */
static gboolean
is_roots (const VvHost *host, const char *pid)
{
  struct stat st;

  return fstatat (host->proc->fd, pid, &st, 0) == 0 &&
         (st.st_uid == 0 || (host->sysroot && st.st_uid == geteuid ()));
}

gboolean
vv_is_libvirt (const VvHost *host, pid_t pid)
{
  char number[16];
  guint64 start;

  snprintf (number, sizeof number, "%d", (int)pid);
  g_autofree char *name = host->proc && is_roots (host, number) ? read_stat (host, number, &start) : NULL;
  return name != NULL;
}

/* Returns: microseconds since the epoch; 0: unknown. Ignores values with more than 32 bits of seconds. */
static gint64
moment_of (const VvHost *host, guint64 ticks)
{
  g_autofree char *text = vv_io_read (host->proc, "stat", PROC_STAT_LIMIT, NULL);
  const char *line = text ? strstr (text, "\nbtime ") : NULL; /* boot time, seconds since the epoch */
  guint64 boot = line ? g_ascii_strtoull (line + strlen ("\nbtime "), NULL, 10) : 0;
  long per_second = sysconf (_SC_CLK_TCK);

  if (!boot || boot > G_MAXUINT32 || per_second <= 0 || ticks / (guint64)per_second > G_MAXUINT32)
    return 0;
  return (gint64)boot * G_USEC_PER_SEC + (gint64)((double)ticks / (double)per_second * G_USEC_PER_SEC);
}

VvLibvirtProcess *
vv_libvirt_process_find (const VvHost *host)
{
  g_autoptr (GPtrArray) pids = host->proc ? vv_io_list (host->proc, ".") : NULL;
  g_autoptr (VvLibvirtProcess) found = NULL;

  for (guint i = 0; pids && i < pids->len; i++) {
    guint64 start = 0;
    guint64 pid;
    if (!g_ascii_string_to_unsigned (pids->pdata[i], 10, 1, G_MAXINT, &pid, NULL) ||
        (found && (pid_t)pid > found->pid) || !is_roots (host, pids->pdata[i]))
      continue;
    char *name = read_stat (host, pids->pdata[i], &start);
    if (!name)
      continue;
    vv_libvirt_process_free (found);
    found = g_new0 (VvLibvirtProcess, 1);
    *found = (VvLibvirtProcess){.pid = (pid_t)pid, .name = name, .start = start};
  }
  if (!found)
    return NULL;
  found->started = moment_of (host, found->start);
  found->version = vv_libvirt_version_of (host, found->pid);
  return g_steal_pointer (&found);
}

/* --- the hook's note --- */

static char *
note_text (pid_t pid, guint64 start)
{
  return g_strdup_printf ("%d %" G_GUINT64_FORMAT "\n", (int)pid, start);
}

/* vv_state_store_read() strips the white space at the end. */
static gboolean
note_is (const VvStateStore *store, const char *text)
{
  g_autofree char *noted = vv_state_store_read (store, NOTE);

  return noted && strlen (noted) + 1 == strlen (text) && g_str_has_prefix (text, noted);
}

/* Returns NULL if @pid is not a libvirt daemon. */
static char *
note_of (const VvHost *host, pid_t pid)
{
  char number[16];
  guint64 start = 0;

  snprintf (number, sizeof number, "%d", (int)pid);
  g_autofree char *name = read_stat (host, number, &start);
  return name ? note_text (pid, start) : NULL;
}

gboolean
vv_hook_caller_is_recorded (const VvHost *host, pid_t pid)
{
  g_autofree char *text = note_of (host, pid);
  g_autoptr (VvStateStore) store = text ? vv_state_store_open (host, FALSE, NULL) : NULL;

  return !text || (store && note_is (store, text));
}

void
vv_hook_note_caller (const VvHost *host, pid_t pid)
{
  g_autofree char *text = note_of (host, pid);
  g_autoptr (VvStateStore) store = text ? vv_state_store_open (host, TRUE, NULL) : NULL;

  if (store)
    vv_state_store_write (store, NOTE, text, NULL);
}

gboolean
vv_hook_was_run_by (const VvStateStore *store, const VvLibvirtProcess *process)
{
  g_autofree char *text = note_text (process->pid, process->start);

  return note_is (store, text);
}
