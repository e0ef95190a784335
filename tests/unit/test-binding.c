/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of binding: detach and reattach as transactions (rules R4, R5, R8), with a driver core that reacts to
 * every write. test-crash.c tests interruptions.
 */
#include "binding.h"

#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "counters.h"

static void
assert_steps (const Fixture *f, const VvChange *change, const char *expected)
{
  g_autofree char *sys = g_strconcat (f->k->root, "/sys/bus/pci/", NULL);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < change->steps->len; i++)
    g_string_append_printf (text, "%s\n", (char *)change->steps->pdata[i]);
  g_auto (GStrv) parts = g_strsplit (text->str, sys, -1);
  g_autofree char *relative = g_strjoinv ("", parts);
  g_assert_cmpstr (relative, ==, expected);
}

/* --- detach --- */

static void
test_detach_takes_the_best (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvChange) change = well_detached (f);

  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
  g_assert_cmpstr (change->device, ==, NIC);
  g_assert_cmpint (change->operation, ==, VV_DETACH);
  g_assert_cmpstr (change->from, ==, "mlx5_core");
  g_assert_cmpstr (change->to, ==, "special-vfio");
  g_assert_cmpstr (change->alias, ==, "vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i*");
  g_assert_cmpuint (change->wildcards, ==, 3);
  g_assert_cmpstr (change->source, ==, "modules.alias");
  fake_assert_matches (change->why, "vfio_pci:*, 3 wildcards, modules.alias");
  g_assert_cmpuint (change->attempts->len, ==, 0);
  g_assert_true (change->changed);
  g_assert_cmpint (change->usec, >=, 0);
  assert_steps (f, change,
                "modprobe special_vfio_pci\n"
                "echo special-vfio > devices/" NIC "/driver_override\n"
                "echo " NIC " > drivers/mlx5_core/unbind\n"
                "echo " NIC " > drivers/special-vfio/bind\n");
}

static void
test_detach_records_host_driver (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  set_override (f, "mlx5_core");
  must_detach_nic (f);
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpstr (entry->modalias, ==, NIC_MODALIAS);
  g_assert_cmpint (entry->state, ==, VV_STATE_DETACHED);
  g_assert_true (entry->host_known);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
  g_assert_cmpstr (entry->host.module, ==, "mlx5_core");
  g_assert_cmpstr (entry->host.override, ==, "mlx5_core");
  g_assert_cmpstr (entry->vfio_driver, ==, "special-vfio");
  g_assert_false (entry->pinned || entry->in_use);
  g_assert_null (entry->domain);
}

