/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fake-kernel: a host below a temporary directory, and a driver core that reacts to the library's writes.
 *
 * The test programs are linked with --wrap, so that every change of the system by the library calls this
 * file: sysfs writes, module loads, and writes and removals of state files. Each is one numbered step. Writes
 * have the effect that they have in the kernel (driver_override_store() in drivers/pci/pci-sysfs.c;
 * bind_store(), unbind_store() and drivers_probe_store() in drivers/base/bus.c). A test can set a fault for a
 * step: the step fails before or after its work, the device vanishes, or the process dies or stalls there.
 * All state is in the file tree, so it survives the process.
 */
#pragma once

#include "context.h"

/* Devices of the standard host: a virtual function with a variant driver, and a disk controller without */
#define NIC "0000:3b:00.1"
#define NIC_MODALIAS "pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00"
#define NIC_GROUP "41"
#define DISK "0000:04:00.0"
#define DISK_MODALIAS "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"
#define DISK_GROUP "7"

#define FAKE_RELEASE "6.1.0-test"

/** FakeDriver: a PCI driver, loaded or not. Tests may set the fields below "set by tests". */
typedef struct {
  char *name;
  char *module; /* NULL: sysfs shows no module */
  char *ids;    /* glob of the modaliases that match its ID table; NULL: none */
  gboolean vfio;
  /* set by tests */
  int probe_errno;      /* errno of its probe */
  int load_errno;       /* errno of loading its module */
  gboolean no_vfio_dev; /* binds, but creates no VFIO device */
  gboolean silent;      /* accepts a bind without effect */
  gboolean nameless;    /* the module loads but registers no driver */
  char *load_fifo;      /* loading its module blocks until the test opens this FIFO for writing */
  char *probe_fifo;     /* the same for its probe */
} FakeDriver;

/**
 * FakeFault:
 * @FAKE_FAIL: the step fails and has no effect
 * @FAKE_FAIL_AFTER: the step takes effect, but returns an error
 * @FAKE_STALL_BEFORE: the process stalls, for fake_stalls(), until the test continues or kills it
 * @FAKE_PROBE_BEFORE: the kernel probes drivers for NIC
 * @FAKE_RELEASE_BEFORE: NIC is unbound from its driver
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
  guint steps;        /* steps so far */
  FakeFault fault;
  guint fault_step;
  int fault_errno;
  gboolean journal_full; /* every write of a state file fails with ENOSPC */
  guint unready;         /* binds that fail before the kernel permits a driver for NIC (match_driver) */
} FakeKernel;

/** fake_new: a host without devices, drivers and module tables */
FakeKernel *fake_new (void);

/**
 * fake_standard: a host with NIC on mlx5_core and DISK on nvme. mlx5_vfio_pci (driver of the same name) and
 * special_vfio_pci (driver "special-vfio") are not loaded, vfio_pci is loaded. The aliases rank them for NIC
 * in the order special_vfio_pci, mlx5_vfio_pci, vfio_pci.
 */
FakeKernel *fake_standard (void);
void fake_free (FakeKernel *k);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeKernel, fake_free)

/* --- file tree: paths are relative to its root --- */

void fake_write (const FakeKernel *k, const char *path, const char *text);
void fake_write_bytes (const FakeKernel *k, const char *path, const void *bytes, gsize length);
void fake_link (const FakeKernel *k, const char *path, const char *target);
void fake_mkdir (const FakeKernel *k, const char *path);
char *fake_read (const FakeKernel *k, const char *path);
/** fake_remove: removes a file, or a directory with its contents */
void fake_remove (const FakeKernel *k, const char *path);
gboolean fake_exists (const FakeKernel *k, const char *path);
/** fake_snapshot: Returns: every path below sys/ and run/ with its contents or link target, without locks and
 * counters */
char *fake_snapshot (const FakeKernel *k);

/** fake_assert_unchanged: fake_snapshot() still returns @before */
void fake_assert_unchanged (const FakeKernel *k, const char *before);

/* --- devices and drivers --- */

/** fake_add_device: @group and @driver may be NULL */
void fake_add_device (FakeKernel *k, const char *address, const char *modalias, const char *group,
                      const char *driver);
void fake_remove_device (FakeKernel *k, const char *address);
/** fake_device_path: Returns: the path of @file in the device's directory, relative to the root */
char *fake_device_path (const char *address, const char *file);
void fake_write_device (const FakeKernel *k, const char *address, const char *file, const char *text);
/** fake_script: creates an executable shell script; @text: without its first line */
void fake_script (const FakeKernel *k, const char *path, const char *text);

