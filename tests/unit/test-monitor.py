#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of vfio-variant-monitor as the daemon runs it: its process, its standard input, and the state store on a fake host.

Usage: test-monitor.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR MONITOR; prints TAP. libvirt's test driver
replaces libvirt, and a socket of the test replaces a libvirt that does not respond.
"""
import configparser
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from programs import ON_VFIO, Host, source_text, until
from tap import equal, run_tests

MONITOR = sys.argv[7]
MAN_PAGE = source_text("docs/man/vfio-variant-monitor.rst")
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
ENTRY = f"""[device]
address={ON_VFIO}
modalias=pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02
state=detached
host-known=%s
vfio-driver=vfio-pci
pinned=false
"""
MARKS = f"domain=test\ndomain-uuid={UUID}\nin-use=true\n"
NODE = f"""<node><domain type='test'><name>test</name><uuid>{UUID}</uuid><memory>8192</memory><os><type>hvm</type></os><devices>
%s</devices></domain></node>"""
HOSTDEV = """<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='5' slot='0'
function='0'/></source></hostdev>"""
DEADLINE = 20  # seconds, for expected events


class MonitoredHost(Host):
    """A fake host with one device on VFIO that has a state file."""

    def __init__(self, marks="", host_known="true"):
        self.entry = ENTRY % host_known + marks

    def __enter__(self):
        super().__enter__()
        self.write(f"run/vfio-variant/{ON_VFIO}", self.entry)
        return self

    def forget(self):
        os.unlink(self.path(f"run/vfio-variant/{ON_VFIO}"))

    def has_entry(self):
        return os.path.exists(self.path(f"run/vfio-variant/{ON_VFIO}"))

    def mark(self, key):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.path(f"run/vfio-variant/{ON_VFIO}"))
        return parser["device"].get(key)

    def node(self, devices):
        """Configures libvirt's test driver with one running domain. Returns its URI."""
        self.write("node.xml", NODE % devices)
        return f"test://{self.path('node.xml')}"


class Monitor:
    """The monitor, started as the daemon does."""

    def __init__(self, host, uri, *options, first=""):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [MONITOR, "--sysroot", host.root, "--connect", uri, "--grace-ms", "0", *options],
            stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.say(first)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.log.close()

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def ends(self, code=0):
        equal(self.process.wait(DEADLINE), code)

    def lives(self):
        equal(self.process.poll(), None)

    def sleeps(self):
        """Waits until the monitor sleeps. Returns the number of its wake-ups so far."""
        until(lambda: self.status("State").startswith("S"))
        return int(self.status("voluntary_ctxt_switches")) + int(self.status("nonvoluntary_ctxt_switches"))

    def status(self, key):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith(key + ":"))


