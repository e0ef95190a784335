#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the qemu hook as libvirt runs it: its output and exit status.

Usage: test-qemu-hook.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR HURRIED-HOOK; prints TAP.
Some tests run the programs in a mount namespace in which the fake host's files are the running system's.
"""
import json
import os
import shutil
import sys
import tempfile
import time

from programs import (COMMAND, HOOK, LIBVIRT_DIR, NIC, ON_VFIO, Host, exits, needs_namespace, needs_policy,
                      put_in_a_bridge, run)
from tap import equal, run_tests

HURRIED_HOOK = sys.argv[7]
DOMAIN = """<domain><name>vm1</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices>
<hostdev mode='subsystem' type='pci' managed='%s'><source><address domain='0' bus='0x3b' slot='0'
function='1'/></source></hostdev></devices></domain>"""



# --- the qemu hook ---


def hook_usage():
    exits(run(HOOK, "--version"), 0, "vfio-variant-hook ")
    exits(run(HOOK), 2, "libvirt runs this program as its qemu hook")
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
            equal(result.stdout, "")  # libvirt parses it as XML for some operations


def hook_with_endless_input():
    result = run(HOOK, "vm1", "prepare", "begin", "-", stdin="<domain>hostdev" + " " * (64 * 1024 * 1024))
    exits(result, 0)
    equal(result.stdout, "")


def hook_follows_a_life():
    needs_namespace()
    with Host() as host:
        entry = host.path(f"run/vfio-variant/{NIC}")
        for operation, sub_operation, texts in (
                ("prepare", "begin", ["state=recorded", "host-driver=mlx5_core", "domain=vm1", "in-use=false"]),
                ("started", "begin", ["state=detached", "host-driver=mlx5_core", "in-use=true"]),
                ("reconnect", "begin", ["state=detached", "in-use=true"]),
                ("release", "end", None)):
            result = host.inside(HOOK, "vm1", operation, sub_operation, "-", stdin=DOMAIN % "yes")
            exits(result, 0)
            equal(result.stdout, "")
            if texts is None:
                assert not os.path.exists(entry)
                break
            written = host.read(f"run/vfio-variant/{NIC}")
            for text in texts:
                assert text in written, f"{operation}: no {text} in {written}"


NOISY = """alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* noisy_vfio_pci
install noisy_vfio_pci echo '<domain>not ours</domain>'
"""


def install_commands_print_nowhere():
    """Output of modprobe.d's install commands reaches neither libvirt, which expects XML, nor JSON output."""
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
            assert "Read-only file system" in result.stderr or not result.stderr  # it may go to the system log


class HookWith:
    """The hook, with a script in place of its worker program."""

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
    """Only exit status 1 refuses the start. If the worker dies by a signal, the hook retries once with the same XML."""
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
    """Each message extends the deadline by two seconds. If no message follows, the last one gives the reason for a refusal."""
    died = "the process that handles its devices was killed by signal 9"
    late = "no progress from {program} for 2 s; no longer waiting for it"
    for script, code, refusal, logged in (
            ("for i in 1 2 3 4; do sleep 1; printf '0 \\0' >&3; done", 0, None, ""),
            ("printf '3000 \\0' >&3; sleep 3; printf '0 \\0' >&3; sleep 1", 0, None, ""),
            ("sleep 60", 0, None, f"{late}; libvirt continues without it"),
            ("printf '0 since\\0' >&3; sleep 60", 1, f"since: {late}", ""),
            ("printf '0 since\\00000 \\0' >&3; sleep 60", 0, None, f"{late}; libvirt continues without it"),
            ("printf '0 since\\00000 cut' >&3; sleep 60", 1, f"since: {late}", ""),
            ("printf '0 since\\0' >&3; kill -KILL $$", 1, f"since: {died}", f"{died}; retrying in another process"),
            ("printf '0 \\00000 since\\0' >&3; exit 1", 1, "since", ""),
            ("printf '0 since\\0' >&3; exit 0", 0, None, ""),
            ("printf '0 since\\0' >&3; exit 127", 1, "since: {program} exited with 127", ""),
            ("exec 1>&- 2>&- 3>&-; exit 0", 0, None, "")):
        with HookWith(script, HURRIED_HOOK) as hook:
            print(f"# {script}")
            result = hook.run("start", "begin", DOMAIN % "yes")
            program = os.path.join(hook.folder, "vfio-variant-domain")
            exits(result, code, logged.format(program=program))
            equal([line for line in result.stderr.splitlines() if line.startswith("vfio-variant: ")],
                  [f"vfio-variant: {refusal.format(program=program)}"] if refusal else [])
            equal(result.stdout, "")


def hook_keeps_its_output_to_itself():
    """The worker's output goes to the log. libvirt waits for the end of the hook's own output only."""
    for script in ("echo '<domain/>'", "echo '<domain/>' >&2", "(sleep 60; echo '<domain/>') &"):
        with HookWith(script) as hook:
            print(f"# {script}")
            started = time.monotonic()
            result = hook.run("migrate", "begin", DOMAIN % "yes")
            exits(result, 0, "domain vm1: <domain/>" if "sleep" not in script else "")
            equal(result.stdout, "")
            assert time.monotonic() - started < 30, "a child of it was waited for"


