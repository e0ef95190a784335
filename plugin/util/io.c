/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define ATTRIBUTE_LIMIT 65536 /* a sysfs attribute is at most one page, and a page at most 64 KiB */

VvDir *
vv_dir_open (const VvDir *parent, const char *path, GError **error)
{
  int fd = openat (parent ? parent->fd : AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0) {
    g_autofree char *name = vv_io_name (parent, path);
    vv_set_errno (error, errno, "%s", name);
    return NULL;
  }
  VvDir *dir = g_new0 (VvDir, 1);
  dir->fd = fd;
  dir->path = vv_io_name (parent, path);
  return dir;
}

void
vv_dir_free (VvDir *dir)
{
  if (!dir)
    return;
  close (dir->fd);
  g_free (dir->path);
  g_free (dir);
}

char *
vv_io_name (const VvDir *dir, const char *path)
{
  return dir ? g_build_filename (dir->path, path, NULL) : g_strdup (path);
}

gboolean
vv_io_exists (const VvDir *dir, const char *path)
{
  return faccessat (dir->fd, path, F_OK, 0) == 0;
}

static gboolean
fail (GError **error, int errnum, const VvDir *dir, const char *path, const char *step)
{
  g_autofree char *name = vv_io_name (dir, path);

  return vv_set_errno (error, errnum, "%s: %s", name, step);
}

/* Returns: 0, or an errno */
static int
read_all (int fd, GString *text, gsize limit)
{
  char buffer[4096];
  ssize_t n;

  while ((n = read (fd, buffer, sizeof buffer)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 || text->len + n > limit)
      return n < 0 ? errno : EFBIG;
    g_string_append_len (text, buffer, n);
  }
  return 0;
}

char *
vv_io_read (const VvDir *dir, const char *path, gsize limit, GError **error)
{
  g_auto (VvFd) fd = openat (dir->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  g_autoptr (GString) text = g_string_new (NULL);

  if (fd < 0) {
    fail (error, errno, dir, path, "open");
    return NULL;
  }
  int errnum = read_all (fd, text, limit);
  if (!errnum && memchr (text->str, 0, text->len))
    errnum = EILSEQ;
  if (errnum) {
    fail (error, errnum, dir, path, "read");
    return NULL;
  }
  return g_strchomp (g_string_free (g_steal_pointer (&text), FALSE));
}

char *
vv_io_attribute (const VvDir *dir, const char *path)
{
  return vv_io_read (dir, path, ATTRIBUTE_LIMIT, NULL);
}

gboolean
vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error)
{
  g_auto (VvFd) fd = openat (dir->fd, path, O_WRONLY | O_CLOEXEC);
  size_t length = strlen (value);
  ssize_t n;

  if (fd < 0)
    return fail (error, errno, dir, path, "open for writing");
  do
    n = write (fd, value, length);
  while (n < 0 && errno == EINTR);
  if (n != (ssize_t)length)
    return fail (error, n < 0 ? errno : EIO, dir, path, "write");
  return TRUE;
}

char *
vv_io_link (const VvDir *dir, const char *path)
{
  char target[PATH_MAX];
  ssize_t n = readlinkat (dir->fd, path, target, sizeof target);

  if (n <= 0 || n == sizeof target)
    return NULL;
  return g_strndup (target, n);
}

char *
vv_io_link_name (const VvDir *dir, const char *path)
{
  g_autofree char *target = vv_io_link (dir, path);

  return target ? g_path_get_basename (target) : NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *
vv_io_list (const VvDir *dir, const char *path)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  int fd = openat (dir->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;

  if (!stream) {
    if (fd >= 0)
      close (fd);
    return names;
  }
  for (struct dirent *e = readdir (stream); e; e = readdir (stream))
    if (e->d_name[0] != '.')
      g_ptr_array_add (names, g_strdup (e->d_name));
  closedir (stream);
  g_ptr_array_sort (names, compare_names);
  return names;
}

/* Returns: 0, or an errno */
static int
write_all (int fd, const char *text)
{
  size_t left = strlen (text);

  while (left > 0) {
    ssize_t n = write (fd, text, left);
    if (n < 0 && errno != EINTR)
      return errno;
    if (n > 0) {
      text += n;
      left -= n;
    }
  }
  return 0;
}

/* The mode is 0644 whatever the umask. Closes @fd. A full file system may report the error only at close();
 * the first errno wins. */
static int
write_synced (int fd, const char *text)
{
  int errnum = fchmod (fd, 0644) < 0 ? errno : write_all (fd, text);

  if (!errnum && fsync (fd) < 0)
    errnum = errno;
  if (close (fd) < 0 && !errnum)
    errnum = errno;
  return errnum;
}

gboolean
vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error)
{
  g_autofree char *aside = g_strconcat (".", name, ".new", NULL);
  int fd, errnum;

  unlinkat (dir->fd, aside, 0); /* left by a writer that was killed */
  fd = openat (dir->fd, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return fail (error, errno, dir, aside, "create");
  errnum = write_synced (fd, text);
  if (!errnum && renameat (dir->fd, aside, dir->fd, name) < 0)
    errnum = errno;
  if (errnum) {
    unlinkat (dir->fd, aside, 0);
    return fail (error, errnum, dir, name, "write");
  }
  g_auto (VvFd) folder = openat (dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return (folder >= 0 && fsync (folder) == 0) || fail (error, errno, dir, name, "sync");
}

gboolean
vv_io_remove (const VvDir *dir, const char *name, GError **error)
{
  if (unlinkat (dir->fd, name, 0) < 0 && errno != ENOENT)
    return fail (error, errno, dir, name, "remove");
  return TRUE;
}

/* Kernels before 6.3 reject the unknown flag with EINVAL. */
int
vv_io_memory_file (const char *name, const char *text)
{
  g_auto (VvFd) fd = memfd_create (name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

  if (fd < 0 && errno == EINVAL)
    fd = memfd_create (name, MFD_CLOEXEC);
  if (fd < 0)
    return -1;
  int errnum = write_all (fd, text);
  if (errnum || lseek (fd, 0, SEEK_SET) < 0) {
    errno = errnum ? errnum : errno;
    return -1;
  }
  return vv_fd_steal (&fd);
}

int
vv_io_open_node (const char *path)
{
  int fd = open (path, O_RDWR | O_CLOEXEC);

  return fd < 0 ? -errno : fd;
}

int
vv_io_ioctl (int fd, unsigned long request, gpointer argument)
{
  int result = ioctl (fd, request, argument);

  return result < 0 ? -errno : result;
}

int
vv_io_answer (int group, int fd, gboolean allow)
{
  const struct fanotify_response response = {.fd = fd, .response = allow ? FAN_ALLOW : FAN_DENY};
  ssize_t n = write (group, &response, sizeof response);

  if (n == sizeof response)
    return 0;
  return n < 0 ? errno : EIO;
}