FakeDriver *fake_add_driver (FakeKernel *k, const char *name, const char *module, const char *ids,
                             gboolean vfio);
FakeDriver *fake_driver (const FakeKernel *k, const char *name);
/** fake_register: loads the driver's module; devices without a driver that match its ID table are bound */
void fake_register (const FakeKernel *k, const char *driver);
void fake_unregister (const FakeKernel *k, const char *driver);
/** fake_unbind, fake_probe: writes by another program to unbind and drivers_probe; not counted as steps */
void fake_unbind (const FakeKernel *k, const char *address);
void fake_probe (const FakeKernel *k, const char *address);

char *fake_driver_of (const FakeKernel *k, const char *address);
char *fake_override_of (const FakeKernel *k, const char *address);
void fake_assert_device (const FakeKernel *k, const char *address, const char *driver, const char *override);

/** fake_policy: gives @context a policy with these rules; the first rule is in line 2 of /p.xml */
void fake_policy (VvContext *context, const char *rules);

/* --- faults --- */

/** fake_fault: sets a fault for step @step, counted from now; the next step is 1 */
void fake_fault (FakeKernel *k, FakeFault fault, guint step, int errnum);

typedef void (*FakeFunc) (FakeKernel *k, gpointer data);

/** fake_dies: runs @func in a child process; Returns: TRUE: it died at the step with the fault; FALSE: it
 * finished */
gboolean fake_dies (FakeKernel *k, FakeFunc func, gpointer data);

/**
 * fake_stalls: runs @func in a child process until it stalls at the step with the fault
 *
 * Returns: the process, for fake_goes_on() or fake_kill(); 0: it finished
 */
pid_t fake_stalls (FakeKernel *k, FakeFunc func, gpointer data);
/** fake_goes_on: continues the stalled process and waits for its end */
void fake_goes_on (pid_t pid);
/** fake_kill: kills the stalled process */
void fake_kill (pid_t pid);

/* --- processes --- */

/** fake_node: creates a device node; Returns: FALSE: mknod(2) is not permitted, and the test is skipped */
gboolean fake_node (const char *path, mode_t type, guint major, guint minor);
/** fake_add_process: a process that has @device_number ("240:41") open; Returns: as fake_node() */
gboolean fake_add_process (const FakeKernel *k, const char *pid, const char *comm, const char *device_number);

/** fake_has_pidfd: Returns: whether pidfd_open(2) is available: since Linux 5.3, but not under the valgrind
 * of Debian 12 */
gboolean fake_has_pidfd (void);

/** ON: initializer of a VvDriverState that is not freed */
#define ON(driver_, module_, override_)                                                                      \
  {                                                                                                          \
    (char *)(driver_), (char *)(module_), (char *)(override_)                                                \
  }

/* --- tests with requirements --- */

typedef struct {
  const char *path;
  GTestFunc func;
} FakeTest;

/** fake_run_tests: @reason: (nullable): skips all tests, with this reason; Returns: main()'s return value */
int fake_run_tests (const FakeTest *tests, gsize n, const char *reason);

/* --- the log --- */

/** fake_test_init: calls g_test_init(), and records log messages for fake_assert_logged(), without the debug
 * messages of other libraries */
void fake_test_init (int *argc, char ***argv);
/** fake_ignore_debug: do not record our library's debug messages either */
void fake_ignore_debug (void);
/** fake_assert_logged: the oldest unchecked message matches the glob @pattern. Messages of rebinds may be
 * left unchecked: those before a match are skipped. */
void fake_assert_logged (const char *pattern);
gboolean fake_log_is_empty (void);
/** fake_was_logged: as fake_assert_logged(), but returns FALSE and keeps a message that does not match */
gboolean fake_was_logged (const char *pattern);
/** fake_forget_changes: drops the messages of the rebinds so far */
void fake_forget_changes (void);
/** fake_assert_log_empty: every message was checked; fake_free() does the same, except for rebinds */
void fake_assert_log_empty (void);

/* --- assertions --- */

/** fake_assert_error: @error is a VV_ERROR with @code, and its message matches the glob @pattern */
void fake_assert_error (const GError *error, VvError code, const char *pattern);
void fake_assert_matches (const char *text, const char *pattern);
/** fake_assert_names: @names, joined by spaces, equals @expected */
void fake_assert_names (const GPtrArray *names, const char *expected);
