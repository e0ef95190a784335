/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modules.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <libkmod.h>
#include <stdio.h>
#include <string.h>

#include "modalias.h"
#include "subprocess.h"

struct VvModules {
  struct kmod_ctx *kmod;
  const VvHost *host;
  struct kmod_ctx *running; /* with a sysroot: the settings in /proc/cmdline; else NULL */
  GPtrArray *blacklist;     /* of module names */
};

/* The default list of libkmod, which has the paths of the running system (modprobe.d(5)). Used below a
 * sysroot. */
static const char *const config_folders[] = {"/etc/modprobe.d", "/run/modprobe.d",
                                             "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d",
                                             "/lib/modprobe.d"};

static void
discard (void *data, int priority, const char *file, int line, const char *fn, const char *format,
         va_list args)
{
  (void)data, (void)priority, (void)file, (void)line, (void)fn, (void)format, (void)args;
}

static struct kmod_ctx *
new_context (const VvHost *host, GError **error)
{
  g_autoptr (GPtrArray) folders = g_ptr_array_new_with_free_func (g_free);

  for (gsize i = 0; i < G_N_ELEMENTS (config_folders); i++)
    g_ptr_array_add (folders, vv_host_path (host, config_folders[i]));
  g_ptr_array_add (folders, NULL);
  struct kmod_ctx *kmod =
      kmod_new (host->modules_path, host->sysroot ? (const char *const *)folders->pdata : NULL);
  if (kmod)
    kmod_set_log_fn (kmod, discard, NULL); /* our errors report the failures */
  else
    vv_set_errno (error, errno ? errno : ENOMEM, _ ("cannot initialise libkmod for %s"), host->modules_path);
  return kmod;
}

typedef struct kmod_config_iter *(*Settings) (const struct kmod_ctx *kmod);

/* Returns: "MODULE" or "MODULE VALUE" for each setting, duplicates included */
static GPtrArray *
settings_in (const struct kmod_ctx *kmod, Settings which)
{
  GPtrArray *settings = g_ptr_array_new_with_free_func (g_free);
  struct kmod_config_iter *i = which (kmod);

  while (i && kmod_config_iter_next (i)) {
    char *module = vv_module_name (kmod_config_iter_get_key (i));
    const char *value = kmod_config_iter_get_value (i);
    g_ptr_array_add (settings, value ? g_strconcat (module, " ", value, NULL) : g_strdup (module));
    g_free (module);
  }
  if (i)
    kmod_config_iter_free_iter (i);
  return settings;
}

/* Returns: the settings of the host. libkmod adds those of /proc/cmdline, the running kernel's, which do not
 * apply below a sysroot. */
static GPtrArray *
settings_of (const VvModules *modules, Settings which)
{
  GPtrArray *settings = settings_in (modules->kmod, which);
  g_autoptr (GPtrArray) running =
      modules->running ? settings_in (modules->running, which) : g_ptr_array_new ();
  guint at;

  for (guint i = 0; i < running->len; i++)
    if (g_ptr_array_find_with_equal_func (settings, running->pdata[i], g_str_equal, &at))
      g_ptr_array_remove_index (settings, at);
  return settings;
}

/* Returns: (transfer full): the words of the kernel command line below a sysroot, else none: libkmod itself
 * reads that of the running kernel */
static char **
words_of_command_line (const VvModules *modules)
{
  const VvHost *host = modules->host;
  g_autofree char *line = host->sysroot && host->proc ? vv_io_attribute (host->proc, "cmdline") : NULL;

  return g_strsplit_set (line ? line : "", " \t\n", -1);
}

VvModules *
vv_modules_new (const VvHost *host, GError **error)
{
  static const char *const no_folders[] = {NULL};
  static const char blacklist[] = "modprobe.blacklist=";
  g_autoptr (VvModules) modules = g_new0 (VvModules, 1);

  modules->host = host;
  modules->kmod = new_context (host, error);
  if (!modules->kmod)
    return NULL;
  if (host->sysroot) /* without directories, it reads only the command line */
    modules->running = kmod_new (host->modules_path, no_folders);
  modules->blacklist = settings_of (modules, kmod_config_get_blacklists);
  g_auto (GStrv) words = words_of_command_line (modules);
  for (char **word = words; *word; word++) {
    const char *list = g_str_has_prefix (*word, blacklist) ? *word + strlen (blacklist) : "";
    g_auto (GStrv) names = g_strsplit (list, ",", -1);
    for (char **name = names; *name; name++)
      g_ptr_array_add (modules->blacklist, vv_module_name (*name));
  }
  kmod_load_resources (modules->kmod); /* for vv_modules_changed(); if an index is missing, loads fail */
  return g_steal_pointer (&modules);
}

