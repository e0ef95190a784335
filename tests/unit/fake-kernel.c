/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy-xml.h"

#define PCI "sys/bus/pci"
#define ROOT_PORT "pci0000:00/0000:00:01.0"
#define COUNTERS "counters"
#define DEATH 77 /* exit status of a process that dies at the step with the fault */

static FakeKernel *current; /* used by the wrapped functions */

/* --- file tree --- */

static char *
below (const FakeKernel *k, const char *path)
{
  return g_build_filename (k->root, path, NULL);
}

static char *
make_way (const FakeKernel *k, const char *path)
{
  g_autofree char *full = below (k, path);
  g_autofree char *folder = g_path_get_dirname (full);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  return g_steal_pointer (&full);
}

void
fake_write_bytes (const FakeKernel *k, const char *path, const void *bytes, gsize length)
{
  g_autofree char *full = make_way (k, path);
  FILE *file = fopen (full, "w"); /* in place, as in sysfs */

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (bytes, 1, length, file), ==, length);
  g_assert_cmpint (fclose (file), ==, 0);
}

void
fake_write (const FakeKernel *k, const char *path, const char *text)
{
  fake_write_bytes (k, path, text, strlen (text));
}

void
fake_script (const FakeKernel *k, const char *path, const char *text)
{
  g_autofree char *full = make_way (k, path);
  g_autofree char *script = g_strdup_printf ("#!/bin/sh\n%s\n", text);

  fake_write (k, path, script);
  g_assert_cmpint (chmod (full, 0755), ==, 0);
}

void
fake_link (const FakeKernel *k, const char *path, const char *target)
{
  g_autofree char *full = make_way (k, path);

  unlink (full);
  g_assert_cmpint (symlink (target, full), ==, 0);
}

void
fake_mkdir (const FakeKernel *k, const char *path)
{
  g_autofree char *full = below (k, path);

  g_assert_cmpint (g_mkdir_with_parents (full, 0755), ==, 0);
}

char *
fake_read (const FakeKernel *k, const char *path)
{
  g_autofree char *full = below (k, path);
  char *text = NULL;

  return g_file_get_contents (full, &text, NULL, NULL) ? g_strchomp (text) : NULL;
}

gboolean
fake_exists (const FakeKernel *k, const char *path)
{
  g_autofree char *full = below (k, path);

  return access (full, F_OK) == 0;
}

static void
remove_all (const char *path)
{
  g_autoptr (GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);

  for (const char *name = dir ? g_dir_read_name (dir) : NULL; name; name = g_dir_read_name (dir)) {
    g_autofree char *inner = g_build_filename (path, name, NULL);
    remove_all (inner);
  }
  remove (path);
}

void
fake_remove (const FakeKernel *k, const char *path)
{
  g_autofree char *full = below (k, path);

  remove_all (full);
}

static void
snapshot_into (const FakeKernel *k, const char *path, GPtrArray *lines)
{
  g_autofree char *full = below (k, path);
  g_autofree char *target = g_file_read_link (full, NULL);
  g_autoptr (GDir) dir = target ? NULL : g_dir_open (full, 0, NULL);
  g_autofree char *text = target || dir ? NULL : fake_read (k, path);

  if (strstr (path, "/lock-") || g_str_has_suffix (path, "/" COUNTERS))
    return;
  g_ptr_array_add (lines, g_strdup_printf ("%s %s", path, target ? target : text ? text : "/"));
  for (const char *name = dir ? g_dir_read_name (dir) : NULL; name; name = g_dir_read_name (dir)) {
    g_autofree char *inner = g_build_filename (path, name, NULL);
    snapshot_into (k, inner, lines);
  }
}

static int
compare_lines (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

char *
fake_snapshot (const FakeKernel *k)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);

  snapshot_into (k, "sys", lines);
  snapshot_into (k, "run", lines);
  g_ptr_array_sort (lines, compare_lines);
  g_ptr_array_add (lines, NULL);
  return g_strjoinv ("\n", (char **)lines->pdata);
}

/* --- devices --- */

