/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/utsname.h>

/* More than a scan of a hundred thousand processes takes, with a few open files each. */
#define PROC_LOOK_LIMIT_US (5 * G_USEC_PER_SEC)

char *
vv_host_path (const VvHost *host, const char *path)
{
  return host->sysroot ? g_build_filename (host->sysroot, path, NULL) : g_strdup (path);
}

static char *
default_release (const VvHost *host, const char *base)
{
  struct utsname running;

  if (host->sysroot) {
    g_autoptr (VvDir) dir = vv_dir_open (NULL, base, NULL);
    g_autoptr (GPtrArray) names = dir ? vv_io_list (dir, ".") : NULL;
    if (names && names->len == 1)
      return g_strdup (names->pdata[0]);
  }
  uname (&running); /* fails only for an invalid pointer */
  return g_strdup (running.release);
}

VvHost *
vv_host_new (const char *sysroot, const char *release, GError **error)
{
  g_autoptr (VvHost) host = g_new0 (VvHost, 1);

  if (release && (!*release || strchr (release, '/') || *release == '.')) {
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID, _ ("'%s' is not a valid kernel release"), release);
    return NULL;
  }
  if (sysroot && strcmp (sysroot, "/") != 0)
    host->sysroot = g_canonicalize_filename (sysroot, NULL);

  /* /usr/lib/modules, if the root has no /lib/modules */
  g_autofree char *lib = vv_host_path (host, "/lib/modules");
  g_autofree char *usr_lib = vv_host_path (host, "/usr/lib/modules");
  const char *base = g_file_test (lib, G_FILE_TEST_IS_DIR) ? lib : usr_lib;
  g_autofree char *sys = vv_host_path (host, "/sys");
  g_autofree char *proc = vv_host_path (host, "/proc");
  host->release = release ? g_strdup (release) : default_release (host, base);
  host->modules_path = g_build_filename (base, host->release, NULL);
  host->run_path = vv_host_path (host, "/run/vfio-variant");
  host->sys = vv_dir_open (NULL, sys, error);
  host->proc = vv_dir_open (NULL, proc, NULL);
  host->proc_look = g_new0 (VvProcLook, 1);
  g_mutex_init (&host->proc_look->lock);
  host->proc_look->limit = PROC_LOOK_LIMIT_US;
  return host->sys ? g_steal_pointer (&host) : NULL;
}

void
vv_host_free (VvHost *host)
{
  if (!host)
    return;
  g_free (host->sysroot);
  g_free (host->release);
  g_free (host->modules_path);
  g_free (host->run_path);
  vv_dir_free (host->sys);
  vv_dir_free (host->proc);
  if (host->proc_look) {
    if (host->proc_look->open)
      g_array_unref (host->proc_look->open);
    g_mutex_clear (&host->proc_look->lock);
    g_free (host->proc_look);
  }
  g_free (host);
}