void
vv_modules_free (VvModules *modules)
{
  if (!modules)
    return;
  kmod_unref (modules->kmod);
  kmod_unref (modules->running);
  if (modules->blacklist)
    g_ptr_array_unref (modules->blacklist);
  g_free (modules);
}

void
vv_modules_each_alias (VvModules *modules, VvAliasFunc func, gpointer data)
{
  struct kmod_config_iter *i = kmod_config_get_aliases (modules->kmod);

  while (i && kmod_config_iter_next (i))
    func (kmod_config_iter_get_key (i), kmod_config_iter_get_value (i), data);
  if (i)
    kmod_config_iter_free_iter (i);
}

gboolean
vv_modules_blacklisted (VvModules *modules, const char *module)
{
  g_autofree char *name = vv_module_name (module);

  return g_ptr_array_find_with_equal_func (modules->blacklist, name, g_str_equal, NULL);
}

char *
vv_modules_options (VvModules *modules, const char *module)
{
  g_autoptr (GPtrArray) settings = settings_of (modules, kmod_config_get_options);
  g_auto (GStrv) command_line = words_of_command_line (modules);
  g_autofree char *name = vv_module_name (module);
  gsize length = strlen (name);
  GString *options = g_string_new (NULL);

  for (guint i = 0; i < settings->len; i++) {
    const char *setting = settings->pdata[i]; /* "MODULE OPTION..." */
    if (strncmp (setting, name, length) == 0 && setting[length] == ' ')
      g_string_append_printf (options, "%s%s", options->len ? " " : "", setting + length + 1);
  }
  for (char **word = command_line; *word; word++) { /* MODULE.OPTION */
    g_autofree char *before = g_strndup (*word, strcspn (*word, "."));
    g_autofree char *its = vv_module_name (before);
    if (strcmp (its, name) == 0 && (*word)[length] == '.')
      g_string_append_printf (options, "%s%s", options->len ? " " : "", *word + length + 1);
  }
  return g_string_free (options, FALSE);
}

gboolean
vv_modules_option_is_on (VvModules *modules, const char *module, const char *option)
{
  g_autofree char *options = vv_modules_options (modules, module);
  g_auto (GStrv) words = g_strsplit_set (options, " \t", -1);
  gsize length = strlen (option);
  gboolean on = FALSE;

  for (char **word = words; *word; word++) { /* "OPTION" or "OPTION=VALUE" */
    if (strncmp (*word, option, length) != 0 || ((*word)[length] && (*word)[length] != '='))
      continue;
    const char *value = (*word)[length] ? *word + length + 1 : "1";
    /* values that are true: kstrtobool() */
    on = strchr ("1yYtT", *value) ? *value != '\0' : g_ascii_strncasecmp (value, "on", 2) == 0;
  }
  return on;
}

/* libkmod calls this instead of system(3). With system(3), the command would inherit our open files, and
 * write to our standard output, which may be libvirt's or carry JSON. Sets modprobe's variable
 * (modprobe.d(5)). */
static int
run_install (struct kmod_module *mod, const char *command, void *data)
{
  const char *name = kmod_module_get_name (mod);
  g_autofree char *variable = g_strconcat ("MODPROBE_MODULE=", name, NULL);
  const char *const argv[] = {"env", variable, "/bin/sh", "-c", command, NULL};
  const VvSubprocess shell = {.path = "/usr/bin/env", .argv = argv, .limit_ms = G_MAXUINT};
  g_autofree char *output = NULL;
  GError **problem = data;

  g_clear_error (problem); /* from an optional module */
  if (!vv_subprocess_run (&shell, &output, problem)) {
    g_prefix_error (problem, _ ("module %s: its install command in modprobe.d, '%s', failed: "), name,
                    command);
    return -EIO;
  }
  if (output)
    g_message ("module %s: its install command in modprobe.d printed: %s", name, output);
  return 0;
}

