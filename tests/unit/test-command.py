#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs as their users see them: what they print, and what they exit with.

Usage: test-command.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR HURRIED-HOOK; prints TAP. Some tests run the programs in a mount
namespace in which the fake host's files are the running system's.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from programs import (COMMAND, DAEMON, HOOK, LIBVIRT_DIR, QUIET, SCHEMAS, STATUS, SYSCONFDIR, Daemon, Host, as_nobody,
                      exits, needs_namespace, needs_policy, run, valid)
from tap import Skip, equal, run_tests

HURRIED_HOOK = sys.argv[7]
NIC, DISK, ON_VFIO = "0000:3b:00.1", "0000:04:00.0", "0000:05:00.0"
KEY = "vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00"
DOMAIN = """<domain><name>vm1</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices>
<hostdev mode='subsystem' type='pci' managed='%s'><source><address domain='0' bus='0x3b' slot='0'
function='1'/></source></hostdev></devices></domain>"""


# --- list ---


def list_shows_what_matters():
    with Host() as host:
        result = host.look("list")
        exits(result, 0)
        rows = [line.split() for line in result.stdout.splitlines()]
        equal(rows[0], ["DEVICE", "NATIVE", "NOW", "BEST", "GROUP", "DOMAIN", "MIGRATABLE"])
        equal(rows[1], [ON_VFIO, "-", "vfio-pci", "vfio-pci", "9", "-", "no"])
        equal(rows[2], [NIC, "mlx5_core", "mlx5_core", "special_vfio_pci", "41", "-", "-"])
        equal(len(rows), 3)


def list_all_shows_all():
    with Host() as host:
        exits(host.look("list", "--all"), 0, DISK, NIC, ON_VFIO)
        result = host.look("list", "04:00.0")
        exits(result, 0, DISK)
        assert NIC not in result.stdout


def list_of_nothing_says_so():
    with Host() as host:
        for name in (NIC, DISK, ON_VFIO):
            os.unlink(host.path(f"sys/bus/pci/devices/{name}"))
        result = host.look("list")
        exits(result, 0, "vfio-variant: no device here has a VFIO variant driver")
        equal(result.stdout, "")


def list_json():
    with Host() as host:
        result = host.look("list", "--json", "--all")
        exits(result, 0)
        rows = json.loads(result.stdout)
        valid(rows, "list.schema.json")
        equal([row["device"] for row in rows], [DISK, ON_VFIO, NIC])
        nic = rows[2]
        equal(nic["native"], "mlx5_core")
        equal(nic["driver"], "mlx5_core")
        equal(nic["driver_override"], None)
        equal(nic["best_module"], "special_vfio_pci")
        equal(nic["best_driver"], None)
        equal(nic["iommu_group"], "41")
        equal((nic["vfio"], nic["held"], nic["domain_running"]), (False, False, False))
        equal(rows[1]["vfio"], True)
        equal([row["migratable"] for row in rows], [False, False, None])


def list_shows_who_can_migrate():
    """What probe noted: of the driver that the device is on for VFIO, else of the best one."""
    def shown(host):
        rows = json.loads(host.look("list", "--json", NIC).stdout)
        valid(rows, "list.schema.json")
        return rows[0]["migratable"], host.look("list", NIC).stdout.split()[-1]

    def noted(host, driver, stop_copy, logs="dma-logging=true"):
        host.write(f"run/vfio-variant/migration-{driver}-{KEY[5:]}",
                   f"[migration]\ndriver={driver}\nmodalias={KEY[5:]}\nstop-copy={stop_copy}\np2p=false\n"
                   f"pre-copy=false\n{logs}\n")

    def needs_iommufd(host):
        return json.loads(host.look("list", "--json", NIC).stdout)[0]["needs_iommufd"]

    with Host() as host:
        noted(host, "mlx5_vfio_pci", "true")
        equal(shown(host), (None, "-"))  # not the best
        host.write("etc/modprobe.d/test.conf", "blacklist special_vfio_pci\n")
        equal(shown(host), (None, "-"))  # not loaded: its driver's name is not known
        os.makedirs(host.path("sys/module/mlx5_vfio_pci/drivers/pci:mlx5_vfio_pci"))
        equal(shown(host), (True, "yes"))
        equal(needs_iommufd(host), False)
        noted(host, "mlx5_vfio_pci", "false")
        equal(shown(host), (False, "no"))
        equal(needs_iommufd(host), False)
        for more in ("", "\niommu-logging=true"):
            noted(host, "mlx5_vfio_pci", "true", "dma-logging=false" + more)
            equal(shown(host), (None, "iommufd"))
            equal(needs_iommufd(host), True)
        entry = (f"[device]\naddress={NIC}\nmodalias={KEY[5:]}\nstate=detached\nhome-known=true\ndomain=vm1\n"
                 "domain-uuid=u\nrequested=iommufd=%s\n")
        for iommufd, told in (("yes", (True, "yes")), ("no", (False, "no")), ("x", (None, "iommufd"))):
            host.write(f"run/vfio-variant/{NIC}", entry % iommufd)  # the truth about its domain
            equal(shown(host), told)
        os.unlink(host.path(f"run/vfio-variant/{NIC}"))
        noted(host, "mlx5_vfio_pci", "true", "dma-logging=false\niommu-logging=false")
        equal(shown(host), (False, "no"))
        equal(needs_iommufd(host), False)
        host.write(f"run/vfio-variant/migration-mlx5_vfio_pci-{KEY[5:]}", "damaged")
        equal(shown(host), (None, "-"))

        noted(host, "mlx5_vfio_pci", "true")  # on another driver, which has not been asked
        device = f"sys/devices/pci0000:00/0000:00:01.0/{NIC}"
        os.unlink(host.path(f"{device}/driver"))
        os.symlink("../../../../bus/pci/drivers/special-vfio", host.path(f"{device}/driver"))
        os.makedirs(host.path(f"{device}/vfio-dev/vfio41"))
        equal(shown(host), (None, "-"))
        noted(host, "special-vfio", "true")
        equal(shown(host), (True, "yes"))


def list_shows_the_journal():
    with Host() as host:
        host.write(f"run/vfio-variant/{NIC}",
                   f"[device]\naddress={NIC}\nmodalias={KEY[5:]}\nstate=detached\nhome-known=true\n"
                   "home-driver=old_native\ndomain=vm \"1\"\\n\ndomain-uuid=77\nin-use=true\n")
        host.write(f"run/vfio-variant/{DISK}", "damaged")
        exits(host.look("list"), 0, "old_native", "is not readable as a journal entry (damaged)", DISK)
        rows = json.loads(host.look("list", "--json", NIC).stdout)
        valid(rows, "list.schema.json")
        equal(rows[0]["domain"], 'vm "1"\n')
        equal((rows[0]["state"], rows[0]["native"], rows[0]["domain_running"]), ("detached", "old_native", True))


# --- match ---


def match_shows_the_order():
    with Host() as host:
        result = host.look("match", NIC)
        exits(result, 0)
        lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
        equal(lines[0], KEY)
        equal(lines[1], "1 special_vfio_pci 3 wildcards vfio_pci:v000015B3d0000101Esv000015B3sd00000058bc*sc*i* "
                        "modules.alias module, not loaded")
        equal(lines[2], "2 mlx5_vfio_pci 5 wildcards vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* modules.alias "
                        "module, not loaded")
        equal(lines[3], "3 vfio-pci 7 wildcards vfio_pci:v*d*sv*sd*bc*sc*i* modules.alias")
        equal(len(lines), 4)


def match_shows_a_tie():
    """Of as many wildcards, the line that comes first, as libvirt takes it."""
    with Host() as host:
        pattern = "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*"
        host.write("lib/modules/6.1.0-test/modules.alias",
                   f"alias {pattern} z_vfio\nalias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\nalias {pattern} a_vfio\n")
        lines = [" ".join(line.split()) for line in host.look("match", NIC).stdout.splitlines()]
        equal(lines[1:], [f"1 z_vfio 5 wildcards {pattern} modules.alias module, not loaded; tie with a_vfio",
                          f"2 a_vfio 5 wildcards {pattern} modules.alias module, not loaded; tie with z_vfio",
                          "3 vfio-pci 7 wildcards vfio_pci:v*d*sv*sd*bc*sc*i* modules.alias"])
        found = json.loads(host.look("match", "--json", NIC).stdout)
        valid(found, "match.schema.json")
        equal([(c["module"], c["tie"]) for c in found["candidates"]],
              [("z_vfio", True), ("a_vfio", True), ("vfio_pci", False)])
        host.write("etc/modprobe.d/test.conf", "blacklist z_vfio\n")
        found = json.loads(host.look("match", "--json", NIC).stdout)
        equal([(c["module"], c["tie"]) for c in found["candidates"]], [("a_vfio", False), ("vfio_pci", False)])


def match_shows_what_is_out():
    with Host() as host:
        host.write("etc/modprobe.d/test.conf", "blacklist mlx5-vfio-pci\n")
        exits(host.look("match", NIC), 0, "out: blacklisted in modprobe.d")
        host.write("etc/modprobe.d/test.conf", "blacklist vfio_pci\n")
        exits(host.look("match", DISK), 0, "no VFIO driver is left")


