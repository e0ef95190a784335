#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the findings of vfio-variant check and status: each fault yields its finding, and a sound host has no problem.

Usage: test-check.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP.
"""
import os
import re
import shutil
import time

import check_device
import check_domain
from programs import COMMAND, HOOK, NIC, QUIET, as_nobody, exits, needs_namespace, run, source_text
from tap import equal, run_tests
from well import (HOOK_LINK, LIBVIRT, LIBVIRT_PID, SKIPPED, TRIGGERED, Well, check, document, emulator, expect,
                  findings_of, lacks, status, triggers)


# --- a sound host ---


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
        expect(found, "libvirt-version", "note", "libvirt 9.9.0", "libvirtd", "start and hot plug")


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


# --- logs, privileges ---

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
        one = expect(status(host), "denied", "warning", "{ read }", "restorecon")  # the newest denial
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
        expect(found, "not-root", "note", "run this command as root")
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
        lacks(status(host), "reload-due")  # an older daemon does not report it
        os.makedirs(host.path(f"{LIBVIRT}/vfio-variant.d"))
        os.utime(host.path(f"{LIBVIRT}/vfio-variant.d"), (changed + 5, changed + 5))  # a file was removed
        expect(status(host, read_at(changed + 1)), "reload-due", "warning", "vfio-variant.d")


def the_hook_is_missing_or_broken():
    with Well() as host:
        lacks(status(host), "hook-missing", "hook-broken")
        program = host.path("usr/sbin/vfio-variant-hook")
        os.chmod(program, 0o644)
        expect(status(host), "hook-broken", "problem", "is not executable")
        os.chmod(program, 0o775)
        expect(status(host), "hook-broken", "problem", "writable by users other than root")
        if os.geteuid() == 0:
            os.chmod(program, 0o755)
            os.chown(program, 65534, 0)
            expect(status(host), "hook-broken", "problem", "writable by users other than root")
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
        host.write("run/vfio-variant/hook-caller", f"{LIBVIRT_PID} {ticks - 1}\n")  # an earlier process with the same PID
        expect(status(host), "hook-unseen", "warning")
        host.write("run/vfio-variant/hook-caller", "nonsense")
        expect(status(host), "hook-unseen", "warning")


def host_ticks(host):
    return int(host.read(f"proc/{LIBVIRT_PID}/stat").split()[21])


def the_hook_notes_who_runs_it():
    """The hook records its caller if it is named like a libvirt daemon, at every operation, and only if it changed."""
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
            equal(host.read("run/vfio-variant/hook-caller"), caller)
        pid, ticks = caller.split()
        shutil.rmtree(host.path(f"proc/{LIBVIRT_PID}"))
        host.write(f"proc/{pid}/stat", f"{pid} (virtqemud) S " + "1 " * 18 + f"{ticks} 1\n")
        expect(status(host), "hook-seen", "ok", f"virtqemud, process {pid}, runs the hook")
        once = 'printf libvirtd >/proc/$$/comm; "$@" </dev/null; stat -c %i "$0"; "$@" </dev/null; stat -c %i "$0"'
        result = host.inside("sh", "-c", once, "/run/vfio-variant/hook-caller", HOOK, "vm1", "started", "begin", "-")
        first, second = result.stdout.split()
        equal(first, second)  # not rewritten


def node_device_hooks_that_are_not_run():
    with Well() as host:
        script = f"{LIBVIRT}/hooks/nodedev.d/50-x"
        emulator(host, "exit 0", script)
        lacks(status(host), "nodedev-hook")
        os.chmod(host.path(script), 0o777)
        expect(status(host), "nodedev-hook", "warning", script, "chmod go-w")


# --- other hook scripts ---

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
            equal(one["fix"], f"${{EDITOR:-vi}} +4 '{path}'")
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
        script("virsh list\n", mode=0o644)  # not executable: libvirt does not run it
        lacks(status(host), "hook-virsh")
        for number, text in enumerate((b"\x7fELF\0virsh", b"virsh\n" * 50000, b"", b"\\", b"<<", b"<<E", b"'", b"$(", b"x=(",
                                       b"\xff", b"&>")):
            script(text, f"qemu.d/{number}")
        lacks(status(host), "hook-virsh", "hook-moves")
        for name, mode in (("qemu.d/50-x", 0o755), ("qemu.d/win10/prepare/begin/start.sh", 0o644), ("network", 0o755)):
            path = script("modprobe vfio-pci\nvirsh nodedev-detach x\nvirsh list\n", name, mode)
            found = status(host)
            expect(found, "hook-virsh", "warning", f"{path}:2: ")
            equal([one["id"] for one in findings_of(found)].count("hook-virsh"), 1)  # once per kind
            if os.geteuid() == 0:
                os.chown(path, 65534, 0)
                lacks(status(host), "hook-virsh")
            os.unlink(path)


# --- list of finding ids ---


def every_id_is_documented_and_triggered():
    section = re.search(r"^FINDINGS\n=+\n(.*?)^\S+\n=+\n", source_text("docs/man/vfio-variant.rst"),
                        re.MULTILINE | re.DOTALL).group(1)
    documented = {name: set(severities.split(", "))
                  for name, severities in re.findall(r"^([a-z]+(?:-[a-z]+)*) \(([a-z, ]+)\)$", section, re.MULTILINE)}
    assert len(documented) > 40, documented
    equal({name: severities for name, severities in TRIGGERED.items() if documented.get(name) != severities}, {})
    equal(sorted(set(documented) - set(TRIGGERED) - SKIPPED), [])


TESTS = [
    a_device_that_is_well, a_host_that_is_well, nothing_is_changed, text_has_the_worst_first, accesses_that_were_denied,
    without_privilege, the_daemon_is_off, the_gate_is_off, a_reload_is_due, the_hook_is_missing_or_broken,
    the_hook_is_newer_than_libvirt, the_hook_notes_who_runs_it, node_device_hooks_that_are_not_run,
    hook_scripts_of_others,
    *check_device.TESTS, *check_domain.TESTS, every_id_is_documented_and_triggered,
]

run_tests(TESTS)
