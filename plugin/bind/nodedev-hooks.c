/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodedev-hooks.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nodedev-xml.h"
#include "one-line.h"
#include "subprocess.h"
#include "trusted-path.h"

struct VvNodedevHooks {
  const VvHost *host;
  char *dir;
  guint limit_ms;
  VvGoesOn goes_on;
  gpointer goes_on_data;
};

VvNodedevHooks *
vv_nodedev_hooks_new (const VvHost *host, guint limit_ms)
{
  VvNodedevHooks *hooks = g_new0 (VvNodedevHooks, 1);

  xmlInitParser (); /* libxml2 initializes itself once, before threads write the XML of their devices */
  hooks->host = host;
  hooks->dir = vv_host_path (host, VV_LIBVIRT_HOOKS_DIR);
  hooks->limit_ms = limit_ms ? limit_ms : VV_NODEDEV_HOOKS_LIMIT;
  return hooks;
}

void
vv_nodedev_hooks_free (VvNodedevHooks *hooks)
{
  if (!hooks)
    return;
  g_free (hooks->dir);
  g_free (hooks);
}

void
vv_nodedev_hooks_watch (VvNodedevHooks *hooks, VvGoesOn goes_on, gpointer data)
{
  hooks->goes_on = goes_on;
  hooks->goes_on_data = data;
}

static void
tell_watcher (const VvNodedevHooks *hooks, guint limit_ms)
{
  if (hooks->goes_on)
    hooks->goes_on (limit_ms, hooks->goes_on_data);
}

/* --- list of scripts --- */

/* Backup files of editors and package managers, and names that cannot be shown in a log */
static gboolean
is_passed_over (const char *name)
{
  static const char *const suffixes[] = {"~", ".bak", ".orig", ".rpmnew", ".rpmorig", ".rpmsave"};

  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    if (g_str_has_suffix (name, suffixes[i]))
      return TRUE;
  return strstr (name, ".dpkg-") || !vv_can_be_shown (name);
}

static void
add_script (GPtrArray *scripts, const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  struct stat st;

  if (is_passed_over (name))
    return;
  /* Like libvirt's virFileIsExecutable(): a regular file, links followed. */
  if (stat (path, &st) == 0 && S_ISREG (st.st_mode) && (st.st_mode & 0111))
    g_ptr_array_add (scripts, g_steal_pointer (&path));
}

static GPtrArray *
find_scripts (const VvNodedevHooks *hooks)
{
  GPtrArray *scripts = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *path = g_build_filename (hooks->dir, "nodedev.d", NULL);

  add_script (scripts, hooks->dir, "nodedev");
  g_autoptr (VvDir) dir = vv_dir_open (NULL, path, NULL);
  g_autoptr (GPtrArray) names = dir ? vv_io_list (dir, ".") : NULL;
  for (guint i = 0; names && i < names->len; i++)
    add_script (scripts, path, names->pdata[i]);
  return scripts;
}

/* --- trust --- */

/* Returns: (nullable): why @script must not be run. Checks the hooks directory as strictly as the script's
 * own directory, because it also determines the scripts in nodedev.d. */
static char *
fault_of_script (const VvNodedevHooks *hooks, const char *script)
{
  g_autofree char *inside = g_build_filename (hooks->dir, ".", NULL);
  char *fault = vv_trusted_path_fault (hooks->host, script);

  return fault ? fault : vv_trusted_path_fault (hooks->host, inside);
}

GPtrArray *
vv_nodedev_hooks_faults (const VvNodedevHooks *hooks)
{
  GPtrArray *faults = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) scripts = find_scripts (hooks);

  for (guint i = 0; i < scripts->len; i++) {
    g_autofree char *fault = fault_of_script (hooks, scripts->pdata[i]);
    if (fault)
      g_ptr_array_add (faults, g_strdup_printf ("%s: %s", (char *)scripts->pdata[i], fault));
  }
  return faults;
}

/* --- execution --- */

typedef struct {
  const VvNodedevHooks *hooks;
  const VvPciDevice *device;
  const char *argv[6]; /* argv[0] is set for each script */
  char *xml;           /* created for the first script */
  gint64 deadline;
} Row;

static gboolean
not_run (const char *script, VvError code, const char *why, GError **error)
{
  g_set_error (error, VV_ERROR, (int)code, _ ("hook %s: skipped: %s"), script, why);
  return FALSE;
}

static gboolean
run_script (Row *row, const char *script, GError **error)
{
  g_autofree char *fault = fault_of_script (row->hooks, script);
  g_autofree char *real = realpath (script, NULL);
  g_autofree char *output = NULL;
  gint64 left = row->deadline ? (row->deadline - g_get_monotonic_time ()) / 1000 : G_MAXUINT;
  guint limit_ms = (guint)CLAMP (left, 0, row->hooks->limit_ms);

  if (fault || !real) {
    g_warning ("hook %s: skipped: %s", script, fault ? fault : g_strerror (errno));
    return TRUE;
  }
  if (!limit_ms)
    return not_run (script, VV_ERROR_FAILED, _ ("no time left"), error);
  if (!row->xml)
    row->xml = vv_nodedev_xml (row->hooks->host, row->device);
  if (!row->xml)
    return not_run (script, VV_ERROR_NO_DEVICE, _ ("the device disappeared"), error);
  row->argv[0] = script;
  const VvSubprocess process = {.path = real, .argv = row->argv, .input = row->xml, .limit_ms = limit_ms};
  tell_watcher (row->hooks, limit_ms);
  gboolean done = vv_subprocess_run (&process, &output, error);
  tell_watcher (row->hooks, 0);
  if (!done) {
    g_prefix_error (error, _ ("hook %s: "), script);
    return FALSE;
  }
  if (output)
    g_debug ("hook %s: %s", script, output);
  return TRUE;
}

gboolean
vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device, VvOperation operation,
                      const char *sub_operation, const char *driver, gint64 deadline, GError **error)
{
  g_autoptr (GPtrArray) scripts = find_scripts (hooks);
  g_autofree char *name = vv_nodedev_name (device->address);
  const char *extra = driver && *driver ? driver : "-";
  Row row = {.hooks = hooks, .device = device, .deadline = deadline};
  gboolean done = TRUE;

  tell_watcher (hooks, 0);
  row.argv[1] = name;
  row.argv[2] = vv_operation_name (operation);
  row.argv[3] = sub_operation;
  row.argv[4] = extra;
  for (guint i = 0; done && i < scripts->len; i++)
    done = run_script (&row, scripts->pdata[i], error);
  g_free (row.xml);
  return done;
}