def match_below_a_root_has_the_command_line_in_there():
    """libkmod reads /proc/cmdline, which is the running kernel's."""
    needs_namespace()
    with Host() as host:
        host.write("running", "modprobe.blacklist=special-vfio-pci,mlx5_vfio_pci ro\n")
        host.write("etc/modprobe.d/test.conf", "blacklist mlx5-vfio-pci\n")
        host.write("proc/cmdline", "modprobe.blacklist=other\n")
        look = [COMMAND, "match", "--json", "--sysroot", host.root, NIC]
        result = run("unshare", "--mount", "--propagation", "private", "sh", "-c",
                     f"mount --bind {host.path('running')} /proc/cmdline && exec \"$@\"", "sh", *look)
        exits(result, 0)
        found = json.loads(result.stdout)
        equal([candidate["module"] for candidate in found["candidates"]], ["special_vfio_pci", "vfio_pci"])
        equal([out["module"] for out in found["excluded"]], ["mlx5_vfio_pci"])


def match_json():
    with Host() as host:
        host.write("etc/modprobe.d/test.conf", "blacklist special_vfio_pci\n")
        result = host.look("match", "--json", "pci_0000_3b_00_1")
        exits(result, 0)
        found = json.loads(result.stdout)
        valid(found, "match.schema.json")
        equal(found["device"], NIC)
        equal(found["modalias"], KEY[5:])
        equal(found["key"], KEY)
        equal(found["candidates"][0],
              {"rank": 1, "module": "mlx5_vfio_pci", "driver": None,
               "alias": "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", "wildcards": 5, "source": "modules.alias", "tie": False})
        equal(found["candidates"][1]["driver"], "vfio-pci")
        equal([out["module"] for out in found["excluded"]], ["special_vfio_pci"])


def match_json_of_several_is_an_array():
    with Host() as host:
        found = json.loads(host.look("match", "--json", "*", NIC).stdout)
        valid(found, "match.schema.json")
        equal([one["device"] for one in found], [DISK, ON_VFIO, NIC])  # each once
        exits(host.look("match", "*"), 0, DISK, ON_VFIO, NIC)


def match_takes_every_spelling():
    with Host() as host:
        for spelling in (NIC, "3b:00.1", "pci_0000_3b_00_1", f"/sys/bus/pci/devices/{NIC}", "3b:*"):
            exits(host.look("match", spelling), 0, KEY)


def match_warns_of_missing_tables():
    with Host() as host:
        shutil.rmtree(host.path("lib/modules"))
        result = host.look("match", "--json", NIC)
        exits(result, 0, "warning: ", "only the generic driver is sure to be found")
        found = json.loads(result.stdout)
        valid(found, "match.schema.json")
        equal([one["source"] for one in found["candidates"]], ["default"])
        equal(found["candidates"][0]["wildcards"], None)


def match_of_another_kernel():
    with Host() as host:
        host.write("lib/modules/6.2.0-other/modules.alias", "alias vfio_pci:v*d*sv*sd*bc*sc*i* other_vfio\n")
        host.write("lib/modules/6.2.0-other/modules.builtin.modinfo", "")
        exits(host.look("match", "--kernel", "6.2.0-other", NIC), 0, "other_vfio")
        exits(host.look("match", "--kernel", "../../etc", NIC), 2, "is no kernel release")


# --- status ---

NOT_RUNNING = ("vfio-variantd is not running: hot plug gets what libvirt itself chooses; "
               "'systemctl start vfio-variantd' starts it")


def told_of_the_daemon(result):
    """The lines about the daemon, without what was found on the host."""
    return result.stdout.partition("\n\nhost:\n")[0].splitlines()


def status_of(answer, *options, **manner):
    """What the command makes of an answer."""
    with Host() as host, Daemon(host, answer, **manner):
        return host.look("status", *options)


def status_json_of(answer):
    result = status_of(answer, "--json")
    exits(result, 0)
    found = json.loads(result.stdout)
    valid(found, "status.schema.json")
    return found


def status_for_people():
    with Host() as host, Daemon(host, STATUS):
        result = run("env", "TZ=XXX-1", COMMAND, "status", "--sysroot", host.root)
    exits(result, 0)
    equal(result.stderr, "")
    equal([" ".join(line.split()) for line in told_of_the_daemon(result)], [
        "gate on for libvirtd, virtqemud, virtchd; deadline 30.0 s",
        f"daemon vfio-variantd {STATUS['version']}, process 123, since 2025-11-24T17:00:00+0100",
        "devices 57 watched; the monitor is running",
        "opens 12 seen, 4 passed, 8 held",
        "outcomes 3 detached, 1 fell back, 3 reattached, 1 left alone, 0 failed, 0 refused, 0 past the deadline, 0 crashed",
        "held mean 212.5 ms, max 1.6 s",
        "own mean 500 us, max 1.1 ms (without binds, module loads and hook scripts)",
        "",
        "Held now:",
        "DEVICE EXECUTABLE PID FOR",
        "0000:02:00.0 libvirtd 812 1.5 ms",
        "",
        "Last changes of hands:",
        "TIME DEVICE OPERATION FROM TO OUTCOME HELD OWN WHY",
        "2025-11-24T17:00:01+0100 0000:02:00.0 detach e1000e test_vfio_pci detached 9.0 ms 400 us "
        "vfio_pci:v00008086d000010D3sv*sd*bc*sc*i*",
        "2025-11-24T17:00:00+0100 0000:3b:00.1 reattach - - failed 30.0 s 70 us the driver is gone; "
        "failed: mlx5_core at bind",
    ])


def status_of_a_quiet_daemon_is_short():
    result = status_of(QUIET)
    exits(result, 0, "opens     12 seen")
    equal([line.split()[0] for line in told_of_the_daemon(result)], ["gate", "daemon", "devices", "opens", "outcomes"])
    found = status_json_of(QUIET)
    equal({name: number for name, number in found["held"].items() if name != "buckets"}, {"count": 0, "max_us": 0, "sum_us": 0})
    equal((found["holding"], found["changes"]), ([], []))


def status_tells_why_the_gate_is_off():
    off = {**STATUS, "gate": "off", "reason": "fanotify is not there; start it as root"}
    exits(status_of(off), 0, "gate      off: fanotify is not there; start it as root\n")
    exits(status_of({**off, "reason": None}), 0, "gate      off: no reason was given\n")


def status_json_is_what_the_daemon_says():
    found = status_json_of(STATUS)
    equal(found.pop("error"), None)
    assert found.pop("findings")
    equal(found, STATUS)


def status_of_another_version():
    """What it says is shown, what it does not say is missing, and whatever it is, nothing breaks."""
    newer = {**STATUS, "version": "2.0", "mood": "fine"}
    for options in ([], ["--json"]):
        result = status_of(newer, *options)
        exits(result, 0, f"warning: vfio-variantd is version 2.0, vfio-variant is version {STATUS['version']}; 'systemctl restart")
    exits(status_of({"version": "2.0"}), 0, "gate      off: no reason was given\n", "process 0, since ", "opens     0 seen")
    for name in STATUS:
        for other in (None, 7, 0.5, "text", True, [], [None, 7, "text", [], {}], {"count": "many"}):
            answer = {**STATUS, name: other}
            if name == "version" and other != "text":
                exits(status_of(answer), 1, "(no version in it)")
                continue
            result = status_of(answer)
            equal(result.returncode, 0)
            assert "CRITICAL" not in result.stderr, result.stderr


def status_without_a_daemon_exits_1():
    with Host() as host:
        for situation in ("no directory", "no socket", "a socket that is left over"):
            if situation == "no socket":
                os.makedirs(host.path("run/vfio-variant"))
            elif situation != "no directory":
                with Daemon(host):
                    pass
                assert os.path.exists(host.path("run/vfio-variant/vfio-variantd.sock"))
            result = host.look("status")
            equal((result.returncode, told_of_the_daemon(result), result.stderr), (1, [NOT_RUNNING], ""))
            result = host.look("status", "--json")
            exits(result, 1)
            found = json.loads(result.stdout)
            valid(found, "status.schema.json")
            equal((found["running"], found["error"]), (False, NOT_RUNNING))
            equal([one["id"] for one in found["findings"] if one["subject"] == "host"][0], "daemon-off")


def status_without_privilege_exits_5():
    become = as_nobody()
    with Host() as host, Daemon(host, STATUS) as daemon:
        os.chmod(daemon.path, 0)
        for option in ([], ["--json"]):
            result = run(*become, COMMAND, "status", "--sysroot", host.root, *option)
            exits(result, 5, "asking vfio-variantd needs root", "Permission denied")
            equal(result.stdout, "")


