/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant restore: gives devices back to the host, as they were.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>

#include "binding.h"
#include "move.h"

typedef struct {
  gboolean all;
  gboolean at_boot;
  gboolean force;
  gboolean dry_run;
  int jobs;
} Options;

static VvChange *
restore_device (const VvContext *context, const char *address, gpointer data, GError **error)
{
  const Options *options = data;
  g_autoptr (VvBinding) binding = vv_binding_open (context, address, options->dry_run, error);

  if (!binding || (!options->force && !vv_domain_allows (binding->entry, error)) ||
      !vv_binding_reattach (binding, error))
    return NULL;
  return vv_binding_close (g_steal_pointer (&binding));
}

/* What is in the journal and not in a domain's hands; with @at_boot, of that what the policy had bound. */
static GPtrArray *
journalled (const VvContext *context, gboolean at_boot)
{
  GPtrArray *addresses = vv_journal_addresses (context->journal);

  for (guint i = addresses->len; i-- > 0;) {
    g_autoptr (VvEntry) entry = vv_journal_load (context->journal, addresses->pdata[i], NULL);
    if (entry ? entry->domain || (at_boot && !entry->at_boot) : at_boot)
      g_ptr_array_remove_index (addresses, i);
  }
  return addresses;
}

int
vv_cmd_restore (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  Options options = {.jobs = 1};
  const GOptionEntry entries[] = {
      {"all", 'a', 0, G_OPTION_ARG_NONE, &options.all, N_ ("Every device in the journal that no domain has"),
       NULL},
      {"at-boot", 0, 0, G_OPTION_ARG_NONE, &options.at_boot,
       N_ ("Every device that 'bind --at-boot' has bound and no domain has"), NULL},
      {"force", 'f', 0, G_OPTION_ARG_NONE, &options.force,
       N_ ("Even if the journal says that a domain has the device"), NULL},
      {"jobs", 'j', 0, G_OPTION_ARG_INT, &options.jobs,
       N_ ("Move up to N devices at the same time (default: 1)"), "N"},
      {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &options.dry_run, N_ ("Print what would be done and do nothing"),
       NULL},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "DEVICE... | --all | --at-boot",
      N_ ("Gives devices back to the host: the driver and the driver_override that the journal "
          "holds; without an entry, what the kernel chooses. A device of a running guest is refused."),
      entries, FALSE, &common);

  if (code >= 0)
    return code;
  if (argc < 2 && !options.all && !options.at_boot)
    return vv_usage_error (argv[0], _ ("a DEVICE, --all or --at-boot is missing"));
  if ((argc > 1) + options.all + options.at_boot > 1)
    return vv_usage_error (argv[0], _ ("only one of DEVICEs, --all and --at-boot"));
  g_autoptr (VvContext) context = vv_open_to_move (&common, argv[0], options.jobs, options.dry_run, &code);
  if (!context)
    return code;
  g_autoptr (GPtrArray) addresses = argc < 2 ? journalled (context, options.at_boot)
                                             : vv_device_arguments (context->host, argc, argv, &code);
  if (!addresses)
    return code;
  if (!addresses->len && !common.json)
    puts (_ ("nothing to restore"));
  return vv_move_all (context, addresses, options.jobs, common.json, options.dry_run, restore_device,
                      &options);
}
