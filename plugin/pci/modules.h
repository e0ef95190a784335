/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * modules: kernel modules, through libkmod.
 *
 * Owns: the libkmod context (modprobe.d as of its creation), module loading, and the lookup from a module to
 * the driver that it registered. Knows nothing of the rank of aliases, nor of devices.
 */
#pragma once

#include "host.h"

typedef struct VvModules VvModules;

/**
 * vv_modules_new:
 *
 * Reads modprobe.d and the kernel command line, both below the host's sysroot if it has one. A missing
 * modules directory is no error here; every load then fails with an error that names it.
 *
 * Returns: (transfer full): the modules of @host, or NULL with @error set; @host must outlive them
 */
VvModules *vv_modules_new (const VvHost *host, GError **error);
void vv_modules_free (VvModules *modules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvModules, vv_modules_free)

/** VvAliasFunc: Called with a pattern and its module, which are valid only during the call. */
typedef void (*VvAliasFunc) (const char *pattern, const char *module, gpointer data);

/** vv_modules_each_alias: Calls @func for each "alias" line of modprobe.d, in the order of libkmod */
void vv_modules_each_alias (VvModules *modules, VvAliasFunc func, gpointer data);

/** vv_modules_blacklisted: Returns: whether modprobe.d, or modprobe.blacklist= on the kernel command line,
 * blacklists @module */
gboolean vv_modules_blacklisted (VvModules *modules, const char *module);

/** vv_modules_option_is_on: Returns: whether modprobe.d or the kernel command line sets the bool parameter
 * @option of @module, which takes effect when the module is loaded */
gboolean vv_modules_option_is_on (VvModules *modules, const char *module, const char *option);

/**
 * vv_modules_options:
 * @module: a module's name, with dashes or underscores
 *
 * Returns: (transfer full): the options of @module from "options" lines of modprobe.d and from MODULE.OPTION
 * on the kernel command line, separated by blanks; empty if there are none
 */
char *vv_modules_options (VvModules *modules, const char *module);

/**
 * vv_modules_load:
 * @module: a module's name, with dashes or underscores
 *
 * Loads a module and its dependencies, as "modprobe NAME" does. Runs "install" commands with
 * vv_subprocess_run(), without a time limit, and logs their output. Ignores blacklists, which apply to
 * aliases only (modprobe.d(5)). Succeeds if the module is loaded already, or built in. Several threads may
 * call this at the same time.
 *
 * Returns: TRUE, or FALSE with @error set
 */
gboolean vv_modules_load (VvModules *modules, const char *module, GError **error);

/**
 * VvSigned:
 * @VV_SIGNED_UNKNOWN: the file cannot be read, or libkmod does not support its compression
 * @VV_SIGNED_NO: the file has no signature
 * @VV_SIGNED_YES: the file has a signature; neither the signer nor the key is checked
 */
typedef enum {
  VV_SIGNED_UNKNOWN,
  VV_SIGNED_NO,
  VV_SIGNED_YES,
} VvSigned;

/**
 * VvModuleLook:
 * @present: the running kernel has the module, loaded or built in, and @host describes that kernel
 * @builtin: the module is part of the kernel image
 * @path: (nullable): its file; NULL: depmod's tables do not list it, or the file is missing
 * @blacklisted: vv_modules_blacklisted()
 * @install: (nullable): the command that modprobe.d runs instead of loading it
 * @signature: of the file at @path
 * @lacks: (nullable): a dependency that is neither present nor has a file
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
 * @look: (out): the result; the caller clears it
 *
 * Reports what a load would find. Loads nothing and runs nothing.
 */
void vv_modules_look (VvModules *modules, const char *module, VvModuleLook *look);

/**
 * vv_modules_changed:
 *
 * Returns: whether depmod's tables or the list of files in modprobe.d changed since vv_modules_new(); does
 * not detect a modprobe.d file that was edited in place
 */
gboolean vv_modules_changed (VvModules *modules);

/**
 * vv_module_driver:
 * @bus: "pci"
 * @module: a module's name, with dashes or underscores
 *
 * Finds the driver that a module registered on a bus, from the link BUS:DRIVER in /sys/module/MODULE/drivers.
 * Loaded and built-in modules have it (module_add_driver() in the kernel's drivers/base/module.c). If there
 * are several drivers, prefers the one with the module's name, else takes the first.
 *
 * Returns: (transfer full) (nullable): the driver; NULL if the module is not loaded, or has no driver on this
 * bus
 */
char *vv_module_driver (const VvHost *host, const char *bus, const char *module);

/**
 * vv_driver_module:
 * @bus: "pci"
 * @driver: a driver's name
 *
 * Finds the module of a driver, from the driver's link "module", which module_add_driver() creates, too.
 *
 * Returns: (transfer full) (nullable): the module that registered the driver; NULL if there is no such
 * driver, or if it is built in without a module name
 */
char *vv_driver_module (const VvHost *host, const char *bus, const char *driver);
