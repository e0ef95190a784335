#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What check and status find: each finding is seen to catch its fault, and a host that is well has no problem.

Usage: test-check.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP.
"""
import json
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import time

from programs import (COMMAND, HOOK, QUIET, SCHEMAS, SYSCONFDIR, Daemon, Host, as_nobody, exits, needs_namespace, run,
                      valid)
from tap import Skip, equal, run_tests

NIC, DISK, ON_VFIO = "0000:3b:00.1", "0000:04:00.0", "0000:05:00.0"
MODALIAS = "pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00"
RELEASE = "6.1.0-test"
MODULES = f"lib/modules/{RELEASE}"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
LIBVIRT = f"{SYSCONFDIR}/libvirt"
QEMU = "usr/libexec/qemu-kvm"
HOOK_LINK = f"{LIBVIRT}/hooks/qemu.d/vfio-variant"
LIBVIRT_PID = 4711

TRIGGERED = {}  # id: the severities with which a test has triggered it
SKIPPED = set()  # ids that could not be triggered here


IOMMUFD = "<driver iommufd='yes'/>"

# --- a host that is well ---


def module_file(name, aliases, exports=(), needs=()):
    """The least that depmod takes for a module: an ELF object with a .modinfo, and the symbols that it has and wants."""
    contents = [
        (".modinfo", 1, b"".join(f"{key}={value}\0".encode() for key, value in
                                 [("name", name)] + [("alias", alias) for alias in aliases])),
        ("__ksymtab_strings", 1, b"".join(symbol.encode() + b"\0" for symbol in exports) or b"\0"),
    ]
    names = b"\0"

    def named(text):
        nonlocal names
        names += text.encode() + b"\0"
        return len(names) - len(text) - 1

    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", named(symbol), 0x10, 0, 0, 0, 0) for symbol in needs)
    offsets = [named(section) for section, _, _ in contents] + [named(".symtab"), named(".strtab")]
    contents += [(".symtab", 2, symbols), (".strtab", 3, names)]
    headers, body = bytes(64), b""
    for offset, (section, kind, data) in zip(offsets, contents):
        headers += struct.pack("<IIQQQQIIQQ", offset, kind, 0, 0, 64 + len(body), len(data), 4 if section == ".symtab" else 0,
                               1 if section == ".symtab" else 0, 1, 24 if section == ".symtab" else 0)
        body += data
    return b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, 5, 4) + body + headers


SIGNATURE = bytes(16) + struct.pack(">BBBBB3xI", 0, 4, 1, 0, 0, 16) + b"~Module signature appended~\n"


def add_module(host, name, *aliases, signed=False, packed=False, **symbols):
    """A module's file; depmod is to be run afterwards."""
    contents = module_file(name, aliases, **symbols) + (SIGNATURE if signed else b"")
    path = host.path(f"{MODULES}/kernel/{name}.ko{'.xz' if packed else ''}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(lzma.compress(contents) if packed else contents)


def depmod(host):
    if not shutil.which("depmod"):
        raise Skip("no depmod")
    exits(run("depmod", "-b", host.root, RELEASE), 0)


class Well(Host):
    """A host on which nothing is wrong: modules that can be loaded, resets, libvirt, which knows the hook."""

    def __enter__(self):
        super().__enter__()
        os.chmod(self.root, 0o755)
        self.add_modules()
        for name in (NIC, DISK, ON_VFIO):
            self.write(f"sys/bus/pci/devices/{name}/reset_method", "flr bus\n")
        self.write("usr/sbin/vfio-variant-hook", "#!/bin/sh\n")
        os.chmod(self.path("usr/sbin/vfio-variant-hook"), 0o755)
        self.link(HOOK_LINK, "/usr/sbin/vfio-variant-hook")
        self.add_libvirt(9009, started=time.time() + 3600)
        return self

    def policy_mount(self):
        """And what shows QEMU there, where the host has one"""
        if not os.path.exists(self.path(QEMU)):
            return super().policy_mount()
        folder = f"/{os.path.dirname(QEMU)}"
        return (super().policy_mount() +
                f" && mount -t overlay -o lowerdir={self.path(folder.lstrip('/'))}:{folder} none {folder}")

    def add_modules(self, **manner):
        add_module(self, "vfio_pci", "vfio_pci:v*d*sv*sd*bc*sc*i*")
        add_module(self, "mlx5_vfio_pci", "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", **manner)
        add_module(self, "special_vfio_pci", "vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i*", **manner)
        depmod(self)

    def link(self, path, target):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        if os.path.lexists(self.path(path)):
            os.unlink(self.path(path))
        os.symlink(target, self.path(path))

    def device(self, file, address=NIC):
        return f"sys/devices/pci0000:00/0000:00:01.0/{address}/{file}"

    def add_device(self, address, modalias=MODALIAS, driver=None):
        self.write(self.device("modalias", address), modalias + "\n")
        self.write(self.device("driver_override", address), "(null)\n")
        self.write(self.device("reset_method", address), "flr bus\n")
        self.link(f"sys/bus/pci/devices/{address}", f"../../../devices/pci0000:00/0000:00:01.0/{address}")
        if driver:
            self.set_driver(address, driver)

    def set_driver(self, address, driver, module=None):
        os.makedirs(self.path(f"sys/bus/pci/drivers/{driver}"), exist_ok=True)
        module = module or driver.replace("-", "_")
        self.link(f"sys/bus/pci/drivers/{driver}/module", f"../../../../module/{module}")
        self.link(f"sys/module/{module}/drivers/pci:{driver}", f"../../../bus/pci/drivers/{driver}")
        self.link(self.device("driver", address), f"../../../../bus/pci/drivers/{driver}")

    def add_libvirt(self, version, started, name="libvirtd"):
        """@version: MAJOR * 1000 + MINOR; 0: it cannot be seen"""
        boot = 1700000000
        ticks = int((started - boot) * os.sysconf("SC_CLK_TCK"))
        self.write("proc/stat", f"cpu 1 2 3\nbtime {boot}\nprocesses 1\n")
        self.write(f"proc/{LIBVIRT_PID}/stat", f"{LIBVIRT_PID} ({name}) S " + "1 " * 18 + f"{ticks} 1 1\n")
        if version:
            self.write(f"proc/{LIBVIRT_PID}/maps",
                       f"7f0000000000-7f0000001000 r-xp 00000000 08:01 1 /usr/lib/libvirt.so.0.{version}.0\n")
        elif os.path.exists(self.path(f"proc/{LIBVIRT_PID}/maps")):
            os.unlink(self.path(f"proc/{LIBVIRT_PID}/maps"))

    def add_holder(self, number, pid=812):
        """A process that has a character device open."""
        self.write(f"proc/{pid}/comm", "qemu-system-x86\n")
        os.makedirs(self.path(f"proc/{pid}/fd"))
        os.symlink("/usr/bin/program", self.path(f"proc/{pid}/exe"))
        node = self.path(f"dev/{pid}/vfio/{number[1]}")
        os.makedirs(os.path.dirname(node))
        os.symlink(node, self.path(f"proc/{pid}/fd/7"))
        try:
            os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(*number))
        except PermissionError as reason:
            raise Skip("mknod is not allowed") from reason

    def journal(self, address=NIC, modalias=MODALIAS, **more):
        values = {"address": address, "modalias": modalias, "state": "detached", "home-known": "true",
                  "home-driver": "mlx5_core", **{key.replace("_", "-"): value for key, value in more.items()}}
        self.write(f"run/vfio-variant/{address}", "[device]\n" + "".join(f"{k}={v}\n" for k, v in values.items()))

    def noted(self, driver, stop_copy, p2p="false", dma_logging="true", iommu_logging=None):
        self.write(f"run/vfio-variant/migration-{driver}-{MODALIAS}",
                   f"[migration]\ndriver={driver}\nmodalias={MODALIAS}\nstop-copy={stop_copy}\np2p={p2p}\n"
                   f"pre-copy=false\ndma-logging={dma_logging}\n"
                   + (f"iommu-logging={iommu_logging}\n" if iommu_logging else ""))


# --- what is found ---


def document(result, schema):
    assert result.returncode in (0, 1), result.stderr
    found = json.loads(result.stdout)
    valid(found, schema)
    return found


def findings_of(found):
    devices = found["devices"] if "ok" in found else []  # of check; status has their number there
    return [one for device in devices for one in device["findings"]] + found["findings"]


def check(host, *arguments):
    """What check says as JSON; its exit status and its "ok" have to agree."""
    result = host.look("check", "--json", *arguments)
    found = document(result, "check.schema.json")
    problems = [one for one in findings_of(found) if one["severity"] == "problem"]
    equal((result.returncode, found["ok"]), (1, False) if problems else (0, True))
    for device in found["devices"]:
        equal(device["ok"], all(one["severity"] != "problem" for one in device["findings"]))
    return found


