/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-kernel: a host below a temporary directory, and a driver core that answers the library's writes.
 *
 * The test executables are linked with --wrap, so that every change the library makes to the world passes
 * through here: sysfs writes, module loads, journal writes and removals. Each is one numbered step. Writes do
 * to the tree what the kernel does (driver_override_store() in drivers/pci/pci-sysfs.c; bind_store(),
 * unbind_store() and drivers_probe_store() in drivers/base/bus.c). A fault can be ordered for a step: it
 * fails, without or after having done its work, the device goes away, or the process dies or stands still
 * there. All state is in the tree, so it outlives a process.
 */
#pragma once

#include "context.h"

/* The standard host's devices: a virtual function with a variant driver, and a plain disk controller */
#define NIC "0000:3b:00.1"
#define NIC_MODALIAS "pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00"
#define NIC_GROUP "41"
#define DISK "0000:04:00.0"
#define DISK_MODALIAS "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"
#define DISK_GROUP "7"

#define FAKE_RELEASE "6.1.0-test"

/** FakeDriver: a PCI driver, loaded or not. The fields below "knobs" are for a test to set. */
typedef struct {
  char *name;
  char *module; /* NULL: none is shown in sysfs */
  char *ids;    /* glob of the modaliases that it binds by itself; NULL: none */
  gboolean vfio;
  /* knobs */
  int probe_errno;      /* what its probe fails with */
  int load_errno;       /* what loading its module fails with */
  gboolean no_vfio_dev; /* binds, but makes no VFIO device */
  gboolean silent;      /* a bind is accepted and nothing happens */
  gboolean nameless;    /* the module loads and registers no driver */
  char *load_fifo;      /* loading its module waits until somebody opens this fifo for writing */
  char *probe_fifo;     /* so does its probe */
} FakeDriver;

/**
 * FakeFault:
 * @FAKE_FAIL: the step fails and does nothing
 * @FAKE_FAIL_AFTER: it does all, and says that it failed
 * @FAKE_STALL_BEFORE: the process stands still, for fake_stalls(); for as long as the test likes
 * @FAKE_PROBE_BEFORE: the kernel lets the drivers try NIC
 * @FAKE_RELEASE_BEFORE: the driver that NIC is on lets go of it
 */
typedef enum {
  FAKE_NO_FAULT,
  FAKE_FAIL,
  FAKE_FAIL_AFTER,
  FAKE_DIE_BEFORE,
  FAKE_DIE_AFTER,
  FAKE_VANISH_BEFORE,
  FAKE_VANISH_AFTER,
  FAKE_STALL_BEFORE,
  FAKE_STALL_AFTER,
  FAKE_PROBE_BEFORE,
  FAKE_PROBE_AFTER,
  FAKE_RELEASE_BEFORE,
} FakeFault;

typedef struct {
  char *root;
  GPtrArray *drivers; /* of FakeDriver */
  guint steps;        /* changes of the world so far */
  FakeFault fault;
  guint fault_step;
  int fault_errno;
  gboolean journal_full; /* every journal write fails with ENOSPC */
  guint unready;         /* so many binds come before the kernel lets NIC have a driver (match_driver) */
} FakeKernel;

/** fake_new: an empty host: no devices, no drivers, no module tables */
FakeKernel *fake_new (void);

/**
 * fake_standard: a host with NIC on mlx5_core and DISK on nvme; mlx5_vfio_pci (driver of the same name) and
 * special_vfio_pci (driver "special-vfio") not loaded; vfio_pci loaded; and the aliases that rank them for
 * NIC: special_vfio_pci, mlx5_vfio_pci, vfio_pci
 */
FakeKernel *fake_standard (void);
void fake_free (FakeKernel *k);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeKernel, fake_free)

/* --- the tree: paths are relative to its root --- */

void fake_write (const FakeKernel *k, const char *path, const char *text);
void fake_write_bytes (const FakeKernel *k, const char *path, const void *bytes, gsize length);
void fake_link (const FakeKernel *k, const char *path, const char *target);
void fake_mkdir (const FakeKernel *k, const char *path);
char *fake_read (const FakeKernel *k, const char *path);
/** fake_remove: removes a file, or a directory with all that is in it */
void fake_remove (const FakeKernel *k, const char *path);
gboolean fake_exists (const FakeKernel *k, const char *path);
/** fake_snapshot: Returns: every path below sys/ and run/ with its contents or target, locks and the counters
 * left out */
char *fake_snapshot (const FakeKernel *k);

/** fake_assert_unchanged: a fake_snapshot() of now would be the same */
void fake_assert_unchanged (const FakeKernel *k, const char *before);

/* --- devices and drivers --- */

/** fake_add_device: @group and @driver may be NULL */
void fake_add_device (FakeKernel *k, const char *address, const char *modalias, const char *group,
                      const char *driver);
