/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt-version: the version of the libvirt daemon that a thread belongs to.
 *
 * Owns: the extraction of the version from the name of the libvirt.so that the process has mapped. libvirt
 * cannot be asked, because it waits for vfio-variant (rule R10). Knows nothing of the consequences of a
 * version.
 */
#pragma once

#include "host.h"

/** libvirt's encoding of a version in one number (LIBVIR_VERSION_NUMBER) */
#define VV_LIBVIRT_VERSION(major, minor, micro) ((major)*1000000 + (minor)*1000 + (micro))

/**
 * vv_libvirt_version_of:
 * @tid: a thread ID
 *
 * Reads the version from the file name of libvirt's shared library: libvirt.so.0.MMmmm.micro, where MMmmm is
 * MM * 1000 + mmm (libvirt's meson.build, libvirt_lib_version).
 *
 * Returns: the version, as VV_LIBVIRT_VERSION() encodes it; 0 when unknown
 */
guint vv_libvirt_version_of (const VvHost *host, pid_t tid);
