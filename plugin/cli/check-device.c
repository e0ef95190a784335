/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gi18n-lib.h>
#include <string.h>

#include "check.h"
#include "in-use.h"
#include "vfio-pci.h"

#define QEMU_MIGRATES 8001 /* QEMU 8.1: "vfio/migration: Make VFIO migration non-experimental" */

void
vv_check_free (VvCheck *check)
{
  if (!check)
    return;
  vv_pci_device_free (check->device);
  vv_entry_free (check->entry);
  vv_choice_free (check->choice);
  g_free (check->driver);
  g_free (check->module);
  g_free (check->why);
  g_ptr_array_unref (check->fallback);
  g_ptr_array_unref (check->about.findings);
  g_free (check);
}

/* @what, @fix: (transfer full) */
static void
find (const VvCheck *check, const char *id, VvSeverity severity, char *what, const char *why, char *fix)
{
  vv_find (&check->about, id, severity, what, why, fix);
}

static int
option (const VvCheck *check, VvOption name)
{
  return check->choice->options.values[name];
}

static gboolean
is_generic (const VvCheck *check)
{
  return !check->chosen || strcmp (check->chosen->module, VV_GENERIC_MODULE) == 0 ||
         g_strcmp0 (check->driver, VV_GENERIC_DRIVER) == 0;
}

/* Returns: (nullable): the driver, or its module if that is not loaded */
static const char *
name_of_choice (const VvCheck *check)
{
  return check->driver ? check->driver : check->module;
}

/* --- users of the device --- */

static gboolean
is_ours (const VvCheck *check)
{
  return check->entry && check->plan->domain && check->entry->domain_uuid &&
         g_strcmp0 (check->entry->domain_uuid, check->plan->domain->uuid) == 0;
}

static void
check_guest_use (const VvCheck *check)
{
  g_autofree char *user = vv_vfio_user (check->context->host, check->device);

  if (user && is_ours (check))
    find (check, "in-use-guest", VV_NOTE, g_strdup_printf (_ ("%s uses it: this domain is running"), user),
          _ ("the device stays where it is; this check applies to the next start of the domain"), NULL);
  else if (user)
    find (check, "in-use-guest", VV_PROBLEM,
          g_strdup_printf (_ ("%s uses it, or its IOMMU group, through VFIO"), user),
          _ ("a device that a process uses is never moved, with any option"),
          g_strdup (_ ("shut down that guest, or detach the device from it")));
}

static void
check_host_use (const VvCheck *check)
{
  g_autoptr (GPtrArray) reasons =
      check->on_vfio ? g_ptr_array_new () : vv_host_use (check->context->host, check->device);
  gboolean refused = option (check, VV_OPTION_HOST_USE) == VV_HOST_USE_REFUSE;
  g_autofree char *rule = vv_choice_rule (check->choice);

  if (!reasons->len)
    return;
  g_ptr_array_add (reasons, NULL);
  g_autofree char *text = g_strjoinv ("; ", (char **)reasons->pdata);
  g_autofree char *why =
      refused ? g_strdup_printf (_ ("%s refuses it (host-use='refuse'): the domain would not start"), rule)
      : check->choice->said[VV_OPTION_HOST_USE]
          ? g_strdup_printf (_ ("%s lets the domain take it anyway: the host loses it"), rule)
          : g_strdup (_ ("a domain that starts takes it anyway: the host loses it; 'vfio-variant bind' "
                         "refuses without --force"));
  find (check, "in-use-host", refused ? VV_PROBLEM : VV_WARNING,
        g_strdup_printf (_ ("the host uses it: %s"), text), why, g_strdup (_ ("end that use first")));
}

