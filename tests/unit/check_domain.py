# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the findings of vfio-variant check about policy, device users, libvirt, migration, QEMU and domains."""
import os
import shutil
import time

from programs import COMMAND, DISK, MODALIAS, NIC, ON_VFIO, exits, needs_namespace, put_in_a_bridge, run
from tap import Skip, equal
from well import (IOMMUFD, LIBVIRT, LIBVIRT_PID, MODULES, QEMU, RELEASE, UUID, Well, check, check_domain, depmod,
                  document, domain, emulator, expect, hostdev, lacks, status, triggers)


# --- policy and requests ---


def the_policy_decides():
    with Well() as host:
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci' fallback='generic'/>")
        found = check(host, NIC)
        device = found["devices"][0]
        equal((device["module"], device["fallback"]), ("mlx5_vfio_pci", ["vfio-pci"]))
        equal((device["rule"]["file"], device["rule"]["line"]), (host.path(f"{LIBVIRT}/vfio-variant.xml"), 2))
        expect(found, "passed-over", "note", "special_vfio_pci is excluded: policy ", "vfio-variant.xml:2",
               subject=NIC)
        lacks(found, "strict")
        exits(host.look("check", NIC), 0, f"{NIC}: would get mlx5_vfio_pci (policy {device['rule']['file']}:2); "
              "if that fails vfio-pci\n")
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci' fallback='none'/>")
        expect(check(host, NIC), "strict", "note", "fallback='none'", "only if the driver fails", subject=NIC)
        found = check_domain(host, domain(hostdev(more=IOMMUFD)))
        one = expect(found, "strict", "note", "without vfio-variantd the domain starts only if", subject=NIC)
        equal(one["fix"], "systemctl enable --now vfio-variantd")


def devices_that_vfio_pci_refuses():
    """vfio-pci's probe fails with EINVAL for bridges and for devices on its denylist."""
    cases = {"bc06sc04": ("pci:v0000111Dd00008018sv00000000sd00000000bc06sc04i00", "does not bind bridges", ""),
             "QAT": ("pci:v00008086d000037C9sv00008086sd00000000bc0Bsc40i00", "denylist", "disable_denylist=1 >")}
    with Well() as host:
        for modalias, text, fix in cases.values():
            host.write(host.device("modalias", DISK), f"{modalias}\n")
            found = check(host, DISK)
            expect(found, "no-driver", "problem", text, "EINVAL", "would not start", fix, subject=DISK)
            lacks(found, "passed-over")
            equal((found["devices"][0]["driver"], found["devices"][0]["module"]), (None, None))
            exits(host.look("check", DISK), 1, f"{DISK}: no usable VFIO driver")
            exits(host.look("match", DISK), 0, "excluded: ", text, "no usable VFIO driver")
            exits(host.look("list", DISK), 0, DISK)
        host.write("etc/modprobe.d/a.conf", "options vfio-pci disable_denylist=1\n")
        shutil.rmtree(host.path("sys/module/vfio_pci"), ignore_errors=True)
        lacks(check(host, DISK), "no-driver")


def a_policy_that_is_damaged():
    with Well() as host:
        host.policy("<device adress='3b:00.1'/>")
        expect(check(host, NIC), "policy-file", "problem", "vfio-variant.xml:2")
        expect(status(host), "policy-file", "problem", "vfio-variant policy ")


def request_that_is_refused():
    requests = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-nic' "
              "driver='special_vfio_pci'/></v:hostdevs></metadata>")
    with Well() as host:
        lacks(check_domain(host, domain(hostdev(), metadata=requests)), "request-refused", "request-invalid")
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci'/>")
        found = check_domain(host, domain(hostdev(), metadata=requests))
        expect(found, "request-refused", "warning", "domain vm1 requests special_vfio_pci", subject=NIC)
        equal((found["domain"], found["devices"][0]["module"]), ("vm1", "mlx5_vfio_pci"))


