/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status-socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8

struct VvStatusSocket {
  int fd;
  guint source;
  char *path;
  VvStatusFunc func;
  gpointer data;
};

/* A text of some kilobytes fits into a socket's buffer; who does not read it gets what does. */
static gboolean
connected (int fd, GIOCondition condition, gpointer data)
{
  VvStatusSocket *s = data;
  int client = accept4 (fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  (void)condition;
  if (client < 0)
    return G_SOURCE_CONTINUE;
  g_autoptr (GKeyFile) file = s->func (s->data);
  gsize length;
  g_autofree char *text = g_key_file_to_data (file, &length, NULL);
  if (send (client, text, length, MSG_NOSIGNAL) < 0)
    g_debug ("status: %s", g_strerror (errno));
  close (client);
  return G_SOURCE_CONTINUE;
}

/* A socket that nobody answers at was left by a daemon that was killed. One whose queue is full (EAGAIN) has
 * somebody, who may be stopped: that is not waited for. */
static gboolean
take_place (int fd, const struct sockaddr_un *address, GError **error)
{
  int other = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  gboolean answered =
      other >= 0 && (connect (other, (const void *)address, sizeof *address) == 0 || errno == EAGAIN);

  if (other >= 0)
    close (other);
  if (answered) {
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s: another vfio-variantd is running",
                 address->sun_path);
    return FALSE;
  }
  unlink (address->sun_path);
  mode_t mask = umask (0177);
  int r = bind (fd, (const void *)address, sizeof *address);
  umask (mask);
  if (r < 0 || listen (fd, BACKLOG) < 0)
    return vv_set_errno (error, errno, "%s: listen", address->sun_path);
  return TRUE;
}

VvStatusSocket *
vv_status_socket_new (const VvHost *host, VvStatusFunc func, gpointer data, GError **error)
{
  g_autofree char *path = g_build_filename (host->run_path, VV_DAEMON_SOCKET, NULL);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0 || g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
    vv_set_errno (error, fd < 0 ? errno : ENAMETOOLONG, "%s: socket", path);
    if (fd >= 0)
      close (fd);
    return NULL;
  }
  if (!take_place (fd, &address, error)) {
    close (fd);
    return NULL;
  }
  VvStatusSocket *s = g_new0 (VvStatusSocket, 1);
  s->fd = fd;
  s->path = g_steal_pointer (&path);
  s->func = func;
  s->data = data;
  s->source = g_unix_fd_add (fd, G_IO_IN, connected, s);
  return s;
}

void
vv_status_socket_free (VvStatusSocket *s)
{
  if (!s)
    return;
  g_source_remove (s->source);
  close (s->fd);
  unlink (s->path);
  g_free (s->path);
  g_free (s);
}