def status(host, answer=QUIET):
    """What status says as JSON of a daemon with this answer; None: none runs"""
    if answer is None:
        result = host.look("status", "--json")
    else:
        with Daemon(host, answer) as daemon:
            result = host.look("status", "--json")
        os.unlink(daemon.path)
    found = document(result, "status.schema.json")
    problems = [one for one in found["findings"] if one["severity"] == "problem"]
    equal(result.returncode, 1 if problems or answer is None else 0)
    return found


def expect(found, name, severity, *texts, subject="host"):
    """One finding of this kind and severity, with each of the texts in it. Returns it."""
    ones = [one for one in findings_of(found) if one["id"] == name]
    assert ones, f"no {name}: {[one['id'] for one in findings_of(found)]}"
    matching = [one for one in ones if one["severity"] == severity and one["subject"] == subject and
                all(text in " ".join(filter(None, (one["what"], one["why"], one["cure"]))) for text in texts)]
    assert matching, f"not as expected: {ones}"
    TRIGGERED.setdefault(name, set()).add(severity)
    return matching[0]


def lacks(found, *names):
    for one in findings_of(found):
        assert one["id"] not in names, one


def triggers(*names):
    """For a test that may be skipped: these ids are triggered by no other."""
    def decorate(test):
        def wrapped():
            try:
                test()
            except Skip:
                SKIPPED.update(names)
                raise
        wrapped.__name__ = test.__name__
        return wrapped
    return decorate


def domain(*hostdevs, more="", metadata="", name="vm1"):
    return (f"<domain><name>{name}</name><uuid>{UUID}</uuid>{metadata}<devices>{more}" + "".join(hostdevs) +
            "</devices></domain>")


def hostdev(managed="yes", more="", bus="0x3b", function="1"):
    return (f"<hostdev mode='subsystem' type='pci' managed='{managed}'>{more}<source><address domain='0' bus='{bus}' "
            f"slot='0' function='{function}'/></source><alias name='ua-nic'/></hostdev>")


def check_domain(host, xml):
    host.write("vm.xml", xml)
    return check(host, host.path("vm.xml"))


# --- a host that is well ---


def a_device_that_is_well():
    with Well() as host:
        found = check(host, NIC)
        equal({one["severity"] for one in findings_of(found)}, {"note"})
        device = found["devices"][0]
        equal((device["device"], device["driver"], device["module"]), (NIC, None, "special_vfio_pci"))
        equal((device["rule"], device["fallback"], device["migratable"]), (None, ["mlx5_vfio_pci", "vfio-pci"], None))
        result = host.look("check", NIC)
        exits(result, 0)
        equal(result.stdout.splitlines()[0],
              f"{NIC}: would get special_vfio_pci (best by alias vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i*, "
              "3 wildcards); if that fails mlx5_vfio_pci, then vfio-pci")
        equal(result.stderr, "")


def a_host_that_is_well():
    with Well() as host:
        found = status(host)
        equal({one["severity"] for one in found["findings"]}, {"ok", "note"})
        expect(found, "hook-seen", "ok", "process 4711")
        expect(found, "libvirt-version", "note", "libvirt 9.9.0", "libvirtd", "starts and hot plug")


def nothing_is_changed():
    with Well() as host:
        def tree():
            return {os.path.join(folder, name): os.lstat(os.path.join(folder, name)).st_mtime_ns
                    for folder, folders, files in os.walk(host.root) for name in folders + files}
        before = tree()
        check(host, "*")
        status(host, None)
        equal(tree(), before)


def text_has_the_worst_first():
    with Well() as host:
        os.unlink(host.path(host.device("iommu_group")))
        os.unlink(host.path(host.device("reset_method")))
        result = host.look("check", NIC)
        exits(result, 1)
        kinds = re.findall(r"^  (problem|warning|note|ok) +.* \[([a-z-]+)\]$", result.stdout, re.MULTILINE)
        equal(kinds[:2], [("problem", "iommu-off"), ("warning", "no-reset")])
        assert "\n           -> firmware setup" in result.stdout, result.stdout
        exits(host.look("status"), 1, "host:\n  warning  vfio-variantd is not running [daemon-off]\n")


# --- IOMMU ---


def iommu_that_is_off():
    def cure(host):
        return expect(check(host, NIC), "iommu-off", "problem", subject=NIC)["cure"]

    with Well() as host:
        os.unlink(host.path(host.device("iommu_group")))
        assert "firmware setup" in cure(host)
        host.write("sys/firmware/acpi/tables/IVRS", "")
        assert "amd_iommu" in cure(host)
        host.write("sys/firmware/acpi/tables/DMAR", "")
        assert "intel_iommu=on" in cure(host)
        os.makedirs(host.path("sys/class/iommu/dmar0"))
        equal(cure(host), None)
        lacks(check(host, DISK), "iommu-off")
        lacks(status(host), "iommu-off")
        shutil.rmtree(host.path("sys/kernel/iommu_groups"))
        expect(status(host), "iommu-off", "problem")


def no_iommu_mode():
    with Well() as host:
        os.unlink(host.path(host.device("iommu_group")))
        host.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
        expect(check(host, NIC), "no-iommu", "warning", subject=NIC)
        host.link(host.device("iommu_group"), "../../../../kernel/iommu_groups/41")
        lacks(check(host, NIC), "no-iommu")
        host.write("sys/kernel/iommu_groups/41/name", "vfio-noiommu\n")
        expect(check(host, NIC), "no-iommu", "warning", subject=NIC)


def a_neighbour_in_the_group():
    with Well() as host:
        host.link(f"sys/kernel/iommu_groups/41/devices/{DISK}", f"../../../../bus/pci/devices/{DISK}")
        expect(check(host, NIC), "group", "problem", f"{DISK}, in the same IOMMU group 41, is on nvme",
               f"vfio-variant bind {DISK}", subject=NIC)
        lacks(check(host, NIC, DISK), "group")  # it goes along
        expect(check_domain(host, domain(hostdev())), "group", "problem", subject=NIC)
        found = check_domain(host, domain(hostdev(), hostdev(bus="4", function="0")))
        lacks(found, "group")
        equal([device["device"] for device in found["devices"]], [NIC, DISK])


def group_of(host, *members, number="41", driver=None):
    """Devices that join the IOMMU group of NIC, on this driver."""
    for address in members:
        host.add_device(address, driver=driver)
        host.link(host.device("iommu_group", address), f"../../../../kernel/iommu_groups/{number}")
        host.link(f"sys/kernel/iommu_groups/{number}/devices/{address}", f"../../../../bus/pci/devices/{address}")


def a_neighbour_that_the_host_uses():
    """A NIC of the host's in a bridge: that it could be bound is no remedy. Any other neighbour is bound."""
    other, smbus = "0000:00:1f.6", "0000:80:1f.4"
    with Well() as host:
        group_of(host, other, driver="e1000e")
        group_of(host, smbus, driver="i801_smbus")
        host.write(host.device("net/eno1/flags", other), "0x1003\n")
        host.link("sys/class/net/eno1", f"../../devices/pci0000:00/0000:00:01.0/{other}/net/eno1")
        host.link(host.device("net/eno1/master", other), "../../../../../virtual/net/br0")
        found = check(host, NIC)
        one = expect(found, "group", "problem", f"{other}, in the same IOMMU group 41, is on e1000e",
                     "network interface eno1 is part of br0", "another slot", subject=NIC)
        assert "bind" not in one["cure"], one
        expect(found, "group", "problem", f"{smbus}, in the same IOMMU group 41, is on i801_smbus", subject=NIC)
        equal([one["cure"] for one in findings_of(found) if smbus in one["what"]], [f"vfio-variant bind {smbus}"])
        equal(host.look("list", "-n", "-o", "VIABLE", NIC).stdout.split(), ["no"])


def a_neighbour_on_a_variant_before_6_1():
    """Kernels from 5.16 on have aliases for VFIO, and show vfio-dev/ only from 6.1 on."""
    sibling = "0000:3b:00.2"
    with Well() as host:
        group_of(host, sibling, driver="mlx5_vfio_pci")
        shutil.rmtree(host.path("sys/class/vfio-dev"), ignore_errors=True)
        lacks(check(host, NIC), "group")
        equal(host.look("list", "-n", "-o", "DEVICE,VIABLE", NIC, sibling).stdout.split(), [NIC, "yes", sibling, "no"])  # NIC itself
        host.set_driver(sibling, "mlx5_core")
        expect(check(host, NIC), "group", "problem", f"{sibling}, in the same IOMMU group 41, is on mlx5_core", subject=NIC)


GPU, AUDIO, USB = "0000:41:00.0", "0000:41:00.1", "0000:41:00.2"
GPU_MODALIAS = "pci:v000010DEd000026B9sv000010DEsd00001851bc03sc{}i00"


