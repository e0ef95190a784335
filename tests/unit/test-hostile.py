#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of attacks through files and by users: hostile files at all paths that vfio-variant uses, and hostile callers.

Usage: test-hostile.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR MONITOR; prints TAP. Runs as root, with the fake
host as the running system; the attacker is the user "nobody".
"""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys

from programs import (COMMAND, DAEMON, HOOK, NIC, NOBODY, ON_VFIO, DeadServer, Host, as_nobody, exits, needs_namespace,
                      needs_policy, run, until)
from tap import equal, run_tests

MONITOR = sys.argv[7]
ENTRY = f"""[device]
address={ON_VFIO}
modalias=pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02
state=detached
host-known=true
host-driver=nvme
host-module=nvme
vfio-driver=vfio-pci
pinned=true
"""
SECRET = "correct horse battery staple"
DEADLINE = 10  # seconds; longer means that the program hangs
GIB = 1024 ** 3


class Attacked(Host):
    """A fake host with a state store directory and files of a user."""

    def __enter__(self):
        super().__enter__()
        os.chmod(self.root, 0o755)
        self.run_dir = self.path("run/vfio-variant")
        os.makedirs(self.run_dir, exist_ok=True)
        self.entry = os.path.join(self.run_dir, ON_VFIO)
        self.write("secret", SECRET)
        os.chmod(self.path("secret"), 0o600)
        self.write("eve/file", ENTRY)
        os.chown(self.path("eve"), NOBODY, NOBODY)
        os.chown(self.path("eve/file"), NOBODY, NOBODY)
        return self

    def inside_in_time(self, *program, **options):
        """As inside(); a program that hangs fails the test."""
        return self.inside("timeout", "--signal=KILL", str(DEADLINE), *program, **options)


def in_time(*program, stdin=""):
    return run("timeout", "--signal=KILL", str(DEADLINE), *program, stdin=stdin)


def snapshot(root):
    """Kind, mode, owner and contents of every file."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            text = b""
            if stat.S_ISREG(info.st_mode) and info.st_size < 65536:
                with open(path, "rb") as file:
                    text = file.read()
            found[path] = (info.st_mode, info.st_uid, text)
    return found


# --- state store directory ---


def make_huge(path):
    with open(path, "wb") as file:
        file.truncate(GIB)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path)


def put_text(path, mode=0o644, owner=0):
    with open(path, "w", encoding="utf-8") as file:
        file.write(ENTRY)
    os.chmod(path, mode)
    os.chown(path, owner, owner)


def things(host):
    """Names of hostile files, and functions that create them: neither state file, lock nor counters may be such a file."""
    secret, user = host.path("secret"), host.path("eve/file")
    fifo = host.path("eve/fifo")
    if not os.path.exists(fifo):
        os.mkfifo(fifo)
    return {
        "link to a secret": lambda path: os.symlink(secret, path),
        "link to a user's file": lambda path: os.symlink(user, path),
        "link to a fifo": lambda path: os.symlink(fifo, path),
        "link to a device": lambda path: os.symlink("/dev/zero", path),
        "link to itself": lambda path: os.symlink(path, path),
        "fifo": os.mkfifo,
        "directory": os.mkdir,
        "socket": make_socket,
        "hard link to a user's file": lambda path: os.link(user, path),
        "a user's": lambda path: put_text(path, owner=NOBODY),
        "for the group to write": lambda path: put_text(path, 0o664),
        "for all to write": lambda path: put_text(path, 0o666),
        "huge": make_huge,
    }


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


def said(result):
    text = result.stdout + result.stderr
    assert SECRET not in text, "the secret is told"
    return text


def good_entry_is_believed():
    """The same commands without an attack, for comparison."""
    needs_namespace()
    with Attacked() as host:
        put_text(host.entry)
        listed = json.loads(host.inside_in_time(COMMAND, "list", "--json", ON_VFIO).stdout)
        equal(listed[0]["state"], "detached")


def entries_that_are_none():
    """A hostile state file is reported as damaged, and not followed or waited for. restore fails; list and metrics work."""
    needs_namespace()
    with Attacked() as host:
        for name, make in things(host).items():
            print(f"# {name}")
            make(host.entry)
            result = host.inside_in_time(COMMAND, "restore", ON_VFIO)
            exits(result, 1, host.entry.replace(host.path(""), "/"))
            said(result)
            listed = host.inside_in_time(COMMAND, "list", "--json", ON_VFIO)
            exits(listed, 0)
            equal(json.loads(listed.stdout)[0]["state"], None)
            exits(host.inside_in_time(COMMAND, "metrics"), 0)
            remove(host.entry)
        equal(open(host.path("secret"), encoding="utf-8").read(), SECRET)
        equal(open(host.path("eve/file"), encoding="utf-8").read(), ENTRY)


