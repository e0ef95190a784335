/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check-context.h"

#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm-denials.h"
#include "attach.h"
#include "policy-xml.h"

#define WITHOUT_GROUPS VV_LIBVIRT_VERSION (12, 9, 0) /* the first not seen to need groups */

/* Why the kernel refuses unsigned modules (module_sig_check() in its kernel/module/signing.c) */
static char *
enforced_by (const VvHost *host)
{
  g_autofree char *parameter = vv_io_attribute (host->sys, "module/module/parameters/sig_enforce");
  g_autofree char *lockdown = vv_io_attribute (host->sys, "kernel/security/lockdown");

  if (g_strcmp0 (parameter, "Y") == 0)
    return g_strdup (_ ("module.sig_enforce is on"));
  if (lockdown && strchr (lockdown, '[') && !strstr (lockdown, "[none]"))
    return g_strdup_printf ("kernel lockdown (%s)", lockdown);
  return NULL;
}

VvCheckContext *
vv_check_context_new (VvContext *context)
{
  VvCheckContext *s = g_new0 (VvCheckContext, 1);

  vv_context_set_policy (context, vv_policy_read (context->host));
  s->context = context;
  s->libvirt = vv_libvirt_process_find (context->host);
  s->privileged = geteuid () == 0;
  s->signatures_enforced = enforced_by (context->host);
  return s;
}

void
vv_check_context_free (VvCheckContext *s)
{
  if (!s)
    return;
  vv_context_free (s->context);
  vv_libvirt_process_free (s->libvirt);
  g_free (s->signatures_enforced);
  g_free (s);
}

gboolean
vv_kernel_is_before (const VvHost *host, guint major, guint minor)
{
  guint its_major;
  guint its_minor;

  return sscanf (host->release, "%3u.%3u", &its_major, &its_minor) == 2 &&
         (its_major < major || (its_major == major && its_minor < minor));
}

/* --- libvirt --- */

gboolean
vv_libvirt_is_before (const VvCheckContext *s, guint version)
{
  return s->libvirt && s->libvirt->version && s->libvirt->version < version;
}

/* From 10.0 on libvirt itself reads modules.alias (virPCIDeviceFindBestVFIOVariant()) for each managed device
 * without <driver model=>, whatever driver that is on. A unit with ProtectKernelModules= has an empty
 * directory there. */
static void
check_libvirts_view (const VvCheckContext *s, GPtrArray *findings)
{
  const VvHost *host = s->context->host;

  if (!s->libvirt || s->libvirt->version < VV_LIBVIRT_CHOOSES)
    return;
  g_autofree char *root = g_strdup_printf ("%d/root/.", (int)s->libvirt->pid);
  g_autofree char *path =
      g_strdup_printf ("%d/root/lib/modules/%s/modules.alias", (int)s->libvirt->pid, host->release);
  if (!vv_io_exists (host->proc, root) || vv_io_exists (host->proc, path))
    return;
  g_autofree char *ours = g_build_filename (host->modules_path, "modules.alias", NULL);
  gboolean refuses = s->libvirt->version < VV_LIBVIRT_NEEDS_NO_TABLE;
  vv_findings_add (
      findings, "libvirt-blind", refuses ? VV_PROBLEM : VV_WARNING, VV_SUBJECT_HOST,
      g_strdup_printf (_ ("%s, process %d, does not see modules.alias of %s"), s->libvirt->name,
                       (int)s->libvirt->pid, host->release),
      refuses
          ? _ ("this libvirt refuses every managed device then, unless the domain names the driver: <driver "
               "model='vfio-pci'/>")
          : _ ("this libvirt binds vfio-pci then: starts are put right, and hot plug stays on vfio-pci"),
      g_file_test (ours, G_FILE_TEST_EXISTS)
          ? g_strdup_printf ("mkdir -p /etc/systemd/system/%s.service.d && "
                             "printf '[Service]\\nProtectKernelModules=no\\n' "
                             ">/etc/systemd/system/%s.service.d/modules.conf && "
                             "systemctl daemon-reload && systemctl restart %s",
                             s->libvirt->name, s->libvirt->name, s->libvirt->name)
          : g_strdup_printf ("depmod %s", host->release));
}

/* Each network namespace has a sysfs of its own (sysfs_init_fs_context() in fs/sysfs/mount.c), whose files
 * the gate does not watch. */
