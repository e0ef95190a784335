/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check-device.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "check-companions.h"
#include "check-settings.h"
#include "group.h"
#include "in-use.h"
#include "vfio-pci.h"

#define QEMU_MIGRATES 8001 /* QEMU 8.1: "vfio/migration: Make VFIO migration non-experimental" */

/* What the questions share. @chosen: (nullable): the candidate that would be bound */
typedef struct {
  const VvCheckContext *s;
  const VvPlan *plan;
  const VvHostdev *hostdev;
  VvPciDevice *device;
  VvEntry *entry;
  VvChoice *choice;
  const VvCandidate *chosen;
  gboolean on_vfio;
  VvCheck *check;
} Look;

void
vv_check_free (VvCheck *check)
{
  if (!check)
    return;
  g_free (check->address);
  g_free (check->driver);
  g_free (check->module);
  g_free (check->why);
  g_free (check->rule_file);
  g_ptr_array_unref (check->fallback);
  g_ptr_array_unref (check->findings);
  g_free (check);
}

static void
look_clear (Look *l)
{
  vv_pci_device_free (l->device);
  vv_entry_free (l->entry);
  vv_choice_free (l->choice);
  vv_check_free (l->check);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Look, look_clear)

/* @what, @cure: (transfer full) */
static void
find (const Look *l, const char *id, VvSeverity severity, char *what, const char *why, char *cure)
{
  vv_findings_add (l->check->findings, id, severity, l->device->address, what, why, cure);
}

static int
option (const Look *l, VvOption name)
{
  return l->choice->decision->options.values[name];
}

static gboolean
is_generic (const Look *l)
{
  return !l->chosen || strcmp (l->chosen->module, VV_GENERIC_MODULE) == 0 ||
         g_strcmp0 (l->check->driver, VV_GENERIC_DRIVER) == 0;
}

/* Returns: (nullable): the driver, or its module while that is not loaded */
static const char *
name_of_choice (const Look *l)
{
  return l->check->driver ? l->check->driver : l->check->module;
}

static char *
joined (GPtrArray *texts)
{
  g_autoptr (GString) all = g_string_new (NULL);

  for (guint i = 0; i < texts->len; i++)
    g_string_append_printf (all, "%s%s", i ? "; " : "", (const char *)texts->pdata[i]);
  return g_string_free (g_steal_pointer (&all), FALSE);
}

/* --- IOMMU --- */

static void
check_iommu (const Look *l)
{
  const VvHost *host = l->s->context->host;
  g_autofree char *unsafe = vv_io_attribute (host->sys, "module/vfio/parameters/enable_unsafe_noiommu_mode");
  g_autofree char *path = g_strdup_printf ("kernel/iommu_groups/%s/name", l->device->iommu_group);
  g_autofree char *name = l->device->iommu_group ? vv_io_attribute (host->sys, path) : NULL;

  if ((!l->device->iommu_group && g_strcmp0 (unsafe, "Y") == 0) || g_strcmp0 (name, "vfio-noiommu") == 0)
    find (l, "no-iommu", VV_WARNING, g_strdup (_ ("it would be given out in VFIO's no-IOMMU mode")),
          _ ("whoever has it can read and write all memory of the host; libvirt's guests cannot use it"),
          g_strdup (_ ("turn the IOMMU on, and vfio's enable_unsafe_noiommu_mode off")));
  else if (!l->device->iommu_group)
    vv_find_iommu_off (l->s, l->device->address, l->check->findings);
}

