#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of vfio-variant list: columns, device names, the tree, colours and --watch; and of the command's output in general.

Usage: test-list.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP. Some tests run the command in a mount
namespace in which the fake host's files are the running system's.
"""
import glob
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

from programs import COMMAND, DISK, MODALIAS, NIC, ON_VFIO, Host, exits, json_of, needs_namespace, run, valid
from tap import Skip, equal, run_tests

ENTRY = (f"[device]\naddress={NIC}\nmodalias={MODALIAS}\nstate=detached\nhost-known=true\nhost-driver=mlx5_core\n"
         "domain=vm1\n")
DEADLINE_S = 20


def share_group(host, member, device):
    """Moves the member into the IOMMU group of the device."""
    number = os.path.basename(os.readlink(host.path(host.device("iommu_group", device))))
    before = os.path.basename(os.readlink(host.path(host.device("iommu_group", member))))
    link = host.path(f"sys/kernel/iommu_groups/{before}/devices/{member}")
    os.rename(link, host.path(f"sys/kernel/iommu_groups/{number}/devices/{member}"))
    host.link(host.device("iommu_group", member), f"../../../../kernel/iommu_groups/{number}")


# --- columns and names ---


def list_shows_the_columns_asked_for():
    with Host() as host:
        lines = host.look("list", "--output", "now,DEVICE", NIC).stdout.splitlines()
        equal([line.split() for line in lines], [["NOW", "DEVICE"], ["mlx5_core", NIC]])
        equal(host.look("list", "-n", "-o", "GROUP,VIABLE,PF,OVERRIDE", NIC).stdout.split(), ["41", "yes", "-", "-"])
        host.write(host.device("driver_override"), "vfio-pci\n")
        equal(host.look("list", "-n", "-o", "OVERRIDE", NIC).stdout.strip(), "vfio-pci")
        for columns, unknown in (("DEVICE,", ""), ("DEVICE,WEIGHT", "WEIGHT")):
            exits(host.look("list", "--output", columns), 2, f"unknown column '{unknown}'; the columns are DEVICE,NAME,HOST")
        exits(host.look("list", "--output", ""), 2, "no column given")
        exits(host.look("list", "--output", "DEVICE", "--json"), 2, "--json and --output exclude each other")


def list_tells_who_could_not_be_given_out():
    with Host() as host:
        share_group(host, DISK, NIC)
        equal(host.look("list", "-n", "-o", "DEVICE,VIABLE", NIC).stdout.split(), [NIC, "no"])
        found = host.json("list", NIC)
        equal(found[0]["viable"], False)
        shutil.rmtree(host.path("sys/kernel/iommu_groups"))
        os.unlink(host.path(host.device("iommu_group")))
        equal(host.look("list", "-n", "-o", "VIABLE,GROUP", NIC).stdout.split(), ["no", "-"])


def list_knows_names():
    """Device names from a hardware database of this test, which replaces udev's."""
    needs_namespace()
    if not shutil.which("systemd-hwdb"):
        raise Skip("no systemd-hwdb")
    with Host() as host:
        host.write("etc/udev/hwdb.d/test.hwdb",
                   "pci:v000015B3*\n ID_VENDOR_FROM_DATABASE=Vendor\n\n"
                   "pci:v000015B3d0000101E*\n ID_MODEL_FROM_DATABASE=Virtual Function\n")
        exits(run("systemd-hwdb", "update", "--root", host.root), 0)
        os.makedirs("/etc/udev", exist_ok=True)

        def names(*arguments):
            return run("unshare", "--mount", "--propagation", "private", "sh", "-c",
                       f'mount --bind {host.path("etc/udev")} /etc/udev && exec "$@"', "sh",
                       COMMAND, "list", "--sysroot", host.root, *arguments)

        exits(names("-n", "-o", "NAME", NIC), 0, "Vendor Virtual Function")
        found = json_of(names("--json", "--all"), "list")
        equal({row["device"]: row["name"] for row in found}, {NIC: "Vendor Virtual Function", DISK: None, ON_VFIO: None})
        equal(names("-n", "-o", "NAME", DISK).stdout.strip(), "-")


# --- the tree ---