def companions_of_a_gpu():
    """Its audio function is linked to it and in another IOMMU group, its USB controller is not linked."""
    with Well() as host:
        host.add_device(GPU, GPU_MODALIAS.format("02"), driver="nvidia")
        host.add_device(AUDIO, "pci:v000010DEd000022BAsv000010DEsd00001851bc04sc03i00", driver="snd_hda_intel")
        for number, address in (("30", GPU), ("31", AUDIO)):
            host.link(host.device("iommu_group", address), f"../../../../kernel/iommu_groups/{number}")
            host.link(f"sys/kernel/iommu_groups/{number}/devices/{address}", f"../../../../bus/pci/devices/{address}")
        host.link(host.device(f"consumer:pci:{AUDIO}", GPU), f"../../../virtual/devlink/pci:{GPU}--pci:{AUDIO}")
        one = expect(check(host, GPU), "companion", "warning", f"{AUDIO}, its audio function", "on snd_hda_intel",
                     subject=GPU)
        equal(one["cure"], f"vfio-variant bind {AUDIO}")
        lacks(check(host, AUDIO), "companion")
        lacks(check(host, GPU, AUDIO), "companion")  # it goes along
        equal([one["id"] for one in findings_of(check(host, GPU))].count("companion"), 1)
        host.set_driver(AUDIO, "vfio-pci")
        lacks(check(host, GPU), "companion")
        os.unlink(host.path(host.device("driver", AUDIO)))
        lacks(check(host, GPU), "companion")
        host.add_device(USB, "pci:v000010DEd00001AD8sv000010DEsd00001851bc0Csc03i30", driver="xhci_hcd")
        expect(check(host, GPU), "companion", "warning", f"{USB}, its USB function", subject=GPU)
        host.link(host.device("iommu_group", USB), "../../../../kernel/iommu_groups/30")
        host.link(f"sys/kernel/iommu_groups/30/devices/{USB}", f"../../../../bus/pci/devices/{USB}")
        found = check(host, GPU)  # the same group says it all
        expect(found, "group", "problem", USB, subject=GPU)
        lacks(found, "companion")
    with Well() as host:  # AMD's processors with graphics: the host's own USB and audio in the GPU's slot
        host.add_device(GPU, GPU_MODALIAS.format("00"))
        for function, code in (("3", "0Csc03i30"), ("4", "0Csc03i30"), ("6", "04sc03i00")):
            host.add_device(f"{GPU[:-1]}{function}", f"pci:v00001022d00001639sv00001022sd00001639bc{code}", driver="x")
        lacks(check(host, GPU), "companion")


def companion_that_is_no_gpus():
    """Whatever the kernel links is told; another function of a NIC is not."""
    with Well() as host:
        host.add_device("0000:3b:00.2", driver="mlx5_core")
        lacks(check(host, NIC), "companion")
        host.link(host.device("consumer:pci:0000:3b:00.2"), "../../../virtual/devlink/x")
        os.makedirs(host.path(host.device("net/ens2", "0000:3b:00.2")))
        host.link("sys/class/net/ens2", "../../devices/pci0000:00/0000:00:01.0/0000:3b:00.2/net/ens2")
        host.link("sys/class/net/ens2/master", "../br0")
        one = expect(check(host, NIC), "companion", "warning", "0000:3b:00.2, which depends on it", "ens2 is part of br0",
                     subject=NIC)
        assert "bind" not in one["cure"], one


def boot_console_in_a_gpu():
    with Well() as host:
        host.add_device(GPU, GPU_MODALIAS.format("00"))
        host.write(host.device("resource", GPU), "0x00000000d8000000 0x00000000d8ffffff 0x0000000000040200\n"
                   "0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n" + "0x0 0x0 0x0\n" * 11)
        host.write("proc/iomem", f"e0000000-efffffff : {GPU}\n  e0000000-e02fffff : efifb\n")
        one = expect(check(host, GPU), "boot-framebuffer", "warning", "BAR 1 (efifb)", "until it boots again", subject=GPU)
        equal(one["cure"], None)
        os.rename(host.path(MODULES), host.path("lib/modules/5.14.21"))
        one = expect(check(host, GPU), "boot-framebuffer", "warning", "cannot reserve that BAR", "sysfb_init", subject=GPU)
        host.link("sys/bus/platform/drivers/efi-framebuffer/efi-framebuffer.0", "../../../../devices/platform/x")
        one = expect(check(host, GPU), "boot-framebuffer", "warning", subject=GPU)
        equal(one["cure"], "echo efi-framebuffer.0 >/sys/bus/platform/drivers/efi-framebuffer/unbind")
        for text in ("00000000-00000000 : efifb\n", "f0000000-f02fffff : efifb\n", "e0000000-e02fffff : nvidia\n", "efifb"):
            host.write("proc/iomem", text)
            lacks(check(host, GPU), "boot-framebuffer")
        os.rename(host.path("lib/modules/5.14.21"), host.path(MODULES))
        host.write("proc/iomem", "d8000000-d82fffff : BOOTFB\n")  # a 3D controller: vfio_pci_vga_init() is for VGA only
        host.write(host.device("modalias", GPU), GPU_MODALIAS.format("02") + "\n")
        expect(check(host, GPU), "boot-framebuffer", "warning", "BAR 0 (BOOTFB)", "cannot reserve", subject=GPU)


# --- modules ---


def module_that_is_missing():
    with Well() as host:
        os.unlink(host.path(f"{MODULES}/kernel/special_vfio_pci.ko"))
        found = check(host, NIC)
        expect(found, "module-missing", "warning", "special_vfio_pci", f"depmod {RELEASE}", subject=NIC)
        equal((found["devices"][0]["module"], found["devices"][0]["fallback"]), ("mlx5_vfio_pci", ["vfio-pci"]))
        host.policy("<device address='3b:00.1' driver='special_vfio_pci' fallback='none'/>")
        found = check(host, NIC)
        expect(found, "module-missing", "problem", "special_vfio_pci", subject=NIC)
        expect(found, "no-driver", "problem", "would not start", subject=NIC)


def module_that_another_needs():
    with Well() as host:
        add_module(host, "vfio_pci_core", exports=["vfio_pci_core_enable"])
        add_module(host, "special_vfio_pci", "vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i*",
                   needs=["vfio_pci_core_enable"])
        depmod(host)
        lacks(check(host, NIC), "module-missing")
        os.unlink(host.path(f"{MODULES}/kernel/vfio_pci_core.ko"))
        expect(check(host, NIC), "module-missing", "warning", "vfio_pci_core", "which special_vfio_pci needs", subject=NIC)
        os.makedirs(host.path("sys/module/vfio_pci_core"))
        lacks(check(host, NIC), "module-missing")


def module_of_another_kernel():
    """What is loaded says nothing of another kernel, when it is known which one runs."""
    with Well() as host:
        os.unlink(host.path(f"{MODULES}/kernel/vfio_pci.ko"))
        lacks(check(host, DISK), "module-missing")
        host.write("proc/sys/kernel/osrelease", "6.9.0-other\n")
        expect(check(host, "--kernel", RELEASE, DISK), "module-missing", "problem", "vfio_pci", subject=DISK)
        host.write("proc/sys/kernel/osrelease", f"{RELEASE}\n")
        lacks(check(host, DISK), "module-missing")


def module_that_is_forbidden():
    with Well() as host:
        host.write("etc/modprobe.d/x.conf", "install special_vfio_pci /bin/false\n")
        found = check(host, NIC)
        one = expect(found, "module-forbidden", "warning", "'/bin/false'", subject=NIC)
        equal(shown_by(host, one), ["etc/modprobe.d/x.conf:1"])
        equal(found["devices"][0]["module"], "mlx5_vfio_pci")
        host.write("etc/modprobe.d/x.conf", "install special_vfio_pci /sbin/modprobe --ignore-install special_vfio_pci\n")
        equal(check(host, NIC)["devices"][0]["module"], "special_vfio_pci")
        host.write("etc/modprobe.d/x.conf", "install vfio_pci /bin/true\n")
        lacks(check(host, DISK), "module-forbidden")  # it is loaded
        shutil.rmtree(host.path("sys/module/vfio_pci"))
        expect(check(host, DISK), "module-forbidden", "problem", subject=DISK)
        expect(status(host), "module-forbidden", "problem")


def module_that_is_not_signed():
    with Well() as host:
        lacks(check(host, NIC), "module-unsigned")
        for path, off, on in (("sys/kernel/security/lockdown", "[none] integrity confidentiality\n",
                               "none [integrity] confidentiality\n"),
                              ("sys/module/module/parameters/sig_enforce", "N\n", "Y\n")):
            host.write(path, off)
            lacks(check(host, NIC), "module-unsigned")
            host.write(path, on)
            found = check(host, NIC)
            expect(found, "module-unsigned", "warning", "special_vfio_pci", subject=NIC)
            expect(found, "module-unsigned", "warning", "mlx5_vfio_pci", subject=NIC)
            equal(found["devices"][0]["module"], "vfio_pci")  # loaded
            host.write(path, off)
        host.write("sys/module/module/parameters/sig_enforce", "Y\n")
        host.policy("<device address='3b:00.1' driver='special_vfio_pci' fallback='none'/>")
        expect(check(host, NIC), "module-unsigned", "problem", subject=NIC)