/* Whether a device of the host's may be given away without loss is for the administrator to say. */
static void
check_group (const Look *l)
{
  g_autoptr (GPtrArray) blockers =
      vv_group_blockers (l->s->context->host, l->s->context->catalog, l->device, l->plan->along);

  for (guint i = 0; i < blockers->len; i++) {
    const VvPciDevice *member = blockers->pdata[i];
    g_autoptr (GPtrArray) uses = vv_host_use (l->s->context->host, member);
    g_autofree char *use = joined (uses);
    if (uses->len)
      find (l, "group", VV_PROBLEM,
            g_strdup_printf (_ ("%s, in the same IOMMU group %s, is on %s, and the host uses it: %s"),
                             member->address, l->device->iommu_group, member->now.driver, use),
            _ ("VFIO gives out a group as a whole: QEMU would not start, and the host loses what it uses if "
               "that device "
               "is taken, too"),
            g_strdup (_ ("put one of the two devices into another slot, or end that use")));
    else
      find (l, "group", VV_PROBLEM,
            g_strdup_printf (_ ("%s, in the same IOMMU group %s, is on %s"), member->address,
                             l->device->iommu_group, member->now.driver),
            _ ("VFIO gives out a group as a whole: QEMU would not start unless the guest has that device, "
               "too, or no "
               "driver of the host does"),
            g_strdup_printf ("vfio-variant bind %s", member->address));
  }
}

/* --- who has it --- */

static gboolean
is_ours (const Look *l)
{
  return l->entry && l->plan->domain && l->entry->domain_uuid &&
         g_strcmp0 (l->entry->domain_uuid, l->plan->domain->uuid) == 0;
}

static void
check_guest_use (const Look *l)
{
  g_autofree char *user = vv_vfio_user (l->s->context->host, l->device);

  if (user && is_ours (l))
    find (l, "in-use-guest", VV_NOTE, g_strdup_printf (_ ("%s has it: this very domain runs"), user),
          _ ("nothing moves it now; what is told here is for its next start"), NULL);
  else if (user)
    find (l, "in-use-guest", VV_PROBLEM,
          g_strdup_printf (_ ("%s holds it, or its IOMMU group, through VFIO"), user),
          _ ("a device that a process holds is not moved, by no option"),
          g_strdup (_ ("shut that guest down, or detach the device from it")));
}

static void
check_host_use (const Look *l)
{
  g_autoptr (GPtrArray) reasons =
      l->on_vfio ? g_ptr_array_new () : vv_host_use (l->s->context->host, l->device);
  gboolean refused = option (l, VV_OPTION_HOST_USE) == VV_HOST_USE_REFUSE;
  g_autofree char *rule = vv_decision_rule (l->choice->decision);

  if (!reasons->len)
    return;
  g_autofree char *text = joined (reasons);
  g_autofree char *why =
      refused ? g_strdup_printf (_ ("%s refuses it (host-use='refuse'): the domain would not start"), rule)
      : l->choice->decision->said[VV_OPTION_HOST_USE]
          ? g_strdup_printf (_ ("%s lets it be taken all the same: the host loses it"), rule)
          : g_strdup (_ ("a domain that starts takes it all the same: the host loses it; 'vfio-variant bind' "
                         "refuses without --force"));
  find (l, "in-use-host", refused ? VV_PROBLEM : VV_WARNING,
        g_strdup_printf (_ ("the host uses it: %s"), text), why, g_strdup (_ ("end that use first")));
}

static void
check_entry (Look *l)
{
  g_autoptr (GError) error = NULL;

  l->entry = vv_journal_load (l->s->context->journal, l->device->address, &error);
  if (error)
    find (l, "journal-damaged", VV_PROBLEM, g_strdup (error->message),
          _ ("while it is there nothing of ours moves the device: it gets what libvirt chooses"),
          g_strdup_printf ("rm %s/%s && vfio-variant restore %s", l->s->context->host->run_path,
                           l->device->address, l->device->address));
  if (!l->entry)
    return;
  if (l->entry->domain && !is_ours (l))
    find (l, "claimed", VV_PROBLEM,
          l->entry->in_use
              ? g_strdup_printf (_ ("the journal gives it to domain %s, which runs"), l->entry->domain)
              : g_strdup_printf (_ ("the journal gives it to domain %s"), l->entry->domain),
          _ ("two guests cannot have it; 'vfio-variant bind' refuses"),
          g_strdup_printf (_ ("shut that domain down; when it is gone: vfio-variant restore --force %s"),
                           l->device->address));
  vv_find_entry (l->entry, l->device->now.driver, l->check->findings);
}

/* --- which driver --- */

