/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check-host.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook-scripts.h"
#include "in-use.h"

#define HOOK VV_LIBVIRT_HOOKS_DIR "/qemu.d/vfio-variant"

static void
find (GPtrArray *findings, const char *id, VvSeverity severity, char *what, const char *why, char *cure)
{
  vv_findings_add (findings, id, severity, VV_SUBJECT_HOST, what, why, cure);
}

/* --- the daemon --- */

/* Microseconds since the epoch; 0: it is not there */
static gint64
changed_at (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 ? st.st_mtim.tv_sec * G_USEC_PER_SEC + st.st_mtim.tv_nsec / 1000 : 0;
}

/* A file that is gone, or new, changes its folder. */
static void
check_reload (const VvCheckContext *s, JsonObject *daemon, GPtrArray *findings)
{
  const GPtrArray *files = s->context->policy->files;
  g_autofree char *folder = vv_host_path (s->context->host, VV_LIBVIRT_DIR "/vfio-variant.d");
  gint64 newest = changed_at (folder);
  gint64 read_at = vv_json_get_number (daemon, "policy_read");
  const char *which = folder;

  for (guint i = 0; i < files->len; i++) {
    const char *path = ((const VvPolicyFile *)files->pdata[i])->path;
    if (changed_at (path) <= newest)
      continue;
    newest = changed_at (path);
    which = path;
  }
  if (read_at && newest > read_at)
    find (findings, "reload-due", VV_WARNING,
          g_strdup_printf (_ ("%s was changed after vfio-variantd read the policy"), which),
          _ ("at hot plug the policy of before holds"), g_strdup ("systemctl reload vfio-variantd"));
}

static void
check_daemon (const VvCheckContext *s, JsonObject *daemon, GPtrArray *findings)
{
  if (!daemon) {
    find (findings, "daemon-off", VV_WARNING, g_strdup (_ ("vfio-variantd is not running")),
          _ ("hot plug gets what libvirt itself chooses"), g_strdup ("systemctl enable --now vfio-variantd"));
    return;
  }
  const char *reason = vv_json_get_string (daemon, "reason");
  if (g_strcmp0 (vv_json_get_string (daemon, "gate"), "off") == 0)
    find (findings, "gate-off", VV_WARNING,
          g_strdup_printf (_ ("the gate is off: %s"), reason ? reason : _ ("no reason was given")),
          _ ("hot plug gets what libvirt itself chooses"), NULL);
  check_reload (s, daemon, findings);
}

/* --- the kernel --- */

static void
check_kernel (const VvCheckContext *s, GPtrArray *findings)
{
  const VvContext *context = s->context;
  g_autoptr (GPtrArray) groups = vv_io_list (context->host->sys, "kernel/iommu_groups");

  if (vv_kernel_is_before (context->host, 5, 16))
    find (findings, "kernel-old", VV_NOTE, g_strdup_printf ("kernel %s", context->host->release),
          _ ("before 5.16 drivers publish no aliases for VFIO: variant drivers are found only by alias lines "
             "in "
             "modprobe.d, or named by the policy"),
          NULL);
  vv_find_tables (s, findings);
  vv_find_silent (s, NULL, findings);
  if (!groups->len)
    vv_find_iommu_off (s, VV_SUBJECT_HOST, findings);
  vv_find_module (s, VV_GENERIC_MODULE, FALSE, VV_PROBLEM, VV_SUBJECT_HOST, findings);
}

/* --- the hook --- */

/* Returns: (nullable): what is wrong with the program */
static char *
fault_of_program (const VvHost *host, const char *program)
{
  uid_t owner = host->sysroot ? geteuid () : 0;
  struct stat st;

  if (stat (program, &st) < 0)
    return g_strdup_printf ("%s: %s", program, g_strerror (errno));
  if (!S_ISREG (st.st_mode) || !(st.st_mode & 0111))
    return g_strdup_printf (_ ("%s is not executable"), program);
  if ((st.st_uid != 0 && st.st_uid != owner) || (st.st_mode & 022))
    return g_strdup_printf (_ ("%s can be written by others than root"), program);
  return NULL;
}

static void
check_hook_is_seen (const VvCheckContext *s, gint64 installed, GPtrArray *findings)
{
  const VvLibvirtProcess *p = s->libvirt;

  if (!p)
    return;
  if (vv_hook_was_run_by (s->context->journal, p))
    find (findings, "hook-seen", VV_OK,
          g_strdup_printf (_ ("%s, process %d, runs the hook"), p->name, (int)p->pid),
          _ ("domains that start get the right drivers"), NULL);
  else if (p->started && p->started > installed)
    find (findings, "hook-seen", VV_OK,
          g_strdup_printf (_ ("the hook was there before %s, process %d, started"), p->name, (int)p->pid),
          _ ("it will be run when a domain starts"), NULL);
  else
    find (findings, "hook-unseen", VV_WARNING,
          g_strdup_printf (_ ("the hook was installed after %s, process %d, started"), p->name, (int)p->pid),
          _ ("libvirt looks for hooks at its start and at a reload: unless it was reloaded since, it does "
             "not run "
             "this one"),
          g_strdup_printf ("systemctl reload %s", p->name));
}

