/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "in-use.h"

#define HOOK VV_LIBVIRT_HOOKS_DIR "/qemu.d/vfio-variant"
#define WITHOUT_GROUPS VV_LIBVIRT_VERSION (12, 9, 0) /* the first version known to work without groups */
#define KERNEL_LOG "/dev/kmsg"
#define AUDIT_LOG "/var/log/audit/audit.log"
#define READ_LIMIT                                                                                           \
  (4 * 1024 * 1024)       /* the kernel log has 128 KiB to a few MiB; only the end of the audit log is read */
#define RECORD_LIMIT 8192 /* the longest record of /dev/kmsg (CONSOLE_EXT_LOG_MAX in the kernel's printk) */

/* --- libvirt --- */

/* Since 10.0, libvirt itself reads modules.alias (virPCIDeviceFindBestVFIOVariant()) for each managed device
 * without <driver model=>, whatever its current driver. In a unit with ProtectKernelModules=, libvirt sees an
 * empty directory instead. */
static void
check_libvirts_view (const VvSubject *about)
{
  const VvLibvirtProcess *p = about->s->libvirt;
  const VvHost *host = about->s->context->host;

  if (!p || p->version < VV_LIBVIRT_CHOOSES)
    return;
  g_autofree char *root = g_strdup_printf ("%d/root/.", (int)p->pid);
  g_autofree char *path =
      g_strdup_printf ("%d/root/lib/modules/%s/modules.alias", (int)p->pid, host->release);
  if (!vv_io_exists (host->proc, root) || vv_io_exists (host->proc, path))
    return;
  g_autofree char *ours = g_build_filename (host->modules_path, "modules.alias", NULL);
  gboolean refuses = p->version < VV_LIBVIRT_NEEDS_NO_TABLE;
  vv_find (
      about, "libvirt-blind", refuses ? VV_PROBLEM : VV_WARNING,
      g_strdup_printf (_ ("%s, process %d, cannot see modules.alias of %s"), p->name, (int)p->pid,
                       host->release),
      refuses ? _ ("this libvirt then refuses every managed device, unless the domain names the driver: "
                   "<driver model='vfio-pci'/>")
              : _ ("this libvirt then binds vfio-pci: the hook corrects this at start; hot plug stays on "
                   "vfio-pci"),
      g_file_test (ours, G_FILE_TEST_EXISTS)
          ? g_strdup_printf (
                "mkdir -p /etc/systemd/system/%s.service.d && printf "
                "'[Service]\\nProtectKernelModules=no\\n' >/etc/systemd/system/%s.service.d/modules.conf && "
                "systemctl daemon-reload && systemctl restart %s",
                p->name, p->name, p->name)
          : g_strdup_printf ("depmod %s", host->release));
}

/* Each network namespace has its own sysfs (sysfs_init_fs_context() in the kernel's fs/sysfs/mount.c). The
 * gate watches only the files in its own. */
static void
check_libvirts_sysfs (const VvSubject *about)
{
  const VvLibvirtProcess *p = about->s->libvirt;
  static const char probe[] = "bus/pci/drivers_probe";
  g_autofree char *path = g_strdup_printf ("%d/root/sys/%s", (int)p->pid, probe);
  struct stat ours, theirs;

  if (fstatat (about->s->context->host->proc->fd, path, &theirs, 0) < 0 ||
      fstatat (about->s->context->host->sys->fd, probe, &ours, 0) < 0 || ours.st_dev == theirs.st_dev)
    return;
  vv_find (about, "libvirt-sysfs", VV_WARNING,
           g_strdup_printf (_ ("%s, process %d, uses the sysfs of another network namespace"), p->name,
                            (int)p->pid),
           _ ("vfio-variantd cannot see what it opens: without the hook in the container, devices get the "
              "driver that libvirt chooses"),
           g_strdup (_ ("run its container with the host's network namespace (--network host)")));
}

/* vfio.ko creates class/vfio-dev. With CONFIG_VFIO_GROUP it also creates class/vfio (vfio_group_init() in the
 * kernel's drivers/vfio/group.c) and /dev/vfio/vfio. libvirt requires that file
 * (qemuHostdevHostSupportsPassthroughVFIO()). */