def tree_shows_whole_groups():
    with Host() as host:
        share_group(host, DISK, NIC)
        lines = host.look("list", "--tree").stdout.splitlines()
        equal(lines[0].split(), ["DEVICE", "NOW", "BEST", "VIABLE", "DOMAIN", "NAME"])
        equal([re.sub(r"[^\w:. -]|─", "", line).split()[:2] for line in lines[1:]],
              [["group", "9"], [ON_VFIO, "vfio-pci"], ["group", "41"], [DISK, "nvme"], [NIC, "mlx5_core"]])
        equal([line.split()[3] for line in lines[2:] if "group" not in line], ["yes", "no", "no"])
        assert "├─" in lines[4] and "└─" in lines[5], lines

        found = host.json("list", "--tree", NIC)
        equal([(group["iommu_group"], [one["device"] for one in group["devices"]]) for group in found],
              [("41", [DISK, NIC])])


def tree_shows_what_has_no_group():
    with Host() as host:
        for device in (NIC, DISK):
            os.unlink(host.path(host.device("iommu_group", device)))
        lines = host.look("list", "--tree").stdout.splitlines()
        equal(lines[3].strip(), "no group")
        assert NIC in lines[4] and len(lines) == 5, lines  # DISK is neither requested nor in a requested group
        found = host.json("list", "--tree", "--all")
        equal([group["iommu_group"] for group in found], ["9", None])
        exits(host.look("list", "--tree", "--watch"), 2, "--tree and --watch exclude each other")


# --- colours ---


def on_a_terminal(*program, **environment):
    """The output on a terminal, where each line ends with a carriage return as well."""
    main, end = pty.openpty()
    env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", **environment}
    env.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
    process = subprocess.Popen(program, stdout=end, stderr=subprocess.DEVNULL, env=env)
    os.close(end)
    text = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not chunk:
            break
        text += chunk
    process.wait()
    os.close(main)
    return text.decode().replace("\r\n", "\n")


def colours_are_for_terminals():
    with Host() as host:
        program = [COMMAND, "list", "--sysroot", host.root]
        assert "\x1b[32mvfio-pci" in on_a_terminal(*program)
        assert "\x1b[32mvfio-pci" in on_a_terminal(*program, NO_COLOR="")  # https://no-color.org: only if it is not empty
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
            assert "\x1b" not in on_a_terminal(*program, **environment)
        assert "\x1b" not in on_a_terminal(*program, "--color=never")
        assert "\x1b[32m" in on_a_terminal(*program, "--color=always", NO_COLOR="1")
        assert "\x1b" not in host.look("list").stdout
        assert "\x1b[32m" in host.look("list", "--color=always").stdout
        assert "\x1b" not in host.look("list", "--color=always", "--json").stdout
        exits(host.look("list", "--color=mauve"), 2, "--color must be auto, always or never")


def colours_have_a_meaning():
    with Host() as host:
        host.write("lib/modules/" + os.listdir(host.path("lib/modules"))[0] + "/modules.alias",
                   "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\nalias vfio_pci:v*d*sv*sd*bc01sc*i* other_vfio_pci\n")
        assert "\x1b[33mvfio-pci" in host.look("list", "--color=always", ON_VFIO).stdout  # on VFIO, but not on the best driver
        assert "\x1b" not in host.look("list", "--color=always", DISK).stdout  # on its host driver
        share_group(host, DISK, NIC)
        exits(host.look("check", "--color=always", NIC), 1, "\x1b[31mproblem\x1b[0m")
        assert "\x1b" not in host.look("check", NIC).stdout


# --- --watch ---