char *
fake_device_path (const char *address, const char *file)
{
  return g_build_filename ("sys/devices", ROOT_PORT, address, file, NULL);
}

void
fake_write_device (const FakeKernel *k, const char *address, const char *file, const char *text)
{
  g_autofree char *path = fake_device_path (address, file);

  fake_write (k, path, text);
}

static char *
device_link (const FakeKernel *k, const char *address, const char *file)
{
  g_autofree char *path = fake_device_path (address, file);
  g_autofree char *full = below (k, path);
  g_autofree char *target = g_file_read_link (full, NULL);

  return target ? g_path_get_basename (target) : NULL;
}

char *
fake_driver_of (const FakeKernel *k, const char *address)
{
  return device_link (k, address, "driver");
}

char *
fake_override_of (const FakeKernel *k, const char *address)
{
  g_autofree char *path = fake_device_path (address, "driver_override");
  g_autofree char *text = fake_read (k, path);

  return g_strcmp0 (text, "(null)") == 0 ? NULL : g_steal_pointer (&text);
}

void
fake_assert_device (const FakeKernel *k, const char *address, const char *driver, const char *override)
{
  g_autofree char *is_on = fake_driver_of (k, address);
  g_autofree char *is_overridden = fake_override_of (k, address);

  g_assert_cmpstr (is_on, ==, driver);
  g_assert_cmpstr (is_overridden, ==, override);
}

static gboolean
is_present (const FakeKernel *k, const char *address)
{
  g_autofree char *path = fake_device_path (address, "modalias");

  return fake_exists (k, path);
}

/* --- driver core --- */

static char *
driver_path (const char *driver, const char *file)
{
  return g_build_filename (PCI "/drivers", driver, file, NULL);
}

static gboolean
is_registered (const FakeKernel *k, const char *driver)
{
  g_autofree char *path = driver_path (driver, "bind");

  return fake_exists (k, path);
}

/* Returns "vfio41" for a device in group 41: unique, and the same in every process */
static void
set_vfio_dev (const FakeKernel *k, const char *address, gboolean made)
{
  g_autofree char *group = device_link (k, address, "iommu_group");
  g_autofree char *name = g_strconcat ("vfio", group, NULL);
  g_autofree char *folder = fake_device_path (address, "vfio-dev");
  g_autofree char *class_dev = g_build_filename ("sys/class/vfio-dev", name, NULL);
  g_autofree char *class_group = g_build_filename ("sys/class/vfio", group ? group : "noiommu", NULL);

  if (!made) {
    fake_remove (k, folder);
    fake_remove (k, class_dev);
    fake_remove (k, class_group);
    return;
  }
  g_autofree char *group_dev = g_build_filename (class_group, "dev", NULL);
  g_autofree char *group_number = g_strdup_printf ("240:%s\n", group);
  fake_write (k, group_dev, group_number);
  if (!fake_exists (k, "sys/class/vfio-dev"))
    return; /* a kernel before 6.1 */
  g_autofree char *dev = g_build_filename (folder, name, "dev", NULL);
  g_autofree char *number = g_strdup_printf ("241:%s\n", group);
  g_autofree char *target = g_strconcat ("../../", folder + strlen ("sys/"), "/", name, NULL);
  fake_write (k, dev, number);
  fake_link (k, class_dev, target);
}

static void
attach (const FakeKernel *k, const FakeDriver *d, const char *address)
{
  g_autofree char *link = fake_device_path (address, "driver");
  g_autofree char *target = g_strconcat ("../../../../bus/pci/drivers/", d->name, NULL);
  g_autofree char *back = driver_path (d->name, address);
  g_autofree char *back_target = g_strconcat ("../../../../devices/" ROOT_PORT "/", address, NULL);

  fake_link (k, link, target);
  fake_link (k, back, back_target);
  if (d->vfio && !d->no_vfio_dev)
    set_vfio_dev (k, address, TRUE);
}

