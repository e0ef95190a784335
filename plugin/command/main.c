/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant: the command. Finds the sub-command and hands over.
 */
#include <glib/gi18n-lib.h>
#include <libintl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct {
  const char *name;
  int (*run) (int argc, char **argv);
  const char *summary;
} commands[] = {
    {"list", vv_cmd_list, N_ ("which device is on which driver, and which would be the best")},
    {"match", vv_cmd_match, N_ ("the VFIO drivers that fit a device, in order, and why others do not")},
    {"probe", vv_cmd_probe, N_ ("whether the drivers that devices are on can migrate them live")},
    {"check", vv_cmd_check, N_ ("what devices would get at an attach, and what stands in the way")},
    {"bind", vv_cmd_bind, N_ ("detach devices from the host, each to the best VFIO driver")},
    {"restore", vv_cmd_restore, N_ ("give devices back to the host, as they were")},
    {"policy", vv_cmd_policy,
     N_ ("the administrator's rules for devices, and whether a file of them is good")},
    {"status", vv_cmd_status,
     N_ ("how vfio-variantd is, what it did last, and whether the host is set up well")},
    {"metrics", vv_cmd_metrics, N_ ("counters and state for a monitoring system")},
};

static void
print_usage (FILE *stream)
{
  fputs (_ ("Usage: vfio-variant COMMAND [OPTION...] [DEVICE...]\n\n"
            "Puts PCI devices on the most specific VFIO driver and brings them back.\n\nCommands:\n"),
         stream);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (stream, "  %-9s %s\n", commands[i].name, _ (commands[i].summary));
  fputs (_ ("\n'vfio-variant COMMAND --help' tells a command's options; vfio-variant(1) tells all.\n"
            "Exit status: 0 done, 1 failed, 2 usage, 3 no such device, 4 refused, 5 not privileged.\n"),
         stream);
}

/* Only here: the daemon, the hook and the log speak English. */
static void
begin_in_the_users_language (void)
{
  setlocale (LC_ALL, "");
#ifdef VV_LOCALE_DIR
  bindtextdomain (GETTEXT_PACKAGE, VV_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
#endif
}

int
main (int argc, char **argv)
{
  begin_in_the_users_language ();
  if (argc < 2) {
    print_usage (stderr);
    return VV_EXIT_USAGE;
  }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0) {
    print_usage (stdout);
    return VV_EXIT_DONE;
  }
  if (strcmp (argv[1], "--version") == 0) {
    puts ("vfio-variant " VV_VERSION);
    return VV_EXIT_DONE;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0)
      return commands[i].run (argc - 1, argv + 1);
  fprintf (stderr, _ ("vfio-variant: '%s' is no command\nTry 'vfio-variant --help'.\n"), argv[1]);
  return VV_EXIT_USAGE;
}
