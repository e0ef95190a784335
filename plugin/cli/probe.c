/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant probe: queries whether the VFIO drivers of idle devices support live migration, and records
 * the answers.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <unistd.h>

#include "binding.h"
#include "command.h"
#include "migration.h"

/* @driver: (nullable): the driver that was queried, or that would have been */
typedef struct {
  const char *address;
  char *driver;
  VvMigration migration;
  GError *error;
} Answer;

static void
answer_clear (Answer *a)
{
  g_free (a->driver);
  g_clear_error (&a->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Answer, answer_clear)

/* Holds the device's lock until the end, so that no other vfio-variant process moves the device. */
static gboolean
ask (const VvContext *context, Answer *a, GError **error)
{
  g_autoptr (GError) unwritten = NULL;
  g_autoptr (VvBinding) binding = vv_binding_open (context, a->address, FALSE, error);

  if (!binding)
    return FALSE;
  a->driver = g_strdup (binding->device->now.driver);
  if (binding->entry && binding->entry->domain) {
    /* There is no --force: while the group is open, a starting guest cannot open it. */
    g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
                 _ ("%s belongs to domain %s; shut it down, or run 'vfio-variant restore --force %s' if that "
                    "domain no longer exists"),
                 a->address, binding->entry->domain, a->address);
    return FALSE;
  }
  if (!vv_migration_probe (context->host, binding->device, &a->migration, error))
    return FALSE;
  if (!vv_migration_store (context->store, a->driver, binding->device->modalias, &a->migration, &unwritten))
    vv_warning (_ ("%s: cannot record the answer: %s"), a->address, unwritten->message);
  return TRUE;
}

/* --- text --- */

static void
print_answer (const Answer *a)
{
  const VvMigration *m = &a->migration;

  if (a->error) {
    fprintf (stderr, "vfio-variant: %s\n", a->error->message);
    return;
  }
  g_autofree char *announced =
      g_strdup_printf ("stop-copy%s%s", m->p2p ? ", P2P" : "", m->pre_copy ? _ (", pre-copy") : "");
  printf ("%s: %s: ", a->address, a->driver);
  if (!m->stop_copy)
    puts (_ ("cannot migrate: the driver does not support it"));
  else if (m->dma_logging)
    printf (_ ("can migrate (%s; DMA logging)\n"), announced);
  else if (m->iommu_logging == VV_ANSWER_NO)
    printf (_ ("cannot migrate (%s): it has no DMA logging, and neither the IOMMU nor this kernel tracks "
               "dirty pages\n"),
            announced);
  else
    printf (m->iommu_logging == VV_ANSWER_YES
                ? _ ("can migrate with <driver iommufd='yes'/> (%s; no DMA logging, but the IOMMU tracks "
                     "dirty pages)\n")
                : _ ("may migrate with <driver iommufd='yes'/> (%s; no DMA logging; whether the IOMMU tracks "
                     "dirty pages is unknown)\n"),
            announced);
}

/* --- JSON --- */

static void
json_answer (JsonBuilder *b, const Answer *a)
{
  const VvMigration *m = &a->migration;
  VvMigratability verdict = a->error ? VV_MIGRATION_UNKNOWN : vv_migration_judge (m, NULL, NULL);

  json_builder_begin_object (b);
  vv_json_string (b, "device", a->address);
  vv_json_string (b, "driver", a->driver);
  vv_json_answer (b, "migratable", verdict != VV_MIGRATION_UNKNOWN, verdict == VV_MIGRATION_YES);
  vv_json_answer (b, "stop_copy", !a->error, m->stop_copy);
  vv_json_answer (b, "p2p", !a->error, m->p2p);
  vv_json_answer (b, "pre_copy", !a->error, m->pre_copy);
  vv_json_answer (b, "dma_logging", !a->error, m->dma_logging);
  vv_json_answer (b, "iommu_logging", m->iommu_logging != VV_ANSWER_UNKNOWN,
                  m->iommu_logging == VV_ANSWER_YES);
  vv_json_string (b, "error", a->error ? a->error->message : NULL);
  json_builder_end_object (b);
}

/* Queries the devices one after another: each query resets the device, and a group can be open only once. */
static int
ask_all (const VvContext *context, const GPtrArray *addresses, gboolean json)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  int code = VV_EXIT_DONE;

  if (addresses->len != 1)
    json_builder_begin_array (builder);
  for (guint i = 0; i < addresses->len; i++) {
    g_auto (Answer) a = {.address = addresses->pdata[i]};
    ask (context, &a, &a.error);
    code = vv_exit_merge (code, a.error);
    if (json)
      json_answer (builder, &a);
    else
      print_answer (&a);
  }
  if (addresses->len != 1)
    json_builder_end_array (builder);
  if (json)
    vv_json_print (builder);
  return code;
}

int
vv_cmd_probe (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  int code =
      vv_parse_options (&argc, &argv, "DEVICE...",
                        N_ ("Queries whether the current VFIO drivers of devices support live migration, and "
                            "records the answers for 'vfio-variant list'. Opens, and thereby resets, each "
                            "device; refuses devices that a process or a domain uses."),
                        NULL, VV_TAKES_DEFAULT, &common);

  if (code >= 0)
    return code;
  if (argc < 2)
    return vv_usage_error (argv[0], _ ("missing DEVICE argument"));
  if (geteuid () != 0) {
    fputs (_ ("vfio-variant: querying the driver of a device requires root\n"), stderr);
    return VV_EXIT_UNPRIVILEGED;
  }
  vv_speak_english (); /* the log also gets the errors */
  g_autoptr (VvContext) context = vv_open_context (&common, TRUE, &code);
  g_autoptr (GPtrArray) addresses = context ? vv_device_arguments (context->host, argc, argv, &code) : NULL;
  return addresses ? ask_all (context, addresses, common.json) : code;
}
