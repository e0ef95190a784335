# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the findings of vfio-variant check about devices, IOMMU groups, modules and the administrator's settings."""
import json
import os
import shutil
import subprocess
import time

from programs import DISK, NIC
from tap import equal
from well import (MODULES, RELEASE, UUID, Well, add_module, check, check_domain, depmod, domain, expect, findings_of,
                  hostdev, lacks, status)


# --- IOMMU ---


def iommu_that_is_off():
    def fix(host):
        return expect(check(host, NIC), "iommu-off", "problem", subject=NIC)["fix"]

    with Well() as host:
        os.unlink(host.path(host.device("iommu_group")))
        assert "firmware setup" in fix(host)
        host.write("sys/firmware/acpi/tables/IVRS", "")
        assert "amd_iommu" in fix(host)
        host.write("sys/firmware/acpi/tables/DMAR", "")
        assert "intel_iommu=on" in fix(host)
        os.makedirs(host.path("sys/class/iommu/dmar0"))
        equal(fix(host), None)
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
        lacks(check(host, NIC, DISK), "group")  # DISK is checked along with NIC
        expect(check_domain(host, domain(hostdev())), "group", "problem", subject=NIC)
        found = check_domain(host, domain(hostdev(), hostdev(bus="4", function="0")))
        lacks(found, "group")
        equal([device["device"] for device in found["devices"]], [NIC, DISK])


def group_of(host, *members, number="41", driver=None):
    """Adds devices with this driver to NIC's IOMMU group."""
    for address in members:
        host.add_device(address, driver=driver)
        host.link(host.device("iommu_group", address), f"../../../../kernel/iommu_groups/{number}")
        host.link(f"sys/kernel/iommu_groups/{number}/devices/{address}", f"../../../../bus/pci/devices/{address}")


def a_neighbour_that_the_host_uses():
    """The fix proposes to bind a group member, unless the host uses it: here, a NIC in a bridge."""
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
        assert "bind" not in one["fix"], one
        expect(found, "group", "problem", f"{smbus}, in the same IOMMU group 41, is on i801_smbus", subject=NIC)
        equal([one["fix"] for one in findings_of(found) if smbus in one["what"]], [f"vfio-variant bind {smbus}"])
        equal(host.look("list", "-n", "-o", "VIABLE", NIC).stdout.split(), ["no"])


def a_neighbour_on_a_variant_before_6_1():
    """Kernels have VFIO aliases since 5.16, but show vfio-dev/ only since 6.1."""
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
    """The GPU's audio function is linked to it and in another IOMMU group. Its USB function is not linked."""
    with Well() as host:
        host.add_device(GPU, GPU_MODALIAS.format("02"), driver="nvidia")
        host.add_device(AUDIO, "pci:v000010DEd000022BAsv000010DEsd00001851bc04sc03i00", driver="snd_hda_intel")
        for number, address in (("30", GPU), ("31", AUDIO)):
            host.link(host.device("iommu_group", address), f"../../../../kernel/iommu_groups/{number}")
            host.link(f"sys/kernel/iommu_groups/{number}/devices/{address}", f"../../../../bus/pci/devices/{address}")
        host.link(host.device(f"consumer:pci:{AUDIO}", GPU), f"../../../virtual/devlink/pci:{GPU}--pci:{AUDIO}")
        one = expect(check(host, GPU), "companion", "warning", f"{AUDIO}, its audio function", "on snd_hda_intel",
                     subject=GPU)
        equal(one["fix"], f"vfio-variant bind {AUDIO}")
        lacks(check(host, AUDIO), "companion")
        lacks(check(host, GPU, AUDIO), "companion")  # AUDIO is checked along with GPU
        equal([one["id"] for one in findings_of(check(host, GPU))].count("companion"), 1)
        host.set_driver(AUDIO, "vfio-pci")
        lacks(check(host, GPU), "companion")
        os.unlink(host.path(host.device("driver", AUDIO)))
        lacks(check(host, GPU), "companion")
        host.add_device(USB, "pci:v000010DEd00001AD8sv000010DEsd00001851bc0Csc03i30", driver="xhci_hcd")
        expect(check(host, GPU), "companion", "warning", f"{USB}, its USB function", subject=GPU)
        host.link(host.device("iommu_group", USB), "../../../../kernel/iommu_groups/30")
        host.link(f"sys/kernel/iommu_groups/30/devices/{USB}", f"../../../../bus/pci/devices/{USB}")
        found = check(host, GPU)  # same group: the finding "group" covers it
        expect(found, "group", "problem", USB, subject=GPU)
        lacks(found, "companion")
    with Well() as host:  # AMD APU: the host's own USB and audio functions share the GPU's slot
        host.add_device(GPU, GPU_MODALIAS.format("00"))
        for function, code in (("3", "0Csc03i30"), ("4", "0Csc03i30"), ("6", "04sc03i00")):
            host.add_device(f"{GPU[:-1]}{function}", f"pci:v00001022d00001639sv00001022sd00001639bc{code}", driver="x")
        lacks(check(host, GPU), "companion")


