/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of hotplug: modules loaded in advance, decisions of the policy, and a domain that starts with the
 * device by iommufd.
 */
#include "hotplug-fixture.h"

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fake-migration.h"

/* --- modules loaded in advance --- */

static gboolean
is_loaded (const Fixture *f, const char *driver)
{
  g_autofree char *bind = g_build_filename ("sys/bus/pci/drivers", driver, "bind", NULL);

  return fake_exists (f->k, bind);
}

static void
prepare (const Fixture *f, const VvDriverState *before, guint libvirt)
{
  const VvHotplugRequest request = {NIC, *before, libvirt};
  g_autofree char *driver = fake_driver_of (f->k, NIC);

  g_assert_cmpint (vv_hotplug_prepare (f->s, &request), >=, 0);
  fake_assert_device (f->k, NIC, driver, NULL);
  assert_no_entry (f);
}

static void
test_prepare (void)
{
  static const struct {
    const char *says;
    const VvDriverState *before;
    guint libvirt;
    gboolean flr;
    const char *options; /* of a policy, or NULL */
    int special_errno;   /* of loading the best driver's module */
    const char *loads;   /* a driver, or NULL */
  } cases[] = {
      {"the best is going to be needed", &host_driver, DEBIAN_12, TRUE, NULL, 0, "special-vfio"},
      {"also from no driver", &driverless, DEBIAN_12, TRUE, NULL, 0, "special-vfio"},
      {"9.7 needs no FLR", &host_driver, BY_NAME, FALSE, NULL, 0, "special-vfio"},
      {"9.0 does", &host_driver, DEBIAN_12, FALSE, NULL, 0, NULL},
      {"10.0 has loaded its choice", &host_driver, BY_ITSELF, TRUE, NULL, 0, NULL},
      {"which one is not known", &host_driver, 0, TRUE, NULL, 0, NULL},
      {"during reattach", &generic, DEBIAN_12, TRUE, NULL, 0, NULL},
      {"the first that loads", &host_driver, DEBIAN_12, TRUE, NULL, ENOENT, "mlx5_vfio_pci"},
      {"what the policy says", &host_driver, DEBIAN_12, TRUE, "driver='mlx5_vfio_pci'", 0, "mlx5_vfio_pci"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = cases[i].flr ? fixture_with_flr () : fixture_new ();
    if (cases[i].options)
      set_policy (f, cases[i].options);
    fake_driver (f->k, "special-vfio")->load_errno = cases[i].special_errno;
    prepare (f, cases[i].before, cases[i].libvirt);
    g_assert_cmpint (is_loaded (f, "special-vfio"), ==, g_strcmp0 (cases[i].loads, "special-vfio") == 0);
    g_assert_cmpint (is_loaded (f, "mlx5_vfio_pci"), ==, g_strcmp0 (cases[i].loads, "mlx5_vfio_pci") == 0);
  }
}

/* An access to the device would block until libvirt's unbind is finished. */
static void
test_prepare_does_not_wait_for_the_unbind (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  g_autofree char *file = fake_device_path (NIC, "driver_override");
  g_autofree char *path = g_build_filename (f->k->root, file, NULL);
  const VvHotplugRequest request = {NIC, host_driver, DEBIAN_12};
  char event[sizeof (struct inotify_event) + NAME_MAX + 1];
  int fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);

  fake_register (f->k, "special-vfio"); /* registration reads driver_override, too */
  g_assert_cmpint (inotify_add_watch (fd, path, IN_OPEN), >=, 0);
  vv_hotplug_prepare (f->s, &request);
  g_assert_cmpint (read (fd, event, sizeof event), <, 0);
  g_assert_cmpint (errno, ==, EAGAIN);
  close (fd);
}

static void
test_prepare_for_what_went_away (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  const VvHotplugRequest request = {NIC, host_driver, DEBIAN_12};

  fake_remove_device (f->k, NIC);
  g_assert_cmpint (vv_hotplug_prepare (f->s, &request), ==, 0);
  g_assert_false (is_loaded (f, "special-vfio"));
}

