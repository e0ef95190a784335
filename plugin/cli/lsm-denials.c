/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lsm-denials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_LOG "/dev/kmsg"
#define AUDIT_LOG "/var/log/audit/audit.log"
#define READ_LIMIT                                                                                           \
  (4 * 1024 * 1024)       /* the kernel's log has 128 KiB to some MiB; of auditd's the end will do */
#define RECORD_LIMIT 8192 /* the longest record of /dev/kmsg (CONSOLE_EXT_LOG_MAX, printk) */

/* @file, @line: what it is about, and since when by audit's timer */
typedef struct {
  double time;
  char *line;
} Newest;

/* --- one line --- */

static gboolean
is_about_us (const char *line)
{
  static const char *const words[] = {"vfio", "modules.alias", "libvirt/hooks", "driver_override",
                                      "drivers_probe"};

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (strstr (line, words[i]))
      return TRUE;
  return FALSE;
}

/* "audit(1364481363.243:24287)"; a line without is older than all */
static double
time_of (const char *line)
{
  const char *stamp = strstr (line, "audit(");

  return stamp ? g_ascii_strtod (stamp + strlen ("audit("), NULL) : 0;
}

static void
judge (Newest *newest, const char *line)
{
  gboolean selinux = strstr (line, "avc:") && strstr (line, "denied") && !strstr (line, "permissive=1");

  if ((!selinux && !strstr (line, "apparmor=\"DENIED\"")) || !is_about_us (line) ||
      (newest->line && time_of (line) < newest->time))
    return;
  /* libvirt looks who its client is, the monitor among them, for which its AppArmor profile has no rule, and
   * does without (virProcessGetStartTime). */
  if (strstr (line, "operation=\"ptrace\"") && strstr (line, "profile=\"libvirtd\"") &&
      strstr (line, "peer=\"vfio-variantd\""))
    return;
  /* A record of /dev/kmsg is "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;MESSAGE"
   * (Documentation/ABI/testing/dev-kmsg) */
  const char *semicolon = g_ascii_isdigit (*line) ? strchr (line, ';') : NULL;
  g_free (newest->line);
  newest->time = time_of (line);
  newest->line = g_strdup (semicolon ? semicolon + 1 : line);
}

/* --- one log --- */

/* At most READ_LIMIT bytes: of a file its end; of /dev/kmsg, where each read gives a record, what it has. */
static GString *
read_log (int fd)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char record[RECORD_LIMIT];
  struct stat st;

  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_size > READ_LIMIT)
    lseek (fd, -READ_LIMIT, SEEK_END);
  while (text->len < READ_LIMIT) {
    gssize n = read (fd, record, sizeof record);
    if (n < 0 && (errno == EINTR || errno == EPIPE)) /* EPIPE: records were overwritten meanwhile */
      continue;
    if (n <= 0)
      break;
    g_string_append_len (text, record, n);
  }
  return g_steal_pointer (&text);
}

static void
look_into (const VvHost *host, const char *log, Newest *newest, char **unreadable)
{
  g_autofree char *path = vv_host_path (host, log);
  int fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

  if (fd < 0) {
    if ((errno == EACCES || errno == EPERM) && !*unreadable)
      *unreadable = g_steal_pointer (&path);
    return;
  }
  g_autoptr (GString) text = read_log (fd);
  close (fd);
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (char **line = lines; *line; line++)
    judge (newest, *line);
}

char *
vv_denials_newest (const VvHost *host, char **unreadable)
{
  Newest newest = {0};

  *unreadable = NULL;
  look_into (host, KERNEL_LOG, &newest, unreadable);
  look_into (host, AUDIT_LOG, &newest, unreadable);
  return newest.line;
}