def companion_that_is_no_gpus():
    """Reports functions that the kernel links to the device, but not other functions of a NIC."""
    with Well() as host:
        host.add_device("0000:3b:00.2", driver="mlx5_core")
        lacks(check(host, NIC), "companion")
        host.link(host.device("consumer:pci:0000:3b:00.2"), "../../../virtual/devlink/x")
        os.makedirs(host.path(host.device("net/ens2", "0000:3b:00.2")))
        host.link("sys/class/net/ens2", "../../devices/pci0000:00/0000:00:01.0/0000:3b:00.2/net/ens2")
        host.link("sys/class/net/ens2/master", "../br0")
        one = expect(check(host, NIC), "companion", "warning", "0000:3b:00.2, which depends on it", "ens2 is part of br0",
                     subject=NIC)
        assert "bind" not in one["fix"], one


def boot_console_in_a_gpu():
    with Well() as host:
        host.add_device(GPU, GPU_MODALIAS.format("00"))
        host.write(host.device("resource", GPU), "0x00000000d8000000 0x00000000d8ffffff 0x0000000000040200\n"
                   "0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n" + "0x0 0x0 0x0\n" * 11)
        host.write("proc/iomem", f"e0000000-efffffff : {GPU}\n  e0000000-e02fffff : efifb\n")
        one = expect(check(host, GPU), "boot-framebuffer", "warning", "BAR 1 (efifb)", "until the next boot", subject=GPU)
        equal(one["fix"], None)
        os.rename(host.path(MODULES), host.path("lib/modules/5.14.21"))
        one = expect(check(host, GPU), "boot-framebuffer", "warning", "cannot reserve that BAR", "sysfb_init", subject=GPU)
        host.link("sys/bus/platform/drivers/efi-framebuffer/efi-framebuffer.0", "../../../../devices/platform/x")
        one = expect(check(host, GPU), "boot-framebuffer", "warning", subject=GPU)
        equal(one["fix"], "echo efi-framebuffer.0 >/sys/bus/platform/drivers/efi-framebuffer/unbind")
        for text in ("00000000-00000000 : efifb\n", "f0000000-f02fffff : efifb\n", "e0000000-e02fffff : nvidia\n", "efifb"):
            host.write("proc/iomem", text)
            lacks(check(host, GPU), "boot-framebuffer")
        os.rename(host.path("lib/modules/5.14.21"), host.path(MODULES))
        host.write("proc/iomem", "d8000000-d82fffff : BOOTFB\n")  # a 3D controller: vfio_pci_vga_init() handles only VGA
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
        expect(check(host, NIC), "module-missing", "warning", "vfio_pci_core", "required by special_vfio_pci", subject=NIC)
        os.makedirs(host.path("sys/module/vfio_pci_core"))
        lacks(check(host, NIC), "module-missing")


