/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handover.h"

#include <string.h>

#include "asker.h"
#include "modalias.h"
#include "placement.h"

#define LIBVIRT_IOMMUFD VV_LIBVIRT_VERSION (12, 1, 0)

static VvChange *leave (const VvBinding *b, const VvRequest *request, VvOperation operation,
                        const char *format, ...) G_GNUC_PRINTF (4, 5);

static VvChange *
leave (const VvBinding *b, const VvRequest *request, VvOperation operation, const char *format, ...)
{
  VvChange *change = vv_change_new (request->address, operation, request->before.driver);
  va_list args;

  va_start (args, format);
  change->why = g_strdup_vprintf (format, args);
  va_end (args);
  change->to = g_strdup (b->device->driver);
  return change;
}

/* --- which candidates --- */

/* Whether @driver is one that VFIO knows: a candidate's, loaded or not, or one that was put behind. */
static gboolean
is_vfio_driver (const VvHost *host, const VvSelection *selection, const char *driver)
{
  if (!driver)
    return FALSE;
  if (strcmp (driver, VV_GENERIC_DRIVER) == 0 || vv_selection_has_driver (host, selection, driver, NULL))
    return TRUE;
  g_autofree char *module = vv_module_name (driver);
  for (guint i = 0; i < selection->candidates->len; i++)
    if (strcmp (((VvCandidate *)selection->candidates->pdata[i])->module, module) == 0)
      return TRUE;
  return FALSE;
}

/* Why what libvirt asked for must not be bettered; NULL: it may be. @could_fail: libvirt may not be able to
 * go on with another one */
static char *
why_keep (const VvRequest *request, const VvPciDevice *device, const char *wanted, gboolean *could_fail)
{
  guint major = request->libvirt / 1000000, minor = request->libvirt / 1000 % 1000;

  *could_fail = request->libvirt < VV_LIBVIRT_VERSION (9, 7, 0);
  if (!request->libvirt)
    return g_strdup ("which libvirt asked could not be told, so its choice stands");
  if (request->libvirt >= VV_LIBVIRT_VERSION (10, 0, 0))
    return g_strdup_printf ("libvirt %u.%u chooses by itself, or was told", major, minor);
  if (strcmp (wanted, VV_GENERIC_DRIVER) != 0)
    return g_strdup_printf ("libvirt %u.%u was told to take %s", major, minor, wanted);
  /* virPCIDeviceReset() of libvirt before 9.7 leaves only vfio-pci to the kernel; without FLR it tries resets
   * that fail where the device is not alone on its bus. */
  if (request->libvirt < VV_LIBVIRT_VERSION (9, 7, 0) && !vv_pci_has_flr (device))
    return g_strdup_printf ("libvirt %u.%u resets a device that is not on vfio-pci by itself and may fail "
                            "without FLR; at the start of a domain the hook can move it",
                            major, minor);
  return NULL;
}

static gboolean
refuse (const VvPciDevice *device, const VvChoice *choice, const char *wanted, const char *kept,
        GError **error)
{
  g_autofree char *rule = vv_decision_rule (choice->decision);

  g_set_error (error, VV_ERROR, VV_ERROR_POLICY,
               "%s: %s does not take %s, and nothing else can be tried now: %s", device->address, rule,
               wanted, kept);
  return FALSE;
}

/* A domain's hook has been at "prepare" and will be at "start": it can do what the gate may not, and what it
 * refuses libvirt quotes. The device may have been detached by hand before. */
static gboolean
domain_starts (const VvEntry *entry)
{
  return entry && entry->domain && !entry->in_use && (entry->state == VV_STATE_NOTED || entry->requested);
}

/* libvirt opens a device that goes to QEMU by iommufd before the hook's "start" (VvHostdev): what that would
 * do is done here, by what the hook's "prepare" has written. */
static gboolean
does_start (const VvEntry *entry, VvRequested *requested)
{
  return entry && domain_starts (entry) && vv_requested_from_text (entry->requested, requested) &&
         requested->use.iommufd == VV_ANSWER_YES;
}

/* @start: (out): whether this is what the hook's "start" chooses. Else the domain has the device as libvirt
 * has it before 12.1, which knows no iommufd; later ones do not tell. */
static VvChoice *
choose_as_requested (const VvSession *session, const VvRequest *request, const VvPciDevice *device,
                     const VvEntry *entry, gboolean *start, GError **error)
{
  const VvRequested by_version = {.use = {.iommufd = request->libvirt && request->libvirt < LIBVIRT_IOMMUFD
                                                         ? VV_ANSWER_NO
                                                         : VV_ANSWER_UNKNOWN}};
  g_auto (VvRequested) by_domain = {0};

  *start = does_start (entry, &by_domain);
  g_autofree char *whose = *start ? g_strdup_printf ("domain %s", entry->domain) : NULL;
  return vv_choose (session, device, entry, request->before.driver, *start ? &by_domain : &by_version, whose,
                    error);
}