static void
check_entry (VvCheck *check)
{
  g_autoptr (GError) error = NULL;

  check->entry = vv_state_store_load (check->context->store, check->device->address, &error);
  if (error)
    vv_find_damaged (&check->about, error);
  if (!check->entry)
    return;
  if (check->entry->domain && !is_ours (check))
    find (
        check, "claimed", VV_PROBLEM,
        check->entry->in_use
            ? g_strdup_printf (_ ("the state store assigns it to domain %s, which is running"),
                               check->entry->domain)
            : g_strdup_printf (_ ("the state store assigns it to domain %s"), check->entry->domain),
        _ ("two guests cannot share it; 'vfio-variant bind' refuses"),
        g_strdup_printf (_ ("shut down that domain; if it no longer exists: vfio-variant restore --force %s"),
                         check->device->address));
  vv_find_entry (&check->about, check->entry, check->device->now.driver);
}

/* --- driver selection --- */

/* Adds a finding only if the excluded candidate is better than the remaining candidates. */
static void
check_excluded (const VvCheck *check, const VvCandidate *out)
{
  const GPtrArray *candidates = check->choice->candidates;

  for (guint i = 0; i < candidates->len; i++)
    if (strcmp (((const VvCandidate *)candidates->pdata[i])->module, out->module) == 0)
      return;                                       /* the module is a candidate through another alias */
  if (strcmp (out->module, VV_GENERIC_MODULE) == 0) /* matches any device, so it is never better */
    return;
  if (!out->alias || (check->chosen && check->chosen->alias && check->chosen->rank < out->rank))
    return;
  g_autofree char *driver = vv_candidate_driver (check->context->host, out);
  gboolean blacklisted = vv_modules_blacklisted (check->context->modules, out->module);
  if (!blacklisted && !check->chosen) /* the finding "no-driver" has all reasons */
    return;
  g_autofree char *grep = vv_settings_grep ("blacklist[[:space:]=].*", out->module);
  find (check, blacklisted ? "blacklisted" : "passed-over", VV_NOTE,
        g_strdup_printf (_ ("%s is excluded: %s"), driver ? driver : out->module, out->excluded),
        _ ("without that, its alias would make it the first choice"),
        blacklisted ? g_strdup_printf (_ ("if this is not intended, remove the line: %s"), grep) : NULL);
}

/* Chooses the first candidate whose module is loaded or can be loaded. Adds a finding for each better
 * candidate. */
static void
check_candidates (VvCheck *check)
{
  const VvCheckContext *s = check->about.s;
  const GPtrArray *candidates = check->choice->candidates;
  const GPtrArray *excluded = check->choice->excluded;
  guint first = check->about.findings->len;

  for (guint i = 0; i < candidates->len; i++) {
    const VvCandidate *c = candidates->pdata[i];
    g_autofree char *driver = vv_candidate_driver (s->context->host, c);
    gboolean there = c->source == VV_SOURCE_BUILTIN || (c->driver && g_strcmp0 (driver, c->driver) == 0);
    if (check->chosen)
      g_ptr_array_add (check->fallback, driver ? g_steal_pointer (&driver) : g_strdup (c->module));
    else if (vv_find_module (&check->about, c->module, there, VV_WARNING))
      check->chosen = c;
  }
  for (guint i = first; !check->chosen && i < check->about.findings->len; i++)
    ((VvFinding *)check->about.findings->pdata[i])->severity = VV_PROBLEM;
  for (guint i = 0; i < excluded->len; i++)
    check_excluded (check, excluded->pdata[i]);
}

/* Returns: the better of @best and the best of @among in modules.alias, the only table that libvirt reads */
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

/* Returns: (transfer full) (nullable): why @module cannot be loaded */
static char *
why_not_loaded (const VvCheckContext *s, const char *module)
{
  g_autoptr (GPtrArray) findings = vv_findings_new ();
  const VvSubject about = {s, NULL, findings};
  g_auto (VvModuleLook) look = {0};

  if (!vv_find_module (&about, module, FALSE, VV_NOTE))
    return g_strdup (((const VvFinding *)findings->pdata[0])->what);
  vv_modules_look (s->context->modules, module, &look);
  return !look.present && !look.builtin && vv_modules_blacklisted (s->context->modules, module)
             ? g_strdup_printf (_ ("module %s is blacklisted"), module)
             : NULL;
}

/* Since 10.0, libvirt loads the best module of modules.alias before it checks the current driver of the
 * device (virPCIDeviceFindBestVFIOVariant(), virPCIProbeDriver()). If that fails, libvirt tries no other
 * module. */
