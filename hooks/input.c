/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "domain-xml.h"

static const struct {
  const char *name, *sub_operation;
} operations[] = {
    [VV_HOOK_PREPARE] = {"prepare", "begin"}, [VV_HOOK_START] = {"start", "begin"},
    [VV_HOOK_STARTED] = {"started", "begin"}, [VV_HOOK_RECONNECT] = {"reconnect", "begin"},
    [VV_HOOK_MIGRATE] = {"migrate", "begin"}, [VV_HOOK_RESTORE] = {"restore", "begin"},
    [VV_HOOK_RELEASE] = {"release", "end"},
};

VvHookOperation
vv_hook_operation (const char *name, const char *sub_operation)
{
  VvHookOperation operation = 0;

  while (operation < VV_HOOK_NONE && (strcmp (operations[operation].name, name) != 0 ||
                                      strcmp (operations[operation].sub_operation, sub_operation) != 0))
    operation++;
  return operation;
}

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
