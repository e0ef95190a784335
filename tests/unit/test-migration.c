/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of migration: a driver's capabilities are reported and recorded as it announces them, no device in
 * use is opened, and every descriptor is closed.
 *
 * The test replaces the kernel's VFIO: it checks the order of the requests, and can fail each of them.
 */
#include "migration.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "fixture.h"

#define PEER "0000:3b:00.2" /* in NIC's IOMMU group */
#define BIND_IOMMUFD _IO (VFIO_TYPE, VFIO_BASE + 18)
#define GET_HW_INFO _IO (';', 0x8a)
#define DEVICE_ID 7
#define PRE_COPY 4
#define MOST_FDS 1024

typedef enum { NONE, CONTAINER, GROUP, CDEV, IOMMUFD, DEVICE } Kind;

/* @fail_request, @fail_node: the request, or the node by the end of its name, that fails with @errnum */
static struct {
  gboolean migration, logging, not_viable, type1_only;
  int logging_errno; /* other than for no logging */
  guint64 flags;
  int version;
  guint64 iommu_capabilities;
  unsigned long fail_request;
  const char *fail_node;
  int errnum;
  /* recorded calls */
  Kind kinds[MOST_FDS];
  gboolean in_container, has_iommu, bound;
  guint iommu_type;
  GString *done;
} kernel;

int __wrap_vv_io_open_node (const char *path);
int __wrap_vv_io_ioctl (int fd, unsigned long request, gpointer argument);

static int
new_fd (Kind kind)
{
  int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fd, <, MOST_FDS);
  kernel.kinds[fd] = kind;
  return fd;
}

static void
note (const char *what)
{
  g_string_append_printf (kernel.done, "%s%s", kernel.done->len ? " " : "", what);
}

int
__wrap_vv_io_open_node (const char *path)
{
  static const struct {
    const char *end;
    Kind kind;
  } nodes[] = {{"/dev/vfio/vfio", CONTAINER},
               {"/dev/vfio/" NIC_GROUP, GROUP},
               {"/dev/vfio/devices/vfio" NIC_GROUP, CDEV},
               {"/dev/iommu", IOMMUFD}};

  if (kernel.fail_node && g_str_has_suffix (path, kernel.fail_node))
    return -kernel.errnum;
  for (gsize i = 0; i < G_N_ELEMENTS (nodes); i++)
    if (g_str_has_suffix (path, nodes[i].end) && g_file_test (path, G_FILE_TEST_EXISTS)) {
      note (nodes[i].end + strlen ("/dev/"));
      return new_fd (nodes[i].kind);
    }
  return -ENOENT;
}

/* vfio_ioctl_device_feature() in drivers/vfio/vfio_main.c */
static int
answer_feature (struct vfio_device_feature *feature)
{
  struct vfio_device_feature_migration migration = {.flags = kernel.flags};

  switch (feature->flags) {
  case VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION:
    if (!kernel.migration)
      return -ENOTTY;
    g_assert_cmpuint (feature->argsz, ==, sizeof *feature + sizeof migration);
    memcpy (feature->data, &migration, sizeof migration);
    return 0;
  case VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
    g_assert_cmpuint (feature->argsz, ==, sizeof *feature);
    return kernel.logging_errno ? -kernel.logging_errno : kernel.logging ? 0 : -ENOTTY;
  default:
    return -EINVAL;
  }
}

static int
answer_container (unsigned long request, gpointer argument)
{
  guint number = GPOINTER_TO_UINT (argument);

  switch (request) {
  case VFIO_GET_API_VERSION:
    return kernel.version;
  case VFIO_CHECK_EXTENSION:
    return number == VFIO_TYPE1_IOMMU || (number == VFIO_TYPE1v2_IOMMU && !kernel.type1_only);
  case VFIO_SET_IOMMU:
    if (!kernel.in_container || kernel.has_iommu)
      return -EINVAL;
    kernel.has_iommu = TRUE;
    kernel.iommu_type = number;
    return 0;
  default:
    return -ENOTTY;
  }
}

static int
answer_group (unsigned long request, gpointer argument)
{
  struct vfio_group_status *status = argument;

  switch (request) {
  case VFIO_GROUP_GET_STATUS:
    g_assert_cmpuint (status->argsz, ==, sizeof *status);
    status->flags = kernel.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
    return 0;
  case VFIO_GROUP_SET_CONTAINER:
    g_assert_cmpint (kernel.kinds[*(int *)argument], ==, CONTAINER);
    kernel.in_container = TRUE;
    return 0;
  case VFIO_GROUP_GET_DEVICE_FD:
    if (!kernel.in_container || !kernel.has_iommu)
      return -EINVAL;
    g_assert_cmpstr (argument, ==, NIC);
    return new_fd (DEVICE);
  default:
    return -ENOTTY;
  }
}

