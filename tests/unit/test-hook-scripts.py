#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the node-device hook scripts that are shipped, with replacements for devlink and logger.

Usage: test-hook-scripts.py DIRECTORY-OF-THE-SCRIPTS; prints TAP.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from tap import equal, run_tests

SCRIPTS = sys.argv[1]
PF, VF = "0000:06:00.0", "0000:06:00.3"
NODEDEV = "pci_0000_06_00_3"
BEGIN = ("detach", "begin", "mlx5_vfio_pci")
XML = """<device>
  <name>pci_0000_06_00_3</name>
  <capability type='pci'>
    <product id='0x101e'/>
    <vendor id='0x15b3'/>
  </capability>
</device>
"""
STAND_IN = """#!/bin/sh
name=${0##*/}
for word; do printf '<%s>' "$word"; done >>"$0.calls"
echo >>"$0.calls"
case " $* " in
  *' show '*) cat "$0.shows"; exit "$(cat "$0.show-status")" ;;
esac
cat "$0.says" >&2
exit "$(cat "$0.status")"
"""


class Place:
    """A directory with a sysfs tree, programs for PATH, and the scripts, changed to read that sysfs tree."""

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="vfio-variant-")
        os.mkdir(self.path("bin"))
        for program in ("awk", "cat", "head", "readlink", "sed"):
            os.symlink(shutil.which(program), self.path(f"bin/{program}"))
        self.shell = shutil.which("sh")
        devices = self.path("sys/bus/pci/devices")
        for address in (PF, VF, "0000:06:00.2"):
            os.makedirs(os.path.join(devices, address))
        os.symlink(f"../{PF}", os.path.join(devices, VF, "physfn"))
        os.symlink("../0000:06:00.2", os.path.join(devices, PF, "virtfn0"))
        os.symlink(f"../{VF}", os.path.join(devices, PF, "virtfn1"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)

    def path(self, path):
        return os.path.join(self.root, path)

    def write(self, path, text, mode=0o644):
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(path), mode)

    def stand_in(self, name, shows="", says="", status=0, show_status=0):
        self.write(f"bin/{name}", STAND_IN, 0o755)
        for suffix, text in (("shows", shows), ("says", says), ("status", status), ("show-status", show_status)):
            self.write(f"bin/{name}.{suffix}", str(text))

    def calls(self, name):
        try:
            with open(self.path(f"bin/{name}.calls"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def run(self, script, *arguments, stdin=XML):
        with open(os.path.join(SCRIPTS, script), encoding="utf-8") as file:
            text = file.read()
        if script == "mlx5-migratable":
            assert text.count("\nsysfs=/sys\n") == 1
            text = text.replace("\nsysfs=/sys\n", f"\nsysfs={self.path('sys')}\n")
        self.write(script, text, 0o755)
        return subprocess.run([self.shell, self.path(script), *arguments], input=stdin, capture_output=True, text=True,
                              check=False, env={"PATH": self.path("bin")})

    def migratable(self, ports, **stand_in):
        """Runs the hook; ports is devlink's answer to "port show"."""
        self.stand_in("logger")
        self.stand_in("devlink", shows=ports if isinstance(ports, str) else json.dumps(ports), **stand_in)
        return self.run("mlx5-migratable", NODEDEV, *BEGIN)


def silent(result):
    equal((result.returncode, result.stdout, result.stderr), (0, "", ""))


def port(vfnum, state="disable", flavour="pcivf", controller=0, **more):
    function = {"hw_addr": "00:00:00:00:00:00", "roce": "enable"}
    if state:
        function["migratable"] = state
    function.update(more)
    return {"type": "eth", "netdev": f"enp6s0f0npf0vf{vfnum}", "flavour": flavour, "controller": controller,
            "pfnum": 0, "vfnum": vfnum, "external": False, "splittable": False, "function": function}


UPLINK = {"type": "eth", "netdev": "enp6s0f0np0", "flavour": "physical", "port": 0, "splittable": False}
PORTS = {"port": {f"pci/{PF}/65535": UPLINK, f"pci/{PF}/1": port(0), f"pci/{PF}/2": port(1),
                  f"pci/{PF}/12": port(11)}}
SHOW = "<-j><port><show>"


def enables(name):
    return f"<port><function><set><{name}><migratable><enable>"


# --- mlx5-migratable ---


def a_virtual_function_is_made_migratable():
    for shown in (json.dumps(PORTS), json.dumps(PORTS, indent=4), json.dumps(PORTS, separators=(",", ":"))):
        with Place() as place:
            result = place.migratable(shown)
            equal((result.returncode, result.stderr), (0, ""))
            equal(result.stdout, f"pci/{PF}/2 is migratable now\n")
            equal(place.calls("devlink"), [SHOW, enables(f"pci/{PF}/2")])
            equal(place.calls("logger"), [])


def what_is_migratable_is_left_alone():
    with Place() as place:
        silent(place.migratable({"port": {f"pci/{PF}/2": port(1, "enable"), f"pci/{PF}/1": port(0)}}))
        equal(place.calls("devlink"), [SHOW])


def an_unknown_state_is_tried():
    with Place() as place:
        place.migratable({"port": {f"pci/{PF}/2": port(1, None), f"pci/{PF}/3": port(2, "enable")}})
        equal(place.calls("devlink"), [SHOW, enables(f"pci/{PF}/2")])


def the_right_port_is_found():
    """Skips ports of another card, another host or another flavour, and numbers with the same prefix."""
    ports = {"pci/0000:07:00.0/2": port(1), f"pci/{PF}/3": port(1, controller=1), f"pci/{PF}/4": port(1, flavour="pcisf"),
             f"pci/{PF}/5": port(10), "auxiliary/mlx5_core.sf.4/6": port(1),
             f"pci/{PF}/7": port(1, nested_devlink={f"pci/{VF}": {}}), f"pci/{PF}/8": port(2, "enable")}
    with Place() as place:
        place.migratable({"port": ports})
        equal(place.calls("devlink"), [SHOW, enables(f"pci/{PF}/7")])


def a_port_without_controller_is_local():
    with Place() as place:
        local = port(1)
        del local["controller"]
        place.migratable({"port": {f"pci/{PF}/2": local}})
        equal(place.calls("devlink"), [SHOW, enables(f"pci/{PF}/2")])


def no_port_is_told_and_no_veto():
    for ports in ({"port": {}}, {"port": {f"pci/{PF}/65535": UPLINK}}, "", "no JSON"):
        with Place() as place:
            result = place.migratable(ports)
            equal(result.returncode, 0)
            assert f"VF 1 of {PF} has no devlink port" in result.stderr
            equal(len(place.calls("logger")), 1)
            equal(place.calls("devlink"), [SHOW])


def a_failing_set_is_told_and_no_veto():
    with Place() as place:
        result = place.migratable(PORTS, says="kernel answers: Operation not supported\n", status=1)
        equal((result.returncode, result.stdout), (0, ""))
        assert "kernel answers: Operation not supported" in result.stderr
        call, = place.calls("logger")
        assert call.startswith(f"<-t><vfio-variant-mlx5><-p><daemon.warning><--><{NODEDEV}: not made migratable: "), call
        assert call.endswith("kernel answers: Operation not supported>"), call


def a_failing_show_is_told_and_no_veto():
    with Place() as place:
        result = place.migratable("Failed to connect to devlink Netlink\n", show_status=1)
        equal(result.returncode, 0)
        assert "Failed to connect to devlink Netlink" in result.stderr
        equal(place.calls("devlink"), [SHOW])


def without_logger_it_is_told_all_the_same():
    with Place() as place:
        place.stand_in("devlink", shows='{"port":{}}')
        result = place.run("mlx5-migratable", NODEDEV, *BEGIN)
        equal(result.returncode, 0)
        assert "no devlink port" in result.stderr
        assert "logger" not in result.stderr


def other_calls_do_nothing():
    with Place() as place:
        place.stand_in("devlink", shows=json.dumps(PORTS))
        place.stand_in("logger")
        for arguments in ((), (NODEDEV,), (NODEDEV, "detach", "begin", "vfio-pci"), (NODEDEV, "detach", "begin", "-"),
                          (NODEDEV, "detach", "end", "mlx5_vfio_pci"), (NODEDEV, "reattach", "begin", "mlx5_core"),
                          (NODEDEV, "reattach", "end", "mlx5_core"), (NODEDEV, "reattach", "begin", "mlx5_vfio_pci")):
            silent(place.run("mlx5-migratable", *arguments))
        equal(place.calls("devlink") + place.calls("logger"), [])


def other_devices_do_nothing():
    with Place() as place:
        place.stand_in("devlink", shows=json.dumps(PORTS))
        place.stand_in("logger")
        for name in ("pci_0000_06_00_0", "pci_0000_ff_00_0", "net_eth0", "pci_../../x", "", "-n"):
            silent(place.run("mlx5-migratable", name, *BEGIN))
        equal(place.calls("devlink") + place.calls("logger"), [])


def without_devlink_it_is_silent():
    with Place() as place:
        place.stand_in("logger")
        silent(place.run("mlx5-migratable", NODEDEV, *BEGIN))
        equal(place.calls("logger"), [])


# --- audit-log ---


def each_call_is_a_line():
    with Place() as place:
        place.stand_in("logger")
        for call in (BEGIN, ("detach", "end", "mlx5_vfio_pci"), ("reattach", "begin", "mlx5_core"), ("reattach", "end", "-")):
            silent(place.run("audit-log", NODEDEV, *call))
        lines = place.calls("logger")
        equal(len(lines), 4)
        equal(lines[0], "<-t><vfio-variant-audit><-p><authpriv.notice><-->"
                        "<device=pci_0000_06_00_3 operation=detach sub-operation=begin driver=mlx5_vfio_pci "
                        "vendor=0x15b3 product=0x101e>")
        assert "operation=reattach sub-operation=end driver=- " in lines[3]


def the_log_survives_nonsense():
    with Place() as place:
        place.stand_in("logger")
        silent(place.run("audit-log", stdin=""))
        silent(place.run("audit-log", NODEDEV, *BEGIN, stdin='<vendor id="0x8086">x</vendor>\n<vendor id="0x1"/>'))
        equal([line.split("<--><")[1] for line in place.calls("logger")],
              ["device=- operation=- sub-operation=- driver=- vendor= product=>",
               "device=pci_0000_06_00_3 operation=detach sub-operation=begin driver=mlx5_vfio_pci vendor=0x8086 product=>"])


def a_log_that_fails_is_no_veto():
    with Place() as place:
        place.stand_in("logger", status=1)
        result = place.run("audit-log", NODEDEV, *BEGIN)
        equal(result.returncode, 0)
        assert "not logged: device=pci_0000_06_00_3" in result.stderr
    with Place() as place:
        result = place.run("audit-log", NODEDEV, *BEGIN)
        equal(result.returncode, 0)
        assert "not logged: device=pci_0000_06_00_3" in result.stderr


TESTS = [
    a_virtual_function_is_made_migratable, what_is_migratable_is_left_alone, an_unknown_state_is_tried,
    the_right_port_is_found, a_port_without_controller_is_local, no_port_is_told_and_no_veto,
    a_failing_set_is_told_and_no_veto, a_failing_show_is_told_and_no_veto, without_logger_it_is_told_all_the_same,
    other_calls_do_nothing, other_devices_do_nothing, without_devlink_it_is_silent, each_call_is_a_line,
    the_log_survives_nonsense, a_log_that_fails_is_no_veto,
]

run_tests(TESTS)
