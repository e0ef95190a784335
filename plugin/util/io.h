/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * io: each system call on a file once, relative to an open directory, errno kept.
 *
 * Owns: open, read, write, readlink, rename, ioctl, fanotify's answer, and their errors. Knows nothing of
 * PCI, drivers or the state store.
 */
#pragma once

#include <unistd.h>

#include "error.h"

/** VvFd: a descriptor that g_auto (VvFd) closes; -1: none */
typedef int VvFd;

/** vv_fd_close: closes it, if there is one, and makes it -1 */
static inline void
vv_fd_close (VvFd *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/** vv_fd_steal: Returns: (transfer full): the descriptor, which is -1 from now on */
static inline int
vv_fd_steal (VvFd *fd)
{
  int stolen = *fd;

  *fd = -1;
  return stolen;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvFd, vv_fd_close)

/**
 * VvDir:
 * @fd: the directory, O_PATH
 * @path: its name, for messages only
 *
 * An open directory. A directory of sysfs that is kept open keeps meaning the same device: when the device
 * goes away every access below it fails with ENOENT or ENODEV, even when another device takes its address.
 */
typedef struct {
  int fd;
  char *path;
} VvDir;

/**
 * vv_dir_open:
 * @parent: (nullable): the directory that @path is relative to; NULL: @path is absolute
 * @path: a directory
 *
 * Returns: (transfer full): the open directory, or NULL with @error set
 */
VvDir *vv_dir_open (const VvDir *parent, const char *path, GError **error);
void vv_dir_free (VvDir *dir);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvDir, vv_dir_free)

/** vv_io_name: Returns: (transfer full): the full name of @path below @dir, for messages */
char *vv_io_name (const VvDir *dir, const char *path);

/** vv_io_exists: Returns: whether @path below @dir exists, links followed */
gboolean vv_io_exists (const VvDir *dir, const char *path);

/**
 * vv_io_read:
 * @limit: the most bytes a sane file has here; a longer one is an error
 *
 * Reads a whole small file and takes the white space off its end.
 *
 * Returns: (transfer full): the text, or NULL with @error set (also for a file that holds a NUL byte)
 */
char *vv_io_read (const VvDir *dir, const char *path, gsize limit, GError **error);

/**
 * vv_io_attribute:
 *
 * As vv_io_read() for one sysfs attribute (a page at most), for those whose absence is no error.
 *
 * Returns: (transfer full) (nullable): its text, or NULL when it cannot be read
 */
char *vv_io_attribute (const VvDir *dir, const char *path);

/**
 * vv_io_write:
 * @value: what to write, as it is: no newline is added
 *
 * Writes @value to an existing file in one write(2), as a sysfs attribute wants it. A failed or short write
 * is an error that carries the kernel's errno.
 */
gboolean vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error);

/** vv_io_link: Returns: (transfer full) (nullable): what the symbolic link points to, NULL when it is no link
 */
char *vv_io_link (const VvDir *dir, const char *path);

/** vv_io_link_name: Returns: (transfer full) (nullable): the last component of what the symbolic link points
 * to */
char *vv_io_link_name (const VvDir *dir, const char *path);

/**
 * vv_io_list:
 *
 * Returns: (transfer full) (element-type utf8): the names in a directory, sorted, hidden ones left out; empty
 * when it is not there
 */
GPtrArray *vv_io_list (const VvDir *dir, const char *path);

/**
 * vv_io_replace:
 * @name: a plain file name in @dir
 *
 * Gives @name new contents so that a reader or a crash finds the old or the new text, never a part: written
 * beside, fsync, rename, fsync of the directory. Everybody may read it, whatever the umask.
 */
gboolean vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error);

/** vv_io_remove: removes a file; it is no error when it is not there */
gboolean vv_io_remove (const VvDir *dir, const char *name, GError **error);

/**
 * vv_io_memory_file:
 * @name: what it is called in /proc/self/fd
 * @text: its contents; reading begins at their start
 *
 * A file in memory that cannot be executed, also where vm.memfd_noexec allows no other (memfd_create(2)).
 *
 * Returns: the descriptor, close-on-exec, for the caller to close; -1 with errno set
 */
int vv_io_memory_file (const char *name, const char *text);

/**
 * vv_io_open_node:
 * @path: the absolute name of a device node
 *
 * Opens it for reading and writing.
 *
 * Returns: the descriptor, for the caller to close, or the errno, negative
 */
int vv_io_open_node (const char *path);

/**
 * vv_io_ioctl:
 * @fd: of a device node
 * @request: the request's number
 * @argument: (nullable): what the request takes: a pointer, or a number made one with GUINT_TO_POINTER()
 *
 * Returns: what the kernel returns, 0 or more (a descriptor of the caller's, for some), or the errno,
 * negative
 */
int vv_io_ioctl (int fd, unsigned long request, gpointer argument);

/**
 * vv_io_answer:
 * @group: of fanotify
 * @fd: the descriptor of a permission event (FAN_OPEN_PERM); it stays open
 * @allow: FALSE: the open fails with EPERM
 *
 * Answers whoever waits in that open (fanotify(7), struct fanotify_response).
 *
 * Returns: 0, or an errno; ENOENT: there is nothing to answer any more (process_access_response() in the
 * kernel's fs/notify/fanotify/fanotify_user.c)
 */
int vv_io_answer (int group, int fd, gboolean allow);