static int
answer_cdev (unsigned long request, gpointer argument)
{
  guint32 *words = argument; /* argsz, flags, iommufd, out_devid */

  if (request == BIND_IOMMUFD) {
    g_assert_cmpuint (words[0], >=, 16); /* later kernels have more fields */
    g_assert_cmpuint (words[1], ==, 0);
    g_assert_cmpint (kernel.kinds[words[2]], ==, IOMMUFD);
    kernel.bound = TRUE;
    words[3] = DEVICE_ID;
    return 0;
  }
  return kernel.bound && request == VFIO_DEVICE_FEATURE ? answer_feature (argument) : -EINVAL;
}

/* iommufd_get_hw_info() in drivers/iommu/iommufd/device.c */
static int
answer_iommufd (unsigned long request, gpointer argument)
{
  const guint32 *words = argument; /* size, flags, dev_id, data_len */

  if (request != GET_HW_INFO)
    return -ENOTTY;
  g_assert_cmpuint (words[0], ==, 40);
  g_assert_cmpuint (words[1], ==, 0);
  g_assert_cmpuint (words[2], ==, DEVICE_ID);
  g_assert_cmpuint (words[3], ==, 0);
  memcpy ((char *)argument + 32, &kernel.iommu_capabilities, sizeof kernel.iommu_capabilities);
  return 0;
}

int
__wrap_vv_io_ioctl (int fd, unsigned long request, gpointer argument)
{
  g_assert_cmpint (fcntl (fd, F_GETFD), >=, 0);
  if (kernel.fail_request == request)
    return -kernel.errnum;
  switch (kernel.kinds[fd]) {
  case CONTAINER:
    return answer_container (request, argument);
  case GROUP:
    return answer_group (request, argument);
  case CDEV:
    return answer_cdev (request, argument);
  case IOMMUFD:
    return answer_iommufd (request, argument);
  case DEVICE:
    return request == VFIO_DEVICE_FEATURE ? answer_feature (argument) : -ENOTTY;
  default:
    return -ENOTTY;
  }
}

/* --- fixture --- */

static const char *const group_nodes[] = {"dev/vfio/vfio", "dev/vfio/" NIC_GROUP, NULL};
static const char *const cdev_nodes[] = {"dev/iommu", "dev/vfio/devices/vfio" NIC_GROUP, NULL};

static void
make_nodes (const Fixture *f, const char *const *names)
{
  for (; *names; names++)
    fake_write (f->k, *names, "");
}

