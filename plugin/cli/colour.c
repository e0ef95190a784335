/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "colour.h"

#include <string.h>
#include <unistd.h>

gboolean
vv_colour_is_terminal (void)
{
  const char *terminal = g_getenv ("TERM");

  return isatty (STDOUT_FILENO) && terminal && *terminal && strcmp (terminal, "dumb") != 0;
}

gboolean
vv_colour_wanted (const char *when, gboolean *wanted)
{
  const char *no_color = g_getenv ("NO_COLOR");

  if (!when || strcmp (when, "auto") == 0)
    *wanted = vv_colour_is_terminal () && !(no_color && *no_color);
  else if (strcmp (when, "always") == 0 || strcmp (when, "never") == 0)
    *wanted = *when == 'a';
  else
    return FALSE;
  return TRUE;
}

void
vv_colour_print (gboolean wanted, const char *colour, const char *text)
{
  if (wanted && colour)
    printf ("%s%s\033[0m", colour, text);
  else
    fputs (text, stdout);
}