def module_that_is_signed():
    for manner in ({"signed": True}, {"signed": True, "packed": True}):
        with Well() as host:
            shutil.rmtree(host.path(f"{MODULES}/kernel"))
            host.write("sys/module/module/parameters/sig_enforce", "Y\n")
            host.add_modules(**manner)
            found = check(host, NIC)
            lacks(found, "module-unsigned", "module-missing")
            equal(found["devices"][0]["module"], "special_vfio_pci")
    with Well() as host:  # not signed, and packed
        shutil.rmtree(host.path(f"{MODULES}/kernel"))
        host.write("sys/module/module/parameters/sig_enforce", "Y\n")
        host.add_modules(packed=True)
        expect(check(host, NIC), "module-unsigned", "warning", "special_vfio_pci", subject=NIC)


def module_that_is_blacklisted():
    with Well() as host:
        host.write("etc/modprobe.d/x.conf", "blacklist special_vfio_pci\n")
        found = check(host, NIC)
        one = expect(found, "blacklisted", "note", "special_vfio_pci is passed over: ", subject=NIC)
        equal(shown_by(host, one), ["etc/modprobe.d/x.conf:1"])
        equal(found["devices"][0]["module"], "mlx5_vfio_pci")
        host.write("etc/modprobe.d/x.conf", "# a dash is as good\nblacklist\tspecial-vfio-pci\n")
        one = expect(check(host, NIC), "blacklisted", "note", subject=NIC)
        equal(shown_by(host, one), ["etc/modprobe.d/x.conf:2"])
        host.write("etc/modprobe.d/x.conf", "")
        host.write("proc/cmdline", "modprobe.blacklist=nouveau,special_vfio_pci\n")
        one = expect(check(host, NIC), "blacklisted", "note", subject=NIC)
        equal(shown_by(host, one), ["proc/cmdline:1"])
        os.unlink(host.path("proc/cmdline"))
        host.write("etc/modprobe.d/x.conf", "blacklist mlx5_vfio_pci\n")
        lacks(check(host, NIC), "blacklisted")  # it would come second anyway
        host.write("etc/modprobe.d/x.conf", "blacklist vfio_pci\n")
        expect(check(host, DISK), "no-driver", "problem", "vfio_pci: blacklisted", subject=DISK)


def tables_that_are_missing():
    with Well() as host:
        os.unlink(host.path(f"{MODULES}/modules.alias"))
        expect(check(host, NIC), "tables", "warning", f"depmod {RELEASE}")
        expect(status(host), "tables", "warning", "modules.alias")


def a_kernel_that_is_old():
    with Well() as host:
        lacks(status(host), "kernel-old")
        os.rename(host.path(MODULES), host.path("lib/modules/5.10.0-9-amd64"))
        expect(status(host), "kernel-old", "note", "kernel 5.10.0-9-amd64")


def a_kernel_without_vfio_groups():
    """CONFIG_VFIO_GROUP off: devices are opened by cdev alone."""
    with Well() as host:
        lacks(status(host), "vfio-groups-off")
        shutil.rmtree(host.path("sys/class/vfio"))
        for version, severity in ((9000, "problem"), (11003, "problem"), (12008, "problem"), (12009, "warning"),
                                  (0, "warning")):
            host.add_libvirt(version, time.time())
            for found in (status(host), check(host, NIC)):
                expect(found, "vfio-groups-off", severity, "CONFIG_VFIO_GROUP", "12.8")
        shutil.rmtree(host.path("sys/class/vfio-dev"))
        lacks(status(host), "vfio-groups-off")  # VFIO is not loaded: that cannot be told


def variants_without_aliases():
    """Built in, before Linux 6.18"""
    with Well() as host:
        lacks(check(host, DISK), "builtin-silent")
        host.write(f"{MODULES}/modules.builtin", "kernel/drivers/vfio/pci/pds/pds-vfio-pci.ko\n")
        depmod(host)
        expect(status(host), "builtin-silent", "warning", "pds_vfio_pci", "6.18",
               "alias vfio_pci:v0000VVVVd0000DDDDsv*sd*bc*sc*i* pds_vfio_pci")
        line = "alias vfio_pci:v00001B36d00000010sv*sd*bc*sc*i* pds_vfio_pci"
        expect(check(host, DISK), "builtin-silent", "warning", "pds_vfio_pci", line, subject=DISK)
        lacks(check(host, NIC), "builtin-silent")  # it has a variant
        result = host.look("match", "--json", DISK)
        equal([c["module"] for c in json.loads(result.stdout)["candidates"]], ["vfio_pci"])
        assert "pds_vfio_pci" in result.stderr and f"vfio-variant check {DISK}" in result.stderr, result.stderr
        host.write("etc/modprobe.d/vfio.conf", f"{line}\n")
        found = check(host, DISK)
        lacks(found, "builtin-silent", "module-missing")
        equal(found["devices"][0]["module"], "pds_vfio_pci")
        os.unlink(host.path("etc/modprobe.d/vfio.conf"))
        host.write(f"{MODULES}/modules.builtin", "kernel/a/pds-vfio-pci.ko\nkernel/a/xe-vfio-pci.ko\n")
        depmod(host)  # which of them it is, is not known
        expect(check(host, DISK), "builtin-silent", "warning", "pds_vfio_pci, xe_vfio_pci", "sc*i* MODULE", subject=DISK)


# --- what the administrator has set ---

def shown_by(host, found):
    """What the cure's grep would show on that host: files and lines"""
    command = found["cure"][found["cure"].index("grep "):].split("  #")[0]
    folders = [word for word in command.split() if word.startswith("/")]
    for folder in folders:
        command = command.replace(f" {folder}", f" {host.path(folder.lstrip('/'))}")
    shown = subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=False, text=True).stdout
    return [":".join(line.replace(f"{host.root}/", "").split(":")[:2]) for line in shown.splitlines()]


MODPROBE_D = """blacklist nvidia
blacklist nouveau
options nouveau modeset=0
alias nouveau off
options vfio-pci ids=10de:27bb,{} disable_vga=1 disable_idle_d3=1
softdep mlx5_core pre: vfio-pci
softdep nvidia pre: vfio-pci
"""


def ids_that_vfio_pci_claims():
    """The recipes of the web: they do not disturb the choice, and what follows from ids= is told."""
    with Well() as host:
        for ids, claims in (("15b3:101e", True), ("15B3:101E:ffffffff:58", True), ("15b3:101e:15b3:59", False),
                            ("15b3:101e:15b3:58:020000:ff0000", True), ("15b3:101e:15b3:58:030000:ff0000", False),
                            ("15b3:101f", False), ("15b3", False), ("x:y", False)):
            host.write("etc/modprobe.d/vfio.conf", MODPROBE_D.format(ids))
            found = check(host, NIC)
            equal(found["devices"][0]["module"], "special_vfio_pci")
            if claims:
                one = expect(found, "ids-claim", "note", f"ids={ids}", subject=NIC)
                equal(shown_by(host, one), ["etc/modprobe.d/vfio.conf:5"])
            else:
                lacks(found, "ids-claim")
            lacks(check(host, DISK), "ids-claim")
        host.write("proc/cmdline", "quiet vfio-pci.ids=15b3:101e\n")
        equal(shown_by(host, expect(check(host, NIC), "ids-claim", "note", subject=NIC)), ["proc/cmdline:1"])


def device_on_vfio_pci_already():
    """By ids= or by hand: hot plug leaves it there, where libvirt does not choose itself."""
    with Well() as host:
        lacks(check(host, NIC), "on-generic")
        host.set_driver(NIC, "vfio-pci")
        host.write(host.device("vfio-dev/vfio7/dev"), "240:7\n")
        one = expect(check(host, NIC), "on-generic", "note", "special_vfio_pci", "hot plug", subject=NIC)
        equal(one["cure"], f"vfio-variant bind {NIC}")
        host.journal(held="true", vfio_driver="vfio-pci")
        lacks(check(host, NIC), "on-generic")  # the administrator wanted it so
        os.unlink(host.path(f"run/vfio-variant/{NIC}"))
        host.add_libvirt(10000, time.time() + 3600)
        lacks(check(host, NIC), "on-generic")  # it binds the best itself
        host.add_libvirt(9009, time.time() + 3600)
        host.policy("<device address='3b:00.1' driver='vfio-pci'/>")
        lacks(check(host, NIC), "on-generic")