class Watch:
    """Runs vfio-variant list --watch with the host as the running system."""

    def __init__(self, host, *options):
        self.process = subprocess.Popen(host.entering(COMMAND, "list", "--watch", *options), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def line(self):
        deadline = time.monotonic() + DEADLINE_S
        while b"\n" not in self.pending:
            ready = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"no further line after {self.pending!r}"
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, f"it ended: {self.process.stderr.read()!r}"
            self.pending += chunk
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def change(self):
        found = json.loads(self.line())
        valid(found, "list.schema.json")
        return found["event"], found["device"]["device"], found["device"]

    def ends(self, number):
        self.process.send_signal(number)
        equal(self.process.wait(DEADLINE_S), 0)
        self.complained_of_nothing()

    def complained_of_nothing(self):
        """Asserts that standard error is empty, except for missing module tables of the real machine."""
        said = self.process.stderr.read().decode().splitlines()
        equal([line for line in said if "/modules." not in line], [])


def replace(host, path, text):
    """Replaces a file atomically, as the state store does."""
    host.write(path + ".new", text)
    os.rename(host.path(path + ".new"), host.path(path))


def watch_tells_of_the_journal():
    """Reports state files, also if their directory is new. With no module tables, NIC is listed only for its state file."""
    needs_namespace()
    with Host() as host:
        shutil.rmtree(host.path("run/vfio-variant"), ignore_errors=True)
        with Watch(host, "--json", "--kernel", "0.0.0-none") as watch:
            equal(watch.change()[:2], ("listed", ON_VFIO))
            os.mkdir(host.path("run/vfio-variant"), 0o755)
            replace(host, f"run/vfio-variant/{NIC}", ENTRY)
            event, address, device = watch.change()
            equal((event, address, device["state"], device["domain"]), ("added", NIC, "detached", "vm1"))
            replace(host, f"run/vfio-variant/{NIC}", ENTRY.replace("vm1", "vm2"))
            event, address, device = watch.change()
            equal((event, address, device["domain"]), ("changed", NIC, "vm2"))
            os.unlink(host.path(f"run/vfio-variant/{NIC}"))
            event, address, device = watch.change()
            equal((event, address, device["domain"]), ("removed", NIC, "vm2"))
            watch.ends(signal.SIGINT)


def watch_tells_of_device_events():
    """Triggers a real uevent of the machine's first PCI device."""
    needs_namespace()
    events = sorted(glob.glob("/sys/bus/pci/devices/*/uevent"))
    if not events or not os.access(events[0], os.W_OK):
        raise Skip("no PCI device here")
    with Host() as host, Watch(host, "--output", "DEVICE,NOW", NIC) as watch:
        first = watch.line().split()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", first[0]), first
        equal(first[1:], ["listed", NIC, "mlx5_core"])
        os.unlink(host.path(host.device("driver")))
        with open(events[0], "w", encoding="ascii") as file:
            file.write("change")
        equal(watch.line().split()[1:], ["changed", NIC, "-"])
        os.unlink(host.path(f"sys/bus/pci/devices/{NIC}"))
        with open(events[0], "w", encoding="ascii") as file:
            file.write("change")
        equal(watch.line().split()[1:], ["removed", NIC, "-"])
        watch.ends(signal.SIGTERM)


def watch_passes_nothing_to_the_terminal():
    needs_namespace()
    with Host() as host:
        host.write(f"run/vfio-variant/{NIC}", ENTRY.replace("vm1", "v\x1b[2Jm\\n1\u202e"))
        with Watch(host, "--output", "DOMAIN,DEVICE", NIC) as watch:
            equal(watch.line().split(None, 2)[2], f"v?[2Jm 1? {NIC}")


def watch_sleeps():
    """No wake-ups without events. One idle pause in ten is enough, because the machine may send events of its own."""
    needs_namespace()

    def wake_ups(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(), re.MULTILINE).group(1))

    with Host() as host, Watch(host, "--all") as watch:
        watch.line(), watch.line(), watch.line()

        def sleeps():
            before = wake_ups(watch.process.pid)
            time.sleep(1.5)
            return wake_ups(watch.process.pid) == before

        assert any(sleeps() for _ in range(10))


def watch_ends_with_its_reader():
    """Ends at once when its output is closed, not at the next write."""
    needs_namespace()
    with Host() as host, Watch(host, "--all") as watch:
        watch.line()
        watch.process.stdout.close()
        equal(watch.process.wait(DEADLINE_S), 0)
        watch.complained_of_nothing()
        watch.process.stdout = open(os.devnull, "rb")