static void
check_libvirts_sysfs (const VvCheckContext *s, GPtrArray *findings)
{
  static const char probe[] = "bus/pci/drivers_probe";
  g_autofree char *path = g_strdup_printf ("%d/root/sys/%s", (int)s->libvirt->pid, probe);
  struct stat ours, theirs;

  if (fstatat (s->context->host->proc->fd, path, &theirs, 0) < 0 ||
      fstatat (s->context->host->sys->fd, probe, &ours, 0) < 0 || ours.st_dev == theirs.st_dev)
    return;
  vv_findings_add (findings, "libvirt-sysfs", VV_WARNING, VV_SUBJECT_HOST,
                   g_strdup_printf (_ ("%s, process %d, has a sysfs of another network namespace"),
                                    s->libvirt->name, (int)s->libvirt->pid),
                   _ ("vfio-variantd does not see what it opens: without the hook in the container it gets "
                      "what libvirt itself chooses"),
                   g_strdup (_ ("run its container with the network of the host (--network host)")));
}

/* vfio.ko makes class/vfio-dev, and with CONFIG_VFIO_GROUP class/vfio (vfio_group_init() in the kernel's
 * drivers/vfio/group.c), without which there is no /dev/vfio/vfio. libvirt wants that file
 * (qemuHostdevHostSupportsPassthroughVFIO()). */
static void
check_groups (const VvCheckContext *s, GPtrArray *findings)
{
  const VvHost *host = s->context->host;

  if (!vv_io_exists (host->sys, "class/vfio-dev") || vv_io_exists (host->sys, "class/vfio"))
    return;
  vv_findings_add (findings, "vfio-groups-off",
                   vv_libvirt_is_before (s, WITHOUT_GROUPS) ? VV_PROBLEM : VV_WARNING, VV_SUBJECT_HOST,
                   g_strdup (_ ("this kernel was built without VFIO groups (CONFIG_VFIO_GROUP)")),
                   _ ("libvirt up to 12.8 refuses all hostdevs then: VFIO PCI device assignment is not "
                      "supported by the host"),
                   g_strdup (_ ("use a kernel with CONFIG_VFIO_GROUP=y")));
}

void
vv_find_libvirt (const VvCheckContext *s, GPtrArray *findings)
{
  const VvLibvirtProcess *p = s->libvirt;

  check_groups (s, findings);
  if (!p) {
    vv_findings_add (findings, "libvirt-off", VV_NOTE, VV_SUBJECT_HOST,
                     g_strdup (_ ("neither libvirtd nor virtqemud runs")),
                     _ ("which libvirt will take a device, and what it does by itself, cannot be told; with "
                        "socket activation that is normal"),
                     NULL);
    return;
  }
  if (!p->version) {
    vv_findings_add (
        findings, "libvirt-unknown", VV_NOTE, VV_SUBJECT_HOST,
        g_strdup_printf (_ ("the version of %s, process %d, cannot be seen"), p->name, (int)p->pid),
        _ ("libvirt chooses drivers by itself from 10.0 on; before 9.7 hot plug is limited"),
        s->privileged ? NULL : g_strdup (_ ("run this as root")));
    return;
  }
  const char *what_it_does =
      p->version >= VV_LIBVIRT_CHOOSES ? _ ("it looks for a variant driver by itself, by modules.alias; "
                                            "where it has none, or chose another, "
                                            "a start is put right, and hot plug stays with what it chose")
      : p->version >= VV_LIBVIRT_ACCEPTS
          ? _ ("it binds vfio-pci and takes a device that is on another VFIO driver: starts and hot plug are "
               "put "
               "right")
          : _ ("it binds vfio-pci: starts are put right, hot plug only of devices with FLR");
  vv_findings_add (findings, "libvirt-version", VV_NOTE, VV_SUBJECT_HOST,
                   g_strdup_printf ("libvirt %u.%u.%u (%s, process %d)", p->version / 1000000,
                                    p->version / 1000 % 1000, p->version % 1000, p->name, (int)p->pid),
                   what_it_does, NULL);
  check_libvirts_view (s, findings);
  check_libvirts_sysfs (s, findings);
}

/* --- security modules, privilege --- */

void
vv_find_denials (const VvCheckContext *s, GPtrArray *findings)
{
  g_autofree char *unreadable = NULL;
  g_autofree char *line = vv_denials_newest (s->context->host, &unreadable);

  if (line)
    vv_findings_add (
        findings, "denied", VV_WARNING, VV_SUBJECT_HOST,
        g_strdup_printf (_ ("an access was denied: %s"), line),
        _ ("the hook, the daemon or libvirt cannot do their part; this is the newest such line"),
        strstr (line, "apparmor=")
            ? g_strdup (_ ("allow it in the profile that the line names, below /etc/apparmor.d/local/, "
                           "and run: systemctl reload apparmor"))
            : g_strdup ("restorecon -RFv /etc/libvirt/hooks /usr/sbin/vfio-variant* "
                        "/run/vfio-variant; if that does not help: ausearch -m avc -ts boot | "
                        "audit2why"));
  if (unreadable)
    vv_findings_add (findings, "log-unreadable", VV_NOTE, VV_SUBJECT_HOST,
                     g_strdup_printf (_ ("%s cannot be read"), unreadable),
                     _ ("denials of SELinux or AppArmor were not looked for there"),
                     s->privileged ? NULL : g_strdup (_ ("run this as root")));
}

