/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "input.h"

#include <errno.h>
#include <unistd.h>

#include "domain-xml.h"

GString *
vv_hook_input (void)
{
  GString *text = g_string_sized_new (16384);
  char buffer[16384];
  ssize_t n = 1;

  while (n > 0 && text->len <= VV_DOMAIN_XML_LIMIT) {
    do
      n = read (STDIN_FILENO, buffer, sizeof buffer);
    while (n < 0 && errno == EINTR);
    if (n > 0)
      g_string_append_len (text, buffer, n);
  }
  return text;
}