static void
check_libvirts_choice (const VvCheck *check)
{
  const VvLibvirtProcess *libvirt = check->about.s->libvirt;

  if (!libvirt || libvirt->version < VV_LIBVIRT_CHOOSES ||
      (check->hostdev && (!check->hostdev->managed || check->hostdev->requested.model)))
    return;
  const VvCandidate *best = best_in_table (check->choice->candidates, NULL);
  best = best_in_table (check->choice->excluded, best);
  g_autofree char *reason = best ? why_not_loaded (check->about.s, best->module) : NULL;
  if (reason)
    find (
        check, "libvirt-refuses", VV_PROBLEM,
        g_strdup_printf (_ ("libvirt %u.%u accepts only %s, which does not work: %s"),
                         libvirt->version / 1000000, libvirt->version / 1000 % 1000, best->module, reason),
        _ ("libvirt 10.0 and later loads the best module of modules.alias before it calls any hook, and "
           "refuses the device if that fails"),
        g_strdup (_ ("fix that, or name the driver in the domain's <hostdev>: <driver model='vfio-pci'/>")));
}

static gboolean
needs_iommu_logging (const VvCheck *check, const char *driver)
{
  VvMigration m;

  return vv_migration_known (check->context->store, driver, check->device->modalias, &m) ==
             VV_MIGRATION_YES &&
         !m.dma_logging && !check->choice->options.use.forced;
}

/* Returns: (transfer full) (nullable): the commands that query @driver, or the setting of the domain. The
 * commands do not restore a device that is on VFIO already: the administrator or a program has bound it. */
static char *
migration_remedy (const VvCheck *check, const char *driver)
{
  const char *address = check->device->address;
  VvMigration m;
  VvMigratability known = vv_migration_known (check->context->store, driver, check->device->modalias, &m);

  if (known == VV_MIGRATION_UNKNOWN && check->on_vfio && g_strcmp0 (driver, check->device->now.driver) == 0)
    return g_strdup_printf ("vfio-variant probe %s", address);
  if (known == VV_MIGRATION_UNKNOWN && check->on_vfio)
    return g_strdup_printf ("vfio-variant bind %s && vfio-variant probe %s", address, address);
  if (known == VV_MIGRATION_UNKNOWN)
    return g_strdup_printf ("vfio-variant bind %s && vfio-variant probe %s; vfio-variant restore %s", address,
                            address, address);
  if (needs_iommu_logging (check, driver) && m.iommu_logging != VV_ANSWER_NO &&
      check->choice->options.use.iommufd != VV_ANSWER_YES)
    return g_strdup (_ ("in the domain's <hostdev>: <driver iommufd='yes'/> (libvirt 12.1, QEMU 9.1)"));
  return NULL;
}

/* Returns: (transfer full) (nullable): the fix for a driver that is excluded because the domain could not be
 * migrated */
static char *
excluded_remedy (const VvCheck *check)
{
  for (guint i = 0; vv_choice_requires (check->choice) && i < check->choice->excluded->len; i++) {
    const VvCandidate *c = check->choice->excluded->pdata[i];
    g_autofree char *driver = vv_candidate_driver (check->context->host, c);
    const char *name = driver ? driver : c->module;
    char *remedy = needs_iommu_logging (check, name) ? migration_remedy (check, name) : NULL;
    if (remedy)
      return remedy;
  }
  return NULL;
}