/* What is excluded counts when it would have been better than what is left. */
static void
check_excluded (const Look *l, const VvCandidate *out)
{
  const GPtrArray *candidates = l->choice->selection->candidates;

  for (guint i = 0; i < candidates->len; i++)
    if (strcmp (((const VvCandidate *)candidates->pdata[i])->module, out->module) == 0)
      return;                                       /* the same by a lesser alias */
  if (strcmp (out->module, VV_GENERIC_MODULE) == 0) /* it takes any device: it is never the better one */
    return;
  if (!out->alias || (l->chosen && l->chosen->alias && l->chosen->rank < out->rank))
    return;
  g_autofree char *driver = vv_candidate_driver (l->s->context->host, out);
  gboolean blacklisted = vv_modules_blacklisted (l->s->context->modules, out->module);
  if (!blacklisted && !l->chosen) /* where none is left "no-driver" has all reasons */
    return;
  g_autofree char *grep = vv_settings_grep ("blacklist[[:space:]=].*", out->module);
  find (l, blacklisted ? "blacklisted" : "passed-over", VV_NOTE,
        g_strdup_printf (_ ("%s is passed over: %s"), driver ? driver : out->module, out->excluded),
        _ ("by its alias it would be tried first without that"),
        blacklisted ? g_strdup_printf (_ ("if that is not wanted, remove the line: %s"), grep) : NULL);
}

/* The first that would load is what it gets; what is wrong with those before it is found on the way. */
static void
check_candidates (Look *l)
{
  const VvCheckContext *s = l->s;
  const GPtrArray *candidates = l->choice->selection->candidates;
  const GPtrArray *excluded = l->choice->selection->excluded;
  guint first = l->check->findings->len;

  for (guint i = 0; i < candidates->len; i++) {
    const VvCandidate *c = candidates->pdata[i];
    g_autofree char *driver = vv_candidate_driver (s->context->host, c);
    gboolean there = c->source == VV_SOURCE_BUILTIN || (c->driver && g_strcmp0 (driver, c->driver) == 0);
    if (l->chosen)
      g_ptr_array_add (l->check->fallback, driver ? g_steal_pointer (&driver) : g_strdup (c->module));
    else if (vv_find_module (s, c->module, there, VV_WARNING, l->device->address, l->check->findings))
      l->chosen = c;
  }
  for (guint i = first; !l->chosen && i < l->check->findings->len; i++)
    ((VvFinding *)l->check->findings->pdata[i])->severity = VV_PROBLEM;
  for (guint i = 0; i < excluded->len; i++)
    check_excluded (l, excluded->pdata[i]);
}

/* Returns: the better of @best and what in @among libvirt would see: it reads modules.alias only */
static const VvCandidate *
best_in_table (const GPtrArray *among, const VvCandidate *best)
{
  for (guint i = 0; i < among->len; i++) {
    const VvCandidate *c = among->pdata[i];
    if (c->source == VV_SOURCE_ALIAS && (!best || c->rank < best->rank))
      best = c;
  }
  return best;
}

/* Returns: (transfer full) (nullable): why the kernel would not have @module */
static char *
why_not_loaded (const VvCheckContext *s, const char *module)
{
  g_autoptr (GPtrArray) findings = vv_findings_new ();
  g_auto (VvModuleLook) look = {0};

  if (!vv_find_module (s, module, FALSE, VV_NOTE, NULL, findings))
    return g_strdup (((const VvFinding *)findings->pdata[0])->what);
  vv_modules_look (s->context->modules, module, &look);
  return !look.present && !look.builtin && vv_modules_blacklisted (s->context->modules, module)
             ? g_strdup_printf (_ ("module %s is blacklisted"), module)
             : NULL;
}

/* From 10.0 on libvirt loads the best module of modules.alias before it looks where the device is
 * (virPCIDeviceFindBestVFIOVariant(), virPCIProbeDriver()), and tries no other when that fails. */
