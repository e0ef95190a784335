/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fuzz: what the fuzz targets share. Each is fed bytes by libFuzzer and aborts when a promise of the
 * library's is broken; the sanitizers see the rest.
 */
#pragma once

#include "context.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/** fuzz_host: Returns: (transfer none): an empty root file system of the process's own, in memory where there
 * is /dev/shm */
const VvHost *fuzz_host (void);

/** fuzz_write: gives the file @path below the host's root this content */
void fuzz_write (const char *path, const guint8 *data, gsize size);
