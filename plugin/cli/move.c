/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant bind, vfio-variant restore: detach devices from the host, each to the best VFIO driver, and
 * restore them.
 *
 * Owns: the selection of the devices, the checks that refuse a device, worker threads, progress, and the
 * order of output.
 */
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "group.h"
#include "in-use.h"

typedef struct {
  VvCommon common;
  char *driver;
  gboolean all;
  gboolean at_boot;
  gboolean force;
} Options;

static void
options_clear (Options *o)
{
  vv_common_clear (&o->common);
  g_free (o->driver);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* Moves one device. Worker threads call this for different devices in parallel.
 * Returns: (transfer full): the change, or NULL with @error set */
typedef VvChange *(*MoveFunc) (const VvContext *context, const char *address, const Options *options,
                               GError **error);

/* --- many devices --- */

typedef struct {
  const char *address;
  VvChange *change;
  GError *error;
} Result;

typedef struct {
  const VvContext *context;
  MoveFunc func;
  const Options *options;
  GAsyncQueue *finished; /* elements: Result */
} Crew;

static void
work (gpointer result, gpointer crew)
{
  Result *r = result;
  Crew *c = crew;

  r->change = c->func (c->context, r->address, c->options, &r->error);
  g_async_queue_push (c->finished, r);
}

static void
print_result (const Result *r, gboolean dry_run)
{
  if (r->error) {
    fprintf (stderr, "vfio-variant: %s\n", r->error->message);
    return;
  }
  const VvChange *c = r->change;
  for (guint i = 0; dry_run && i < c->steps->len; i++)
    puts (c->steps->pdata[i]);
  if (dry_run && c->steps->len)
    return;
  g_autofree char *failed = vv_change_attempts (c);
  printf ("%s%s: %s -> %s (%s)\n", dry_run ? "# " : "", c->device, c->from ? c->from : _ ("no driver"),
          c->to ? c->to : _ ("no driver"), c->why);
  if (failed)
    vv_warning ("%s: %s", c->device, failed);
}

static void
json_result (JsonBuilder *b, const Result *r)
{
  const VvChange *c = r->change;

  json_builder_begin_object (b);
  vv_json_string (b, "device", r->address);
  if (c) {
    vv_json_string (b, "operation", vv_operation_name (c->operation));
    vv_json_string (b, "from", c->from);
    vv_json_string (b, "to", c->to);
    vv_json_boolean (b, "changed", c->changed);
    vv_json_string (b, "alias", c->alias);
    vv_json_string (b, "why", c->why);
    vv_json_begin_array (b, "attempts");
    for (guint i = 0; i < c->attempts->len; i++) {
      const VvAttempt *a = c->attempts->pdata[i];
      json_builder_begin_object (b);
      vv_json_string (b, "module", a->module);
      vv_json_string (b, "step", a->step);
      vv_json_string (b, "problem", a->problem);
      json_builder_end_object (b);
    }
    json_builder_end_array (b);
    vv_json_strings (b, "steps", (char **)c->steps->pdata, (int)c->steps->len);
    vv_json_number (b, "microseconds", c->usec);
  }
  vv_json_string (b, "error", r->error ? r->error->message : NULL);
  json_builder_end_object (b);
}

/* Overwrites one line. Only for terminals. */
static void
show_progress (guint done, guint all, gboolean last)
{
  if (all < 2 || !isatty (STDERR_FILENO))
    return;
  g_autofree char *text =
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u of %u device", "%u of %u devices", all), done, all);
  fprintf (stderr, last ? "\r\033[K" : "\r\033[K%s", text);
  fflush (stderr);
}

/* Returns: the exit code for all devices */
static int
move_all (const VvContext *context, const GPtrArray *addresses, MoveFunc func, const Options *options)
{
  g_autoptr (GAsyncQueue) finished = g_async_queue_new ();
  Crew crew = {context, func, options, finished};
  g_autofree Result *results = g_new0 (Result, addresses->len);
  GThreadPool *pool = g_thread_pool_new (work, &crew, options->common.jobs, FALSE, NULL);
  const gboolean json = options->common.json;
  const gboolean dry_run = options->common.dry_run;
  int code = VV_EXIT_DONE;

  for (guint i = 0; i < addresses->len; i++) {
    results[i].address = addresses->pdata[i];
    g_thread_pool_push (pool, &results[i], NULL);
  }
  for (guint done = 0; done < addresses->len; done++) {
    show_progress (done, addresses->len, FALSE);
    const Result *r = g_async_queue_pop (finished);
    show_progress (done, addresses->len, TRUE);
    if (!json && !dry_run)
      print_result (r, FALSE);
    code = vv_exit_merge (code, r->error);
  }
  g_thread_pool_free (pool, FALSE, TRUE);
  for (guint i = 0; dry_run && !json && i < addresses->len; i++)
    print_result (&results[i], TRUE); /* in the order of the arguments, because the output is a script */
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  if (addresses->len != 1)
    json_builder_begin_array (builder);
  for (guint i = 0; i < addresses->len; i++) {
    json_result (builder, &results[i]);
    vv_change_free (results[i].change);
    g_clear_error (&results[i].error);
  }
  if (addresses->len != 1)
    json_builder_end_array (builder);
  if (json)
    vv_json_print (builder);
  return code;
}

/* Returns: (transfer full): the context, or NULL with @code set and the error printed */
static VvContext *
open_context (const Options *o, int *code)
{
  if (!o->common.dry_run)
    vv_speak_english (); /* the log also gets the errors */
  return vv_open_context (&o->common, !o->common.dry_run, code);
}

/* Between libvirt's "prepare" and the start of QEMU, no process has the device open yet. The state store has
 * its domain. */
static gboolean
domain_allows (const VvEntry *entry, GError **error)
{
  if (!entry || !entry->domain)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
               _ ("%s belongs to domain %s; shut it down, or use --force if that domain no longer exists"),
               entry->address, entry->domain);
  return FALSE;
}