static void
check_libvirts_choice (const Look *l)
{
  const VvLibvirtProcess *libvirt = l->s->libvirt;

  if (!libvirt || libvirt->version < VV_LIBVIRT_CHOOSES ||
      (l->hostdev && (!l->hostdev->managed || l->hostdev->model)))
    return;
  const VvCandidate *best = best_in_table (l->choice->selection->candidates, NULL);
  best = best_in_table (l->choice->selection->excluded, best);
  g_autofree char *reason = best ? why_not_loaded (l->s, best->module) : NULL;
  if (reason)
    find (
        l, "libvirt-refuses", VV_PROBLEM,
        g_strdup_printf (_ ("libvirt %u.%u takes %s and nothing else, and cannot: %s"),
                         libvirt->version / 1000000, libvirt->version / 1000 % 1000, best->module, reason),
        _ ("from 10.0 on libvirt itself loads the best module of modules.alias, before it asks anybody, and "
           "refuses the device when that fails"),
        g_strdup (_ ("mend that, or name the driver in the domain's <hostdev>: <driver model='vfio-pci'/>")));
}

static gboolean
requires_migration (const Look *l)
{
  return vv_choice_requires (l->choice);
}

static gboolean
needs_iommu_logging (const Look *l, const char *driver)
{
  VvMigration m;

  return vv_migration_known (l->s->context->journal, driver, l->device->modalias, &m) == VV_MIGRATION_YES &&
         !m.dma_logging && !l->choice->use.forced;
}

/* The commands that ask @driver. A device that is on VFIO already stays there: "restore" would take it away
 * from whoever put it there. */
static char *
probe_remedy (const Look *l, const char *driver)
{
  const char *address = l->device->address;

  if (l->on_vfio && g_strcmp0 (driver, l->device->now.driver) == 0)
    return g_strdup_printf ("vfio-variant probe %s", address);
  if (l->on_vfio)
    return g_strdup_printf ("vfio-variant bind %s && vfio-variant probe %s", address, address);
  return g_strdup_printf ("vfio-variant bind %s && vfio-variant probe %s; vfio-variant restore %s", address,
                          address, address);
}

/* (nullable): the device, or the domain, as it would have to be */
static char *
migration_remedy (const Look *l, const char *driver)
{
  VvMigration m;

  switch (vv_migration_known (l->s->context->journal, driver, l->device->modalias, &m)) {
  case VV_MIGRATION_UNKNOWN:
    return probe_remedy (l, driver);
  case VV_MIGRATION_YES:
    if (needs_iommu_logging (l, driver) && m.iommu_logging != VV_ANSWER_NO &&
        l->choice->use.iommufd != VV_ANSWER_YES)
      return g_strdup (_ ("in the domain's <hostdev>: <driver iommufd='yes'/> (libvirt 12.1, QEMU 9.1)"));
    return NULL;
  default:
    return NULL;
  }
}

/* (nullable): what would let a driver back in that is out because the domain could not be migrated */
static char *
excluded_remedy (const Look *l)
{
  for (guint i = 0; requires_migration (l) && i < l->choice->selection->excluded->len; i++) {
    const VvCandidate *c = l->choice->selection->excluded->pdata[i];
    g_autofree char *driver = vv_candidate_driver (l->s->context->host, c);
    const char *name = driver ? driver : c->module;
    char *remedy = needs_iommu_logging (l, name) ? migration_remedy (l, name) : NULL;
    if (remedy)
      return remedy;
  }
  return NULL;
}

