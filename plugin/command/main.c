/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant: the command. Finds the sub-command and hands over.
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct {
  const char *name;
  int (*run) (int argc, char **argv);
  const char *summary;
} commands[] = {
    {"list", vv_cmd_list, "which device is on which driver, and which would be the best"},
    {"match", vv_cmd_match, "the VFIO drivers that fit a device, in order, and why others do not"},
    {"probe", vv_cmd_probe, "whether the drivers that devices are on can migrate them live"},
    {"bind", vv_cmd_bind, "detach devices from the host, each to the best VFIO driver"},
    {"restore", vv_cmd_restore, "give devices back to the host, as they were"},
    {"policy", vv_cmd_policy, "the administrator's rules for devices, and whether a file of them is good"},
    {"status", vv_cmd_status, "how vfio-variantd is, and what it did last"},
    {"metrics", vv_cmd_metrics, "counters and state for a monitoring system"},
};

static void
print_usage (FILE *stream)
{
  fputs ("Usage: vfio-variant COMMAND [OPTION...] [DEVICE...]\n\n"
         "Puts PCI devices on the most specific VFIO driver and brings them back.\n\nCommands:\n",
         stream);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (stream, "  %-9s %s\n", commands[i].name, commands[i].summary);
  fputs ("\n'vfio-variant COMMAND --help' tells a command's options; vfio-variant(1) tells all.\n"
         "Exit status: 0 done, 1 failed, 2 usage, 3 no such device, 4 refused, 5 not privileged.\n",
         stream);
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
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
  fprintf (stderr, "vfio-variant: '%s' is no command\nTry 'vfio-variant --help'.\n", argv[1]);
  return VV_EXIT_USAGE;
}