static void
check_groups (const VvSubject *about)
{
  const VvHost *host = about->s->context->host;

  if (!vv_io_exists (host->sys, "class/vfio-dev") || vv_io_exists (host->sys, "class/vfio"))
    return;
  vv_find (about, "vfio-groups-off",
           vv_libvirt_is_before (about->s, WITHOUT_GROUPS) ? VV_PROBLEM : VV_WARNING,
           g_strdup (_ ("this kernel was built without VFIO groups (CONFIG_VFIO_GROUP)")),
           _ ("libvirt up to 12.8 then refuses all hostdevs: VFIO PCI device assignment is not supported by "
              "the host"),
           g_strdup (_ ("use a kernel with CONFIG_VFIO_GROUP=y")));
}

static void
check_libvirt (const VvSubject *about)
{
  const VvLibvirtProcess *p = about->s->libvirt;

  check_groups (about);
  if (!p) {
    vv_find (about, "libvirt-off", VV_NOTE, g_strdup (_ ("neither libvirtd nor virtqemud is running")),
             _ ("the version and behavior of the libvirt that will attach a device are unknown; this is "
                "normal with socket activation"),
             NULL);
    return;
  }
  if (!p->version) {
    vv_find (about, "libvirt-unknown", VV_NOTE,
             g_strdup_printf (_ ("the version of %s, process %d, is not visible"), p->name, (int)p->pid),
             _ ("libvirt 10.0 and later chooses drivers itself; before 9.7 hot plug is limited"),
             about->s->privileged ? NULL : g_strdup (_ ("run this command as root")));
    return;
  }
  const char *what_it_does =
      p->version >= VV_LIBVIRT_CHOOSES
          ? _ ("this libvirt looks up the variant driver in modules.alias itself; where it finds none, or "
               "another one, the hook corrects this at start; hot plug keeps the choice of libvirt")
      : p->version >= VV_LIBVIRT_ACCEPTS
          ? _ ("this libvirt binds vfio-pci and accepts a device on another VFIO driver: start and hot plug "
               "are both corrected")
          : _ ("this libvirt binds vfio-pci: start is corrected, hot plug only for devices with FLR");
  vv_find (about, "libvirt-version", VV_NOTE,
           g_strdup_printf ("libvirt %u.%u.%u (%s, process %d)", p->version / 1000000,
                            p->version / 1000 % 1000, p->version % 1000, p->name, (int)p->pid),
           what_it_does, NULL);
  check_libvirts_view (about);
  check_libvirts_sysfs (about);
}

/* --- security modules, privilege --- */

/* @line: the newest denial so far; @time: its time in the audit record, in seconds */
typedef struct {
  double time;
  char *line;
} Newest;

static void
judge (Newest *newest, const char *line)
{
  static const char *const ours[] = {"vfio", "modules.alias", "libvirt/hooks", "driver_override",
                                     "drivers_probe"};
  const char *stamp = strstr (line, "audit("); /* "audit(1364481363.243:24287)"; without it: the oldest */
  double time = stamp ? g_ascii_strtod (stamp + strlen ("audit("), NULL) : 0;
  gboolean is_about_us = FALSE;
  gboolean selinux = strstr (line, "avc:") && strstr (line, "denied") && !strstr (line, "permissive=1");

  for (gsize i = 0; i < G_N_ELEMENTS (ours); i++)
    is_about_us |= strstr (line, ours[i]) != NULL;
  if ((!selinux && !strstr (line, "apparmor=\"DENIED\"")) || !is_about_us ||
      (newest->line && time < newest->time))
    return;
  /* Ignores one denial: libvirt reads the start time of each client, including the monitor
   * (virProcessGetStartTime()). The AppArmor profile of libvirtd has no rule for that, and libvirtd works
   * without it. */
  if (strstr (line, "operation=\"ptrace\"") && strstr (line, "profile=\"libvirtd\"") &&
      strstr (line, "peer=\"vfio-variantd\""))
    return;
  /* A record of /dev/kmsg is "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;MESSAGE"
   * (Documentation/ABI/testing/dev-kmsg in the kernel). */
  const char *semicolon = g_ascii_isdigit (*line) ? strchr (line, ';') : NULL;
  g_free (newest->line);
  newest->time = time;
  newest->line = g_strdup (semicolon ? semicolon + 1 : line);
}

