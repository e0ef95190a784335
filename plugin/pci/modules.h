/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * modules: kernel modules, through libkmod.
 *
 * Owns: the libkmod context (modprobe.d as read at its start), loading, and the way from a module's name to
 * the name of the driver that it registered. Knows nothing of aliases' rank nor of devices.
 */
#pragma once

#include "host.h"

typedef struct VvModules VvModules;

/**
 * vv_modules_new:
 *
 * Reads modprobe.d and the kernel command line, both below the host's sysroot when it has one. A missing
 * modules directory is no error here: every load will fail and say so.
 *
 * Returns: (transfer full): the modules of @host, which must live longer; or NULL with @error set
 */
VvModules *vv_modules_new (const VvHost *host, GError **error);
void vv_modules_free (VvModules *modules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvModules, vv_modules_free)

/** Called with a pattern and the module it names, both valid only during the call. */
typedef void (*VvAliasFunc) (const char *pattern, const char *module, gpointer data);

/** vv_modules_each_alias: calls @func for every "alias" line of modprobe.d, in the order libkmod ranks them
 */
void vv_modules_each_alias (VvModules *modules, VvAliasFunc func, gpointer data);

/** vv_modules_blacklisted: Returns: whether modprobe.d, or modprobe.blacklist= of the kernel command line,
 * blacklists @module */
gboolean vv_modules_blacklisted (VvModules *modules, const char *module);

/** vv_modules_option_is_on: Returns: whether @module, when it is loaded, gets the bool parameter @option
 * turned on by modprobe.d or the kernel command line */
gboolean vv_modules_option_is_on (VvModules *modules, const char *module, const char *option);

/**
 * vv_modules_options:
 * @module: a module's name, with dashes or underscores
 *
 * Returns: (transfer full): the options that "options" lines of modprobe.d, or MODULE.OPTION on the kernel
 * command line, give to @module, with blanks between them; empty when there are none
 */
char *vv_modules_options (VvModules *modules, const char *module);

/**
 * vv_modules_load:
 * @module: a module's name, with dashes or underscores
 *
 * Loads a module and what it depends on, as modprobe NAME does: "install" commands are run, by
 * vv_subprocess_run() and for as long as they take, and what they print is logged; a blacklist does not count
 * (it is for aliases, modprobe.d(5)), a loaded or built-in module is success. May be called from several
 * threads at the same time.
 *
 * Returns: TRUE, or FALSE with @error set
 */
gboolean vv_modules_load (VvModules *modules, const char *module, GError **error);

/**
 * VvSigned:
 * @VV_SIGNED_UNKNOWN: its file cannot be read, or is compressed in a way that libkmod does not know
 * @VV_SIGNED_NO: nothing is appended to its file
 * @VV_SIGNED_YES: a signature is; whose, and whether the kernel knows that key, is not looked at
 */
typedef enum {
  VV_SIGNED_UNKNOWN,
  VV_SIGNED_NO,
  VV_SIGNED_YES,
} VvSigned;

/**
 * VvModuleLook:
 * @present: the running kernel has it, loaded or built in, and @host is about that kernel
 * @builtin: it is part of the kernel image
 * @path: (nullable): its file, which is there; NULL: depmod's tables have none, or it is gone
 * @blacklisted: vv_modules_blacklisted()
 * @install: (nullable): the command that modprobe.d has run in the place of loading it
 * @signature: of the file at @path
 * @lacks: (nullable): a module that it depends on, which is neither present nor has a file
 */
typedef struct {
  gboolean present;
  gboolean builtin;
  char *path;
  gboolean blacklisted;
  char *install;
  VvSigned signature;
  char *lacks;
} VvModuleLook;

void vv_module_look_clear (VvModuleLook *look);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvModuleLook, vv_module_look_clear)

/**
 * vv_modules_look:
 * @module: a module's name, with dashes or underscores
 * @look: (out): what there is; to be cleared
 *
 * What a load would find. Nothing is loaded, nothing is run.
 */
void vv_modules_look (VvModules *modules, const char *module, VvModuleLook *look);

/**
 * vv_modules_changed:
 *
 * Returns: whether depmod's tables or the list of files in modprobe.d are others than when @modules was made;
 * a file of modprobe.d that was edited in place is not noticed
 */
gboolean vv_modules_changed (VvModules *modules);

/**
 * vv_module_driver:
 * @bus: "pci"
 * @module: a module's name, with dashes or underscores
 *
 * The name of the driver that a module registered on a bus: the link BUS:DRIVER in /sys/module/MODULE/drivers
 * (module_add_driver() in the kernel's drivers/base/module.c), which loaded and built-in modules have. When
 * there are several, the one named like the module, else the first.
 *
 * Returns: (transfer full) (nullable): the driver, NULL when the module is not loaded or has none on this bus
 */
char *vv_module_driver (const VvHost *host, const char *bus, const char *module);

/**
 * vv_driver_module:
 * @bus: "pci"
 * @driver: a driver's name
 *
 * The other way round: the link "module" of a driver, which module_add_driver() makes, too.
 *
 * Returns: (transfer full) (nullable): the module that registered the driver; NULL when there is no such
 * driver, or it is part of the kernel under no module's name
 */
char *vv_driver_module (const VvHost *host, const char *bus, const char *driver);