/* NIC is on a variant driver with all capabilities, and reachable through its group */
static Fixture *
stage_new (void)
{
  Fixture *f = fixture_new ();

  if (kernel.done)
    g_string_free (kernel.done, TRUE);
  memset (&kernel, 0, sizeof kernel);
  kernel.migration = kernel.logging = TRUE;
  kernel.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | PRE_COPY;
  kernel.done = g_string_new (NULL);
  put_on (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
  make_nodes (f, group_nodes);
  return f;
}

static gboolean
probe (const Fixture *f, VvMigration *m, GError **error)
{
  g_autoptr (VvPciDevice) nic = vv_pci_device_open (f->s->host, NIC, NULL);

  kernel.in_container = kernel.has_iommu = kernel.bound = FALSE; /* all closed */
  memset (kernel.kinds, 0, sizeof kernel.kinds);
  gboolean done = vv_migration_probe (f->s->host, nic, m, error);
  for (int fd = 0; fd < MOST_FDS; fd++)
    if (kernel.kinds[fd] != NONE)
      g_assert_cmpint (fcntl (fd, F_GETFD), ==, -1);
  return done;
}

static void
assert_answer (const VvMigration *m, const char *expected)
{
  g_autofree char *text =
      g_strdup_printf ("%s%s%s%s", m->stop_copy ? "stop-copy " : "", m->p2p ? "p2p " : "",
                       m->pre_copy ? "pre-copy " : "", m->dma_logging ? "dma-logging" : "");

  g_assert_cmpstr (g_strchomp (text), ==, expected);
}

static void
assert_probe (const Fixture *f, const char *expected)
{
  g_autoptr (GError) error = NULL;
  VvMigration m = {TRUE, TRUE, TRUE, TRUE, VV_ANSWER_UNKNOWN};

  g_assert_true (probe (f, &m, &error));
  g_assert_no_error (error);
  assert_answer (&m, expected);
}

static void
assert_probe_fails (const Fixture *f, VvError code, const char *pattern)
{
  g_autoptr (GError) error = NULL;
  VvMigration m = {TRUE, FALSE, TRUE, FALSE, VV_ANSWER_UNKNOWN};

  g_assert_false (probe (f, &m, &error));
  fake_assert_error (error, code, pattern);
  assert_answer (&m, "stop-copy pre-copy"); /* unchanged */
}

/* --- queries --- */

static void
test_group (void)
{
  g_autoptr (Fixture) f = stage_new ();

  assert_probe (f, "stop-copy p2p pre-copy dma-logging");
  g_assert_cmpuint (kernel.iommu_type, ==, VFIO_TYPE1v2_IOMMU);
  g_assert_cmpstr (kernel.done->str, ==, "vfio/vfio vfio/" NIC_GROUP);
}

static void
test_group_with_an_old_type_1 (void)
{
  g_autoptr (Fixture) f = stage_new ();

  kernel.type1_only = TRUE;
  assert_probe (f, "stop-copy p2p pre-copy dma-logging");
  g_assert_cmpuint (kernel.iommu_type, ==, VFIO_TYPE1_IOMMU);
}

static void
test_iommufd (void)
{
  g_autoptr (Fixture) f = stage_new ();

  make_nodes (f, cdev_nodes);
  assert_probe (f, "stop-copy p2p pre-copy dma-logging");
  g_assert_cmpstr (kernel.done->str, ==, "vfio/devices/vfio" NIC_GROUP " iommu");
}

static void
test_half_an_iommufd (void)
{
  for (gsize i = 0; cdev_nodes[i]; i++) {
    g_autoptr (Fixture) f = stage_new ();
    fake_write (f->k, cdev_nodes[i], "");
    assert_probe (f, "stop-copy p2p pre-copy dma-logging");
    g_assert_cmpstr (kernel.done->str, ==, "vfio/vfio vfio/" NIC_GROUP);
  }
}

static void
test_fall_back_to_the_group (void)
{
  static const struct {
    unsigned long request;
    const char *node;
  } cases[] = {{BIND_IOMMUFD, NULL}, {0, "/dev/iommu"}, {0, "/dev/vfio/devices/vfio" NIC_GROUP}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = stage_new ();
    make_nodes (f, cdev_nodes);
    kernel.fail_request = cases[i].request;
    kernel.fail_node = cases[i].node;
    kernel.errnum = EINVAL;
    assert_probe (f, "stop-copy p2p pre-copy dma-logging");
    g_assert_true (g_str_has_suffix (kernel.done->str, "vfio/vfio vfio/" NIC_GROUP));
  }
}

static void
test_no_fall_back (void)
{
  g_autoptr (Fixture) f = stage_new ();

  make_nodes (f, cdev_nodes);
  kernel.fail_request = BIND_IOMMUFD;
  kernel.errnum = EBUSY;
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC " is in use: VFIO_DEVICE_BIND_IOMMUFD: *busy");
  g_assert_null (strstr (kernel.done->str, "vfio/vfio"));

  kernel.errnum = EINVAL; /* no group support in the kernel: reports iommufd's error */
  fake_remove (f->k, "dev/vfio/vfio");
  assert_probe_fails (f, VV_ERROR_FAILED, NIC ": VFIO_DEVICE_BIND_IOMMUFD: Invalid argument");

  fake_write (f->k, "dev/vfio/vfio", ""); /* with group support: the group's error */
  kernel.not_viable = TRUE;
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC ": a driver other than VFIO does DMA in its IOMMU group");
}

static void
assert_iommu (const Fixture *f, VvAnswer expected)
{
  g_autoptr (GError) error = NULL;
  VvMigration m;

  g_assert_true (probe (f, &m, &error));
  g_assert_no_error (error);
  g_assert_cmpint (m.iommu_logging, ==, expected);
}

static void
test_what_the_iommu_tracks (void)
{
  static const struct {
    const char *says;
    guint64 capabilities;
    int errnum; /* of IOMMU_GET_HW_INFO */
    VvAnswer answer;
  } cases[] = {
      {"dirty pages", 1, 0, VV_ANSWER_YES},
      {"dirty pages, and what a newer kernel knows", ~0ULL, 0, VV_ANSWER_YES},
      {"none", 0, 0, VV_ANSWER_NO},
      {"something else", 2, 0, VV_ANSWER_NO},
      {"the kernel has no such question yet", 1, ENOTTY, VV_ANSWER_NO},
      {"it does not say", 1, EOPNOTSUPP, VV_ANSWER_UNKNOWN},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = stage_new ();
    make_nodes (f, cdev_nodes);
    kernel.iommu_capabilities = cases[i].capabilities;
    kernel.fail_request = cases[i].errnum ? GET_HW_INFO : 0;
    kernel.errnum = cases[i].errnum;
    assert_iommu (f, cases[i].answer);
  }
}

