/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "command.h"
#include "one-line.h"
#include "policy-xml.h"

#define TEXT_CHARACTERS 2000
#define SEVERITY_WIDTH 8

static const char *const severities[] = {N_ ("ok"), N_ ("note"), N_ ("warning"), N_ ("problem")};

static void
finding_free (VvFinding *f)
{
  g_free (f->subject);
  g_free (f->what);
  g_free (f->why);
  g_free (f->fix);
  g_free (f);
}

GPtrArray *
vv_findings_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify)finding_free);
}

void
vv_find (const VvSubject *about, const char *id, VvSeverity severity, char *what, const char *why, char *fix)
{
  VvFinding *f = g_new0 (VvFinding, 1);

  *f = (VvFinding){id,
                   severity,
                   g_strdup (about->name),
                   vv_printable (what, TEXT_CHARACTERS),
                   vv_printable (why, TEXT_CHARACTERS),
                   vv_printable (fix, TEXT_CHARACTERS)};
  g_free (what);
  g_free (fix);
  g_ptr_array_add (about->findings, f);
}

VvSeverity
vv_findings_worst (const GPtrArray *findings)
{
  VvSeverity worst = VV_OK;

  for (guint i = 0; i < findings->len; i++)
    worst = MAX (worst, ((const VvFinding *)findings->pdata[i])->severity);
  return worst;
}

/* --- order --- */

/* Returns: the position of the first finding about @subject, by which the subjects are sorted; G_MAXUINT for
 * the host, which is last */
static guint
place_of (const GPtrArray *findings, const char *subject)
{
  guint i = 0;

  if (strcmp (subject, VV_SUBJECT_HOST) == 0)
    return G_MAXUINT;
  while (strcmp (((const VvFinding *)findings->pdata[i])->subject, subject) != 0)
    i++;
  return i;
}

static gint
compare (gconstpointer a, gconstpointer b, gpointer findings)
{
  const VvFinding *first = *(const VvFinding *const *)a;
  const VvFinding *second = *(const VvFinding *const *)b;
  guint n = place_of (findings, first->subject);
  guint m = place_of (findings, second->subject);

  return n != m ? (n > m) - (n < m) : (gint)second->severity - (gint)first->severity;
}

/* Returns: (transfer container): the findings in the order of output; the sort is stable */
static GPtrArray *
in_order (const GPtrArray *findings)
{
  GPtrArray *ordered = g_ptr_array_new ();

  g_ptr_array_extend (ordered, (GPtrArray *)findings, NULL, NULL);
  g_ptr_array_sort_with_data (ordered, compare, (gpointer)findings);
  return ordered;
}

/* --- output --- */

static void
print_one (const VvFinding *f, gboolean colour)
{
  static const char *const colours[] = {VV_COLOUR_GOOD, "", VV_COLOUR_FAIR, VV_COLOUR_BAD};
  const char *word = _ (severities[f->severity]);
  const char *begin = colour ? colours[f->severity] : "";

  printf ("  %s%s%s", begin, word, *begin ? "\033[0m" : "");
  /* The field width of printf() counts bytes, not characters. */
  for (glong i = g_utf8_strlen (word, -1); i < SEVERITY_WIDTH; i++)
    putchar (' ');
  printf (" %s [%s]\n", f->what, f->id);
  printf ("  %-*s %s\n", SEVERITY_WIDTH, "", f->why);
  if (f->fix)
    printf ("  %-*s -> %s\n", SEVERITY_WIDTH, "", f->fix);
}

void
vv_findings_print (const GPtrArray *findings, gboolean titled, gboolean colour)
{
  g_autoptr (GPtrArray) ordered = in_order (findings);
  const char *subject = "";

  for (guint i = 0; i < ordered->len; i++) {
    const VvFinding *f = ordered->pdata[i];
    if (titled && strcmp (f->subject, subject) != 0)
      printf ("%s:\n", f->subject);
    subject = f->subject;
    print_one (f, colour);
  }
}