def hook_leaves_what_hangs():
    """A module's install command hangs. The guest starts without us, unless a rule is strict."""
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
            exits(result, code, "no progress from ", " for 2 s; no longer waiting for it")
            equal(result.stdout, "")
            said = f"vfio-variant: {NIC}: cannot determine whether it meets the requirements of {policy}: "
            equal(said in result.stderr, code == 1)


def hook_leaves_other_domains_alone():
    """For a domain without hostdev, the hook starts no worker."""
    with HookWith("exit 1") as hook:
        for devices, code in (("", 0), ("<disk/>", 0), ("<hostdev/>", 1), ("<interface type='hostdev'/>", 1)):
            xml = f"<domain><devices>{devices}</devices></domain>"
            exits(hook.run("start", "begin", xml), code)
            exits(hook.run("stopped", "end", xml), 0)
        equal(len(hook.read("runs")), 2)


def what_the_hook_runs_is_for_the_hook():
    for arguments in ([], ["vm1", "start", "begin", "-"], ["1", "vm1", "start", "begin"], ["0", "vm1", "fly", "-"]):
        exits(run(os.path.join(os.path.dirname(HOOK), "vfio-variant-domain"), *arguments), 0)


# --- policy ---

# A domain with the device that is on vfio-pci, and with metadata
DOMAIN_ON_VFIO = """<domain><name>vm1</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><metadata>%s</metadata>
<devices><hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0x05' slot='0'
function='0'/></source></hostdev></devices></domain>"""
STRICT_REQUEST = ("<v:hostdevs xmlns:v='urn:vfio-variant:domain:1'>"
               f"<v:hostdev address='{ON_VFIO}' migratable='require'/></v:hostdevs>")


def hook_refuses_where_a_domain_may_be_refused():
    needs_policy()
    policy = f"policy {LIBVIRT_DIR}/vfio-variant.xml:2"
    for rules, metadata, whose in (("<default migratable='require'/>", "", policy), ("", STRICT_REQUEST, "domain vm1"),
                                   ("<default migratable='prefer'/>", STRICT_REQUEST, f"{policy} with domain vm1")):
        for operation, code in (("prepare", 1), ("start", 1), ("migrate", 1), ("restore", 1), ("started", 0),
                                ("reconnect", 0)):
            with Host() as host:
                host.policy(rules)
                result = host.inside(HOOK, "vm1", operation, "begin", "-", stdin=DOMAIN_ON_VFIO % metadata)
            exits(result, code)
            equal(result.stdout, "")
            said = [line for line in result.stderr.splitlines() if line.startswith("vfio-variant: ")]
            equal(said, [f"vfio-variant: {ON_VFIO}: no usable VFIO driver: vfio_pci (it cannot migrate, which {whose} "
                         "requires: it does not support migration)"] if code else [])


def hook_refuses_at_prepare_and_leaves_nothing():
    needs_policy()
    with Host() as host:
        host.policy(f"<device address='{NIC}' driver='nowhere' fallback='none'/>")
        result = host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN % "yes")
        exits(result, 1, f"vfio-variant: policy {LIBVIRT_DIR}/vfio-variant.xml:2 allows no other driver: {NIC}: ", "nowhere")
        equal(result.stdout, "")
        assert not os.path.exists(host.path(f"run/vfio-variant/{NIC}"))
        exits(host.inside(HOOK, "vm1", "release", "end", "-", stdin=DOMAIN % "yes"), 0)
        exits(host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN % "no"), 0)  # an unmanaged device


def hook_goes_by_host_use():
    needs_policy()
    with Host() as host:
        put_in_a_bridge(host)
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
    """A changed policy does not affect a running guest: a failure of "reconnect" would make libvirt kill it."""
    needs_policy()
    with Host() as host:
        exits(host.inside(HOOK, "vm1", "prepare", "begin", "-", stdin=DOMAIN_ON_VFIO % ""), 0)
        host.policy("<default driver='nowhere' fallback='none' migratable='require' host-use='refuse'/>")
        for operation, sub_operation in (("started", "begin"), ("reconnect", "begin"), ("stopped", "end"),
                                         ("release", "end")):
            result = host.inside(HOOK, "vm1", operation, sub_operation, "-", stdin=DOMAIN_ON_VFIO % STRICT_REQUEST)
            exits(result, 0)
            equal(result.stdout, "")


# --- arbitrary bytes in JSON ---


TESTS = [
    hook_usage, hook_never_fails, hook_with_endless_input, hook_follows_a_life, install_commands_print_nowhere,
    hook_lets_the_guest_go_on, hook_outlives_what_it_runs, hook_waits_as_long_as_it_hears_something,
    hook_keeps_its_output_to_itself, hook_leaves_what_hangs, hook_leaves_other_domains_alone,
    what_the_hook_runs_is_for_the_hook, hook_refuses_where_a_domain_may_be_refused,
    hook_refuses_at_prepare_and_leaves_nothing, hook_goes_by_host_use, hook_never_fails_for_a_broken_policy,
    hook_lets_what_runs_be,
]

run_tests(TESTS)