def locks_that_are_none():
    """Without the lock, bind changes nothing. It follows no link and does not hang."""
    needs_namespace()
    with Attacked() as host:
        lock = os.path.join(host.run_dir, f"lock-{NIC}")
        for name, make in things(host).items():
            print(f"# {name}")
            make(lock)
            before = snapshot(host.path("sys"))
            result = host.inside_in_time(COMMAND, "bind", NIC)
            said(result)
            if name.startswith("link") or name in ("directory", "socket"):
                exits(result, 3 if name == "socket" else 1, f"lock-{NIC}: open")
                equal(snapshot(host.path("sys")), before)
            else:  # it can be locked; its contents are ignored
                exits(result, 1, "no VFIO driver could be bound")
            remove(lock)
            if os.path.exists(os.path.join(host.run_dir, NIC)):
                os.unlink(os.path.join(host.run_dir, NIC))
        equal(open(host.path("secret"), encoding="utf-8").read(), SECRET)
        equal(open(host.path("eve/file"), encoding="utf-8").read(), ENTRY)


def tallies_that_are_none():
    """metrics works without the counters. The next rebind replaces the file if possible, and follows no link."""
    needs_namespace()
    with Attacked() as host:
        counters = os.path.join(host.run_dir, "counters")
        for name, make in things(host).items():
            print(f"# {name}")
            make(counters)
            exits(host.inside_in_time(COMMAND, "metrics"), 0, "vfio_variant")
            said(host.inside_in_time(COMMAND, "bind", NIC))
            if name == "directory":
                assert os.path.isdir(counters)
            else:
                info = os.lstat(counters)
                equal((stat.S_ISREG(info.st_mode), info.st_uid, info.st_mode & 0o777), (True, 0, 0o644))
            remove(counters)
        equal(open(host.path("secret"), encoding="utf-8").read(), SECRET)
        equal(open(host.path("eve/file"), encoding="utf-8").read(), ENTRY)


def directories_that_are_none():
    """All programs refuse a state store directory that other users could have written."""
    needs_namespace()
    with Attacked() as host:
        put_text(host.entry)
        good = host.run_dir + ".good"
        os.rename(host.run_dir, good)

        def others(mode=0o755, owner=0):
            shutil.copytree(good, host.run_dir)
            os.chmod(host.run_dir, mode)
            os.chown(host.run_dir, owner, owner)

        def link_to_users():
            shutil.copytree(good, host.path("eve/journal"))
            os.chown(host.path("eve/journal"), NOBODY, NOBODY)
            os.symlink("../eve/journal", host.run_dir)

        cases = {
            "a user's": (lambda: others(owner=NOBODY), "belongs to user"),
            "for all to write": (lambda: others(mode=0o777), "is writable by its group or others"),
            "sticky": (lambda: others(mode=0o1777), "is writable by its group or others"),
            "a file": (lambda: put_text(host.run_dir), "Not a directory"),
            "a fifo": (lambda: os.mkfifo(host.run_dir), "Not a directory"),
            "a link to nowhere": (lambda: os.symlink("/nowhere", host.run_dir), "No such file"),
        }
        for name, (make, text) in cases.items():
            print(f"# {name}")
            make()
            before = snapshot(host.path("sys"))
            exits(host.inside_in_time(COMMAND, "restore", ON_VFIO), 4 if "user" in text or "writable" in text else 1, text)
            exits(host.inside_in_time(DAEMON, "--no-gate"), 1, text)
            hook = host.inside_in_time(HOOK, "guest", "start", "begin", "-", stdin="<domain type='qemu'><name>guest</name>"
                                       "</domain>")
            exits(hook, 0)
            equal(hook.stdout, "")
            equal(snapshot(host.path("sys")), before)
            if os.path.isdir(host.run_dir) and not os.path.islink(host.run_dir):
                shutil.rmtree(host.run_dir)
            else:
                os.unlink(host.run_dir)