def options_that_do_not_act():
    """Up to Linux 7.1 vfio_pci hands them to vfio_pci_core when it is loaded, from 7.2 on they are its own."""
    with Well() as host:
        host.write("etc/modprobe.d/vfio.conf", "options vfio-pci disable_idle_d3=1 nointxmask=1 enable_sriov=1\n")
        shutil.rmtree(host.path("sys/module/vfio_pci"))
        lacks(check(host, NIC), "options-lost")  # libvirt 9.9 loads it
        host.add_libvirt(10000, time.time() + 3600)
        one = expect(check(host, NIC), "options-lost", "note", "special_vfio_pci: disable_idle_d3=1 nointxmask=1",
                     subject=NIC)
        equal(one["cure"], "modprobe vfio-pci")
        lacks(check(host, DISK), "options-lost")  # it gets vfio-pci
        os.makedirs(host.path("sys/module/vfio_pci"))
        lacks(check(host, NIC), "options-lost")
        os.rename(host.path(MODULES), host.path("lib/modules/7.2.1-test"))
        one = expect(check(host, NIC), "options-lost", "note", "from Linux 7.2 on", subject=NIC)
        equal(one["cure"], f"vfio-variant bind --driver vfio-pci {NIC}  # only if it needs them")
        host.write("etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:27bb disable_denylist=1\n")
        lacks(check(host, NIC), "options-lost")


def override_that_no_driver_has():
    with Well() as host:
        host.write(host.device("driver_override"), "none\n")
        lacks(check(host, NIC), "override-unknown")  # it has a driver
        os.unlink(host.path(host.device("driver")))
        one = expect(check(host, NIC), "override-unknown", "warning", "driver_override is 'none'", subject=NIC)
        equal(one["cure"], f"echo >/sys/bus/pci/devices/{NIC}/driver_override && echo {NIC} >/sys/bus/pci/drivers_probe")
        host.journal(state="noted", home_driver="", home_driver_override="none", domain="guest", domain_uuid=UUID)
        expect(check_domain(host, domain(hostdev())), "override-unknown", "warning", subject=NIC)
        for override in ("mlx5_core", "special_vfio_pci", "(null)"):  # registered, could be loaded, not set
            host.write(host.device("driver_override"), override + "\n")
            lacks(check(host, NIC), "override-unknown")


# --- policy and wishes ---


def the_policy_decides():
    with Well() as host:
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci' fallback='generic'/>")
        found = check(host, NIC)
        device = found["devices"][0]
        equal((device["module"], device["fallback"]), ("mlx5_vfio_pci", ["vfio-pci"]))
        equal((device["rule"]["file"], device["rule"]["line"]), (host.path(f"{LIBVIRT}/vfio-variant.xml"), 2))
        expect(found, "passed-over", "note", "special_vfio_pci is passed over: policy ", "vfio-variant.xml:2",
               subject=NIC)
        lacks(found, "strict")
        exits(host.look("check", NIC), 0, f"{NIC}: would get mlx5_vfio_pci (policy {device['rule']['file']}:2); "
              "if that fails vfio-pci\n")
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci' fallback='none'/>")
        expect(check(host, NIC), "strict", "note", "fallback='none'", "is to be expected", subject=NIC)
        found = check_domain(host, domain(hostdev(more=IOMMUFD)))
        one = expect(found, "strict", "note", "without vfio-variantd the domain starts only if", subject=NIC)
        equal(one["cure"], "systemctl enable --now vfio-variantd")


def devices_that_vfio_pci_refuses():
    """EINVAL from its probe: a bridge, and what is on its denylist."""
    cases = {"bc06sc04": ("pci:v0000111Dd00008018sv00000000sd00000000bc06sc04i00", "takes no bridges", ""),
             "QAT": ("pci:v00008086d000037C9sv00008086sd00000000bc0Bsc40i00", "denylist", "disable_denylist=1 >")}
    with Well() as host:
        for modalias, text, cure in cases.values():
            host.write(host.device("modalias", DISK), f"{modalias}\n")
            found = check(host, DISK)
            expect(found, "no-driver", "problem", text, "EINVAL", "would not start", cure, subject=DISK)
            lacks(found, "passed-over")
            equal((found["devices"][0]["driver"], found["devices"][0]["module"]), (None, None))
            exits(host.look("check", DISK), 1, "would get no VFIO driver")
            exits(host.look("match", DISK), 0, "out: ", text, "no VFIO driver is left")
            exits(host.look("list", DISK), 0, DISK)
        host.write("etc/modprobe.d/a.conf", "options vfio-pci disable_denylist=1\n")
        shutil.rmtree(host.path("sys/module/vfio_pci"), ignore_errors=True)
        lacks(check(host, DISK), "no-driver")


def a_policy_that_is_damaged():
    with Well() as host:
        host.policy("<device adress='3b:00.1'/>")
        expect(check(host, NIC), "policy-file", "problem", "vfio-variant.xml:2")
        expect(status(host), "policy-file", "problem", "vfio-variant policy ")


def wish_that_is_refused():
    wishes = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-nic' "
              "driver='special_vfio_pci'/></v:hostdevs></metadata>")
    with Well() as host:
        lacks(check_domain(host, domain(hostdev(), metadata=wishes)), "wish-refused", "wish-invalid")
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci'/>")
        found = check_domain(host, domain(hostdev(), metadata=wishes))
        expect(found, "wish-refused", "warning", "domain vm1 asks for special_vfio_pci", subject=NIC)
        equal((found["domain"], found["devices"][0]["module"]), ("vm1", "mlx5_vfio_pci"))


def wish_for_another_module():
    """Only what the policy lists, or the device's own aliases, can be named by a domain."""
    wishes = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-nic' "
              "%s/></v:hostdevs></metadata>")
    text = "domain vm1 asks for evil_mod, which no alias offers for the device"
    with Well() as host:
        for xml in (domain(hostdev(), metadata=wishes % "driver='evil_mod'"),
                    domain(hostdev(more="<driver model='evil_mod'/>"))):
            found = check_domain(host, xml)
            expect(found, "wish-refused", "warning", text, subject=NIC)
            equal((found["devices"][0]["module"], found["devices"][0]["fallback"]),
                  ("special_vfio_pci", ["mlx5_vfio_pci", "vfio-pci"]))
            assert "driver model" not in found["devices"][0]["why"], found
        for driver, model in (("driver='evil_mod' ", ""), ("", "<driver model='evil_mod'/>")):
            found = check_domain(host, domain(hostdev(more=model), metadata=wishes % f"{driver}fallback='none'"))
            expect(found, "wish-refused", "warning", text, subject=NIC)
            expect(found, "no-driver", "problem", "domain vm1 does not take it", "would not start", subject=NIC)
        host.policy("<default driver='evil_mod generic'/>")
        found = check_domain(host, domain(hostdev(), metadata=wishes % "driver='evil-mod'"))
        lacks(found, "wish-refused")


def wish_that_is_invalid():
    wishes = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-other' "
              "driver='mlx5_vfio_pci'/></v:hostdevs></metadata>")
    with Well() as host:
        found = check_domain(host, domain(hostdev(), metadata=wishes))
        expect(found, "wish-invalid", "warning", "ua-other", subject="domain")
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


# --- who has it ---


def use_by_the_host():
    with Well() as host:
        lacks(check(host, NIC), "in-use-host")
        os.makedirs(host.path(host.device("net/ens1")))
        os.makedirs(host.path("sys/class/net"))
        host.link("sys/class/net/ens1", f"../../devices/pci0000:00/0000:00:01.0/{NIC}/net/ens1")
        host.link("sys/class/net/ens1/master", "../br0")
        expect(check(host, NIC), "in-use-host", "warning", "ens1 is part of br0", "bind' refuses", subject=NIC)
        host.policy("<device address='3b:00.1' host-use='warn'/>")
        expect(check(host, NIC), "in-use-host", "warning", "vfio-variant.xml:2 lets it be taken", subject=NIC)
        host.policy("<device address='3b:00.1' host-use='refuse'/>")
        expect(check(host, NIC), "in-use-host", "problem", "vfio-variant.xml:2 refuses it", subject=NIC)


@triggers("in-use-guest", "journal-idle")
def use_by_a_guest():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with Well() as host:
        with open(host.path("sys/class/vfio/9/dev"), encoding="utf-8") as file:
            group = [int(number) for number in file.read().split(":")]
        with open(host.path(host.device("modalias", ON_VFIO)), encoding="utf-8") as file:
            modalias = file.read().strip()
        lacks(check(host, ON_VFIO), "in-use-guest")
        host.journal(ON_VFIO, modalias, domain="vm1", domain_uuid=UUID, in_use="true")
        expect(status(host), "journal-idle", "warning", "domain vm1", f"restore --force {ON_VFIO}", subject=ON_VFIO)
        host.add_holder(group)
        lacks(status(host), "journal-idle")
        expect(check(host, ON_VFIO), "in-use-guest", "problem", "qemu-system-x86 (pid 812)", subject=ON_VFIO)
        found = check_domain(host, domain(hostdev(bus="5", function="0")))  # that very domain
        expect(found, "in-use-guest", "note", subject=ON_VFIO)


def claim_in_the_journal():
    with Well() as host:
        host.journal(state="noted", domain="vm1", domain_uuid=UUID)
        expect(check(host, NIC), "claimed", "problem", "domain vm1", subject=NIC)
        lacks(check_domain(host, domain(hostdev())), "claimed")
        host.journal(state="noted", domain="other", domain_uuid="77", in_use="true")
        expect(check_domain(host, domain(hostdev())), "claimed", "problem", "domain other, which runs", subject=NIC)