/* Without iommufd, no IOMMU tracks dirty pages. If iommufd rejects the device, it is unknown. */
static void
test_an_iommu_that_is_not_asked (void)
{
  g_autoptr (Fixture) f = stage_new ();

  assert_iommu (f, VV_ANSWER_NO);
  fake_write (f->k, "dev/iommu", "");
  assert_iommu (f, VV_ANSWER_NO); /* no node for the device */
  make_nodes (f, cdev_nodes);
  kernel.fail_request = BIND_IOMMUFD;
  kernel.errnum = EINVAL;
  assert_iommu (f, VV_ANSWER_UNKNOWN);
}

static void
test_announcements (void)
{
  static const struct {
    gboolean migration, logging;
    guint64 flags;
    const char *answer;
  } cases[] = {
      {FALSE, TRUE, 0, ""}, /* ENOTTY */
      {TRUE, TRUE, 0, ""},
      {TRUE, TRUE, VFIO_MIGRATION_P2P | PRE_COPY, ""},
      {TRUE, TRUE, VFIO_MIGRATION_STOP_COPY, "stop-copy dma-logging"},
      {TRUE, FALSE, VFIO_MIGRATION_STOP_COPY, "stop-copy"},
      {TRUE, FALSE, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P, "stop-copy p2p"},
      {TRUE, FALSE, VFIO_MIGRATION_STOP_COPY | PRE_COPY, "stop-copy pre-copy"},
      {TRUE, FALSE, ~0ULL, "stop-copy p2p pre-copy"}, /* a newer kernel */
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = stage_new ();
    kernel.migration = cases[i].migration;
    kernel.logging = cases[i].logging;
    kernel.flags = cases[i].flags;
    assert_probe (f, cases[i].answer);
    make_nodes (f, cdev_nodes);
    assert_probe (f, cases[i].answer);
  }
}

static void
test_the_generic_driver_is_not_asked (void)
{
  g_autoptr (Fixture) f = stage_new ();

  put_on (f, VV_GENERIC_DRIVER, VV_GENERIC_DRIVER);
  assert_probe (f, "");
  g_assert_cmpstr (kernel.done->str, ==, "");
}

static void
test_a_kernel_before_6_1 (void)
{
  g_autoptr (Fixture) f = stage_new ();

  fake_remove (f->k, "sys/class/vfio-dev");
  put_on (f, "mlx5_vfio_pci", "mlx5_vfio_pci");
  assert_probe (f, "stop-copy p2p pre-copy dma-logging");
  put_on (f, "mlx5_core", "");
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC " is on mlx5_core: *");
}

/* --- failures --- */