/* Reads up to READ_LIMIT bytes: the end of a file, or all records of /dev/kmsg, where each read returns one
 * record. */
static GString *
read_log (int fd)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char record[RECORD_LIMIT];
  struct stat st;

  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_size > READ_LIMIT)
    lseek (fd, -READ_LIMIT, SEEK_END);
  while (text->len < READ_LIMIT) {
    gssize n = read (fd, record, sizeof record);
    if (n < 0 && (errno == EINTR || errno == EPIPE)) /* EPIPE: the kernel overwrote unread records */
      continue;
    if (n <= 0)
      break;
    g_string_append_len (text, record, n);
  }
  return g_steal_pointer (&text);
}

static void
look_into (const VvHost *host, const char *log, Newest *newest, char **unreadable)
{
  g_autofree char *path = vv_host_path (host, log);
  int fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

  if (fd < 0) {
    if ((errno == EACCES || errno == EPERM) && !*unreadable)
      *unreadable = g_steal_pointer (&path);
    return;
  }
  g_autoptr (GString) text = read_log (fd);
  close (fd);
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (char **line = lines; *line; line++)
    judge (newest, *line);
}

char *
vv_denials_newest (const VvHost *host, char **unreadable)
{
  Newest newest = {0};

  *unreadable = NULL;
  look_into (host, KERNEL_LOG, &newest, unreadable);
  look_into (host, AUDIT_LOG, &newest, unreadable);
  return newest.line;
}

static void
check_denials (const VvSubject *about)
{
  g_autofree char *unreadable = NULL;
  g_autofree char *line = vv_denials_newest (about->s->context->host, &unreadable);

  if (line)
    vv_find (about, "denied", VV_WARNING, g_strdup_printf (_ ("access denied: %s"), line),
             _ ("the hook, the daemon or libvirt may not work; this is the most recent denial"),
             strstr (line, "apparmor=")
                 ? g_strdup (_ ("allow the access in a file below /etc/apparmor.d/local/ for the profile "
                                "named in that line, and run: systemctl reload apparmor"))
                 : g_strdup ("restorecon -RFv /etc/libvirt/hooks /usr/sbin/vfio-variant* /run/vfio-variant; "
                             "if that does not help: ausearch -m avc -ts boot | audit2why"));
  if (unreadable)
    vv_find (about, "log-unreadable", VV_NOTE, g_strdup_printf (_ ("cannot read %s"), unreadable),
             _ ("denials by SELinux or AppArmor in that log were not checked"),
             about->s->privileged ? NULL : g_strdup (_ ("run this command as root")));
}

static void
check_privilege (const VvSubject *about)
{
  if (!about->s->privileged)
    vv_find (about, "not-root", VV_NOTE, g_strdup (_ ("not running as root")),
             _ ("skipped checks: processes that use devices, the running libvirt, and some logs"),
             g_strdup (_ ("run this command as root")));
}

static void
check_tables (const VvSubject *about)
{
  const char *warning = vv_catalog_warning (about->s->context->catalog);

  if (warning)
    vv_find (about, "tables", VV_WARNING, g_strdup (warning),
             _ ("the lookup of variant drivers depends on these tables"),
             g_strdup_printf ("depmod %s", about->s->context->host->release));
}

static void
check_policy (const VvSubject *about)
{
  const GPtrArray *files = about->s->context->policy->files;

  for (guint i = 0; i < files->len; i++) {
    const VvPolicyFile *file = files->pdata[i];
    if (file->problem)
      vv_find (about, "policy-file", VV_PROBLEM,
               g_strdup_printf (_ ("invalid policy file: %s"), file->problem),
               _ ("none of its rules is in force; devices may get drivers that it forbids"),
               g_strdup_printf ("vfio-variant policy %s", file->path));
  }
}

/* --- the daemon --- */

