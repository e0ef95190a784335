/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qemu-version.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "subprocess.h"
#include "trusted-path.h"

#define OUTPUT_LIMIT 65536
#define TIME_LIMIT_MS 10000
#define SYSTEM_PREFIX "/usr/bin/qemu-system-"

void
vv_qemu_clear (VvQemu *qemu)
{
  g_free (qemu->path);
  g_free (qemu->problem);
  *qemu = (VvQemu){0};
}

static char *
find_emulator (void)
{
  /* QEMU's name for what uname(2) calls the machine */
  static const char *const pairs[][2] = {
      {"i686", "i386"}, {"i586", "i386"}, {"armv7l", "arm"}, {"ppc64le", "ppc64"}};
  struct utsname running;

  uname (&running); /* fails only for a bad pointer */
  const char *architecture = running.machine;
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (strcmp (running.machine, pairs[i][0]) == 0)
      architecture = pairs[i][1];
  g_autofree char *native = g_strconcat (SYSTEM_PREFIX, architecture, NULL);
  const char *const paths[] = {native, "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"};
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    if (access (paths[i], X_OK) == 0)
      return g_strdup (paths[i]);
  return NULL;
}

/* Whether a distribution installs a QEMU at @path. Domain XML may name any program that root owns, and few of
 * them are harmless with --version. */
static gboolean
is_qemu (const char *path)
{
  static const char *const others[] = {"/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm", "/usr/bin/kvm", NULL};

  return g_strv_contains (others, path) ||
         (g_str_has_prefix (path, SYSTEM_PREFIX) && !strchr (path + strlen (SYSTEM_PREFIX), '/'));
}

static void
run_it (VvQemu *qemu)
{
  const char *const argv[] = {qemu->path, "--version", NULL};
  g_autoptr (GString) output = g_string_new (NULL);
  const VvSubprocess process = {.path = qemu->path,
                                .argv = argv,
                                .environment = (const char *const *)environ,
                                .limit_ms = TIME_LIMIT_MS,
                                .output = output,
                                .output_limit = OUTPUT_LIMIT};
  g_autoptr (GError) error = NULL;
  guint major, minor;

  if (!vv_subprocess_run (&process, NULL, &error)) {
    qemu->problem = g_strdup_printf ("%s: %s", qemu->path, error->message);
    return;
  }
  const char *at = strstr (output->str, "version "); /* "QEMU emulator version 8.2.2 (Debian ...)" */
  if (at && sscanf (at, "version %3u.%3u", &major, &minor) == 2)
    qemu->version = major * 1000 + minor;
  if (!qemu->version)
    qemu->problem = g_strdup_printf (_ ("%s --version names none"), qemu->path);
}

void
vv_qemu_ask (const VvHost *host, const char *emulator, VvQemu *qemu)
{
  g_autofree char *fault = NULL;

  *qemu = (VvQemu){.path = emulator ? g_strdup (emulator) : host->sysroot ? NULL : find_emulator ()};
  if (host->sysroot)
    qemu->problem = g_strdup (_ ("nothing of another system is run"));
  else if (!qemu->path)
    qemu->problem = g_strdup (_ ("there is no QEMU in /usr/bin or /usr/libexec"));
  else if (!is_qemu (qemu->path))
    qemu->problem = g_strdup_printf (_ ("%s is not run: it is not where distributions install QEMU "
                                        "(/usr/bin/qemu-system-*, /usr/libexec/qemu-kvm)"),
                                     qemu->path);
  else if (access (qemu->path, X_OK) < 0)
    qemu->problem = g_strdup_printf ("%s: %s", qemu->path, g_strerror (errno));
  else if ((fault = vv_trusted_path_fault (host, qemu->path)))
    qemu->problem = g_strdup_printf (_ ("%s is not run: %s"), qemu->path, fault);
  else
    run_it (qemu);
}
