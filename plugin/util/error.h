/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * error: the one error domain of the library.
 *
 * Every message names the file or the device, the step and the kernel's errno in words; callers add context
 * with g_prefix_error(). Programs turn the code into an exit status and print; nothing else does.
 */
#pragma once

#include <glib.h>

/**
 * VvError:
 * @VV_ERROR_FAILED: it was tried and did not work
 * @VV_ERROR_INVALID: the input is malformed
 * @VV_ERROR_NO_DEVICE: there is no such device, or it went away
 * @VV_ERROR_NOT_FOUND: a file or module is not there
 * @VV_ERROR_REFUSED: it could be done and must not be: the device is in use
 * @VV_ERROR_POLICY: it could be done otherwise, and the administrator, or a domain's owner, wants it so or
 * not at all
 * @VV_ERROR_PERMISSION: the caller lacks the privilege
 */
typedef enum {
  VV_ERROR_FAILED,
  VV_ERROR_INVALID,
  VV_ERROR_NO_DEVICE,
  VV_ERROR_NOT_FOUND,
  VV_ERROR_REFUSED,
  VV_ERROR_POLICY,
  VV_ERROR_PERMISSION,
} VvError;

#define VV_ERROR (vv_error_quark ())
GQuark vv_error_quark (void);

/**
 * vv_error_from_errno:
 * @errnum: an errno, positive
 *
 * Returns: the code for @errnum: EACCES, EPERM and EROFS are permission, ENOENT is not found, ENODEV and
 * ENXIO are no device, all others failed
 */
VvError vv_error_from_errno (int errnum);

/**
 * vv_set_errno:
 * @error: (nullable): where to put it
 * @errnum: an errno, positive
 * @format: what was being done to what; ": " and strerror(@errnum) follow
 *
 * Returns: FALSE, so that a function can end with it
 */
gboolean vv_set_errno (GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF (3, 4);