void
vv_find_privilege (const VvCheckContext *s, GPtrArray *findings)
{
  if (!s->privileged)
    vv_findings_add (
        findings, "not-root", VV_NOTE, VV_SUBJECT_HOST, g_strdup (_ ("this was not run by root")),
        _ ("which processes hold devices, which libvirt runs, and some logs could not be looked at"),
        g_strdup (_ ("run this as root")));
}

/* --- tables, policy --- */

void
vv_find_tables (const VvCheckContext *s, GPtrArray *findings)
{
  const char *warning = vv_catalog_warning (s->context->catalog);

  if (warning)
    vv_findings_add (findings, "tables", VV_WARNING, VV_SUBJECT_HOST, g_strdup (warning),
                     _ ("variant drivers are found in these tables"),
                     g_strdup_printf ("depmod %s", s->context->host->release));
}

void
vv_find_silent (const VvCheckContext *s, const VvPciDevice *device, GPtrArray *findings)
{
  g_autoptr (GPtrArray) silent = vv_catalog_silent (s->context->catalog, s->context->host);
  VvPciIds ids = {0};
  gboolean known = device && vv_pci_ids_parse (device->modalias, &ids);

  if (!silent->len)
    return;
  const char *one =
      silent->len == 1 ? silent->pdata[0] : "MODULE"; /* a wrong one would bind the device, too */
  g_ptr_array_add (silent, NULL);
  g_autofree char *modules = g_strjoinv (", ", (char **)silent->pdata);
  g_autofree char *pattern =
      known ? g_strdup_printf ("v%08Xd%08X", ids.vendor, ids.product) : g_strdup ("v0000VVVVd0000DDDD");
  vv_findings_add (
      findings, "builtin-silent", VV_WARNING, device ? device->address : VV_SUBJECT_HOST,
      g_strdup_printf (_ ("built-in VFIO drivers publish no aliases: %s"), modules),
      _ ("before Linux 6.18 what is built in does not publish its devices, so they get vfio-pci"),
      g_strdup_printf (_ ("if it is for this device, add to /etc/modprobe.d/vfio.conf: "
                          "alias vfio_pci:%ssv*sd*bc*sc*i* %s"),
                       pattern, one));
}

void
vv_find_policy (const VvCheckContext *s, GPtrArray *findings)
{
  const GPtrArray *files = s->context->policy->files;

  for (guint i = 0; i < files->len; i++) {
    const VvPolicyFile *file = files->pdata[i];
    if (file->problem)
      vv_findings_add (findings, "policy-file", VV_PROBLEM, VV_SUBJECT_HOST,
                       g_strdup_printf (_ ("a file of the policy does not count: %s"), file->problem),
                       _ ("none of its rules is in force, so devices may get drivers that it forbids"),
                       g_strdup_printf ("vfio-variant policy %s", file->path));
  }
}

/* --- IOMMU --- */

/* The firmware says by a table that there is an IOMMU: Intel's and AMD's. */
static gboolean
has_table (const VvHost *host, const char *name)
{
  g_autofree char *path = g_build_filename ("firmware/acpi/tables", name, NULL);

  return vv_io_exists (host->sys, path);
}

void
vv_find_iommu_off (const VvCheckContext *s, const char *subject, GPtrArray *findings)
{
  const VvHost *host = s->context->host;
  g_autoptr (GPtrArray) iommus = vv_io_list (host->sys, "class/iommu");
  const char *why = _ ("VFIO gives out only what is in an IOMMU group: no guest could have it");

  if (iommus->len)
    vv_findings_add (findings, "iommu-off", VV_PROBLEM, subject,
                     g_strdup (_ ("it has no IOMMU group, though an IOMMU is on: it is not behind one")), why,
                     NULL);
  else if (has_table (host, "DMAR"))
    vv_findings_add (
        findings, "iommu-off", VV_PROBLEM, subject,
        g_strdup (_ ("no IOMMU group: the firmware has an IOMMU (DMAR), the kernel does not use it")), why,
        g_strdup (_ ("kernel command line: intel_iommu=on, without iommu=off; then reboot")));
  else if (has_table (host, "IVRS"))
    vv_findings_add (
        findings, "iommu-off", VV_PROBLEM, subject,
        g_strdup (_ ("no IOMMU group: the firmware has an IOMMU (IVRS), the kernel does not use it")), why,
        g_strdup (_ ("kernel command line: without amd_iommu=off and iommu=off; then reboot")));
  else
    vv_findings_add (findings, "iommu-off", VV_PROBLEM, subject,
                     g_strdup (_ ("no IOMMU group: the firmware tells of no IOMMU")), why,
                     g_strdup (_ ("firmware setup: turn on VT-d, AMD-Vi or IOMMU; then reboot")));
}

