# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sound host, for the tests of check and status to break, and assertions about the findings on it."""
import json
import lzma
import os
import shutil
import stat
import struct
import time

from programs import DISK, MODALIAS, NIC, ON_VFIO, QUIET, SYSCONFDIR, Daemon, Host, exits, run, valid
from tap import Skip, equal

RELEASE = "6.1.0-test"
MODULES = f"lib/modules/{RELEASE}"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
LIBVIRT = f"{SYSCONFDIR}/libvirt"
QEMU = "usr/libexec/qemu-kvm"
HOOK_LINK = f"{LIBVIRT}/hooks/qemu.d/vfio-variant"
LIBVIRT_PID = 4711

TRIGGERED = {}  # id: the severities that a test has triggered
SKIPPED = set()  # ids that cannot be triggered here


IOMMUFD = "<driver iommufd='yes'/>"

# --- a sound host ---


def module_file(name, aliases, exports=(), needs=()):
    """The minimal module file for depmod: an ELF object with .modinfo, and the symbols that it exports and needs."""
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
    """Writes a module's file; run depmod afterwards."""
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
    """A sound host: loadable modules, resets, and a libvirt that runs the hook."""

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
        """Also mounts the host's QEMU, if it has one."""
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
        """@version: MAJOR * 1000 + MINOR; 0: unknown"""
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
        """Adds a process that has a character device open."""
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

    def noted(self, driver, stop_copy, p2p="false", dma_logging="true", iommu_logging=None):
        self.write(f"run/vfio-variant/migration-{driver}-{MODALIAS}",
                   f"[migration]\ndriver={driver}\nmodalias={MODALIAS}\nstop-copy={stop_copy}\np2p={p2p}\n"
                   f"pre-copy=false\ndma-logging={dma_logging}\n"
                   + (f"iommu-logging={iommu_logging}\n" if iommu_logging else ""))


# --- findings ---


def document(result, schema):
    assert result.returncode in (0, 1), result.stderr
    found = json.loads(result.stdout)
    valid(found, schema)
    return found


def findings_of(found):
    devices = found["devices"] if "ok" in found else []  # of check; in status, it is a number
    return [one for device in devices for one in device["findings"]] + found["findings"]


def check(host, *arguments):
    """The JSON output of check; its exit status must match "ok"."""
    result = host.look("check", "--json", *arguments)
    found = document(result, "check.schema.json")
    problems = [one for one in findings_of(found) if one["severity"] == "problem"]
    equal((result.returncode, found["ok"]), (1, False) if problems else (0, True))
    for device in found["devices"]:
        equal(device["ok"], all(one["severity"] != "problem" for one in device["findings"]))
    return found


def status(host, answer=QUIET):
    """The JSON output of status with this answer of the daemon; None: no daemon runs."""
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
    """Asserts one finding with this id and severity that contains each of the texts. Returns it."""
    ones = [one for one in findings_of(found) if one["id"] == name]
    assert ones, f"no {name}: {[one['id'] for one in findings_of(found)]}"
    matching = [one for one in ones if one["severity"] == severity and one["subject"] == subject and
                all(text in " ".join(filter(None, (one["what"], one["why"], one["fix"]))) for text in texts)]
    assert matching, f"not as expected: {ones}"
    TRIGGERED.setdefault(name, set()).add(severity)
    return matching[0]


def lacks(found, *names):
    for one in findings_of(found):
        assert one["id"] not in names, one


def triggers(*names):
    """Decorates a test that may be skipped: no other test triggers these ids."""
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


def emulator(host, text, path=QEMU):
    host.write(path, f"#!/bin/sh\n{text}\n")
    os.chmod(host.path(path), 0o755)
    return host.path(path)