def request_for_another_module():
    """A domain may name only drivers from the policy or from the device's own aliases."""
    requests = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-nic' "
              "%s/></v:hostdevs></metadata>")
    text = "domain vm1 requests evil_mod, which no alias offers for the device"
    with Well() as host:
        for xml in (domain(hostdev(), metadata=requests % "driver='evil_mod'"),
                    domain(hostdev(more="<driver model='evil_mod'/>"))):
            found = check_domain(host, xml)
            expect(found, "request-refused", "warning", text, subject=NIC)
            equal((found["devices"][0]["module"], found["devices"][0]["fallback"]),
                  ("special_vfio_pci", ["mlx5_vfio_pci", "vfio-pci"]))
            assert "driver model" not in found["devices"][0]["why"], found
        for driver, model in (("driver='evil_mod' ", ""), ("", "<driver model='evil_mod'/>")):
            found = check_domain(host, domain(hostdev(more=model), metadata=requests % f"{driver}fallback='none'"))
            expect(found, "request-refused", "warning", text, subject=NIC)
            expect(found, "no-driver", "problem", "domain vm1 does not allow it", "would not start", subject=NIC)
        host.policy("<default driver='evil_mod generic'/>")
        found = check_domain(host, domain(hostdev(), metadata=requests % "driver='evil-mod'"))
        lacks(found, "request-refused")


def request_that_is_invalid():
    requests = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-other' "
              "driver='mlx5_vfio_pci'/></v:hostdevs></metadata>")
    with Well() as host:
        found = check_domain(host, domain(hostdev(), metadata=requests))
        expect(found, "request-invalid", "warning", "ua-other", subject="domain")
        equal(found["devices"][0]["module"], "special_vfio_pci")


def model_in_the_domain():
    with Well() as host:
        found = check_domain(host, domain(hostdev(more="<driver model='mlx5_vfio_pci'/>")))
        device = found["devices"][0]
        equal((device["module"], device["fallback"]), ("mlx5_vfio_pci", []))
        assert "<driver model=>" in device["why"], device


def devices_that_nobody_manages():
    with Well() as host:
        found = check_domain(host, domain(hostdev("no")))
        expect(found, "unmanaged", "problem", "it is on mlx5_core", f"vfio-variant bind {NIC}", subject=NIC)
        equal((found["devices"][0]["driver"], found["devices"][0]["module"]), ("mlx5_core", None))
        found = check_domain(host, domain(hostdev("no", bus="5", function="0")))
        expect(found, "unmanaged", "note", subject=ON_VFIO)
        host.policy("<default unmanaged='manage'/>")
        found = check_domain(host, domain(hostdev("no")))
        lacks(found, "unmanaged")
        equal(found["devices"][0]["module"], "special_vfio_pci")


# --- device users ---


def use_by_the_host():
    with Well() as host:
        lacks(check(host, NIC), "in-use-host")
        put_in_a_bridge(host)
        expect(check(host, NIC), "in-use-host", "warning", "ens1 is part of br0", "bind' refuses", subject=NIC)
        host.policy("<device address='3b:00.1' host-use='warn'/>")
        expect(check(host, NIC), "in-use-host", "warning", "vfio-variant.xml:2 lets the domain take it anyway", subject=NIC)
        host.policy("<device address='3b:00.1' host-use='refuse'/>")
        expect(check(host, NIC), "in-use-host", "problem", "vfio-variant.xml:2 refuses it", subject=NIC)


@triggers("in-use-guest", "state-idle")
def use_by_a_guest():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with Well() as host:
        group = [int(number) for number in host.read("sys/class/vfio/9/dev").split(":")]
        modalias = host.read(host.device("modalias", ON_VFIO)).strip()
        lacks(check(host, ON_VFIO), "in-use-guest")
        host.state_file(ON_VFIO, modalias, domain="vm1", domain_uuid=UUID, in_use="true")
        expect(status(host), "state-idle", "warning", "domain vm1", f"restore --force {ON_VFIO}", subject=ON_VFIO)
        host.add_holder(group)
        lacks(status(host), "state-idle")
        expect(check(host, ON_VFIO), "in-use-guest", "problem", "qemu-system-x86 (pid 812)", subject=ON_VFIO)
        found = check_domain(host, domain(hostdev(bus="5", function="0")))  # the checked domain itself uses the device
        expect(found, "in-use-guest", "note", subject=ON_VFIO)