def entry_that_is_half_done():
    with Well() as host:
        for found in (lambda: check(host, NIC), lambda: status(host)):
            host.journal(state="detaching")
            expect(found(), "half-done", "warning", "detaching", f"vfio-variant restore {NIC}", subject=NIC)
        host.journal()
        lacks(check(host, NIC), "half-done")
        os.unlink(host.path(host.device("driver")))
        expect(check(host, NIC), "half-done", "warning", "it has no driver", subject=NIC)


def entry_that_is_damaged():
    with Well() as host:
        host.write(f"run/vfio-variant/{NIC}", "damaged")
        expect(check(host, NIC), "journal-damaged", "problem", f"vfio-variant restore {NIC}", subject=NIC)
        expect(status(host), "journal-damaged", "problem", subject=NIC)
        lacks(check(host, DISK), "journal-damaged")


def entry_of_a_device_that_is_gone():
    with Well() as host:
        host.journal("0000:ff:00.0")
        expect(status(host), "journal-gone", "warning", "rm ", subject="0000:ff:00.0")


def not_on_vfio_though_at_boot():
    with Well() as host:
        host.policy(f"<device address='{NIC}' at-boot='yes'/><device address='{ON_VFIO}' at-boot='yes'/>")
        found = status(host)
        for report in (found, check(host, NIC)):
            expect(report, "at-boot-missed", "warning", f"bind --at-boot {NIC}", subject=NIC)
        equal([one["subject"] for one in found["findings"] if one["id"] == "at-boot-missed"], [NIC])


def driver_of_a_vendor():
    """A VFIO driver that no alias names: libvirt takes the device from it at managed='yes', and only then."""
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
        lacks(check(host, DISK), "hotplug-generic")  # it is on vfio-pci in any case
        host.write(host.device("reset_method"), "flr bus\n")
        lacks(check(host, NIC), "hotplug-generic")


def which_libvirt():
    with Well() as host:
        for version, text in ((9000, "hot plug only of devices with FLR"), (9007, "starts and hot plug are put right"),
                              (10003, "by itself")):
            host.add_libvirt(version, time.time(), "virtqemud")
            expect(check(host, NIC), "libvirt-version", "note", f"libvirt {version // 1000}.{version % 1000}.0 (virtqemud",
                   text)
        host.add_libvirt(0, time.time())
        expect(check(host, NIC), "libvirt-unknown", "note", f"process {LIBVIRT_PID}")
        if os.geteuid() == 0:
            os.chown(host.path(f"proc/{LIBVIRT_PID}"), 65534, 65534)  # a user's own
            expect(check(host, NIC), "libvirt-off", "note")
        shutil.rmtree(host.path(f"proc/{LIBVIRT_PID}"))
        expect(check(host, NIC), "libvirt-off", "note")
        lacks(status(host), "hook-seen", "hook-unseen")


def libvirt_that_sees_no_modules():
    with Well() as host:
        os.makedirs(host.path(f"proc/{LIBVIRT_PID}/root"))
        lacks(status(host), "libvirt-blind")  # 9.9 does not look
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
        lacks(status(host), "libvirt-sysfs")  # it cannot be seen
        sys_pci = f"proc/{LIBVIRT_PID}/root/sys/bus/pci"
        host.write(f"{sys_pci}/drivers_probe", "")
        lacks(status(host), "libvirt-sysfs")
        os.unlink(host.path(f"{sys_pci}/drivers_probe"))
        os.symlink("/proc/version", host.path(f"{sys_pci}/drivers_probe"))  # any other file system
        for found in (status(host), check(host, NIC)):
            expect(found, "libvirt-sysfs", "warning", "libvirtd", "network namespace", "--network host")


def libvirt_that_refuses():
    """From 10.0 on it loads the best module of modules.alias, and gives up when that fails."""
    with Well() as host:
        os.unlink(host.path(f"{MODULES}/kernel/special_vfio_pci.ko"))
        lacks(check(host, NIC), "libvirt-refuses")  # 9.9
        host.add_libvirt(10000, time.time() + 3600)
        expect(check(host, NIC), "libvirt-refuses", "problem", "special_vfio_pci", "<driver model='vfio-pci'/>",
               subject=NIC)
        host.policy("<device address='3b:00.1' driver='vfio-pci'/>")  # which libvirt does not read
        expect(check(host, NIC), "libvirt-refuses", "problem", subject=NIC)
    with Well() as host:
        host.add_libvirt(10000, time.time() + 3600)
        lacks(check(host, NIC), "libvirt-refuses")
        host.write("etc/modprobe.d/x.conf", "blacklist special_vfio_pci\n")
        expect(check(host, NIC), "libvirt-refuses", "problem", "blacklisted", subject=NIC)
        os.makedirs(host.path("sys/module/special_vfio_pci"))
        lacks(check(host, NIC), "libvirt-refuses")  # loaded all the same
        shutil.rmtree(host.path("sys/module/special_vfio_pci"))
        expect(check_domain(host, domain(hostdev())), "libvirt-refuses", "problem", subject=NIC)
        lacks(check_domain(host, domain(hostdev("no"))), "libvirt-refuses")  # nor does libvirt choose for it
        lacks(check_domain(host, domain(hostdev(more="<driver model='vfio-pci'/>"))), "libvirt-refuses")
    with Well() as host:  # of equals libvirt takes the first in the file, also when that is blacklisted
        host.add_libvirt(10000, time.time() + 3600)
        table = f"{MODULES}/modules.alias"
        with open(host.path(table), encoding="utf-8") as file:
            text = file.read()
        alias = "alias vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i*"
        host.write(table, text.replace(f"{alias} ", f"{alias} equal_vfio_pci\n{alias} "))
        host.write("etc/modprobe.d/x.conf", "blacklist equal_vfio_pci\n")
        found = check(host, NIC)
        expect(found, "libvirt-refuses", "problem", "takes equal_vfio_pci", subject=NIC)
        expect(found, "blacklisted", "note", "equal_vfio_pci is passed over", subject=NIC)
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
    with Well() as host:  # "restore" would take it from whoever put it on VFIO, or from its vendor's driver
        one = expect(check(host, NIC), "migration-unknown", "note", subject=NIC)
        equal(one["cure"], f"vfio-variant bind {NIC} && vfio-variant probe {NIC}; vfio-variant restore {NIC}")
        lacks(check_domain(host, domain(hostdev("no"))), "migration-unknown")  # mlx5_core is no VFIO driver
        host.set_driver(NIC, "mlx5-vfio-pci", "mlx5_vfio_pci")
        one = expect(check(host, NIC), "migration-unknown", "note", "special_vfio_pci", subject=NIC)
        equal(one["cure"], f"vfio-variant bind {NIC} && vfio-variant probe {NIC}")
        one = expect(check_domain(host, domain(hostdev("no"))), "migration-unknown", "note", "mlx5-vfio-pci", subject=NIC)
        equal(one["cure"], f"vfio-variant probe {NIC}")


def migration_without_dma_logging():
    """QEMU blocks it, unless the IOMMU tracks dirty pages for iommufd."""
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
            cure = told == "not-migratable" and logs != "false"
            equal("<driver iommufd='yes'/> (libvirt 12.1, QEMU 9.1)" in (one["cure"] or ""), cure)
            lacks(found, *{"migratable", "not-migratable", "migration-unknown"} - {told})
        expect(check(host, NIC), "migration-unknown", "note", "only a domain that has the device by", subject=NIC)
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
        host.policy("<device address='3b:00.1' migratable='require'/>")  # and the other is on vfio-pci
        expect(check_domain(host, both), "not-migratable", "problem", f"{ON_VFIO} keeps it from that",
               subject="domain")


def migration_that_is_required():
    with Well() as host:
        host.policy("<device address='3b:00.1' migratable='require'/>")
        found = check(host, NIC)
        expect(found, "strict", "note", "migratable='require'", subject=NIC)
        host.noted("special_vfio_pci", "false")
        found = check(host, NIC)
        expect(found, "passed-over", "note", "special_vfio_pci is passed over: it cannot migrate", subject=NIC)
        equal(found["devices"][0]["module"], "mlx5_vfio_pci")
        host.noted("mlx5_vfio_pci", "false")
        expect(check(host, NIC), "no-driver", "problem", "it cannot migrate", "would not start", subject=NIC)
        found = check_domain(host, domain(hostdev(more="<driver model='mlx5_vfio_pci'/>")))
        expect(found, "no-driver", "problem", "it cannot migrate", subject=NIC)
        host.policy("<default migratable='require'/>")
        found = check_domain(host, domain(hostdev("no", bus="5", function="0")))  # it stays on vfio-pci
        expect(found, "not-migratable", "problem", "vfio-pci", subject=ON_VFIO)