static void
test_each_request_fails (void)
{
  static const struct {
    unsigned long request;
    const char *step;
  } cases[] = {
      {VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION"},
      {VFIO_GROUP_GET_STATUS, "VFIO_GROUP_GET_STATUS"},
      {VFIO_GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER"},
      {VFIO_SET_IOMMU, "VFIO_SET_IOMMU"},
      {VFIO_GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD"},
      {VFIO_DEVICE_FEATURE, "VFIO_DEVICE_FEATURE_MIGRATION"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = stage_new ();
    g_autofree char *failed = g_strdup_printf (NIC ": %s: Input/output error", cases[i].step);
    g_autofree char *busy = g_strdup_printf (NIC " is in use: %s: *busy", cases[i].step);
    g_autofree char *denied = g_strdup_printf (NIC ": %s: Operation not permitted*", cases[i].step);
    kernel.fail_request = cases[i].request;
    kernel.errnum = EIO;
    assert_probe_fails (f, VV_ERROR_FAILED, failed);
    kernel.errnum = EBUSY;
    assert_probe_fails (f, VV_ERROR_REFUSED, busy);
    kernel.errnum = EPERM;
    assert_probe_fails (f, VV_ERROR_PERMISSION, denied);
    kernel.errnum = ENODEV;
    assert_probe_fails (f, VV_ERROR_NO_DEVICE, NIC ": *");
  }
}

static void
test_interrupts_are_not_remapped (void)
{
  g_autoptr (Fixture) f = stage_new ();

  kernel.fail_request = VFIO_SET_IOMMU;
  kernel.errnum = EPERM;
  assert_probe_fails (f, VV_ERROR_PERMISSION, "*allow_unsafe_interrupts*");
}

static void
test_dma_logging_is_not_told (void)
{
  g_autoptr (Fixture) f = stage_new ();

  kernel.logging_errno = EIO;
  assert_probe_fails (f, VV_ERROR_FAILED, NIC ": VFIO_DEVICE_FEATURE_DMA_LOGGING_START: Input/output error");
}

static void
test_a_node_does_not_open (void)
{
  for (gsize i = 0; group_nodes[i]; i++) {
    g_autoptr (Fixture) f = stage_new ();
    g_autofree char *busy = g_strdup_printf (NIC " is in use: */%s: *busy", group_nodes[i]);
    g_autofree char *absent = g_strdup_printf (NIC ": */%s: No such file*", group_nodes[i]);
    kernel.fail_node = group_nodes[i];
    kernel.errnum = EBUSY;
    assert_probe_fails (f, VV_ERROR_REFUSED, busy);
    kernel.errnum = EACCES;
    assert_probe_fails (f, VV_ERROR_PERMISSION, NIC ": *");
    kernel.fail_node = NULL;
    fake_remove (f->k, group_nodes[i]);
    assert_probe_fails (f, VV_ERROR_NOT_FOUND, absent);
  }
}

static void
test_other_interfaces (void)
{
  g_autoptr (Fixture) f = stage_new ();

  kernel.version = 1;
  assert_probe_fails (f, VV_ERROR_FAILED, NIC ": unsupported VFIO API version 1, expected 0");
  kernel.version = 0;
  kernel.fail_request = VFIO_CHECK_EXTENSION;
  kernel.errnum = EINVAL;
  assert_probe_fails (f, VV_ERROR_FAILED, NIC ": this kernel has no VFIO type 1 IOMMU driver*");
}

/* --- refusals --- */

static void
test_not_viable (void)
{
  g_autoptr (Fixture) f = stage_new ();

  kernel.not_viable = TRUE;
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC ": a driver other than VFIO does DMA in its IOMMU group");
  fake_add_device (f->k, PEER, NIC_MODALIAS, NIC_GROUP, "mlx5_core");
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC ": " PEER " in the same IOMMU group *is on mlx5_core*");
}

static void
test_not_on_vfio (void)
{
  g_autoptr (Fixture) f = stage_new ();

  put_on (f, "mlx5_core", "");
  assert_probe_fails (f, VV_ERROR_REFUSED,
                      NIC " is on mlx5_core: only VFIO drivers can be queried; run 'vfio-variant bind " NIC
                          "'*");
  fake_unbind (f->k, NIC);
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC " is on no driver: *");
  g_assert_cmpstr (kernel.done->str, ==, "");
}

static void
test_no_iommu (void)
{
  g_autoptr (Fixture) f = stage_new ();
  g_autofree char *link = fake_device_path (NIC, "iommu_group");

  fake_write (f->k, "sys/class/vfio/noiommu-" NIC_GROUP "/dev", "240:0\n");
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC " is on VFIO without an IOMMU *");
  fake_remove (f->k, "sys/class/vfio/noiommu-" NIC_GROUP);
  fake_remove (f->k, link);
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC " is on VFIO without an IOMMU *");
  g_assert_cmpstr (kernel.done->str, ==, "");
}

static void
test_a_process_has_it (void)
{
  static const char *const numbers[] = {"240:" NIC_GROUP, "241:" NIC_GROUP};

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++) {
    g_autoptr (Fixture) f = stage_new ();
    if (!fake_add_process (f->k, "812", "qemu-system-x86\n", numbers[i]))
      return;
    assert_probe_fails (f, VV_ERROR_REFUSED,
                        NIC ": IOMMU group " NIC_GROUP " is in use by qemu-system-x86 (pid 812); *");
    put_on (f, VV_GENERIC_DRIVER, VV_GENERIC_DRIVER);
    assert_probe_fails (f, VV_ERROR_REFUSED, NIC ": IOMMU group " NIC_GROUP " is in use by *");
    g_assert_cmpstr (kernel.done->str, ==, "");
  }
}

/* By iommufd, a process opens a device and not the group. */
static void
test_a_process_has_another_of_the_group (void)
{
  g_autoptr (Fixture) f = stage_new ();
  g_autofree char *folder = fake_device_path (PEER, "vfio-dev");
  g_autofree char *dev = g_build_filename (folder, "vfio77", "dev", NULL);
  g_autofree char *target = g_strconcat ("../../", folder + strlen ("sys/"), "/vfio77", NULL);

  fake_add_device (f->k, PEER, NIC_MODALIAS, NIC_GROUP, "mlx5_vfio_pci");
  fake_remove (f->k, folder);
  fake_write (f->k, dev, "241:77\n");
  fake_link (f->k, "sys/class/vfio-dev/vfio77", target);
  assert_probe (f, "stop-copy p2p pre-copy dma-logging");
  if (!fake_add_process (f->k, "812", "qemu-system-x86\n", "241:77"))
    return;
  fake_write_device (f->k, PEER, "enable", "1\n"); /* by the kernel at open */
  g_string_truncate (kernel.done, 0);
  assert_probe_fails (f, VV_ERROR_REFUSED, NIC ": IOMMU group " NIC_GROUP " is in use by qemu-system-x86*");
  g_assert_cmpstr (kernel.done->str, ==, "");
}