def claim_in_the_journal():
    with Well() as host:
        host.state_file(state="recorded", domain="vm1", domain_uuid=UUID)
        expect(check(host, NIC), "claimed", "problem", "domain vm1", subject=NIC)
        lacks(check_domain(host, domain(hostdev())), "claimed")
        host.state_file(state="recorded", domain="other", domain_uuid="77", in_use="true")
        expect(check_domain(host, domain(hostdev())), "claimed", "problem", "domain other, which is running", subject=NIC)


def entry_that_is_half_done():
    with Well() as host:
        for found in (lambda: check(host, NIC), lambda: status(host)):
            host.state_file(state="detaching")
            expect(found(), "half-done", "warning", "detaching", f"vfio-variant restore {NIC}", subject=NIC)
        host.state_file()
        lacks(check(host, NIC), "half-done")
        os.unlink(host.path(host.device("driver")))
        expect(check(host, NIC), "half-done", "warning", "it has no driver", subject=NIC)


def entry_that_is_damaged():
    with Well() as host:
        host.write(f"run/vfio-variant/{NIC}", "damaged")
        expect(check(host, NIC), "state-damaged", "problem", f"vfio-variant restore {NIC}", subject=NIC)
        expect(status(host), "state-damaged", "problem", subject=NIC)
        lacks(check(host, DISK), "state-damaged")


def entry_of_a_device_that_is_gone():
    with Well() as host:
        host.state_file("0000:ff:00.0")
        expect(status(host), "state-gone", "warning", "rm ", subject="0000:ff:00.0")


def not_on_vfio_though_at_boot():
    with Well() as host:
        host.policy(f"<device address='{NIC}' at-boot='yes'/><device address='{ON_VFIO}' at-boot='yes'/>")
        found = status(host)
        for report in (found, check(host, NIC)):
            expect(report, "at-boot-missed", "warning", f"bind --at-boot {NIC}", subject=NIC)
        equal([one["subject"] for one in found["findings"] if one["id"] == "at-boot-missed"], [NIC])


def driver_of_a_vendor():
    """A VFIO driver without an alias: libvirt detaches the device from it only with managed='yes'."""
    with Well() as host:
        host.set_driver(NIC, "nvidia")
        lacks(check(host, NIC), "vendor-driver")
        os.makedirs(host.path(host.device("vfio-dev/vfio41")))
        found = check(host, NIC)
        expect(found, "vendor-driver", "note", "on nvidia", "managed='yes'", subject=NIC)
        equal((found["devices"][0]["driver"], found["devices"][0]["module"]), ("nvidia", None))
        exits(host.look("check", NIC), 0, f"{NIC}: stays on nvidia")
        found = check_domain(host, domain(hostdev("no")))
        expect(found, "vendor-driver", "note", "stays on nvidia", subject=NIC)
        equal(found["devices"][0]["driver"], "nvidia")
        found = check_domain(host, domain(hostdev(), name="vm '1"))
        expect(found, "vendor-driver", "problem", "takes it from nvidia", "virsh edit 'vm '\\''1'  # managed='no'",
               subject=NIC)
        equal(found["devices"][0]["module"], "special_vfio_pci")
        host.add_libvirt(9000, time.time())
        for managed in ("yes", "no"):
            found = check_domain(host, domain(hostdev(managed)))
            expect(found, "vendor-driver", "problem", "libvirt 9.7 or later", subject=NIC)


# --- reset, libvirt ---


def no_way_to_reset():
    with Well() as host:
        lacks(check(host, NIC), "no-reset")
        host.write(host.device("reset_method"), "\n")
        expect(check(host, NIC), "no-reset", "warning", subject=NIC)
        os.unlink(host.path(host.device("reset_method")))
        expect(check(host, NIC), "no-reset", "warning", subject=NIC)
        host.write(host.device("reset"), "")  # a kernel before 5.15
        lacks(check(host, NIC), "no-reset")


def no_flr_and_an_old_libvirt():
    with Well() as host:
        host.write(host.device("reset_method"), "bus\n")
        lacks(check(host, NIC), "hotplug-generic")
        host.add_libvirt(9000, time.time())
        expect(check(host, NIC), "hotplug-generic", "note", subject=NIC)
        host.write(host.device("reset_method", DISK), "bus\n")
        lacks(check(host, DISK), "hotplug-generic")  # vfio-pci is the best driver for DISK
        host.write(host.device("reset_method"), "flr bus\n")
        lacks(check(host, NIC), "hotplug-generic")


