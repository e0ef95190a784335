#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of vfio-variant status, policy and metrics: their output and exit status.

Usage: test-status.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP.
"""
import json
import os
import re
import time

from programs import (COMMAND, NIC, QUIET, STATUS, SYSCONFDIR, Daemon, Host, as_nobody, exits, json_of, needs_namespace,
                      run)
from tap import Skip, equal, run_tests


# --- status ---

NOT_RUNNING = ("vfio-variantd is not running: hot plug uses the driver that libvirt chooses; "
               "start it with 'systemctl start vfio-variantd'")


def told_of_the_daemon(result):
    """The lines about the daemon, without the findings on the host."""
    return result.stdout.partition("\n\nhost:\n")[0].splitlines()


def status_of(answer, *options, **manner):
    """Runs status with this answer of the daemon."""
    with Host() as host, Daemon(host, answer, **manner):
        return host.look("status", *options)


def status_json_of(answer):
    return json_of(status_of(answer, "--json"), "status")


def status_for_people():
    with Host() as host, Daemon(host, STATUS):
        result = run("env", "TZ=XXX-1", COMMAND, "status", "--sysroot", host.root)
    exits(result, 0)
    equal(result.stderr, "")
    equal([" ".join(line.split()) for line in told_of_the_daemon(result)], [
        "gate on for libvirtd, virtqemud, virtchd; deadline 30.0 s",
        f"daemon vfio-variantd {STATUS['version']}, process 123, since 2025-11-24T17:00:00+0100",
        "devices 57 watched; the monitor is running",
        "opens 12 seen, 4 passed, 8 blocked",
        "outcomes 3 detached, 1 fell back, 3 reattached, 1 left alone, 0 failed, 0 refused, 0 deadline passed, 0 crashed",
        "blocked mean 212.5 ms, max 1.6 s",
        "own mean 500 us, max 1.1 ms (without binds, module loads and hook scripts)",
        "",
        "Blocked now:",
        "DEVICE EXECUTABLE PID FOR",
        "0000:02:00.0 libvirtd 812 1.5 ms",
        "",
        "Last rebinds:",
        "TIME DEVICE OPERATION FROM TO OUTCOME BLOCKED OWN WHY",
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
    equal({name: number for name, number in found["blocked"].items() if name != "buckets"}, {"count": 0, "max_us": 0, "sum_us": 0})
    equal((found["blocking"], found["changes"]), ([], []))


def status_tells_why_the_gate_is_off():
    off = {**STATUS, "gate": "off", "reason": "fanotify is not there; start it as root"}
    exits(status_of(off), 0, "gate      off: fanotify is not there; start it as root\n")
    exits(status_of({**off, "reason": None}), 0, "gate      off: no reason given\n")


def status_json_is_what_the_daemon_says():
    found = status_json_of(STATUS)
    equal(found.pop("error"), None)
    assert found.pop("findings")
    equal(found, STATUS)


def status_of_another_version():
    """status shows known values, tolerates missing ones, and survives any type of value."""
    newer = {**STATUS, "version": "2.0", "mood": "fine"}
    for options in ([], ["--json"]):
        result = status_of(newer, *options)
        exits(result, 0, f"warning: vfio-variantd is version 2.0, vfio-variant is version {STATUS['version']}; run 'systemctl restart")
    exits(status_of({"version": "2.0"}), 0, "gate      off: no reason given\n", "process 0, since ", "opens     0 seen")
    for name in STATUS:
        for other in (None, 7, 0.5, "text", True, [], [None, 7, "text", [], {}], {"count": "many"}):
            answer = {**STATUS, name: other}
            if name == "version" and other != "text":
                exits(status_of(answer), 1, "(it contains no version)")
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
            found = host.json("status", code=1)
            equal((found["running"], found["error"]), (False, NOT_RUNNING))
            equal([one["id"] for one in found["findings"] if one["subject"] == "host"][0], "daemon-off")


def status_without_privilege_exits_5():
    become = as_nobody()
    with Host() as host, Daemon(host, STATUS) as daemon:
        os.chmod(daemon.path, 0)
        for option in ([], ["--json"]):
            result = run(*become, COMMAND, "status", "--sysroot", host.root, *option)
            exits(result, 5, "querying vfio-variantd requires root", "Permission denied")
            equal(result.stdout, "")


def status_that_is_cut_off_exits_1():
    whole = json.dumps(STATUS).encode()
    cases = [whole[:length] for length in (0, 1, 20, len(whole) // 2, len(whole) - 1)]
    cases += [b"[daemon]\nversion=0.9\n", b"garbage", b"\x1b[2J\n", b"\xff\xfe", b"null", b"[]", b'"text"', b"{}"]
    for answer in cases:
        for options in ([], ["--json"]):
            result = status_of(answer, *options)
            exits(result, 1, "cannot parse the status of vfio-variantd (",
                  "else run 'systemctl restart vfio-variantd'")
            equal(result.stdout, "")
            assert "\x1b" not in result.stderr and "CRITICAL" not in result.stderr and len(result.stderr) < 400, result.stderr


def status_that_does_not_come_exits_1():
    late = "vfio-variantd did not answer within 0.1 s"
    began = time.monotonic()
    exits(status_of(b"", "--timeout-ms", "100", hangs_up=False), 1, late)
    exits(status_of(STATUS, "--timeout-ms", "100", hangs_up=False), 1, late)
    with Host() as host, Daemon(host, deaf=True):
        exits(host.look("status", "--timeout-ms", "100"), 1, late)
        exits(host.look("status", "--timeout-ms", "100"), 1, late)  # the queue is full: not even connected
    assert time.monotonic() - began < 4, "it waited for longer"


def status_passes_nothing_to_the_terminal():
    """status sanitizes texts. test-service.c tests that the daemon does so in its JSON."""
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
              "host_driver", "modalias", "iommu_group"]
POLICY, POLICY_D = "libvirt/vfio-variant.xml", "libvirt/vfio-variant.d"


def write_policy(host, path, text):
    """Writes a file below SYSCONFDIR. Returns its full path."""
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
            "Rules (the first that matches a device applies):",
            f"{main}:2 address=0000:3b:00.* vendor=0x15b3 driver=mlx5_vfio_pci,generic fallback=none",
            f"{more}:1 class=0x03 driver=generic",
            "Defaults (for options that the rule does not set):",
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
        found = host.json("policy")
        equal(found, {"files": [], "rules": [], "defaults": [], "gate": None, "deadline_s": None, "executables": None,
                      "hook_time_limit_s": None})


def policy_json():
    with Host() as host:
        main = write_policy(host, POLICY, RULES)
        broken = write_policy(host, f"{POLICY_D}/a.xml", "<vfio-variant>\n<default/></vfio-variant>")
        result = host.look("policy", "--json")
        found = json_of(result, "policy", 1)
        problem = (f"{broken}:2: <default> sets nothing: it needs one of driver, fallback, migratable, unmanaged, "
                   "host-use; ignoring the file")
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
        os.chmod(new, 0o666)  # permissions do not matter before the file is installed
        result = run(COMMAND, "policy", new)
        exits(result, 0, f"{new} ", f"{new}:2")
        result = run(COMMAND, "policy", new, host.path("none.xml"), host.path("etc"))
        exits(result, 1, f"{new}:2", f"vfio-variant: {host.path('none.xml')}: open: No such file or directory",
              f"vfio-variant: {host.path('etc')}: not a regular file")
        exits(run(COMMAND, "policy", "--sysroot", host.root, new), 2, "--sysroot and FILE exclude each other")


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
    """The metric families by name, with their samples {(name, (label, value)...): number}, from an independent parser. If
    it is not installed, parses the samples itself."""
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
        host.state_file(vfio_driver="mlx5_vfio_pci", in_use="true")
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
          ("gauge", "", {("vfio_variant_devices_detached", ("driver", "mlx5_vfio_pci"), ("host_driver", "mlx5_core"),
                          ("in_use", "true")): 1}))
    equal(families["vfio_variant_state_files"][2][("vfio_variant_state_files", ("state", "detached"))], 1)
    equal(families["vfio_variant_build"][0], "info")
    equal(families["vfio_variant_daemon_up"][2], {("vfio_variant_daemon_up",): 1})
    equal(families["vfio_variant_gate_on"][2], {("vfio_variant_gate_on",): 1})
    equal(families["vfio_variant_gate_opens"][2], {("vfio_variant_gate_opens_total", ("result", "passed")): 4,
                                                   ("vfio_variant_gate_opens_total", ("result", "blocked")): 8})
    equal(families["vfio_variant_gate_outcomes"][2][
        ("vfio_variant_gate_outcomes_total", ("outcome", "left-alone"))], 1)
    kind, unit, blocked = families["vfio_variant_gate_blocked_seconds"]
    equal((kind, unit), ("histogram", "seconds"))
    equal(blocked[("vfio_variant_gate_blocked_seconds_bucket", ("le", "0.01"))], 5)
    equal(blocked[("vfio_variant_gate_blocked_seconds_count",)], 8)
    equal(blocked[("vfio_variant_gate_blocked_seconds_sum",)], 1.7)
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
        families = parsed(metrics_of(host))  # even the directory is missing
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
    assert "vfio-variant:" not in result.stderr, result.stderr  # gcov may print messages
    assert "daemon" not in result.stdout and "gate" not in result.stdout, result.stdout


def metrics_of_a_daemon_that_hangs():
    with Host() as host, Daemon(host, STATUS, hangs_up=False):
        result = host.look("metrics", "--timeout-ms", "200")
    exits(result, 0, "warning: vfio-variantd did not answer within 0.2 s", "vfio_variant_daemon_up 0\n# EOF\n")


def metrics_of_a_damaged_counters():
    with Host() as host:
        host.write("run/vfio-variant/counters", COUNTERS.replace("done=3", "done=three"))
        result = host.look("metrics")
    exits(result, 0, "warning: ", f"cannot read {host.path('run/vfio-variant/counters')} (damaged)", "# EOF\n")
    assert "vfio_variant_changes" not in result.stdout, result.stdout


def metrics_in_a_file():
    with Host() as host, Daemon(host, STATUS):
        path = host.path("vfio-variant.prom")
        printed = metrics_of(host, "--format=prometheus")
        before = os.umask(0o077)
        equal(metrics_of(host, "--format=prometheus", f"--output={path}"), "")
        os.umask(before)
        equal(host.read("vfio-variant.prom"), printed)
        equal(os.stat(path).st_mode & 0o777, 0o644)  # the node exporter runs as another user
        equal([name for name in os.listdir(host.root) if "prom" in name], ["vfio-variant.prom"])
        exits(host.look("metrics", "-o", host.path("absent/vfio-variant.prom")), 1, "/absent: No such file or directory")
        exits(host.look("metrics", "-o", host.path("sys")), 1, "/sys: write: Is a directory")
        result = run("env", "-C", host.root, os.path.abspath(COMMAND), "metrics", "--sysroot", host.root, "-o", "here.prom")
        exits(result, 0)
        assert os.path.isfile(host.path("here.prom"))


def metrics_usage():
    with Host() as host:
        exits(host.look("metrics", "--format=xml"), 2, "--format must be openmetrics or prometheus")
        exits(host.look("metrics", "--json"), 2, "--json")
        exits(host.look("metrics", NIC), 2, "this command takes no arguments")


def what_is_done_is_counted():
    """On files that accept all writes without effect, no bind succeeds."""
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


TESTS = [
    status_for_people, status_of_a_quiet_daemon_is_short, status_tells_why_the_gate_is_off,
    status_json_is_what_the_daemon_says, status_of_another_version, status_without_a_daemon_exits_1,
    status_without_privilege_exits_5, status_that_is_cut_off_exits_1, status_that_does_not_come_exits_1,
    status_passes_nothing_to_the_terminal, metrics_are_openmetrics, metrics_are_the_same_for_prometheus,
    metrics_without_a_daemon, metrics_without_privilege, metrics_of_a_daemon_that_hangs, metrics_of_a_damaged_counters,
    metrics_in_a_file, metrics_usage, what_is_done_is_counted, policy_for_people, policy_of_nothing, policy_json,
    policy_of_given_files,
]

run_tests(TESTS)
