/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * now: the timer of the benches without GLib.
 */
#pragma once

#include <time.h>

/** now_usec: Returns: microseconds of a monotonic clock */
static inline double
now_usec (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}