def which_libvirt():
    with Well() as host:
        for version, text in ((9000, "hot plug only for devices with FLR"), (9007, "start and hot plug are both corrected"),
                              (10003, "looks up the variant driver in modules.alias itself")):
            host.add_libvirt(version, time.time(), "virtqemud")
            expect(check(host, NIC), "libvirt-version", "note", f"libvirt {version // 1000}.{version % 1000}.0 (virtqemud",
                   text)
        host.add_libvirt(0, time.time())
        expect(check(host, NIC), "libvirt-unknown", "note", f"process {LIBVIRT_PID}")
        if os.geteuid() == 0:
            os.chown(host.path(f"proc/{LIBVIRT_PID}"), 65534, 65534)  # a user's libvirtd
            expect(check(host, NIC), "libvirt-off", "note")
        shutil.rmtree(host.path(f"proc/{LIBVIRT_PID}"))
        expect(check(host, NIC), "libvirt-off", "note")
        lacks(status(host), "hook-seen", "hook-unseen")


def libvirt_that_sees_no_modules():
    with Well() as host:
        os.makedirs(host.path(f"proc/{LIBVIRT_PID}/root"))
        lacks(status(host), "libvirt-blind")  # libvirt 9.9 does not read modules.alias
        for version, severity, follows in ((10000, "problem", "refuses every managed device"), (11003, "problem", "refuses"),
                                           (12000, "warning", "binds vfio-pci"), (12008, "warning", "binds vfio-pci")):
            host.add_libvirt(version, time.time() + 3600)
            expect(status(host), "libvirt-blind", severity, follows, "ProtectKernelModules=no", "libvirtd")
            expect(check(host, NIC), "libvirt-blind", severity, follows)
        host.add_libvirt(10000, time.time() + 3600)
        os.rename(host.path(f"{MODULES}/modules.alias"), host.path(f"{MODULES}/away"))
        expect(status(host), "libvirt-blind", "problem", f"depmod {RELEASE}", "<driver model='vfio-pci'/>")
        os.rename(host.path(f"{MODULES}/away"), host.path(f"{MODULES}/modules.alias"))
        host.write(f"proc/{LIBVIRT_PID}/root/{MODULES}/modules.alias", "")
        lacks(status(host), "libvirt-blind")


def libvirt_in_another_network_namespace():
    with Well() as host:
        lacks(status(host), "libvirt-sysfs")  # libvirt's mount namespace cannot be read
        sys_pci = f"proc/{LIBVIRT_PID}/root/sys/bus/pci"
        host.write(f"{sys_pci}/drivers_probe", "")
        lacks(status(host), "libvirt-sysfs")
        os.unlink(host.path(f"{sys_pci}/drivers_probe"))
        os.symlink("/proc/version", host.path(f"{sys_pci}/drivers_probe"))  # a file on another file system
        for found in (status(host), check(host, NIC)):
            expect(found, "libvirt-sysfs", "warning", "libvirtd", "network namespace", "--network host")


def libvirt_that_refuses():
    """Since 10.0, libvirt loads the best module from modules.alias, and fails if the load fails."""
    with Well() as host:
        os.unlink(host.path(f"{MODULES}/kernel/special_vfio_pci.ko"))
        lacks(check(host, NIC), "libvirt-refuses")  # libvirt 9.9
        host.add_libvirt(10000, time.time() + 3600)
        expect(check(host, NIC), "libvirt-refuses", "problem", "special_vfio_pci", "<driver model='vfio-pci'/>",
               subject=NIC)
        host.policy("<device address='3b:00.1' driver='vfio-pci'/>")  # libvirt does not read the policy
        expect(check(host, NIC), "libvirt-refuses", "problem", subject=NIC)
    with Well() as host:
        host.add_libvirt(10000, time.time() + 3600)
        lacks(check(host, NIC), "libvirt-refuses")
        host.write("etc/modprobe.d/x.conf", "blacklist special_vfio_pci\n")
        expect(check(host, NIC), "libvirt-refuses", "problem", "blacklisted", subject=NIC)
        os.makedirs(host.path("sys/module/special_vfio_pci"))
        lacks(check(host, NIC), "libvirt-refuses")  # the module is loaded although its file is missing
        shutil.rmtree(host.path("sys/module/special_vfio_pci"))
        expect(check_domain(host, domain(hostdev())), "libvirt-refuses", "problem", subject=NIC)
        lacks(check_domain(host, domain(hostdev("no"))), "libvirt-refuses")  # libvirt selects no driver for it
        lacks(check_domain(host, domain(hostdev(more="<driver model='vfio-pci'/>"))), "libvirt-refuses")
    with Well() as host:  # among equal matches, libvirt takes the first in the file, even if it is blacklisted
        host.add_libvirt(10000, time.time() + 3600)
        table = f"{MODULES}/modules.alias"
        text = host.read(table)
        alias = "alias vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i*"
        host.write(table, text.replace(f"{alias} ", f"{alias} equal_vfio_pci\n{alias} "))
        host.write("etc/modprobe.d/x.conf", "blacklist equal_vfio_pci\n")
        found = check(host, NIC)
        expect(found, "libvirt-refuses", "problem", "accepts only equal_vfio_pci", subject=NIC)
        expect(found, "blacklisted", "note", "equal_vfio_pci is excluded", subject=NIC)
        host.write(table, text.replace(f"{alias} special_vfio_pci", f"{alias} special_vfio_pci\n{alias} equal_vfio_pci"))
        lacks(check(host, NIC), "libvirt-refuses", "blacklisted")