static void
check_hook (const VvCheckContext *s, GPtrArray *findings)
{
  const VvHost *host = s->context->host;
  g_autofree char *link = vv_host_path (host, HOOK);
  g_autofree char *target = g_file_read_link (link, NULL);
  /* An absolute link below a sysroot is meant to be followed there. */
  g_autofree char *program = target && *target == '/' ? vv_host_path (host, target) : g_strdup (link);
  g_autofree char *fault = NULL;
  struct stat st;

  if (lstat (link, &st) < 0) {
    find (findings, "hook-missing", VV_WARNING, g_strdup_printf ("%s: %s", link, g_strerror (errno)),
          _ ("domains that start get what libvirt itself chooses"),
          g_strdup_printf ("ln -s /usr/sbin/vfio-variant-hook %s && systemctl reload libvirtd", HOOK));
    return;
  }
  fault = fault_of_program (host, program);
  if (fault) {
    find (findings, "hook-broken", VV_PROBLEM, g_steal_pointer (&fault),
          _ ("libvirt cannot run the hook, or others could make root run what they like"),
          g_strdup (_ ("install vfio-variant again")));
    return;
  }
  check_hook_is_seen (s, st.st_ctim.tv_sec * G_USEC_PER_SEC + st.st_ctim.tv_nsec / 1000, findings);
}

static void
check_nodedev_hooks (const VvCheckContext *s, GPtrArray *findings)
{
  g_autoptr (GPtrArray) faults = vv_nodedev_hooks_faults (s->context->hooks);

  for (guint i = 0; i < faults->len; i++)
    find (findings, "nodedev-hook", VV_WARNING,
          g_strdup_printf (_ ("a node-device hook is not run: %s"), (char *)faults->pdata[i]),
          _ ("only what nobody but root could have written is run"), NULL);
}

/* --- the journal --- */

static void
check_entry_of_device (const VvCheckContext *s, const VvEntry *entry, const VvPciDevice *device,
                       GPtrArray *findings)
{
  g_autofree char *user = NULL;

  vv_find_entry (entry, device->now.driver, findings);
  if (!entry->in_use || !s->privileged)
    return;
  user = vv_vfio_user (s->context->host, device);
  if (!user)
    vv_findings_add (
        findings, "journal-idle", VV_WARNING, entry->address,
        g_strdup_printf (_ ("the journal has it in use by domain %s, and no process holds it"),
                         entry->domain ? entry->domain : "-"),
        _ ("that domain ended, or gave it back, without the hook being run"),
        g_strdup_printf (_ ("if that domain is gone: vfio-variant restore --force %s"), entry->address));
}

static void
check_journal (const VvCheckContext *s, GPtrArray *findings)
{
  const VvHost *host = s->context->host;
  g_autoptr (GPtrArray) addresses = vv_journal_addresses (s->context->journal);

  for (guint i = 0; i < addresses->len; i++) {
    const char *address = addresses->pdata[i];
    g_autoptr (GError) error = NULL;
    g_autoptr (VvEntry) entry = vv_journal_load (s->context->journal, address, &error);
    g_autoptr (VvPciDevice) device = vv_pci_device_look (host, address, NULL);
    g_autofree char *file = g_build_filename (host->run_path, address, NULL);
    if (error)
      vv_findings_add (findings, "journal-damaged", VV_PROBLEM, address, g_strdup (error->message),
                       _ ("while it is there nothing of ours moves the device: it gets what libvirt chooses"),
                       g_strdup_printf ("rm %s && vfio-variant restore %s", file, address));
    else if (entry && !device)
      vv_findings_add (findings, "journal-gone", VV_WARNING, address,
                       g_strdup (_ ("the journal has a device that is not there any more")),
                       _ ("when it comes back its driver on the host is no longer what the entry says"),
                       g_strdup_printf ("rm %s", file));
    else if (entry)
      check_entry_of_device (s, entry, device, findings);
  }
}

static void
check_at_boot (const VvCheckContext *s, GPtrArray *findings)
{
  g_autoptr (GPtrArray) addresses = vv_policy_has_at_boot (s->context->policy)
                                        ? vv_io_list (s->context->host->sys, "bus/pci/devices")
                                        : g_ptr_array_new ();

  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr (VvPciDevice) device = vv_pci_device_look (s->context->host, addresses->pdata[i], NULL);
    g_autoptr (VvEntry) entry = vv_journal_load (s->context->journal, addresses->pdata[i], NULL);
    if (device)
      vv_find_at_boot (s, device, entry, findings);
  }
}

void
vv_check_host (const VvCheckContext *s, JsonObject *daemon, GPtrArray *findings)
{
  check_daemon (s, daemon, findings);
  check_kernel (s, findings);
  vv_find_policy (s, findings);
  check_hook (s, findings);
  check_nodedev_hooks (s, findings);
  vv_find_hook_scripts (s, findings);
  vv_find_libvirt (s, findings);
  check_journal (s, findings);
  check_at_boot (s, findings);
  vv_find_denials (s, findings);
  vv_find_privilege (s, findings);
}
