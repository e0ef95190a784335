/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-version.h"

#include <stdio.h>
#include <string.h>

#define MAPS_LIMIT (1024 * 1024)
#define LIBRARY "/libvirt.so.0."

/* Reads 1 to 6 digits. sscanf(3) would also accept a sign and spaces. */
static gboolean
read_number (const char **at, guint *number)
{
  gsize digits = strspn (*at, "0123456789");

  if (digits < 1 || digits > 6)
    return FALSE;
  *number = (guint)g_ascii_strtoull (*at, NULL, 10);
  *at += digits;
  return TRUE;
}

guint
vv_libvirt_version_of (const VvHost *host, pid_t tid)
{
  char path[32];
  guint version, micro;

  snprintf (path, sizeof path, "%d/maps", (int)tid);
  g_autofree char *maps = host->proc ? vv_io_read (host->proc, path, MAPS_LIMIT, NULL) : NULL;
  const char *library = maps ? strstr (maps, LIBRARY) : NULL;
  const char *at = library ? library + strlen (LIBRARY) : "";
  if (!read_number (&at, &version) || *at++ != '.' || !read_number (&at, &micro) || micro > 999)
    return 0;
  return VV_LIBVIRT_VERSION (version / 1000, version % 1000, micro);
}