def status_that_is_cut_off_exits_1():
    whole = json.dumps(STATUS).encode()
    cases = [whole[:length] for length in (0, 1, 20, len(whole) // 2, len(whole) - 1)]
    cases += [b"[daemon]\nversion=0.9\n", b"garbage", b"\x1b[2J\n", b"\xff\xfe", b"null", b"[]", b'"text"', b"{}"]
    for answer in cases:
        for options in ([], ["--json"]):
            result = status_of(answer, *options)
            exits(result, 1, "cannot read the status of vfio-variantd (",
                  "else 'systemctl restart vfio-variantd'")
            equal(result.stdout, "")
            assert "\x1b" not in result.stderr and "CRITICAL" not in result.stderr and len(result.stderr) < 400, result.stderr


def status_that_does_not_come_exits_1():
    late = "vfio-variantd did not answer within 0.1 s"
    began = time.monotonic()
    exits(status_of(b"", "--timeout-ms", "100", hangs_up=False), 1, late)
    exits(status_of(STATUS, "--timeout-ms", "100", hangs_up=False), 1, late)
    with Host() as host, Daemon(host, deaf=True):
        exits(host.look("status", "--timeout-ms", "100"), 1, late)
        exits(host.look("status", "--timeout-ms", "100"), 1, late)  # the first fills the queue: not even connected
    assert time.monotonic() - began < 4, "it waited for longer"


def status_passes_nothing_to_the_terminal():
    """That the daemon's JSON has no such texts, test-service sees to."""
    nasty = "a\x1b[2Jtitle\x07b\u009b31mc\u202ed\ne\rf\x7f\u2028g" + "y" * 2000
    clean = "a?[2Jtitle?b?31mc?d e f? g".ljust(1000, "y") + "..."

    def spoil(value):
        if isinstance(value, dict):
            return {name: spoil(one) for name, one in value.items()}
        if isinstance(value, list):
            return [spoil(one) for one in value]
        return nasty if isinstance(value, str) else value

    result = status_of(spoil(STATUS))
    exits(result, 0, clean)
    bad = re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", result.stdout + result.stderr)
    assert not bad, bad


# --- policy ---

RULES = """<vfio-variant>
  <device vendor='0x15b3' address='3b:00.*' driver='mlx5_vfio_pci generic' fallback='none'/>
  <default host-use='warn'/>
  <gate enabled='no' deadline='20'><serve executable='libvirtd'/></gate>
</vfio-variant>
"""
MATCH_KEYS = ["address", "vendor", "product", "subsystem_vendor", "subsystem_product", "class", "physical_function",
              "native_driver", "modalias", "iommu_group"]
POLICY, POLICY_D = "libvirt/vfio-variant.xml", "libvirt/vfio-variant.d"


def write_policy(host, path, text):
    """Returns: its full name"""
    host.write(os.path.join(SYSCONFDIR, path), text)
    return host.path(os.path.join(SYSCONFDIR, path))


def policy_for_people():
    with Host() as host:
        main = write_policy(host, POLICY, RULES)
        more = write_policy(host, f"{POLICY_D}/a.xml",
                            "<vfio-variant><device class='0x03' driver='generic'/><hooks time-limit='5'/></vfio-variant>")
        result = host.look("policy")
        exits(result, 0)
        equal(result.stderr, "")
        equal([" ".join(line.split()) for line in result.stdout.splitlines()], [
            "Files:",
            f"{main} read",
            f"{more} read",
            "Rules; the first that matches a device decides:",
            f"{main}:2 address=0000:3b:00.* vendor=0x15b3 driver=mlx5_vfio_pci,generic fallback=none",
            f"{more}:1 class=0x03 driver=generic",
            "Defaults, for what that rule does not say:",
            f"{main}:3 host-use=warn",
            "Settings:",
            "gate no",
            "gate deadline 20 s",
            "gate serves libvirtd",
            "hooks time-limit 5 s",
        ])


def policy_of_nothing():
    with Host() as host:
        result = host.look("policy")
        exits(result, 0)
        equal((result.stdout, result.stderr), ("no rules: each device gets the best driver that works\n", ""))
        found = json.loads(host.look("policy", "--json").stdout)
        valid(found, "policy.schema.json")
        equal(found, {"files": [], "rules": [], "defaults": [], "gate": None, "deadline_s": None, "executables": None,
                      "hook_time_limit_s": None})


def policy_json():
    with Host() as host:
        main = write_policy(host, POLICY, RULES)
        broken = write_policy(host, f"{POLICY_D}/a.xml", "<vfio-variant>\n<default/></vfio-variant>")
        result = host.look("policy", "--json")
        exits(result, 1)
        found = json.loads(result.stdout)
        valid(found, "policy.schema.json")
        problem = (f"{broken}:2: <default> wants nothing: it needs one of driver, fallback, migratable, unmanaged, "
                   "host-use; nothing in it counts")
        equal(result.stderr, f"vfio-variant: {problem}\n")
        equal(found["files"], [{"path": main, "problem": None}, {"path": broken, "problem": problem}])
        match = {**dict.fromkeys(MATCH_KEYS), "address": "0000:3b:00.*", "vendor": "0x15b3"}
        equal(found["rules"], [{"file": main, "line": 2, "match": match, "drivers": ["mlx5_vfio_pci", "generic"],
                                "fallback": "none", "migratable": None, "unmanaged": None, "host_use": None,
                                "at_boot": None}])
        equal(found["defaults"], [{"file": main, "line": 3, "drivers": None, "fallback": None, "migratable": None,
                                   "unmanaged": None, "host_use": "warn"}])
        equal((found["gate"], found["deadline_s"], found["executables"]), (False, 20, ["libvirtd"]))


def policy_of_given_files():
    with Host() as host:
        write_policy(host, POLICY, "broken")
        new = host.path("new.xml")
        host.write("new.xml", RULES)
        os.chmod(new, 0o666)  # before it is installed that does not matter
        result = run(COMMAND, "policy", new)
        exits(result, 0, f"{new} ", f"{new}:2")
        result = run(COMMAND, "policy", new, host.path("none.xml"), host.path("etc"))
        exits(result, 1, f"{new}:2", f"vfio-variant: {host.path('none.xml')}: open: No such file or directory",
              f"vfio-variant: {host.path('etc')}: it is no file")
        exits(run(COMMAND, "policy", "--sysroot", host.root, new), 2, "--sysroot or a FILE")


# --- metrics ---

COUNTERS = """[counters]
format=1
[change 1]
operation=detach
driver=mlx5_vfio_pci
done=3
fell-back=1
failed=0
[change 2]
operation=reattach
driver=a"b\\\\c
done=0
fell-back=0
failed=2
[failed-at]
load=1
driver=0
override=0
unbind=0
hook=0
bind=4
verify=0
deadline=0
[detach]
buckets=0;0;1;2;0;1;0;0;0;0;0;0;0;
sum-us=27500
[reattach]
buckets=0;0;0;0;0;0;0;0;0;0;0;0;0;
sum-us=0
"""


def parsed(text, form="openmetrics"):
    """The families by name, each as its samples: {(name, (label, value)...): number}, by a parser of others. Without
    it, the samples as they can be told without one."""
    try:
        if form == "openmetrics":
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        else:
            from prometheus_client.parser import text_string_to_metric_families
    except ImportError as missing:
        raise Skip("no prometheus_client") from missing
    families = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in families, f"{family.name} comes twice"
        assert family.documentation, f"{family.name} is not described"
        families[family.name] = (family.type, family.unit, {
            (sample.name, *sorted(sample.labels.items())): sample.value for sample in family.samples})
    return families


def metrics_of(host, *options):
    result = host.look("metrics", *options)
    exits(result, 0)
    equal(result.stderr, "")
    return result.stdout


def metrics_are_openmetrics():
    with Host() as host, Daemon(host, STATUS):
        host.write("run/vfio-variant/counters", COUNTERS)
        host.write(f"run/vfio-variant/{NIC}",
                   f"[device]\naddress={NIC}\nmodalias={KEY[5:]}\nstate=detached\nhome-known=true\n"
                   "home-driver=mlx5_core\nvfio-driver=mlx5_vfio_pci\nin-use=true\n")
        families = parsed(metrics_of(host))
    kind, unit, changes = families["vfio_variant_changes"]
    equal((kind, unit), ("counter", ""))
    equal({labels[1:]: number for labels, number in changes.items()}, {
        (("driver", driver), ("operation", operation), ("outcome", outcome)): number
        for driver, operation, numbers in (("mlx5_vfio_pci", "detach", (3, 1, 0)), ('a"b\\c', "reattach", (0, 0, 2)))
        for outcome, number in zip(("done", "fell-back", "failed"), numbers)})
    kind, unit, durations = families["vfio_variant_change_duration_seconds"]
    equal((kind, unit), ("histogram", "seconds"))
    name = "vfio_variant_change_duration_seconds"
    equal(durations[(f"{name}_bucket", ("le", "0.003"), ("operation", "detach"))], 3)
    equal(durations[(f"{name}_count", ("operation", "detach"))], 4)
    equal(durations[(f"{name}_sum", ("operation", "detach"))], 0.0275)
    equal(families["vfio_variant_attempt_failures"][2][("vfio_variant_attempt_failures_total", ("step", "bind"))], 4)
    equal(families["vfio_variant_devices_detached"],
          ("gauge", "", {("vfio_variant_devices_detached", ("driver", "mlx5_vfio_pci"), ("in_use", "true"),
                          ("native_driver", "mlx5_core")): 1}))
    equal(families["vfio_variant_journal_entries"][2][("vfio_variant_journal_entries", ("state", "detached"))], 1)
    equal(families["vfio_variant_build"][0], "info")
    equal(families["vfio_variant_daemon_up"][2], {("vfio_variant_daemon_up",): 1})
    equal(families["vfio_variant_gate_on"][2], {("vfio_variant_gate_on",): 1})
    equal(families["vfio_variant_gate_opens"][2], {("vfio_variant_gate_opens_total", ("result", "passed")): 4,
                                                   ("vfio_variant_gate_opens_total", ("result", "held")): 8})
    equal(families["vfio_variant_gate_outcomes"][2][
        ("vfio_variant_gate_outcomes_total", ("outcome", "left-alone"))], 1)
    kind, unit, held = families["vfio_variant_gate_held_seconds"]
    equal((kind, unit), ("histogram", "seconds"))
    equal(held[("vfio_variant_gate_held_seconds_bucket", ("le", "0.01"))], 5)
    equal(held[("vfio_variant_gate_held_seconds_count",)], 8)
    equal(held[("vfio_variant_gate_held_seconds_sum",)], 1.7)
    equal(families["vfio_variant_gate_own_seconds"][2][("vfio_variant_gate_own_seconds_count",)], 8)


def metrics_are_the_same_for_prometheus():
    with Host() as host, Daemon(host, STATUS):
        host.write("run/vfio-variant/counters", COUNTERS)
        newer = parsed(metrics_of(host, "--format=openmetrics"))
        older = parsed(metrics_of(host, "--format=prometheus"), "prometheus")

    def samples(families):
        return {name: value for _, _, all_of_one in families.values() for name, value in all_of_one.items()}

    equal(samples(older), samples(newer))
    kinds = {name: kind for name, (kind, _, _) in older.items()}
    equal({kind for kind in kinds.values()}, {"counter", "gauge", "histogram"})
    equal(kinds["vfio_variant_build_info"], "gauge")


def metrics_without_a_daemon():
    with Host() as host:
        families = parsed(metrics_of(host))  # no directory either
        equal(families["vfio_variant_daemon_up"][2], {("vfio_variant_daemon_up",): 0})
        assert not [name for name in families if "gate" in name], list(families)
        equal(families["vfio_variant_changes"][2], {})


def metrics_without_privilege():
    become = as_nobody()
    with Host() as host, Daemon(host, STATUS) as daemon:
        host.write("run/vfio-variant/counters", COUNTERS)
        os.chmod(daemon.path, 0)
        result = run(*become, COMMAND, "metrics", "--sysroot", host.root)
    exits(result, 0, 'vfio_variant_changes_total{operation="detach",driver="mlx5_vfio_pci",outcome="done"} 3')
    assert "vfio-variant:" not in result.stderr, result.stderr  # gcov may have something to say
    assert "daemon" not in result.stdout and "gate" not in result.stdout, result.stdout


def metrics_of_a_daemon_that_hangs():
    with Host() as host, Daemon(host, STATUS, hangs_up=False):
        result = host.look("metrics", "--timeout-ms", "200")
    exits(result, 0, "warning: vfio-variantd did not answer within 0.2 s", "vfio_variant_daemon_up 0\n# EOF\n")


def metrics_of_a_damaged_counters():
    with Host() as host:
        host.write("run/vfio-variant/counters", COUNTERS.replace("done=3", "done=three"))
        result = host.look("metrics")
    exits(result, 0, "warning: ", "/run/vfio-variant/counters cannot be read (damaged)", "# EOF\n")
    assert "vfio_variant_changes" not in result.stdout, result.stdout


def metrics_in_a_file():
    with Host() as host, Daemon(host, STATUS):
        path = host.path("vfio-variant.prom")
        printed = metrics_of(host, "--format=prometheus")
        before = os.umask(0o077)
        equal(metrics_of(host, "--format=prometheus", f"--output={path}"), "")
        os.umask(before)
        with open(path, encoding="utf-8") as file:
            equal(file.read(), printed)
        equal(os.stat(path).st_mode & 0o777, 0o644)  # the node exporter is another user
        equal([name for name in os.listdir(host.root) if "prom" in name], ["vfio-variant.prom"])
        exits(host.look("metrics", "-o", host.path("absent/vfio-variant.prom")), 1, "/absent: No such file or directory")
        exits(host.look("metrics", "-o", host.path("sys")), 1, "/sys: write: Is a directory")
        result = run("env", "-C", host.root, os.path.abspath(COMMAND), "metrics", "--sysroot", host.root, "-o", "here.prom")
        exits(result, 0)
        assert os.path.isfile(host.path("here.prom"))


def metrics_usage():
    with Host() as host:
        exits(host.look("metrics", "--format=xml"), 2, "--format takes openmetrics or prometheus")
        exits(host.look("metrics", "--json"), 2, "--json")
        exits(host.look("metrics", NIC), 2, "it takes no arguments")


def what_is_done_is_counted():
    """On files that accept everything and change nothing: no bind succeeds."""
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "bind", "--dry-run", NIC), 0)
        assert not os.path.exists(host.path("run/vfio-variant/counters")), "a dry run counts"
        exits(host.inside(COMMAND, "bind", NIC), 1)
        exits(host.inside(COMMAND, "restore", NIC), 0)
        text = metrics_of(host)
    for line in ('changes_total{operation="detach",driver="vfio-pci",outcome="failed"} 1',
                 'changes_total{operation="reattach",driver="mlx5_core",outcome="done"} 1',
                 'change_duration_seconds_count{operation="reattach"} 1'):
        assert f"vfio_variant_{line}\n" in text, text