static void
release (const FakeKernel *k, const char *driver, const char *address)
{
  g_autofree char *link = fake_device_path (address, "driver");
  g_autofree char *back = driver_path (driver, address);

  set_vfio_dev (k, address, FALSE);
  fake_remove (k, link);
  fake_remove (k, back);
}

/* see pci_device_can_probe() in drivers/pci/pci-driver.c */
static gboolean
is_left_alone (const FakeKernel *k, const char *address)
{
  g_autofree char *path = fake_device_path (address, "physfn/sriov_drivers_autoprobe");
  g_autofree char *text = fake_read (k, path);

  return g_strcmp0 (text, "0") == 0;
}

static gboolean
driver_matches (const FakeKernel *k, const FakeDriver *d, const char *address)
{
  g_autofree char *override = fake_override_of (k, address);
  g_autofree char *path = fake_device_path (address, "modalias");
  g_autofree char *modalias = fake_read (k, path);

  if (override)
    return strcmp (override, d->name) == 0;
  return !is_left_alone (k, address) && d->ids && fnmatch (d->ids, modalias, 0) == 0;
}

/* open(2) of a FIFO for reading blocks until it is opened for writing. */
static void
wait_at (const char *fifo)
{
  int fd = fifo ? open (fifo, O_RDONLY | O_CLOEXEC) : -1;

  if (fd >= 0)
    close (fd);
}

static int
store_bind (const FakeKernel *k, const char *driver, const char *address)
{
  const FakeDriver *d = fake_driver (k, driver);
  g_autofree char *bound = fake_driver_of (k, address);

  if (!is_present (k, address) || !driver_matches (k, d, address))
    return ENODEV;
  if (bound)
    return EBUSY;
  wait_at (d->probe_fifo);
  if (d->probe_errno)
    return d->probe_errno;
  if (!d->silent)
    attach (k, d, address);
  return 0;
}

/* bind_store() calls pci_bus_match(), which rejects every driver until the device is added. */
static int
store_bind_by_hand (FakeKernel *k, const char *driver, const char *address)
{
  if (k->unready == 0)
    return store_bind (k, driver, address);
  k->unready--;
  return ENODEV;
}

static int
store_unbind (const FakeKernel *k, const char *driver, const char *address)
{
  g_autofree char *bound = fake_driver_of (k, address);

  if (g_strcmp0 (bound, driver) != 0)
    return ENODEV;
  release (k, driver, address);
  return 0;
}

/* As in the kernel: tries every driver, and does not report the result. */
static int
store_probe (const FakeKernel *k, const char *address)
{
  if (!is_present (k, address))
    return ENODEV;
  for (guint i = 0; i < k->drivers->len; i++) {
    const FakeDriver *d = k->drivers->pdata[i];
    if (is_registered (k, d->name))
      store_bind (k, d->name, address);
  }
  return 0;
}

void
fake_unbind (const FakeKernel *k, const char *address)
{
  g_autofree char *driver = fake_driver_of (k, address);

  if (driver)
    release (k, driver, address);
}

void
fake_probe (const FakeKernel *k, const char *address)
{
  store_probe (k, address);
}

static int
store_override (const FakeKernel *k, const char *address, const char *value)
{
  g_auto (GStrv) lines = g_strsplit (value, "\n", 2);
  g_autofree char *shown = g_strconcat (lines[0] && *lines[0] ? lines[0] : "(null)", "\n", NULL);

  fake_write_device (k, address, "driver_override", shown);
  return 0;
}

/* @path: relative to sys/ */
static int
store (FakeKernel *k, const char *path, const char *value)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  guint n = g_strv_length (parts);

  if (strcmp (path, "bus/pci/drivers_probe") == 0)
    return store_probe (k, value);
  if (n == 5 && strcmp (parts[2], "drivers") == 0 && strcmp (parts[4], "bind") == 0)
    return store_bind_by_hand (k, parts[3], value);
  if (n == 5 && strcmp (parts[2], "drivers") == 0 && strcmp (parts[4], "unbind") == 0)
    return store_unbind (k, parts[3], value);
  if (n == 5 && strcmp (parts[2], "devices") == 0 && strcmp (parts[4], "driver_override") == 0)
    return store_override (k, parts[3], value);
  g_error ("the library wrote '%s' to %s, which is none of its business", value, path);
}