def watch_draws_on_a_terminal():
    needs_namespace()
    with Host() as host:
        text = on_a_terminal("timeout", "--signal=INT", "2", *host.entering(COMMAND, "list", "--watch", "--all"))
        assert text.startswith("\x1b[H\x1b[JDEVICE "), text
        assert NIC in text and "listed" not in text, text
        text = on_a_terminal("timeout", "--signal=INT", "2", *host.entering(COMMAND, "list", "--watch", "--all"), TERM="dumb")
        assert "\x1b" not in text and " listed " in text, text


def watch_is_of_the_running_system():
    with Host() as host:
        exits(host.look("list", "--watch", "--all"), 2, "--watch and --sysroot exclude each other")


# --- output in general ---


def what_cannot_be_written_is_a_failure():
    with Host() as host:
        for arguments in (["list"], ["list", "--json"], ["match", NIC], ["metrics"], ["policy"], ["check", DISK]):
            with open("/dev/full", "w", encoding="ascii") as full:
                result = subprocess.run([COMMAND, arguments[0], "--sysroot", host.root, *arguments[1:]], stdout=full,
                                        stderr=subprocess.PIPE, text=True, check=False)
            equal((arguments, result.returncode), (arguments, 1))
            assert "vfio-variant: standard output: No space left on device\n" in result.stderr, result.stderr
    with open("/dev/full", "w", encoding="ascii") as full:
        equal(subprocess.run([COMMAND, "--help"], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode, 1)


def who_stops_reading_is_no_failure():
    """No error message, whether SIGPIPE ends the command or is ignored, as in a systemd unit."""
    with Host() as host:
        command = f"{COMMAND} list --sysroot {host.root} --all --json"
        for trap in ("", "trap '' PIPE; "):
            result = run("bash", "-c", f"{trap}set -o pipefail; ({command}; echo $? >{host.root}/code) | head -c 1 >/dev/null")
            equal(result.stderr, "")
            result = run("bash", "-c", f"{trap}{command} >&-; exit 0")
            assert "Traceback" not in result.stderr


def commands_are_guessed():
    for typed, meant in (("lst", "list"), ("mtach", "match"), ("stat", "status"), ("METRICS", None), ("zzz", None),
                         ("", None), ("x" * 1000, None), ("hlep", "help"), ("bidn", "bind"), ("re", "restore")):
        result = run(COMMAND, typed)
        exits(result, 2, f"vfio-variant: unknown command '{typed}'", "Try 'vfio-variant --help'.")
        equal("did you mean" in result.stderr, meant is not None)
        assert meant is None or f"; did you mean '{meant}'?\n" in result.stderr, result.stderr
        equal(run(COMMAND, "help", typed).stderr, result.stderr)


def help_is_a_command():
    equal(run(COMMAND, "help").stdout, run(COMMAND, "--help").stdout)
    for name in re.findall(r"^  ([a-z]+) ", run(COMMAND, "help").stdout, re.MULTILINE):
        result = run(COMMAND, "help", name)
        exits(result, 0, f"vfio-variant {name}")
        equal(result.stdout, run(COMMAND, name, "--help").stdout)
    exits(run(COMMAND, "help", "list", "match"), 2, "only one COMMAND at a time")


def version_tells_what_it_was_built_with():
    lines = run(COMMAND, "--version").stdout.splitlines()
    assert re.fullmatch(r"vfio-variant \d+\.\d+\.\d+\S*", lines[0]), lines
    for name in ("GLib", "libkmod", "libxml2", "json-glib", "libsmartcols", "libudev"):
        assert re.search(rf"\b{name} \d+", lines[1]), lines


TESTS = [
    list_shows_the_columns_asked_for, list_tells_who_could_not_be_given_out, list_knows_names, tree_shows_whole_groups,
    tree_shows_what_has_no_group, colours_are_for_terminals, colours_have_a_meaning, watch_tells_of_the_journal,
    watch_tells_of_device_events, watch_passes_nothing_to_the_terminal, watch_sleeps, watch_ends_with_its_reader, watch_draws_on_a_terminal,
    watch_is_of_the_running_system, what_cannot_be_written_is_a_failure, who_stops_reading_is_no_failure,
    commands_are_guessed, help_is_a_command, version_tells_what_it_was_built_with,
]

run_tests(TESTS)