def module_of_another_kernel():
    """Loaded modules do not count if another kernel is checked and the running kernel's release is known."""
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
        lacks(check(host, DISK), "module-forbidden")  # the module is loaded
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
            equal(found["devices"][0]["module"], "vfio_pci")  # the module is loaded
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
    with Well() as host:  # unsigned and compressed
        shutil.rmtree(host.path(f"{MODULES}/kernel"))
        host.write("sys/module/module/parameters/sig_enforce", "Y\n")
        host.add_modules(packed=True)
        expect(check(host, NIC), "module-unsigned", "warning", "special_vfio_pci", subject=NIC)


def module_that_is_blacklisted():
    with Well() as host:
        host.write("etc/modprobe.d/x.conf", "blacklist special_vfio_pci\n")
        found = check(host, NIC)
        one = expect(found, "blacklisted", "note", "special_vfio_pci is excluded: ", subject=NIC)
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
        lacks(check(host, NIC), "blacklisted")  # the module ranks second anyway
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
    """CONFIG_VFIO_GROUP is off: VFIO devices are opened only through their cdev."""
    with Well() as host:
        lacks(status(host), "vfio-groups-off")
        shutil.rmtree(host.path("sys/class/vfio"))
        for version, severity in ((9000, "problem"), (11003, "problem"), (12008, "problem"), (12009, "warning"),
                                  (0, "warning")):
            host.add_libvirt(version, time.time())
            for found in (status(host), check(host, NIC)):
                expect(found, "vfio-groups-off", severity, "CONFIG_VFIO_GROUP", "12.8")
        shutil.rmtree(host.path("sys/class/vfio-dev"))
        lacks(status(host), "vfio-groups-off")  # unknown, because VFIO is not loaded


def variants_without_aliases():
    """Built-in variant modules publish no aliases before Linux 6.18."""
    with Well() as host:
        lacks(check(host, DISK), "builtin-silent")
        host.write(f"{MODULES}/modules.builtin", "kernel/drivers/vfio/pci/pds/pds-vfio-pci.ko\n")
        depmod(host)
        expect(status(host), "builtin-silent", "warning", "pds_vfio_pci", "6.18",
               "alias vfio_pci:v0000VVVVd0000DDDDsv*sd*bc*sc*i* pds_vfio_pci")
        line = "alias vfio_pci:v00001B36d00000010sv*sd*bc*sc*i* pds_vfio_pci"
        expect(check(host, DISK), "builtin-silent", "warning", "pds_vfio_pci", line, subject=DISK)
        lacks(check(host, NIC), "builtin-silent")  # NIC has a variant driver
        result = host.look("match", "--json", DISK)
        equal([c["module"] for c in json.loads(result.stdout)["candidates"]], ["vfio_pci"])
        assert "pds_vfio_pci" in result.stderr and f"vfio-variant check {DISK}" in result.stderr, result.stderr
        host.write("etc/modprobe.d/vfio.conf", f"{line}\n")
        found = check(host, DISK)
        lacks(found, "builtin-silent", "module-missing")
        equal(found["devices"][0]["module"], "pds_vfio_pci")
        os.unlink(host.path("etc/modprobe.d/vfio.conf"))
        host.write(f"{MODULES}/modules.builtin", "kernel/a/pds-vfio-pci.ko\nkernel/a/xe-vfio-pci.ko\n")
        depmod(host)  # unknown which of the two matches
        expect(check(host, DISK), "builtin-silent", "warning", "pds_vfio_pci, xe_vfio_pci", "sc*i* MODULE", subject=DISK)


# --- administrator's settings ---