def missing_directory_is_made():
    needs_namespace()
    with Attacked() as host:
        shutil.rmtree(host.run_dir)
        exits(host.inside_in_time(COMMAND, "bind", NIC), 1, "no VFIO driver could be bound")
        info = os.lstat(host.run_dir)
        equal((info.st_mode, info.st_uid), (stat.S_IFDIR | 0o755, 0))


# --- the daemon's socket, metrics ---


class Running:
    """Within its with block, the real daemon runs on the attacked host, without the gate."""

    def __init__(self, host, *options):
        self.host, self.options = host, options

    def __enter__(self):
        script = (f"mount --bind {self.host.path('sys')} /sys && mount --bind {self.host.path('run')} /run"
                  f"{self.host.policy_mount()} && exec \"$@\"")
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", DAEMON,
                                         "--no-gate", *self.options], stderr=subprocess.DEVNULL)
        until(self.answers, DEADLINE)
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(1)
            try:
                return not os.path.islink(self.socket()) and caller.connect_ex(self.socket()) == 0 and caller.recv(1) == b"{"
            except TimeoutError:  # another process still has the socket
                return False

    def socket(self):
        return os.path.join(self.host.run_dir, "vfio-variantd.sock")

    def __exit__(self, *_):
        self.process.terminate()
        equal(self.process.wait(DEADLINE), 0)


def places_of_the_socket():
    """The daemon removes what is at its socket's path, except directories. It follows no link."""
    needs_namespace()
    with Attacked() as host:
        path = os.path.join(host.run_dir, "vfio-variantd.sock")
        for name, make in things(host).items():
            print(f"# {name}")
            make(path)
            if name == "directory":
                exits(host.inside_in_time(DAEMON, "--no-gate"), 1, "Address already in use")
                remove(path)
                continue
            with Running(host):
                info = os.lstat(path)
                equal((stat.S_ISSOCK(info.st_mode), info.st_mode & 0o777, info.st_uid), (True, 0o600, 0))
            assert not os.path.lexists(path)
        equal(open(host.path("secret"), encoding="utf-8").read(), SECRET)


def socket_of_somebody_who_is_deaf():
    """A foreign listener with a full queue would block connect() forever. It has no lock, so the daemon replaces it."""
    needs_namespace()
    with Attacked() as host, socket.socket(socket.AF_UNIX) as squatter:
        path = os.path.join(host.run_dir, "vfio-variantd.sock")
        squatter.bind(path)
        squatter.listen(0)
        callers = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(path)
        exits(host.inside_in_time(COMMAND, "status", "--timeout-ms", "200"), 1)
        with Running(host):
            result = host.inside_in_time(COMMAND, "status", "--json")
            equal(json.loads(result.stdout)["gate"], "off")
        for caller in callers:
            caller.close()


def daemon_that_is_stopped():
    """A stopped daemon does not answer, but still holds the lock."""
    needs_namespace()
    with Attacked() as host, Running(host) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        exits(host.inside_in_time(DAEMON, "--no-gate"), 1, "another vfio-variantd is running")
        daemon.process.send_signal(signal.SIGCONT)


def places_of_the_lock():
    """The daemon follows no link, does not hang, and changes no other file."""
    needs_namespace()
    with Attacked() as host:
        path = os.path.join(host.run_dir, "vfio-variantd.lock")
        for name, make in things(host).items():
            print(f"# {name}")
            make(path)
            result = host.inside_in_time("timeout", "1", DAEMON, "--no-gate")
            assert result.returncode in (1, 124), result.returncode  # refused, or ended by timeout(1)
            remove(path)
        equal(open(host.path("secret"), encoding="utf-8").read(), SECRET)


def clients_that_do_not_behave():
    """Clients that send data, send much data or never read do not delay other clients."""
    needs_namespace()
    with Attacked() as host, Running(host) as daemon:
        clients = []
        for number in range(100):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            try:
                if client.connect_ex(daemon.socket()) == 0 and number % 2:
                    client.send(b'{"version":"evil"}\n' * 1000)
            except BrokenPipeError:  # it was answered already
                pass
        result = host.inside_in_time(COMMAND, "status", "--json")
        equal(json.loads(result.stdout)["gate"], "off")
        for client in clients:
            client.close()