/* --- drivers and modules --- */

static void
driver_free (FakeDriver *d)
{
  g_free (d->name);
  g_free (d->module);
  g_free (d->ids);
  g_free (d->load_fifo);
  g_free (d->probe_fifo);
  g_free (d);
}

FakeDriver *
fake_add_driver (FakeKernel *k, const char *name, const char *module, const char *ids, gboolean vfio)
{
  FakeDriver *d = g_new0 (FakeDriver, 1);

  d->name = g_strdup (name);
  d->module = g_strdup (module);
  d->ids = g_strdup (ids);
  d->vfio = vfio;
  g_ptr_array_add (k->drivers, d);
  return d;
}

FakeDriver *
fake_driver (const FakeKernel *k, const char *name)
{
  for (guint i = 0; i < k->drivers->len; i++) {
    FakeDriver *d = k->drivers->pdata[i];
    if (strcmp (d->name, name) == 0)
      return d;
  }
  g_error ("the test has no driver %s", name);
}

static void
show_module (const FakeKernel *k, const FakeDriver *d)
{
  g_autofree char *link = g_strdup_printf ("sys/module/%s/drivers/pci:%s", d->module, d->name);
  g_autofree char *target = g_strconcat ("../../../bus/pci/drivers/", d->name, NULL);
  g_autofree char *back = driver_path (d->name, "module");
  g_autofree char *back_target = g_strconcat ("../../../../module/", d->module, NULL);

  fake_link (k, link, target);
  fake_link (k, back, back_target);
}

void
fake_register (const FakeKernel *k, const char *driver)
{
  const FakeDriver *d = fake_driver (k, driver);
  g_autofree char *bind = driver_path (driver, "bind");
  g_autofree char *unbind = driver_path (driver, "unbind");
  g_autofree char *uevent = driver_path (driver, "uevent");
  g_autofree char *devices = below (k, PCI "/devices");
  g_autoptr (GDir) dir = g_dir_open (devices, 0, NULL);

  if (is_registered (k, driver))
    return;
  fake_write (k, bind, "");
  fake_write (k, unbind, "");
  fake_write (k, uevent, "");
  if (d->module)
    show_module (k, d);
  for (const char *address = g_dir_read_name (dir); address; address = g_dir_read_name (dir))
    store_bind (k, driver, address); /* driver_attach() at registration */
}

void
fake_unregister (const FakeKernel *k, const char *driver)
{
  const FakeDriver *d = fake_driver (k, driver);
  g_autofree char *folder = driver_path (driver, NULL);

  fake_remove (k, folder);
  if (d->module) {
    g_autofree char *module = g_build_filename ("sys/module", d->module, NULL);
    fake_remove (k, module);
  }
}

void
fake_add_device (FakeKernel *k, const char *address, const char *modalias, const char *group,
                 const char *driver)
{
  g_autofree char *link = g_build_filename (PCI "/devices", address, NULL);
  g_autofree char *target = g_strconcat ("../../../devices/" ROOT_PORT "/", address, NULL);

  fake_write_device (k, address, "modalias", modalias);
  fake_write_device (k, address, "driver_override", "(null)\n");
  fake_link (k, link, target);
  if (group) {
    g_autofree char *group_link = fake_device_path (address, "iommu_group");
    g_autofree char *group_target = g_strconcat ("../../../../kernel/iommu_groups/", group, NULL);
    g_autofree char *member = g_build_filename ("sys/kernel/iommu_groups", group, "devices", address, NULL);
    g_autofree char *member_target = g_strconcat ("../../../../devices/" ROOT_PORT "/", address, NULL);
    fake_link (k, group_link, group_target);
    fake_link (k, member, member_target);
  }
  if (driver)
    attach (k, fake_driver (k, driver), address);
}