def shown_by(host, found):
    """The files and lines that the grep command of the fix prints on this host."""
    command = found["fix"][found["fix"].index("grep "):].split("  #")[0]
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
    """Common settings from web tutorials do not change the selection. The effect of ids= is reported."""
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
    """Bound by ids= or by hand: hot plug keeps vfio-pci if libvirt does not select the driver itself."""
    with Well() as host:
        lacks(check(host, NIC), "on-generic")
        host.set_driver(NIC, "vfio-pci")
        host.write(host.device("vfio-dev/vfio7/dev"), "240:7\n")
        one = expect(check(host, NIC), "on-generic", "note", "special_vfio_pci", "hot plug", subject=NIC)
        equal(one["fix"], f"vfio-variant bind {NIC}")
        host.state_file(pinned="true", vfio_driver="vfio-pci")
        lacks(check(host, NIC), "on-generic")  # pinned by the administrator
        os.unlink(host.path(f"run/vfio-variant/{NIC}"))
        host.add_libvirt(10000, time.time() + 3600)
        lacks(check(host, NIC), "on-generic")  # libvirt 10.0 binds the best driver itself
        host.add_libvirt(9009, time.time() + 3600)
        host.policy("<device address='3b:00.1' driver='vfio-pci'/>")
        lacks(check(host, NIC), "on-generic")


def options_that_do_not_act():
    """Up to Linux 7.1, vfio_pci passes these options to vfio_pci_core at load. Since 7.2, they apply to vfio_pci only."""
    with Well() as host:
        host.write("etc/modprobe.d/vfio.conf", "options vfio-pci disable_idle_d3=1 nointxmask=1 enable_sriov=1\n")
        shutil.rmtree(host.path("sys/module/vfio_pci"))
        lacks(check(host, NIC), "options-lost")  # libvirt 9.9 loads vfio_pci
        host.add_libvirt(10000, time.time() + 3600)
        one = expect(check(host, NIC), "options-lost", "note", "special_vfio_pci: disable_idle_d3=1 nointxmask=1",
                     subject=NIC)
        equal(one["fix"], "modprobe vfio-pci")
        lacks(check(host, DISK), "options-lost")  # DISK is bound to vfio-pci
        os.makedirs(host.path("sys/module/vfio_pci"))
        lacks(check(host, NIC), "options-lost")
        os.rename(host.path(MODULES), host.path("lib/modules/7.2.1-test"))
        one = expect(check(host, NIC), "options-lost", "note", "since Linux 7.2 they affect only", subject=NIC)
        equal(one["fix"], f"vfio-variant bind --driver vfio-pci {NIC}  # only if it needs them")
        host.write("etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:27bb disable_denylist=1\n")
        lacks(check(host, NIC), "options-lost")


def override_that_no_driver_has():
    with Well() as host:
        host.write(host.device("driver_override"), "none\n")
        lacks(check(host, NIC), "override-unknown")  # the device has a driver
        os.unlink(host.path(host.device("driver")))
        one = expect(check(host, NIC), "override-unknown", "warning", "driver_override is 'none'", subject=NIC)
        equal(one["fix"], f"echo >/sys/bus/pci/devices/{NIC}/driver_override && echo {NIC} >/sys/bus/pci/drivers_probe")
        host.state_file(state="recorded", host_driver="", host_driver_override="none", domain="guest", domain_uuid=UUID)
        expect(check_domain(host, domain(hostdev())), "override-unknown", "warning", subject=NIC)
        for override in ("mlx5_core", "special_vfio_pci", "(null)"):  # registered, loadable, not set
            host.write(host.device("driver_override"), override + "\n")
            lacks(check(host, NIC), "override-unknown")


TESTS = [
    iommu_that_is_off, no_iommu_mode, a_neighbour_in_the_group, a_neighbour_that_the_host_uses,
    a_neighbour_on_a_variant_before_6_1, companions_of_a_gpu, companion_that_is_no_gpus, boot_console_in_a_gpu,
    module_that_is_missing, module_that_another_needs, module_of_another_kernel, module_that_is_forbidden,
    module_that_is_not_signed, module_that_is_signed, module_that_is_blacklisted, tables_that_are_missing,
    a_kernel_that_is_old, a_kernel_without_vfio_groups, variants_without_aliases, ids_that_vfio_pci_claims,
    device_on_vfio_pci_already, options_that_do_not_act, override_that_no_driver_has,
]