def places_of_the_metrics():
    """metrics replaces the file and does not write through it. A hostile file at its temporary name is removed unopened."""
    needs_namespace()
    with Attacked() as host:
        folder = host.path("run/metrics")
        os.mkdir(folder)
        path = os.path.join(folder, "vfio-variant.prom")
        aside = os.path.join(folder, ".vfio-variant.prom.new")
        for place in (path, aside):
            for name, make in things(host).items():
                print(f"# {os.path.basename(place)}: {name}")
                make(place)
                result = host.inside_in_time(COMMAND, "metrics", "--output", "/run/metrics/vfio-variant.prom")
                if name == "directory":
                    exits(result, 1, "/run/metrics")
                    assert os.path.isdir(place)
                else:
                    exits(result, 0)
                    info = os.lstat(path)
                    equal((stat.S_ISREG(info.st_mode), info.st_mode & 0o777, info.st_nlink), (True, 0o644, 1))
                    assert "vfio_variant_daemon_up 0" in open(path, encoding="utf-8").read()
                    assert not os.path.lexists(aside)
                for left in (path, aside):
                    if os.path.lexists(left):
                        remove(left)
        equal(open(host.path("secret"), encoding="utf-8").read(), SECRET)
        equal(open(host.path("eve/file"), encoding="utf-8").read(), ENTRY)


# --- the policy ---


def rule_of(host):
    result = host.inside_in_time(COMMAND, "match", "--json", NIC)
    exits(result, 0)
    return json.loads(result.stdout)["rule"]


def policies_that_are_none():
    """A file that other users could have written, or that is not a regular file, is ignored with a warning. Nothing hangs,
    and no more than the limit is read."""
    needs_policy()
    with Attacked() as host:
        path = host.policy("<default driver='generic'/>")
        rule = open(path, encoding="utf-8").read()
        assert rule_of(host), "the good policy does not count"
        os.unlink(path)

        def text(mode=0o644, owner=0):
            with open(path, "w", encoding="utf-8") as file:
                file.write(rule)
            os.chmod(path, mode)
            os.chown(path, owner, owner)

        user = host.path("eve/policy.xml")
        with open(user, "w", encoding="utf-8") as file:
            file.write(rule)
        os.chown(user, NOBODY, NOBODY)
        cases = {
            "a user's": (lambda: text(owner=NOBODY), "belongs to user"),
            "for the group to write": (lambda: text(0o664), "is writable by its group or others"),
            "for all to write": (lambda: text(0o646), "is writable by its group or others"),
            "hard link to a user's": (lambda: os.link(user, path), "belongs to user"),
            "link to a user's": (lambda: os.symlink(user, path), "belongs to user"),
            "link to nowhere": (lambda: os.symlink("/nowhere", path), "No such file"),
            "fifo": (lambda: os.mkfifo(path), "not a regular file"),
            "directory": (lambda: os.mkdir(path), "not a regular file"),
            "socket": (lambda: make_socket(path), "not a regular file"),
            "link to /dev/zero": (lambda: os.symlink("/dev/zero", path), ""),
            "a gibibyte": (lambda: make_huge(path), "File too large"),
        }
        for name, (make, complaint) in cases.items():
            print(f"# {name}")
            make()
            exits(host.inside_in_time(COMMAND, "policy"), 1, path.replace(host.path(""), "/").replace("//", "/"), complaint)
            equal(rule_of(host), None)
            remove(path)


def policy_folder_of_a_user():
    needs_policy()
    with Attacked() as host:
        inside = host.policy("<default driver='generic'/>", "vfio-variant.d/50-a.xml")
        os.chown(os.path.dirname(inside), NOBODY, NOBODY)
        exits(host.inside_in_time(COMMAND, "policy"), 1, "vfio-variant.d", "belongs to user")
        os.chown(os.path.dirname(inside), 0, 0)
        os.chmod(os.path.dirname(inside), 0o777)
        exits(host.inside_in_time(COMMAND, "policy"), 1, "vfio-variant.d is writable by its group or others")
        os.chmod(os.path.dirname(inside), 0o755)
        exits(host.inside_in_time(COMMAND, "policy"), 0)


# --- unprivileged callers ---