# --- exit codes and help ---


def wrong_usage_exits_2():
    cases = [
        [], ["fly"], ["match"], ["match", "--fly"], ["list", "--fly"], ["probe"], ["probe", "--sysroot", "/", NIC],
        ["check"], ["check", "--domain", "vm1", NIC], ["check", NIC, "vm1.xml"], ["check", "eth0"],
        ["bind"], ["bind", "--jobs", "0", NIC],
        ["bind", "--jobs", "257", NIC], ["bind", "--jobs", "x", NIC], ["bind", "--sysroot", "/", NIC], ["restore"],
        ["restore", "--all", NIC], ["restore", "--jobs", "0", NIC], ["restore", "--sysroot", "/", NIC],
        ["match", "eth0"], ["list", "0000:3b:00"], ["status", NIC], ["status", "--kernel", "6.1"],
        ["status", "--timeout-ms", "0"],
    ]
    for arguments in cases:
        result = run(COMMAND, *arguments)
        exits(result, 2, "vfio-variant")
        equal(result.stdout, "")


def absent_device_exits_3():
    with Host() as host:
        exits(host.look("match", "0000:ff:00.0"), 3, "0000:ff:00.0: no such PCI device")
        exits(host.look("list", "ff:*"), 3, "no PCI device matches 'ff:*'")


def no_sysfs_exits_1():
    with Host() as host:
        shutil.rmtree(host.path("sys"))
        exits(host.look("list"), 1, "/sys: No such file or directory")


def moving_without_privilege_exits_5():
    become = as_nobody()
    exits(run(*become, COMMAND, "bind", NIC), 5, "moving a device needs root")
    exits(run(*become, COMMAND, "restore", "--all"), 5, "moving a device needs root")
    exits(run(*become, COMMAND, "probe", NIC), 5, "asking a device's driver needs root")
    with Host() as host:  # looking needs none
        exits(run(*become, COMMAND, "match", "--sysroot", host.root, NIC), 0, KEY)


def help_tells():
    exits(run(COMMAND, "--help"), 0, "Usage: vfio-variant COMMAND", "list", "match", "probe", "bind", "restore",
          "status", "metrics", "policy", "Exit status")
    exits(run(COMMAND, "-h"), 0, "Usage:")
    exits(run(COMMAND, "--version"), 0, "vfio-variant ")
    for name, options in (("list", ["--all", "--sysroot"]), ("match", ["--kernel", "--json"]),
                          ("probe", ["--json"]), ("check", ["--domain", "--kernel", "--json"]),
                          ("bind", ["--driver", "--force", "--jobs", "--dry-run"]), ("restore", ["--all", "--force"])):
        result = run(COMMAND, name, "--help")
        exits(result, 0, "Usage:", f"vfio-variant {name}", "DEVICE", *options)
        equal(result.stderr, "")
    result = run(COMMAND, "status", "--help")
    exits(result, 0, "Usage:", "vfio-variant status", "--json")
    assert "DEVICE" not in result.stdout, "it takes none"


def every_json_has_its_schema():
    """A command that has --json is named here, with its schema, which is installed and in the man page."""
    schemas = {"list": "list", "match": "match", "probe": "probe", "check": "check", "bind": "change", "restore": "change",
               "policy": "policy", "status": "status"}
    names = re.findall(r"^  ([a-z]+) ", run(COMMAND, "--help").stdout, re.MULTILINE)
    equal(sorted(name for name in names if "--json" in run(COMMAND, name, "--help").stdout), sorted(schemas))
    source = os.path.dirname(SCHEMAS)
    with open(os.path.join(source, "docs/man/vfio-variant.rst"), encoding="utf-8") as file:
        manual = file.read()
    with open(os.path.join(SCHEMAS, "meson.build"), encoding="utf-8") as file:
        installed = file.read()
    for schema in schemas.values():
        assert f"*{schema}.schema.json*" in manual and f"'{schema}.schema.json'" in installed, schema
    with Host() as host:
        for arguments in (["list", "--all"], ["list", "--all", "--tree"], ["match", NIC], ["match", "*"], ["check", NIC],
                          ["status"], ["policy"]):
            valid(json.loads(host.look(*arguments, "--json").stdout), f"{schemas[arguments[0]]}.schema.json")


def options_are_the_same_everywhere():
    """In --help, in the man page, and in the completion."""
    source = os.path.dirname(SCHEMAS)
    completion = os.path.join(source, "packaging/completion/vfio-variant")
    with open(os.path.join(source, "docs/man/vfio-variant.rst"), encoding="utf-8") as file:
        manual = file.read()
    for name in ("list", "match", "probe", "check", "bind", "restore", "status", "metrics", "policy"):
        helped = re.findall(r"^  (?:-., )?(--[a-z-]+)", run(COMMAND, name, "--help").stdout, re.MULTILINE)
        section = re.search(rf"^{name}\n-+\n(.*?)(?=^\S+\n[-=]+\n|\Z)", manual, re.MULTILINE | re.DOTALL).group(1)
        documented = re.findall(r"^(?:-.(?: [A-Z]+)?, )?(--[a-z-]+)", section, re.MULTILINE)
        completed = run("bash", "-c", 'source "$1" && _vfio_variant_options "$2"', "bash", completion, name)
        assert len(helped) > 1, helped
        equal(sorted(documented), sorted(helped))
        equal(sorted(completed.stdout.split()), sorted(helped))


