/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of the whole daemon under a policy, and of its reload.
 */
#include "service-fixture.h"

#include <errno.h>

#define POLICY "etc/libvirt/vfio-variant.xml"

/* --- policy --- */

static void
write_policy (const Fixture *f, const char *text)
{
  g_autofree char *policy = g_strdup_printf ("<vfio-variant>%s</vfio-variant>\n", text);

  fake_write (f->k, POLICY, policy);
}

static Fixture *
fixture_with_policy (const char *text)
{
  Fixture *f = fixture_without_service ();

  write_policy (f, text);
  start (f);
  return f;
}

static void
test_policy_decides (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("<device vendor='0x15b3' driver='mlx5_vfio_pci'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (latest (status, "why"), "*, 5 wildcards, *; policy */etc/libvirt/vfio-variant.xml:1");
}

/* libvirt's open of drivers_probe is denied, and the device is back on its host driver with its previous
 * driver_override. */
static void
test_policy_refuses (void)
{
  g_autoptr (Fixture) f =
      fixture_with_policy ("<device vendor='0x15b3' driver='special_vfio_pci' fallback='none'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_errno = EIO;
  actor_does (libvirt, "write %s/" OVERRIDE " vfio-pci", f->k->root);
  fake_unbind (f->k, NIC);
  actor_does (libvirt, "refused %s/sys/bus/pci/drivers_probe", f->k->root);
  assert_driver (f, "mlx5_core");
  assert_outcome (f, "refused");
  g_autoptr (JsonNode) status = status_of (f);
  fake_assert_matches (
      latest (status, "failed"),
      "policy */vfio-variant.xml:1 allows no other driver: *special_vfio_pci failed at bind*");
  g_assert_false (fake_exists (f->k, ENTRY));
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static void
test_policy_turns_the_gate_off_and_on (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("<gate enabled='no'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (JsonNode) off = status_of (f);

  g_assert_cmpstr (text (off, "gate"), ==, "off");
  fake_assert_matches (text (off, "reason"), "turned off by the policy; *");
  detach (f, libvirt);
  assert_driver (f, NULL); /* the fake drivers_probe is a regular file */
  fake_probe (f->k, NIC);
  write_policy (f, "");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) on = status_of (f);
  g_assert_cmpstr (text (on, "gate"), ==, "on");
  reattach (f, libvirt);
  detach (f, libvirt);
  assert_driver (f, "special-vfio");
  write_policy (f, "<gate enabled='no'/>");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) again = status_of (f);
  g_assert_cmpstr (text (again, "gate"), ==, "off");
}

/* A process that is blocked when the gate is turned off still gets its driver. */
static void
test_policy_turns_the_gate_off_while_blocking (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_driver (f->k, "special-vfio")->probe_fifo = new_fifo (f);
  begin_to_move (f, libvirt, "vfio-pci");
  run_until_blocking (f, TRUE);
  write_policy (f, "<gate enabled='no'/>");
  vv_service_reload (f->service);
  release (f, fake_driver (f->k, "special-vfio")->probe_fifo);
  actor_finish (libvirt);
  assert_driver (f, "special-vfio");
  g_autoptr (JsonNode) status = status_of (f);
  g_assert_cmpstr (text (status, "gate"), ==, "off");
}

static void
test_policy_sets (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  f->deadline_ms = 0;
  write_policy (f, "<gate deadline='7'/>");
  start (f);
  g_autoptr (JsonNode) first = status_of (f);
  g_assert_cmpint (number (first, NULL, "deadline_ms"), ==, 7000);
  write_policy (f, "<gate deadline='8'/>");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) second = status_of (f);
  g_assert_cmpint (number (second, NULL, "deadline_ms"), ==, 8000);
  write_policy (f, "");
  vv_service_reload (f->service);
  g_autoptr (JsonNode) third = status_of (f);
  g_assert_cmpint (number (third, NULL, "deadline_ms"), ==, 30000);
}

/* A broken file is ignored as a whole, and the gate stays on. */
static void
test_policy_is_broken (void)
{
  g_autoptr (Fixture) f =
      fixture_with_policy ("<device vendor='0x15b3' driver='mlx5_vfio_pci'/><gate dead='1'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_assert_logged ("policy: */etc/libvirt/vfio-variant.xml:1:*");
  detach (f, libvirt);
  assert_driver (f, "special-vfio");
}

/* If a file cannot be read, the old policy stays, so that a disk error does not drop a strict rule. At the
 * start of the daemon, there is no old policy. */
static void
test_policy_cannot_be_read (void)
{
  g_autoptr (Fixture) f = fixture_with_policy ("<device vendor='0x15b3' driver='mlx5_vfio_pci'/>");
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  g_autoptr (JsonNode) first = status_of (f);

  fake_remove (f->k, POLICY);
  fake_link (f->k, POLICY, "vfio-variant.xml"); /* to itself: ELOOP */
  vv_service_reload (f->service);
  fake_assert_logged ("cannot read the policy, keeping the old one: */" POLICY ": Too many *");
  g_autoptr (JsonNode) second = status_of (f);
  g_assert_cmpint (number (first, NULL, "policy_read"), ==, number (second, NULL, "policy_read"));
  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
  reattach (f, libvirt);
  stop (f);
  start (f);
  fake_assert_logged ("policy: */" POLICY ": Too many *; ignoring the file");
  detach (f, libvirt);
  assert_driver (f, "special-vfio");
}

/* --- context --- */

/* A file in modprobe.d changes in place, which needs a reload. */
static void
test_reload (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_write (f->k, "etc/modprobe.d/a.conf", "\n");
  start (f);
  fake_write (f->k, "etc/modprobe.d/a.conf", "blacklist special_vfio_pci\n");
  vv_service_reload (f->service);
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);
  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
}

/* A new file in modprobe.d is noticed without a reload. */
static void
test_new_configuration (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autoptr (LibvirtActor) libvirt = new_libvirt (f);

  fake_write (f->k, "etc/modprobe.d/b.conf", "blacklist special_vfio_pci\n");
  detach (f, libvirt);
  assert_driver (f, "mlx5_vfio_pci");
}

static void
test_former_daemon_is_mended (void)
{
  g_autoptr (Fixture) f = fixture_without_service ();

  fake_unbind (f->k, NIC);
  fake_write (f->k, ENTRY,
              "[device]\naddress=" NIC "\nmodalias=" NIC_MODALIAS
              "\nstate=reattaching\nhost-known=true\nhost-driver=mlx5_core\nhost-module=mlx5_core\n");
  start (f);
  while (fake_exists (f->k, ENTRY))
    g_main_context_iteration (NULL, FALSE);
  stop_and_assert_device (f, "mlx5_core", NULL);
}

static const FakeTest tests[] = {
    {"/service-policy/decides", test_policy_decides},
    {"/service-policy/refuses", test_policy_refuses},
    {"/service-policy/turns-the-gate-off-and-on", test_policy_turns_the_gate_off_and_on},
    {"/service-policy/turns-the-gate-off-while-blocking", test_policy_turns_the_gate_off_while_blocking},
    {"/service-policy/sets", test_policy_sets},
    {"/service-policy/is-broken", test_policy_is_broken},
    {"/service-policy/cannot-be-read", test_policy_cannot_be_read},
    {"/service-policy/reload", test_reload},
    {"/service-policy/new-configuration", test_new_configuration},
    {"/service-policy/a-former-daemon-is-mended", test_former_daemon_is_mended},
};

int
main (int argc, char **argv)
{
  return service_main (argc, argv, tests, G_N_ELEMENTS (tests));
}