def nobody_changes_anything():
    """With --sysroot, read-only commands exit with the same status for a user as for root. Commands that rebind or probe
    fail before they have any effect."""
    needs_namespace()
    become = as_nobody()
    with Attacked() as host:
        put_text(host.entry)
        exits(host.inside_in_time(*become, COMMAND, "bind", "--dry-run", NIC), 0)  # read-only, too
        before = snapshot(host.root)
        looks = [["list"], ["list", "--json"], ["list", "--kernel", "6.1.0"], ["match", NIC], ["match", "--json", NIC],
                 ["match", "--long", NIC], ["policy"], ["policy", "--json"], ["metrics"],
                 ["metrics", "--format=prometheus"], ["check", NIC], ["check", "--json", NIC]]
        for arguments in looks:
            program = (COMMAND, arguments[0], "--sysroot", host.root, *arguments[1:])
            result = in_time(*become, *program)
            assert result.returncode in (0, 1, 2), f"{arguments}: exit {result.returncode}: {result.stderr}"
            equal(result.returncode, in_time(*program).returncode)
            said(result)
        refused = [["bind", NIC], ["bind", "--force", NIC], ["bind", "--driver", "vfio-pci", NIC],
                   ["bind", "--json", NIC], ["restore", NIC], ["restore", "--all"], ["restore", "--force", NIC],
                   ["probe", NIC], ["probe", "--json", NIC], ["probe", "--all"]]
        for arguments in refused:
            result = in_time(*become, COMMAND, *arguments)
            assert result.returncode in (2, 5), f"{arguments}: exit {result.returncode}: {result.stdout}{result.stderr}"
            if result.returncode == 2:
                equal(in_time(COMMAND, *arguments).returncode, 2)
        exits(in_time(*become, DAEMON), 5, "must be run as root")
        exits(in_time(*become, DAEMON, "--no-gate"), 5, "must be run as root")
        equal(snapshot(host.root), before)


def nobody_and_the_running_daemon():
    """A user can access neither the daemon's socket nor its process, nor the state files, locks and counters."""
    needs_namespace()
    become = as_nobody()
    with Attacked() as host, Running(host) as daemon:
        put_text(host.entry)
        exits(host.inside_in_time(COMMAND, "bind", NIC), 1)  # creates a lock and the counters
        exits(host.inside_in_time(*become, COMMAND, "status"), 5, "Permission denied")
        exits(host.inside_in_time(*become, COMMAND, "status", "--json"), 5)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGSTOP):
            result = in_time(*become, "kill", f"-{int(number)}", str(daemon.process.pid))
            assert result.returncode != 0, f"signal {number} was delivered"
        before = snapshot(host.run_dir)
        assert any(path.endswith(f"lock-{NIC}") for path in before), "no lock"
        for path in [host.run_dir, *before]:
            for script in (': >>"$1"', 'echo x >"$1"', 'rm -rf "$1"', 'mv "$1" "$1.x"', 'chmod 777 "$1"', 'ln -sf /etc "$1/x"',
                           'touch "$1/x"', 'mkfifo "$1.fifo"'):
                in_time(*become, "sh", "-c", script, "sh", path)
        for lock in [path for path in before if "/lock-" in path]:
            assert in_time(*become, "flock", "--nonblock", lock, "true").returncode != 0, f"{lock} can be taken"
        after = snapshot(host.run_dir)
        equal(after, before)
        exits(host.inside_in_time(COMMAND, "status", "--json"), 0)


def nobody_calls_the_hook():
    """Any user can run the hook, but it has no privileges: it writes no file, rebinds no device, and prints nothing on
    standard output."""
    become = as_nobody()
    xml = f"""<domain type='qemu'><name>guest</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices>
      <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='5' slot='0' function='0'/></source>
      </hostdev></devices></domain>"""
    needs_namespace()
    with Attacked() as host:
        put_text(host.entry)
        before = snapshot(host.root)
        for operation in ("prepare", "start", "started", "stopped", "release", "reconnect", "migrate", "restore", "attach"):
            for sub in ("begin", "end", "x"):
                result = host.inside_in_time(*become, HOOK, "guest", operation, sub, "-", stdin=xml)
                assert result.returncode in (0, 1), f"{operation} {sub}: exit {result.returncode}"
                equal(result.stdout, "")
        equal(snapshot(host.root), before)


GUEST = """<domain type='qemu'><name>guest</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices><hostdev
mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='5' slot='0' function='0'/></source></hostdev>
</devices></domain>"""


def files_on_a_dead_server():
    """The search for processes that have a device open queries no file server about open files: neither root's nor that of
    a user who names a file like a VFIO node."""
    needs_namespace()
    for folder in ("mnt", "vfio/12"):
        with Attacked() as host, DeadServer(host.path(folder)):
            print(f"# {folder}")
            for operation in ("prepare", "start"):
                exits(host.inside_in_time(HOOK, "guest", operation, "begin", "-", stdin=GUEST), 0)
            exits(host.inside_in_time(COMMAND, "restore", "--force", ON_VFIO), 0, "already on its host driver")