/* --- migration in QEMU --- */

#define NOTHING_LOGS "has no DMA logging, and neither the IOMMU nor this kernel tracks dirty pages for it"

#define NO VV_ANSWER_NO
#define YES VV_ANSWER_YES
static const struct {
  const char *says;
  VvMigration m;
  VvMigrationUse use;
  VvMigratability verdict;
  const char *why;
} judged[] = {
    {"no stop-copy", {0}, {0}, VV_MIGRATION_NO, "does not support migration"},
    {"DMA logging does for any domain", {TRUE, FALSE, FALSE, TRUE, NO}, {0}, VV_MIGRATION_YES, NULL},
    {"also without iommufd", {TRUE, FALSE, FALSE, TRUE, NO}, {NO, FALSE}, VV_MIGRATION_YES, NULL},
    {"several need P2P", {TRUE, FALSE, TRUE, TRUE, YES}, {YES, TRUE}, VV_MIGRATION_NO, "has no P2P state, *"},
    {"several with P2P", {TRUE, TRUE, FALSE, TRUE, 0}, {NO, TRUE}, VV_MIGRATION_YES, NULL},
    {"P2P alone is not enough",
     {TRUE, TRUE, TRUE, FALSE, 0},
     {NO, TRUE},
     VV_MIGRATION_NO,
     "has no DMA logging, and without iommufd *<driver iommufd='yes'/> (libvirt 12.1, QEMU 9.1)"},
    {"nothing logs, with iommufd",
     {TRUE, TRUE, TRUE, FALSE, NO},
     {YES, FALSE},
     VV_MIGRATION_NO,
     NOTHING_LOGS},
    {"nothing logs, without", {TRUE, TRUE, TRUE, FALSE, NO}, {NO, FALSE}, VV_MIGRATION_NO, NOTHING_LOGS},
    {"nothing logs, whatever the domain", {TRUE, TRUE, TRUE, FALSE, NO}, {0}, VV_MIGRATION_NO, NOTHING_LOGS},
    {"the IOMMU logs, with iommufd", {TRUE, FALSE, FALSE, FALSE, YES}, {YES, FALSE}, VV_MIGRATION_YES, NULL},
    {"the IOMMU logs, without",
     {TRUE, FALSE, FALSE, FALSE, YES},
     {NO, FALSE},
     VV_MIGRATION_NO,
     "*without iommufd*"},
    {"the IOMMU logs, no domain is known",
     {TRUE, FALSE, FALSE, FALSE, YES},
     {0},
     VV_MIGRATION_UNKNOWN,
     "has no DMA logging: migration works only with <driver iommufd='yes'/> *"},
    {"whether it logs is not known",
     {TRUE, FALSE, FALSE, FALSE, 0},
     {YES, FALSE},
     VV_MIGRATION_UNKNOWN,
     "has no DMA logging, and whether the IOMMU tracks dirty pages is unknown"},
    {"nothing is known of both",
     {TRUE, FALSE, FALSE, FALSE, 0},
     {0},
     VV_MIGRATION_UNKNOWN,
     "has no DMA logging: migration works only *"},
};

static void
test_judge (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (judged); i++) {
    const char *why = "";
    g_test_message ("%s", judged[i].says);
    g_assert_cmpint (vv_migration_judge (&judged[i].m, &judged[i].use, &why), ==, judged[i].verdict);
    g_assert_cmpint (vv_migration_judge (&judged[i].m, &judged[i].use, NULL), ==, judged[i].verdict);
    if (judged[i].why)
      fake_assert_matches (why, judged[i].why);
    else
      g_assert_null (why);
  }
}

/* --- recorded answers --- */

#define NOTE "run/vfio-variant/migration-mlx5_vfio_pci-" NIC_MODALIAS

