/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trusted-path.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_LIMIT 40 /* the kernel's limit: MAXSYMLINKS, include/linux/namei.h */

/* Returns: whether the directory @path contains @root, at any depth; both without links */
static gboolean
is_above (const char *path, const char *root)
{
  gsize length = strcmp (path, "/") == 0 ? 0 : strlen (path);

  return strncmp (root, path, length) == 0 && root[length] == '/' && root[length + 1];
}

/* @path: without links in its directories */
static char *
fault_of (const VvHost *host, const char *path, const struct stat *st, gboolean sticky_will_do)
{
  if (st->st_uid != 0 && (!host->sysroot || st->st_uid != geteuid ()))
    return g_strdup_printf (
        S_ISLNK (st->st_mode)
            ? _ ("symbolic link %s belongs to user %u and not to root; if it is yours: chown -h root %s")
            : _ ("%s belongs to user %u and not to root; if its contents are yours: chown root %s"),
        path, st->st_uid, path);
  if (S_ISLNK (st->st_mode) || !(st->st_mode & 022) || (sticky_will_do && (st->st_mode & S_ISVTX)))
    return NULL;
  return g_strdup_printf (
      _ ("%s is writable by its group or others; if its contents are yours: chmod go-w %s"), path, path);
}

/* Prepends the target of the link to @rest. Returns: (nullable): the error */
static char *
follow (const char *link, GString *rest)
{
  g_autofree char *target = g_file_read_link (link, NULL);

  if (!target)
    return g_strdup_printf ("%s: %s", link, g_strerror (errno));
  g_string_prepend (rest, rest->len ? "/" : "");
  g_string_prepend (rest, target);
  return NULL;
}

char *
vv_trusted_path_fault (const VvHost *host, const char *path)
{
  g_autofree char *root = host->sysroot ? realpath (host->sysroot, NULL) : NULL;
  g_autofree char *at = g_strdup ("/"); /* without links */
  g_autoptr (GString) rest = g_string_new (path);
  char *fault = NULL;

  for (guint links = 0; !fault && rest->len;) {
    gsize length = *rest->str == '/' ? 1 : strcspn (rest->str, "/"); /* "/": restart at the root */
    g_autofree char *name = g_strndup (rest->str, length);
    g_string_erase (rest, 0, (gssize)(length + strspn (rest->str + length, "/")));
    g_autofree char *next = g_canonicalize_filename (name, at);
    struct stat st;
    if (lstat (next, &st) < 0)
      return g_strdup_printf ("%s: %s", next, g_strerror (errno));
    if (!root || !is_above (next, root))
      fault = fault_of (host, next, &st, strchr (rest->str, '/') != NULL);
    if (!S_ISLNK (st.st_mode)) {
      g_free (at);
      at = g_steal_pointer (&next);
    } else if (!fault) {
      fault = links++ < LINKS_LIMIT ? follow (next, rest) : g_strdup (_ ("too many symbolic links"));
    }
  }
  return fault;
}
