/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ask.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "command.h"
#include "one-line.h"

#define ERROR_CHARACTERS 160 /* an error quotes what was sent */
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

static void
timed_out (GError **error, int timeout_ms)
{
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               _ ("vfio-variantd did not answer within %g s; 'journalctl -u vfio-variantd' may tell why"),
               timeout_ms / 1000.0);
}

/* Returns: a connected socket, or -1 with @error set */
static int
dial (const char *path, int timeout_ms, GError **error)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* of connect(2), for a place in the queue of a daemon that does not accept, and of read(2) */
  const struct timeval deadline = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  int fd = -1;
  int errnum = 0;

  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    errnum = ENAMETOOLONG;
  else if ((fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
           setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline) < 0 ||
           setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) < 0 ||
           connect (fd, (const struct sockaddr *)&address, sizeof address) < 0)
    errnum = errno;
  if (errnum == 0)
    return fd;
  if (fd >= 0)
    close (fd);
  if (errnum == EAGAIN)
    timed_out (error, timeout_ms);
  else
    set_connect_error (error, errnum, path);
  return -1;
}

/* Only root can have put this socket into root's directory (status-socket.h), so the answer is trusted. It is
 * cut off when the daemon ends while it answers, and differs when a daemon of another version still runs. */
static JsonObject *
parse (const GString *reply, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) syntax = NULL;
  gboolean parsed = json_parser_load_from_data (parser, reply->str, (gssize)reply->len, &syntax);
  JsonNode *root = parsed ? json_parser_get_root (parser) : NULL;
  JsonObject *status = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;

  if (!status || !vv_json_get_string (status, "version")) { /* which a daemon of any version reports */
    g_autofree char *what =
        vv_printable (syntax ? syntax->message : _ ("no version in it"), ERROR_CHARACTERS);
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("cannot read the status of vfio-variantd (%s); try again if it was just restarted, else "
                    "'systemctl restart vfio-variantd'"),
                 what);
    return NULL;
  }
  g_autofree char *version = vv_printable (vv_json_get_string (status, "version"), ERROR_CHARACTERS);
  if (g_strcmp0 (version, VV_VERSION) != 0)
    vv_warning (_ ("vfio-variantd is version %s, vfio-variant is version %s; 'systemctl restart "
                   "vfio-variantd' starts the installed one"),
                version, VV_VERSION);
  return json_object_ref (status);
}

JsonObject *
vv_ask_daemon (const VvHost *host, int timeout_ms, GError **error)
{
  g_autofree char *path = g_build_filename (host->run_path, VV_DAEMON_SOCKET, NULL);
  g_autoptr (GString) reply = g_string_new (NULL);
  int fd = dial (path, timeout_ms, error);
  char chunk[4096];
  ssize_t n;

  if (fd < 0)
    return NULL;
  while ((n = TEMP_FAILURE_RETRY (read (fd, chunk, sizeof chunk))) > 0)
    g_string_append_len (reply, chunk, n);
  int errnum = errno;
  close (fd);
  if (n == 0)
    return parse (reply, error);
  if (errnum == EAGAIN)
    timed_out (error, timeout_ms);
  else
    vv_set_errno (error, errnum, "the answer of vfio-variantd");
  return NULL;
}
