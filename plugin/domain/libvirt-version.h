/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-version: which libvirt a thread belongs to.
 *
 * Owns: reading a version off the libvirt.so that a process has mapped. libvirt itself cannot be asked: it
 * waits for us (rule R10). Knows nothing of what follows from a version.
 */
#pragma once

#include "host.h"

/** libvirt's own way to write versions in one number (LIBVIR_VERSION_NUMBER) */
#define VV_LIBVIRT_VERSION(major, minor, micro) ((major)*1000000 + (minor)*1000 + (micro))

/**
 * vv_libvirt_version_of:
 * @tid: a thread
 *
 * libvirt's shared library carries its version in its file's name: libvirt.so.0.MMmmm.micro, MM * 1000 + mmm
 * (libvirt's meson.build, libvirt_lib_version).
 *
 * Returns: the version as VV_LIBVIRT_VERSION() has it; 0 when it cannot be told
 */
guint vv_libvirt_version_of (const VvHost *host, pid_t tid);