/* Returns: microseconds since the epoch; 0: the file does not exist */
static gint64
changed_at (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 ? st.st_mtim.tv_sec * G_USEC_PER_SEC + st.st_mtim.tv_nsec / 1000 : 0;
}

/* A file that is removed or added changes the time of its directory. */
static void
check_reload (const VvSubject *about, JsonObject *daemon)
{
  const GPtrArray *files = about->s->context->policy->files;
  g_autofree char *folder = vv_host_path (about->s->context->host, VV_LIBVIRT_DIR "/vfio-variant.d");
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
    vv_find (about, "reload-due", VV_WARNING,
             g_strdup_printf (_ ("%s changed after vfio-variantd read the policy"), which),
             _ ("hot plug still uses the old policy"), g_strdup ("systemctl reload vfio-variantd"));
}

static void
check_daemon (const VvSubject *about, JsonObject *daemon)
{
  if (!daemon) {
    vv_find (about, "daemon-off", VV_WARNING, g_strdup (_ ("vfio-variantd is not running")),
             _ ("hot plug uses the driver that libvirt chooses"),
             g_strdup ("systemctl enable --now vfio-variantd"));
    return;
  }
  const char *reason = vv_json_get_string (daemon, "reason");
  if (g_strcmp0 (vv_json_get_string (daemon, "gate"), "off") == 0)
    vv_find (about, "gate-off", VV_WARNING,
             g_strdup_printf (_ ("the gate is off: %s"), reason ? reason : _ ("no reason given")),
             _ ("hot plug uses the driver that libvirt chooses"), NULL);
  check_reload (about, daemon);
}

/* --- the kernel --- */

static void
check_kernel (const VvSubject *about)
{
  const VvContext *context = about->s->context;
  g_autoptr (GPtrArray) groups = vv_io_list (context->host->sys, "kernel/iommu_groups");

  if (vv_kernel_is_before (context->host, 5, 16))
    vv_find (about, "kernel-old", VV_NOTE, g_strdup_printf ("kernel %s", context->host->release),
             _ ("before Linux 5.16 drivers publish no VFIO aliases: variant drivers are found only by alias "
                "lines in modprobe.d or by name in the policy"),
             NULL);
  vv_find_silent (about, NULL);
  if (!groups->len)
    vv_find_iommu_off (about);
  vv_find_module (about, VV_GENERIC_MODULE, FALSE, VV_PROBLEM);
}

/* --- the hook --- */

/* Returns: (transfer full) (nullable): why libvirt cannot or must not run the program */
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
    return g_strdup_printf (_ ("%s is writable by users other than root"), program);
  return NULL;
}

static void
check_hook_is_seen (const VvSubject *about, gint64 installed)
{
  const VvLibvirtProcess *p = about->s->libvirt;

  if (!p)
    return;
  if (vv_hook_was_run_by (about->s->context->store, p))
    vv_find (about, "hook-seen", VV_OK,
             g_strdup_printf (_ ("%s, process %d, runs the hook"), p->name, (int)p->pid),
             _ ("starting domains get the right drivers"), NULL);
  else if (p->started && p->started > installed)
    vv_find (about, "hook-seen", VV_OK,
             g_strdup_printf (_ ("the hook is older than %s, process %d"), p->name, (int)p->pid),
             _ ("it will run when a domain starts"), NULL);
  else
    vv_find (about, "hook-unseen", VV_WARNING,
             g_strdup_printf (_ ("the hook is newer than %s, process %d"), p->name, (int)p->pid),
             _ ("libvirt looks for hooks when it starts or reloads: unless it was reloaded since, it does "
                "not run this one"),
             g_strdup_printf ("systemctl reload %s", p->name));
}