static void
check_choice (const VvCheck *check)
{
  g_autofree char *rule = vv_choice_rule (check->choice);
  VvVfioPciRefusal refusal =
      vv_vfio_pci_refuses (check->context->host, check->context->modules, check->device);

  for (guint i = 0; i < check->choice->refused->len; i++)
    find (check, "request-refused", VV_WARNING, g_strdup (check->choice->refused->pdata[i]),
          _ ("options requested by a domain can narrow the policy but not widen it: this one is ignored"),
          NULL);
  if (!check->chosen) {
    g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);
    for (guint i = 0; i < check->choice->excluded->len; i++) {
      const VvCandidate *c = check->choice->excluded->pdata[i];
      g_ptr_array_add (reasons, g_strdup_printf ("%s: %s", c->module, c->excluded));
    }
    g_ptr_array_add (reasons, NULL);
    g_autofree char *text = g_strjoinv ("; ", (char **)reasons->pdata);
    find (check, "no-driver", VV_PROBLEM,
          *text ? g_strdup_printf (_ ("no usable VFIO driver: %s"), text)
                : g_strdup (_ ("no usable VFIO driver")),
          refusal
              ? _ ("the probe of vfio-pci refuses it (EINVAL), also for libvirt: the domain would not start")
          : vv_choice_is_strict (check->choice)
              ? _ ("the domain would not start")
              : _ ("at start the device would stay on the driver that libvirt chooses, if any"),
          refusal == VV_VFIO_PCI_DENYLISTED
              ? g_strdup (_ ("if its guests are trusted: echo options vfio-pci disable_denylist=1 > "
                             "/etc/modprobe.d/vfio-pci-denylist.conf; then reload vfio_pci or reboot"))
              : excluded_remedy (check));
    return;
  }
  gboolean by_gate =
      check->hostdev && check->hostdev->managed && check->hostdev->requested.use.iommufd == VV_ANSWER_YES;
  if (vv_choice_is_strict (check->choice))
    find (check, "strict", VV_NOTE,
          g_strdup_printf (_ ("a start without this is refused (%s: fallback='%s', migratable='%s')"), rule,
                           vv_option_value (VV_OPTION_FALLBACK, option (check, VV_OPTION_FALLBACK)),
                           vv_option_value (VV_OPTION_MIGRATABLE, option (check, VV_OPTION_MIGRATABLE))),
          by_gate ? _ ("libvirt opens a device with iommufd before the hook can move it: without "
                       "vfio-variantd the domain starts only if libvirt itself chooses such a driver")
                  : _ ("the start is refused only if the driver fails or cannot migrate the device"),
          by_gate ? g_strdup ("systemctl enable --now vfio-variantd") : NULL);
}

/* --- a VFIO driver of the vendor, without alias --- */

static gboolean
is_vendors (const VvCheck *check)
{
  return check->device->vfio_dev &&
         !vv_choice_has_driver (check->context->host, check->choice, check->device->now.driver,
                                check->device->now.module);
}

/* Tested with libvirt 9.0 and 11.3: virPCIDeviceBindToStub() checks whether the device is on the requested
 * driver, and unbinds any other driver. */
static void
find_taken_from_vendor (const VvCheck *check)
{
  g_autofree char *domain = g_shell_quote (check->plan->domain->name);

  find (check, "vendor-driver", VV_PROBLEM,
        g_strdup_printf (_ ("libvirt takes it from %s, its vendor's VFIO driver"), check->device->now.driver),
        _ ("managed='yes': libvirt unbinds that driver; its configuration of the device, such as a vGPU, is "
           "lost, and the start may fail"),
        vv_libvirt_is_before (check->about.s, VV_LIBVIRT_ACCEPTS)
            ? g_strdup (_ ("install libvirt 9.7 or later, which supports it with managed='no'"))
            : g_strdup_printf (_ ("virsh edit %s  # managed='no' for this device"), domain));
}

static void
find_left_to_vendor (const VvCheck *check)
{
  const char *driver = check->device->now.driver;

  if (!check->hostdev)
    find (check, "vendor-driver", VV_NOTE,
          g_strdup_printf (_ ("it is on %s, its vendor's VFIO driver"), driver),
          _ ("vfio-variant leaves it there; with managed='yes' libvirt unbinds it"), NULL);
  else if (vv_libvirt_is_before (check->about.s, VV_LIBVIRT_ACCEPTS))
    find (check, "vendor-driver", VV_PROBLEM,
          g_strdup_printf (_ ("libvirt does not accept it on %s, its vendor's VFIO driver"), driver),
          _ ("before 9.7 libvirt accepts managed='no' devices on vfio-pci only"),
          g_strdup (_ ("install libvirt 9.7 or later")));
  else
    find (check, "vendor-driver", VV_NOTE,
          g_strdup_printf (_ ("it stays on %s, its vendor's VFIO driver"), driver),
          _ ("managed='no': neither libvirt nor vfio-variant moves it"), NULL);
}