# --- vfio-variantd, as far as it can be seen without a kernel ---


def the_daemon_helps():
    exits(run(DAEMON, "--help"), 0, "Usage:", "vfio-variantd")
    exits(run(DAEMON, "--version"), 0, "vfio-variantd ")
    for arguments in (["--deadline", "0"], ["--deadline", "3601"], ["--deadline", "soon"], ["--nonsense"], ["x"]):
        exits(run(DAEMON, *arguments), 2, "vfio-variantd --help")


def the_daemon_without_privilege_exits_5():
    exits(run(*as_nobody(), DAEMON), 5, "must be run as root")


def the_daemons_options_are_the_same_everywhere():
    source = os.path.dirname(SCHEMAS)
    with open(os.path.join(source, "docs/man/vfio-variantd.rst"), encoding="utf-8") as file:
        manual = file.read()
    completion = os.path.join(source, "packaging/completion/vfio-variantd")
    helped = re.findall(r"^  (?:-., )?(--[a-z-]+)", run(DAEMON, "--help").stdout, re.MULTILINE)
    documented = re.findall(r"^(?:-.(?: [A-Z]+)?, )?(--[a-z][a-z-]*)", manual, re.MULTILINE)
    completed = run("bash", "-c", 'source "$1" && _vfio_variantd_options', "bash", completion)
    assert len(helped) > 2, helped
    equal(sorted(documented), sorted(helped))
    equal(sorted(completed.stdout.split()), sorted(helped))


# --- moving, on files that accept everything and change nothing ---


def bind_of_what_is_bound():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "bind", ON_VFIO), 0, f"{ON_VFIO}: vfio-pci -> vfio-pci",
              "it already is on the best driver")
        result = host.inside(COMMAND, "bind", "--json", ON_VFIO)
        exits(result, 0)
        moved = json.loads(result.stdout)
        valid(moved, "change.schema.json")
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
               f"# {ON_VFIO}: vfio-pci -> vfio-pci (it already is on the best driver)"])
        assert not os.path.exists(host.path("run/vfio-variant"))
        result = host.inside(COMMAND, "restore", "--dry-run", ON_VFIO)
        exits(result, 0, f"echo {ON_VFIO} > /sys/bus/pci/drivers/vfio-pci/unbind",
              f"echo {ON_VFIO} > /sys/bus/pci/drivers_probe")


def bind_that_fails_exits_1():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "bind", NIC), 1, f"{NIC}: no VFIO driver could be bound, it is back on mlx5_core: ",
              "the kernel accepted the bind to vfio-pci, but the device is on mlx5_core")
        equal(sorted(os.listdir(host.path("run/vfio-variant"))), ["counters", f"lock-{NIC}", "lock-counters"])
        result = host.inside(COMMAND, "bind", "--json", "--jobs", "2", NIC, ON_VFIO)
        exits(result, 1)
        moved = json.loads(result.stdout)
        valid(moved, "change.schema.json")
        equal([one["error"] is None for one in moved], [False, True])


def many_devices(host, count):
    """Copies of the network card: their addresses."""
    folder = host.path("sys/devices/pci0000:00/0000:00:01.0")
    addresses = [f"0000:3c:{n:02x}.0" for n in range(count)]
    for address in addresses:
        shutil.copytree(f"{folder}/{NIC}", f"{folder}/{address}", symlinks=True)
        os.symlink(f"../../../devices/pci0000:00/0000:00:01.0/{address}", host.path(f"sys/bus/pci/devices/{address}"))
    return addresses


def bind_of_many_at_once():
    """In eight threads; what each of them says is about its own device. No kernel binds them here."""
    needs_namespace()
    with Host() as host:
        addresses = many_devices(host, 24)
        result = host.inside(COMMAND, "bind", "--force", "--json", "--jobs", "8", *addresses)
        exits(result, 1)
        moved = json.loads(result.stdout)
        valid(moved, "change.schema.json")
        equal([one["device"] for one in moved], addresses)
        for one in moved:
            assert one["error"].startswith(f"{one['device']}: no VFIO driver could be bound, it is back on mlx5_core"), one
        equal(sorted(os.listdir(host.path("run/vfio-variant"))),
              sorted([f"lock-{address}" for address in addresses] + ["lock-counters", "counters"]))
        with open(host.path("run/vfio-variant/counters"), encoding="utf-8") as counters:
            counted = counters.read()
        assert "failed=24\n" in counted and "bind=24\n" in counted, counted


def bind_of_what_the_host_uses_exits_4():
    needs_namespace()
    with Host() as host:
        use_by_the_host(host)
        exits(host.inside(COMMAND, "bind", NIC), 4, "is in use by the host: network interface ens1 is part of br0",
              "--force")
        exits(host.inside(COMMAND, "bind", "--force", NIC), 1, "the kernel accepted the bind")
        exits(host.inside(COMMAND, "bind", NIC, "--driver", "../x", "--force"), 2, "is no driver name")


def bind_without_an_iommu_exits_4():
    needs_namespace()
    with Host() as host:
        os.unlink(host.path(f"sys/devices/pci0000:00/0000:00:01.0/{NIC}/iommu_group"))
        exits(host.inside(COMMAND, "bind", NIC), 4, "it has no IOMMU group")


def restore_respects_domains():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "restore", "--all"), 0, "nothing to restore\n")
        host.write(f"run/vfio-variant/{NIC}",
                   f"[device]\naddress={NIC}\nmodalias={KEY[5:]}\nstate=detached\nhome-known=true\n"
                   "home-driver=mlx5_core\ndomain=vm1\ndomain-uuid=77\n")
        exits(host.inside(COMMAND, "restore", "--all"), 0, "nothing to restore\n")
        exits(host.inside(COMMAND, "restore", NIC), 4, f"{NIC} belongs to domain vm1")
        exits(host.inside(COMMAND, "restore", "--force", NIC), 0, f"{NIC}: mlx5_core -> mlx5_core",
              "it already is at home")
        assert not os.path.exists(host.path(f"run/vfio-variant/{NIC}"))


# --- probe ---


def probe_of_the_generic_driver():
    needs_namespace()
    with Host() as host:
        result = host.inside(COMMAND, "probe", ON_VFIO)
        exits(result, 0)
        equal(result.stdout, f"{ON_VFIO}: vfio-pci: cannot migrate: the driver announces no migration\n")
        result = host.inside(COMMAND, "probe", "--json", ON_VFIO)
        exits(result, 0)
        found = json.loads(result.stdout)
        valid(found, "probe.schema.json")
        equal(found, {"device": ON_VFIO, "driver": "vfio-pci", "migratable": False, "stop_copy": False, "p2p": False,
                      "pre_copy": False, "dma_logging": False, "iommu_logging": None, "error": None})


def probe_of_a_native_driver_exits_4():
    needs_namespace()
    with Host() as host:
        exits(host.inside(COMMAND, "probe", NIC), 4, f"{NIC} is on mlx5_core", f"vfio-variant bind {NIC}")
        result = host.inside(COMMAND, "probe", "--json", NIC, ON_VFIO)
        exits(result, 4)
        found = json.loads(result.stdout)
        valid(found, "probe.schema.json")
        equal([one["migratable"] for one in found], [None, False])
        equal([one["driver"] for one in found], ["mlx5_core", "vfio-pci"])
        assert "is on mlx5_core" in found[0]["error"]
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if NIC in name], [f"lock-{NIC}"])


def probe_respects_domains():
    """Also between libvirt's detach and QEMU's start, when no process has the device."""
    needs_namespace()
    with Host() as host:
        with open(host.path(f"sys/bus/pci/devices/{ON_VFIO}/modalias"), encoding="utf-8") as file:
            modalias = file.read().strip()
        host.write(f"run/vfio-variant/{ON_VFIO}",
                   f"[device]\naddress={ON_VFIO}\nmodalias={modalias}\nstate=noted\nhome-known=true\n"
                   "home-driver=nvme\ndomain=vm1\ndomain-uuid=77\n")
        exits(host.inside(COMMAND, "probe", ON_VFIO), 4, f"{ON_VFIO} belongs to domain vm1",
              f"restore --force {ON_VFIO}")
        exits(host.inside(COMMAND, "probe", "--force", ON_VFIO), 2)


def probe_that_cannot_ask_exits_1():
    """The fake host's group has no device node, and neither has the machine."""
    needs_namespace()
    if os.path.exists("/dev/vfio/9"):
        raise Skip("there is a /dev/vfio/9")
    with Host() as host:
        device = f"sys/devices/pci0000:00/0000:00:01.0/{ON_VFIO}"
        os.unlink(host.path(f"{device}/driver"))
        os.symlink("../../../../bus/pci/drivers/mlx5_vfio_pci", host.path(f"{device}/driver"))
        result = host.inside(COMMAND, "probe", "--json", ON_VFIO)
        found = json.loads(result.stdout)
        valid(found, "probe.schema.json")
        exits(result, 1)
        equal((found["driver"], found["migratable"]), ("mlx5_vfio_pci", None))
        assert "/dev/vfio/" in found["error"], found["error"]
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if "migration" in name], [])


