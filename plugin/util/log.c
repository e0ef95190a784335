/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <string.h>
#include <syslog.h>
#include <unistd.h>

static pid_t program; /* the process that called vv_log_to_system(), not a process that it forked */

static int
syslog_priority (GLogLevelFlags level)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return LOG_ERR;
  if (level & G_LOG_LEVEL_WARNING)
    return LOG_WARNING;
  return level & G_LOG_LEVEL_MESSAGE ? LOG_NOTICE : LOG_DEBUG;
}

/* journald looks up the unit of the sender when it reads the record. A worker of the daemon may have exited
 * by then, and its record would belong to no unit. OBJECT_PID names the daemon, so that journald adds the
 * daemon's unit as OBJECT_SYSTEMD_UNIT, which "journalctl -u" matches (systemd.journal-fields(7)). */
static GLogWriterOutput
write_to_journald (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  if (getpid () == program)
    return g_log_writer_journald (level, fields, n, data);
  g_autofree GLogField *more = g_new (GLogField, n + 1);
  g_autofree char *number = g_strdup_printf ("%d", (int)program);
  memcpy (more, fields, n * sizeof *more);
  more[n] = (GLogField){"OBJECT_PID", number, -1};
  return g_log_writer_journald (level, more, n + 1, data);
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  gboolean detail = level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO);
  const char *message = NULL;

  if (detail && !g_getenv ("G_MESSAGES_DEBUG"))
    return G_LOG_WRITER_HANDLED;
  if (write_to_journald (level, fields, n, data) == G_LOG_WRITER_HANDLED)
    return G_LOG_WRITER_HANDLED;
  if (access ("/dev/log", W_OK) != 0)
    return g_log_writer_standard_streams (level, fields, n, data);
  for (gsize i = 0; i < n && !message; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      message = fields[i].value;
  syslog (LOG_DAEMON | syslog_priority (level), "%s", message ? message : "");
  return G_LOG_WRITER_HANDLED;
}

void
vv_log_to_system (void)
{
  program = getpid ();
  openlog ("vfio-variant", LOG_PID, LOG_DAEMON);
  g_log_set_writer_func (write_log, NULL, NULL);
}
