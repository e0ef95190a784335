/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vfio-variant check: which driver each device, or each device of a domain, would get at an attach, and what
 * prevents it.
 *
 * Owns: the source of the domain's XML, the QEMU that a guest would get, and the output.
 */
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"
#include "command.h"
#include "one-line.h"
#include "subprocess.h"
#include "trusted-path.h"

#define TIME_LIMIT_MS 10000
#define QEMU_OUTPUT_LIMIT 65536
#define SYSTEM_PREFIX "/usr/bin/qemu-system-"

/* @argv: argv[0] is an absolute path */
static gboolean
run_program (const char *const *argv, guint limit, GString *output, GError **error)
{
  const VvSubprocess process = {.path = argv[0],
                                .argv = argv,
                                .environment = (const char *const *)environ,
                                .limit_ms = TIME_LIMIT_MS,
                                .output = output,
                                .output_limit = limit};

  return vv_subprocess_run (&process, NULL, error);
}

/* --- QEMU --- */

static void
qemu_clear (VvQemu *qemu)
{
  g_free (qemu->path);
  g_free (qemu->problem);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvQemu, qemu_clear)

static char *
find_emulator (void)
{
  /* QEMU's names for machines of uname(2) */
  static const char *const pairs[][2] = {
      {"i686", "i386"}, {"i586", "i386"}, {"armv7l", "arm"}, {"ppc64le", "ppc64"}};
  struct utsname running;

  uname (&running); /* fails only with a bad pointer */
  const char *architecture = running.machine;
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (strcmp (running.machine, pairs[i][0]) == 0)
      architecture = pairs[i][1];
  g_autofree char *native = g_strconcat (SYSTEM_PREFIX, architecture, NULL);
  const char *const paths[] = {native, "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"};
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    if (access (paths[i], X_OK) == 0)
      return g_strdup (paths[i]);
  return NULL;
}

static void
run_it (VvQemu *qemu)
{
  const char *const argv[] = {qemu->path, "--version", NULL};
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  guint major, minor;

  if (!run_program (argv, QEMU_OUTPUT_LIMIT, output, &error)) {
    qemu->problem = g_strdup_printf ("%s: %s", qemu->path, error->message);
    return;
  }
  const char *at = strstr (output->str, "version "); /* "QEMU emulator version 8.2.2 (Debian ...)" */
  if (at && sscanf (at, "version %3u.%3u", &major, &minor) == 2)
    qemu->version = major * 1000 + minor;
  if (!qemu->version)
    qemu->problem = g_strdup_printf (_ ("%s --version prints no version"), qemu->path);
}

/* Runs the emulator with --version. Users can write domain XML, which may name any program of root, and few
 * programs are harmless with --version. So this runs only programs in the paths where distributions install
 * QEMU, which only root can write. It runs no programs of another system (--sysroot).
 * @emulator: (nullable): the emulator in the domain's XML; NULL: the installed one for the architecture of
 * this machine */
static void
ask_qemu (const VvHost *host, const char *emulator, VvQemu *qemu)
{
  static const char *const others[] = {"/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm", "/usr/bin/kvm", NULL};
  g_autofree char *fault = NULL;

  *qemu = (VvQemu){.path = emulator ? g_strdup (emulator) : host->sysroot ? NULL : find_emulator ()};
  if (host->sysroot)
    qemu->problem = g_strdup (_ ("programs below --sysroot are not run"));
  else if (!qemu->path)
    qemu->problem = g_strdup (_ ("no QEMU in /usr/bin or /usr/libexec"));
  else if (!g_strv_contains (others, qemu->path) && (!g_str_has_prefix (qemu->path, SYSTEM_PREFIX) ||
                                                     strchr (qemu->path + strlen (SYSTEM_PREFIX), '/')))
    qemu->problem = g_strdup_printf (_ ("not running %s: it is not where distributions install QEMU "
                                        "(/usr/bin/qemu-system-*, /usr/libexec/qemu-kvm)"),
                                     qemu->path);
  else if (access (qemu->path, X_OK) < 0)
    qemu->problem = g_strdup_printf ("%s: %s", qemu->path, g_strerror (errno));
  else if ((fault = vv_trusted_path_fault (host, qemu->path)))
    qemu->problem = g_strdup_printf (_ ("not running %s: %s"), qemu->path, fault);
  else
    run_it (qemu);
}

