#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of vfio-variant bind, restore and probe, on files that accept all writes without effect.

Usage: test-move.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP.
Some tests run the programs in a mount namespace in which the fake host's files are the running system's.
"""
import os
import shutil

from programs import (COMMAND, DISK, LIBVIRT_DIR, NIC, ON_VFIO, Host, exits, needs_namespace, needs_policy,
                      put_in_a_bridge)
from tap import Skip, equal, run_tests

# Keys of state files
OF_VM1 = {"domain": "vm1", "domain_uuid": "77"}
BOUND_AT_BOOT = {"pinned": "true", "at_boot": "true"}

def bind_of_what_is_bound():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "bind", ON_VFIO), 0, f"{ON_VFIO}: vfio-pci -> vfio-pci",
              "already on the best driver")
        moved = host.json_inside("bind", ON_VFIO)
        equal((moved["device"], moved["changed"], moved["error"]), (ON_VFIO, False, None))


def bind_dry_run_prints_a_script():
    needs_namespace()
    with Host() as host:
        result = host.inside(COMMAND, "bind", "--dry-run", NIC, ON_VFIO)
        exits(result, 0)
        equal(result.stdout.splitlines(),
              [f"echo vfio-pci > /sys/bus/pci/devices/{NIC}/driver_override",
               f"echo {NIC} > /sys/bus/pci/drivers/mlx5_core/unbind",
               f"echo {NIC} > /sys/bus/pci/drivers/vfio-pci/bind",
               f"# {ON_VFIO}: vfio-pci -> vfio-pci (already on the best driver)"])
        assert not os.path.exists(host.path("run/vfio-variant"))
        result = host.inside(COMMAND, "restore", "--dry-run", ON_VFIO)
        exits(result, 0, f"echo {ON_VFIO} > /sys/bus/pci/drivers/vfio-pci/unbind",
              f"echo {ON_VFIO} > /sys/bus/pci/drivers_probe")


def bind_that_fails_exits_1():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "bind", NIC), 1, f"{NIC}: no VFIO driver could be bound, returned to mlx5_core: ",
              "the kernel accepted the bind to vfio-pci, but the device is on mlx5_core")
        equal(sorted(os.listdir(host.path("run/vfio-variant"))), ["counters", f"lock-{NIC}", "lock-counters"])
        moved = host.json_inside("bind", "--jobs", "2", NIC, ON_VFIO, code=1)
        equal([one["error"] is None for one in moved], [False, True])


def many_devices(host, count):
    """Adds copies of the network card. Returns their addresses."""
    folder = host.path("sys/devices/pci0000:00/0000:00:01.0")
    addresses = [f"0000:3c:{n:02x}.0" for n in range(count)]
    for address in addresses:
        shutil.copytree(f"{folder}/{NIC}", f"{folder}/{address}", symlinks=True)
        os.symlink(f"../../../devices/pci0000:00/0000:00:01.0/{address}", host.path(f"sys/bus/pci/devices/{address}"))
    return addresses


def bind_of_many_at_once():
    """Eight threads each log about their own device. Without a kernel, all binds fail here."""
    needs_namespace()
    with Host() as host:
        addresses = many_devices(host, 24)
        moved = host.json_inside("bind", "--force", "--jobs", "8", *addresses, code=1)
        equal([one["device"] for one in moved], addresses)
        for one in moved:
            assert one["error"].startswith(f"{one['device']}: no VFIO driver could be bound, returned to mlx5_core"), one
        equal(sorted(os.listdir(host.path("run/vfio-variant"))),
              sorted([f"lock-{address}" for address in addresses] + ["lock-counters", "counters"]))
        counted = host.read("run/vfio-variant/counters")
        assert "failed=24\n" in counted and "bind=24\n" in counted, counted


def bind_of_what_the_host_uses_exits_4():
    needs_namespace()
    with Host() as host:
        put_in_a_bridge(host)
        exits(host.inside(COMMAND, "bind", NIC), 4, "is in use by the host: network interface ens1 is part of br0",
              "--force")
        exits(host.inside(COMMAND, "bind", "--force", NIC), 1, "the kernel accepted the bind")
        exits(host.inside(COMMAND, "bind", NIC, "--driver", "../x", "--force"), 2, "'../x' is not a valid driver name")


def bind_without_an_iommu_exits_4():
    needs_namespace()
    with Host() as host:
        os.unlink(host.path(host.device("iommu_group")))
        exits(host.inside(COMMAND, "bind", NIC), 4, "it has no IOMMU group")


def restore_respects_domains():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "restore", "--all"), 0, "nothing to restore\n")
        host.state_file(**OF_VM1)
        exits(host.inside(COMMAND, "restore", "--all"), 0, "nothing to restore\n")
        exits(host.inside(COMMAND, "restore", NIC), 4, f"{NIC} belongs to domain vm1")
        exits(host.inside(COMMAND, "restore", "--force", NIC), 0, f"{NIC}: mlx5_core -> mlx5_core",
              "already on its host driver")
        assert not os.path.exists(host.path(f"run/vfio-variant/{NIC}"))


# --- probe ---


def probe_of_the_generic_driver():
    needs_namespace()
    with Host() as host:
        result = host.inside(COMMAND, "probe", ON_VFIO)
        exits(result, 0)
        equal(result.stdout, f"{ON_VFIO}: vfio-pci: cannot migrate: the driver does not support it\n")
        found = host.json_inside("probe", ON_VFIO)
        equal(found, {"device": ON_VFIO, "driver": "vfio-pci", "migratable": False, "stop_copy": False, "p2p": False,
                      "pre_copy": False, "dma_logging": False, "iommu_logging": None, "error": None})


def probe_of_a_host_driver_exits_4():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "probe", NIC), 4, f"{NIC} is on mlx5_core", f"vfio-variant bind {NIC}")
        found = host.json_inside("probe", NIC, ON_VFIO, code=4)
        equal([one["migratable"] for one in found], [None, False])
        equal([one["driver"] for one in found], ["mlx5_core", "vfio-pci"])
        assert "is on mlx5_core" in found[0]["error"]
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if NIC in name], [f"lock-{NIC}"])


def probe_respects_domains():
    """Also between libvirt's detach and the start of QEMU, when no process has the device open."""
    needs_namespace()
    with Host() as host:
        modalias = host.read(f"sys/bus/pci/devices/{ON_VFIO}/modalias").strip()
        host.state_file(ON_VFIO, modalias, state="recorded", host_driver="nvme", **OF_VM1)
        exits(host.inside(COMMAND, "probe", ON_VFIO), 4, f"{ON_VFIO} belongs to domain vm1",
              f"restore --force {ON_VFIO}")
        exits(host.inside(COMMAND, "probe", "--force", ON_VFIO), 2)