/* @problem: (nullable): the error of an "install" command */
static gboolean
load_failed (VvModules *modules, struct kmod_module *mod, int errnum, const GError *problem, GError **error)
{
  const char *name = kmod_module_get_name (mod);

  if (problem) {
    if (error)
      *error = g_error_copy (problem);
    return FALSE;
  }
  if (errnum == ENOENT) {
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND,
                 _ ("module %s is not installed below %s; if it was just added, run 'depmod'"), name,
                 modules->host->modules_path);
    return FALSE;
  }
  return vv_set_errno (error, errnum, _ ("cannot load module %s (see the kernel log)"), name);
}

/* Creates a context for each load: a context is for one thread at a time, and a slow module must not delay
 * the load of another. */
gboolean
vv_modules_load (VvModules *modules, const char *module, GError **error)
{
  struct kmod_ctx *kmod = new_context (modules->host, error);
  struct kmod_module *mod = NULL;
  g_autoptr (GError) problem = NULL;

  if (!kmod)
    return FALSE;
  int r = kmod_module_new_from_name (kmod, module, &mod);
  gboolean done = r == 0 || vv_set_errno (error, -r, _ ("module %s"), module);
  if (done) {
    r = kmod_module_probe_insert_module (mod, 0, NULL, run_install, &problem, NULL);
    done = r == 0 || load_failed (modules, mod, r < 0 ? -r : EIO, problem, error);
    kmod_module_unref (mod);
  }
  kmod_unref (kmod);
  return done;
}

/* --- inspection --- */

#define DEP_LIMIT (16 * 1024 * 1024) /* modules.dep has about one megabyte */

/* The marker at the end of a signed module's file (include/linux/module_signature.h of the kernel) */
#define SIGNATURE_MARK "~Module signature appended~\n"

void
vv_module_look_clear (VvModuleLook *look)
{
  g_free (look->path);
  g_free (look->install);
  g_free (look->lacks);
  *look = (VvModuleLook){0};
}

/* /sys describes the running kernel only. Without a procfs, @host counts as that kernel. */
static gboolean
is_present (const VvHost *host, const char *module)
{
  g_autofree char *name = vv_module_name (module);
  g_autofree char *folder = g_build_filename ("module", name, NULL);
  g_autofree char *running = host->proc ? vv_io_attribute (host->proc, "sys/kernel/osrelease") : NULL;

  return (!running || strcmp (running, host->release) == 0) && vv_io_exists (host->sys, folder);
}

static VvSigned
mark_at_end (const char *path)
{
  char end[sizeof SIGNATURE_MARK - 1];
  FILE *file = fopen (path, "re");

  if (!file)
    return VV_SIGNED_UNKNOWN;
  gboolean is_read =
      fseek (file, -(long)sizeof end, SEEK_END) == 0 && fread (end, 1, sizeof end, file) == sizeof end;
  fclose (file);
  return is_read && memcmp (end, SIGNATURE_MARK, sizeof end) == 0 ? VV_SIGNED_YES : VV_SIGNED_NO;
}

/* libkmod decompresses the file, if it was built with support for the compression. */
static VvSigned
signature_in_info (struct kmod_module *mod)
{
  struct kmod_list *info = NULL, *item;
  VvSigned found = VV_SIGNED_NO;

  if (kmod_module_get_info (mod, &info) < 0)
    return VV_SIGNED_UNKNOWN;
  kmod_list_foreach (item, info) if (strcmp (kmod_module_info_get_key (item), "sig_id") == 0) found =
      VV_SIGNED_YES;
  kmod_module_info_free_list (info);
  return found;
}

/* Returns: the dependencies of the module file @relative in modules.dep (modules.dep(5)). libkmod returns no
 * dependencies at all if the file of one is missing. */
