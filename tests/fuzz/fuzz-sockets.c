/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of the daemon's sockets. Status socket: whatever a client sends and however it disconnects, it
 * and the next client get the same answer. Service manager's socket: for any name and any message, the
 * message arrives complete or not at all.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "notify.h"
#include "status-socket.h"

#define ANSWER "{\"version\":\"1\"}"

static char *
answer (gpointer data)
{
  return g_strdup (data);
}

static int
connect_to (const VvHost *host)
{
  g_autofree char *path = g_build_filename (host->run_path, VV_DAEMON_SOCKET, NULL);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint (g_strlcpy (address.sun_path, path, sizeof address.sun_path), <, sizeof address.sun_path);
  g_assert_cmpint (connect (fd, (const void *)&address, sizeof address), ==, 0);
  return fd;
}

/* If the lowest bit of the first byte is set, the client disconnects at once. */
static void
play_client (const VvHost *host, const guint8 *data, gsize size)
{
  char text[128];
  int fd = connect_to (host);

  if (send (fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    g_assert_cmpint (errno, !=, EBADF);
  if (size && data[0] & 1) {
    close (fd);
    g_main_context_iteration (NULL, FALSE);
    return;
  }
  g_main_context_iteration (NULL, FALSE);
  ssize_t n = recv (fd, text, sizeof text - 1, MSG_DONTWAIT);
  g_assert_cmpint (n, >, 0);
  text[n] = '\0';
  g_assert_cmpstr (text, ==, ANSWER);
  close (fd);
}

/* Uses an abstract socket, as systemd does for user managers. The rest of the input is the message. */
static void
play_manager (const guint8 *data, gsize size)
{
  static int fd = -1;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  g_autofree char *said = g_strndup ((const char *)data, size);
  g_autofree char *name = g_strdup_printf ("@vfio-variant-fuzz-%d", (int)getpid ());
  char heard[8192 + 1];

  if (fd < 0) {
    fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy (address.sun_path + 1, name + 1, strlen (name + 1));
    socklen_t length = (socklen_t)(G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + strlen (name));
    g_assert_cmpint (bind (fd, (const void *)&address, length), ==, 0);
  }
  g_setenv ("NOTIFY_SOCKET", name, TRUE);
  vv_notify (said);
  ssize_t n = recv (fd, heard, sizeof heard - 1, MSG_DONTWAIT);
  g_assert_cmpint (n, ==, strlen (said));
  heard[n] = '\0';
  g_assert_cmpstr (heard, ==, said);
}

/* Any socket name; no process listens. */
static void
play_odd_name (const guint8 *data, gsize size)
{
  g_autofree char *name = g_strndup ((const char *)data, size);

  g_setenv ("NOTIFY_SOCKET", name, TRUE);
  vv_notify ("READY=1");
}

static GLogWriterOutput
be_quiet (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  (void)level;
  (void)fields;
  (void)n;
  (void)data;
  return G_LOG_WRITER_HANDLED;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static VvStatusSocket *status;
  const VvHost *host = fuzz_host ();

  if (!status) {
    g_log_set_writer_func (be_quiet, NULL, NULL);
    status = vv_status_socket_new (host, answer, (gpointer)ANSWER, NULL);
    g_assert_nonnull (status);
  }
  play_client (host, data, size);
  play_client (host, NULL, 0);
  play_manager (data, size);
  play_odd_name (data, size);
  return 0;
}