static void
check_choice (const Look *l)
{
  g_autofree char *rule = vv_decision_rule (l->choice->decision);
  VvVfioPciRefusal refusal = vv_vfio_pci_refuses (l->s->context->host, l->s->context->modules, l->device);

  for (guint i = 0; i < l->choice->refused->len; i++)
    find (l, "wish-refused", VV_WARNING, g_strdup (l->choice->refused->pdata[i]),
          _ ("a domain's wish narrows the policy and never gets around it: it does not count"), NULL);
  if (!l->chosen) {
    g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);
    for (guint i = 0; i < l->choice->selection->excluded->len; i++) {
      const VvCandidate *c = l->choice->selection->excluded->pdata[i];
      g_ptr_array_add (reasons, g_strdup_printf ("%s: %s", c->module, c->excluded));
    }
    g_autofree char *text = joined (reasons);
    find (l, "no-driver", VV_PROBLEM,
          *text ? g_strdup_printf (_ ("no VFIO driver is left: %s"), text)
                : g_strdup (_ ("no VFIO driver is left")),
          refusal ? _ ("vfio-pci's probe refuses it (EINVAL), also for libvirt: the domain would not start")
          : vv_decision_is_strict (l->choice->decision)
              ? _ ("the domain would not start")
              : _ ("at a start it would stay where libvirt puts it, if libvirt can"),
          refusal == VV_VFIO_PCI_DENYLISTED
              ? g_strdup (_ ("if its guests are trusted: echo options vfio-pci disable_denylist=1 > "
                             "/etc/modprobe.d/vfio-pci-denylist.conf; then load vfio_pci again, or reboot"))
              : excluded_remedy (l));
    return;
  }
  gboolean by_gate = l->hostdev && l->hostdev->managed && l->hostdev->iommufd;
  if (vv_decision_is_strict (l->choice->decision))
    find (l, "strict", VV_NOTE,
          g_strdup_printf (
              _ ("a start is refused when it cannot have this (%s: fallback='%s', migratable='%s')"), rule,
              vv_option_value (VV_OPTION_FALLBACK, option (l, VV_OPTION_FALLBACK)),
              vv_option_value (VV_OPTION_MIGRATABLE, option (l, VV_OPTION_MIGRATABLE))),
          by_gate ? _ ("libvirt opens a device with iommufd before the hook could move it: without "
                       "vfio-variantd the domain starts only if libvirt itself chooses such a driver")
                  : _ ("nothing but a driver that fails, or that cannot migrate it, is to be expected here"),
          by_gate ? g_strdup ("systemctl enable --now vfio-variantd") : NULL);
}

/* --- a VFIO driver that no alias names: the vendor's own --- */

static gboolean
is_vendors (const Look *l)
{
  return l->device->vfio_dev && !vv_selection_has_driver (l->s->context->host, l->choice->selection,
                                                          l->device->now.driver, l->device->now.module);
}

/* Measured with libvirt 9.0 and 11.3: virPCIDeviceBindToStub() looks whether the device is on the driver that
 * it wants, and unbinds any other. */
static void
find_taken_from_vendor (const Look *l)
{
  g_autofree char *domain = g_shell_quote (l->plan->domain->name);

  find (l, "vendor-driver", VV_PROBLEM,
        g_strdup_printf (_ ("libvirt takes it from %s, its vendor's VFIO driver"), l->device->now.driver),
        _ ("managed='yes': libvirt unbinds that driver; what it set up in the device, such as a vGPU, is "
           "lost, and "
           "the start may fail"),
        vv_libvirt_is_before (l->s, VV_LIBVIRT_ACCEPTS)
            ? g_strdup (_ ("install libvirt 9.7 or later, which takes it with managed='no'"))
            : g_strdup_printf (_ ("virsh edit %s  # managed='no' for this device"), domain));
}

static void
find_left_to_vendor (const Look *l)
{
  const char *driver = l->device->now.driver;

  if (!l->hostdev)
    find (l, "vendor-driver", VV_NOTE, g_strdup_printf (_ ("it is on %s, its vendor's VFIO driver"), driver),
          _ ("vfio-variant leaves it there; a domain with managed='yes' makes libvirt take it"), NULL);
  else if (vv_libvirt_is_before (l->s, VV_LIBVIRT_ACCEPTS))
    find (l, "vendor-driver", VV_PROBLEM,
          g_strdup_printf (_ ("libvirt does not accept it on %s, its vendor's VFIO driver"), driver),
          _ ("before 9.7 libvirt accepts managed='no' devices on vfio-pci only"),
          g_strdup (_ ("install libvirt 9.7 or later")));
  else
    find (l, "vendor-driver", VV_NOTE,
          g_strdup_printf (_ ("it stays on %s, its vendor's VFIO driver"), driver),
          _ ("managed='no': neither libvirt nor vfio-variant moves it"), NULL);
}