static void
assert_known (const Fixture *f, const char *driver, const char *modalias, VvMigratability expected)
{
  VvMigration m = {TRUE, TRUE, TRUE, TRUE, VV_ANSWER_YES};

  g_assert_cmpint (vv_migration_known (f->s->store, driver, modalias, &m), ==, expected);
  g_assert_cmpint (vv_migration_known (f->s->store, driver, modalias, NULL), ==, expected);
  if (expected != VV_MIGRATION_YES)
    assert_answer (&m, "");
}

static void
store (const Fixture *f, const VvMigration *m)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (vv_migration_store (f->s->store, "mlx5_vfio_pci", NIC_MODALIAS, m, &error));
  g_assert_no_error (error);
}

static void
test_what_is_noted_is_known (void)
{
  g_autoptr (Fixture) f = stage_new ();

  assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  for (guint bits = 0; bits < 24; bits++) {
    const VvMigration m = {TRUE, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (VvAnswer)(bits / 8)};
    VvMigration read = {0};
    store (f, &m);
    g_assert_cmpint (vv_migration_known (f->s->store, "mlx5_vfio_pci", NIC_MODALIAS, &read), ==,
                     VV_MIGRATION_YES);
    g_assert_cmpmem (&read, sizeof read, &m, sizeof m);
  }
  assert_known (f, "special-vfio", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  assert_known (f, "mlx5_vfio_pci", DISK_MODALIAS, VV_MIGRATION_UNKNOWN);
  store (f, &(const VvMigration){0});
  assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_NO);

  g_autoptr (GPtrArray) addresses = vv_state_store_addresses (f->s->store);
  g_assert_cmpuint (addresses->len, ==, 0);
}

static void
test_known_without_a_note (void)
{
  g_autoptr (Fixture) f = stage_new ();

  assert_known (f, VV_GENERIC_DRIVER, NIC_MODALIAS, VV_MIGRATION_NO);
  assert_known (f, NULL, NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  assert_known (f, "", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  fake_write (f->k, "run/x", "[migration]\n");
  assert_known (f, "../x", "", VV_MIGRATION_UNKNOWN);
  assert_known (f, "x", "/../../x", VV_MIGRATION_UNKNOWN);

  fake_remove (f->k, "run/vfio-variant");
  g_autoptr (VvStateStore) empty = vv_state_store_open (f->s->host, FALSE, NULL);
  g_assert_cmpint (vv_migration_known (empty, "mlx5_vfio_pci", NIC_MODALIAS, NULL), ==, VV_MIGRATION_UNKNOWN);
}

/* Answers recorded by an older version do not cover the IOMMU. */
static void
test_a_note_without_the_iommu (void)
{
  g_autoptr (Fixture) f = stage_new ();
  const VvMigrationUse use = {.iommufd = VV_ANSWER_YES};
  const VvMigration m = {.stop_copy = TRUE, .iommu_logging = VV_ANSWER_YES};
  const char *why = NULL;

  store (f, &m);
  g_assert_cmpint (vv_migration_foresee (f->s->store, "mlx5_vfio_pci", NIC_MODALIAS, &use, &why), ==,
                   VV_MIGRATION_YES);
  g_autofree char *note = fake_read (f->k, NOTE);
  g_auto (GStrv) parts = g_strsplit (note, "iommu-logging=true", 2);
  g_autofree char *older = g_strjoinv ("", parts);
  g_assert_cmpstr (older, !=, note);
  fake_write (f->k, NOTE, older);
  g_assert_cmpint (vv_migration_foresee (f->s->store, "mlx5_vfio_pci", NIC_MODALIAS, &use, &why), ==,
                   VV_MIGRATION_UNKNOWN);
  fake_assert_matches (why, "*whether the IOMMU tracks dirty pages is unknown");
  g_assert_cmpint (vv_migration_foresee (f->s->store, "special-vfio", NIC_MODALIAS, &use, &why), ==,
                   VV_MIGRATION_UNKNOWN);
  g_assert_cmpstr (why, ==, "has not been queried yet");
  g_assert_cmpint (vv_migration_foresee (f->s->store, VV_GENERIC_DRIVER, NIC_MODALIAS, NULL, &why), ==,
                   VV_MIGRATION_NO);
  g_assert_cmpstr (why, ==, "does not support migration");
}

static void
test_damaged_notes (void)
{
  g_autoptr (Fixture) f = stage_new ();
  const VvMigration m = {TRUE, TRUE, TRUE, TRUE, VV_ANSWER_NO};

  store (f, &m);
  g_autofree char *good = fake_read (f->k, NOTE);
  const char *const cuts[] = {
      "driver=", "modalias=", "stop-copy=", "p2p=", "pre-copy=", "dma-logging=", "[migration]"};
  for (gsize i = 0; i < G_N_ELEMENTS (cuts); i++) {
    g_auto (GStrv) parts = g_strsplit (good, cuts[i], 2);
    g_autofree char *damaged = g_strjoinv ("x", parts);
    fake_write (f->k, NOTE, damaged);
    assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  }
  const char *const flags[] = {"true", "false"}; /* stop-copy, iommu-logging */
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++) {
    g_auto (GStrv) halves = g_strsplit (good, flags[i], 2);
    g_autofree char *maybe = g_strjoinv ("perhaps", halves);
    fake_write (f->k, NOTE, maybe);
    assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  }
  g_autofree char *long_one = g_strdup_printf ("%s#%*s", good, VV_NOTE_LIMIT, "");
  fake_write (f->k, NOTE, long_one);
  assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  fake_write (f->k, NOTE, "");
  assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_UNKNOWN);
  fake_write (f->k, NOTE, good);
  assert_known (f, "mlx5_vfio_pci", NIC_MODALIAS, VV_MIGRATION_YES);
}