/* Returns: whether the device stays on its current driver */
static gboolean
check_stays (VvCheck *check)
{
  if (is_vendors (check) && check->hostdev && check->hostdev->managed) {
    find_taken_from_vendor (check);
    return FALSE;
  }
  if (is_vendors (check)) {
    check->why = g_strdup (_ ("already on the selected driver"));
    find_left_to_vendor (check);
  } else if (check->hostdev && !check->hostdev->managed &&
             option (check, VV_OPTION_UNMANAGED) != VV_UNMANAGED_MANAGE) {
    check->why = g_strdup (_ ("managed='no': it stays where it is"));
    find (check, "unmanaged", check->on_vfio ? VV_NOTE : VV_PROBLEM,
          g_strdup_printf (_ ("managed='no', and it is on %s"),
                           check->device->now.driver ? check->device->now.driver : _ ("no driver")),
          check->on_vfio
              ? _ ("neither libvirt nor vfio-variant moves it, unless the policy sets unmanaged='manage'")
              : _ ("libvirt refuses such a device unless it is on a VFIO driver"),
          check->on_vfio ? NULL : g_strdup_printf ("vfio-variant bind %s", check->device->address));
  } else {
    return FALSE;
  }
  check->driver = g_strdup (check->device->now.driver);
  return TRUE;
}

static void
tell_choice (VvCheck *check)
{
  const VvCandidate *c = check->chosen;
  g_autofree char *rule = vv_choice_rule (check->choice);

  check->driver = c ? vv_candidate_driver (check->context->host, c) : NULL;
  check->module = c ? g_strdup (c->module) : NULL;
  check->why = check->choice->options.model ? g_strdup (_ ("the domain's <driver model=>"))
               : check->choice->file        ? g_strdup (rule)
               : c && c->alias
                   ? g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "best by alias %s, %u wildcard",
                                                   "best by alias %s, %u wildcards", c->wildcards),
                                      c->alias, c->wildcards)
                   : g_strdup (_ ("no variant driver matches"));
}

/* --- lost features --- */

static void
check_reset (const VvCheck *check)
{
  g_autofree char *methods = vv_io_attribute (check->device->dir, "reset_method");

  if (!(methods ? *methods != '\0' : vv_io_exists (check->device->dir, "reset")))
    find (check, "no-reset", VV_WARNING, g_strdup (_ ("the kernel has no method to reset it")),
          _ ("data that one guest leaves in it is visible to the next guest and to the host"), NULL);
  if (vv_libvirt_is_before (check->about.s, VV_LIBVIRT_ACCEPTS) && !is_generic (check) &&
      !vv_pci_has_flr (check->device))
    find (check, "hotplug-generic", VV_NOTE, g_strdup (_ ("hot plug leaves it on vfio-pci: it has no FLR")),
          _ ("before 9.7, libvirt can reset a device on a driver other than vfio-pci only if it has FLR; "
             "starting a domain is not affected"),
          NULL);
}