class Listener:
    """A socket that accepts connections and sends nothing."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.socket.settimeout(DEADLINE)

    def take(self):
        """Waits for a connection and closes it."""
        self.socket.accept()[0].close()

    def close(self):
        self.socket.close()


def is_alive(pid):
    """False for a zombie: its new parent may never reap it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(*arguments):
    return subprocess.run([MONITOR, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=DEADLINE)


# --- command line ---


def help_and_version():
    result = run("--help")
    equal(result.returncode, 0)
    for option in ("--connect", "--grace-ms", "--version"):
        assert option in result.stdout, result.stdout
        assert option in MAN_PAGE, option
    assert "--sysroot" not in result.stdout
    result = run("--version")
    equal(result.returncode, 0)
    assert result.stdout.startswith("vfio-variant-monitor "), result.stdout


def wrong_usage():
    for arguments in (["--nonsense"], ["argument"], ["--grace-ms", "-1"], ["--grace-ms", "soon"]):
        result = run(*arguments)
        equal(result.returncode, 2)
        assert "Try 'vfio-variant-monitor --help'" in result.stderr, result.stderr


def no_sysfs():
    equal(run("--sysroot", "/nonexistent").returncode, 1)


# --- exit ---


def ends_when_the_daemon_does():
    with MonitoredHost() as host, Monitor(host, host.node("")) as monitor:
        monitor.sleeps()
        monitor.process.stdin.close()
        monitor.ends()


def ends_while_blocked():
    with MonitoredHost() as host, Monitor(host, host.node(""), first="h") as monitor:
        monitor.sleeps()
        monitor.process.stdin.close()
        monitor.ends()


def dev_null_is_an_end():
    with MonitoredHost() as host:
        equal(run("--sysroot", host.root, "--connect", host.node("")).returncode, 0)


def empty_journal_is_an_end():
    with MonitoredHost() as host:
        host.forget()
        with Monitor(host, host.node("")) as monitor:
            monitor.ends()


def ends_when_the_journal_empties():
    with MonitoredHost() as host, Monitor(host, host.node("")) as monitor:
        monitor.sleeps()
        host.forget()
        monitor.say("l")
        monitor.ends()


def sigterm_ends():
    with MonitoredHost() as host, Monitor(host, host.node("")) as monitor:
        monitor.sleeps()
        # The signal stays pending during a rebind: the only thread blocks it
        equal(len(os.listdir(f"/proc/{monitor.process.pid}/task")), 1)
        monitor.process.terminate()
        monitor.ends(-signal.SIGTERM)


def dies_with_its_parent():
    """Even without end of file on its standard input: here, the test keeps the pipe open."""
    with MonitoredHost() as host:
        reading, writing = os.pipe()
        command = [MONITOR, "--sysroot", host.root, "--connect", host.node("")]
        parent = subprocess.Popen(["sh", "-c", '"$@" & echo $!; wait', "sh", "sh", "-c", f'exec "$@" <&{reading}', "sh",
                                   *command], stdout=subprocess.PIPE, text=True, pass_fds=[reading])
        monitor = int(parent.stdout.readline())
        until(lambda: os.path.basename(os.readlink(f"/proc/{monitor}/exe")) == os.path.basename(MONITOR))
        time.sleep(0.5)
        parent.kill()
        parent.wait()
        until(lambda: not is_alive(monitor))
        parent.stdout.close()
        os.close(reading)
        os.close(writing)


# --- orders ---


def garbage_is_passed_over():
    with MonitoredHost() as host, Monitor(host, host.node("")) as monitor:
        monitor.say("x" * 100000 + "\n\x00\x01\nLOOK HFL\n")
        time.sleep(0.2)
        monitor.lives()
        host.forget()
        monitor.say("l")
        monitor.ends()


def nothing_is_asked_while_blocked():
    with MonitoredHost() as host, Monitor(host, host.node(HOSTDEV), first="hl") as monitor:
        time.sleep(1.5)
        equal(host.mark("domain"), None)
        monitor.say("f")
        until(lambda: host.mark("domain") == "test")


# --- reconciliation ---


def hot_plugged_device_is_given_to_its_domain():
    with MonitoredHost() as host, Monitor(host, host.node(HOSTDEV)) as monitor:
        until(lambda: host.mark("in-use") == "true")
        equal(host.mark("domain"), "test")
        equal(host.mark("domain-uuid"), UUID)
        monitor.lives()


def device_of_nobody_is_mended_and_then_it_ends():
    with MonitoredHost(MARKS, host_known="false") as host, Monitor(host, host.node("")) as monitor:
        monitor.ends()
        assert not host.has_entry()


def grace_is_kept():
    with MonitoredHost(MARKS, host_known="false") as host, Monitor(host, host.node(""), "--grace-ms", "1500") as monitor:
        start = time.monotonic()
        monitor.ends()
        assert time.monotonic() - start >= 1.4


def without_libvirt_nothing_is_mended():
    with MonitoredHost(MARKS, host_known="false") as host:
        uri = f"qemu+unix:///system?socket={host.path('sock')}"
        with Monitor(host, uri) as monitor:
            monitor.say("l")
            time.sleep(1.2)
            monitor.lives()
            equal(host.mark("in-use"), "true")


# --- libvirt starts and stops ---


def waits_for_the_socket():
    with MonitoredHost() as host:
        uri = f"qemu+unix:///system?socket={host.path('run/libvirt/libvirt-sock-ro')}"
        with Monitor(host, uri) as monitor:
            time.sleep(0.5)
            monitor.sleeps()
            os.mkdir(host.path("run/libvirt"))
            listener = Listener(host.path("run/libvirt/libvirt-sock-ro"))
            listener.take()
            listener.close()
            os.unlink(host.path("run/libvirt/libvirt-sock-ro"))
            monitor.lives()
            listener = Listener(host.path("run/libvirt/libvirt-sock-ro"))
            listener.take()
            listener.close()
            monitor.lives()


def idle_means_idle():
    """Rule R11: no wake-ups between events, whether connected or waiting, also after a reconciliation."""
    with MonitoredHost() as host:
        nowhere = "qemu+unix:///system?socket=/nonexistent/sock"
        with Monitor(host, host.node("")) as connected, Monitor(host, nowhere) as waiting:
            connected.say("l")
            waiting.say("l")
            time.sleep(1.5)
            before = connected.sleeps(), waiting.sleeps()
            time.sleep(5)
            equal((connected.sleeps(), waiting.sleeps()), before)


TESTS = [
    help_and_version,
    wrong_usage,
    no_sysfs,
    ends_when_the_daemon_does,
    ends_while_blocked,
    dev_null_is_an_end,
    empty_journal_is_an_end,
    ends_when_the_journal_empties,
    sigterm_ends,
    dies_with_its_parent,
    garbage_is_passed_over,
    nothing_is_asked_while_blocked,
    hot_plugged_device_is_given_to_its_domain,
    device_of_nobody_is_mended_and_then_it_ends,
    grace_is_kept,
    without_libvirt_nothing_is_mended,
    waits_for_the_socket,
    idle_means_idle,
]

run_tests(TESTS)