/* What libvirt asked for stays where the policy allows it. What that does not allow gives way, where libvirt
 * can go on with another; else the policy is a wish, but for one that is strict. */
static gboolean
keep_wanted (const VvSession *session, const VvRequest *request, const VvBinding *b, VvChoice *choice,
             char **kept, GError **error)
{
  const VvPciDevice *device = b->device;
  const char *wanted = device->driver_override;
  gboolean could_fail;
  g_autofree char *why = why_keep (request, device, wanted, &could_fail);

  if (!why || !is_vfio_driver (session->host, choice->selection, wanted))
    return TRUE;
  if (could_fail && vv_decision_is_strict (choice->decision) && !domain_starts (b->entry) &&
      !vv_candidates_find (session->host, choice->selection->candidates, wanted))
    return refuse (device, choice, wanted, why,
                   error); /* nobody chose it: it is all that this libvirt knows */
  if (!could_fail && !vv_choice_takes (session, device, choice, wanted))
    return TRUE;
  *kept = g_steal_pointer (&why);
  return vv_selection_begin_with (session->host, choice->selection, wanted, *kept, error);
}

static VvChoice *
choose_for (const VvSession *session, const VvRequest *request, const VvBinding *b, char **kept,
            GError **error)
{
  VvPhase before = vv_clock_enter (b->patience.clock, VV_PHASE_SELECT);
  gboolean start;
  g_autoptr (VvChoice) choice = choose_as_requested (session, request, b->device, b->entry, &start, error);
  gboolean chosen = choice && (start || keep_wanted (session, request, b, choice, kept, error));

  vv_clock_enter (b->patience.clock, before);
  return chosen ? g_steal_pointer (&choice) : NULL;
}

/* --- detach --- */

/* For the journal, which knows the device's home before anything is tried: libvirt takes the device in any
 * case. vv_binding_detach() saves it. */
static gboolean
note_home (const VvSession *session, VvBinding *b, const VvRequest *request, const VvSelection *selection,
           GError **error)
{
  gboolean was_on_vfio = is_vfio_driver (session->host, selection, request->before.driver);

  if (vv_binding_is_stale (b, &request->before, was_on_vfio) && !vv_binding_forget (b, error))
    return FALSE;
  gboolean is_new = !b->entry;
  vv_binding_note_home (b, &request->before);
  if (is_new && was_on_vfio)
    b->entry->home_known = FALSE; /* nobody saw it before it came to VFIO */
  return TRUE;
}

static VvChange *
take (const VvSession *session, const VvRequest *request, VvBinding *b, GError **error)
{
  g_autofree char *kept = NULL;
  g_autoptr (VvChoice) choice = choose_for (session, request, b, &kept, error);
  const VvSelection *selection = choice ? choice->selection : NULL;
  const char *wanted = b->device->driver_override;
  gboolean starts = domain_starts (b->entry);

  if (!selection || !note_home (session, b, request, selection, error))
    return NULL;
  if (!is_vfio_driver (session->host, selection, wanted))
    return vv_binding_save (b, error)
               ? leave (b, request, VV_DETACH, "libvirt wants it on %s, which is no VFIO driver known for it",
                        wanted)
               : NULL;
  VvChange *change = vv_place (session, b, choice, error);
  if (!change)
    return NULL;
  if (starts)
    vv_place_note_failed (b, change);
  g_free (change->from);
  change->from = g_strdup (request->before.driver);
  if (kept && selection->excluded->len) {
    g_autofree char *why = change->why;
    change->why = g_strdup_printf ("%s; nothing better was tried: %s", why, kept);
  }
  return change;
}

/* --- reattach --- */

static VvChange *
give_back (const VvRequest *request, VvBinding *b, GError **error)
{
  const VvEntry *entry = b->entry;

  if (entry && entry->held && entry->domain && !entry->unmanaged)
    return leave (b, request, VV_REATTACH,
                  "it was bound by hand before domain %s had it: the hook sees to it", entry->domain);
  if (!entry || !entry->home_known) {
    if (entry && !entry->domain)
      vv_binding_forget (b, NULL);
    return leave (b, request, VV_REATTACH, "what it was before is not known: the kernel chooses");
  }
  VvChange *change = vv_binding_reattach (b, error);
  if (!change)
    return NULL;
  g_free (change->from);
  change->from = g_strdup (request->before.driver);
  return change;
}

/* To what it was before libvirt touched it. An entry counts further when it says that the device is away on
 * the driver that it was on: somebody had detached it. */