def generic_is_never_better():
    """The policy wants a driver that this kernel lacks, and one that migrates: vfio-pci is not what would be better."""
    with Well() as host:
        for name in ("mlx5", "special"):
            os.unlink(host.path(f"{MODULES}/kernel/{name}_vfio_pci.ko"))
        depmod(host)
        host.write(f"run/vfio-variant/migration-vfio-pci-{MODALIAS}",
                   f"[migration]\ndriver=vfio-pci\nmodalias={MODALIAS}\nstop-copy=false\np2p=false\npre-copy=false\n"
                   "dma-logging=false\n")
        found = check(host, NIC)
        equal(found["devices"][0]["driver"], "vfio-pci")
        expect(found, "not-migratable", "note", "vfio-pci announces no migration", subject=NIC)
        for rule in ("migratable='require'", "driver='mlx5_vfio_pci' migratable='require'"):
            host.policy(f"<device address='3b:00.1' {rule}/>")
            found = check(host, NIC)
            expect(found, "no-driver", "problem", subject=NIC)
            lacks(found, "passed-over")
        host.policy("<device address='3b:00.1' driver='mlx5_vfio_pci'/>")
        lacks(check(host, NIC), "passed-over")


def emulator(host, text, path=QEMU):
    host.write(path, f"#!/bin/sh\n{text}\n")
    os.chmod(host.path(path), 0o755)
    return host.path(path)


def check_inside(host, xml):
    """On the host as the running system, where programs are run. The one driver that is there is the policy's."""
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
        wishes = ("<metadata><v:hostdevs xmlns:v='urn:vfio-variant:domain:1'><v:hostdev alias='ua-nic' "
                  "migratable='require'/></v:hostdevs></metadata>")
        found = check_inside(host, domain(model, more=f"<emulator>/{QEMU}</emulator>", metadata=wishes))
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
        expect(check(host, NIC), "qemu-unknown", "note", "nothing of another system is run")


def emulator_of_others_is_not_run():
    """Domain XML may come from users."""
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
    """Root's own programs are not all harmless with --version."""
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
    """A stand-in for virsh, first in PATH. Returns what gets it there."""
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
              "domain vm9: there is no virsh to ask")


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
        exits(host.look("check", host.path(f"sys/bus/pci/devices/{NIC}")), 0, NIC)  # a path, and a DEVICE
        with open(host.path("vm.xml"), "w", encoding="utf-8") as file:
            file.truncate(8 * 1024 * 1024 + 1)
        exits(host.look("check", host.path("vm.xml")), 1, "vm.xml: read: File too large")


# --- logs, privilege ---

APPARMOR = ('6,1,2,-;audit: type=1400 audit(1700000100.000:7): apparmor="DENIED" operation="exec" profile="libvirtd" '
            'name="/usr/sbin/vfio-variant-hook" comm="libvirtd"')
SELINUX = ('type=AVC msg=audit(1700000200.500:9): avc:  denied  { read } for pid=4 comm="vfio-variantd" '
           'name="modules.alias" permissive=0')
CLIENT = ('type=AVC msg=audit(1700000300.000:7): apparmor="DENIED" operation="ptrace" profile="libvirtd" pid=4 '
          'comm="rpc-libvirtd" requested_mask="read" denied_mask="read" peer="vfio-variantd"')


def accesses_that_were_denied():
    with Well() as host:
        lacks(check(host, NIC), "denied", "log-unreadable")
        host.write("dev/kmsg", f"6,0,1,-;booted\n{APPARMOR}\n SUBSYSTEM=pci\n6,2,3,-;more\n")
        one = expect(check(host, NIC), "denied", "warning", 'name="/usr/sbin/vfio-variant-hook"', "apparmor")
        assert "6,1,2" not in one["what"], one
        host.write("var/log/audit/audit.log", f"{SELINUX}\n{SELINUX.replace('200.5', '150.5').replace('{ read }', '{ old }')}\n")
        one = expect(status(host), "denied", "warning", "{ read }", "restorecon")  # the newest
        host.write("var/log/audit/audit.log", SELINUX.replace("1700000200", "1700000000") + "\n")
        expect(check(host, NIC), "denied", "warning", "apparmor")
        os.unlink(host.path("dev/kmsg"))
        for line in (SELINUX.replace("permissive=0", "permissive=1"), SELINUX.replace("denied", "granted"),
                     SELINUX.replace("vfio-variantd", "httpd").replace("modules.alias", "x"), CLIENT, "\x1b[2J", "\0"):
            host.write("var/log/audit/audit.log", line + "\n")
            lacks(check(host, NIC), "denied")
        host.write("var/log/audit/audit.log", SELINUX + " \x1b[2J\n")
        assert "\x1b" not in host.look("check", NIC).stdout


@triggers("not-root", "log-unreadable")
def without_privilege():
    become = as_nobody()
    with Well() as host:
        host.write("var/log/audit/audit.log", "")
        os.chmod(host.path("var/log/audit/audit.log"), 0)
        os.makedirs(host.path("run/vfio-variant"), exist_ok=True)
        result = run(*become, COMMAND, "check", "--sysroot", host.root, "--json", NIC)
        found = document(result, "check.schema.json")
        equal(result.returncode, 0)
        expect(found, "not-root", "note", "run this as root")
        expect(found, "log-unreadable", "note", "audit.log")
        result = run(*become, COMMAND, "status", "--sysroot", host.root, "--json")
        expect(document(result, "status.schema.json"), "not-root", "note")


# --- the daemon, the hook ---


def the_daemon_is_off():
    with Well() as host:
        found = status(host, None)
        expect(found, "daemon-off", "warning", "systemctl enable --now vfio-variantd")
        equal(found["running"], False)


def the_gate_is_off():
    with Well() as host:
        lacks(status(host), "gate-off", "daemon-off")
        expect(status(host, {**QUIET, "gate": "off", "reason": "no fanotify"}), "gate-off", "warning", "no fanotify")


def a_reload_is_due():
    with Well() as host:
        def read_at(seconds):
            return {**QUIET, "policy_read": int(seconds * 1000000)}

        host.policy("<default fallback='next'/>")
        changed = os.stat(host.path(f"{LIBVIRT}/vfio-variant.xml")).st_mtime
        found = status(host, read_at(changed - 1))
        expect(found, "reload-due", "warning", "vfio-variant.xml", "systemctl reload vfio-variantd")
        equal(found["policy_read"], int((changed - 1) * 1000000))
        lacks(status(host, read_at(changed + 1)), "reload-due")
        lacks(status(host), "reload-due")  # a daemon that does not say
        os.makedirs(host.path(f"{LIBVIRT}/vfio-variant.d"))
        os.utime(host.path(f"{LIBVIRT}/vfio-variant.d"), (changed + 5, changed + 5))  # something was removed
        expect(status(host, read_at(changed + 1)), "reload-due", "warning", "vfio-variant.d")


def the_hook_is_missing_or_broken():
    with Well() as host:
        lacks(status(host), "hook-missing", "hook-broken")
        program = host.path("usr/sbin/vfio-variant-hook")
        os.chmod(program, 0o644)
        expect(status(host), "hook-broken", "problem", "is not executable")
        os.chmod(program, 0o775)
        expect(status(host), "hook-broken", "problem", "written by others")
        if os.geteuid() == 0:
            os.chmod(program, 0o755)
            os.chown(program, 65534, 0)
            expect(status(host), "hook-broken", "problem", "written by others")
        os.unlink(program)
        expect(status(host), "hook-broken", "problem", "No such file")
        os.unlink(host.path(HOOK_LINK))
        expect(status(host), "hook-missing", "warning", "ln -s ")


def the_hook_is_newer_than_libvirt():
    with Well() as host:
        host.add_libvirt(9009, time.time() - 3600)
        expect(status(host), "hook-unseen", "warning", "systemctl reload libvirtd")
        ticks = host_ticks(host)
        host.write("run/vfio-variant/hook-caller", f"{LIBVIRT_PID} {ticks}\n")
        expect(status(host), "hook-seen", "ok", "runs the hook")
        host.write("run/vfio-variant/hook-caller", f"{LIBVIRT_PID} {ticks - 1}\n")  # one of the same number before
        expect(status(host), "hook-unseen", "warning")
        host.write("run/vfio-variant/hook-caller", "nonsense")
        expect(status(host), "hook-unseen", "warning")


def host_ticks(host):
    with open(host.path(f"proc/{LIBVIRT_PID}/stat"), encoding="utf-8") as file:
        return int(file.read().split()[21])


