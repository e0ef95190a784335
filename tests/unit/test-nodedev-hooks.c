/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of nodedev-hooks, with real scripts below a fake host: which scripts run, in which environment, and
 * how their output and exit status are handled.
 */
#include "nodedev-hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-kernel.h"
#include "nodedev-xml.h"

#define HOOKS VV_LIBVIRT_HOOKS_DIR
#define HOOKS_D HOOKS "/nodedev.d"
#define NOBODY 65534
#define SOON 20000000 /* us: anything that must not wait for a script's 60 s is done by then */

/* Number of XML documents created */
static guint documents;

char *__real_vv_nodedev_xml (const VvHost *host, const VvPciDevice *device);
char *__wrap_vv_nodedev_xml (const VvHost *host, const VvPciDevice *device);

char *
__wrap_vv_nodedev_xml (const VvHost *host, const VvPciDevice *device)
{
  g_atomic_int_inc ((gint *)&documents);
  return __real_vv_nodedev_xml (host, device);
}

typedef struct {
  FakeKernel *k;
  VvHost *host;
  VvNodedevHooks *hooks;
  VvPciDevice *device;
} Fixture;

static void
fixture_free (Fixture *f)
{
  vv_nodedev_hooks_free (f->hooks);
  vv_pci_device_free (f->device);
  vv_host_free (f->host);
  fake_free (f->k);
  g_free (f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

static Fixture *
fixture_with_limit (guint limit_ms)
{
  Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;

  f->k = fake_standard ();
  f->host = vv_host_new (f->k->root, NULL, &error);
  g_assert_no_error (error);
  f->device = vv_pci_device_open (f->host, NIC, &error);
  g_assert_no_error (error);
  f->hooks = vv_nodedev_hooks_new (f->host, limit_ms);
  documents = 0;
  return f;
}

static Fixture *
fixture_new (void)
{
  return fixture_with_limit (60000);
}

static char *
below (const Fixture *f, const char *path)
{
  return g_build_filename (f->k->root, path, NULL);
}

static void
set_mode (const Fixture *f, const char *path, mode_t mode)
{
  g_autofree char *full = below (f, path);

  g_assert_cmpint (chmod (full, mode), ==, 0);
}

/* $out in @body: the directory for the scripts' output */
static void
add_file (const Fixture *f, const char *path, const char *body, mode_t mode)
{
  g_autofree char *text = g_strdup_printf ("#!/bin/sh\nout=%s/out\n%s\n", f->k->root, body);

  fake_mkdir (f->k, "out");
  fake_write (f->k, path, text);
  set_mode (f, path, mode);
}

static void
add_script (const Fixture *f, const char *name, const char *body)
{
  g_autofree char *path = g_build_filename (HOOKS_D, name, NULL);

  add_file (f, path, body, 0755);
}

/* A script that records that it ran */
static void
add_witness (const Fixture *f, const char *path)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *body = g_strdup_printf ("echo '%s' >>$out/witness", name);

  add_file (f, path, body, 0755);
}

static void
assert_witnesses (const Fixture *f, const char *expected)
{
  g_autofree char *text = fake_read (f->k, "out/witness");

  g_assert_cmpstr (text, ==, expected);
}

static gboolean
run_by (const Fixture *f, gint64 deadline, GError **error)
{
  return vv_nodedev_hooks_run (f->hooks, f->device, VV_DETACH, "begin", "mlx5_vfio_pci", deadline, error);
}

static void
run_well (const Fixture *f)
{
  g_autoptr (GError) error = NULL;
  gboolean done = run_by (f, 0, &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

static void
run_and_fail (const Fixture *f, VvError code, const char *pattern)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (run_by (f, 0, &error));
  fake_assert_error (error, code, pattern);
}

/* --- selection and order --- */

static void
test_no_scripts_no_cost (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  run_well (f);
  fake_mkdir (f->k, HOOKS);
  run_well (f);
  fake_mkdir (f->k, HOOKS_D);
  run_well (f);
  g_assert_cmpuint (documents, ==, 0);
}

static void
test_order (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_witness (f, HOOKS_D "/9");
  add_witness (f, HOOKS_D "/10-second");
  add_witness (f, HOOKS_D "/B");
  add_witness (f, HOOKS_D "/a");
  add_witness (f, HOOKS "/nodedev");
  run_well (f);
  assert_witnesses (f, "nodedev\n10-second\n9\nB\na");
  g_assert_cmpuint (documents, ==, 1);
}

static void
test_passed_over (void)
{
  static const char *const names[] = {
      ".hidden",   "a~",         "a.bak",       "a.orig",     "a.rpmnew", "a.rpmorig",
      "a.rpmsave", "a.dpkg-old", "a.dpkg-dist", "a.dpkg-new", "a\nb",     "a\xff",
  };
  g_autoptr (Fixture) f = fixture_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (HOOKS_D, names[i], NULL);
    add_file (f, path, "echo ran >>$out/witness", 0755);
  }
  add_file (f, HOOKS_D "/README", "echo ran >>$out/witness", 0644);
  fake_mkdir (f->k, HOOKS_D "/directory");
  fake_link (f->k, HOOKS_D "/dangling", "nowhere");
  run_well (f);
  assert_witnesses (f, NULL);
  g_assert_cmpuint (documents, ==, 0);
}

/* nodedev is a directory, nodedev.d a file. */
static void
test_wrong_kinds (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_mkdir (f->k, HOOKS "/nodedev");
  add_witness (f, HOOKS_D);
  run_well (f);
  assert_witnesses (f, NULL);
}

static void
test_link (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_file (f, "usr/share/scripts/real", "echo \"${0##*/}\" >>$out/witness", 0755);
  fake_mkdir (f->k, HOOKS_D);
  g_autofree char *target = below (f, "usr/share/scripts/real");
  fake_link (f->k, HOOKS_D "/50-link", target);
  run_well (f);
  assert_witnesses (f, "real");
}

/* --- environment --- */

static void
test_arguments (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  add_script (f, "a", "echo \"$#: $*\" >>$out/witness");
  run_well (f);
  g_assert_true (vv_nodedev_hooks_run (f->hooks, f->device, VV_DETACH, "end", "vfio-pci", 0, &error));
  g_assert_true (vv_nodedev_hooks_run (f->hooks, f->device, VV_REATTACH, "begin", "$(id) b", 0, &error));
  g_assert_true (vv_nodedev_hooks_run (f->hooks, f->device, VV_REATTACH, "end", NULL, 0, &error));
  g_assert_no_error (error);
  assert_witnesses (f, "4: pci_0000_3b_00_1 detach begin mlx5_vfio_pci\n"
                       "4: pci_0000_3b_00_1 detach end vfio-pci\n"
                       "4: pci_0000_3b_00_1 reattach begin $(id) b\n"
                       "4: pci_0000_3b_00_1 reattach end -");
}

static void
test_input (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *xml = __real_vv_nodedev_xml (f->host, f->device);

  add_script (f, "a", "head -c 10 >/dev/null; echo more >&0; cat >$out/a");
  add_script (f, "b", "cat >$out/b");
  run_well (f);
  g_autofree char *rest = fake_read (f->k, "out/b");
  g_assert_cmpstr (rest, ==, g_strchomp (xml)); /* each script gets a copy of its own, from the beginning */
}

static void
test_input_not_read (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  for (guint i = 0; i < 4000; i++) { /* more than a pipe can hold */
    g_autofree char *link = g_strdup_printf (
        "sys/kernel/iommu_groups/" NIC_GROUP "/devices/0000:%02x:%02x.%x", i >> 8, i >> 3 & 0x1f, i & 7);
    fake_link (f->k, link, "../nowhere");
  }
  add_script (f, "a", "exec <&-");
  add_script (f, "b", "wc -c >$out/witness");
  run_well (f);
  g_autofree char *size = fake_read (f->k, "out/witness");
  g_assert_cmpint (g_ascii_strtoll (size, NULL, 10), >, 65536);
}

static void
test_environment (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  g_setenv ("VV_SECRET", "x", TRUE);
  g_setenv ("LD_LIBRARY_PATH", "/nowhere", TRUE);
  /* without the variables that the shell sets */
  add_script (f, "a",
              "env | grep -vE '^(PWD|OLDPWD|SHLVL|_)=' | sort >$out/env; pwd >$out/pwd; umask >$out/umask");
  run_well (f);
  g_unsetenv ("LD_LIBRARY_PATH");
  g_autofree char *env = fake_read (f->k, "out/env");
  g_autofree char *pwd = fake_read (f->k, "out/pwd");
  g_autofree char *mask = fake_read (f->k, "out/umask");
  g_assert_cmpstr (env, ==, "HOME=/\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin");
  g_assert_cmpstr (pwd, ==, "/");
  g_assert_cmpint (g_ascii_strtoll (mask, NULL, 8), ==, 022);
}

/* Clears two signals of glibc: sigaction() refuses to reset them, and GNU make ignores them. */
static guint64
signals_of (const char *status, const char *which)
{
  const char *line = strstr (status, which);
  guint64 own = G_GUINT64_CONSTANT (3) << (__SIGRTMIN - 1);

  g_assert_nonnull (line);
  return g_ascii_strtoull (line + strlen (which), NULL, 16) & ~own;
}

/* A child inherits blocked and ignored signals and open files unless they are reset. */
static void
test_nothing_is_inherited (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  int leak = open ("/dev/null", O_RDONLY); /* NOLINT: without O_CLOEXEC on purpose */
  sigset_t blocked, before;

  g_assert_cmpint (leak, >, 2);
  g_assert_cmpint (fcntl (leak, F_DUPFD, 50), >=, 50);
  sigemptyset (&blocked);
  sigaddset (&blocked, SIGTERM);
  sigaddset (&blocked, SIGUSR1);
  pthread_sigmask (SIG_BLOCK, &blocked, &before);
  void (*pipe_handler) (int) = signal (SIGPIPE, SIG_IGN);

  /* the shell uses descriptors from 10 on; ls opens the directory */
  add_script (f, "a",
              "grep -E '^Sig(Blk|Ign):' /proc/self/status | tr -s '\\t' ' ' >$out/signals\n"
              "exec ls /proc/self/fd >$out/files");
  run_well (f);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  signal (SIGPIPE, pipe_handler);
  close (leak);
  close (50);
  g_autofree char *signals = fake_read (f->k, "out/signals");
  g_autofree char *files = fake_read (f->k, "out/files");
  g_assert_cmphex (signals_of (signals, "SigBlk:"), ==, 0);
  g_assert_cmphex (signals_of (signals, "SigIgn:"), ==, 0);
  g_assert_cmpstr (files, ==, "0\n1\n2\n3");
}

/* A daemon may have closed its standard streams. */
static void
test_without_standard_files (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_script (f, "a", "grep -c '^<device>$' >$out/witness; echo out; echo err >&2; exit 1");
  pid_t pid = fork ();
  if (pid == 0) {
    g_autoptr (GError) error = NULL;
    for (int fd = 0; fd < 3; fd++)
      close (fd);
    gboolean done = run_by (f, 0, &error);
    _exit (!done && strstr (error->message, "exit status 1: out; err") ? 0 : 1);
  }
  int status = -1;
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  assert_witnesses (f, "1");
}

static void
test_process_group (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_script (f, "a", "test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$");
  run_well (f);
}

/* --- output --- */

static void
test_veto (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_witness (f, HOOKS_D "/10");
  add_script (f, "20-no", "echo 'not today,'; echo 'thank you' >&2; exit 3");
  add_witness (f, HOOKS_D "/30");
  run_and_fail (f, VV_ERROR_FAILED, "hook */nodedev.d/20-no: exit status 3: not today,; thank you");
  assert_witnesses (f, "10");
}

static void
test_veto_without_words (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_script (f, "a", "exit 255");
  run_and_fail (f, VV_ERROR_FAILED, "hook */nodedev.d/a: exit status 255");
}

static void
test_killed (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_script (f, "a", "echo oh; kill -SEGV $$");
  run_and_fail (f, VV_ERROR_FAILED, "hook */nodedev.d/a: was killed by signal 11 (Segmentation fault): oh");
}

static void
test_words_of_success (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_script (f, "a", "echo fine");
  run_well (f);
  fake_assert_logged ("hook */nodedev.d/a: fine");
}

static void
test_cannot_be_executed (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_write (f->k, HOOKS_D "/a", "#!/no/such/interpreter\n");
  set_mode (f, HOOKS_D "/a", 0755);
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: cannot run: No such file or directory (*first line names*");
  fake_write (f->k, HOOKS_D "/a", "echo no first line\n");
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: cannot run: Exec format error (*#!/bin/sh)");
  fake_write (f->k, HOOKS_D "/a", "#!/etc\n");
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: cannot run: Permission denied (*)");
}

static void
test_huge_output (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  add_script (f, "a", "head -c 10000000 /dev/zero | tr '\\0' x; exit 1");
  g_assert_false (run_by (f, 0, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "hook */a: exit status 1: xxx*xxx [and more]");
  g_assert_cmpuint (strlen (error->message), <, 4096 + 500);
}

static void
test_binary_output (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  add_script (
      f, "a",
      "printf 'a\\0b\\033[31m\\377\\tc\\r\\n\\302\\205d\\342\\200\\256\\342\\200\\250\\303\\274\\n\\n'; exit "
      "1");
  g_assert_false (run_by (f, 0, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     "*exit status 1: a\xef\xbf\xbd"
                     "b\\x1b[31m\xef\xbf\xbd c\\x0d; \\x85d\\x202e\\x2028\xc3\xbc");
}

static void
test_random_output (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  add_script (f, "a", "head -c 5000 /dev/urandom; exit 1");
  g_assert_false (run_by (f, 0, &error));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  for (const char *p = error->message; *p; p++)
    g_assert_false (g_ascii_iscntrl (*p));
}

/* --- time limits --- */

/* Whether the process with the ID in the file @path has ended; zombies have */
static gboolean
is_gone (const Fixture *f, const char *path)
{
  g_autofree char *pid = fake_read (f->k, path);
  g_autofree char *stat = pid ? g_strconcat ("/proc/", pid, "/stat", NULL) : NULL;
  g_autofree char *text = NULL;

  g_assert_nonnull (pid);
  return !g_file_get_contents (stat, &text, NULL, NULL) || strstr (text, ") Z ") || strstr (text, ") X ");
}

static void
assert_goes (const Fixture *f, const char *path)
{
  gint64 end = g_get_monotonic_time () + SOON;

  while (!is_gone (f, path) && g_get_monotonic_time () < end)
    g_usleep (1000);
  g_assert_true (is_gone (f, path));
}

static void
test_limit (void)
{
  g_autoptr (Fixture) f = fixture_with_limit (200);
  gint64 begin = g_get_monotonic_time ();

  add_script (f, "a", "echo waiting; exec sleep 60");
  add_witness (f, HOOKS_D "/b");
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: did not end within 200 ms and was killed*");
  g_assert_cmpint (g_get_monotonic_time () - begin, <, SOON);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 200000);
  assert_witnesses (f, NULL);
}

/* The limit must suffice for the script to record its process IDs: on a slow machine, tries longer limits. */
static void
test_limit_for_the_stubborn (void)
{
  static const guint limits[] = {500, 4000, 20000};
  g_autoptr (Fixture) f = fixture_new ();

  add_script (f, "a",
              "trap '' TERM INT HUP\n"
              "sh -c 'trap \"\" TERM; echo $$ >$0/child; while :; do sleep 60; done' $out &\n"
              "echo $$ >$out/self\n"
              "while :; do sleep 60; done");
  for (gsize i = 0; i < G_N_ELEMENTS (limits) && !fake_exists (f->k, "out/child"); i++) {
    vv_nodedev_hooks_free (f->hooks);
    f->hooks = vv_nodedev_hooks_new (f->host, limits[i]);
    run_and_fail (f, VV_ERROR_FAILED, "hook */a: did not end within * ms and was killed");
  }
  assert_goes (f, "out/self");
  assert_goes (f, "out/child");
}

/* The script closes its output, so end of file does not mean that it has ended. */
static void
test_limit_for_the_silent (void)
{
  g_autoptr (Fixture) f = fixture_with_limit (200);

  add_script (f, "a", "exec >/dev/null 2>&1; exec sleep 60");
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: did not end within 200 ms and was killed");
}

static void
test_limit_for_the_talkative (void)
{
  g_autoptr (Fixture) f = fixture_with_limit (300);

  add_script (f, "a", "exec yes");
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: did not end within 300 ms and was killed*");
}

static void
test_background_child (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  gint64 begin = g_get_monotonic_time ();

  add_script (f, "a", "sleep 60 & echo $! >$out/child; echo started");
  run_well (f);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, SOON);
  fake_assert_logged ("hook */a: started");
  g_assert_false (is_gone (f, "out/child"));
  g_autofree char *pid = fake_read (f->k, "out/child");
  kill ((pid_t)g_ascii_strtoll (pid, NULL, 10), SIGKILL);
}

static void
test_background_chatter (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  gint64 begin = g_get_monotonic_time ();

  add_script (f, "a", "yes & echo $! >$out/child; exit 4"); /* SIGPIPE ends it */
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: exit status 4*");
  g_assert_cmpint (g_get_monotonic_time () - begin, <, SOON);
  assert_goes (f, "out/child");
}

static void
test_deadline (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;
  gint64 now = g_get_monotonic_time ();

  add_script (f, "a", "exec sleep 60");
  g_assert_false (run_by (f, now + 300000, &error));
  g_assert_cmpint (g_get_monotonic_time () - now, <, SOON);
  fake_assert_error (error, VV_ERROR_FAILED, "hook */a: *");
}

static void
test_deadline_is_past (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (run_by (f, 1, &error)); /* no script to run */
  g_assert_no_error (error);
  add_witness (f, HOOKS_D "/a");
  g_assert_false (run_by (f, 1, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "hook */a: skipped: no time left");
  assert_witnesses (f, NULL);
}

/* A distant deadline does not extend the limit, and does not overflow. */
static void
test_deadline_is_far (void)
{
  g_autoptr (Fixture) f = fixture_with_limit (200);
  g_autoptr (GError) error = NULL;

  add_script (f, "a", "exec sleep 60");
  g_assert_false (run_by (f, G_MAXINT64, &error));
  fake_assert_error (error, VV_ERROR_FAILED, "hook */a: did not end within 200 ms and was killed");
}

/* --- permissions --- */

static void
assert_not_trusted (const Fixture *f, const char *pattern)
{
  run_well (f);
  fake_assert_logged (pattern);
  assert_witnesses (f, NULL);
}

static void
test_writable_script (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_witness (f, HOOKS_D "/a");
  set_mode (f, HOOKS_D "/a", 0775);
  assert_not_trusted (f,
                      "hook */nodedev.d/a: skipped: */a is writable by its group or others*: chmod go-w */a");
  set_mode (f, HOOKS_D "/a", 0757);
  assert_not_trusted (f, "hook */nodedev.d/a: skipped: */a is writable*");
  set_mode (f, HOOKS_D "/a", 0700);
  run_well (f);
  assert_witnesses (f, "a");
}

/* The other scripts run. */
static void
test_one_is_not_trusted (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_witness (f, HOOKS_D "/a");
  add_witness (f, HOOKS_D "/b");
  set_mode (f, HOOKS_D "/a", 0777);
  run_well (f);
  fake_assert_logged ("hook */nodedev.d/a: skipped: *");
  assert_witnesses (f, "b");
}

static void
test_writable_directories (void)
{
  static const struct {
    const char *path;
    mode_t mode;
  } cases[] = {{HOOKS_D, 0775}, {HOOKS_D, 01777}, {HOOKS, 0777}, {HOOKS, 01777}, {"etc", 0775}, {"", 0775}};
  g_autoptr (Fixture) f = fixture_new ();

  add_witness (f, HOOKS_D "/a");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s %o", cases[i].path, cases[i].mode);
    set_mode (f, cases[i].path, cases[i].mode);
    g_autofree char *pattern = g_strdup_printf (
        "hook */nodedev.d/a: skipped: *%s is writable*: chmod go-w *%s", cases[i].path, cases[i].path);
    assert_not_trusted (f, pattern);
    set_mode (f, cases[i].path, 0755);
  }
  set_mode (f, "", 01777); /* sticky, further up */
  run_well (f);
  assert_witnesses (f, "a");
}

static void
test_link_to_what_others_may_write (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *target = below (f, "home/eve/script");

  add_witness (f, "home/eve/script");
  fake_mkdir (f->k, HOOKS_D);
  fake_link (f->k, HOOKS_D "/a", target);
  set_mode (f, "home/eve/script", 0777);
  assert_not_trusted (f, "hook */nodedev.d/a: skipped: */home/eve/script is writable*");
  set_mode (f, "home/eve/script", 0755);
  set_mode (f, "home/eve", 0777);
  assert_not_trusted (f, "hook */nodedev.d/a: skipped: */home/eve is writable*");
  set_mode (f, "home/eve", 0755);
  set_mode (f, HOOKS_D, 0777);
  assert_not_trusted (f, "hook */nodedev.d/a: skipped: */nodedev.d is writable*");
}

/* The script is root's, but another user controls the link to it. */
static void
test_link_of_others_on_the_way (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *script = below (f, "usr/script");
  g_autofree char *users = below (f, "home/eve/choice");

  add_witness (f, "usr/script");
  fake_mkdir (f->k, HOOKS_D);
  fake_mkdir (f->k, "home/eve");
  fake_link (f->k, "home/eve/choice", script);
  fake_link (f->k, HOOKS_D "/a", users);
  run_well (f);
  assert_witnesses (f, "script");
  fake_remove (f->k, "out/witness");
  set_mode (f, "home/eve", 0777);
  assert_not_trusted (f, "hook */nodedev.d/a: skipped: */home/eve is writable*");
  set_mode (f, "home/eve", 0755);
  if (geteuid () != 0)
    return;
  g_assert_cmpint (lchown (users, 65534, 65534), ==, 0);
  assert_not_trusted (f,
                      "hook */nodedev.d/a: skipped: symbolic link */home/eve/choice belongs to user 65534*");
}

static void
test_owner (void)
{
  static const char *const paths[] = {HOOKS_D "/a", HOOKS_D, HOOKS};
  g_autoptr (Fixture) f = fixture_new ();

  if (geteuid () != 0) {
    g_test_skip ("needs root");
    return;
  }
  add_witness (f, HOOKS_D "/a");
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++) {
    g_autofree char *full = below (f, paths[i]);
    g_autofree char *pattern = g_strdup_printf (
        "hook */nodedev.d/a: skipped: *%s belongs to user 65534 and not to root*: chown root *", paths[i]);
    g_assert_cmpint (chown (full, NOBODY, NOBODY), ==, 0);
    assert_not_trusted (f, pattern);
    g_assert_cmpint (chown (full, 0, 0), ==, 0);
  }
  run_well (f);
  assert_witnesses (f, "a");
}

/* --- device, callers --- */

static void
test_vanished_device (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_remove_device (f->k, NIC);
  run_well (f);
  add_witness (f, HOOKS_D "/a");
  run_and_fail (f, VV_ERROR_NO_DEVICE, "hook */a: skipped: the device disappeared");
  assert_witnesses (f, NULL);
}

static gpointer
run_in_thread (gpointer data)
{
  const Fixture *f = data;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 10; i++) {
    g_assert_false (run_by (f, 0, &error));
    fake_assert_error (error, VV_ERROR_FAILED, "hook */a: exit status 7: * words");
    g_clear_error (&error);
  }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  GThread *threads[4];

  add_script (f, "a", "echo $$ words; exit 7");
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("hooks", run_in_thread, f);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* No descriptors and no zombies remain. */
static void
test_nothing_is_left (void)
{
  g_autoptr (Fixture) f = fixture_with_limit (300);
  g_autoptr (GError) error = NULL;
  int before = dup (0);

  close (before);
  add_script (f, "a", "exit 1");
  for (int i = 0; i < 3; i++) {
    g_assert_false (run_by (f, 0, &error));
    g_clear_error (&error);
  }
  add_script (f, "a", "exec sleep 60");
  g_assert_false (run_by (f, 0, &error));
  int after = dup (0);
  close (after);
  g_assert_cmpint (after, ==, before);
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

/* A caller that ignores SIGCHLD cannot learn the exit status of a script. */
static void
test_sigchld_ignored (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  add_witness (f, HOOKS_D "/a");
  void (*handler) (int) = signal (SIGCHLD, SIG_IGN);
  run_and_fail (f, VV_ERROR_FAILED, "hook */a: cannot run while SIGCHLD is ignored");
  signal (SIGCHLD, handler);
  assert_witnesses (f, NULL);
}

static void
note_limit (guint limit_ms, gpointer limits)
{
  g_string_append_printf (limits, "%u ", limit_ms);
}

/* The watcher is told of progress, and how long the next script may take. */
static void
test_watched (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GString) limits = g_string_new (NULL);

  vv_nodedev_hooks_watch (f->hooks, note_limit, limits);
  run_by (f, 0, NULL);
  g_assert_cmpstr (limits->str, ==, "0 ");
  add_script (f, "a", "true");
  add_script (f, "b", "false");
  g_assert_false (run_by (f, 0, NULL));
  g_assert_cmpstr (limits->str, ==, "0 0 60000 0 60000 0 ");
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    GTestFunc func;
  } tests[] = {
      {"/nodedev-hooks/watched", test_watched},
      {"/nodedev-hooks/no-scripts-no-cost", test_no_scripts_no_cost},
      {"/nodedev-hooks/order", test_order},
      {"/nodedev-hooks/passed-over", test_passed_over},
      {"/nodedev-hooks/wrong-kinds", test_wrong_kinds},
      {"/nodedev-hooks/link", test_link},
      {"/nodedev-hooks/arguments", test_arguments},
      {"/nodedev-hooks/input", test_input},
      {"/nodedev-hooks/input-not-read", test_input_not_read},
      {"/nodedev-hooks/environment", test_environment},
      {"/nodedev-hooks/nothing-is-inherited", test_nothing_is_inherited},
      {"/nodedev-hooks/without-standard-files", test_without_standard_files},
      {"/nodedev-hooks/process-group", test_process_group},
      {"/nodedev-hooks/veto", test_veto},
      {"/nodedev-hooks/veto-without-words", test_veto_without_words},
      {"/nodedev-hooks/killed", test_killed},
      {"/nodedev-hooks/words-of-success", test_words_of_success},
      {"/nodedev-hooks/cannot-be-executed", test_cannot_be_executed},
      {"/nodedev-hooks/huge-output", test_huge_output},
      {"/nodedev-hooks/binary-output", test_binary_output},
      {"/nodedev-hooks/random-output", test_random_output},
      {"/nodedev-hooks/limit", test_limit},
      {"/nodedev-hooks/limit-for-the-stubborn", test_limit_for_the_stubborn},
      {"/nodedev-hooks/limit-for-the-silent", test_limit_for_the_silent},
      {"/nodedev-hooks/limit-for-the-talkative", test_limit_for_the_talkative},
      {"/nodedev-hooks/background-child", test_background_child},
      {"/nodedev-hooks/background-chatter", test_background_chatter},
      {"/nodedev-hooks/deadline", test_deadline},
      {"/nodedev-hooks/deadline-is-past", test_deadline_is_past},
      {"/nodedev-hooks/deadline-is-far", test_deadline_is_far},
      {"/nodedev-hooks/writable-script", test_writable_script},
      {"/nodedev-hooks/one-is-not-trusted", test_one_is_not_trusted},
      {"/nodedev-hooks/writable-directories", test_writable_directories},
      {"/nodedev-hooks/link-to-what-others-may-write", test_link_to_what_others_may_write},
      {"/nodedev-hooks/link-of-others-on-the-way", test_link_of_others_on_the_way},
      {"/nodedev-hooks/owner", test_owner},
      {"/nodedev-hooks/vanished-device", test_vanished_device},
      {"/nodedev-hooks/threads", test_threads},
      {"/nodedev-hooks/nothing-is-left", test_nothing_is_left},
      {"/nodedev-hooks/sigchld-ignored", test_sigchld_ignored},
  };

  fake_test_init (&argc, &argv);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add_func (tests[i].path, tests[i].func);
  return g_test_run ();
}