# --- migration, QEMU ---


def what_is_known_of_migration():
    with Well() as host:
        expect(check(host, NIC), "migration-unknown", "note", f"vfio-variant probe {NIC}", subject=NIC)
        host.noted("special_vfio_pci", "true")
        found = check(host, NIC)
        expect(found, "migratable", "ok", subject=NIC)
        equal(found["devices"][0]["migratable"], True)
        host.noted("special_vfio_pci", "false")
        found = check(host, NIC)
        expect(found, "not-migratable", "note", subject=NIC)
        equal(found["devices"][0]["migratable"], False)
    with Well() as host:  # "restore" would detach it from the driver on which an administrator or the vendor put it
        one = expect(check(host, NIC), "migration-unknown", "note", subject=NIC)
        equal(one["fix"], f"vfio-variant bind {NIC} && vfio-variant probe {NIC}; vfio-variant restore {NIC}")
        lacks(check_domain(host, domain(hostdev("no"))), "migration-unknown")  # mlx5_core is not a VFIO driver
        host.set_driver(NIC, "mlx5-vfio-pci", "mlx5_vfio_pci")
        one = expect(check(host, NIC), "migration-unknown", "note", "special_vfio_pci", subject=NIC)
        equal(one["fix"], f"vfio-variant bind {NIC} && vfio-variant probe {NIC}")
        one = expect(check_domain(host, domain(hostdev("no"))), "migration-unknown", "note", "mlx5-vfio-pci", subject=NIC)
        equal(one["fix"], f"vfio-variant probe {NIC}")


def migration_without_dma_logging():
    """QEMU blocks migration, unless the IOMMU tracks dirty pages for iommufd."""
    plain, by_iommufd = domain(hostdev()), domain(hostdev(more=IOMMUFD))
    forced = domain(hostdev(), more="<x/>").replace("<domain", "<domain xmlns:qemu='urn:q'").replace(
        "</domain>", "<qemu:override><qemu:device alias='ua-nic'><qemu:frontend><qemu:property "
        "name='enable-migration' type='string' value='on'/></qemu:frontend></qemu:device></qemu:override></domain>")
    with Well() as host:
        for logs, told, xml in ((None, "not-migratable", plain), (None, "migration-unknown", by_iommufd),
                                (None, "migratable", forced), ("false", "not-migratable", plain),
                                ("false", "not-migratable", by_iommufd), ("false", "migratable", forced),
                                ("true", "not-migratable", plain), ("true", "migratable", by_iommufd)):
            host.noted("special_vfio_pci", "true", dma_logging="false", iommu_logging=logs)
            found = check_domain(host, xml)
            one = expect(found, told, "ok" if told == "migratable" else "note", subject=NIC)
            equal(found["devices"][0]["migratable"], {"migratable": True, "not-migratable": False}.get(told))
            fix = told == "not-migratable" and logs != "false"
            equal("<driver iommufd='yes'/> (libvirt 12.1, QEMU 9.1)" in (one["fix"] or ""), fix)
            lacks(found, *{"migratable", "not-migratable", "migration-unknown"} - {told})
        expect(check(host, NIC), "migration-unknown", "note", "migration works only with <driver iommufd='yes'/>", subject=NIC)
        host.policy("<default migratable='require'/>")
        expect(check_domain(host, plain), "passed-over", "note", "it has no DMA logging, and without iommufd", subject=NIC)
        host.policy("<default migratable='require' driver='special_vfio_pci' fallback='none'/>")
        expect(check_domain(host, plain), "no-driver", "problem", "it has no DMA logging", "would not start",
               "<driver iommufd='yes'/> (libvirt 12.1, QEMU 9.1)", subject=NIC)
        lacks(check_domain(host, by_iommufd), "no-driver")
        os.unlink(host.path(f"run/vfio-variant/migration-special_vfio_pci-{MODALIAS}"))
        expect(check_domain(host, by_iommufd), "migration-unknown", "warning", "without vfio-variantd the domain would "
               "not start", subject=NIC)