void
fake_remove_device (FakeKernel *k, const char *address)
{
  g_autofree char *driver = fake_driver_of (k, address);
  g_autofree char *group = device_link (k, address, "iommu_group");
  g_autofree char *folder = fake_device_path (address, NULL);
  g_autofree char *link = g_build_filename (PCI "/devices", address, NULL);

  if (driver)
    release (k, driver, address);
  if (group) {
    g_autofree char *member = g_build_filename ("sys/kernel/iommu_groups", group, "devices", address, NULL);
    fake_remove (k, member);
  }
  fake_remove (k, link);
  fake_remove (k, folder);
}

void
fake_policy (VvContext *context, const char *rules)
{
  g_autofree char *text = g_strconcat ("<vfio-variant>\n", rules, "</vfio-variant>", NULL);
  g_autoptr (GError) error = NULL;
  VvPolicy *policy = vv_policy_new ();

  vv_policy_add_text (policy, "/p.xml", text, strlen (text), &error);
  g_assert_no_error (error);
  vv_context_set_policy (context, policy);
}

/* --- faults and the functions replaced by --wrap --- */

gboolean __real_vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error);
gboolean __wrap_vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error);
gboolean __real_vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error);
gboolean __wrap_vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error);
gboolean __real_vv_io_remove (const VvDir *dir, const char *name, GError **error);
gboolean __wrap_vv_io_remove (const VvDir *dir, const char *name, GError **error);
gboolean __real_vv_modules_load (VvModules *modules, const char *module, GError **error);
gboolean __wrap_vv_modules_load (VvModules *modules, const char *module, GError **error);

void
fake_fault (FakeKernel *k, FakeFault fault, guint step, int errnum)
{
  k->steps = 0;
  k->fault = fault;
  k->fault_step = step;
  k->fault_errno = errnum;
}

static gboolean
is_due (const FakeKernel *k, FakeFault fault)
{
  return k->fault == fault && (guint)g_atomic_int_get (&k->steps) == k->fault_step;
}

/* Returns: the errno of the fault that makes the step fail, or 0 */
static int
begin_step (FakeKernel *k)
{
  g_atomic_int_inc (&k->steps); /* threads may share a kernel if no fault is set */
  if (is_due (k, FAKE_DIE_BEFORE))
    _exit (DEATH);
  if (is_due (k, FAKE_STALL_BEFORE))
    raise (SIGSTOP);
  if (is_due (k, FAKE_VANISH_BEFORE))
    fake_remove_device (k, NIC);
  if (is_due (k, FAKE_PROBE_BEFORE))
    fake_probe (k, NIC);
  if (is_due (k, FAKE_RELEASE_BEFORE))
    fake_unbind (k, NIC);
  return is_due (k, FAKE_FAIL) ? k->fault_errno : 0;
}

/* Returns: the errno of the fault that makes the step fail after its work is done, or 0 */
static int
end_step (FakeKernel *k)
{
  if (is_due (k, FAKE_DIE_AFTER))
    _exit (DEATH);
  if (is_due (k, FAKE_STALL_AFTER))
    raise (SIGSTOP);
  if (is_due (k, FAKE_VANISH_AFTER))
    fake_remove_device (k, NIC);
  if (is_due (k, FAKE_PROBE_AFTER))
    fake_probe (k, NIC);
  return is_due (k, FAKE_FAIL_AFTER) ? k->fault_errno : 0;
}

/* If the real call failed, keeps its error. */
static gboolean
end_done_step (FakeKernel *k, gboolean done, const char *what, GError **error)
{
  int errnum = end_step (k);

  return done && errnum ? vv_set_errno (error, errnum, "%s", what) : done;
}

gboolean
__wrap_vv_io_write (const VvDir *dir, const char *path, const char *value, GError **error)
{
  g_autofree char *name = vv_io_name (dir, path);
  g_autofree char *sys = g_strconcat (current->root, "/sys/", NULL);

  if (!g_str_has_prefix (name, sys))
    return __real_vv_io_write (dir, path, value, error);
  int errnum = begin_step (current);
  if (!errnum && !vv_io_exists (dir, path)) { /* a stale directory or a missing driver */
    gboolean done = __real_vv_io_write (dir, path, value, error);
    end_step (current);
    return done;
  }
  errnum = errnum ? errnum : store (current, name + strlen (sys), value);
  int errnum_after = end_step (current);
  errnum = errnum ? errnum : errnum_after;
  return errnum ? vv_set_errno (error, errnum, "%s: write", name) : TRUE;
}