static void
check_migration (VvCheck *check)
{
  const char *driver = name_of_choice (check);
  const char *why = NULL;
  gboolean required = vv_choice_requires (check->choice);
  gboolean refused = /* see vv_attach_opened() */
      required && check->hostdev && check->hostdev->managed &&
      check->hostdev->requested.use.iommufd == VV_ANSWER_YES &&
      vv_migration_known (check->context->store, driver, check->device->modalias, NULL) ==
          VV_MIGRATION_UNKNOWN;

  check->migratable = vv_migration_foresee (check->context->store, driver, check->device->modalias,
                                            &check->choice->options.use, &why);
  if (!driver || (!check->chosen && !check->on_vfio)) /* it stays on its host driver */
    return;
  if (check->migratable == VV_MIGRATION_YES)
    find (check, "migratable", VV_OK,
          g_strdup_printf (_ ("a domain with it can be live migrated on %s"), driver),
          _ ("the driver and the IOMMU report this; the destination needs the same"), NULL);
  else if (check->migratable == VV_MIGRATION_NO)
    find (check, "not-migratable", required ? VV_PROBLEM : VV_NOTE,
          g_strdup_printf (_ ("a domain with it cannot be live migrated: %s %s"), driver, why),
          required ? _ ("migratable='require': the domain would not start")
                   : _ ("QEMU blocks migration of a domain that has it"),
          migration_remedy (check, driver));
  else
    find (
        check, "migration-unknown", refused ? VV_WARNING : VV_NOTE,
        g_strdup_printf (_ ("whether a domain with it can be live migrated is unknown: %s %s"), driver, why),
        refused ? _ ("migratable='require', and libvirt opens a device with iommufd before the hook can "
                     "query it: without vfio-variantd the domain would not start")
                : _ ("only the driver and the IOMMU can tell, and only while the device is bound and idle"),
        migration_remedy (check, driver));
}

static void
check_qemu (const VvCheck *check)
{
  const VvQemu *qemu = check->plan->qemu;
  /* QEMU versions that add these features: vfio_block_multiple_devices_migration() and
   * iommufd_cdev_autodomains_get() in hw/vfio of QEMU */
  guint needed = needs_iommu_logging (check, name_of_choice (check)) ? 9001
                 : check->choice->options.use.others                 ? 8002
                                                                     : QEMU_MIGRATES;

  if (!qemu || !qemu->version || qemu->version >= needed || is_generic (check))
    return;
  g_autofree char *why =
      g_strdup_printf (vv_choice_requires (check->choice)
                           ? _ ("the required live migration of these VFIO devices needs QEMU %u.%u")
                           : _ ("live migration of these VFIO devices needs QEMU %u.%u"),
                       needed / 1000, needed % 1000);
  find (check, "qemu-old", vv_choice_requires (check->choice) ? VV_PROBLEM : VV_WARNING,
        g_strdup_printf (_ ("%s is QEMU %u.%u"), qemu->path, qemu->version / 1000, qemu->version % 1000), why,
        g_strdup_printf (_ ("install QEMU %u.%u or later"), needed / 1000, needed % 1000));
}

/* --- the device --- */

VvCheck *
vv_check_device (const VvCheckContext *s, const VvPlan *plan, const char *address, const VvHostdev *hostdev,
                 GError **error)
{
  g_autoptr (VvCheck) check = g_new0 (VvCheck, 1);
  g_autofree char *whose = plan->domain ? g_strdup_printf ("domain %s", plan->domain->name) : NULL;

  check->about = (VvSubject){s, NULL, vv_findings_new ()};
  check->context = s->context;
  check->plan = plan;
  check->hostdev = hostdev;
  check->fallback = g_ptr_array_new_with_free_func (g_free);
  check->device = vv_pci_device_open (s->context->host, address, error);
  if (!check->device)
    return NULL;
  check->about.name = check->device->address;
  check_entry (check);
  check->choice = vv_choose (s->context, check->device, check->entry, NULL,
                             hostdev ? &hostdev->requested : NULL, whose, error);
  if (!check->choice)
    return NULL;
  check->on_vfio = vv_on_vfio (s->context->host, check->device, check->choice);
  vv_find_environment (&check->about, check->device, plan->along);
  check_guest_use (check);
  check_host_use (check);
  gboolean it_stays = check_stays (check);
  if (!it_stays) {
    check_candidates (check);
    tell_choice (check);
    check_choice (check);
    if (is_generic (check))
      vv_find_silent (&check->about, check->device);
    check_libvirts_choice (check);
    check_qemu (check);
  }
  vv_find_settings (&check->about, check->device, check->entry,
                    it_stays || is_generic (check) ? NULL : name_of_choice (check));
  check_reset (check);
  check_migration (check);
  vv_find_at_boot (&check->about, check->device, check->entry);
  return g_steal_pointer (&check);
}