static VvChange *
undo (const VvRequest *request, VvBinding *b, const VvEntry *entry, const char *why, GError **error)
{
  gboolean was_away = entry && entry->state == VV_STATE_DETACHED && entry->vfio_driver &&
                      g_strcmp0 (entry->vfio_driver, request->before.driver) == 0;

  return vv_binding_undo (b, &request->before, was_away ? entry : NULL, why, error);
}

/* libvirt is going to be told that it cannot have the device, and does nothing more about it then
 * (virHostdevPreparePCIDevicesImpl() gives back only what virPCIDeviceDetach() has taken). */
static void
bring_back (const VvSession *session, const VvRequest *request, VvBinding *b, const VvEntry *entry)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvChange) change =
      undo (request, b, entry, "as it was before: it cannot have what is required", &error);

  if (change)
    vv_session_log_change (session, change);
  else
    g_warning ("gate: %s", error->message);
}

VvChange *
vv_handover (const VvSession *session, const VvRequest *request, const VvPatience *patience,
             VvChange **failed, GError **error)
{
  vv_clock_enter (patience->clock, VV_PHASE_FIND);
  g_autoptr (VvBinding) b = vv_binding_open_between (session->host, session->modules, session->journal,
                                                     session->hooks, request->address, patience, error);
  vv_clock_enter (patience->clock, VV_PHASE_OTHER);
  if (!b)
    return NULL;
  VvOperation operation = b->device->driver_override ? VV_DETACH : VV_REATTACH;
  if (b->device->driver)
    return leave (b, request, operation, "it is on %s already", b->device->driver);
  g_autoptr (VvEntry) entry = b->entry ? vv_entry_copy (b->entry) : NULL;
  g_autoptr (GError) problem = NULL;
  VvChange *change =
      operation == VV_DETACH ? take (session, request, b, &problem) : give_back (request, b, &problem);
  if (change)
    return change;
  g_autoptr (VvChange) record = vv_binding_failed (b);
  if (domain_starts (entry))
    vv_place_note_failed (b, record);
  if (failed)
    *failed = g_steal_pointer (&record);
  gboolean refused = problem && g_error_matches (problem, VV_ERROR, VV_ERROR_POLICY);
  if (refused && domain_starts (entry))
    problem->code = VV_ERROR_FAILED;
  else if (refused)
    bring_back (session, request, b, entry);
  g_propagate_error (error, g_steal_pointer (&problem));
  return NULL;
}

/* --- what a libvirt that died leaves --- */

/* What libvirt changes: at a detach first the override of a device on its native driver, on the way home
 * first that of one on a VFIO driver; then there is no driver. */
static gboolean
is_left_between (const VvBinding *b, const VvRequest *request)
{
  const VvPciDevice *d = b->device;

  if (!d->driver && request->before.driver)
    return TRUE;
  return g_strcmp0 (d->driver, request->before.driver) == 0 &&
         g_strcmp0 (d->driver_override, request->before.override) != 0;
}

VvChange *
vv_handover_rescue (const VvSession *session, const VvRequest *request, GError **error)
{
  g_autoptr (VvBinding) b = vv_session_binding (session, request->address, FALSE, error);

  if (!b)
    return NULL;
  VvOperation operation = b->device->driver_override ? VV_DETACH : VV_REATTACH;
  if (!is_left_between (b, request))
    return leave (b, request, operation, "libvirt died, and had not begun, or somebody else went on");
  if (operation == VV_REATTACH && !(b->entry && b->entry->held))
    return vv_binding_reattach (b, error);
  g_autoptr (VvEntry) entry = b->entry ? vv_entry_copy (b->entry) : NULL;
  return undo (request, b, entry, "as it was before: libvirt died in the middle of moving it", error);
}

/* Its driver_override is not looked at: the gate would have to answer, and the kernel shows it only when the
 * unbind is over, which this is to run beside (vv_pci_device_look()). */
gint64
vv_handover_prepare (const VvSession *session, const VvRequest *request)
{
  g_autoptr (VvPciDevice) device = vv_pci_device_look (session->host, request->address, NULL);
  g_autoptr (VvEntry) entry = vv_journal_load (session->journal, request->address, NULL);
  gboolean start = FALSE;
  g_autoptr (VvChoice) choice =
      device ? choose_as_requested (session, request, device, entry, &start, NULL) : NULL;
  gboolean could_fail;

  if (!choice || is_vfio_driver (session->host, choice->selection, request->before.driver))
    return 0; /* on its way home */
  g_autofree char *kept = start ? NULL : why_keep (request, device, VV_GENERIC_DRIVER, &could_fail);
  if (kept)
    return 0; /* what libvirt asks for it has loaded itself */
  gint64 begun = g_get_monotonic_time ();
  vv_binding_load_ahead (session->host, session->modules, choice->selection, NULL);
  return g_get_monotonic_time () - begun;
}