# --- the qemu hook ---


def hook_usage():
    exits(run(HOOK, "--version"), 0, "vfio-variant-hook ")
    exits(run(HOOK), 2, "libvirt runs this as its qemu hook")
    exits(run(HOOK, "vm1", "prepare"), 2)


def hook_never_fails():
    operations = [("prepare", "begin"), ("start", "begin"), ("started", "begin"), ("stopped", "end"),
                  ("release", "end"), ("reconnect", "begin"), ("migrate", "begin"), ("restore", "begin"), ("fly", "-")]
    inputs = ["", "garbage", "hostdev", "<domain><hostdev", "<domain/>", "<domain><!-- hostdev --></domain>",
              "<!DOCTYPE hostdev><domain/>", DOMAIN % "no"]
    for operation, sub_operation in operations:
        for text in inputs:
            result = run(HOOK, "vm1", operation, sub_operation, "-", stdin=text)
            exits(result, 0)
            equal(result.stdout, "")  # for some operations libvirt would take that as XML


def hook_with_endless_input():
    result = run(HOOK, "vm1", "prepare", "begin", "-", stdin="<domain>hostdev" + " " * (64 * 1024 * 1024))
    exits(result, 0)
    equal(result.stdout, "")


def hook_follows_a_life():
    needs_namespace()
    with Host() as host:
        entry = host.path(f"run/vfio-variant/{NIC}")
        for operation, sub_operation, texts in (
                ("prepare", "begin", ["state=noted", "home-driver=mlx5_core", "domain=vm1", "in-use=false"]),
                ("started", "begin", ["state=detached", "home-driver=mlx5_core", "in-use=true"]),
                ("reconnect", "begin", ["state=detached", "in-use=true"]),
                ("release", "end", None)):
            result = host.inside(HOOK, "vm1", operation, sub_operation, "-", stdin=DOMAIN % "yes")
            exits(result, 0)
            equal(result.stdout, "")
            if texts is None:
                assert not os.path.exists(entry)
                break
            with open(entry, encoding="utf-8") as file:
                written = file.read()
            for text in texts:
                assert text in written, f"{operation}: no {text} in {written}"


NOISY = """alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* noisy_vfio_pci
install noisy_vfio_pci echo '<domain>not ours</domain>'
"""


def install_commands_print_nowhere():
    """What modprobe.d has run in the place of loading a module is neither libvirt's XML nor part of a document."""
    needs_namespace()
    with Host() as host:
        host.write("run/modprobe.d/noisy.conf", NOISY)
        for operation in ("prepare", "migrate", "restore", "start"):
            result = host.inside(HOOK, "vm1", operation, "begin", "-", stdin=DOMAIN % "yes")
            exits(result, 0)
            equal(result.stdout, "")
        result = host.inside(COMMAND, "bind", "--force", "--json", NIC)
        moved = json.loads(result.stdout)
        assert "noisy_vfio_pci" in moved["error"], moved


def hook_lets_the_guest_go_on():
    needs_namespace()
    with Host() as host:
        for operation in ("prepare", "start", "started", "reconnect"):
            result = host.inside(HOOK, "vm1", operation, "begin", "-", stdin=DOMAIN % "yes", read_only_run=True)
            exits(result, 0)
            equal(result.stdout, "")
            assert "Read-only file system" in result.stderr or not result.stderr  # it may go to the system's log


class HookWith:
    """The hook, with a script in the place of the program that it has do the work."""

    def __init__(self, script, hook=HOOK):
        self.folder = tempfile.mkdtemp()
        shutil.copy(hook, os.path.join(self.folder, "vfio-variant-hook"))
        self.write("vfio-variant-domain", f"#!/bin/sh\ncat >{self.folder}/xml\necho >>{self.folder}/runs\n{script}\n")
        os.chmod(os.path.join(self.folder, "vfio-variant-domain"), 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read()

    def run(self, operation, sub_operation, xml):
        return run(os.path.join(self.folder, "vfio-variant-hook"), "vm1", operation, sub_operation, "-", stdin=xml)


def hook_outlives_what_it_runs():
    """Only what exits with 1 refuses the guest its start; what dies is followed by another one, which has the same XML."""
    for script, code, runs in (("exit 0", 0, 1), ("exit 1", 1, 1), ("exit 127", 0, 1), ("exit 3", 0, 1),
                               ("kill -ABRT $$", 0, 2), ("kill -KILL $$", 0, 2),
                               ("[ $(grep -c ^ ${0%/*}/runs) = 2 ] && exit 1; kill -KILL $$", 1, 2)):
        with HookWith(script) as hook:
            print(f"# {script}")
            result = hook.run("start", "begin", DOMAIN % "yes")
            exits(result, code)
            equal(result.stdout, "")
            equal(len(hook.read("runs")), runs)
            equal(hook.read("xml"), DOMAIN % "yes")


def hook_waits_as_long_as_it_hears_something():
    """Each message gives two seconds more; the last one says why the domain must not start when none follows."""
    died = "the process that sees to its devices died of signal 9"
    late = "did nothing for 2 s and is left behind"
    for script, code, refusal, logged in (
            ("for i in 1 2 3 4; do sleep 1; printf '0 \\0' >&3; done", 0, None, ""),
            ("printf '3000 \\0' >&3; sleep 3; printf '0 \\0' >&3; sleep 1", 0, None, ""),
            ("sleep 60", 0, None, f"{late}; libvirt goes its own way"),
            ("printf '0 since\\0' >&3; sleep 60", 1, f"since: {{program}} {late}", ""),
            ("printf '0 since\\00000 \\0' >&3; sleep 60", 0, None, f"{late}; libvirt goes its own way"),
            ("printf '0 since\\00000 cut' >&3; sleep 60", 1, f"since: {{program}} {late}", ""),
            ("printf '0 since\\0' >&3; kill -KILL $$", 1, f"since: {died}", f"{died}; another one does it"),
            ("printf '0 \\00000 since\\0' >&3; exit 1", 1, "since", ""),
            ("printf '0 since\\0' >&3; exit 0", 0, None, ""),
            ("printf '0 since\\0' >&3; exit 127", 1, "since: {program} exited with 127", ""),
            ("exec 1>&- 2>&- 3>&-; exit 0", 0, None, "")):
        with HookWith(script, HURRIED_HOOK) as hook:
            print(f"# {script}")
            result = hook.run("start", "begin", DOMAIN % "yes")
            exits(result, code, logged)
            program = os.path.join(hook.folder, "vfio-variant-domain")
            equal([line for line in result.stderr.splitlines() if line.startswith("vfio-variant: ")],
                  [f"vfio-variant: {refusal.format(program=program)}"] if refusal else [])
            equal(result.stdout, "")


def hook_keeps_its_output_to_itself():
    """What is printed behind it goes to the log; libvirt waits for the end of no output but the hook's own."""
    for script in ("echo '<domain/>'", "echo '<domain/>' >&2", "(sleep 60; echo '<domain/>') &"):
        with HookWith(script) as hook:
            print(f"# {script}")
            started = time.monotonic()
            result = hook.run("migrate", "begin", DOMAIN % "yes")
            exits(result, 0, "domain vm1: <domain/>" if "sleep" not in script else "")
            equal(result.stdout, "")
            assert time.monotonic() - started < 30, "a child of it was waited for"


def hook_leaves_what_hangs():
    """A module's install command does not end. The guest starts without us, unless something is wanted strictly."""
    needs_policy()
    policy = f"policy {LIBVIRT_DIR}/vfio-variant.xml:2"
    for rules, operation, code in (("", "prepare", 0), ("<default migratable='require'/>", "prepare", 1),
                                   ("<default fallback='none'/>", "migrate", 1), ("<default host-use='refuse'/>", "prepare", 1),
                                   ("<default host-use='refuse'/>", "migrate", 0),
                                   (f"<device address='{ON_VFIO}' fallback='none'/>", "prepare", 0)):
        print(f"# {operation}: {rules}")
        with Host() as host:
            host.policy(rules)
            host.write("run/modprobe.d/slow.conf", NOISY.replace("echo", "exec sleep 20;"))
            result = host.inside(HURRIED_HOOK, "vm1", operation, "begin", "-", stdin=DOMAIN % "yes")
            exits(result, code, "did nothing for 2 s and is left behind")
            equal(result.stdout, "")
            said = f"vfio-variant: {NIC}: it is not known whether it has what {policy} requires: "
            equal(said in result.stderr, code == 1)


def hook_leaves_other_domains_alone():
    """Without a hostdev nothing is run."""
    with HookWith("exit 1") as hook:
        for devices, code in (("", 0), ("<disk/>", 0), ("<hostdev/>", 1), ("<interface type='hostdev'/>", 1)):
            xml = f"<domain><devices>{devices}</devices></domain>"
            exits(hook.run("start", "begin", xml), code)
            exits(hook.run("stopped", "end", xml), 0)
        equal(len(hook.read("runs")), 2)


def what_the_hook_runs_is_for_the_hook():
    for arguments in ([], ["vm1", "start", "begin", "-"], ["1", "vm1", "start", "begin"], ["0", "vm1", "fly", "-"]):
        exits(run(os.path.join(os.path.dirname(HOOK), "vfio-variant-domain"), *arguments), 0)


# --- under a policy ---


def use_by_the_host(host):
    """NIC's network interface is part of a bridge."""
    place = f"devices/pci0000:00/0000:00:01.0/{NIC}/net/ens1"
    os.makedirs(host.path(f"sys/{place}"))
    os.makedirs(host.path("sys/class/net"), exist_ok=True)
    os.symlink(f"../../{place}", host.path("sys/class/net/ens1"))
    os.symlink("../br0", host.path("sys/class/net/ens1/master"))


def match_tells_the_rule():
    with Host() as host:
        found = json.loads(host.look("match", "--json", NIC).stdout)
        valid(found, "match.schema.json")
        equal({name: found[name] for name in ("rule", "drivers", "fallback", "migratable", "unmanaged", "host_use",
                                                "at_boot")},
              {"rule": None, "drivers": ["auto"], "fallback": "next", "migratable": "ignore", "unmanaged": "ignore",
               "host_use": None, "at_boot": "no"})

        path = host.policy(f"<device address='{NIC}' driver='mlx5_vfio_pci generic' fallback='none'/>\n"
                           "<default host-use='warn' unmanaged='manage' migratable='prefer'/>")
        result = host.look("match", "--json", NIC, DISK)
        exits(result, 0)
        equal(result.stderr, "")
        found = json.loads(result.stdout)
        valid(found, "match.schema.json")
        nic, disk = found
        equal(nic["rule"], {"file": path, "line": 2})
        equal((nic["drivers"], nic["fallback"], nic["migratable"], nic["unmanaged"], nic["host_use"]),
              (["mlx5_vfio_pci", "generic"], "none", "prefer", "manage", "warn"))
        equal([one["module"] for one in nic["candidates"]], ["mlx5_vfio_pci", "vfio_pci"])
        equal([(out["module"], out["reason"]) for out in nic["excluded"]],
              [("special_vfio_pci", f"policy {path}:2 does not take it")])
        equal(disk["rule"], {"file": path, "line": 3})
        equal(disk["drivers"], ["auto"])

        lines = [" ".join(line.split()) for line in host.look("match", NIC).stdout.splitlines()]
        equal(lines[:2], [KEY, f"policy {path}:2: driver='mlx5_vfio_pci generic' fallback='none' migratable='prefer' "
                               "unmanaged='manage' host-use='warn'"])
        assert lines[-1].endswith(f"out: policy {path}:2 does not take it"), lines


def match_under_every_term():
    """Each value there is comes out as the schema has it."""
    with Host() as host:
        for name, values in {"fallback": ["next", "generic", "none"], "migratable": ["ignore", "prefer", "require"],
                             "unmanaged": ["ignore", "manage"], "host-use": ["refuse", "warn"],
                             "at-boot": ["no", "yes"]}.items():
            for value in values:
                host.policy(f"<device address='{NIC}' {name}='{value}'/>")
                found = json.loads(host.look("match", "--json", NIC).stdout)
                valid(found, "match.schema.json")
                equal(found[name.replace("-", "_")], value)


def match_of_nothing_left():
    with Host() as host:
        path = host.policy("<device class='0x01' driver='generic' migratable='require' fallback='none'/>")
        exits(host.look("match", DISK), 0, f"out: it cannot migrate, which policy {path}:2 requires",
              "no VFIO driver is left")
        found = json.loads(host.look("match", "--json", DISK).stdout)
        valid(found, "match.schema.json")
        equal(found["candidates"], [])


def list_shows_the_best_by_the_policy():
    def best(host):
        rows = json.loads(host.look("list", "--json", NIC).stdout)
        valid(rows, "list.schema.json")
        return rows[0]["best_module"], host.look("list", NIC).stdout.splitlines()[1].split()[3]

    with Host() as host:
        equal(best(host), ("special_vfio_pci", "special_vfio_pci"))
        host.policy("<device vendor='0x15b3' driver='mlx5_vfio_pci'/>")
        equal(best(host), ("mlx5_vfio_pci", "mlx5_vfio_pci"))
        host.policy("<device vendor='0x15b3' driver='generic'/>")
        equal(best(host), ("vfio_pci", "vfio-pci"))
        host.policy("<device vendor='0x15b3' driver='generic' migratable='require' fallback='none'/>")
        equal(best(host), (None, "-"))


def a_broken_policy_is_warned_of_and_ignored():
    with Host() as host:
        path = host.policy("<device vendor='0x15b3' driver='generic' fallback='never'/>")
        later = host.policy("<device vendor='0x15b3' driver='mlx5_vfio_pci'/>", "vfio-variant.d/later.xml")
        for command in ("list", "match"):
            result = host.look(command, "--json", NIC)
            exits(result, 0, f"vfio-variant: warning: policy: {path}:2:", "fallback", "nothing in it counts")
            found = json.loads(result.stdout)
            valid(found, f"{command}.schema.json")
        equal(found["rule"], {"file": later, "line": 2})  # what is right counts
        os.chmod(later, 0o666)
        result = host.look("match", "--json", NIC)
        exits(result, 0, f"warning: policy: {later}: its group or others can write it")
        equal(json.loads(result.stdout)["rule"], None)


def bind_goes_by_host_use():
    needs_policy()
    with Host() as host:
        use_by_the_host(host)
        for term, code, text in (
                ("refuse", 4, f"{NIC} is in use by the host: network interface ens1"),
                ("warn", 1, f"warning: {NIC} is in use by the host, which policy {LIBVIRT_DIR}/vfio-variant.xml:2 lets "
                            "pass: network interface ens1")):
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
              f"policy {LIBVIRT_DIR}/vfio-variant.xml:2 takes nothing else: {NIC}: no VFIO driver could be bound")
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if name == NIC], [])
        result = host.inside(COMMAND, "bind", "--dry-run", "--driver", "vfio-pci", NIC)
        exits(result, 0, f"echo {NIC} > /sys/bus/pci/drivers/vfio-pci/bind")
        exits(host.inside(COMMAND, "bind", "--driver", "vfio-pci", NIC), 1, "the kernel accepted the bind to vfio-pci")


