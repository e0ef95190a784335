/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "asker.h"

#include <stdio.h>
#include <string.h>

#define MAPS_LIMIT (1024 * 1024)
#define LIBRARY "/libvirt.so.0."

guint
vv_asker_libvirt (const VvHost *host, pid_t tid)
{
  char path[32];
  guint version, micro;

  snprintf (path, sizeof path, "%d/maps", (int)tid);
  g_autofree char *maps = host->proc ? vv_io_read (host->proc, path, MAPS_LIMIT, NULL) : NULL;
  const char *library = maps ? strstr (maps, LIBRARY) : NULL;
  if (!library || sscanf (library + strlen (LIBRARY), "%6u.%3u", &version, &micro) != 2)
    return 0;
  return VV_LIBVIRT_VERSION (version / 1000, version % 1000, micro);
}
