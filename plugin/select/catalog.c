/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "modalias.h"

#define ALIAS_LIMIT 4096                /* libkmod's limit for a line */
#define BUILTIN_LIMIT (4 * 1024 * 1024) /* modules.builtin has at most some hundred kilobytes */
#define BLACKLISTED N_ ("blacklisted in modprobe.d or on the kernel command line")

struct VvCatalog {
  VvModules *modules;
  char *prefix;       /* "vfio_" */
  GPtrArray *entries; /* of VvCandidate, by rank: aliases with the prefix, any bus, blacklisted or not */
  GString *warning;
};

static void
add_entry (VvCatalog *catalog, const char *pattern, const char *module, VvSource source)
{
  if (!g_str_has_prefix (pattern, catalog->prefix) || !vv_name_is_safe (module) ||
      strnlen (pattern, ALIAS_LIMIT) == ALIAS_LIMIT) /* lines of modprobe.d have no limit */
    return;
  VvCandidate *c = vv_candidate_new (module, pattern, source);
  if (vv_modules_blacklisted (catalog->modules, c->module))
    c->excluded = g_strdup (_ (BLACKLISTED));
  g_ptr_array_add (catalog->entries, c);
}

static void
add_modprobe_alias (const char *pattern, const char *module, gpointer catalog)
{
  add_entry (catalog, pattern, module, VV_SOURCE_MODPROBE);
}

/* Returns: a table of the modules directory, or NULL. Keeps a message for the first missing table. */
static GMappedFile *
open_table (VvCatalog *catalog, const VvHost *host, const char *name)
{
  g_autofree char *path = g_build_filename (host->modules_path, name, NULL);
  g_autoptr (GError) error = NULL;
  g_auto (VvFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block the open */
  int errnum = errno;
  GMappedFile *table = fd < 0 ? NULL : g_mapped_file_new_from_fd (fd, FALSE, &error);

  if (!table && !catalog->warning->len)
    g_string_printf (catalog->warning,
                     _ ("%s: %s; only the generic driver can be found reliably; run 'depmod', or make the "
                        "modules directory readable"),
                     path, error ? error->message : g_strerror (errnum));
  return table;
}

/* modules.alias: lines "alias PATTERN MODULE", written by depmod */
static void
read_modules_alias (VvCatalog *catalog, const VvHost *host)
{
  g_autoptr (GMappedFile) table = open_table (catalog, host, "modules.alias");
  const char *at = table ? g_mapped_file_get_contents (table) : NULL;
  const char *end = at ? at + g_mapped_file_get_length (table) : NULL;
  g_autofree char *wanted = g_strconcat ("alias ", catalog->prefix, NULL);
  gsize wanted_length = strlen (wanted);

  while (at && at < end) {
    const char *newline = memchr (at, '\n', end - at);
    gsize length = (newline ? newline : end) - at;
    if (length > wanted_length && length < ALIAS_LIMIT && memcmp (at, wanted, wanted_length) == 0) {
      g_autofree char *text = g_strndup (at, length);
      g_auto (GStrv) words = g_strsplit (text, " ", 3);
      if (g_strv_length (words) == 3)
        add_entry (catalog, words[1], g_strstrip (words[2]), VV_SOURCE_ALIAS);
    }
    at += length + 1;
  }
}

/* modules.builtin.modinfo: NUL-terminated strings, among them "MODULE.alias=PATTERN" (kernel,
 * scripts/Makefile.vmlinux) */
static void
read_builtin (VvCatalog *catalog, const VvHost *host)
{
  g_autoptr (GMappedFile) table = open_table (catalog, host, "modules.builtin.modinfo");
  const char *at = table ? g_mapped_file_get_contents (table) : NULL;
  const char *end = at ? at + g_mapped_file_get_length (table) : NULL;
  g_autofree char *wanted = g_strconcat (".alias=", catalog->prefix, NULL);

  while (at && at < end) {
    gsize length = strnlen (at, end - at);
    if (length < ALIAS_LIMIT && memmem (at, length, wanted, strlen (wanted))) {
      g_autofree char *text = g_strndup (at, length);
      g_auto (GStrv) parts = g_strsplit (text, ".alias=", 2);
      add_entry (catalog, parts[1], parts[0], VV_SOURCE_BUILTIN);
    }
    at += length + 1;
  }
}

/* The sort is stable: entries of equal rank keep the order in which they were read. libvirt also takes the
 * first line of modules.alias with the fewest wildcards (virPCIDeviceFindBestVFIOVariant()). */
static int
compare_rank (gconstpointer a, gconstpointer b)
{
  const VvCandidate *x = *(const VvCandidate *const *)a, *y = *(const VvCandidate *const *)b;

  if (x->wildcards != y->wildcards)
    return x->wildcards < y->wildcards ? -1 : 1;
  return (x->source > y->source) - (x->source < y->source);
}

VvCatalog *
vv_catalog_new (const VvHost *host, VvModules *modules, const char *prefix)
{
  VvCatalog *catalog = g_new0 (VvCatalog, 1);

  catalog->modules = modules;
  catalog->prefix = g_strconcat (prefix, "_", NULL);
  catalog->entries = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_candidate_free);
  catalog->warning = g_string_new (NULL);
  vv_modules_each_alias (modules, add_modprobe_alias, catalog);
  read_modules_alias (catalog, host);
  read_builtin (catalog, host);
  g_ptr_array_sort (catalog->entries, compare_rank);
  for (guint i = 0; i < catalog->entries->len; i++)
    ((VvCandidate *)catalog->entries->pdata[i])->rank = i;
  return catalog;
}

