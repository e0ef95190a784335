/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * news: what vfio-variant-domain tells the hook that runs it, by a pipe of its own.
 *
 * Each message ends with a NUL byte: "NUMBER TEXT". It says that the work goes on. What is next may take
 * NUMBER milliseconds by a limit of its own, besides the time that the hook waits in any case. TEXT is what
 * the hook is to tell libvirt if the domain must not start after all: because the program exits with 1, or
 * because nothing more is heard of it. Empty: the domain may start.
 */
#pragma once

/** VV_NEWS_FD: the descriptor of the pipe in vfio-variant-domain */
#define VV_NEWS_FD 3

/** VV_NEWS_LIMIT: bytes of a message, the NUL included; a longer one is cut */
#define VV_NEWS_LIMIT 4096