/* --- results --- */

/* @checks: the results for each device; @findings: all other findings */
typedef struct {
  VvDomain *domain; /* NULL: the arguments are devices */
  GPtrArray *along;
  VvQemu qemu;
  VvPlan plan;
  GPtrArray *checks;
  GPtrArray *findings;
} Results;

static void
results_clear (Results *r)
{
  vv_domain_free (r->domain);
  g_ptr_array_unref (r->along);
  qemu_clear (&r->qemu);
  g_ptr_array_unref (r->checks);
  g_ptr_array_unref (r->findings);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Results, results_clear)

/* --- the domain --- */

/* A DEVICE can be a path too, but not that of a regular file. */
static gboolean
is_domain_file (const char *argument)
{
  return g_str_has_suffix (argument, ".xml") ||
         (strchr (argument, '/') && g_file_test (argument, G_FILE_TEST_IS_REGULAR));
}

static VvDomain *
domain_from_file (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr (VvDir) dir = vv_dir_open (NULL, folder, error);
  g_autofree char *text = dir ? vv_io_read (dir, name, VV_DOMAIN_XML_LIMIT, error) : NULL;
  VvDomain *domain = text ? vv_domain_parse (text, strlen (text), error) : NULL;

  if (text && !domain)
    g_prefix_error (error, "%s: ", path);
  return domain;
}

/* Runs virsh, because this program does not link libvirt. */
static VvDomain *
domain_from_libvirt (const char *name, GError **error)
{
  g_autofree char *virsh = g_find_program_in_path ("virsh");
  const char *const argv[] = {virsh, "--connect", "qemu:///system", "--readonly", "dumpxml", "--domain",
                              name,  NULL};
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) problem = NULL;

  if (!virsh) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("domain %s: virsh is not installed; install the libvirt client programs, or pass the "
                    "domain XML as a file"),
                 name);
    return NULL;
  }
  if (!run_program (argv, VV_DOMAIN_XML_LIMIT, text, &problem)) {
    g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
                 _ ("domain %s: virsh: %s; 'virsh --connect qemu:///system list --all' lists the domains"),
                 name, problem->message);
    return NULL;
  }
  VvDomain *domain = vv_domain_parse (text->str, text->len, error);
  if (!domain)
    g_prefix_error (error, _ ("domain %s: "), name);
  return domain;
}

/* --- checks --- */

static char *
edit (const VvDomain *domain)
{
  g_autofree char *name = g_shell_quote (domain->name);

  return g_strdup_printf ("virsh edit %s", name);
}

static gboolean
check_one (const VvSubject *domain, const VvPlan *plan, const char *address, const VvHostdev *hostdev,
           Results *results, GError **error)
{
  g_autoptr (GError) problem = NULL;
  VvCheck *check = vv_check_device (domain->s, plan, address, hostdev, &problem);
  const VvSubject about = {domain->s, address, domain->findings};

  if (check) {
    g_ptr_array_add (results->checks, check);
    return TRUE;
  }
  if (!hostdev || !g_error_matches (problem, VV_ERROR, VV_ERROR_NO_DEVICE)) {
    g_propagate_error (error, g_steal_pointer (&problem));
    return FALSE;
  }
  vv_find (&about, "absent", VV_PROBLEM, g_strdup (problem->message),
           _ ("the domain XML names a device that is not present: the domain would not start"),
           edit (plan->domain));
  return TRUE;
}

