/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "io.h"

void
vv_notify (const char *state)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  gsize length = path ? strlen (path) : 0;

  if (!length || length >= sizeof address.sun_path || (*path != '/' && *path != '@'))
    return;
  memcpy (address.sun_path, path, length);
  if (*path == '@') /* an abstract address, unix(7) */
    *address.sun_path = '\0';
  g_auto (VvFd) fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || sendto (fd, state, strlen (state), MSG_NOSIGNAL, (const void *)&address,
                        offsetof (struct sockaddr_un, sun_path) + length) < 0)
    g_warning ("cannot notify the service manager: %s", g_strerror (errno));
}