/* --- policy --- */

#define NEW VV_LIBVIRT_VERSION (11, 3, 0)

/* The driver that libvirt writes, and the driver that the policy selects */
static const struct {
  const char *says, *options;
  guint libvirt;
  gboolean flr;
  const char *wanted, *gets, *why; /* @gets: NULL: refused for the reason in @why */
} under_policy[] = {
    {"9.0 with FLR takes what the policy says", "driver='mlx5_vfio_pci'", DEBIAN_12, TRUE, "vfio-pci",
     "mlx5_vfio_pci", "*5 wildcards*; policy /p.xml:2"},
    {"9.0 without FLR goes on with what it asked for", "driver='mlx5_vfio_pci generic'", DEBIAN_12, FALSE,
     "vfio-pci", "vfio-pci",
     "*; policy /p.xml:2; no better driver was tried: libvirt 9.0 cannot reliably reset *"},
    {"9.0 without FLR, and what it asked for is no more than unwanted", "driver='mlx5_vfio_pci'", DEBIAN_12,
     FALSE, "vfio-pci", "vfio-pci", "*no better driver was tried: libvirt 9.0 cannot reliably*"},
    {"9.0 without FLR, and nothing else will do", "driver='mlx5_vfio_pci' fallback='none'", DEBIAN_12, FALSE,
     "vfio-pci", NULL,
     NIC ": policy /p.xml:2 does not allow vfio-pci, and no other driver can be tried now: libvirt 9.0 "
         "cannot reliably *"},
    {"9.0 without FLR, and it must migrate", "migratable='require'", DEBIAN_12, FALSE, "vfio-pci", NULL,
     NIC ": policy /p.xml:2 does not allow vfio-pci, *"},
    {"9.0 without FLR, and the best is wanted strictly", "fallback='none'", DEBIAN_12, FALSE, "vfio-pci",
     NULL, NIC ": policy /p.xml:2 does not allow vfio-pci, *: libvirt 9.0 cannot reliably *"},
    {"9.0 without FLR was told one that is wanted", "driver='mlx5_vfio_pci' fallback='none'", DEBIAN_12,
     FALSE, "mlx5_vfio_pci", "mlx5_vfio_pci", "*policy /p.xml:2*"},
    {"9.7 without FLR takes what the policy says", "driver='mlx5_vfio_pci' fallback='none'", BY_NAME, FALSE,
     "vfio-pci", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"9.7 was told one that is wanted", "driver='special_vfio_pci mlx5_vfio_pci'", BY_NAME, FALSE,
     "mlx5_vfio_pci", "mlx5_vfio_pci",
     "*no better driver was tried: libvirt 9.7 was told to use mlx5_vfio_pci"},
    {"9.7 was told one that is not", "driver='special_vfio_pci'", BY_NAME, FALSE, "mlx5_vfio_pci",
     "special-vfio", "*3 wildcards*; policy /p.xml:2"},
    {"10.0 has chosen one that is not wanted", "driver='mlx5_vfio_pci' fallback='none'", BY_ITSELF, FALSE,
     "special-vfio", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"10.0 has chosen one that is", "driver='mlx5_vfio_pci special_vfio_pci'", BY_ITSELF, FALSE,
     "mlx5_vfio_pci", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"10.0 has chosen, and any may", "fallback='none'", BY_ITSELF, FALSE, "mlx5_vfio_pci", "mlx5_vfio_pci",
     "requested by name; policy /p.xml:2*"},
    {"11.3 was told the generic one, and that is wanted", "driver='generic' fallback='none'", NEW, FALSE,
     "vfio-pci", "vfio-pci", "*; policy /p.xml:2*libvirt 11.3 chose it, or was told to use it"},
    {"11.3 was told the generic one, and that is not", "driver='mlx5_vfio_pci' fallback='none'", NEW, FALSE,
     "vfio-pci", "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"11.3 was told the generic one, and it must migrate", "migratable='require'", NEW, FALSE, "vfio-pci",
     "special-vfio", "*3 wildcards*; policy /p.xml:2"},
    {"which one is not known, and its choice is unwanted", "driver='mlx5_vfio_pci'", 0, TRUE, "vfio-pci",
     "vfio-pci", "*unknown libvirt version: keeping its choice"},
    {"which one is not known, and nothing else will do", "driver='mlx5_vfio_pci' fallback='none'", 0, TRUE,
     "vfio-pci", NULL, NIC ": policy /p.xml:2 does not allow vfio-pci, *: unknown libvirt version*"},
};

