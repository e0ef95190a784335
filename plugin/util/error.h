/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * error: the error domain of all programs.
 *
 * Every message names the file or device, the step, and the errno in words. Callers add context with
 * g_prefix_error(). Only programs print errors and map the codes to exit statuses.
 */
#pragma once

#include <glib.h>

/**
 * VvError:
 * @VV_ERROR_FAILED: the operation was tried and failed
 * @VV_ERROR_INVALID: the input is malformed
 * @VV_ERROR_NO_DEVICE: the device does not exist, or was removed
 * @VV_ERROR_NOT_FOUND: a file or module does not exist
 * @VV_ERROR_REFUSED: the operation is possible but not safe, for example because the device is in use
 * @VV_ERROR_POLICY: the operation is possible, but the administrator's policy or the domain does not allow
 * this way of doing it
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
 * @errnum: a positive errno
 *
 * Returns: VV_ERROR_PERMISSION for EACCES, EPERM and EROFS; VV_ERROR_NOT_FOUND for ENOENT;
 * VV_ERROR_NO_DEVICE for ENODEV and ENXIO; VV_ERROR_FAILED for all others
 */
VvError vv_error_from_errno (int errnum);

/**
 * vv_set_errno:
 * @error: (nullable): return location
 * @errnum: a positive errno
 * @format: the step and its object; ": " and strerror(@errnum) are appended
 *
 * Sets @error, with the code of vv_error_from_errno().
 *
 * Returns: FALSE, so that a caller can return the result
 */
gboolean vv_set_errno (GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF (3, 4);