def migration_with_several_devices():
    both = domain(hostdev(), hostdev("no", bus="5", function="0"))
    mdev = domain(hostdev(), "<hostdev mode='subsystem' type='mdev' model='vfio-pci'/>")
    with Well() as host:
        for p2p, xml, told in (("false", domain(hostdev()), "migratable"), ("true", both, "migratable"),
                               ("false", both, "not-migratable"), ("false", mdev, "not-migratable")):
            host.noted("special_vfio_pci", "true", p2p=p2p)
            found = check_domain(host, xml)
            expect(found, told, "ok" if told == "migratable" else "note", *["has no P2P"] * (told != "migratable"),
                   subject=NIC)
        host.noted("special_vfio_pci", "true", p2p="true")
        lacks(check_domain(host, both), "strict")
        host.policy("<device address='3b:00.1' migratable='require'/>")  # ON_VFIO stays on vfio-pci
        expect(check_domain(host, both), "not-migratable", "problem", f"{ON_VFIO} prevents it",
               subject="domain")


def migration_that_is_required():
    with Well() as host:
        host.policy("<device address='3b:00.1' migratable='require'/>")
        found = check(host, NIC)
        expect(found, "strict", "note", "migratable='require'", subject=NIC)
        host.noted("special_vfio_pci", "false")
        found = check(host, NIC)
        expect(found, "passed-over", "note", "special_vfio_pci is excluded: it cannot migrate", subject=NIC)
        equal(found["devices"][0]["module"], "mlx5_vfio_pci")
        host.noted("mlx5_vfio_pci", "false")
        expect(check(host, NIC), "no-driver", "problem", "it cannot migrate", "would not start", subject=NIC)
        found = check_domain(host, domain(hostdev(more="<driver model='mlx5_vfio_pci'/>")))
        expect(found, "no-driver", "problem", "it cannot migrate", subject=NIC)
        host.policy("<default migratable='require'/>")
        found = check_domain(host, domain(hostdev("no", bus="5", function="0")))  # an unmanaged device stays on vfio-pci
        expect(found, "not-migratable", "problem", "vfio-pci", subject=ON_VFIO)


def generic_is_never_better():
    """The policy requires a driver that this kernel lacks, or migration: check does not suggest vfio-pci as better."""
    with Well() as host:
        for name in ("mlx5", "special"):
            os.unlink(host.path(f"{MODULES}/kernel/{name}_vfio_pci.ko"))
        depmod(host)
        host.write(f"run/vfio-variant/migration-vfio-pci-{MODALIAS}",
                   f"[migration]\ndriver=vfio-pci\nmodalias={MODALIAS}\nstop-copy=false\np2p=false\npre-copy=false\n"
                   "dma-logging=false\n")
        found = check(host, NIC)
        equal(found["devices"][0]["driver"], "vfio-pci")
        expect(found, "not-migratable", "note", "vfio-pci does not support migration", subject=NIC)
        for rule in ("migratable='require'", "driver='mlx5_vfio_pci' migratable='require'"):
            host.policy(f"<device address='3b:00.1' {rule}/>")
            found = check(host, NIC)
            expect(found, "no-driver", "problem", subject=NIC)
            lacks(found, "passed-over")
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci'/>")
        lacks(check(host, NIC), "passed-over")