def the_hook_notes_who_runs_it():
    """Whoever is called as libvirt is; in all its stations, and only when it is another one."""
    needs_namespace()
    with Well() as host:
        def hook(name, *arguments):
            script = f"printf {name} >/proc/$$/comm; \"$@\" </dev/null; cut -d' ' -f1,22 /proc/$$/stat"
            result = host.inside("sh", "-c", script, "sh", HOOK, "vm1", *arguments)
            exits(result, 0)
            return result.stdout

        note = host.path("run/vfio-variant/hook-caller")
        hook("sh", "prepare", "begin", "-")
        assert not os.path.exists(note)
        for name, operation in (("libvirtd", ("prepare", "begin", "-")), ("virtqemud", ("stopped", "end", "-"))):
            caller = hook(name, *operation)
            with open(note, encoding="utf-8") as file:
                equal(file.read(), caller)
        pid, ticks = caller.split()
        shutil.rmtree(host.path(f"proc/{LIBVIRT_PID}"))
        host.write(f"proc/{pid}/stat", f"{pid} (virtqemud) S " + "1 " * 18 + f"{ticks} 1\n")
        expect(status(host), "hook-seen", "ok", f"virtqemud, process {pid}, runs the hook")
        once = 'printf libvirtd >/proc/$$/comm; "$@" </dev/null; stat -c %i "$0"; "$@" </dev/null; stat -c %i "$0"'
        result = host.inside("sh", "-c", once, "/run/vfio-variant/hook-caller", HOOK, "vm1", "started", "begin", "-")
        first, second = result.stdout.split()
        equal(first, second)  # not written again


def node_device_hooks_that_are_not_run():
    with Well() as host:
        script = f"{LIBVIRT}/hooks/nodedev.d/50-x"
        emulator(host, "exit 0", script)
        lacks(status(host), "nodedev-hook")
        os.chmod(host.path(script), 0o777)
        expect(status(host), "nodedev-hook", "warning", script, "chmod go-w")


# --- the hook scripts of others ---

HARMLESS = """#!/bin/bash
# virsh nodedev-detach pci_0000_01_00_0; modprobe -r vfio-pci
echo "virsh list" 'virsh list' virsh \\
  virsh # virsh
command -v virsh >/dev/null || which virsh
virsh () { :; }
tools=(virsh
  virsh)
cat <<END >/etc/motd
virsh list
modprobe -r vfio-pci
END
case $2 in virsh) modprobe vfio-pci;; esac
for tool in virsh; do echo 0 >/sys/class/vtconsole/vtcon1/bind; done
echo efi-framebuffer.0 > /sys/bus/platform/drivers/efi-framebuffer/unbind
modprobe -r nvidia; cat /sys/bus/pci/devices/0000:01:00.0/driver_override </sys/bus/pci/drivers_probe
"""


def hook_scripts_of_others():
    with Well() as host:
        def script(text, name="qemu", mode=0o755):
            path = host.path(f"{LIBVIRT}/hooks/{name}")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            os.chmod(path, mode)
            return path

        path = script(HARMLESS)
        lacks(status(host), "hook-virsh", "hook-moves")
        os.unlink(path)
        calls = ("virsh nodedev-detach x", "if [ 1 ]; then /usr/bin/virsh list; fi", "true && sudo -n virsh list &",
                 "X=1 timeout 5 virsh list", "x=$(virsh list)", "( virsh list )", "case $2 in x) virsh list;; esac",
                 "'virsh' list", "`virsh list`", "! virsh list | cat", "detach() { virsh list; }", "n=$((1 << 2)); virsh list",
                 "((n = 1 << 2)) && virsh list", "x=$((virsh list)\n)", "x=(a\n) virsh")
        moves = ("modprobe -r vfio-pci", "rmmod vfio_pci_core", "modprobe --remove kvm vfio_pci",
                 "echo 1 >/sys/bus/pci/drivers/nvidia/unbind", "echo 1 > $DEV/driver_override",
                 "printf x >> /sys/bus/pci/drivers/a/bind", "echo 1 | tee -a /sys/bus/pci/drivers_probe",
                 "echo 1 >\"/sys/bus/pci/devices/$1/driver/unbind\"",
                 "echo 8086 10d3 >|/sys/bus/pci/drivers/vfio-pci/new_id")
        paths = [script(f"#!/bin/sh\n\n{line}\n", f"qemu.d/{number}") for number, line in enumerate(calls + moves)]
        for found in (check(host, NIC), status(host)):
            for path in paths[:len(calls)]:
                one = expect(found, "hook-virsh", "warning", f"{path}:", ": this hook script calls virsh", "both can hang")
            equal(one["cure"], f"${{EDITOR:-vi}} +4 '{path}'")
            for path in paths[len(calls):]:
                expect(found, "hook-moves", "warning", f"{path}:3: this hook script moves devices: ", f"+3 '{path}'")
        for path in paths:
            os.unlink(path)
        path = script("virsh list\n")
        for name, target in (("loop", "."), ("up", ".."), ("qemu", "../qemu"), ("self", "self")):
            host.link(f"{LIBVIRT}/hooks/qemu.d/{name}", target)
        equal([one["id"] for one in findings_of(status(host))].count("hook-virsh"), 1)
        for name in ("loop", "up", "qemu", "self"):
            os.unlink(host.path(f"{LIBVIRT}/hooks/qemu.d/{name}"))
        script("#!/usr/bin/python3\nvirsh\n")
        lacks(status(host), "hook-virsh")
        script("virsh list\n", mode=0o644)  # libvirt does not run it
        lacks(status(host), "hook-virsh")
        for number, text in enumerate((b"\x7fELF\0virsh", b"virsh\n" * 50000, b"", b"\\", b"<<", b"<<E", b"'", b"$(", b"x=(",
                                       b"\xff", b"&>")):
            script(text, f"qemu.d/{number}")
        lacks(status(host), "hook-virsh", "hook-moves")
        for name, mode in (("qemu.d/50-x", 0o755), ("qemu.d/win10/prepare/begin/start.sh", 0o644), ("network", 0o755)):
            path = script("modprobe vfio-pci\nvirsh nodedev-detach x\nvirsh list\n", name, mode)
            found = status(host)
            expect(found, "hook-virsh", "warning", f"{path}:2: ")
            equal([one["id"] for one in findings_of(found)].count("hook-virsh"), 1)  # each kind once
            if os.geteuid() == 0:
                os.chown(path, 65534, 0)
                lacks(status(host), "hook-virsh")
            os.unlink(path)


# --- the list of ids ---


def every_id_is_documented_and_triggered():
    with open(os.path.join(os.path.dirname(SCHEMAS), "docs/man/vfio-variant.rst"), encoding="utf-8") as file:
        section = re.search(r"^FINDINGS\n=+\n(.*?)^\S+\n=+\n", file.read(), re.MULTILINE | re.DOTALL).group(1)
    documented = {name: set(severities.split(", "))
                  for name, severities in re.findall(r"^([a-z]+(?:-[a-z]+)*) \(([a-z, ]+)\)$", section, re.MULTILINE)}
    assert len(documented) > 40, documented
    equal({name: severities for name, severities in TRIGGERED.items() if documented.get(name) != severities}, {})
    equal(sorted(set(documented) - set(TRIGGERED) - SKIPPED), [])


TESTS = [
    a_device_that_is_well, a_host_that_is_well, nothing_is_changed, text_has_the_worst_first, iommu_that_is_off,
    no_iommu_mode, a_neighbour_in_the_group, a_neighbour_that_the_host_uses,
    a_neighbour_on_a_variant_before_6_1, companions_of_a_gpu, companion_that_is_no_gpus, boot_console_in_a_gpu, module_that_is_missing, module_that_another_needs,
    module_of_another_kernel, module_that_is_forbidden,
    module_that_is_not_signed, module_that_is_signed, module_that_is_blacklisted, tables_that_are_missing,
    a_kernel_that_is_old, a_kernel_without_vfio_groups, variants_without_aliases,
    ids_that_vfio_pci_claims, device_on_vfio_pci_already, options_that_do_not_act, override_that_no_driver_has,
    the_policy_decides, devices_that_vfio_pci_refuses, a_policy_that_is_damaged, wish_that_is_refused,
    wish_for_another_module, wish_that_is_invalid,
    model_in_the_domain, devices_that_nobody_manages, use_by_the_host, use_by_a_guest, claim_in_the_journal,
    entry_that_is_half_done, entry_that_is_damaged, entry_of_a_device_that_is_gone, not_on_vfio_though_at_boot,
    driver_of_a_vendor, no_way_to_reset,
    no_flr_and_an_old_libvirt, which_libvirt, libvirt_that_sees_no_modules, libvirt_in_another_network_namespace,
    libvirt_that_refuses,
    what_is_known_of_migration, migration_without_dma_logging, migration_with_several_devices,
    migration_that_is_required, generic_is_never_better, qemu_that_is_old, qemu_that_cannot_be_asked,
    emulator_of_others_is_not_run, emulator_elsewhere_is_not_run,
    domain_by_its_name, domain_that_virsh_does_not_give, domain_without_devices, domain_with_an_absent_device,
    arguments_that_are_wrong, accesses_that_were_denied, without_privilege, the_daemon_is_off, the_gate_is_off,
    a_reload_is_due, the_hook_is_missing_or_broken, the_hook_is_newer_than_libvirt, the_hook_notes_who_runs_it,
    node_device_hooks_that_are_not_run, hook_scripts_of_others, every_id_is_documented_and_triggered,
]

run_tests(TESTS)