/* --- bind --- */

/* Checks whether the host uses the device. --force or host-use='warn' in the policy overrides this check. */
static gboolean
host_allows (const VvContext *context, const VvPciDevice *device, const VvChoice *choice, GError **error)
{
  g_autoptr (GPtrArray) reasons = vv_host_use (context->host, device);

  if (!reasons->len)
    return TRUE;
  g_ptr_array_add (reasons, NULL);
  g_autofree char *text = g_strjoinv ("; ", (char **)reasons->pdata);
  if (choice->options.values[VV_OPTION_HOST_USE] == VV_HOST_USE_WARN) {
    g_autofree char *rule = vv_choice_rule (choice);
    vv_warning (_ ("%s is in use by the host, which %s allows: %s"), device->address, rule, text);
    return TRUE;
  }
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED,
               _ ("%s is in use by the host: %s; end that use, or override with --force"), device->address,
               text);
  return FALSE;
}

static gboolean
iommu_allows (const VvContext *context, const VvPciDevice *device, GError **error)
{
  g_autoptr (GPtrArray) obstacles = NULL;

  if (device->iommu_group)
    return TRUE; /* other devices in the group matter only when a guest starts */
  obstacles = vv_group_obstacles (context->host, context->catalog, device, NULL);
  if (!obstacles->len)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_REFUSED, "%s: %s", device->address, (char *)obstacles->pdata[0]);
  return FALSE;
}

static VvChange *
bind_device (const VvContext *context, const char *address, const Options *options, GError **error)
{
  g_autoptr (VvBinding) binding = vv_binding_open (context, address, options->common.dry_run, error);
  g_autoptr (VvChoice) choice =
      binding ? vv_choose (context, binding->device, binding->entry, NULL, NULL, NULL, error) : NULL;

  if (choice && options->at_boot) {
    /* Drops a stale state file: it belongs to a virtual function that was destroyed and created again. Keeps
     * the state file of a domain's device, because libvirt may be rebinding the device. */
    gboolean on_vfio = vv_on_vfio (context->host, binding->device, choice);
    if (vv_binding_is_stale (binding, &binding->device->now, on_vfio) && !binding->entry->domain &&
        !vv_binding_forget (binding, error))
      return NULL;
    vv_binding_expect_new (binding);
  }
  if (!choice || (options->driver && !vv_choice_force (choice, options->driver, error)) ||
      !iommu_allows (context, binding->device, error) ||
      (!options->force &&
       (!domain_allows (binding->entry, error) || !host_allows (context, binding->device, choice, error))))
    return NULL;
  if (options->driver ? !vv_binding_detach (binding, choice, error) : !vv_attach (binding, choice, error))
    return NULL;
  if (binding->entry && !binding->entry->pinned) {
    binding->entry->pinned = TRUE;
    binding->entry->at_boot = options->at_boot;
    if (!vv_binding_save (binding, error))
      return NULL;
  }
  return vv_binding_close (g_steal_pointer (&binding));
}

static VvChange *
bind_and_say (const VvContext *context, const char *address, const Options *options, GError **error)
{
  VvChange *change = bind_device (context, address, options, error);

  if (!change && options->at_boot) /* udev does not show the output of its programs */
    g_warning ("%s", (*error)->message);
  return change;
}

/* Takes no lock, because most devices of a host do not match. */
static gboolean
is_wanted_at_boot (const VvContext *context, const char *address)
{
  vv_new_device_wait_shown (context->host, address);
  g_autoptr (VvPciDevice) device = vv_pci_device_look (context->host, address, NULL);
  g_autoptr (VvEntry) entry = device ? vv_state_store_load (context->store, address, NULL) : NULL;
  g_autoptr (VvChoice) choice = device ? vv_choose (context, device, entry, NULL, NULL, NULL, NULL) : NULL;

  if (!choice || choice->options.values[VV_OPTION_AT_BOOT] != VV_AT_BOOT_YES)
    return FALSE;
  /* Skips a device that is on VFIO and pinned or assigned to a domain. */
  return !entry || (!entry->pinned && !entry->domain) || !vv_on_vfio (context->host, device, choice);
}