void
vv_catalog_free (VvCatalog *catalog)
{
  if (!catalog)
    return;
  g_free (catalog->prefix);
  g_ptr_array_unref (catalog->entries);
  g_string_free (catalog->warning, TRUE);
  g_free (catalog);
}

const char *
vv_catalog_warning (const VvCatalog *catalog)
{
  return catalog->warning->len ? catalog->warning->str : NULL;
}

/* Returns: the module of a variant driver in a line of modules.builtin, such as
 * kernel/drivers/vfio/pci/mlx5/mlx5-vfio-pci.ko, or NULL */
static char *
variant_in_line (const char *line)
{
  g_autofree char *file = g_path_get_basename (line);

  if (!g_str_has_suffix (file, ".ko"))
    return NULL;
  file[strlen (file) - strlen (".ko")] = '\0';
  g_autofree char *module = vv_module_name (file);
  return g_str_has_suffix (module, "_" VV_GENERIC_MODULE) && vv_name_is_safe (module)
             ? g_steal_pointer (&module)
             : NULL;
}

GPtrArray *
vv_catalog_silent (const VvCatalog *catalog, const VvHost *host)
{
  GPtrArray *silent = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (VvDir) dir = vv_dir_open (NULL, host->modules_path, NULL);
  g_autofree char *text = dir ? vv_io_read (dir, "modules.builtin", BUILTIN_LIMIT, NULL) : NULL;
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  for (char **line = lines; *line; line++) {
    g_autofree char *module = variant_in_line (*line);
    if (module && !vv_candidate_of_module (catalog->entries, module))
      g_ptr_array_add (silent, g_steal_pointer (&module));
  }
  return silent;
}

/* Adds a copy of @e, the next entry in rank, to the candidates or to the excluded ones. */
static void
take (VvChoice *choice, const VvCandidate *e)
{
  VvCandidate *c = g_new0 (VvCandidate, 1);
  const VvCandidate *better = vv_candidate_of_module (choice->candidates, e->module);

  *c = *e;
  c->module = g_strdup (e->module);
  c->alias = g_strdup (e->alias);
  c->excluded = g_strdup (e->excluded);
  if (!c->excluded && better)
    c->excluded = g_strdup_printf (_ ("the module has a better alias: %s"), better->alias);
  g_ptr_array_add (c->excluded ? choice->excluded : choice->candidates, c);
}

VvChoice *
vv_catalog_select (const VvCatalog *catalog, const char *modalias, GError **error)
{
  g_autofree char *prefix = g_strndup (catalog->prefix, strlen (catalog->prefix) - 1);
  char *key = vv_modalias_key (prefix, modalias, error);

  if (!key)
    return NULL;
  VvChoice *choice = vv_choice_new (key);
  for (guint i = 0; i < catalog->entries->len; i++) {
    const VvCandidate *e = catalog->entries->pdata[i];
    if (vv_modalias_match (e->alias, key))
      take (choice, e);
  }
  if (g_str_has_prefix (key, VV_PREFIX_VFIO "_pci:") &&
      !vv_candidate_of_module (choice->candidates, VV_GENERIC_MODULE) &&
      !vv_candidate_of_module (choice->excluded, VV_GENERIC_MODULE)) {
    /* The generic driver may exist even if no table offers it: adds it as the last candidate. */
    VvCandidate c = {.module = (char *)VV_GENERIC_MODULE, .source = VV_SOURCE_DEFAULT};
    if (vv_modules_blacklisted (catalog->modules, c.module))
      c.excluded = (char *)_ (BLACKLISTED);
    take (choice, &c);
  }
  return choice;
}