gboolean
__wrap_vv_io_replace (const VvDir *dir, const char *name, const char *text, GError **error)
{
  if (strcmp (name, COUNTERS) == 0) /* the counters are not part of the device state */
    return __real_vv_io_replace (dir, name, text, error);
  int errnum = begin_step (current);

  if (current->journal_full)
    errnum = ENOSPC;
  if (errnum)
    return vv_set_errno (error, errnum, "%s/%s: write", dir->path, name);
  return end_done_step (current, __real_vv_io_replace (dir, name, text, error), name, error);
}

gboolean
__wrap_vv_io_remove (const VvDir *dir, const char *name, GError **error)
{
  int errnum = begin_step (current);

  if (errnum)
    return vv_set_errno (error, errnum, "%s/%s: remove", dir->path, name);
  return end_done_step (current, __real_vv_io_remove (dir, name, error), name, error);
}

static const FakeDriver *
driver_of_module (const FakeKernel *k, const char *module)
{
  for (guint i = 0; i < k->drivers->len; i++) {
    const FakeDriver *d = k->drivers->pdata[i];
    if (g_strcmp0 (d->module, module) == 0)
      return d;
  }
  return NULL;
}

/* A module without a FakeDriver is passed to the real function, which fails because its file is missing. */
gboolean
__wrap_vv_modules_load (VvModules *modules, const char *module, GError **error)
{
  g_autofree char *name = g_strdelimit (g_strdup (module), "-", '_');
  const FakeDriver *d = driver_of_module (current, name);
  int errnum = begin_step (current);

  if (!errnum && !d)
    return __real_vv_modules_load (modules, module, error);
  wait_at (d->load_fifo);
  errnum = errnum ? errnum : d->load_errno;
  if (!errnum && !d->nameless)
    fake_register (current, d->name);
  int errnum_after = end_step (current);
  errnum = errnum ? errnum : errnum_after;
  return errnum ? vv_set_errno (error, errnum, "module %s cannot be loaded", module) : TRUE;
}

static pid_t
run_in_process (FakeKernel *k, FakeFunc func, gpointer data)
{
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL); /* if the test fails, its stalled children end with it */
    func (k, data);
    _exit (0);
  }
  return pid;
}

gboolean
fake_dies (FakeKernel *k, FakeFunc func, gpointer data)
{
  int status = 0;
  pid_t pid = run_in_process (k, func, data);

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_true (WEXITSTATUS (status) == DEATH || WEXITSTATUS (status) == 0);
  return WEXITSTATUS (status) == DEATH;
}

static void
wait_for_end (pid_t pid)
{
  int status = 0;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status) || WIFSIGNALED (status));
}

pid_t
fake_stalls (FakeKernel *k, FakeFunc func, gpointer data)
{
  int status = 0;
  pid_t pid = run_in_process (k, func, data);

  g_assert_cmpint (waitpid (pid, &status, WUNTRACED), ==, pid);
  if (WIFSTOPPED (status))
    return pid;
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  return 0;
}

void
fake_goes_on (pid_t pid)
{
  g_assert_cmpint (kill (pid, SIGCONT), ==, 0);
  wait_for_end (pid);
}

void
fake_kill (pid_t pid)
{
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  wait_for_end (pid);
}

/* --- processes --- */

gboolean
fake_node (const char *path, mode_t type, guint major, guint minor)
{
  if (mknod (path, type | 0600, makedev (major, minor)) == 0)
    return TRUE;
  g_test_skip ("mknod(2) is not allowed");
  return FALSE;
}