/* Returns: (transfer full) (nullable): the devices to bind at boot, of those in the arguments, or of all */
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
  g_auto (Options) o = {0};
  const GOptionEntry entries[] = {
      {"at-boot", 0, 0, G_OPTION_ARG_NONE, &o.at_boot,
       N_ ("Only devices for which the policy sets at-boot='yes'"), NULL},
      {"driver", 'd', 0, G_OPTION_ARG_STRING, &o.driver, N_ ("Use this driver only, overriding the policy"),
       "NAME"},
      {"force", 'f', 0, G_OPTION_ARG_NONE, &o.force,
       N_ ("Proceed even if the host uses the device or the state store assigns it to a domain"), NULL},
      {NULL},
  };
  int code = vv_parse_options (&argc, &argv, "DEVICE... | --at-boot [DEVICE...]",
                               N_ ("Detaches devices from the host: binds each to the best working VFIO "
                                   "driver, and records its host driver for 'vfio-variant restore'."),
                               entries, VV_TAKES_MOVE, &o.common);

  if (code >= 0)
    return code;
  if (argc < 2 && !o.at_boot)
    return vv_usage_error (argv[0], _ ("missing DEVICE argument"));
  if (o.at_boot && (o.driver || o.force))
    return vv_usage_error (argv[0], _ ("--at-boot follows the policy and excludes --driver and --force"));
  g_autoptr (VvContext) context = open_context (&o, &code);
  if (!context)
    return code;
  g_autoptr (GPtrArray) addresses = o.at_boot ? wanted_at_boot (context, argc, argv, &code)
                                              : vv_device_arguments (context->host, argc, argv, &code);
  return addresses ? move_all (context, addresses, bind_and_say, &o) : code;
}

/* --- restore --- */

static VvChange *
restore_device (const VvContext *context, const char *address, const Options *options, GError **error)
{
  g_autoptr (VvBinding) binding = vv_binding_open (context, address, options->common.dry_run, error);

  if (!binding || (!options->force && !domain_allows (binding->entry, error)) ||
      !vv_binding_reattach (binding, error))
    return NULL;
  return vv_binding_close (g_steal_pointer (&binding));
}

/* Returns: (transfer full) (element-type utf8): the devices in the state store that have no domain; with
 * @at_boot, only those that 'bind --at-boot' bound. A damaged state file counts only without @at_boot. */
static GPtrArray *
recorded_devices (const VvContext *context, gboolean at_boot)
{
  GPtrArray *addresses = vv_state_store_addresses (context->store);

  for (guint i = addresses->len; i-- > 0;) {
    g_autoptr (VvEntry) entry = vv_state_store_load (context->store, addresses->pdata[i], NULL);
    if (entry ? entry->domain || (at_boot && !entry->at_boot) : at_boot)
      g_ptr_array_remove_index (addresses, i);
  }
  return addresses;
}

int
vv_cmd_restore (int argc, char **argv)
{
  g_auto (Options) o = {0};
  const GOptionEntry entries[] = {
      {"all", 'a', 0, G_OPTION_ARG_NONE, &o.all,
       N_ ("Restore every device in the state store that no domain uses"), NULL},
      {"at-boot", 0, 0, G_OPTION_ARG_NONE, &o.at_boot,
       N_ ("Restore every device that 'bind --at-boot' bound and that no domain uses"), NULL},
      {"force", 'f', 0, G_OPTION_ARG_NONE, &o.force,
       N_ ("Proceed even if the state store assigns the device to a domain"), NULL},
      {NULL},
  };
  int code = vv_parse_options (
      &argc, &argv, "DEVICE... | --all | --at-boot",
      N_ ("Returns devices to the host: to the driver and driver_override in the state store, or, without a "
          "state file, to the driver that the kernel chooses. Refuses devices of running guests."),
      entries, VV_TAKES_MOVE, &o.common);

  if (code >= 0)
    return code;
  if (argc < 2 && !o.all && !o.at_boot)
    return vv_usage_error (argv[0], _ ("missing argument: a DEVICE, --all or --at-boot"));
  if ((argc > 1) + o.all + o.at_boot > 1)
    return vv_usage_error (argv[0], _ ("DEVICEs, --all and --at-boot exclude each other"));
  g_autoptr (VvContext) context = open_context (&o, &code);
  if (!context)
    return code;
  g_autoptr (GPtrArray) addresses = argc < 2 ? recorded_devices (context, o.at_boot)
                                             : vv_device_arguments (context->host, argc, argv, &code);
  if (!addresses)
    return code;
  if (!addresses->len && !o.common.json)
    puts (_ ("nothing to restore"));
  return move_all (context, addresses, restore_device, &o);
}