/* Returns: whether the device stays where it is */
static gboolean
check_stays (const Look *l)
{
  VvCheck *check = l->check;

  if (is_vendors (l) && l->hostdev && l->hostdev->managed) {
    find_taken_from_vendor (l);
    return FALSE;
  }
  if (is_vendors (l)) {
    check->why = g_strdup (_ ("it is there now"));
    find_left_to_vendor (l);
  } else if (l->hostdev && !l->hostdev->managed && option (l, VV_OPTION_UNMANAGED) != VV_UNMANAGED_MANAGE) {
    check->why = g_strdup (_ ("managed='no': it stays where it is"));
    find (l, "unmanaged", l->on_vfio ? VV_NOTE : VV_PROBLEM,
          g_strdup_printf (_ ("managed='no', and it is on %s"),
                           l->device->now.driver ? l->device->now.driver : _ ("no driver")),
          l->on_vfio ? _ ("neither libvirt nor we move it, unless the policy says unmanaged='manage'")
                     : _ ("libvirt refuses such a device unless it is on a VFIO driver"),
          l->on_vfio ? NULL : g_strdup_printf ("vfio-variant bind %s", l->device->address));
  } else {
    return FALSE;
  }
  check->driver = g_strdup (l->device->now.driver);
  return TRUE;
}

static void
tell_choice (const Look *l)
{
  const VvDecision *d = l->choice->decision;
  const VvCandidate *c = l->chosen;
  g_autofree char *rule = vv_decision_rule (d);

  l->check->driver = c ? vv_candidate_driver (l->s->context->host, c) : NULL;
  l->check->module = c ? g_strdup (c->module) : NULL;
  l->check->why = l->hostdev && l->hostdev->model && vv_decision_lists (d, l->hostdev->model)
                      ? g_strdup (_ ("the domain's <driver model=>"))
                  : d->file ? g_strdup (rule)
                  : c && c->alias
                      ? g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "best by alias %s, %u wildcard",
                                                      "best by alias %s, %u wildcards", c->wildcards),
                                         c->alias, c->wildcards)
                      : g_strdup (_ ("no alias names another"));
}

/* --- what is lost on the way --- */

static void
check_reset (const Look *l)
{
  g_autofree char *methods = vv_io_attribute (l->device->dir, "reset_method");

  if (!(methods ? *methods != '\0' : vv_io_exists (l->device->dir, "reset")))
    find (l, "no-reset", VV_WARNING, g_strdup (_ ("the kernel has no way to reset it")),
          _ ("what one guest left in it is there for the next, and for the host"), NULL);
  if (vv_libvirt_is_before (l->s, VV_LIBVIRT_ACCEPTS) && !is_generic (l) && !vv_pci_has_flr (l->device))
    find (
        l, "hotplug-generic", VV_NOTE, g_strdup (_ ("at hot plug it stays on vfio-pci: it has no FLR")),
        _ ("libvirt before 9.7 can reset, on another driver than vfio-pci, only devices with FLR; the start "
           "of a "
           "domain works"),
        NULL);
}

/* vv_attach_opened() */
static gboolean
would_be_refused (const Look *l, const char *driver)
{
  return requires_migration (l) && l->hostdev && l->hostdev->managed && l->hostdev->iommufd &&
         vv_migration_known (l->s->context->journal, driver, l->device->modalias, NULL) ==
             VV_MIGRATION_UNKNOWN;
}

static void
check_migration (const Look *l)
{
  const char *driver = name_of_choice (l);
  const char *why = NULL;

  l->check->requires_migration = requires_migration (l);
  l->check->migratable =
      vv_migration_foresee (l->s->context->journal, driver, l->device->modalias, &l->choice->use, &why);
  if (!driver || (!l->chosen && !l->on_vfio)) /* it stays on a driver of the host */
    return;
  if (l->check->migratable == VV_MIGRATION_YES)
    find (l, "migratable", VV_OK, g_strdup_printf (_ ("a domain can be migrated live with it on %s"), driver),
          _ ("that is what its driver and its IOMMU announced; the destination needs the same"), NULL);
  else if (l->check->migratable == VV_MIGRATION_NO)
    find (l, "not-migratable", requires_migration (l) ? VV_PROBLEM : VV_NOTE,
          g_strdup_printf (_ ("a domain cannot be migrated live with it: %s %s"), driver, why),
          requires_migration (l) ? _ ("migratable='require': the domain would not start")
                                 : _ ("QEMU blocks the migration of a domain that has it"),
          migration_remedy (l, driver));
  else
    find (l, "migration-unknown", would_be_refused (l, driver) ? VV_WARNING : VV_NOTE,
          g_strdup_printf (_ ("whether a domain can be migrated live with it is not known: %s %s"), driver,
                           why),
          would_be_refused (l, driver)
              ? _ ("migratable='require', and libvirt opens a device with iommufd before the hook could ask: "
                   "without vfio-variantd the domain would not start")
              : _ ("only the driver and the IOMMU can tell, and only of a device that is on it and idle"),
          migration_remedy (l, driver));
}