def probe_that_cannot_ask_exits_1():
    """Neither the fake host's group nor the machine has the device node."""
    needs_namespace()
    if os.path.exists("/dev/vfio/9"):
        raise Skip("there is a /dev/vfio/9")
    with Host() as host:
        host.link(host.device("driver", ON_VFIO), "../../../../bus/pci/drivers/mlx5_vfio_pci")
        found = host.json_inside("probe", ON_VFIO, code=1)
        equal((found["driver"], found["migratable"]), ("mlx5_vfio_pci", None))
        assert "/dev/vfio/" in found["error"], found["error"]
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if "migration" in name], [])


def bind_goes_by_host_use():
    needs_policy()
    with Host() as host:
        put_in_a_bridge(host)
        for term, code, text in (
                ("refuse", 4, f"{NIC} is in use by the host: network interface ens1"),
                ("warn", 1, f"warning: {NIC} is in use by the host, which policy {LIBVIRT_DIR}/vfio-variant.xml:2 "
                            "allows: network interface ens1")):
            host.policy(f"<device address='{NIC}' host-use='{term}'/>")
            result = host.inside(COMMAND, "bind", NIC)
            exits(result, code, text)
            equal("the kernel accepted the bind" in result.stderr, term == "warn")  # it was tried
            exits(host.inside(COMMAND, "bind", "--force", NIC), 1, "the kernel accepted the bind")


def bind_with_a_driver_gets_past_the_policy():
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{NIC}' driver='nowhere' fallback='none'/>")
        exits(host.inside(COMMAND, "bind", NIC), 4,
              f"policy {LIBVIRT_DIR}/vfio-variant.xml:2 allows no other driver: {NIC}: no VFIO driver could be bound")
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if name == NIC], [])
        result = host.inside(COMMAND, "bind", "--dry-run", "--driver", "vfio-pci", NIC)
        exits(result, 0, f"echo {NIC} > /sys/bus/pci/drivers/vfio-pci/bind")
        exits(host.inside(COMMAND, "bind", "--driver", "vfio-pci", NIC), 1, "the kernel accepted the bind to vfio-pci")


def bind_at_boot_goes_by_the_policy():
    needs_policy()
    with Host() as host:
        for rules in ("", f"<device address='{NIC}' at-boot='no'/>"):
            host.policy(rules)
            result = host.inside(COMMAND, "bind", "--at-boot")
            exits(result, 0)
            equal(result.stdout, "")
        host.policy(f"<device address='{NIC}' driver='generic' at-boot='yes'/>")
        script = host.inside(COMMAND, "bind", "--dry-run", NIC).stdout
        for devices in ([], [NIC], [DISK, NIC], ["0000:*"]):
            result = host.inside(COMMAND, "bind", "--at-boot", "--dry-run", *devices)
            exits(result, 0)
            equal(result.stdout, script)
        exits(host.inside(COMMAND, "bind", "--at-boot", NIC), 1, "the kernel accepted the bind")
        equal(host.json_inside("bind", "--at-boot", DISK), [])
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if DISK in name], [])  # not even a lock