/* QEMU blocks the migration of the domain if any of its devices prevents it, even one without
 * migratable='require'. */
static void
find_immobile (const VvSubject *about, const GPtrArray *checks)
{
  const VvCheck *required = NULL, *immobile = NULL;

  for (guint i = 0; i < checks->len; i++) {
    const VvCheck *c = checks->pdata[i];
    if (vv_choice_requires (c->choice) && !required)
      required = c;
    if (!vv_choice_requires (c->choice) && c->migratable == VV_MIGRATION_NO && !immobile)
      immobile = c;
  }
  if (required && immobile)
    vv_find (about, "not-migratable", VV_PROBLEM,
             g_strdup_printf (_ ("%s requires that the domain can be migrated, but %s prevents it"),
                              required->about.name, immobile->about.name),
             _ ("migratable='require': the domain would not start"), NULL);
}

static void
find_in_domain (const VvSubject *about, const VvDomain *domain, const GPtrArray *checks)
{
  for (guint i = 0; i < domain->problems->len; i++)
    vv_find (about, "request-invalid", VV_WARNING, g_strdup (domain->problems->pdata[i]),
             _ ("all options requested in the domain's metadata are ignored"), edit (domain));
  if (!domain->hostdevs->len)
    vv_find (about, "no-devices", VV_NOTE, g_strdup (_ ("the domain has no PCI devices of the host")),
             _ ("vfio-variant has nothing to do for it"), NULL);
  find_immobile (about, checks);
}

/* @addresses: (nullable): the devices; NULL: those of the domain */
static gboolean
ask (const VvCheckContext *s, const GPtrArray *addresses, Results *r, GError **error)
{
  const VvSubject host = {s, VV_SUBJECT_HOST, r->findings};
  const VvSubject domain = {s, VV_SUBJECT_DOMAIN, r->findings};
  guint n = addresses ? addresses->len : r->domain->hostdevs->len;

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (r->along, addresses ? addresses->pdata[i]
                                         : (gpointer)((VvHostdev *)r->domain->hostdevs->pdata[i])->address);
  ask_qemu (s->context->host, r->domain ? r->domain->emulator : NULL, &r->qemu);
  r->plan = (VvPlan){r->domain, r->along, &r->qemu};
  for (guint i = 0; i < n; i++)
    if (!check_one (&domain, &r->plan, r->along->pdata[i], addresses ? NULL : r->domain->hostdevs->pdata[i],
                    r, error))
      return FALSE;
  if (r->domain)
    find_in_domain (&domain, r->domain, r->checks);
  vv_find_host (&host);
  if (!r->qemu.version)
    vv_find (&host, "qemu-unknown", VV_NOTE,
             g_strdup_printf (_ ("cannot determine the version of QEMU: %s"), r->qemu.problem),
             _ ("live migration of VFIO devices needs QEMU 8.1"), NULL);
  return TRUE;
}

static gboolean
is_ok (const Results *r)
{
  for (guint i = 0; i < r->checks->len; i++)
    if (vv_findings_worst (((const VvCheck *)r->checks->pdata[i])->about.findings) == VV_PROBLEM)
      return FALSE;
  return vv_findings_worst (r->findings) != VV_PROBLEM;
}

/* --- output --- */

static void
print_check (const VvCheck *c, gboolean colour)
{
  const char *name = c->driver ? c->driver : c->module;

  if (c->module)
    printf (_ ("%s: would get %s (%s)"), c->about.name, name, c->why);
  else if (name)
    printf (_ ("%s: stays on %s (%s)"), c->about.name, name, c->why);
  else
    printf (_ ("%s: no usable VFIO driver (%s)"), c->about.name, c->why);
  for (guint i = 0; i < c->fallback->len; i++)
    printf ("%s%s", i ? _ (", then ") : _ ("; if that fails "), (char *)c->fallback->pdata[i]);
  putchar ('\n');
  vv_findings_print (c->about.findings, FALSE, colour);
}

