/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fuzz: helpers of the fuzz targets. Each target gets bytes from libFuzzer and aborts if the library breaks a
 * guarantee; the sanitizers detect everything else.
 */
#pragma once

#include "context.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/** fuzz_host: Returns: (transfer none): an empty root directory of this process, in memory if /dev/shm exists
 */
const VvHost *fuzz_host (void);

/** fuzz_write: writes @data to the file @path below the host's root */
void fuzz_write (const char *path, const guint8 *data, gsize size);
