/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8
#define LOCK "vfio-variantd.lock"

struct VvStatusSocket {
  VvFd lock;
  VvFd fd;
  guint source;
  char *path;
  VvStatusFunc func;
  gpointer data;
};

/* A status of some kilobytes fits into a socket's buffer. A client that does not read gets the part that
 * fits. */
static gboolean
connected (int fd, GIOCondition condition, gpointer data)
{
  VvStatusSocket *s = data;
  g_auto (VvFd) client = accept4 (fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  (void)condition;
  if (client < 0)
    return G_SOURCE_CONTINUE;
  g_autofree char *text = s->func (s->data);
  if (send (client, text, strlen (text), MSG_NOSIGNAL) < 0)
    g_debug ("status: %s", g_strerror (errno));
  return G_SOURCE_CONTINUE;
}

/* Takes a record lock. A child does not inherit it by fork(2). Only the daemon has it, whatever its children
 * do and however long the kernel keeps them. The kernel releases the lock when the daemon ends or closes the
 * file. */
static int
take_lock (const char *path, GError **error)
{
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  g_auto (VvFd) fd = open (path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd >= 0 && fcntl (fd, F_SETLK, &whole) == 0)
    return vv_fd_steal (&fd);
  if (fd >= 0 && (errno == EACCES || errno == EAGAIN))
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s: another vfio-variantd is running", path);
  else
    vv_set_errno (error, errno, "%s: lock", path);
  return -1;
}

/* A daemon that was killed may have left its socket. */
static int
listen_at (const char *path, GError **error)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};

  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
    vv_set_errno (error, ENAMETOOLONG, "%s: socket", path);
    return -1;
  }
  g_auto (VvFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink (path);
  mode_t mask = umask (0177);
  gboolean bound = fd >= 0 && bind (fd, (const void *)&address, sizeof address) == 0;
  umask (mask);
  if (bound && listen (fd, BACKLOG) == 0)
    return vv_fd_steal (&fd);
  vv_set_errno (error, errno, "%s: listen", path);
  return -1;
}

VvStatusSocket *
vv_status_socket_new (const VvHost *host, VvStatusFunc func, gpointer data, GError **error)
{
  g_autofree char *path = g_build_filename (host->run_path, VV_DAEMON_SOCKET, NULL);
  g_autofree char *lock_path = g_build_filename (host->run_path, LOCK, NULL);
  g_auto (VvFd) lock = take_lock (lock_path, error);
  int fd = lock >= 0 ? listen_at (path, error) : -1;

  if (fd < 0)
    return NULL;
  VvStatusSocket *s = g_new0 (VvStatusSocket, 1);
  s->lock = vv_fd_steal (&lock);
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
  vv_fd_close (&s->fd);
  unlink (s->path);
  vv_fd_close (&s->lock); /* last: from now on another daemon can start */
  g_free (s->path);
  g_free (s);
}