void
vv_findings_json (const GPtrArray *findings, JsonBuilder *b)
{
  g_autoptr (GPtrArray) ordered = in_order (findings);

  vv_json_begin_array (b, "findings");
  for (guint i = 0; i < ordered->len; i++) {
    const VvFinding *f = ordered->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "id", f->id);
    vv_json_string (b, "severity", severities[f->severity]);
    vv_json_string (b, "subject", f->subject);
    vv_json_string (b, "what", f->what);
    vv_json_string (b, "why", f->why);
    vv_json_string (b, "fix", f->fix);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

/* --- the context of all checks --- */

VvCheckContext *
vv_check_context_new (VvContext *context)
{
  VvCheckContext *s = g_new0 (VvCheckContext, 1);
  const VvDir *sys = context->host->sys;
  g_autofree char *parameter = vv_io_attribute (sys, "module/module/parameters/sig_enforce");
  g_autofree char *lockdown = vv_io_attribute (sys, "kernel/security/lockdown");

  vv_context_set_policy (context, vv_policy_read (context->host));
  s->context = context;
  s->libvirt = vv_libvirt_process_find (context->host);
  s->privileged = geteuid () == 0;
  /* module_sig_check() in the kernel's kernel/module/signing.c */
  if (g_strcmp0 (parameter, "Y") == 0)
    s->signatures_enforced = g_strdup (_ ("module.sig_enforce is on"));
  else if (lockdown && strchr (lockdown, '[') && !strstr (lockdown, "[none]"))
    s->signatures_enforced = g_strdup_printf ("kernel lockdown (%s)", lockdown);
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

gboolean
vv_libvirt_is_before (const VvCheckContext *s, guint version)
{
  return s->libvirt && s->libvirt->version && s->libvirt->version < version;
}

/* --- modules --- */

char *
vv_settings_grep (const char *before, const char *name)
{
  g_auto (GStrv) words = g_strsplit (name, "_", -1);
  g_autofree char *spelled = g_strjoinv ("[-_]", words); /* the kernel and libkmod equate both */
  g_autofree char *pattern = g_strconcat (before, spelled, NULL);
  g_autofree char *quoted = g_shell_quote (pattern);

  return g_strdup_printf ("grep -rnsE %s /etc/modprobe.d /run/modprobe.d /usr/lib/modprobe.d /proc/cmdline",
                          quoted);
}

gboolean
vv_find_module (const VvSubject *about, const char *module, gboolean built_in, VvSeverity severity)
{
  const VvContext *context = about->s->context;
  g_auto (VvModuleLook) look = {0};
  const char *id;
  char *what, *fix;

  vv_modules_look (context->modules, module, &look);
  const char *missing = !look.path && !look.install ? module : look.lacks;
  g_auto (GStrv) install = g_strsplit_set (look.install ? look.install : "", " \t", 2);
  g_autofree char *program = g_path_get_basename (install[0] ? install[0] : "");
  if (built_in || look.present || look.builtin)
    return TRUE;
  if (look.install && g_strv_contains ((const char *const[]){"false", "true", ":", NULL}, program)) {
    g_autofree char *grep = vv_settings_grep ("install[[:space:]]+", module);
    id = "module-forbidden";
    what = g_strdup_printf (_ ("module %s: modprobe.d replaces its loading by '%s'"), module, look.install);
    fix = g_strdup_printf (_ ("remove that line: %s"), grep);
  } else if (missing) {
    id = "module-missing";
    what = missing == module ? g_strdup_printf (_ ("module %s is not installed below %s"), module,
                                                context->host->modules_path)
                             : g_strdup_printf (_ ("module %s, required by %s, is not installed below %s"),
                                                missing, module, context->host->modules_path);
    fix = g_strdup_printf (_ ("install it for that kernel, then run: depmod %s"), context->host->release);
  } else if (look.path && about->s->signatures_enforced && look.signature == VV_SIGNED_NO) {
    id = "module-unsigned";
    what = g_strdup_printf (_ ("module %s is not signed, and the kernel accepts signed modules only: %s"),
                            module, about->s->signatures_enforced);
    fix = g_strdup_printf (_ ("sign %s with a key that the kernel trusts"), look.path);
  } else {
    return TRUE;
  }
  vv_find (about, id, severity, what, _ ("drivers whose module cannot be loaded are skipped"), fix);
  return FALSE;
}

void
vv_find_silent (const VvSubject *about, const VvPciDevice *device)
{
  g_autoptr (GPtrArray) silent = vv_catalog_silent (about->s->context->catalog, about->s->context->host);
  VvPciIds ids = {0};
  gboolean known = device && vv_pci_ids_parse (device->modalias, &ids);

  if (!silent->len)
    return;
  const char *one =
      silent->len == 1 ? silent->pdata[0] : "MODULE"; /* a wrong driver would bind the device too */
  g_ptr_array_add (silent, NULL);
  g_autofree char *modules = g_strjoinv (", ", (char **)silent->pdata);
  g_autofree char *pattern =
      known ? g_strdup_printf ("v%08Xd%08X", ids.vendor, ids.product) : g_strdup ("v0000VVVVd0000DDDD");
  vv_find (about, "builtin-silent", VV_WARNING,
           g_strdup_printf (_ ("built-in VFIO drivers publish no aliases: %s"), modules),
           _ ("before Linux 6.18 built-in drivers do not publish the devices they support, so these devices "
              "get vfio-pci"),
           g_strdup_printf (_ ("if the driver supports this device, add to /etc/modprobe.d/vfio.conf: alias "
                               "vfio_pci:%ssv*sd*bc*sc*i* %s"),
                            pattern, one));
}

/* --- IOMMU --- */

void
vv_find_iommu_off (const VvSubject *about)
{
  const VvHost *host = about->s->context->host;
  g_autoptr (GPtrArray) iommus = vv_io_list (host->sys, "class/iommu");
  const char *what = _ ("no IOMMU group: the firmware describes no IOMMU");
  const char *fix = _ ("firmware setup: enable VT-d, AMD-Vi or IOMMU; then reboot");

  /* On Intel and AMD machines, a table of the firmware describes the IOMMU. */
  if (iommus->len) {
    what = _ ("no IOMMU group although an IOMMU is enabled: the device is not behind it");
    fix = NULL;
  } else if (vv_io_exists (host->sys, "firmware/acpi/tables/DMAR")) {
    what = _ ("no IOMMU group: the firmware describes an IOMMU (DMAR), but the kernel does not use it");
    fix = _ ("kernel command line: add intel_iommu=on, remove iommu=off; then reboot");
  } else if (vv_io_exists (host->sys, "firmware/acpi/tables/IVRS")) {
    what = _ ("no IOMMU group: the firmware describes an IOMMU (IVRS), but the kernel does not use it");
    fix = _ ("kernel command line: remove amd_iommu=off and iommu=off; then reboot");
  }
  vv_find (about, "iommu-off", VV_PROBLEM, g_strdup (what),
           _ ("VFIO assigns only devices that are in an IOMMU group: no guest can use this device"),
           g_strdup (fix));
}

/* --- the state store --- */

void
vv_find_damaged (const VvSubject *about, const GError *problem)
{
  vv_find (
      about, "state-damaged", VV_PROBLEM, g_strdup (problem->message),
      _ ("while it exists, vfio-variant does not move this device: it gets the driver that libvirt chooses"),
      g_strdup_printf ("rm %s/%s && vfio-variant restore %s", about->s->context->host->run_path, about->name,
                       about->name));
}

void
vv_find_entry (const VvSubject *about, const VvEntry *entry, const char *driver)
{
  gboolean moving = entry->state == VV_STATE_DETACHING || entry->state == VV_STATE_REATTACHING;

  if (!moving && (entry->state != VV_STATE_DETACHED || driver))
    return;
  vv_find (about, "half-done", VV_WARNING,
           moving ? g_strdup_printf (_ ("its state file says: %s"), vv_state_name (entry->state))
                  : g_strdup (_ ("its state file says that it is on a VFIO driver, but it has no driver")),
           moving ? _ ("a process is moving it now, or died while moving it; in that case the next "
                       "vfio-variant process recovers it")
                  : _ ("another program unbound it"),
           g_strdup_printf ("vfio-variant restore %s", entry->address));
}

void
vv_find_at_boot (const VvSubject *about, const VvPciDevice *device, const VvEntry *entry)
{
  g_autoptr (VvChoice) choice = vv_choose (about->s->context, device, entry, NULL, NULL, NULL, NULL);

  if (!choice || choice->options.values[VV_OPTION_AT_BOOT] != VV_AT_BOOT_YES ||
      vv_on_vfio (about->s->context->host, device, choice))
    return;
  g_autofree char *rule = vv_choice_rule (choice);
  vv_find (about, "at-boot-missed", VV_WARNING,
           g_strdup_printf (_ ("%s requires it to be on VFIO from boot on, but it is on %s"), rule,
                            device->now.driver ? device->now.driver : _ ("no driver")),
           _ ("neither udev nor vfio-variant-boot.service bound it, or it was restored since; a guest with "
              "managed='no' cannot start with it"),
           g_strdup_printf (_ ("vfio-variant bind --at-boot %s"), device->address));
}