def check_inside(host, xml):
    """Checks xml with the host as the running system, so that programs run. Only the policy's driver is registered."""
    os.makedirs(host.path("sys/bus/pci/drivers/special-vfio"), exist_ok=True)
    host.policy("<default driver='special-vfio'/>")
    host.write("vm.xml", xml)
    found = document(host.inside(COMMAND, "check", "--json", host.path("vm.xml")), "check.schema.json")
    equal(found["devices"][0]["driver"], "special-vfio")
    return found


@triggers("qemu-old")
def qemu_that_is_old():
    needs_namespace()
    model = hostdev(more="<driver model='special-vfio'/>")
    with Well() as host:
        for version, old in (("7.2.11 (Debian 1:7.2+dfsg-7)", True), ("8.0.5", True), ("8.1.0", False),
                             ("10.1.50 (v10.1.0-1)", False)):
            emulator(host, f"[ \"$*\" = --version ] && echo 'QEMU emulator version {version}'")
            found = check_inside(host, domain(model, more=f"<emulator>/{QEMU}</emulator>"))
            lacks(found, "qemu-unknown")
            if old:
                expect(found, "qemu-old", "warning", f"is QEMU {version[:3]}", "needs QEMU 8.1", subject=NIC)
            else:
                lacks(found, "qemu-old")
        emulator(host, "echo 'QEMU emulator version 6.0'")
        requests = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-nic' "
                  "migratable='require'/></v:hostdevs></metadata>")
        found = check_inside(host, domain(model, more=f"<emulator>/{QEMU}</emulator>", metadata=requests))
        expect(found, "qemu-old", "problem", "required", subject=NIC)
        emulator(host, "echo 'QEMU emulator version 8.1'")
        other = hostdev("no", bus="5", function="0")
        found = check_inside(host, domain(model, other, more=f"<emulator>/{QEMU}</emulator>"))
        expect(found, "qemu-old", "warning", "needs QEMU 8.2", subject=NIC)
        emulator(host, "echo 'QEMU emulator version 9.0'")
        lacks(check_inside(host, domain(model, other, more=f"<emulator>/{QEMU}</emulator>")), "qemu-old")
        host.noted("special-vfio", "true", dma_logging="false", iommu_logging="true")
        by_iommufd = hostdev(more="<driver model='special-vfio' iommufd='yes'/>")
        found = check_inside(host, domain(by_iommufd, more=f"<emulator>/{QEMU}</emulator>"))
        expect(found, "qemu-old", "warning", "needs QEMU 9.1", subject=NIC)


def qemu_that_cannot_be_asked():
    with Well() as host:
        expect(check(host, NIC), "qemu-unknown", "note", "programs below --sysroot are not run")


def emulator_of_others_is_not_run():
    """Domain XML may come from users: check runs its emulator only if other users cannot replace it."""
    needs_namespace()
    with Well() as host:
        path = emulator(host, f"touch {host.path('was-run')}; echo 'QEMU emulator version 9.0'")
        xml = domain(hostdev(), more=f"<emulator>/{QEMU}</emulator>")
        lacks(check_inside(host, xml), "qemu-unknown")
        os.unlink(host.path("was-run"))
        for spoil in (lambda: os.chmod(path, 0o777), lambda: os.chown(path, 65534, 0),
                      lambda: os.chmod(os.path.dirname(path), 0o777), lambda: os.unlink(path)):
            spoil()
            expect(check_inside(host, xml), "qemu-unknown", "note", QEMU)
            assert not os.path.exists(host.path("was-run"))
            if os.path.exists(path):
                os.chown(path, 0, 0)
                os.chmod(path, 0o755)
                os.chmod(os.path.dirname(path), 0o755)


def emulator_elsewhere_is_not_run():
    """Programs owned by root may do harm even with --version."""
    needs_namespace()
    with Well() as host:
        emulator(host, f"touch {host.path('was-run')}; echo 'QEMU emulator version 9.0'")
        paths = [emulator(host, f"touch {host.path('was-run')}; echo 'QEMU emulator version 9.0'", "usr/libexec/other"),
                 "/usr/libexec/other", f"/usr/libexec/../libexec/{os.path.basename(QEMU)}", "/usr/libexec/qemu-kvm/",
                 "qemu-kvm", "/usr/bin/qemu-system-/../../libexec/other", ""]
        for path in paths:
            found = check_inside(host, domain(hostdev(), more=f"<emulator>{path}</emulator>"))
            if path:
                expect(found, "qemu-unknown", "note", path, "not where distributions install QEMU")
                assert not os.path.exists(host.path("was-run")), path