gboolean
fake_add_process (const FakeKernel *k, const char *pid, const char *comm, const char *device_number)
{
  g_autofree char *comm_path = g_build_filename ("proc", pid, "comm", NULL);
  g_autofree char *fd_path = g_build_filename ("proc", pid, "fd/7", NULL);
  g_autofree char *exe_path = g_build_filename ("proc", pid, "exe", NULL);
  g_auto (GStrv) numbers = g_strsplit (device_number, ":", 2);
  g_autofree char *node_path = g_build_filename ("dev", pid, "vfio", numbers[1], NULL);
  g_autofree char *node = make_way (k, node_path);

  fake_write (k, comm_path, comm);
  fake_link (k, exe_path, "/usr/bin/program");
  fake_link (k, fd_path, node);
  return fake_node (node, S_IFCHR, (guint)atoi (numbers[0]), (guint)atoi (numbers[1]));
}

/* --- tests with requirements --- */

static void
skip (gconstpointer reason)
{
  g_test_skip (reason);
}

int
fake_run_tests (const FakeTest *tests, gsize n, const char *reason)
{
  for (gsize i = 0; i < n; i++)
    if (reason)
      g_test_add_data_func (tests[i].path, reason, skip);
    else
      g_test_add_func (tests[i].path, tests[i].func);
  return g_test_run ();
}

/* --- the log --- */

/* @of_change: logged by vv_change_log() */
typedef struct {
  char *text;
  gboolean of_change;
} Line;

static GQueue logged = G_QUEUE_INIT; /* of Line */
static gboolean debug_is_kept = TRUE;

static gboolean
is_ours (const GLogField *fields, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (strcmp (fields[i].key, "GLIB_DOMAIN") == 0)
      return g_strcmp0 (fields[i].value, G_LOG_DOMAIN) == 0;
  return FALSE;
}

static GLogWriterOutput
keep_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  (void)data;
  if (level & G_LOG_LEVEL_DEBUG && !(debug_is_kept && is_ours (fields, n)))
    return G_LOG_WRITER_HANDLED;
  Line *line = g_new0 (Line, 1);
  for (gsize i = 0; i < n; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      line->text = g_strdup (fields[i].value);
    else if (strcmp (fields[i].key, "VFIO_VARIANT_OPERATION") == 0)
      line->of_change = TRUE;
  g_queue_push_tail (&logged, line);
  return G_LOG_WRITER_HANDLED;
}

gboolean
fake_has_pidfd (void)
{
  int fd = (int)syscall (SYS_pidfd_open, getpid (), 0);

  if (fd >= 0)
    close (fd);
  return fd >= 0;
}

void
fake_test_init (int *argc, char ***argv)
{
  g_test_init (argc, argv, NULL);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); /* tests expect warnings */
  g_log_set_writer_func (keep_log, NULL, NULL);
}

void
fake_ignore_debug (void)
{
  debug_is_kept = FALSE;
}

static const char *
oldest (void)
{
  const Line *line = g_queue_peek_head (&logged);

  return line ? line->text : NULL;
}

static void
forget_oldest (void)
{
  Line *line = g_queue_pop_head (&logged);

  if (line)
    g_free (line->text);
  g_free (line);
}

/* @pattern: NULL: all lines */
static void
forget_changes_before (const char *pattern)
{
  for (const Line *line; (line = g_queue_peek_head (&logged)) && line->of_change; forget_oldest ())
    if (pattern && g_pattern_match_simple (pattern, line->text))
      return;
}

void
fake_assert_logged (const char *pattern)
{
  forget_changes_before (pattern);
  fake_assert_matches (oldest () ? oldest () : "(the log is empty)", pattern);
  forget_oldest ();
}

gboolean
fake_was_logged (const char *pattern)
{
  forget_changes_before (pattern);
  if (!oldest () || !g_pattern_match_simple (pattern, oldest ()))
    return FALSE;
  forget_oldest ();
  return TRUE;
}

gboolean
fake_log_is_empty (void)
{
  return g_queue_is_empty (&logged);
}

void
fake_forget_changes (void)
{
  forget_changes_before (NULL);
}