static void
json_check (const VvCheck *c, JsonBuilder *b)
{
  json_builder_begin_object (b);
  vv_json_string (b, "device", c->about.name);
  vv_json_string (b, "driver", c->driver);
  vv_json_string (b, "module", c->module);
  vv_json_string (b, "why", c->why);
  vv_json_rule (b, c->choice->file, c->choice->line);
  vv_json_strings (b, "fallback", (char **)c->fallback->pdata, (int)c->fallback->len);
  vv_json_answer (b, "migratable", c->migratable != VV_MIGRATION_UNKNOWN, c->migratable == VV_MIGRATION_YES);
  vv_json_boolean (b, "ok", vv_findings_worst (c->about.findings) != VV_PROBLEM);
  vv_findings_json (c->about.findings, b);
  json_builder_end_object (b);
}

static void
print_json (const Results *r)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();
  g_autofree char *domain = r->domain ? vv_printable (r->domain->name, 1000) : NULL;

  json_builder_begin_object (b);
  vv_json_string (b, "domain", domain);
  vv_json_boolean (b, "ok", is_ok (r));
  vv_json_begin_array (b, "devices");
  for (guint i = 0; i < r->checks->len; i++)
    json_check (r->checks->pdata[i], b);
  json_builder_end_array (b);
  vv_findings_json (r->findings, b);
  json_builder_end_object (b);
  vv_json_print (b);
}

/* --- the command --- */

/* Returns: (nullable): the usage error */
static const char *
contradiction (int argc, char **argv, const char *domain)
{
  if (!domain && argc < 2)
    return _ ("missing argument: a DEVICE, a file with domain XML, or --domain");
  if (domain && argc > 1)
    return _ ("--domain cannot be combined with arguments");
  for (int i = 1; i < argc && argc > 2; i++)
    if (is_domain_file (argv[i]))
      return _ ("only one domain at a time, without further DEVICEs");
  return NULL;
}

int
vv_cmd_check (int argc, char **argv)
{
  g_auto (VvCommon) common = {0};
  g_autofree char *domain = NULL;
  g_autoptr (GPtrArray) addresses = NULL;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
      {"domain", 0, 0, G_OPTION_ARG_STRING, &domain, N_ ("Check the PCI devices of this libvirt domain"),
       "NAME"},
      {NULL},
  };
  int code = vv_parse_options (&argc, &argv, "DEVICE... | DOMAIN.xml",
                               N_ ("Reports which driver each device of the arguments or of a domain would "
                                   "get when it is attached, and what prevents it."),
                               entries, VV_TAKES_ELSEWHERE, &common);

  if (code >= 0)
    return code;
  if (contradiction (argc, argv, domain))
    return vv_usage_error (argv[0], "%s", contradiction (argc, argv, domain));
  VvContext *context = vv_context_new (common.sysroot, common.release, FALSE, &error);
  if (!context)
    return vv_print_error (error);
  g_autoptr (VvCheckContext) check = vv_check_context_new (context);
  g_auto (Results) results = {.along = g_ptr_array_new (),
                              .checks = g_ptr_array_new_with_free_func ((GDestroyNotify)vv_check_free),
                              .findings = vv_findings_new ()};
  if (domain)
    results.domain = domain_from_libvirt (domain, &error);
  else if (is_domain_file (argv[1]))
    results.domain = domain_from_file (argv[1], &error);
  else if (!(addresses = vv_device_arguments (context->host, argc, argv, &code)))
    return code;
  if (error || !ask (check, addresses, &results, &error))
    return vv_print_error (error);
  if (common.json) {
    print_json (&results);
  } else {
    for (guint i = 0; i < results.checks->len; i++)
      print_check (results.checks->pdata[i], common.colour);
    vv_findings_print (results.findings, TRUE, common.colour);
  }
  return is_ok (&results) ? VV_EXIT_DONE : VV_EXIT_FAILED;
}