#define CAME_BACK NIC ": reattach: *: as it was before: a requirement cannot be met*"

static void
test_under_a_policy (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (under_policy); i++) {
    g_test_message ("%s", under_policy[i].says);
    g_autoptr (Fixture) f = under_policy[i].flr ? fixture_with_flr () : fixture_new ();
    g_autoptr (GError) error = NULL;
    const char *gets = under_policy[i].gets;
    fake_register (f->k, under_policy[i].wanted);
    set_policy (f, under_policy[i].options);
    fake_migration ("special-vfio=yes");
    libvirt_unbinds (f, under_policy[i].wanted);
    g_autoptr (VvChange) change = hand_over (f, &host_driver_by_name, under_policy[i].libvirt, &error);
    if (gets) {
      g_assert_no_error (error);
      assert_change (change, VV_DETACH, "mlx5_core", gets, under_policy[i].why);
      fake_assert_device (f->k, NIC, gets, gets);
      g_autoptr (VvEntry) entry = entry_of_nic (f);
      assert_host (entry, VV_STATE_DETACHED, &host_driver_by_name);
      continue;
    }
    fake_assert_error (error, VV_ERROR_POLICY, under_policy[i].why);
    fake_assert_logged (CAME_BACK);
    fake_assert_device (f->k, NIC, "mlx5_core", "mlx5_core"); /* the previous state */
    assert_no_entry (f);
  }
}