static void
test_what_cannot_be_recorded (void)
{
  static const struct {
    const char *driver, *modalias;
  } cases[] = {{"../x", NIC_MODALIAS}, {"", NIC_MODALIAS}, {"x", "a/b"}, {"x", ""}};
  g_autoptr (Fixture) f = stage_new ();
  const VvMigration m = {0};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_false (vv_migration_store (f->s->store, cases[i].driver, cases[i].modalias, &m, &error));
    fake_assert_error (error, VV_ERROR_INVALID, "the driver name or the modalias is missing");
  }
  g_autofree char *endless = g_strnfill (128, 'x');
  g_autoptr (GError) too_long = NULL;
  g_assert_false (vv_migration_store (f->s->store, "x", endless, &m, &too_long));
  fake_assert_error (too_long, VV_ERROR_INVALID, "*");

  g_autoptr (GError) full = NULL;
  f->k->journal_full = TRUE;
  g_assert_false (vv_migration_store (f->s->store, "x", NIC_MODALIAS, &m, &full));
  fake_assert_error (full, VV_ERROR_FAILED, "*No space left*");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/migration/probe/group", test_group);
  g_test_add_func ("/migration/probe/group-with-an-old-type-1", test_group_with_an_old_type_1);
  g_test_add_func ("/migration/probe/iommufd", test_iommufd);
  g_test_add_func ("/migration/probe/half-an-iommufd", test_half_an_iommufd);
  g_test_add_func ("/migration/probe/fall-back-to-the-group", test_fall_back_to_the_group);
  g_test_add_func ("/migration/probe/no-fall-back", test_no_fall_back);
  g_test_add_func ("/migration/probe/what-the-iommu-tracks", test_what_the_iommu_tracks);
  g_test_add_func ("/migration/probe/an-iommu-that-is-not-asked", test_an_iommu_that_is_not_asked);
  g_test_add_func ("/migration/probe/announcements", test_announcements);
  g_test_add_func ("/migration/probe/generic-driver-is-not-asked", test_the_generic_driver_is_not_asked);
  g_test_add_func ("/migration/probe/a-kernel-before-6.1", test_a_kernel_before_6_1);
  g_test_add_func ("/migration/failure/each-request", test_each_request_fails);
  g_test_add_func ("/migration/failure/interrupts-are-not-remapped", test_interrupts_are_not_remapped);
  g_test_add_func ("/migration/failure/dma-logging-is-not-told", test_dma_logging_is_not_told);
  g_test_add_func ("/migration/failure/a-node-does-not-open", test_a_node_does_not_open);
  g_test_add_func ("/migration/failure/other-interfaces", test_other_interfaces);
  g_test_add_func ("/migration/refused/not-viable", test_not_viable);
  g_test_add_func ("/migration/refused/not-on-vfio", test_not_on_vfio);
  g_test_add_func ("/migration/refused/no-iommu", test_no_iommu);
  g_test_add_func ("/migration/refused/a-process-has-it", test_a_process_has_it);
  g_test_add_func ("/migration/refused/a-process-has-another-of-the-group",
                   test_a_process_has_another_of_the_group);
  g_test_add_func ("/migration/notes/what-is-recorded-is-known", test_what_is_noted_is_known);
  g_test_add_func ("/migration/notes/known-without-a-note", test_known_without_a_note);
  g_test_add_func ("/migration/notes/without-the-iommu", test_a_note_without_the_iommu);
  g_test_add_func ("/migration/notes/damaged", test_damaged_notes);
  g_test_add_func ("/migration/judge", test_judge);
  g_test_add_func ("/migration/notes/what-cannot-be-recorded", test_what_cannot_be_recorded);
  return g_test_run ();
}