def journal_entry(device, modalias, more):
    return f"[device]\naddress={device}\nmodalias={modalias}\nstate=detached\n{more}"


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
        result = host.inside(COMMAND, "bind", "--at-boot", "--json", DISK)
        exits(result, 0)
        equal(json.loads(result.stdout), [])
        equal([name for name in os.listdir(host.path("run/vfio-variant")) if DISK in name], [])  # not even a lock


def bind_at_boot_is_asked_for_in_vain():
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{NIC}' at-boot='yes'/>")
        for option in (["--force"], ["--driver", "vfio-pci"]):
            exits(host.inside(COMMAND, "bind", "--at-boot", *option, NIC), 2, "--at-boot goes by the policy")
        exits(host.inside(COMMAND, "bind", "--at-boot", "99:00.0"), 3, "no such PCI device")
        host.write(f"run/vfio-variant/{NIC}", journal_entry(NIC, KEY[5:], "").replace("detached", "noted") +
                   "home-known=true\nhome-driver=mlx5_core\ndomain=vm1\ndomain-uuid=77\n")
        exits(host.inside(COMMAND, "bind", "--at-boot"), 4, f"{NIC} belongs to domain vm1")
        os.unlink(host.path(f"run/vfio-variant/{NIC}"))
        use_by_the_host(host)
        exits(host.inside(COMMAND, "bind", "--at-boot"), 4, f"{NIC} is in use by the host")


def bind_at_boot_passes_over_what_is_done():
    """What a domain has, too, if it is where it should be."""
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{ON_VFIO}' at-boot='yes'/>")
        modalias = json.loads(host.look("match", "--json", ON_VFIO).stdout)["modalias"]
        for more in ("held=true\nat-boot=true\n", "held=true\n", "held=true\nat-boot=true\ndomain=vm1\ndomain-uuid=77\n"):
            host.write(f"run/vfio-variant/{ON_VFIO}", journal_entry(ON_VFIO, modalias, more))
            result = host.inside(COMMAND, "bind", "--at-boot")
            exits(result, 0)
            equal(result.stdout, "")


def restore_at_boot_knows_what_was_bound_by_hand():
    needs_policy()
    with Host() as host:
        exits(host.inside(COMMAND, "restore", "--at-boot"), 0, "nothing to restore")
        exits(host.inside(COMMAND, "restore", "--at-boot", NIC), 2, "only one of DEVICEs, --all and --at-boot")
        exits(host.inside(COMMAND, "restore", "--at-boot", "--all"), 2, "only one of DEVICEs, --all and --at-boot")
        home = "home-known=true\nhome-driver=mlx5_core\nheld=true\n"
        for more, restored in (("", False), ("at-boot=true\ndomain=vm1\ndomain-uuid=77\n", False),
                               ("at-boot=true\n", True)):
            host.write(f"run/vfio-variant/{NIC}", journal_entry(NIC, KEY[5:], home + more))
            equal(json.loads(host.look("list", "--json", NIC).stdout)[0]["at_boot"], "at-boot" in more)
            exits(host.inside(COMMAND, "restore", "--at-boot"), 0,
                  "it already is at home" if restored else "nothing to restore")
            equal(os.path.exists(host.path(f"run/vfio-variant/{NIC}")), not restored)


def entries_go_with_their_devices():
    """But for those of a domain, which vfio-variant-monitor sees to."""
    needs_policy()
    with Host() as host:
        for more, left in (("held=true\n", False), ("domain=vm1\ndomain-uuid=77\n", True)):
            host.write("run/vfio-variant/0000:99:00.0", journal_entry("0000:99:00.0", "pci:v1", more))
            exits(host.inside(COMMAND, "bind", "--at-boot"), 0)
            equal(os.path.exists(host.path("run/vfio-variant/0000:99:00.0")), left)