/* The worker tries the driver, which fails. */
static void
test_refused_after_a_try (void)
{
  static const struct {
    const char *says, *options, *answers;
    int probe_errno;
    gboolean moved;
    const char *problem;
  } cases[] = {
      {"the probe fails", "fallback='none'", "", EINVAL, FALSE,
       "policy /p.xml:2 allows no other driver: " NIC
       ": no VFIO driver could be bound, returned to no driver: "
       "special_vfio_pci failed at bind (*)"},
      {"it cannot migrate", "driver='special_vfio_pci' migratable='require' fallback='none'",
       "special-vfio=no", 0, TRUE, NIC ": no usable VFIO driver: *special-vfio does not support migration*"},
      {"it does not tell", "migratable='require'", "", 0, TRUE,
       NIC ": cannot determine whether special-vfio supports migration, which policy /p.xml:2 requires: *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    g_autoptr (GError) error = NULL;
    set_policy (f, cases[i].options);
    fake_migration (cases[i].answers);
    fake_driver (f->k, "special-vfio")->probe_errno = cases[i].probe_errno;
    libvirt_unbinds (f, "vfio-pci");
    g_assert_null (hand_over (f, &host_driver, DEBIAN_12, &error));
    fake_assert_error (error, VV_ERROR_POLICY, cases[i].problem);
    if (cases[i].moved)
      fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
    fake_assert_logged (CAME_BACK);
    fake_assert_device (f->k, NIC, "mlx5_core", NULL);
    assert_no_entry (f);
  }
}

/* The next driver that can migrate is bound; libvirt does not notice. */
static void
test_the_next_that_can_migrate (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();

  set_policy (f, "migratable='require'");
  fake_migration ("special-vfio=no mlx5_vfio_pci=yes");
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = must_hand_over (f, &host_driver, DEBIAN_12);
  assert_change (change, VV_DETACH, "mlx5_core", "mlx5_vfio_pci", "*; policy /p.xml:2");
  fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
  g_assert_cmpstr (fake_migration_asked (), ==, "special-vfio mlx5_vfio_pci");
}

/* The device returns to its previous state, not to that of a stale state file. A device that was detached
 * before is detached again. */
static void
test_refused_and_back_to_what_it_was (void)
{
  static const struct {
    const char *says;
    const VvDriverState *before, *entry; /* @entry: its host driver; NULL: no state file */
    VvState state;
    gboolean stays; /* the state file */
  } cases[] = {
      {"an entry that is stale", &host_driver, &host_driver_by_name, VV_STATE_DETACHED, FALSE},
      {"an entry that was recorded for nobody", &host_driver, &host_driver, VV_STATE_RECORDED, FALSE},
      {"it was detached before", &variant, &host_driver_by_name, VV_STATE_DETACHED, TRUE},
      {"it was on VFIO, nobody knows why", &variant, NULL, 0, FALSE},
      {"it was on another driver of VFIO than the entry says", &generic, &host_driver, VV_STATE_DETACHED,
       FALSE},
      {"it had no driver", &driverless, NULL, 0, FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    fake_register (f->k, "special-vfio");
    set_policy (f, "driver='mlx5_vfio_pci' fallback='none'");
    if (cases[i].entry)
      write_entry (f, cases[i].state, cases[i].entry, NULL);
    g_autofree char *entry = cases[i].entry ? fake_read (f->k, ENTRY) : NULL;
    libvirt_unbinds (f, "vfio-pci");
    g_assert_null (hand_over (f, cases[i].before, DEBIAN_12, &error));
    g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
    fake_assert_logged (CAME_BACK);
    fake_assert_device (f->k, NIC, cases[i].before->driver, cases[i].before->override);
    if (cases[i].stays)
      assert_entry_unchanged (f, entry);
    else
      assert_no_entry (f);
  }
}

/* The hook runs after the gate, can rebind what the gate must not, and reports its refusal to libvirt. */
static void
test_a_starting_domain_is_not_refused (void)
{
  for (int flr = 0; flr < 2; flr++) {
    g_autoptr (Fixture) f = flr ? fixture_with_flr () : fixture_new ();
    g_autoptr (GError) error = NULL;
    set_policy (f, "fallback='none'");
    fake_driver (f->k, "special-vfio")->probe_errno = EINVAL;
    write_entry (f, VV_STATE_RECORDED, &host_driver, "vm1");
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &host_driver, DEBIAN_12, &error);
    if (flr)
      fake_assert_error (error, VV_ERROR_FAILED, "policy /p.xml:2 allows no other driver: *");
    else
      assert_change (change, VV_DETACH, "mlx5_core", "vfio-pci", "*libvirt 9.0 cannot reliably*");
    fake_assert_device (f->k, NIC, flr ? NULL : "vfio-pci", "vfio-pci");
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    g_assert_cmpstr (entry->domain, ==, "vm1");
  }
}

/* --- a domain starts with the device by iommufd: the hook's "start" is too late --- */

#define V12 VV_LIBVIRT_VERSION (12, 8, 0)

static void
hook_has_prepared (const Fixture *f, VvState state, const char *requested)
{
  write_entry (f, state, &host_driver, "vm1");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  entry->requested = g_strdup (requested);
  g_assert_true (vv_state_store_save (f->s->store, entry, NULL));
}

/* @wanted: the driver that libvirt writes; @options: NULL: no policy */
static const struct {
  const char *says, *requested, *options;
  guint libvirt;
  const char *wanted, *gets, *why;
} starting[] = {
    {"libvirt's own choice gives way to the best", "iommufd=yes", NULL, V12, "vfio-pci", "special-vfio",
     "vfio_pci:*, 3 wildcards, modules.alias"},
    {"also to what the policy prefers", "iommufd=yes", "driver='mlx5_vfio_pci'", V12, "special-vfio",
     "mlx5_vfio_pci", "*; policy /p.xml:2"},
    {"the domain's model stays", "iommufd=yes model=mlx5_vfio_pci", NULL, V12, "mlx5_vfio_pci",
     "mlx5_vfio_pci", "*; domain vm1"},
    {"also the generic one", "iommufd=yes model=vfio-pci", NULL, V12, "vfio-pci", "vfio-pci",
     "*; domain vm1"},
    {"the domain's options count", "iommufd=yes driver=mlx5_vfio_pci fallback=generic", NULL, V12, "vfio-pci",
     "mlx5_vfio_pci", "*; domain vm1"},
    {"which libvirt it is does not matter", "iommufd=yes", NULL, 0, "vfio-pci", "special-vfio", "*"},
    {"without iommufd the hook does it", "iommufd=no", NULL, V12, "vfio-pci", "vfio-pci",
     "*; no better driver was tried: libvirt 12.8 chose it, or was told to use it"},
    {"a record that is none counts for nothing", "iommufd=yes else", NULL, V12, "vfio-pci", "vfio-pci",
     "*; no better driver was tried: *"},
    {"the hook has written none", NULL, NULL, V12, "vfio-pci", "vfio-pci",
     "*; no better driver was tried: *"},
};

static void
test_a_start_by_iommufd (void)
{
  static const VvState states[] = {VV_STATE_RECORDED, VV_STATE_DETACHED}; /* DETACHED: by hand */

  for (gsize i = 0; i < 2 * G_N_ELEMENTS (starting); i++) {
    const VvState state = states[i % 2];
    const gsize k = i / 2;
    g_test_message ("%s, %s", starting[k].says, vv_state_name (state));
    g_autoptr (Fixture) f = fixture_new ();
    fake_register (f->k, starting[k].wanted);
    fake_register (f->k, "special-vfio");
    if (starting[k].options)
      set_policy (f, starting[k].options);
    hook_has_prepared (f, state, starting[k].requested);
    libvirt_unbinds (f, starting[k].wanted);
    g_autoptr (VvChange) change =
        must_hand_over (f, state == VV_STATE_RECORDED ? &host_driver : &variant, starting[k].libvirt);
    fake_assert_device (f->k, NIC, starting[k].gets, starting[k].gets);
    fake_assert_matches (change->why, starting[k].why);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    assert_host (entry, VV_STATE_DETACHED, &host_driver);
    g_assert_cmpstr (entry->domain, ==, "vm1");
    g_assert_cmpstr (entry->requested, ==, starting[k].requested);
  }
}

/* The worker queries the driver in time. The answer also depends on the domain. */
static void
test_a_start_by_iommufd_that_must_migrate (void)
{
  static const struct {
    const char *requested, *answers, *asked, *gets; /* @gets: NULL: left to the hook, which refuses */
  } cases[] = {
      {"iommufd=yes migratable=require", "special-vfio=yes", "special-vfio", "special-vfio"},
      {"iommufd=yes migratable=require", "special-vfio=iommu", "special-vfio", "special-vfio"},
      {"iommufd=yes migratable=require", "special-vfio=untracked mlx5_vfio_pci=iommu",
       "special-vfio mlx5_vfio_pci", "mlx5_vfio_pci"},
      {"iommufd=yes other-devices=yes migratable=require", "special-vfio=alone mlx5_vfio_pci=yes",
       "special-vfio mlx5_vfio_pci", "mlx5_vfio_pci"},
      {"iommufd=yes enable-migration=yes migratable=require", "special-vfio=untracked", "special-vfio",
       "special-vfio"},
      {"iommufd=yes migratable=require fallback=none", "special-vfio=no", "special-vfio", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s, %s", cases[i].requested, cases[i].answers);
    g_autoptr (Fixture) f = fixture_new ();
    g_autoptr (GError) error = NULL;
    hook_has_prepared (f, VV_STATE_RECORDED, cases[i].requested);
    fake_migration (cases[i].answers);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &host_driver, V12, &error);
    g_assert_cmpstr (fake_migration_asked (), ==, cases[i].asked);
    if (!cases[i].gets || g_strcmp0 (cases[i].gets, "special-vfio") != 0)
      fake_assert_logged (NIC ": detach: mlx5_core -> special-vfio: *");
    if (cases[i].gets) {
      g_assert_no_error (error);
      fake_assert_device (f->k, NIC, cases[i].gets, cases[i].gets);
    } else {
      fake_assert_error (error, VV_ERROR_FAILED, NIC ": no usable VFIO driver: *does not support migration*");
    }
  }
}

/* Before libvirt 12.1, no domain uses iommufd, so only the device itself can track dirty pages. */
static void
test_hot_plug_that_must_migrate (void)
{
  static const struct {
    guint libvirt;
    const char *answers, *gets; /* @gets: NULL: refused */
  } cases[] = {
      {BY_NAME, "special-vfio=yes", "special-vfio"},
      {BY_NAME, "special-vfio=iommu mlx5_vfio_pci=iommu", NULL},
      {NEW, "special-vfio=iommu mlx5_vfio_pci=yes", "mlx5_vfio_pci"},
      {V12, "special-vfio=iommu", "special-vfio"},
      {V12, "special-vfio=perhaps", "special-vfio"},
      {V12, "special-vfio=untracked mlx5_vfio_pci=untracked", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%u, %s", cases[i].libvirt, cases[i].answers);
    g_autoptr (Fixture) f = fixture_with_flr ();
    g_autoptr (GError) error = NULL;
    set_policy (f, "migratable='require'");
    fake_migration (cases[i].answers);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &host_driver, cases[i].libvirt, &error);
    while (fake_was_logged (NIC ": *"))
      ;
    if (cases[i].gets) {
      g_assert_no_error (error);
      fake_assert_device (f->k, NIC, cases[i].gets, cases[i].gets);
    } else {
      fake_assert_error (error, VV_ERROR_POLICY, NIC ": no usable VFIO driver: *has no DMA logging*");
      fake_assert_device (f->k, NIC, "mlx5_core", NULL);
    }
  }
}

/* The hook's "start" does not try these drivers again. */
static void
test_failures_of_a_start_are_recorded (void)
{
  static const struct {
    const char *says, *domain;
    int special, mlx5, generic;
    const char *failed;
  } cases[] = {
      {"one", "vm1", ENODEV, 0, 0, "special_vfio_pci bind * No such device\n"},
      {"two", "vm1", ENODEV, EIO, 0, "special_vfio_pci bind * No such device\nmlx5_vfio_pci bind *\n"},
      {"all", "vm1", ENODEV, EIO, EINVAL, "special_vfio_pci bind *\nmlx5_vfio_pci bind *\nvfio_pci bind *\n"},
      {"none", "vm1", 0, 0, 0, NULL},
      {"hot plug", NULL, ENODEV, 0, 0, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s", cases[i].says);
    g_autoptr (Fixture) f = fixture_with_flr ();
    fake_driver (f->k, "special-vfio")->probe_errno = cases[i].special;
    fake_driver (f->k, "mlx5_vfio_pci")->probe_errno = cases[i].mlx5;
    fake_driver (f->k, "vfio-pci")->probe_errno = cases[i].generic;
    write_entry (f, VV_STATE_RECORDED, &host_driver, cases[i].domain);
    libvirt_unbinds (f, "vfio-pci");
    g_autoptr (VvChange) change = hand_over (f, &host_driver, DEBIAN_12, NULL);
    g_assert_cmpint (change == NULL, ==, cases[i].generic != 0);
    g_autoptr (VvEntry) entry = entry_of_nic (f);
    if (cases[i].failed)
      fake_assert_matches (entry->failed, cases[i].failed);
    else
      g_assert_null (entry->failed);
  }
}

/* A passed deadline and a fault of the host are not recorded as failures of a driver. */
static void
test_what_is_no_failure_of_a_driver (void)
{
  g_autoptr (Fixture) f = fixture_with_flr ();
  const VvHotplugRequest request = {NIC, host_driver, DEBIAN_12};
  const VvDeadline deadline = {.until = g_get_monotonic_time () - 1};

  write_entry (f, VV_STATE_RECORDED, &host_driver, "vm1");
  libvirt_unbinds (f, "vfio-pci");
  g_autoptr (VvChange) change = hand_over_now (f, &request, &deadline, NULL);
  fake_assert_device (f->k, NIC, "vfio-pci", "vfio-pci");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  g_assert_null (entry->failed);
}

/* Modules that libvirt will not load are loaded while libvirt unbinds the device. */
static void
test_prepare_for_a_start_by_iommufd (void)
{
  static const struct {
    const char *requested;
    gboolean special, mlx5;
  } cases[] = {{"iommufd=no", FALSE, FALSE},
               {"iommufd=yes", TRUE, FALSE},
               {"iommufd=yes driver=mlx5_vfio_pci", FALSE, TRUE}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fixture) f = fixture_new ();
    const VvHotplugRequest request = {NIC, host_driver, V12};
    hook_has_prepared (f, VV_STATE_RECORDED, cases[i].requested);
    vv_hotplug_prepare (f->s, &request);
    g_assert_cmpint (is_loaded (f, "special-vfio"), ==, cases[i].special);
    g_assert_cmpint (is_loaded (f, "mlx5_vfio_pci"), ==, cases[i].mlx5);
  }
}

/* The failure is logged, and the state file keeps the host driver. */
static void
test_refused_and_no_way_back (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (GError) error = NULL;

  set_policy (f, "driver='mlx5_vfio_pci' fallback='none'");
  fake_driver (f->k, "mlx5_core")->probe_errno = EIO;
  libvirt_unbinds (f, "vfio-pci");
  g_assert_null (hand_over (f, &host_driver, DEBIAN_12, &error));
  g_assert_error (error, VV_ERROR, VV_ERROR_POLICY);
  fake_assert_logged ("gate: " NIC ": cannot return to mlx5_core: *");
  g_autoptr (VvEntry) entry = entry_of_nic (f);
  assert_host (entry, VV_STATE_DETACHING, &host_driver);
}

/* If libvirt binds a driver that is not a VFIO driver, the policy does not apply. */
static void
test_policy_and_no_driver_of_vfio (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  set_policy (f, "driver='mlx5_vfio_pci' fallback='none'");
  libvirt_unbinds (f, "pci-stub");
  g_autoptr (VvChange) change = must_hand_over (f, &host_driver, DEBIAN_12);
  assert_left (change, VV_DETACH, "mlx5_core",
               "libvirt binds it to pci-stub, which is not a known VFIO driver *");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/hotplug-policy/prepare/loads-when-it-should", test_prepare);
  g_test_add_func ("/hotplug-policy/prepare/does-not-wait-for-the-unbind",
                   test_prepare_does_not_wait_for_the_unbind);
  g_test_add_func ("/hotplug-policy/prepare/for-what-went-away", test_prepare_for_what_went_away);
  g_test_add_func ("/hotplug-policy/by-version", test_under_a_policy);
  g_test_add_func ("/hotplug-policy/refused-after-a-try", test_refused_after_a_try);
  g_test_add_func ("/hotplug-policy/the-next-that-can-migrate", test_the_next_that_can_migrate);
  g_test_add_func ("/hotplug-policy/refused-and-back-to-what-it-was", test_refused_and_back_to_what_it_was);
  g_test_add_func ("/hotplug-policy/refused-and-no-way-back", test_refused_and_no_way_back);
  g_test_add_func ("/hotplug-policy/start/by-iommufd", test_a_start_by_iommufd);
  g_test_add_func ("/hotplug-policy/start/by-iommufd-must-migrate",
                   test_a_start_by_iommufd_that_must_migrate);
  g_test_add_func ("/hotplug-policy/start/prepare-by-iommufd", test_prepare_for_a_start_by_iommufd);
  g_test_add_func ("/hotplug-policy/start/failures-are-recorded", test_failures_of_a_start_are_recorded);
  g_test_add_func ("/hotplug-policy/start/no-failure-of-a-driver", test_what_is_no_failure_of_a_driver);
  g_test_add_func ("/hotplug-policy/must-migrate", test_hot_plug_that_must_migrate);
  g_test_add_func ("/hotplug-policy/a-starting-domain-is-not-refused", test_a_starting_domain_is_not_refused);
  g_test_add_func ("/hotplug-policy/no-driver-of-vfio", test_policy_and_no_driver_of_vfio);
  return g_test_run ();
}