static void
check_hook (const VvSubject *about)
{
  const VvHost *host = about->s->context->host;
  g_autofree char *link = vv_host_path (host, HOOK);
  g_autofree char *target = g_file_read_link (link, NULL);
  /* Resolves an absolute link below the sysroot. */
  g_autofree char *program = target && *target == '/' ? vv_host_path (host, target) : g_strdup (link);
  g_autofree char *fault = NULL;
  struct stat st;

  if (lstat (link, &st) < 0) {
    vv_find (about, "hook-missing", VV_WARNING, g_strdup_printf ("%s: %s", link, g_strerror (errno)),
             _ ("starting domains get the driver that libvirt chooses"),
             g_strdup_printf ("ln -s /usr/sbin/vfio-variant-hook %s && systemctl reload libvirtd", HOOK));
    return;
  }
  fault = fault_of_program (host, program);
  if (fault) {
    vv_find (about, "hook-broken", VV_PROBLEM, g_steal_pointer (&fault),
             _ ("libvirt cannot run the hook, or other users could make root run their code"),
             g_strdup (_ ("reinstall vfio-variant")));
    return;
  }
  check_hook_is_seen (about, st.st_ctim.tv_sec * G_USEC_PER_SEC + st.st_ctim.tv_nsec / 1000);
}

/* --- the state store --- */

static void
check_entry_of_device (const VvSubject *about, const VvEntry *entry, const VvPciDevice *device)
{
  g_autofree char *user = NULL;

  vv_find_entry (about, entry, device->now.driver);
  if (!entry->in_use || !about->s->privileged)
    return;
  user = vv_vfio_user (about->s->context->host, device);
  if (!user)
    vv_find (about, "state-idle", VV_WARNING,
             g_strdup_printf (_ ("the state store assigns it to running domain %s, but no process uses it"),
                              entry->domain ? entry->domain : "-"),
             _ ("that domain stopped, or released it, without a call of the hook"),
             g_strdup_printf (_ ("if that domain no longer exists: vfio-variant restore --force %s"),
                              entry->address));
}

static void
check_state (const VvSubject *host)
{
  const VvContext *context = host->s->context;
  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (context->store);

  for (guint i = 0; i < addresses->len; i++) {
    const VvSubject about = {host->s, addresses->pdata[i], host->findings};
    g_autoptr (GError) error = NULL;
    g_autoptr (VvEntry) entry = vv_state_store_load (context->store, about.name, &error);
    g_autoptr (VvPciDevice) device = vv_pci_device_look (context->host, about.name, NULL);
    if (error)
      vv_find_damaged (&about, error);
    else if (entry && !device)
      vv_find (&about, "state-gone", VV_WARNING,
               g_strdup (_ ("there is a state file of a device that is no longer present")),
               _ ("when the device returns, its host driver may differ from the recorded one"),
               g_strdup_printf ("rm %s/%s", context->host->run_path, about.name));
    else if (entry)
      check_entry_of_device (&about, entry, device);
  }
}

static void
check_at_boot (const VvSubject *host)
{
  const VvContext *context = host->s->context;
  g_autoptr (GPtrArray) addresses = vv_policy_has_at_boot (context->policy)
                                        ? vv_io_list (context->host->sys, "bus/pci/devices")
                                        : g_ptr_array_new ();

  for (guint i = 0; i < addresses->len; i++) {
    const VvSubject about = {host->s, addresses->pdata[i], host->findings};
    g_autoptr (VvPciDevice) device = vv_pci_device_look (context->host, about.name, NULL);
    g_autoptr (VvEntry) entry = vv_state_store_load (context->store, about.name, NULL);
    if (device)
      vv_find_at_boot (&about, device, entry);
  }
}

void
vv_find_host (const VvSubject *about)
{
  check_tables (about);
  check_policy (about);
  vv_find_hook_scripts (about);
  check_denials (about);
  check_libvirt (about);
  check_privilege (about);
}

void
vv_check_host (const VvSubject *about, JsonObject *daemon)
{
  check_daemon (about, daemon);
  check_kernel (about);
  vv_find_host (about);
  check_hook (about);
  g_autoptr (GPtrArray) faults = vv_nodedev_hooks_faults (about->s->context->hooks);
  for (guint i = 0; i < faults->len; i++)
    vv_find (about, "nodedev-hook", VV_WARNING,
             g_strdup_printf (_ ("skipping a node-device hook: %s"), (char *)faults->pdata[i]),
             _ ("only hooks that root alone can write are run"), NULL);
  check_state (about);
  check_at_boot (about);
}