# --- the domain ---


def virsh(host, text):
    """Puts a replacement for virsh first in PATH. Returns the command prefix that sets this PATH."""
    emulator(host, text, "bin/virsh")
    return ["env", f"PATH={host.path('bin')}:{os.environ['PATH']}"]


def domain_by_its_name():
    with Well() as host:
        host.write("dumped.xml", domain(hostdev()))
        wanted = "--connect qemu:///system --readonly dumpxml --domain vm 1"
        environment = virsh(host, f'[ "$*" = "{wanted}" ] || exit 9\ncat {host.path("dumped.xml")}')
        result = run(*environment, COMMAND, "check", "--sysroot", host.root, "--json", "--domain", "vm 1")
        found = document(result, "check.schema.json")
        equal((found["domain"], [device["device"] for device in found["devices"]]), ("vm1", [NIC]))


def domain_that_virsh_does_not_give():
    with Well() as host:
        def ask(text):
            result = run(*virsh(host, text), COMMAND, "check", "--sysroot", host.root, "--domain", "vm9")
            equal(result.stdout, "")
            return result

        exits(ask("echo \"error: failed to get domain 'vm9'\" >&2; exit 1"), 1, "domain vm9: virsh: exit status 1: ",
              "failed to get domain 'vm9'", "list --all")
        exits(ask("echo '<domain'"), 2, "domain vm9: domain XML:")
        exits(ask("yes"), 1, "domain vm9: virsh: printed more than")
        exits(run("env", f"PATH={host.path('none')}", COMMAND, "check", "--domain", "vm9"), 1,
              "domain vm9: virsh is not installed")


def domain_without_devices():
    with Well() as host:
        found = check_domain(host, domain())
        expect(found, "no-devices", "note", subject="domain")
        equal(found["devices"], [])


def domain_with_an_absent_device():
    with Well() as host:
        found = check_domain(host, domain(hostdev(), hostdev(bus="0xff")))
        expect(found, "absent", "problem", "no such PCI device", "virsh edit 'vm1'", subject="0000:ff:00.1")
        equal([device["device"] for device in found["devices"]], [NIC])


def arguments_that_are_wrong():
    with Well() as host:
        host.write("vm.xml", "<domain")
        exits(host.look("check", host.path("vm.xml")), 2, "vm.xml: domain XML:1")
        exits(host.look("check", host.path("none.xml")), 1, "none.xml: open: No such file")
        exits(host.look("check", "ff:00.0"), 3, "no such PCI device")
        exits(host.look("check", host.path(f"sys/bus/pci/devices/{NIC}")), 0, NIC)  # a path and a DEVICE
        with open(host.path("vm.xml"), "w", encoding="utf-8") as file:
            file.truncate(8 * 1024 * 1024 + 1)
        exits(host.look("check", host.path("vm.xml")), 1, "vm.xml: read: File too large")


TESTS = [
    the_policy_decides, devices_that_vfio_pci_refuses, a_policy_that_is_damaged, request_that_is_refused,
    request_for_another_module, request_that_is_invalid, model_in_the_domain, devices_that_nobody_manages, use_by_the_host,
    use_by_a_guest, claim_in_the_journal, entry_that_is_half_done, entry_that_is_damaged,
    entry_of_a_device_that_is_gone, not_on_vfio_though_at_boot, driver_of_a_vendor, no_way_to_reset,
    no_flr_and_an_old_libvirt, which_libvirt, libvirt_that_sees_no_modules, libvirt_in_another_network_namespace,
    libvirt_that_refuses, what_is_known_of_migration, migration_without_dma_logging, migration_with_several_devices,
    migration_that_is_required, generic_is_never_better, qemu_that_is_old, qemu_that_cannot_be_asked,
    emulator_of_others_is_not_run, emulator_elsewhere_is_not_run, domain_by_its_name, domain_that_virsh_does_not_give,
    domain_without_devices, domain_with_an_absent_device, arguments_that_are_wrong,
]
