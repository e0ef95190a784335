/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ask.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_LIMIT (256 * 1024)
#define NOT_RUNNING                                                                                          \
  N_ ("vfio-variantd is not running: hot plug gets what libvirt itself chooses; 'systemctl start "           \
      "vfio-variantd' starts it")

static void
set_connect_error (GError **error, int errnum, const char *path)
{
  switch (errnum) {
  case ENOENT:
  case ECONNREFUSED: /* the socket of one that is gone */
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND, "%s", _ (NOT_RUNNING));
    break;
  case EACCES:
  case EPERM:
    vv_set_errno (error, errnum, _ ("asking vfio-variantd needs root: %s"), path);
    break;
  default:
    vv_set_errno (error, errnum, "%s: connect", path);
  }
}

static gboolean
timed_out (GError **error, int patience_ms)
{
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               _ ("vfio-variantd did not answer within %g s; 'journalctl -u vfio-variantd' may tell why"),
               patience_ms / 1000.0);
  return FALSE;
}

/* Returns: a connected socket, or -1 with @error set */
static int
dial (const char *path, int patience_ms, GError **error)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* bounds the wait of connect(2) for a place in the queue of a daemon that does not accept */
  const struct timeval patience = {patience_ms / 1000, patience_ms % 1000 * 1000};
  int fd = -1;
  int errnum = 0;

  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    errnum = ENAMETOOLONG;
  else if ((fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
           setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
           connect (fd, (const struct sockaddr *)&address, sizeof address) < 0)
    errnum = errno;
  if (errnum == 0)
    return fd;
  if (fd >= 0)
    close (fd);
  if (errnum == EAGAIN)
    timed_out (error, patience_ms);
  else
    set_connect_error (error, errnum, path);
  return -1;
}

/* Returns: whether there is something to read before @deadline, on the monotonic clock */
static gboolean
wait_for_more (int fd, gint64 deadline)
{
  struct pollfd it = {.fd = fd, .events = POLLIN};

  for (;;) {
    gint64 left_ms = (deadline - g_get_monotonic_time ()) / 1000;
    int n = left_ms > 0 ? poll (&it, 1, (int)left_ms) : 0;
    if (n >= 0 || errno != EINTR)
      return n > 0;
  }
}

static gboolean
read_to_end (int fd, int patience_ms, gint64 deadline, GString *reply, GError **error)
{
  char chunk[4096];

  for (;;) {
    if (!wait_for_more (fd, deadline))
      return timed_out (error, patience_ms);
    gssize n = recv (fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n == 0)
      return TRUE;
    if (n < 0 && errno != EINTR && errno != EAGAIN)
      return vv_set_errno (error, errno, "the answer of vfio-variantd");
    if (n > 0)
      g_string_append_len (reply, chunk, n);
    if (reply->len > REPLY_LIMIT) {
      g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                   _ ("the answer of vfio-variantd is longer than %d bytes"), REPLY_LIMIT);
      return FALSE;
    }
  }
}

VvReport *
vv_ask_daemon (const VvHost *host, int patience_ms, GError **error)
{
  g_autofree char *path = g_build_filename (host->run_path, VV_DAEMON_SOCKET, NULL);
  g_autoptr (GString) reply = g_string_new (NULL);
  gint64 deadline = g_get_monotonic_time () + patience_ms * G_GINT64_CONSTANT (1000);
  int fd = dial (path, patience_ms, error);

  if (fd < 0)
    return NULL;
  gboolean whole = read_to_end (fd, patience_ms, deadline, reply, error);
  close (fd);
  return whole ? vv_report_parse (reply->str, reply->len, error) : NULL;
}