static void
check_qemu (const Look *l)
{
  const VvQemu *qemu = l->plan->qemu;
  /* What QEMU has learnt when: vfio_block_multiple_devices_migration() and iommufd_cdev_autodomains_get() in
   * its hw/vfio */
  guint needed = needs_iommu_logging (l, name_of_choice (l)) ? 9001
                 : l->choice->use.others                     ? 8002
                                                             : QEMU_MIGRATES;

  if (!qemu || !qemu->version || qemu->version >= needed || is_generic (l))
    return;
  g_autofree char *why = g_strdup_printf (
      requires_migration (l) ? _ ("live migration of such VFIO devices, which is required, needs QEMU %u.%u")
                             : _ ("live migration of such VFIO devices needs QEMU %u.%u"),
      needed / 1000, needed % 1000);
  find (l, "qemu-old", requires_migration (l) ? VV_PROBLEM : VV_WARNING,
        g_strdup_printf (_ ("%s is QEMU %u.%u"), qemu->path, qemu->version / 1000, qemu->version % 1000), why,
        g_strdup_printf (_ ("install QEMU %u.%u or later"), needed / 1000, needed % 1000));
}

/* --- the device --- */

static gboolean
choose (Look *l, GError **error)
{
  g_autofree char *whose = l->plan->domain ? g_strdup_printf ("domain %s", l->plan->domain->name) : NULL;

  const VvRequested requested = vv_domain_requested (l->plan->domain, l->hostdev);
  l->choice = vv_choose (l->s->context, l->device, l->entry, NULL, &requested, whose, error);
  if (!l->choice)
    return FALSE;
  l->on_vfio = vv_on_vfio (l->s->context->host, l->device, l->choice->selection);
  l->check->rule_file = g_strdup (l->choice->decision->file);
  l->check->rule_line = l->choice->decision->line;
  return TRUE;
}

VvCheck *
vv_check_device (const VvCheckContext *s, const VvPlan *plan, const char *address, const VvHostdev *hostdev,
                 GError **error)
{
  g_auto (Look) l = {.s = s, .plan = plan, .hostdev = hostdev, .check = g_new0 (VvCheck, 1)};

  l.check->address = g_strdup (address);
  l.check->fallback = g_ptr_array_new_with_free_func (g_free);
  l.check->findings = vv_findings_new ();
  l.device = vv_pci_device_open (s->context->host, address, error);
  if (!l.device)
    return NULL;
  check_entry (&l);
  if (!choose (&l, error))
    return NULL;
  check_iommu (&l);
  check_group (&l);
  vv_find_companions (s, l.device, plan->along, l.check->findings);
  vv_find_boot_framebuffer (s, l.device, l.check->findings);
  check_guest_use (&l);
  check_host_use (&l);
  gboolean it_stays = check_stays (&l);
  if (!it_stays) {
    check_candidates (&l);
    tell_choice (&l);
    check_choice (&l);
    if (is_generic (&l))
      vv_find_silent (s, l.device, l.check->findings);
    check_libvirts_choice (&l);
    check_qemu (&l);
  }
  vv_find_settings (s, l.device, l.entry, it_stays || is_generic (&l) ? NULL : name_of_choice (&l),
                    l.check->findings);
  check_reset (&l);
  check_migration (&l);
  vv_find_at_boot (s, l.device, l.entry, l.check->findings);
  return g_steal_pointer (&l.check);
}
