/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modules.h"

#include <errno.h>
#include <libkmod.h>
#include <string.h>

#include "modalias.h"

struct VvModules {
  struct kmod_ctx *kmod;
  const VvHost *host;
};

/* libkmod's own list names the running system's folders; this is the same list below a sysroot
 * (modprobe.d(5)). */
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
    kmod_set_log_fn (kmod, discard, NULL); /* what fails is said in our errors */
  else
    vv_set_errno (error, errno ? errno : ENOMEM, "libkmod cannot start on %s", host->modules_path);
  return kmod;
}

VvModules *
vv_modules_new (const VvHost *host, GError **error)
{
  g_autoptr (VvModules) modules = g_new0 (VvModules, 1);

  modules->host = host;
  modules->kmod = new_context (host, error);
  if (!modules->kmod)
    return NULL;
  kmod_load_resources (modules->kmod); /* for vv_modules_changed(); a missing index shows at the load */
  return g_steal_pointer (&modules);
}

void
vv_modules_free (VvModules *modules)
{
  if (!modules)
    return;
  kmod_unref (modules->kmod);
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
  struct kmod_config_iter *i = kmod_config_get_blacklists (modules->kmod);
  g_autofree char *wanted = vv_module_name (module);
  gboolean found = FALSE;

  while (i && !found && kmod_config_iter_next (i)) {
    g_autofree char *name = vv_module_name (kmod_config_iter_get_key (i));
    found = strcmp (name, wanted) == 0;
  }
  if (i)
    kmod_config_iter_free_iter (i);
  return found;
}

/* libkmod returns what an "install" command exited with as an errno, which would read as a lie. */
static gboolean
load_failed (VvModules *modules, struct kmod_module *mod, int errnum, GError **error)
{
  const char *name = kmod_module_get_name (mod);
  const char *command = kmod_module_get_install_commands (mod);

  if (command) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 "module %s: its install command in modprobe.d, '%s', failed", name, command);
    return FALSE;
  }
  if (errnum == ENOENT) {
    g_set_error (error, VV_ERROR, VV_ERROR_NOT_FOUND,
                 "module %s is not below %s (run depmod if it was just added)", name,
                 modules->host->modules_path);
    return FALSE;
  }
  return vv_set_errno (error, errnum, "module %s cannot be loaded (the kernel log may say more)", name);
}

/* In a context of its own: a context is for one thread at a time, and a module that takes its time to load
 * must not keep another one waiting. */
gboolean
vv_modules_load (VvModules *modules, const char *module, GError **error)
{
  struct kmod_ctx *kmod = new_context (modules->host, error);
  struct kmod_module *mod = NULL;

  if (!kmod)
    return FALSE;
  int r = kmod_module_new_from_name (kmod, module, &mod);
  gboolean done = r == 0 || vv_set_errno (error, -r, "module %s", module);
  if (done) {
    r = kmod_module_probe_insert_module (mod, 0, NULL, NULL, NULL, NULL);
    done = r == 0 || load_failed (modules, mod, r < 0 ? -r : EIO, error);
    kmod_module_unref (mod);
  }
  kmod_unref (kmod);
  return done;
}

gboolean
vv_modules_changed (VvModules *modules)
{
  return kmod_validate_resources (modules->kmod) != KMOD_RESOURCES_OK;
}

char *
vv_module_driver (const VvHost *host, const char *bus, const char *module)
{
  g_autofree char *name = vv_module_name (module);
  g_autofree char *folder = g_build_filename ("module", name, "drivers", NULL);
  g_autofree char *prefix = g_strconcat (bus, ":", NULL);
  g_autoptr (GPtrArray) links = vv_io_list (host->sys, folder);
  const char *first = NULL;

  for (guint i = 0; i < links->len; i++) {
    const char *link = links->pdata[i];
    if (!g_str_has_prefix (link, prefix))
      continue;
    g_autofree char *spelled = vv_module_name (link + strlen (prefix));
    if (strcmp (spelled, name) == 0)
      return g_strdup (link + strlen (prefix));
    first = first ? first : link + strlen (prefix);
  }
  return g_strdup (first);
}
