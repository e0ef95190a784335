/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

#include <errno.h>

/* Several threads may set their first error at once, and the cache of G_DEFINE_QUARK() has no memory
 * ordering. */
GQuark
vv_error_quark (void)
{
  static gsize quark;

  if (g_once_init_enter (&quark))
    g_once_init_leave (&quark, g_quark_from_static_string ("vv-error"));
  return (GQuark)quark;
}

VvError
vv_error_from_errno (int errnum)
{
  switch (errnum) {
  case EACCES:
  case EPERM:
  case EROFS:
    return VV_ERROR_PERMISSION;
  case ENOENT:
    return VV_ERROR_NOT_FOUND;
  case ENODEV:
  case ENXIO:
    return VV_ERROR_NO_DEVICE;
  default:
    return VV_ERROR_FAILED;
  }
}

gboolean
vv_set_errno (GError **error, int errnum, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, VV_ERROR, vv_error_from_errno (errnum), "%s: %s", what, g_strerror (errnum));
  return FALSE;
}
