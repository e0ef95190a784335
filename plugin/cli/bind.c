/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant bind: detaches devices from the host by hand, each to the best VFIO driver.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>

#include "group.h"
#include "in-use.h"
#include "move.h"
#include "attach.h"

typedef struct {
  const char *driver;
  gboolean at_boot;
  gboolean force;
  gboolean dry_run;
  int jobs;
} Options;

/* The host's own use of the device: reasons for the administrator to weigh, so --force gets past them, or the
 * policy. */
static gboolean
host_allows (const VvContext *context, const VvPciDevice *device, const VvDecision *decision, GError **error)
{
  g_autoptr (GPtrArray) reasons = vv_host_use (context->host, device);

  if (!reasons->len)
    return TRUE;
  g_ptr_array_add (reasons, NULL);
  g_autofree char *text = g_strjoinv ("; ", (char **)reasons->pdata);
  if (decision->options.values[VV_OPTION_HOST_USE] == VV_HOST_USE_WARN) {
    g_autofree char *rule = vv_decision_rule (decision);
    vv_warning (_ ("%s is in use by the host, which %s lets pass: %s"), device->address, rule, text);
    return TRUE;
  }
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
               _ ("%s is in use by the host: %s; end that use, or take it with --force"), device->address,
               text);
  return FALSE;
}

static gboolean
iommu_allows (const VvContext *context, const VvPciDevice *device, GError **error)
{
  g_autoptr (GPtrArray) obstacles = NULL;

  if (device->iommu_group)
    return TRUE; /* what else is in the group matters when a guest starts, not now */
  obstacles = vv_group_obstacles (context->host, context->catalog, device, NULL);
  if (!obstacles->len)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s: %s", device->address, (char *)obstacles->pdata[0]);
  return FALSE;
}

static VvChange *
bind_device (const VvContext *context, const char *address, const Options *options, GError **error)
{
  g_autoptr (VvBinding) binding = vv_binding_open (context, address, options->dry_run, error);
  g_autoptr (VvChoice) choice =
      binding ? vv_choose (context, binding->device, binding->entry, NULL, NULL, NULL, error) : NULL;

  if (choice && options->at_boot) {
    /* A virtual function that was destroyed and made anew has nothing to do with what it was. What a domain
     * has is between libvirt's hands at times. */
    gboolean on_vfio = vv_on_vfio (context->host, binding->device, choice->selection);
    if (vv_binding_is_stale (binding, &binding->device->now, on_vfio) && !binding->entry->domain &&
        !vv_binding_forget (binding, error))
      return NULL;
    vv_binding_expect_new (binding);
  }
  if (!choice || (options->driver && !vv_selection_force (choice->selection, options->driver, error)) ||
      !iommu_allows (context, binding->device, error) ||
      (!options->force && (!vv_domain_allows (binding->entry, error) ||
                           !host_allows (context, binding->device, choice->decision, error))))
    return NULL;
  if (options->driver ? !vv_binding_detach (binding, choice->selection, error)
                      : !vv_attach (binding, choice, error))
    return NULL;
  if (binding->entry && !binding->entry->held) {
    binding->entry->held = TRUE;
    binding->entry->at_boot = options->at_boot;
    if (!vv_binding_save (binding, error))
      return NULL;
  }
  return vv_binding_close (g_steal_pointer (&binding));
}

static VvChange *
bind_and_say (const VvContext *context, const char *address, gpointer data, GError **error)
{
  const Options *options = data;
  VvChange *change = bind_device (context, address, options, error);

  if (!change && options->at_boot) /* what a program that udev runs prints is read by nobody */
    g_warning ("%s", (*error)->message);
  return change;
}

/* --- at boot --- */

/* Looked at without its lock: most devices of a host are none of ours. */
static gboolean
is_wanted_at_boot (const VvContext *context, const char *address)
{
  vv_new_device_wait_shown (context->host, address);
  g_autoptr (VvPciDevice) device = vv_pci_device_look (context->host, address, NULL);
  g_autoptr (VvEntry) entry = device ? vv_journal_load (context->journal, address, NULL) : NULL;
  g_autoptr (VvChoice) choice = device ? vv_choose (context, device, entry, NULL, NULL, NULL, NULL) : NULL;

  if (!choice || choice->decision->options.values[VV_OPTION_AT_BOOT] != VV_AT_BOOT_YES)
    return FALSE;
  /* What a domain has, or the policy had bound before, is where it should be. */
  return !entry || (!entry->held && !entry->domain) || !vv_on_vfio (context->host, device, choice->selection);
}

/* Returns: (transfer full) (nullable): those of the devices meant, or of all, that are to be bound at boot */
static GPtrArray *
wanted_at_boot (const VvContext *context, int argc, char **argv, int *code)
{
  GPtrArray *addresses;

  if (!vv_policy_has_at_boot (context->policy))
    return g_ptr_array_new ();
  addresses = argc > 1 ? vv_device_arguments (context->host, argc, argv, code)
                       : vv_io_list (context->host->sys, "bus/pci/devices");
  for (guint i = addresses ? addresses->len : 0; i-- > 0;)
    if (!is_wanted_at_boot (context, addresses->pdata[i]))
      g_ptr_array_remove_index (addresses, i);
  return addresses;
}

int
vv_cmd_bind (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  Options options = {.jobs = 1};
  g_autofree char *driver = NULL;
  const GOptionEntry entries[] = {
      {"at-boot", 0, 0, G_OPTION_ARG_NONE, &options.at_boot,
       N_ ("Of the DEVICEs, or of all, those for which the policy says at-boot='yes'"), NULL},
      {"driver", 'd', 0, G_OPTION_ARG_STRING, &driver,
       N_ ("This driver and no other, whatever the policy says"), "NAME"},
      {"force", 'f', 0, G_OPTION_ARG_NONE, &options.force,
       N_ ("Even if the host uses the device, or the journal gives it to a domain"), NULL},
      {"jobs", 'j', 0, G_OPTION_ARG_INT, &options.jobs,
       N_ ("Move up to N devices at the same time (default: 1)"), "N"},
      {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &options.dry_run, N_ ("Print what would be done and do nothing"),
       NULL},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "DEVICE... | --at-boot [DEVICE...]",
      N_ ("Detaches devices from the host: puts each on the best VFIO driver that works, and notes "
          "in the journal what it was, for 'vfio-variant restore'."),
      entries, FALSE, &common);

  if (code >= 0)
    return code;
  if (argc < 2 && !options.at_boot)
    return vv_usage_error (argv[0], _ ("a DEVICE is missing"));
  if (options.at_boot && (driver || options.force))
    return vv_usage_error (argv[0], _ ("--at-boot goes by the policy: neither --driver nor --force"));
  options.driver = driver;
  g_autoptr (VvContext) context = vv_open_to_move (&common, argv[0], options.jobs, options.dry_run, &code);
  if (!context)
    return code;
  g_autoptr (GPtrArray) addresses = options.at_boot ? wanted_at_boot (context, argc, argv, &code)
                                                    : vv_device_arguments (context->host, argc, argv, &code);
  if (!addresses)
    return code;
  return vv_move_all (context, addresses, options.jobs, common.json, options.dry_run, bind_and_say, &options);
}