void
fake_assert_log_empty (void)
{
  g_assert_cmpstr (oldest (), ==, NULL);
}

/* --- assertions --- */

void
fake_assert_matches (const char *text, const char *pattern)
{
  if (!g_pattern_match_simple (pattern, text)) {
    g_autofree char *message = g_strdup_printf ("'%s' is not like '%s'", text, pattern);
    g_assertion_message (G_LOG_DOMAIN, __FILE__, __LINE__, G_STRFUNC, message);
  }
}

void
fake_assert_error (const GError *error, VvError code, const char *pattern)
{
  g_assert_error (error, VV_ERROR, (int)code);
  fake_assert_matches (error->message, pattern);
}

void
fake_assert_names (const GPtrArray *names, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_assert_nonnull (names);
  for (guint i = 0; i < names->len; i++)
    g_string_append_printf (text, "%s%s", i ? " " : "", (char *)names->pdata[i]);
  g_assert_cmpstr (text->str, ==, expected);
}

void
fake_assert_unchanged (const FakeKernel *k, const char *before)
{
  g_autofree char *now = fake_snapshot (k);
  g_auto (GStrv) old_lines = g_strsplit (before, "\n", -1);
  g_auto (GStrv) new_lines = g_strsplit (now, "\n", -1);
  guint i = 0;

  while (old_lines[i] && g_strcmp0 (old_lines[i], new_lines[i]) == 0)
    i++;
  g_assert_cmpstr (new_lines[i], ==, old_lines[i]); /* reports only the first line that differs */
}

/* --- hosts --- */

FakeKernel *
fake_new (void)
{
  static const char *const folders[] = {
      PCI "/devices",   PCI "/drivers", "sys/class/vfio",
      "sys/module",     "proc",         "sys/kernel/iommu_groups",
      "etc/modprobe.d", "run",          "lib/modules/" FAKE_RELEASE,
  };
  FakeKernel *k = g_new0 (FakeKernel, 1);
  g_autoptr (GError) error = NULL;

  k->root = g_dir_make_tmp ("vfio-variant-XXXXXX", &error);
  g_assert_no_error (error);
  g_assert_cmpint (chmod (k->root, 0755), ==, 0);
  k->drivers = g_ptr_array_new_with_free_func ((GDestroyNotify)driver_free);
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    fake_mkdir (k, folders[i]);
  fake_mkdir (k, "sys/class/vfio-dev");
  fake_write (k, PCI "/drivers_probe", "");
  current = k;
  return k;
}

FakeKernel *
fake_standard (void)
{
  FakeKernel *k = fake_new ();

  fake_add_driver (k, "mlx5_core", "mlx5_core", "pci:v000015B3d*", FALSE);
  fake_add_driver (k, "nvme", "nvme", "pci:v*d*sv*sd*bc01sc08i02*", FALSE);
  fake_add_driver (k, "vfio-pci", "vfio_pci", NULL, TRUE);
  fake_add_driver (k, "mlx5_vfio_pci", "mlx5_vfio_pci", NULL, TRUE);
  fake_add_driver (k, "special-vfio", "special_vfio_pci", NULL, TRUE);
  fake_register (k, "mlx5_core");
  fake_register (k, "nvme");
  fake_register (k, "vfio-pci");
  fake_add_device (k, NIC, NIC_MODALIAS, NIC_GROUP, "mlx5_core");
  fake_add_device (k, DISK, DISK_MODALIAS, DISK_GROUP, "nvme");
  fake_write (k, "lib/modules/" FAKE_RELEASE "/modules.alias",
              "# Aliases extracted from modules themselves.\n"
              "alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core\n"
              "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
              "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n"
              "alias vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i* special_vfio_pci\n");
  fake_write (k, "lib/modules/" FAKE_RELEASE "/modules.builtin.modinfo", "");
  return k;
}

void
fake_free (FakeKernel *k)
{
  fake_forget_changes ();
  fake_assert_log_empty ();
  remove_all (k->root);
  g_ptr_array_unref (k->drivers);
  g_free (k->root);
  g_free (k);
  current = NULL;
}
