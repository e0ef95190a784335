/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * news: the messages that vfio-variant-domain sends to the hook that runs it, through a pipe.
 *
 * Each message is "NUMBER TEXT" and ends with a NUL byte. A message reports that the work makes progress.
 * NUMBER is how long the next step may take, in milliseconds, in addition to the hook's own deadline. TEXT is
 * the hook's message to libvirt if the domain must not start. The hook prints it if the program exits with 1,
 * or if no further message arrives. If TEXT is empty, the domain may start.
 */
#pragma once

/** VV_NEWS_FD: the descriptor of the pipe in vfio-variant-domain */
#define VV_NEWS_FD 3

/** VV_NEWS_LIMIT: maximum bytes of a message, including the NUL; a longer message is truncated */
#define VV_NEWS_LIMIT 4096
