/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant bind: detaches devices from the host by hand, each to the best VFIO driver.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>

#include "in-use.h"
#include "move.h"
#include "placement.h"

typedef struct {
  const char *driver;
  gboolean force;
  gboolean dry_run;
  int jobs;
} Options;

/* The host's own use of the device: reasons for the administrator to weigh, so --force gets past them, or the
 * policy. */
static gboolean
host_allows (const VvSession *session, const VvPciDevice *device, const VvDecision *decision, GError **error)
{
  g_autoptr (GPtrArray) reasons = vv_host_use (session->host, device);

  if (!reasons->len)
    return TRUE;
  g_ptr_array_add (reasons, NULL);
  g_autofree char *text = g_strjoinv ("; ", (char **)reasons->pdata);
  if (decision->terms.values[VV_TERM_HOST_USE] == VV_HOST_USE_WARN) {
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
iommu_allows (const VvSession *session, const VvPciDevice *device, GError **error)
{
  g_autoptr (GPtrArray) obstacles = NULL;

  if (device->iommu_group)
    return TRUE; /* what else is in the group matters when a guest starts, not now */
  obstacles = vv_pci_group_obstacles (session->host, device, NULL);
  if (!obstacles->len)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s: %s", device->address, (char *)obstacles->pdata[0]);
  return FALSE;
}

static void
tell (const VvSession *session, VvBinding *binding, const VvChange *change, const char *driver,
      GError **error)
{
  if (change)
    vv_session_log_change (session, change);
  else
    vv_session_binding_failed (session, binding, driver, error);
}

static VvChange *
bind_device (const VvSession *session, const char *address, gpointer data, GError **error)
{
  const Options *options = data;
  g_autoptr (VvBinding) binding = vv_session_binding (session, address, options->dry_run, error);
  g_autoptr (VvChoice) choice =
      binding ? vv_choose (session, binding->device, binding->entry, NULL, NULL, NULL, error) : NULL;

  if (!choice || (options->driver && !vv_selection_force (choice->selection, options->driver, error)) ||
      !iommu_allows (session, binding->device, error) ||
      (!options->force && (!vv_domain_allows (binding->entry, error) ||
                           !host_allows (session, binding->device, choice->decision, error))))
    return NULL;
  g_autoptr (VvChange) change = options->driver ? vv_binding_detach (binding, choice->selection, error)
                                                : vv_place (session, binding, choice, error);
  if (!options->dry_run)
    tell (session, binding, change, options->driver, error);
  if (change && binding->entry && !binding->entry->held) {
    binding->entry->held = TRUE;
    if (!vv_binding_save (binding, error))
      return NULL;
  }
  return g_steal_pointer (&change);
}

int
vv_cmd_bind (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  Options options = {.jobs = 1};
  g_autofree char *driver = NULL;
  const GOptionEntry entries[] = {
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
      &argc, &argv, "DEVICE...",
      N_ ("Detaches devices from the host: puts each on the best VFIO driver that works, and notes "
          "in the journal what it was, for 'vfio-variant restore'."),
      entries, FALSE, &common);

  if (code >= 0)
    return code;
  if (argc < 2)
    return vv_usage_error (argv[0], _ ("a DEVICE is missing"));
  options.driver = driver;
  g_autoptr (VvSession) session = vv_open_to_move (&common, argv[0], options.jobs, options.dry_run, &code);
  g_autoptr (GPtrArray) addresses = session ? vv_device_arguments (session->host, argc, argv, &code) : NULL;
  if (!addresses)
    return code;
  return vv_move_all (session, addresses, options.jobs, common.json, options.dry_run, bind_device, &options);
}