static void
test_host_is_written_down_before_anything_changes (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *before = fake_snapshot (f->k);

  f->k->journal_full = TRUE;
  g_assert_null (detach_nic (f, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     NIC ": nothing was changed: cannot write its state file: *: write: "
                         "No space left on device");
  fake_assert_unchanged (f->k, before);
  g_assert_cmpuint (f->k->steps, ==, 1);
}

static void
test_no_entry_is_left_in_memory_either (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  f->k->journal_full = TRUE;
  g_assert_false (vv_binding_detach (b, selection, NULL));
  g_assert_null (b->entry);
}

/* A failure of the best candidate, and its report */
typedef struct {
  const char *says;
  FakeDriver knobs;
  guint failing_step; /* or 0 */
  const char *step;
  const char *problem;
} Failure;

static const Failure failures[] = {
    {"the module does not load", {.load_errno = EKEYREJECTED}, 0, "load", "module special_vfio_pci cannot *"},
    {"the module has no driver",
     {.nameless = TRUE},
     0,
     "driver",
     "module special_vfio_pci registers no PCI driver"},
    {"the override is refused", {0}, 3, "override", "*/driver_override: write: Input/output error"},
    {"the unbind is refused", {0}, 4, "unbind", "*/mlx5_core/unbind: write: Input/output error"},
    {"the probe fails",
     {.probe_errno = EOPNOTSUPP},
     0,
     "bind",
     "*/special-vfio/bind: write: Operation not supported"},
    {"the bind does nothing",
     {.silent = TRUE},
     0,
     "bind",
     "the kernel accepted the bind to special-vfio, but the device is on no driver"},
    {"no VFIO device is made",
     {.no_vfio_dev = TRUE},
     0,
     "verify",
     "special-vfio bound the device but did not create a VFIO device"},
};

static void
make_fail (Fixture *f, const Failure *failure)
{
  FakeDriver *d = fake_driver (f->k, "special-vfio");

  d->load_errno = failure->knobs.load_errno;
  d->nameless = failure->knobs.nameless;
  d->probe_errno = failure->knobs.probe_errno;
  d->silent = failure->knobs.silent;
  d->no_vfio_dev = failure->knobs.no_vfio_dev;
  if (failure->failing_step)
    fake_fault (f->k, FAKE_FAIL, failure->failing_step, EIO);
}

static void
test_detach_falls_back (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++) {
    g_test_message ("%s", failures[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    make_fail (f, &failures[i]);
    g_autoptr (VvChange) change = well_detached (f);
    fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
    g_assert_cmpuint (change->attempts->len, ==, 1);
    const VvAttempt *attempt = change->attempts->pdata[0];
    g_assert_cmpstr (attempt->module, ==, "special_vfio_pci");
    g_assert_cmpstr (attempt->step, ==, failures[i].step);
    fake_assert_matches (attempt->problem, failures[i].problem);
    g_assert_cmpstr (change->to, ==, "mlx5_vfio_pci");
    g_assert_cmpuint (change->wildcards, ==, 5);
  }
}

/* The same, starting on vfio-pci, where libvirt put the device; only vfio-pci is left */
static void
test_detach_falls_back_to_where_it_was (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++) {
    g_test_message ("%s", failures[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    put_on (f, "vfio-pci", "vfio-pci");
    fake_driver (f->k, "mlx5_vfio_pci")->load_errno = ENOENT;
    make_fail (f, &failures[i]);
    g_autoptr (VvChange) change = well_detached (f);
    fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
    g_assert_cmpuint (change->attempts->len, ==, 2);
    g_assert_cmpstr (change->to, ==, "vfio-pci");
    g_assert_false (change->changed);
  }
}

static void
test_rollback_is_exact (void)
{
  static const struct {
    const char *driver, *override;
  } host_states[] = {
      {"mlx5_core", "(null)"},
      {"mlx5_core", "mlx5_core"},
      {"mlx5_core", "not_mlx5_core"}, /* written after the bind: takes effect at the next bind */
      {NULL, "(null)"},
      {NULL, "nothing_binds_this"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (host_states); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fail_all_vfio (f, EINVAL);
    put_on (f, host_states[i].driver, host_states[i].override);
    set_override (f, host_states[i].override);
    g_autofree char *before = fake_snapshot (f->k);
    g_assert_null (detach_nic (f, &error));
    fake_assert_unchanged (f->k, before);
    assert_no_entry (f);
  }
}

static void
test_failed_detach_says_everything (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  fail_all_vfio (f, EINVAL);
  fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = ENOMEM;
  g_assert_null (detach_nic (f, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     NIC
                     ": no VFIO driver could be bound, returned to mlx5_core: "
                     "special_vfio_pci failed at bind (*/special-vfio/bind: write: Invalid argument); "
                     "mlx5_vfio_pci failed at bind (*/mlx5_vfio_pci/bind: write: Cannot allocate memory); "
                     "vfio_pci failed at bind (*/vfio-pci/bind: write: Invalid argument)");
}

static void
test_rollback_keeps_the_former_entry (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  fail_all_vfio (f, EINVAL);
  vv_binding_note (b);
  vv_entry_set_domain (b->entry, "vm1", "6695eb01");
  g_assert_true (vv_binding_save (b, NULL));
  g_autofree char *before = fake_snapshot (f->k);
  g_assert_false (vv_binding_detach (b, selection, &error));
  fake_assert_unchanged (f->k, before);
  g_assert_cmpint (b->entry->state, ==, VV_STATE_RECORDED);
}

static void
test_no_candidate (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);
  g_autoptr (GError) error = NULL;

  g_ptr_array_set_size (selection->candidates, 1);
  vv_choice_exclude (selection, selection->candidates->pdata[0], "nobody may have it");
  g_assert_false (vv_binding_detach (b, selection, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     NIC ": *returned to mlx5_core: special_vfio_pci (nobody may have it)");
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

/* The host driver fails as well: the error tells how to try again. */
static void
test_rollback_that_fails (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  fail_all_vfio (f, EINVAL);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  g_assert_null (detach_nic (f, &error));
  fake_assert_error (
      error, VV_ERROR_FAILED,
      NIC ": no VFIO driver could be bound: special_vfio_pci failed *; returning it to mlx5_core failed: "
          "*/mlx5_core/bind: write: Input/output error; the state file is kept: 'vfio-variant restore " NIC
          "' tries again");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpint (entry->state, ==, VV_STATE_DETACHING);
  fake_driver (f->k, "mlx5_core")->probe_errno = 0;
  g_autoptr (VvBinding) b = open_nic (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_kernel_before_6_1 (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_remove (f->k, "sys/class/vfio-dev");
  must_detach_nic (f);
  fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
}

static void
test_already_on_the_best (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  must_detach_nic (f);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) change = well_detached (f);
  g_assert_false (change->changed);
  g_assert_cmpstr (change->why, ==, "already on the best driver");
  g_assert_cmpstr (change->to, ==, "special-vfio");
  g_assert_cmpuint (change->steps->len, ==, 0);
  fake_assert_unchanged (f->k, before);
}

static void
test_already_on_the_best_without_us (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_register (f->k, "special-vfio");
  put_on (f, "special-vfio", "special-vfio");
  g_autoptr (VvChange) change = well_detached (f);
  g_assert_false (change->changed);
  g_assert_cmpuint (f->k->steps, ==, 0);
  assert_no_entry (f); /* the host driver is unknown and not guessed */
}

/* The best driver is bound, but made no VFIO device: detach binds the next candidate. */
static void
test_best_that_does_not_work_is_left (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_register (f->k, "special-vfio");
  fake_driver (f->k, "special-vfio")->no_vfio_dev = TRUE;
  put_on (f, "special-vfio", "special-vfio");
  g_autoptr (VvChange) change = well_detached (f);
  fake_assert_device (f->k, NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");
}

static void
test_vendor_device_is_left_alone (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  fake_add_driver (f->k, "nvidia", "nvidia", NULL, TRUE);
  fake_register (f->k, "nvidia");
  put_on (f, "nvidia", "(null)");
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvChange) change = well_detached (f);
  g_assert_false (change->changed);
  g_assert_cmpstr (change->why, ==, "already a VFIO device on nvidia; left alone");
  fake_assert_unchanged (f->k, before);
}

/* A variant driver that is blacklisted now, or named in the state file, is not a vendor's own driver. */
static void
test_known_vfio_drivers_are_no_vendor (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvChoice) only_generic = select_nic (f);

  must_detach_nic (f);
  g_assert_true (vv_choice_force (only_generic, "vfio-pci", NULL));
  g_autoptr (GError) error = NULL;
  g_autoptr (VvBinding) b = open_nic (f);
  vv_binding_detach (b, only_generic, &error);
  g_assert_no_error (error);
  const VvChange *change = b->change;
  g_assert_cmpstr (change->why, ==, "requested by name");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
}

static void
test_default_generic_driver_is_explained (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (GError) error = NULL;

  fake_write (f->k, "lib/modules/" FAKE_RELEASE "/modules.alias", "");
  g_autoptr (VvCatalog) catalog = vv_catalog_new (f->s->host, f->s->modules, "vfio");
  g_autoptr (VvChoice) selection = vv_catalog_select (catalog, NIC_MODALIAS, NULL);
  vv_binding_detach (b, selection, &error);
  g_assert_no_error (error);
  const VvChange *change = b->change;
  g_assert_cmpstr (change->to, ==, "vfio-pci");
  g_assert_cmpstr (change->why, ==, "generic driver; no alias matches");
}

static void
test_device_in_use_is_refused (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  put_on (f, "vfio-pci", "vfio-pci");
  if (!fake_add_process (f->k, "812", "qemu-system-x86", "240:" NIC_GROUP))
    return;
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (GError) detaching = NULL;
  g_autoptr (GError) reattaching = NULL;
  g_assert_null (detach_nic (f, &detaching));
  g_assert_null (reattach_nic (f, &reattaching));
  fake_assert_error (detaching, VV_ERROR_REFUSED,
                     NIC ": IOMMU group " NIC_GROUP " is in use by qemu-system-x86 (pid 812); shut *");
  fake_assert_error (reattaching, VV_ERROR_REFUSED, "*is in use by*");
  fake_assert_unchanged (f->k, before);
}

static void
test_dry_run (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvBinding) b = open_nic_as (f, TRUE);
  g_autoptr (VvChoice) selection = select_nic (f);

  vv_binding_detach (b, selection, &error);
  g_assert_no_error (error);
  const VvChange *change = b->change;
  fake_assert_unchanged (f->k, before);
  g_assert_cmpuint (f->k->steps, ==, 0);
  assert_steps (f, change,
                "modprobe special_vfio_pci\n" /* its driver's name is unknown yet: the shell looks it up */
                "driver=$(ls /sys/module/special_vfio_pci/drivers | sed -n 's/^pci://p')\n"
                "echo $driver > devices/" NIC "/driver_override\n"
                "echo " NIC " > drivers/mlx5_core/unbind\n"
                "echo " NIC " > drivers/$driver/bind\n");
  g_assert_null (change->to);
}

static void
test_dry_run_back (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  must_detach_nic (f);
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  g_autofree char *before = fake_snapshot (f->k);
  g_autoptr (VvBinding) b = open_nic_as (f, TRUE);
  vv_binding_reattach (b, &error);
  g_assert_no_error (error);
  const VvChange *change = b->change;
  fake_assert_unchanged (f->k, before);
  g_assert_cmpuint (f->k->steps, ==, 0);
  assert_steps (f, change,
                "echo " NIC " > drivers/special-vfio/unbind\n"
                "echo > devices/" NIC "/driver_override\n"
                "echo " NIC " > drivers/mlx5_core/bind\n");
}

/* --- open --- */

static void
test_entry_of_another_device_is_dropped (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  must_detach_nic (f);
  fake_remove_device (f->k, NIC);
  fake_add_device (f->k, NIC, DISK_MODALIAS, NIC_GROUP, "nvme");
  g_autoptr (VvBinding) looking = open_nic_as (f, TRUE);
  g_assert_null (looking->entry);
  g_assert_true (fake_exists (f->k, ENTRY)); /* reading changes nothing */
  g_autoptr (VvBinding) b = open_nic (f);
  g_assert_null (b->entry);
  assert_no_entry (f);
  fake_assert_device (f->k, NIC, "nvme", NULL);
}

static void
test_damaged_entry_is_said (void)
{
  static const char *const damaged[] = {
      "",
      "[device]\n",
      "garbage",
      "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS "\nstate=flying\n",
      "[device]\naddress=" DISK "\nmodalias=" NIC_MODALIAS "\nstate=recorded\n",
      "[device]\naddress=" NIC "\nstate=recorded\n",
      "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS
      "\nstate=detaching\nhost-known=true\nhost-driver=../../evil\n",
      "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS
      "\nstate=detaching\nhost-known=true\nhost-driver=..\n",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (damaged); i++) {
    g_test_message ("%s", damaged[i]);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fake_write (f->k, ENTRY, damaged[i]);
    g_autofree char *before = fake_snapshot (f->k);
    g_assert_null (vv_binding_open (f->s, NIC, FALSE, &error));
    fake_assert_error (error, VV_ERROR_FAILED,
                       "cannot read */" ENTRY " as a state file (*): the former driver of the device is "
                       "unknown; remove that file and run 'vfio-variant restore " NIC "' *");
    fake_assert_unchanged (f->k, before);
  }
}

/* The value must not be read as "none": that would leave the device without a driver. */
static void
test_a_damaged_host_is_not_guessed_at (void)
{
  static const char text[] = "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS
                             "\nstate=detached\nhost-known=true\nhost-driver=\xffvme\nvfio-driver=vfio-pci\n";
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  put_on (f, "vfio-pci", "vfio-pci");
  fake_write_bytes (f->k, ENTRY, text, sizeof text - 1);
  g_assert_null (vv_binding_open (f->s, NIC, FALSE, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     "*/" ENTRY " *(invalid value of host-driver): *remove that file*");
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  fake_remove (f->k, ENTRY); /* the documented remedy */
  g_autoptr (VvChange) change = reattach_nic (f, NULL);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_no_such_device (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  g_assert_null (vv_binding_open (f->s, "0000:ff:1f.7", FALSE, &error));
  fake_assert_error (error, VV_ERROR_NO_DEVICE, "0000:ff:1f.7: no such PCI device*");
}

/* The device vanishes between open and detach. */
static void
test_device_gone_since_it_was_opened (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);
  g_autoptr (GError) detaching = NULL;
  g_autoptr (GError) reattaching = NULL;

  fake_remove_device (f->k, NIC);
  g_assert_false (vv_binding_detach (b, selection, &detaching));
  g_assert_false (vv_binding_reattach (b, &reattaching));
  g_assert_error (detaching, VV_ERROR, VV_ERROR_NO_DEVICE);
  g_assert_error (reattaching, VV_ERROR, VV_ERROR_NO_DEVICE);
  assert_no_entry (f);
}

/* --- reattach --- */

static void
test_reattach_is_exact (void)
{
  static const struct {
    const char *driver, *override;
  } host_states[] = {
      {"mlx5_core", "(null)"}, {"mlx5_core", "mlx5_core"},   {"mlx5_core", "not_mlx5_core"},
      {NULL, "(null)"},        {NULL, "nothing_binds_this"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (host_states); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, "special-vfio");
    put_on (f, host_states[i].driver, host_states[i].override);
    g_autofree char *before = fake_snapshot (f->k);
    must_detach_nic (f);
    fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
    g_autoptr (VvChange) change = well_reattached (f);
    fake_assert_unchanged (f->k, before);
    g_assert_cmpstr (change->from, ==, "special-vfio");
    g_assert_cmpstr (change->to, ==, host_states[i].driver);
    g_assert_cmpstr (change->why, ==, "as recorded in its state file");
    g_assert_true (change->changed);
  }
}

static void
test_reattach_loads_the_host_module (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  must_detach_nic (f);
  fake_unregister (f->k, "mlx5_core");
  g_autoptr (VvChange) change = well_reattached (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
  assert_steps (f, change,
                "modprobe mlx5_core\n"
                "echo " NIC " > drivers/special-vfio/unbind\n"
                "echo > devices/" NIC "/driver_override\n"
                "echo " NIC " > drivers/mlx5_core/bind\n");
}

/* While it loads, the host driver binds every matching device without a driver: that is the reattach. */
static void
test_reattach_of_a_free_device_loads_the_host_module (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  must_detach_nic (f);
  fake_unregister (f->k, "mlx5_core");
  put_on (f, NULL, "(null)"); /* libvirt's own reattach found no driver */
  g_autoptr (VvChange) change = well_reattached (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

static void
test_reattach_on_host_driver (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  must_detach_nic (f);
  put_on (f, "mlx5_core", "(null)"); /* libvirt reattached it before */
  fake_fault (f->k, FAKE_NO_FAULT, 0, 0);
  g_autoptr (VvBinding) b = open_nic (f);
  g_assert_true (vv_binding_is_restored (b));
  vv_binding_reattach (b, &error);
  g_assert_no_error (error);
  const VvChange *change = b->change;
  g_assert_false (change->changed);
  g_assert_cmpstr (change->why, ==, "already on its host driver");
  g_assert_cmpuint (change->steps->len, ==, 0);
  assert_no_entry (f);
  g_assert_false (vv_binding_is_restored (b)); /* without a state file, the host driver is unknown */
}

static void
test_reattach_mends_the_override_only (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  set_override (f, "mlx5_core");
  must_detach_nic (f);
  put_on (f, "mlx5_core", "(null)"); /* libvirt's reattach clears the administrator's override */
  g_autoptr (VvChange) change = well_reattached (f);
  fake_assert_device (f->k, NIC, "mlx5_core", "mlx5_core");
  assert_steps (f, change, "echo mlx5_core > devices/" NIC "/driver_override\n");
}

static void
test_host_that_is_gone (void)
{
  static const struct {
    const char *says;
    int load_errno, probe_errno;
    const char *problem;
  } cases[] = {
      {"no module", ENOENT, 0, "module mlx5_core cannot be loaded: No such file or directory"},
      {"its probe fails", 0, ETIMEDOUT, "*/mlx5_core/bind: write: Connection timed out"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    must_detach_nic (f);
    if (cases[i].load_errno)
      fake_unregister (f->k, "mlx5_core");
    fake_driver (f->k, "mlx5_core")->load_errno = cases[i].load_errno;
    fake_driver (f->k, "mlx5_core")->probe_errno = cases[i].probe_errno;
    g_assert_null (reattach_nic (f, &error));
    g_autofree char *pattern = g_strdup_printf (
        NIC ": cannot return to mlx5_core: %s; it is now on special-vfio; the state file is kept: "
            "fix the cause and run 'vfio-variant restore " NIC "'",
        cases[i].problem);
    fake_assert_error (error, VV_ERROR_FAILED, pattern);
    fake_assert_device (f->k, NIC, "special-vfio", "special-vfio");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpint (entry->state, ==, VV_STATE_DETACHED);
    g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
    g_assert_cmpstr (entry->vfio_driver, ==, "special-vfio");
  }
}

static void
test_nowhere_to_go (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  must_detach_nic (f);
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  fake_driver (f->k, "special-vfio")->probe_errno = ENOMEM;
  g_assert_null (reattach_nic (f, &error));
  fake_assert_error (error, VV_ERROR_FAILED,
                     "*mlx5_core/bind: write: Input/output error; it is now on no driver: "
                     "*special-vfio/bind: write: Cannot allocate memory; the state file is kept*");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_cmpstr (entry->host.driver, ==, "mlx5_core");
}

static void
test_full_run_keeps_nobody_from_the_host (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  must_detach_nic (f);
  f->k->journal_full = TRUE;
  g_autoptr (VvChange) change = well_reattached (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
}

static void
test_reattach_without_an_entry (void)
{
  static const struct {
    const char *says, *driver, *override, *to, *why;
    gboolean changed;
  } cases[] = {
      {"by hand on vfio-pci", "vfio-pci", "vfio-pci", "mlx5_core",
       "no state file: driver_override cleared, the kernel chose a driver", TRUE},
      {"on vfio-pci by id", "vfio-pci", "(null)", "mlx5_core",
       "no state file: driver_override cleared, the kernel chose a driver", TRUE},
      {"on no driver", NULL, "vfio-pci", "mlx5_core",
       "no state file: driver_override cleared, the kernel chose a driver", TRUE},
      {"never sent away", "mlx5_core", "(null)", "mlx5_core",
       "nothing to restore: on mlx5_core without driver_override", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    put_on (f, cases[i].driver, cases[i].override);
    g_autoptr (VvChange) change = well_reattached (f);
    fake_assert_device (f->k, NIC, cases[i].to, NULL);
    g_assert_cmpstr (change->to, ==, cases[i].to);
    g_assert_cmpstr (change->why, ==, cases[i].why);
    g_assert_cmpint (change->changed, ==, cases[i].changed);
  }
}

static void
test_reattach_without_an_entry_may_fail (void)
{
  static const char *const problems[] = {"*/driver_override: write: Input/output error",
                                         "*/vfio-pci/unbind: write: Input/output error",
                                         "*/drivers_probe: write: Input/output error"};

  for (guint step = 1; step <= G_N_ELEMENTS (problems); step++) {
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    put_on (f, "vfio-pci", "vfio-pci");
    g_autofree char *before = fake_snapshot (f->k);
    fake_fault (f->k, FAKE_FAIL, step, EIO);
    g_assert_null (reattach_nic (f, &error));
    fake_assert_error (error, VV_ERROR_FAILED, problems[step - 1]);
    fake_assert_unchanged (f->k, before);
  }
}

static void
test_reattach_with_host_unknown (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);

  vv_binding_note (b);
  b->entry->host_known = FALSE;
  g_assert_true (vv_binding_save (b, NULL));
  g_assert_false (vv_binding_is_restored (b));
  put_on (f, "vfio-pci", "vfio-pci");
  g_clear_pointer (&b, vv_binding_free);
  g_autoptr (VvChange) change = well_reattached (f);
  fake_assert_device (f->k, NIC, "mlx5_core", NULL);
  assert_no_entry (f);
}

/* --- log --- */

static void
test_change_is_logged (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
  g_autoptr (VvChange) change = detach_nic (f, &error);
  fake_assert_logged (NIC ": detach: mlx5_core -> mlx5_vfio_pci: vfio_pci:*, 5 wildcards, modules.alias; "
                          "special_vfio_pci failed at bind (*: Invalid argument) (* us)");
  g_autoptr (VvChange) same = detach_nic (f, NULL); /* the best driver is tried again, and fails */
  fake_assert_logged (NIC ": detach: mlx5_vfio_pci -> mlx5_vfio_pci: *special_vfio_pci failed*");
  g_autoptr (VvChange) back = reattach_nic (f, NULL);
  fake_assert_logged (NIC ": reattach: mlx5_vfio_pci -> mlx5_core: as recorded in its state file (* us)");
  g_autoptr (VvChange) nothing = reattach_nic (f, NULL);
  fake_assert_log_empty ();
}

static void
test_change_knows_its_domain (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvChange) there = detach_nic (f, NULL);

  g_assert_cmpstr (there->domain, ==, NULL);
  g_assert_cmpstr (vv_change_outcome (there), ==, "done");
  g_autoptr (VvBinding) b = open_nic (f);
  vv_entry_set_domain (b->entry, "vm1", "77");
  g_assert_true (vv_binding_reattach (b, NULL));
  g_assert_cmpstr (b->change->domain, ==, "vm1");
}

static void
test_failed_change_is_recorded (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (VvBinding) b = open_nic (f);
  g_autoptr (VvChoice) selection = select_nic (f);

  g_assert_null (b->change); /* no rebind was begun */
  fail_all_vfio (f, EIO);
  g_assert_false (vv_binding_detach (b, selection, NULL));
  g_assert_cmpint (b->change->operation, ==, VV_DETACH);
  g_assert_cmpuint (b->change->attempts->len, ==, 3);
  fake_assert_error (b->change->problem, VV_ERROR_FAILED, NIC ": no VFIO driver could be bound, *");
}

static void
test_nothing_is_freed_twice (void)
{
  vv_binding_free (NULL);
  vv_change_free (NULL);
  vv_context_free (NULL);
  vv_choice_free (NULL);
  vv_catalog_free (NULL);
  vv_modules_free (NULL);
  vv_host_free (NULL);
  vv_state_store_free (NULL);
  vv_lock_free (NULL);
  vv_counters_free (NULL);
  vv_entry_free (NULL);
  vv_pci_device_free (NULL);
  vv_dir_free (NULL);
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/binding/detach/takes-the-best", test_detach_takes_the_best);
  g_test_add_func ("/binding/detach/records-host-driver", test_detach_records_host_driver);
  g_test_add_func ("/binding/detach/a-full-state-store-changes-nothing",
                   test_host_is_written_down_before_anything_changes);
  g_test_add_func ("/binding/detach/a-full-state-store-leaves-no-entry",
                   test_no_entry_is_left_in_memory_either);
  g_test_add_func ("/binding/detach/falls-back-from-every-failure", test_detach_falls_back);
  g_test_add_func ("/binding/detach/falls-back-to-where-it-was", test_detach_falls_back_to_where_it_was);
  g_test_add_func ("/binding/detach/rollback-is-exact", test_rollback_is_exact);
  g_test_add_func ("/binding/detach/the-error-says-everything", test_failed_detach_says_everything);
  g_test_add_func ("/binding/detach/rollback-keeps-the-former-entry", test_rollback_keeps_the_former_entry);
  g_test_add_func ("/binding/detach/no-candidate-is-allowed", test_no_candidate);
  g_test_add_func ("/binding/detach/a-rollback-may-fail", test_rollback_that_fails);
  g_test_add_func ("/binding/detach/a-kernel-before-6.1-has-no-vfio-dev", test_kernel_before_6_1);
  g_test_add_func ("/binding/detach/already-on-the-best", test_already_on_the_best);
  g_test_add_func ("/binding/detach/already-on-the-best-without-us", test_already_on_the_best_without_us);
  g_test_add_func ("/binding/detach/a-best-that-does-not-work-is-left", test_best_that_does_not_work_is_left);
  g_test_add_func ("/binding/detach/a-vendor-device-is-left-alone", test_vendor_device_is_left_alone);
  g_test_add_func ("/binding/detach/our-own-drivers-are-no-vendor", test_known_vfio_drivers_are_no_vendor);
  g_test_add_func ("/binding/detach/the-default-is-explained", test_default_generic_driver_is_explained);
  g_test_add_func ("/binding/in-use-is-refused", test_device_in_use_is_refused);
  g_test_add_func ("/binding/dry-run/detach", test_dry_run);
  g_test_add_func ("/binding/dry-run/reattach", test_dry_run_back);
  g_test_add_func ("/binding/open/entry-of-another-device-is-dropped",
                   test_entry_of_another_device_is_dropped);
  g_test_add_func ("/binding/open/a-damaged-entry-is-said", test_damaged_entry_is_said);
  g_test_add_func ("/binding/a-damaged-host-is-not-guessed-at", test_a_damaged_host_is_not_guessed_at);
  g_test_add_func ("/binding/open/no-such-device", test_no_such_device);
  g_test_add_func ("/binding/open/gone-since", test_device_gone_since_it_was_opened);
  g_test_add_func ("/binding/reattach/is-exact", test_reattach_is_exact);
  g_test_add_func ("/binding/reattach/loads-the-host-module", test_reattach_loads_the_host_module);
  g_test_add_func ("/binding/reattach/a-free-device-is-taken-by-the-loading-module",
                   test_reattach_of_a_free_device_loads_the_host_module);
  g_test_add_func ("/binding/reattach/already-on-host-driver", test_reattach_on_host_driver);
  g_test_add_func ("/binding/reattach/mends-the-override-only", test_reattach_mends_the_override_only);
  g_test_add_func ("/binding/reattach/host-is-gone", test_host_that_is_gone);
  g_test_add_func ("/binding/reattach/nowhere-to-go", test_nowhere_to_go);
  g_test_add_func ("/binding/reattach/a-full-state-store-keeps-nobody-from-home",
                   test_full_run_keeps_nobody_from_the_host);
  g_test_add_func ("/binding/reattach/without-an-entry", test_reattach_without_an_entry);
  g_test_add_func ("/binding/reattach/without-an-entry-may-fail", test_reattach_without_an_entry_may_fail);
  g_test_add_func ("/binding/reattach/with-host-unknown", test_reattach_with_host_unknown);
  g_test_add_func ("/binding/change-is-logged", test_change_is_logged);
  g_test_add_func ("/binding/a-change-knows-its-domain", test_change_knows_its_domain);
  g_test_add_func ("/binding/a-failed-change-is-kept", test_failed_change_is_recorded);
  g_test_add_func ("/binding/freeing-nothing-is-nothing", test_nothing_is_freed_twice);
  return g_test_run ();
}
