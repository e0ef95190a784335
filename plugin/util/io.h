/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * io: wrappers of system calls on files, relative to an open directory, with the errno in the error.
 *
 * Owns: open, read, write, readlink, rename, ioctl, responses to fanotify, and their errors. Knows nothing of
 * PCI, drivers or the state store.
 */
#pragma once

#include <unistd.h>

#include "error.h"

/** VvFd: a descriptor that g_auto (VvFd) closes; -1: none */
typedef int VvFd;

/** vv_fd_close: Closes the descriptor, if any, and sets it to -1 */
static inline void
vv_fd_close (VvFd *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/** vv_fd_steal: Returns: (transfer full): the descriptor; sets *@fd to -1 */
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
 * An open directory. An open sysfs directory refers to one device only. If that device is removed, every
 * access below the directory fails with ENOENT or ENODEV, even if another device takes its address.
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

/** vv_io_exists: Returns: whether @path exists below @dir; follows links */
gboolean vv_io_exists (const VvDir *dir, const char *path);

/**
 * vv_io_read:
 * @limit: maximum size in bytes; a longer file is an error
 *
 * Reads a small file and removes trailing white space.
 *
 * Returns: (transfer full): the text, or NULL with @error set (also if the file contains a NUL byte)
 */
char *vv_io_read (const VvDir *dir, const char *path, gsize limit, GError **error);

/**
 * vv_io_attribute:
 *
 * Reads one sysfs attribute (at most one page), as vv_io_read() does. For attributes that may be absent.
 *
 * Returns: (transfer full) (nullable): the text, or NULL if the attribute cannot be read
 */
char *vv_io_attribute (const VvDir *dir, const char *path);

/**
 * vv_io_write:
 * @value: the exact text to write; no newline is added
 *
 * Writes @value to an existing file in one write(2), as sysfs attributes require. A short write is an error.
 *
 * Returns: TRUE, or FALSE with @error set from the kernel's errno
 */
gboolean vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error);

/** vv_io_link: Returns: (transfer full) (nullable): the target of the symbolic link, or NULL if it cannot be
 * read */
char *vv_io_link (const VvDir *dir, const char *path);

/** vv_io_link_name: Returns: (transfer full) (nullable): the last component of the target of the symbolic
 * link, or NULL if it cannot be read */
char *vv_io_link_name (const VvDir *dir, const char *path);

/**
 * vv_io_list:
 *
 * Returns: (transfer full) (element-type utf8): the sorted names in a directory without hidden ones; empty if
 * the directory cannot be read
 */
GPtrArray *vv_io_list (const VvDir *dir, const char *path);

/**
 * vv_io_replace:
 * @name: a plain file name in @dir
 *
 * Replaces the contents of @name atomically: a reader, or a boot after a crash, finds the old or the new
 * text. Writes a temporary file in @dir, syncs it, renames it, and syncs the directory. The mode is 0644
 * whatever the umask.
 *
 * Returns: TRUE, or FALSE with @error set
 */
gboolean vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error);

/** vv_io_remove: Removes a file; a missing file is no error */
gboolean vv_io_remove (const VvDir *dir, const char *name, GError **error);

/**
 * vv_io_memory_file:
 * @name: the name in /proc/self/fd
 * @text: the contents; the file offset is 0
 *
 * Creates a memory file that cannot be executed, so it also works where vm.memfd_noexec requires that
 * (memfd_create(2)). Kernels before 6.3 have no such flag and create an ordinary memory file.
 *
 * Returns: the descriptor, close-on-exec, which the caller closes; or -1 with errno set
 */
int vv_io_memory_file (const char *name, const char *text);

/**
 * vv_io_open_node:
 * @path: the absolute path of a device node
 *
 * Opens the node for reading and writing.
 *
 * Returns: the descriptor, which the caller closes; or the errno, negative
 */
int vv_io_open_node (const char *path);

/**
 * vv_io_ioctl:
 * @fd: a device node
 * @request: the request number
 * @argument: (nullable): a pointer, or an integer converted with GUINT_TO_POINTER()
 *
 * Returns: the kernel's result, 0 or greater (for some requests a descriptor, which the caller closes); or
 * the errno, negative
 */
int vv_io_ioctl (int fd, unsigned long request, gpointer argument);

/**
 * vv_io_answer:
 * @group: an fanotify group
 * @fd: the descriptor of a permission event (FAN_OPEN_PERM); it stays open
 * @allow: FALSE: the open fails with EPERM
 *
 * Responds to a permission event, which unblocks the process in open(2) (fanotify(7), struct
 * fanotify_response).
 *
 * Returns: 0, or an errno; ENOENT: no event with this descriptor is pending any more
 * (process_access_response() in the kernel's fs/notify/fanotify/fanotify_user.c)
 */
int vv_io_answer (int group, int fd, gboolean allow);
