#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Detects hot paths that become slower: callgrind counts their instructions.

Usage: test-instructions.py BUILD; prints TAP. The number of instructions is the same in each run, independent of the load of
the machine. Other compilers and libraries change it slightly. So each path has a limit: its count on Debian 12 plus 25 %,
and on other systems plus 50 %. (Debian 13 needs 80 % to 110 % of the count on Debian 12.) Lower the limit here when a path
becomes cheaper. The counts exclude the dynamic loader. The device and the tables are those of a fake host (see fake-host),
with 20,000 aliases.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../unit")]

from hook_domain import domain_xml  # noqa: E402
from tap import Skip, run_tests  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
COMMAND = f"{BUILD}/plugin/cli/vfio-variant"
HOOK = f"{BUILD}/hooks/vfio-variant-hook"
ALIASES = 20000
MANY = 64
# Thousands of instructions of each path on Debian 12, with its gcc 12, GLib 2.74 and C library 2.36
TAKEN = {
    "tables": 1615,
    "select": 11.3,
    "find": 5.8,
    "choose": 18.7,
    "hook none": 10.3,
    "hook prepare 1": 1992,
    "hook prepare 64": 13994,
    "hook start 1": 2024,
    "hook start 64": 16200,
}


def margin():
    with open("/etc/os-release", encoding="utf-8") as file:
        return 1.25 if "VERSION_CODENAME=bookworm" in file.read() else 1.5


class Host:
    """A fake host, and a folder for the output of callgrind"""

    def __init__(self, driver="mlx5_core"):
        self.folder = tempfile.mkdtemp()
        self.root = f"{self.folder}/host"
        modules = f"{self.folder}/0-test"
        os.mkdir(modules)
        with open(f"{modules}/modules.alias", "w", encoding="ascii") as out:
            out.writelines(f"alias pci:v0000{n >> 8:04X}d0000{n:04X}sv*sd*bc*sc*i* module_{n % 977}\n" for n in range(ALIASES))
            out.write("alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n")
        for name in ("modules.builtin.modinfo", "modules.dep"):
            with open(f"{modules}/{name}", "w", encoding="ascii"):
                pass
        subprocess.run([f"{HERE}/fake-host", self.root, str(MANY), modules, "1", driver], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def callgrind(self, collected, before, argv, stdin=""):
        """Returns: {program: instructions} of all processes. before: shell commands to run first"""
        program = [
            "valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", f"--toggle-collect={collected}",
            f"--callgrind-out-file={self.folder}/out.%p", *argv
        ]
        result = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", before + ' exec "$@"', "sh", *program],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False,
            env={"PATH": os.environ["PATH"], "LD_BIND_NOW": "1", "LC_ALL": "C.UTF-8"})
        if result.returncode:
            raise AssertionError(f"{argv} exited with {result.returncode}:\n{result.stdout}")
        counts = {}
        for name in os.listdir(self.folder):
            if not name.startswith("out."):
                continue
            with open(f"{self.folder}/{name}", encoding="utf-8") as file:
                text = file.read()
            os.unlink(f"{self.folder}/{name}")
            command = os.path.basename(re.search("^cmd: (.*)$", text, re.M).group(1).split()[0])
            counts[command] = int(re.search("^(?:totals|summary): ([0-9]+)", text, re.M).group(1))
        return counts


def judge(path, count, divisor=1):
    thousands = count / divisor / 1000
    limit = TAKEN[path] * margin()
    print(f"# {path}: {thousands:.1f} thousand instructions; at most {limit:.1f}")
    assert thousands > 0, f"{path}: nothing was counted"
    assert thousands <= limit, f"{path}: {thousands:.1f} thousand instructions, more than {limit:.1f}"


def command(path, function, arguments, divisor=1):
    with Host() as host:
        counts = host.callgrind(function, "", [COMMAND, *arguments, "--sysroot", host.root])
        judge(path, counts["vfio-variant"], divisor)


def reading_the_tables():
    command("tables", "vv_catalog_new", ["match", "00:00.0"])


def selection_for_one_device():
    command("select", "vv_catalog_select", ["match", "*"], MANY)


def finding_one_device():
    command("find", "vv_pci_device_look", ["list"], MANY)


def choice_for_one_device():
    """Selection, the policy, and the state of the drivers in sysfs"""
    command("choose", "vv_choose", ["list"], MANY)


def hook(path, operation, devices, driver, program):
    with Host(driver) as host:
        mounts = f"""mount --bind {host.root}/sys /sys; mount -t tmpfs tmpfs /run
            [ -d /lib/modules ] || mkdir /lib/modules
            mount -t tmpfs tmpfs /lib/modules; mkdir /lib/modules/$(uname -r)
            mount --bind {host.root}/lib/modules/* /lib/modules/$(uname -r);"""
        counts = host.callgrind("main", mounts, [HOOK, "guest", operation, "begin", "-"], domain_xml(devices))
        judge(path, counts[program])


def hook_of_a_domain_without_devices():
    hook("hook none", "prepare", 0, "mlx5_core", "vfio-variant-hook")


def hook_at_prepare():
    hook("hook prepare 1", "prepare", 1, "mlx5_core", "vfio-variant-domain")
    hook("hook prepare 64", "prepare", 64, "mlx5_core", "vfio-variant-domain")


def hook_at_start():
    hook("hook start 1", "start", 1, "mlx5_vfio_pci", "vfio-variant-domain")
    hook("hook start 64", "start", 64, "mlx5_vfio_pci", "vfio-variant-domain")


def needs_namespace():
    if subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip("mount namespaces are not allowed")


def in_namespace(test):
    def wrapped():
        needs_namespace()
        test()

    wrapped.__name__ = test.__name__
    return wrapped


run_tests([in_namespace(test) for test in (
    reading_the_tables, selection_for_one_device, finding_one_device, choice_for_one_device, hook_of_a_domain_without_devices,
    hook_at_prepare, hook_at_start)])