static char *
dependencies_of (const VvHost *host, const char *relative)
{
  g_autoptr (VvDir) dir = vv_dir_open (NULL, host->modules_path, NULL);
  g_autofree char *text = dir ? vv_io_read (dir, "modules.dep", DEP_LIMIT, NULL) : NULL;
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);
  gsize length = strlen (relative);

  for (char **line = lines; *line; line++)
    if (strncmp (*line, relative, length) == 0 && (*line)[length] == ':')
      return g_strdup (*line + length + 1);
  return NULL;
}

static char *
first_that_lacks (const VvHost *host, const char *path)
{
  gsize length = strlen (host->modules_path);

  if (!path || strncmp (path, host->modules_path, length) != 0 || path[length] != '/')
    return NULL;
  g_autofree char *needed = dependencies_of (host, path + length + 1);
  g_auto (GStrv) files = g_strsplit (needed ? needed : "", " ", -1);
  for (char **file = files; *file; file++) {
    g_autofree char *full = g_build_filename (host->modules_path, *file, NULL);
    g_autofree char *name = g_path_get_basename (*file);
    name[strcspn (name, ".")] = '\0';
    if (**file && !g_file_test (full, G_FILE_TEST_IS_REGULAR) && !is_present (host, name))
      return g_steal_pointer (&name);
  }
  return NULL;
}

void
vv_modules_look (VvModules *modules, const char *module, VvModuleLook *look)
{
  struct kmod_module *mod = NULL;

  *look = (VvModuleLook){.present = is_present (modules->host, module),
                         .blacklisted = vv_modules_blacklisted (modules, module)};
  if (kmod_module_new_from_name (modules->kmod, module, &mod) < 0)
    return;
  look->install = g_strdup (kmod_module_get_install_commands (mod));
  look->builtin = kmod_module_get_initstate (mod) == KMOD_MODULE_BUILTIN;
  const char *path = kmod_module_get_path (mod);
  if (path && g_file_test (path, G_FILE_TEST_IS_REGULAR)) {
    look->path = g_strdup (path);
    look->signature = g_str_has_suffix (path, ".ko") ? mark_at_end (path) : signature_in_info (mod);
  }
  look->lacks = first_that_lacks (modules->host, look->path);
  kmod_module_unref (mod);
}

gboolean
vv_modules_changed (VvModules *modules)
{
  return kmod_validate_resources (modules->kmod) != KMOD_RESOURCES_OK;
}

/* Most drivers have the name of their module, with dashes or underscores. For these, avoids listing the
 * directory. */
static char *
namesake (const VvHost *host, const char *folder, const char *bus, const char *module)
{
  g_autofree char *name = vv_module_name (module);

  for (const char *sign = "_-"; *sign; sign++) {
    g_strdelimit (name, "_-", *sign);
    g_autofree char *link = g_strconcat (folder, "/", bus, ":", name, NULL);
    if (vv_io_exists (host->sys, link))
      return g_steal_pointer (&name);
  }
  return NULL;
}

/* Returns: the driver that has the module's name in any mixture of dashes and underscores, else the first */
static char *
listed_driver (const VvHost *host, const char *folder, const char *bus, const char *module)
{
  g_autofree char *prefix = g_strconcat (bus, ":", NULL);
  g_autoptr (GPtrArray) links = vv_io_list (host->sys, folder);
  const char *first = NULL;

  for (guint i = 0; i < links->len; i++) {
    const char *link = links->pdata[i];
    if (!g_str_has_prefix (link, prefix))
      continue;
    g_autofree char *spelled = vv_module_name (link + strlen (prefix));
    if (strcmp (spelled, module) == 0)
      return g_strdup (link + strlen (prefix));
    first = first ? first : link + strlen (prefix);
  }
  return g_strdup (first);
}

char *
vv_module_driver (const VvHost *host, const char *bus, const char *module)
{
  g_autofree char *name = vv_module_name (module);
  g_autofree char *folder = g_build_filename ("module", name, "drivers", NULL);
  char *driver = namesake (host, folder, bus, name);

  return driver ? driver : listed_driver (host, folder, bus, name);
}

char *
vv_driver_module (const VvHost *host, const char *bus, const char *driver)
{
  g_autofree char *link = g_build_filename ("bus", bus, "drivers", driver, "module", NULL);

  return vv_io_link_name (host->sys, link);
}