/* --- modules --- */

char *
vv_settings_grep (const char *before, const char *name)
{
  g_auto (GStrv) words = g_strsplit (name, "_", -1);
  g_autofree char *spelled = g_strjoinv ("[-_]", words); /* both signs are one to the kernel and to libkmod */
  g_autofree char *pattern = g_strconcat (before, spelled, NULL);
  g_autofree char *quoted = g_shell_quote (pattern);

  return g_strdup_printf ("grep -rnsE %s /etc/modprobe.d /run/modprobe.d /usr/lib/modprobe.d /proc/cmdline",
                          quoted);
}

static gboolean
does_nothing (const char *install)
{
  g_autofree char *program = g_strndup (install, strcspn (install, " \t"));
  g_autofree char *name = g_path_get_basename (program);

  return strcmp (name, "false") == 0 || strcmp (name, "true") == 0 || strcmp (name, ":") == 0;
}

gboolean
vv_find_module (const VvCheckContext *s, const char *module, gboolean built_in, VvSeverity severity,
                const char *subject, GPtrArray *findings)
{
  g_auto (VvModuleLook) look = {0};
  const char *why = _ ("a driver whose module cannot be loaded is passed over");

  vv_modules_look (s->context->modules, module, &look);
  if (built_in || look.present || look.builtin)
    return TRUE;
  if (look.install && does_nothing (look.install)) {
    g_autofree char *grep = vv_settings_grep ("install[[:space:]]+", module);
    vv_findings_add (
        findings, "module-forbidden", severity, subject,
        g_strdup_printf (_ ("module %s: modprobe.d has '%s' run in its place"), module, look.install), why,
        g_strdup_printf (_ ("remove that line: %s"), grep));
    return FALSE;
  }
  const char *missing = !look.path && !look.install ? module : look.lacks;
  if (missing) {
    vv_findings_add (
        findings, "module-missing", severity, subject,
        missing == module
            ? g_strdup_printf (_ ("module %s is not below %s"), module, s->context->host->modules_path)
            : g_strdup_printf (_ ("module %s, which %s needs, is not below %s"), missing, module,
                               s->context->host->modules_path),
        why, g_strdup_printf (_ ("install it for that kernel, then: depmod %s"), s->context->host->release));
    return FALSE;
  }
  if (look.path && s->signatures_enforced && look.signature == VV_SIGNED_NO) {
    vv_findings_add (
        findings, "module-unsigned", severity, subject,
        g_strdup_printf (_ ("module %s is not signed, and the kernel takes signed ones only: %s"), module,
                         s->signatures_enforced),
        why, g_strdup_printf (_ ("sign %s with a key that the kernel knows"), look.path));
    return FALSE;
  }
  return TRUE;
}

/* --- the journal --- */

void
vv_find_entry (const VvEntry *entry, const char *driver, GPtrArray *findings)
{
  gboolean moving = entry->state == VV_STATE_DETACHING || entry->state == VV_STATE_REATTACHING;

  if (!moving && (entry->state != VV_STATE_DETACHED || driver))
    return;
  vv_findings_add (
      findings, "half-done", VV_WARNING, entry->address,
      moving ? g_strdup_printf (_ ("the journal has it as %s"), vv_state_name (entry->state))
             : g_strdup (_ ("the journal has it on a VFIO driver, and it has no driver")),
      moving ? _ ("a process is moving it right now, or died at it; then the next start of anything "
                  "that moves devices mends it")
             : _ ("somebody else unbound it"),
      g_strdup_printf ("vfio-variant restore %s", entry->address));
}

void
vv_find_at_boot (const VvCheckContext *s, const VvPciDevice *device, const VvEntry *entry,
                 GPtrArray *findings)
{
  g_autoptr (VvChoice) choice = vv_choose (s->context, device, entry, NULL, NULL, NULL, NULL);

  if (!choice || choice->decision->options.values[VV_OPTION_AT_BOOT] != VV_AT_BOOT_YES ||
      vv_on_vfio (s->context->host, device, choice->selection))
    return;
  g_autofree char *rule = vv_decision_rule (choice->decision);
  vv_findings_add (findings, "at-boot-missed", VV_WARNING, device->address,
                   g_strdup_printf (_ ("%s wants it on VFIO from boot on, and it is on %s"), rule,
                                    device->now.driver ? device->now.driver : _ ("no driver")),
                   _ ("neither udev nor vfio-variant-boot.service has put it there, or it was given back "
                      "since; a guest with "
                      "managed='no' does not start with it"),
                   g_strdup_printf (_ ("vfio-variant bind --at-boot %s"), device->address));
}
