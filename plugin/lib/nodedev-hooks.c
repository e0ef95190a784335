/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodedev-hooks.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodedev-xml.h"
#include "subprocess.h"

#define LINKS_LIMIT 40 /* as the kernel has it: MAXSYMLINKS, include/linux/namei.h */

struct VvNodedevHooks {
  const VvHost *host;
  char *dir;
  uid_t owner; /* whose scripts are run, besides root's */
  guint limit_ms;
  VvGoesOn goes_on;
  gpointer goes_on_data;
};

VvNodedevHooks *
vv_nodedev_hooks_new (const VvHost *host, guint limit_ms)
{
  VvNodedevHooks *hooks = g_new0 (VvNodedevHooks, 1);

  hooks->host = host;
  hooks->dir = vv_host_path (host, VV_LIBVIRT_HOOKS_DIR);
  hooks->owner = host->sysroot ? geteuid () : 0;
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

/* --- which --- */

/* What editors and package managers leave beside a file, and what could not be named in a log */
static gboolean
is_passed_over (const char *name)
{
  static const char *const suffixes[] = {"~", ".bak", ".orig", ".rpmnew", ".rpmorig", ".rpmsave"};

  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    if (g_str_has_suffix (name, suffixes[i]))
      return TRUE;
  for (const char *p = name; *p; p++)
    if (g_ascii_iscntrl (*p))
      return TRUE;
  return strstr (name, ".dpkg-") || !g_utf8_validate (name, -1, NULL);
}

/* virFileIsExecutable() of libvirt: a regular file, links followed */
static gboolean
is_executable (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 && S_ISREG (st.st_mode) && (st.st_mode & 0111);
}

static void
add_script (GPtrArray *scripts, const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  if (!is_passed_over (name) && is_executable (path))
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

/* --- whether root may --- */

/* @path: without links. Returns: (nullable): why somebody else has power over it, and the cure. In a sticky
 * directory nobody can put something into the place of what another owns; that will do above the directory of
 * a script. */
static char *
fault_of (const VvNodedevHooks *hooks, const char *path, gboolean above)
{
  struct stat st;

  if (lstat (path, &st) < 0)
    return g_strdup_printf ("%s: %s", path, g_strerror (errno));
  if (st.st_uid != 0 && st.st_uid != hooks->owner)
    return g_strdup_printf (
        _ ("%s belongs to user %u and not to root; if its contents are yours: chown root %s"), path,
        st.st_uid, path);
  if (!(st.st_mode & 022) || (above && (st.st_mode & S_ISVTX)))
    return NULL;
  return g_strdup_printf (
      _ ("%s can be written by its group or others; if its contents are yours: chmod go-w %s"), path, path);
}

/* Looks at @real and at all above it up to the root: who may write to one of them may put anything there.
 * @own: how many of them are more than just above. Returns: (nullable): as fault_of() */
static char *
fault_on_way (const VvNodedevHooks *hooks, const char *real, guint own)
{
  g_autofree char *root = hooks->host->sysroot ? realpath (hooks->host->sysroot, NULL) : NULL;
  g_autofree char *path = g_strdup (real);
  char *fault = NULL;

  for (guint level = 0; !fault; level++) {
    fault = fault_of (hooks, path, level >= own);
    if (strcmp (path, "/") == 0 || g_strcmp0 (path, root) == 0)
      break;
    char *slash = strrchr (path, '/');
    slash[slash == path ? 1 : 0] = '\0';
  }
  return fault;
}

/* Returns: (nullable): the shortest beginning of @path that is a link */
static char *
first_link (const char *path)
{
  for (const char *at = path; at; at = strchr (at + 1, '/')) {
    const char *end = strchr (at + 1, '/');
    g_autofree char *part = g_strndup (path, end ? (gsize)(end - path) : strlen (path));
    struct stat st;
    if (lstat (part, &st) == 0 && S_ISLNK (st.st_mode))
      return g_steal_pointer (&part);
  }
  return NULL;
}

/* Who owns a link, or may put another one into its place, decides where it leads. @link: without links above
 * it */
static char *
fault_of_link (const VvNodedevHooks *hooks, const char *link)
{
  g_autofree char *dir = g_path_get_dirname (link);
  struct stat st;

  if (lstat (link, &st) == 0 && st.st_uid != 0 && st.st_uid != hooks->owner)
    return g_strdup_printf (_ ("the link %s belongs to user %u and not to root"), link, st.st_uid);
  return fault_on_way (hooks, dir, 0);
}

/* What @path leads to may be root's while a link on the way is not. Returns: (nullable): as fault_of() */
static char *
fault_of_links (const VvNodedevHooks *hooks, const char *path)
{
  g_autofree char *at = g_strdup (path);

  for (guint n = 0; n < LINKS_LIMIT; n++) {
    g_autofree char *link = first_link (at);
    g_autofree char *fault = link ? fault_of_link (hooks, link) : NULL;
    if (!link || fault)
      return g_steal_pointer (&fault);
    g_autofree char *target = g_file_read_link (link, NULL);
    g_autofree char *dir = g_path_get_dirname (link);
    char *next = g_build_filename (target && *target == '/' ? "/" : dir, target ? target : "",
                                   at + strlen (link), NULL);
    g_free (at);
    at = next;
  }
  return g_strdup (_ ("too many links"));
}

/* The directory that a script was found in decides what it is, also when the script is a link. */
static char *
fault_of_dir (const VvNodedevHooks *hooks, const char *dir)
{
  g_autofree char *real = realpath (dir, NULL);

  return real ? fault_on_way (hooks, real, 1) : g_strdup_printf ("%s: %s", dir, g_strerror (errno));
}

/* @real: (nullable): the path of @script without links. Returns: (nullable): why it must not be run */
static char *
fault_of_script (const VvNodedevHooks *hooks, const char *script, const char *real)
{
  g_autofree char *dir = g_path_get_dirname (script);
  char *fault = real ? fault_on_way (hooks, real, 2) : g_strdup (g_strerror (errno));

  if (!fault)
    fault = fault_of_links (hooks, script);
  if (!fault)
    fault = fault_of_dir (hooks, dir);
  return fault ? fault : fault_of_dir (hooks, hooks->dir);
}

GPtrArray *
vv_nodedev_hooks_faults (const VvNodedevHooks *hooks)
{
  GPtrArray *faults = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) scripts = find_scripts (hooks);

  for (guint i = 0; i < scripts->len; i++) {
    g_autofree char *real = realpath (scripts->pdata[i], NULL);
    g_autofree char *fault = fault_of_script (hooks, scripts->pdata[i], real);
    if (fault)
      g_ptr_array_add (faults, g_strdup_printf ("%s: %s", (char *)scripts->pdata[i], fault));
  }
  return faults;
}

/* Returns: (nullable): the path of @script without links, which is what was looked at; NULL after a warning
 * when it must not be run */
static char *
trusted_path (const VvNodedevHooks *hooks, const char *script)
{
  g_autofree char *real = realpath (script, NULL);
  g_autofree char *fault = fault_of_script (hooks, script, real);

  if (!fault)
    return g_steal_pointer (&real);
  g_warning ("hook %s: not run: %s", script, fault);
  return NULL;
}

/* --- one after another --- */

typedef struct {
  const VvNodedevHooks *hooks;
  const VvPciDevice *device;
  const char *argv[6]; /* argv[0] is each script's own */
  char *xml;           /* made when there is somebody to read it */
  gint64 deadline;
} Row;

static gboolean
not_run (const char *script, VvError code, const char *why, GError **error)
{
  g_set_error (error, VV_ERROR, (int)code, _ ("hook %s: not run: %s"), script, why);
  return FALSE;
}

/* Returns: milliseconds that the next script may take */
static guint
time_for_next (const Row *row)
{
  gint64 left = row->deadline ? (row->deadline - g_get_monotonic_time ()) / 1000 : G_MAXUINT;

  return (guint)CLAMP (left, 0, row->hooks->limit_ms);
}

static gboolean
run_script (Row *row, const char *script, GError **error)
{
  g_autofree char *real = trusted_path (row->hooks, script);
  g_autofree char *output = NULL;
  guint limit_ms = time_for_next (row);

  if (!real)
    return TRUE;
  if (!limit_ms)
    return not_run (script, VV_ERROR_FAILED, _ ("no time is left"), error);
  if (!row->xml)
    row->xml = vv_nodedev_xml (row->hooks->host, row->device);
  if (!row->xml)
    return not_run (script, VV_ERROR_NO_DEVICE, _ ("the device went away"), error);
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