def nobody_runs_the_monitor():
    """Any user can run the monitor, but it reads orders only from its standard input, and the user cannot write root's
    state store."""
    become = as_nobody()
    needs_namespace()
    with Attacked() as host:
        put_text(host.entry)
        before = snapshot(host.root)
        result = host.inside_in_time(*become, MONITOR, stdin="lfhl")
        assert result.returncode in (0, 1, 5), f"exit {result.returncode}"
        equal(snapshot(host.root), before)


def programs_have_no_privilege_of_their_own():
    """The programs are not set-user-ID and have no capabilities, so a user's environment gives no privileges."""
    for program in (COMMAND, HOOK, DAEMON, MONITOR):
        equal(os.stat(program).st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), 0)
        try:
            capabilities = os.getxattr(program, "security.capability")
        except OSError:
            capabilities = b""
        equal(capabilities, b"")


def path_of_a_user():
    """Root keeps a user's PATH: check searches it for QEMU, but runs no program that the user could have replaced."""
    needs_namespace()
    with Attacked() as host:
        trap = host.path("eve/bin")
        os.mkdir(trap)
        for name in ("qemu-system-x86_64", "qemu-kvm", "systemctl", "modprobe", "vfio-variant", "sh"):
            path = os.path.join(trap, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n/bin/touch {host.path('sprung')}\n")
            os.chmod(path, 0o755)
            os.chown(path, NOBODY, NOBODY)
        os.chown(trap, NOBODY, NOBODY)
        set_path = ["/usr/bin/env", f"PATH={trap}:/usr/sbin:/usr/bin:/sbin:/bin"]
        for arguments in (["check", NIC], ["check", "--json", ON_VFIO], ["list"], ["status"], ["policy"], ["bind", NIC],
                          ["restore", "--all"]):
            host.inside_in_time(*set_path, COMMAND, *arguments)
        host.inside_in_time(*set_path, HOOK, "guest", "start", "begin", "-", stdin="<domain/>")
        assert not os.path.exists(host.path("sprung")), "a user's program was run by root"


def environment_of_a_user():
    """No environment variable directs root's programs to a user's files. They read G_MESSAGES_DEBUG and NOTIFY_SOCKET only."""
    needs_namespace()
    with Attacked() as host:
        eve = host.path("eve")
        with open(os.path.join(eve, "policy.xml"), "w", encoding="utf-8") as file:
            file.write("<vfio-variant><default driver='generic'/></vfio-variant>")
        names = ["XML_CATALOG_FILES", "SGML_CATALOG_FILES", "XDG_CONFIG_HOME", "XDG_DATA_DIRS", "XDG_RUNTIME_DIR", "HOME",
                 "LIBVIRT_DEFAULT_URI", "MODPROBE_OPTIONS", "KMOD_CONFIG", "SYSROOT", "TMPDIR", "GIO_EXTRA_MODULES", "TMP"]
        clean = host.inside_in_time("/usr/bin/env", "-i", COMMAND, "match", "--json", NIC)
        odd = host.inside_in_time("/usr/bin/env", "-i", *[f"{name}={eve}/policy.xml" for name in names], "G_MESSAGES_DEBUG=all",
                                  "G_DEBUG=fatal-warnings", COMMAND, "match", "--json", NIC)
        exits(clean, 0)
        equal((odd.returncode, odd.stdout), (0, clean.stdout))


TESTS = [
    good_entry_is_believed,
    entries_that_are_none,
    locks_that_are_none,
    tallies_that_are_none,
    directories_that_are_none,
    missing_directory_is_made,
    places_of_the_socket,
    socket_of_somebody_who_is_deaf,
    daemon_that_is_stopped,
    places_of_the_lock,
    clients_that_do_not_behave,
    places_of_the_metrics,
    policies_that_are_none,
    policy_folder_of_a_user,
    nobody_changes_anything,
    nobody_and_the_running_daemon,
    nobody_calls_the_hook,
    files_on_a_dead_server,
    nobody_runs_the_monitor,
    programs_have_no_privilege_of_their_own,
    path_of_a_user,
    environment_of_a_user,
]
run_tests(TESTS)