void fake_remove_device (FakeKernel *k, const char *address);
/** fake_device_path: Returns: @file in a device's folder, relative to the root */
char *fake_device_path (const char *address, const char *file);
void fake_write_device (const FakeKernel *k, const char *address, const char *file, const char *text);
/** fake_script: an executable file; @text: after its first line */
void fake_script (const FakeKernel *k, const char *path, const char *text);

FakeDriver *fake_add_driver (FakeKernel *k, const char *name, const char *module, const char *ids,
                             gboolean vfio);
FakeDriver *fake_driver (const FakeKernel *k, const char *name);
/** fake_register: the driver's module is in the kernel from here on; driverless devices it knows get it */
void fake_register (const FakeKernel *k, const char *driver);
void fake_unregister (const FakeKernel *k, const char *driver);
/** fake_unbind, fake_probe: what another program writes to unbind and drivers_probe; no steps */
void fake_unbind (const FakeKernel *k, const char *address);
void fake_probe (const FakeKernel *k, const char *address);

char *fake_driver_of (const FakeKernel *k, const char *address);
char *fake_override_of (const FakeKernel *k, const char *address);
void fake_assert_device (const FakeKernel *k, const char *address, const char *driver, const char *override);

/** fake_policy: @context goes by these rules, which stand from line 2 of /p.xml on */
void fake_policy (VvContext *context, const char *rules);

/* --- faults --- */

/** fake_fault: orders a fault for step number @step, counted from 1 from now on */
void fake_fault (FakeKernel *k, FakeFault fault, guint step, int errnum);

typedef void (*FakeFunc) (FakeKernel *k, gpointer data);

/** fake_dies: runs @func in a process of its own; Returns: whether it died at the ordered step; FALSE: it
 * finished */
gboolean fake_dies (FakeKernel *k, FakeFunc func, gpointer data);

/**
 * fake_stalls: runs @func in a process of its own until it stands still at the ordered step
 *
 * Returns: the process, for fake_goes_on() or fake_kill(); 0: it finished
 */
pid_t fake_stalls (FakeKernel *k, FakeFunc func, gpointer data);
/** fake_goes_on: lets it do the rest */
void fake_goes_on (pid_t pid);
/** fake_kill: ends it where it stands */
void fake_kill (pid_t pid);

/* --- processes --- */

/** fake_node: makes a device's node; Returns: FALSE: mknod(2) is not allowed, and the test is skipped */
gboolean fake_node (const char *path, mode_t type, guint major, guint minor);
/** fake_add_process: a process with @device_number ("240:41") open; Returns: as fake_node() */
gboolean fake_add_process (const FakeKernel *k, const char *pid, const char *comm, const char *device_number);

/** fake_has_pidfd: Returns: whether there is pidfd_open(2): not before Linux 5.3, and not under the valgrind
 * of Debian 12 */
gboolean fake_has_pidfd (void);

/** ON: what initializes a VvDriverState that nobody frees */
#define ON(driver_, module_, override_)                                                                      \
  {                                                                                                          \
    (char *)(driver_), (char *)(module_), (char *)(override_)                                                \
  }

/* --- tests of what cannot be had everywhere --- */

typedef struct {
  const char *path;
  GTestFunc func;
} FakeTest;

/** fake_run_tests: @reason: (nullable): why all of them are skipped; Returns: what main() returns */
int fake_run_tests (const FakeTest *tests, gsize n, const char *reason);

/* --- the log --- */

/** fake_test_init: g_test_init(), and the log is kept for fake_assert_logged(), but for what libraries
 * debug themselves with */
void fake_test_init (int *argc, char ***argv);
/** fake_ignore_debug: what the library debugs itself with is not kept either */
void fake_ignore_debug (void);
/** fake_assert_logged: the oldest line not yet asked for matches the glob @pattern. What a change says of
 * itself need not be asked for: such lines before it are passed over */
void fake_assert_logged (const char *pattern);
gboolean fake_log_is_empty (void);
/** fake_was_logged: the same, for a test that can go on otherwise; it keeps a line that does not match */
gboolean fake_was_logged (const char *pattern);
/** fake_forget_changes: what the changes so far have said of themselves is not asked for */
void fake_forget_changes (void);
/** fake_assert_log_empty: every line was asked for; fake_free() looks, too, but not at what changes say */
void fake_assert_log_empty (void);

/* --- assertions --- */

/** fake_assert_error: @error is of ours, has @code, and its message matches the glob @pattern */
void fake_assert_error (const GError *error, VvError code, const char *pattern);
void fake_assert_matches (const char *text, const char *pattern);
/** fake_assert_names: an array of strings is @expected, joined by blanks */
void fake_assert_names (const GPtrArray *names, const char *expected);