def bind_at_boot_is_asked_for_in_vain():
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{NIC}' at-boot='yes'/>")
        for option in (["--force"], ["--driver", "vfio-pci"]):
            exits(host.inside(COMMAND, "bind", "--at-boot", *option, NIC), 2, "--at-boot follows the policy")
        exits(host.inside(COMMAND, "bind", "--at-boot", "99:00.0"), 3, "no such PCI device")
        host.state_file(state="recorded", **OF_VM1)
        exits(host.inside(COMMAND, "bind", "--at-boot"), 4, f"{NIC} belongs to domain vm1")
        os.unlink(host.path(f"run/vfio-variant/{NIC}"))
        put_in_a_bridge(host)
        exits(host.inside(COMMAND, "bind", "--at-boot"), 4, f"{NIC} is in use by the host")


def bind_at_boot_passes_over_what_is_done():
    """Skips devices that are on the right driver, including those of a domain."""
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{ON_VFIO}' at-boot='yes'/>")
        modalias = host.json("match", ON_VFIO)["modalias"]
        for more in (BOUND_AT_BOOT, {"pinned": "true"}, {**BOUND_AT_BOOT, **OF_VM1}):
            host.state_file(ON_VFIO, modalias, **more)
            result = host.inside(COMMAND, "bind", "--at-boot")
            exits(result, 0)
            equal(result.stdout, "")


def restore_at_boot_knows_what_was_bound_by_hand():
    needs_policy()
    with Host() as host:
        exits(host.inside(COMMAND, "restore", "--at-boot"), 0, "nothing to restore")
        exits(host.inside(COMMAND, "restore", "--at-boot", NIC), 2, "DEVICEs, --all and --at-boot exclude each other")
        exits(host.inside(COMMAND, "restore", "--at-boot", "--all"), 2, "DEVICEs, --all and --at-boot exclude each other")
        for more, restored in (({"pinned": "true"}, False), ({**BOUND_AT_BOOT, **OF_VM1}, False), (BOUND_AT_BOOT, True)):
            host.state_file(**more)
            equal(host.json("list", NIC)[0]["at_boot"], "at_boot" in more)
            exits(host.inside(COMMAND, "restore", "--at-boot"), 0,
                  "already on its host driver" if restored else "nothing to restore")
            equal(os.path.exists(host.path(f"run/vfio-variant/{NIC}")), not restored)


def entries_go_with_their_devices():
    """Drops state files of missing devices, except those of domains, which vfio-variant-monitor handles."""
    needs_policy()
    with Host() as host:
        for more, left in (({"pinned": "true"}, False), (OF_VM1, True)):
            host.state_file("0000:99:00.0", "pci:v1", **more)
            exits(host.inside(COMMAND, "bind", "--at-boot"), 0)
            equal(os.path.exists(host.path("run/vfio-variant/0000:99:00.0")), left)


def bind_under_a_broken_policy():
    needs_policy()
    with Host() as host:
        host.policy("<device/>")
        exits(host.inside(COMMAND, "bind", "--dry-run", NIC), 0, f"warning: policy: {LIBVIRT_DIR}/vfio-variant.xml:2:",
              f"echo {NIC} > /sys/bus/pci/drivers/vfio-pci/bind")


def bind_of_what_cannot_migrate_exits_4():
    """Refused before anything is written."""
    needs_policy()
    with Host() as host:
        host.policy("<default migratable='require'/>")
        moved = host.json_inside("bind", ON_VFIO, code=4)
        assert f"which policy {LIBVIRT_DIR}/vfio-variant.xml:2 requires" in moved["error"], moved["error"]


TESTS = [
    bind_of_what_is_bound, bind_dry_run_prints_a_script, bind_that_fails_exits_1, bind_of_many_at_once,
    bind_of_what_the_host_uses_exits_4, bind_without_an_iommu_exits_4, restore_respects_domains,
    probe_of_the_generic_driver, probe_of_a_host_driver_exits_4, probe_respects_domains,
    probe_that_cannot_ask_exits_1, bind_goes_by_host_use, bind_with_a_driver_gets_past_the_policy,
    bind_at_boot_goes_by_the_policy, bind_at_boot_is_asked_for_in_vain, bind_at_boot_passes_over_what_is_done,
    restore_at_boot_knows_what_was_bound_by_hand, entries_go_with_their_devices, bind_under_a_broken_policy,
    bind_of_what_cannot_migrate_exits_4,
]

run_tests(TESTS)