def bind_under_a_broken_policy():
    needs_policy()
    with Host() as host:
        host.policy("<device/>")
        exits(host.inside(COMMAND, "bind", "--dry-run", NIC), 0, f"warning: policy: {LIBVIRT_DIR}/vfio-variant.xml:2:",
              f"echo {NIC} > /sys/bus/pci/drivers/vfio-pci/bind")


def bind_of_what_cannot_migrate_exits_4():
    """It is refused before anything is written."""
    needs_policy()
    with Host() as host:
        host.policy("<default migratable='require'/>")
        result = host.inside(COMMAND, "bind", "--json", ON_VFIO)
        exits(result, 4)
        moved = json.loads(result.stdout)
        valid(moved, "change.schema.json")
        assert f"which policy {LIBVIRT_DIR}/vfio-variant.xml:2 requires" in moved["error"], moved["error"]


# --- the qemu hook under a policy ---

# A domain with the device that is on vfio-pci, and metadata
DOMAIN_ON_VFIO = """<domain><name>vm1</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><metadata>%s</metadata>
<devices><hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0x05' slot='0'
function='0'/></source></hostdev></devices></domain>"""
STRICT_WISH = ("<v:hostdevs xmlns:v='urn:vfio-variant:domain:1'>"
               f"<v:hostdev address='{ON_VFIO}' migratable='require'/></v:hostdevs>")


def hook_refuses_where_a_domain_may_be_refused():
    needs_policy()
    policy = f"policy {LIBVIRT_DIR}/vfio-variant.xml:2"
    for rules, metadata, whose in (("<default migratable='require'/>", "", policy), ("", STRICT_WISH, "domain vm1"),
                                   ("<default migratable='prefer'/>", STRICT_WISH, f"{policy} with domain vm1")):
        for operation, code in (("prepare", 1), ("start", 1), ("migrate", 1), ("restore", 1), ("started", 0),
                                ("reconnect", 0)):
            with Host() as host:
                host.policy(rules)
                result = host.inside(HOOK, "vm1", operation, "begin", "-", stdin=DOMAIN_ON_VFIO % metadata)
            exits(result, code)
            equal(result.stdout, "")
            said = [line for line in result.stderr.splitlines() if line.startswith("vfio-variant: ")]
            equal(said, [f"vfio-variant: {ON_VFIO}: no VFIO driver is left: vfio_pci (it cannot migrate, which {whose} "
                         "requires: it announces no migration)"] if code else [])


def hook_refuses_at_prepare_and_leaves_nothing():
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{NIC}' driver='nowhere' fallback='none'/>")
        result = host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN % "yes")
        exits(result, 1, f"vfio-variant: policy {LIBVIRT_DIR}/vfio-variant.xml:2 takes nothing else: {NIC}: ", "nowhere")
        equal(result.stdout, "")
        assert not os.path.exists(host.path(f"run/vfio-variant/{NIC}"))
        exits(host.inside(HOOK, "vm1", "release", "end", "-", stdin=DOMAIN % "yes"), 0)
        exits(host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN % "no"), 0)  # not managed: not ours


def hook_goes_by_host_use():
    needs_policy()
    with Host() as host:
        use_by_the_host(host)
        for term, code in (("refuse", 1), ("warn", 0)):
            host.policy(f"<default host-use='{term}'/>")
            result = host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN % "yes")
            exits(result, code)
            equal(f"vfio-variant: {NIC} is in use by the host, which policy" in result.stderr, term == "refuse")
            equal(os.path.exists(host.path(f"run/vfio-variant/{NIC}")), term == "warn")


def hook_never_fails_for_a_broken_policy():
    needs_policy()
    for rules in ("<device/>", "<default migratable='require' fly='yes'/>", "<garbage", "]]>"):
        for operation in ("prepare", "start", "migrate", "restore", "started", "reconnect"):
            with Host() as host:
                host.policy(rules)
                result = host.inside(HOOK, "vm1", operation, "begin", "-", stdin=DOMAIN_ON_VFIO % "")
            exits(result, 0)
            equal(result.stdout, "")


def hook_lets_what_runs_be():
    """A guest that runs is not ended, whatever the policy came to be: at "reconnect" libvirt would kill it."""
    needs_policy()
    with Host() as host:
        exits(host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN_ON_VFIO % ""), 0)
        host.policy("<default driver='nowhere' fallback='none' migratable='require' host-use='refuse'/>")
        for operation, sub_operation in (("started", "begin"), ("reconnect", "begin"), ("stopped", "end"),
                                         ("release", "end")):
            result = host.inside(HOOK, "vm1", operation, sub_operation, "-", stdin=DOMAIN_ON_VFIO % STRICT_WISH)
            exits(result, 0)
            equal(result.stdout, "")


# --- JSON of any bytes ---


def json_is_utf8_whatever_it_quotes():
    """Sysfs, a link's target and names of files have the bytes that somebody wrote."""
    needs_namespace()
    odd = b"a\xff\x1f\x01\"\\b"
    with Host() as host:
        folder = os.fsencode(host.path(f"sys/devices/pci0000:00/0000:00:01.0/{NIC}"))
        with open(os.path.join(folder, b"driver_override"), "wb") as file:
            file.write(odd + b"\n")
        os.unlink(os.path.join(folder, b"driver"))
        os.symlink(b"../../../../bus/pci/drivers/" + odd, os.path.join(folder, b"driver"))
        policy = os.fsencode(host.policy("")) + b".d"
        os.makedirs(os.path.dirname(policy) + b"/vfio-variant.d")
        with open(os.path.dirname(policy) + b"/vfio-variant.d/" + odd + b".xml", "wb") as file:
            file.write(b"<vfio-variant><device>" + odd)
        for arguments in (["list", "--tree", NIC], ["list", "--all"], ["match", NIC], ["check", NIC], ["policy"], ["status"],
                          ["probe", NIC], ["bind", "--dry-run", NIC], ["restore", "--dry-run", NIC]):
            result = subprocess.run(host.entering(COMMAND, *arguments, "--json"), capture_output=True, check=False)
            found = json.loads(result.stdout.decode("utf-8"))  # neither raises
            if arguments == ["list", "--all"]:
                overrides = [one["driver_override"] for one in found if one["device"] == NIC]
        equal(overrides, ["a\ufffd\x1f\x01\"\\b"])


TESTS = [
    list_shows_what_matters, list_all_shows_all, list_of_nothing_says_so, list_json, list_shows_who_can_migrate,
    list_shows_the_journal,
    match_shows_the_order, match_shows_a_tie, match_shows_what_is_out,
    match_below_a_root_has_the_command_line_in_there, match_json, match_json_of_several_is_an_array,
    match_takes_every_spelling, match_warns_of_missing_tables, match_of_another_kernel, status_for_people,
    status_of_a_quiet_daemon_is_short, status_tells_why_the_gate_is_off,
    status_json_is_what_the_daemon_says, status_of_another_version,
    status_without_a_daemon_exits_1, status_without_privilege_exits_5, status_that_is_cut_off_exits_1,
    status_that_does_not_come_exits_1,
    status_passes_nothing_to_the_terminal, metrics_are_openmetrics, metrics_are_the_same_for_prometheus,
    metrics_without_a_daemon, metrics_without_privilege, metrics_of_a_daemon_that_hangs, metrics_of_a_damaged_counters,
    metrics_in_a_file, metrics_usage, what_is_done_is_counted, wrong_usage_exits_2, policy_for_people, policy_of_nothing,
    policy_json, policy_of_given_files,
    absent_device_exits_3, no_sysfs_exits_1, moving_without_privilege_exits_5, help_tells,
    every_json_has_its_schema, options_are_the_same_everywhere, the_daemon_helps, the_daemon_without_privilege_exits_5,
    the_daemons_options_are_the_same_everywhere, bind_of_what_is_bound,
    bind_dry_run_prints_a_script, bind_that_fails_exits_1, bind_of_many_at_once, bind_of_what_the_host_uses_exits_4,
    bind_without_an_iommu_exits_4, restore_respects_domains, probe_of_the_generic_driver,
    probe_of_a_native_driver_exits_4, probe_respects_domains, probe_that_cannot_ask_exits_1, hook_usage, hook_never_fails, hook_with_endless_input,
    hook_follows_a_life, install_commands_print_nowhere, hook_lets_the_guest_go_on, hook_outlives_what_it_runs,
    hook_waits_as_long_as_it_hears_something, hook_keeps_its_output_to_itself, hook_leaves_what_hangs,
    hook_leaves_other_domains_alone, what_the_hook_runs_is_for_the_hook,
    match_tells_the_rule, match_under_every_term, match_of_nothing_left, list_shows_the_best_by_the_policy,
    a_broken_policy_is_warned_of_and_ignored, bind_goes_by_host_use, bind_with_a_driver_gets_past_the_policy,
    bind_at_boot_goes_by_the_policy, bind_at_boot_is_asked_for_in_vain, bind_at_boot_passes_over_what_is_done,
    restore_at_boot_knows_what_was_bound_by_hand, entries_go_with_their_devices,
    bind_under_a_broken_policy, bind_of_what_cannot_migrate_exits_4, hook_refuses_where_a_domain_may_be_refused,
    hook_refuses_at_prepare_and_leaves_nothing, hook_goes_by_host_use, hook_never_fails_for_a_broken_policy,
    hook_lets_what_runs_be,
    json_is_utf8_whatever_it_quotes,
]

run_tests(TESTS)
