#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of vfio-variant list and match, exit codes, --help and JSON, and of vfio-variantd without kernel support.

Usage: test-command.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP.
Some tests run the programs in a mount namespace in which the fake host's files are the running system's.
"""
import json
import os
import re
import shutil
import subprocess

from programs import (COMMAND, DAEMON, DISK, KEY, MODALIAS, NIC, ON_VFIO, SCHEMAS, Host, as_nobody, exits, json_of,
                      needs_namespace, run, source_text, valid)
from tap import equal, run_tests


# --- list ---


def list_shows_what_matters():
    with Host() as host:
        result = host.look("list")
        exits(result, 0)
        rows = [line.split() for line in result.stdout.splitlines()]
        equal(rows[0], ["DEVICE", "HOST", "NOW", "BEST", "GROUP", "DOMAIN", "MIGRATABLE"])
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
        exits(result, 0, "vfio-variant: no device has a VFIO variant driver or is on VFIO")
        equal(result.stdout, "")


def list_json():
    with Host() as host:
        rows = host.json("list", "--all")
        equal([row["device"] for row in rows], [DISK, ON_VFIO, NIC])
        nic = rows[2]
        equal(nic["host_driver"], "mlx5_core")
        equal(nic["driver"], "mlx5_core")
        equal(nic["driver_override"], None)
        equal(nic["best_module"], "special_vfio_pci")
        equal(nic["best_driver"], None)
        equal(nic["iommu_group"], "41")
        equal((nic["vfio"], nic["pinned"], nic["domain_running"]), (False, False, False))
        equal(rows[1]["vfio"], True)
        equal([row["migratable"] for row in rows], [False, False, None])


def list_shows_who_can_migrate():
    """The answer that probe recorded for the VFIO driver of the device, or else for its best driver."""
    def shown(host):
        rows = host.json("list", NIC)
        return rows[0]["migratable"], host.look("list", NIC).stdout.split()[-1]

    def noted(host, driver, stop_copy, logs="dma-logging=true"):
        host.write(f"run/vfio-variant/migration-{driver}-{MODALIAS}",
                   f"[migration]\ndriver={driver}\nmodalias={MODALIAS}\nstop-copy={stop_copy}\np2p=false\n"
                   f"pre-copy=false\n{logs}\n")

    def needs_iommufd(host):
        return host.json("list", NIC)[0]["needs_iommufd"]

    with Host() as host:
        noted(host, "mlx5_vfio_pci", "true")
        equal(shown(host), (None, "-"))  # not the best driver
        host.write("etc/modprobe.d/test.conf", "blacklist special_vfio_pci\n")
        equal(shown(host), (None, "-"))  # not loaded: the driver's name is unknown
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
        for iommufd, told in (("yes", (True, "yes")), ("no", (False, "no")), ("x", (None, "iommufd"))):
            host.state_file(domain="vm1", domain_uuid="u", requested=f"iommufd={iommufd}")  # the actual setting of its domain
            equal(shown(host), told)
        os.unlink(host.path(f"run/vfio-variant/{NIC}"))
        noted(host, "mlx5_vfio_pci", "true", "dma-logging=false\niommu-logging=false")
        equal(shown(host), (False, "no"))
        equal(needs_iommufd(host), False)
        host.write(f"run/vfio-variant/migration-mlx5_vfio_pci-{MODALIAS}", "damaged")
        equal(shown(host), (None, "-"))

        noted(host, "mlx5_vfio_pci", "true")  # on another driver, which was not queried
        host.link(host.device("driver"), "../../../../bus/pci/drivers/special-vfio")
        os.makedirs(host.path(host.device("vfio-dev/vfio41")))
        equal(shown(host), (None, "-"))
        noted(host, "special-vfio", "true")
        equal(shown(host), (True, "yes"))


def list_shows_the_journal():
    with Host() as host:
        host.state_file(host_driver="old_host_driver", domain='vm "1"\\n', domain_uuid="77", in_use="true")
        host.write(f"run/vfio-variant/{DISK}", "damaged")
        exits(host.look("list"), 0, "old_host_driver",
              f"cannot read {host.path('run/vfio-variant')}/{DISK} as a state file (damaged)", DISK)
        rows = host.json("list", NIC)
        equal(rows[0]["domain"], 'vm "1"\n')
        equal((rows[0]["state"], rows[0]["host_driver"], rows[0]["domain_running"]), ("detached", "old_host_driver", True))


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
    """Among lines with equally many wildcards, the first one counts, as in libvirt."""
    with Host() as host:
        pattern = "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*"
        host.write("lib/modules/6.1.0-test/modules.alias",
                   f"alias {pattern} z_vfio\nalias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\nalias {pattern} a_vfio\n")
        lines = [" ".join(line.split()) for line in host.look("match", NIC).stdout.splitlines()]
        equal(lines[1:], [f"1 z_vfio 5 wildcards {pattern} modules.alias module, not loaded; tie with a_vfio",
                          f"2 a_vfio 5 wildcards {pattern} modules.alias module, not loaded; tie with z_vfio",
                          "3 vfio-pci 7 wildcards vfio_pci:v*d*sv*sd*bc*sc*i* modules.alias"])
        found = host.json("match", NIC)
        equal([(c["module"], c["tie"]) for c in found["candidates"]],
              [("z_vfio", True), ("a_vfio", True), ("vfio_pci", False)])
        host.write("etc/modprobe.d/test.conf", "blacklist z_vfio\n")
        found = host.json("match", NIC)
        equal([(c["module"], c["tie"]) for c in found["candidates"]], [("a_vfio", False), ("vfio_pci", False)])


def match_shows_what_is_out():
    with Host() as host:
        host.write("etc/modprobe.d/test.conf", "blacklist mlx5-vfio-pci\n")
        exits(host.look("match", NIC), 0, "excluded: blacklisted in modprobe.d")
        host.write("etc/modprobe.d/test.conf", "blacklist vfio_pci\n")
        exits(host.look("match", DISK), 0, "no usable VFIO driver")


def match_below_a_root_has_the_command_line_in_there():
    """libkmod reads /proc/cmdline of the running kernel."""
    needs_namespace()
    with Host() as host:
        host.write("running", "modprobe.blacklist=special-vfio-pci,mlx5_vfio_pci ro\n")
        host.write("etc/modprobe.d/test.conf", "blacklist mlx5-vfio-pci\n")
        host.write("proc/cmdline", "modprobe.blacklist=other\n")
        look = [COMMAND, "match", "--json", "--sysroot", host.root, NIC]
        result = run("unshare", "--mount", "--propagation", "private", "sh", "-c",
                     f"mount --bind {host.path('running')} /proc/cmdline && exec \"$@\"", "sh", *look)
        found = json_of(result, "match")
        equal([candidate["module"] for candidate in found["candidates"]], ["special_vfio_pci", "vfio_pci"])
        equal([out["module"] for out in found["excluded"]], ["mlx5_vfio_pci"])


def match_json():
    with Host() as host:
        host.write("etc/modprobe.d/test.conf", "blacklist special_vfio_pci\n")
        found = host.json("match", "pci_0000_3b_00_1")
        equal(found["device"], NIC)
        equal(found["modalias"], MODALIAS)
        equal(found["key"], KEY)
        equal(found["candidates"][0],
              {"rank": 1, "module": "mlx5_vfio_pci", "driver": None,
               "alias": "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", "wildcards": 5, "source": "modules.alias", "tie": False})
        equal(found["candidates"][1]["driver"], "vfio-pci")
        equal([out["module"] for out in found["excluded"]], ["special_vfio_pci"])


def match_json_of_several_is_an_array():
    with Host() as host:
        found = host.json("match", "*", NIC)
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
        exits(result, 0, "warning: ", "only the generic driver can be found reliably")
        found = json_of(result, "match")
        equal([one["source"] for one in found["candidates"]], ["default"])
        equal(found["candidates"][0]["wildcards"], None)


def match_of_another_kernel():
    with Host() as host:
        host.write("lib/modules/6.2.0-other/modules.alias", "alias vfio_pci:v*d*sv*sd*bc*sc*i* other_vfio\n")
        host.write("lib/modules/6.2.0-other/modules.builtin.modinfo", "")
        exits(host.look("match", "--kernel", "6.2.0-other", NIC), 0, "other_vfio")
        exits(host.look("match", "--kernel", "../../etc", NIC), 2, "'../../etc' is not a valid kernel release")


def match_tells_the_rule():
    with Host() as host:
        found = host.json("match", NIC)
        equal({name: found[name] for name in ("rule", "drivers", "fallback", "migratable", "unmanaged", "host_use",
                                                "at_boot")},
              {"rule": None, "drivers": ["auto"], "fallback": "next", "migratable": "ignore", "unmanaged": "ignore",
               "host_use": None, "at_boot": "no"})

        path = host.policy(f"<device address='{NIC}' driver='mlx5_vfio_pci generic' fallback='none'/>\n"
                           "<default host-use='warn' unmanaged='manage' migratable='prefer'/>")
        result = host.look("match", "--json", NIC, DISK)
        equal(result.stderr, "")
        nic, disk = json_of(result, "match")
        equal(nic["rule"], {"file": path, "line": 2})
        equal((nic["drivers"], nic["fallback"], nic["migratable"], nic["unmanaged"], nic["host_use"]),
              (["mlx5_vfio_pci", "generic"], "none", "prefer", "manage", "warn"))
        equal([one["module"] for one in nic["candidates"]], ["mlx5_vfio_pci", "vfio_pci"])
        equal([(out["module"], out["reason"]) for out in nic["excluded"]],
              [("special_vfio_pci", f"policy {path}:2 does not allow it")])
        equal(disk["rule"], {"file": path, "line": 3})
        equal(disk["drivers"], ["auto"])

        lines = [" ".join(line.split()) for line in host.look("match", NIC).stdout.splitlines()]
        equal(lines[:2], [KEY, f"policy {path}:2: driver='mlx5_vfio_pci generic' fallback='none' migratable='prefer' "
                               "unmanaged='manage' host-use='warn'"])
        assert lines[-1].endswith(f"excluded: policy {path}:2 does not allow it"), lines


def match_under_every_term():
    """Each value of an option is printed as in the schema."""
    with Host() as host:
        for name, values in {"fallback": ["next", "generic", "none"], "migratable": ["ignore", "prefer", "require"],
                             "unmanaged": ["ignore", "manage"], "host-use": ["refuse", "warn"],
                             "at-boot": ["no", "yes"]}.items():
            for value in values:
                host.policy(f"<device address='{NIC}' {name}='{value}'/>")
                found = host.json("match", NIC)
                equal(found[name.replace("-", "_")], value)


def match_of_nothing_left():
    with Host() as host:
        path = host.policy("<device class='0x01' driver='generic' migratable='require' fallback='none'/>")
        exits(host.look("match", DISK), 0, f"excluded: it cannot migrate, which policy {path}:2 requires",
              "no usable VFIO driver")
        found = host.json("match", DISK)
        equal(found["candidates"], [])


def list_shows_the_best_by_the_policy():
    def best(host):
        rows = host.json("list", NIC)
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
            exits(result, 0, f"vfio-variant: warning: policy: {path}:2:", "fallback", "ignoring the file")
            found = json_of(result, command)
        equal(found["rule"], {"file": later, "line": 2})  # the valid files count
        os.chmod(later, 0o666)
        result = host.look("match", "--json", NIC)
        exits(result, 0, f"warning: policy: {later} is writable by its group or others; ignoring the file")
        equal(json_of(result, "match")["rule"], None)


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
    exits(run(*become, COMMAND, "bind", NIC), 5, "moving devices requires root")
    exits(run(*become, COMMAND, "restore", "--all"), 5, "moving devices requires root")
    exits(run(*become, COMMAND, "probe", NIC), 5, "querying the driver of a device requires root")
    with Host() as host:  # match needs no privileges
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
    """Each command with --json is listed here with its schema, which is installed and named in the man page."""
    schemas = {"list": "list", "match": "match", "probe": "probe", "check": "check", "bind": "change", "restore": "change",
               "policy": "policy", "status": "status"}
    names = re.findall(r"^  ([a-z]+) ", run(COMMAND, "--help").stdout, re.MULTILINE)
    equal(sorted(name for name in names if "--json" in run(COMMAND, name, "--help").stdout), sorted(schemas))
    manual = source_text("docs/man/vfio-variant.rst")
    installed = source_text("schemas/meson.build")
    for schema in schemas.values():
        assert f"*{schema}.schema.json*" in manual and f"'{schema}.schema.json'" in installed, schema
    with Host() as host:
        for arguments in (["list", "--all"], ["list", "--all", "--tree"], ["match", NIC], ["match", "*"], ["check", NIC],
                          ["status"], ["policy"]):
            valid(json.loads(host.look(*arguments, "--json").stdout), f"{schemas[arguments[0]]}.schema.json")


def options_are_the_same_everywhere():
    """Each option is in --help, in the man page and in the completion."""
    completion = os.path.join(os.path.dirname(SCHEMAS), "packaging/completion/vfio-variant")
    manual = source_text("docs/man/vfio-variant.rst")
    for name in ("list", "match", "probe", "check", "bind", "restore", "status", "metrics", "policy"):
        helped = re.findall(r"^  (?:-., )?(--[a-z-]+)", run(COMMAND, name, "--help").stdout, re.MULTILINE)
        section = re.search(rf"^{name}\n-+\n(.*?)(?=^\S+\n[-=]+\n|\Z)", manual, re.MULTILINE | re.DOTALL).group(1)
        documented = re.findall(r"^(?:-.(?: [A-Z]+)?, )?(--[a-z-]+)", section, re.MULTILINE)
        completed = run("bash", "-c", 'source "$1" && _vfio_variant_options "$2"', "bash", completion, name)
        assert len(helped) > 1, helped
        equal(sorted(documented), sorted(helped))
        equal(sorted(completed.stdout.split()), sorted(helped))


# --- vfio-variantd without kernel support ---


def the_daemon_helps():
    exits(run(DAEMON, "--help"), 0, "Usage:", "vfio-variantd")
    exits(run(DAEMON, "--version"), 0, "vfio-variantd ")
    for arguments in (["--deadline", "0"], ["--deadline", "3601"], ["--deadline", "soon"], ["--nonsense"], ["x"]):
        exits(run(DAEMON, *arguments), 2, "vfio-variantd --help")


def the_daemon_without_privilege_exits_5():
    exits(run(*as_nobody(), DAEMON), 5, "must be run as root")


def the_daemons_options_are_the_same_everywhere():
    manual = source_text("docs/man/vfio-variantd.rst")
    completion = os.path.join(os.path.dirname(SCHEMAS), "packaging/completion/vfio-variantd")
    helped = re.findall(r"^  (?:-., )?(--[a-z-]+)", run(DAEMON, "--help").stdout, re.MULTILINE)
    documented = re.findall(r"^(?:-.(?: [A-Z]+)?, )?(--[a-z][a-z-]*)", manual, re.MULTILINE)
    completed = run("bash", "-c", 'source "$1" && _vfio_variantd_options', "bash", completion)
    assert len(helped) > 2, helped
    equal(sorted(documented), sorted(helped))
    equal(sorted(completed.stdout.split()), sorted(helped))


# --- rebinds on files that accept all writes without effect ---


def json_is_utf8_whatever_it_quotes():
    """sysfs attributes, link targets and file names may contain any bytes."""
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
            found = json.loads(result.stdout.decode("utf-8"))  # neither call raises
            if arguments == ["list", "--all"]:
                overrides = [one["driver_override"] for one in found if one["device"] == NIC]
        equal(overrides, ["a\ufffd\x1f\x01\"\\b"])


TESTS = [
    list_shows_what_matters, list_all_shows_all, list_of_nothing_says_so, list_json, list_shows_who_can_migrate,
    list_shows_the_journal, match_shows_the_order, match_shows_a_tie, match_shows_what_is_out,
    match_below_a_root_has_the_command_line_in_there, match_json, match_json_of_several_is_an_array,
    match_takes_every_spelling, match_warns_of_missing_tables, match_of_another_kernel, wrong_usage_exits_2,
    absent_device_exits_3, no_sysfs_exits_1, moving_without_privilege_exits_5, help_tells, every_json_has_its_schema,
    options_are_the_same_everywhere, the_daemon_helps, the_daemon_without_privilege_exits_5,
    the_daemons_options_are_the_same_everywhere, match_tells_the_rule, match_under_every_term, match_of_nothing_left,
    list_shows_the_best_by_the_policy, a_broken_policy_is_warned_of_and_ignored, json_is_utf8_whatever_it_quotes,
]

run_tests(TESTS)
