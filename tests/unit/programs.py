# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shared by the tests of whole programs: a fake host on disk, running programs on it, and assertions about their output.

Reads the arguments of the test: FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

from tap import Skip

FAKE_HOST, COMMAND, HOOK, DAEMON, SCHEMAS = sys.argv[1:6]
SYSCONFDIR = sys.argv[6].lstrip("/")
LIBVIRT_DIR = "/" + SYSCONFDIR + "/libvirt"
NOBODY = 65534
NIC, DISK, ON_VFIO = "0000:3b:00.1", "0000:04:00.0", "0000:05:00.0"
MODALIAS = "pci:v000015B3d0000101Esv000015B3sd00000058bc02sc00i00"  # of NIC
KEY = f"vfio_{MODALIAS}"


class Host:
    """A fake host on disk, removed at the end of its with block."""

    def __enter__(self):
        self.root = subprocess.run([FAKE_HOST], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)

    def path(self, path):
        return os.path.join(self.root, path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)

    def link(self, path, target):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        if os.path.lexists(self.path(path)):
            os.unlink(self.path(path))
        os.symlink(target, self.path(path))

    def device(self, file, address=NIC):
        return f"sys/devices/pci0000:00/0000:00:01.0/{address}/{file}"

    def state_file(self, address=NIC, modalias=MODALIAS, **more):
        values = {"address": address, "modalias": modalias, "state": "detached", "host-known": "true",
                  "host-driver": "mlx5_core", **{key.replace("_", "-"): value for key, value in more.items()}}
        self.write(f"run/vfio-variant/{address}", "[device]\n" + "".join(f"{k}={v}\n" for k, v in values.items()))

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as file:
            return file.read()

    def policy(self, rules, name="vfio-variant.xml"):
        """Writes a policy file whose first rule is in line 2. Returns its path for look()."""
        self.write(f"{LIBVIRT_DIR}/{name}".lstrip("/"), f"<vfio-variant>\n{rules}\n</vfio-variant>\n")
        return self.path(f"{LIBVIRT_DIR}/{name}".lstrip("/"))

    def policy_mount(self):
        """The shell command that mounts the policy for inside(). If the machine lacks the directory, mounts over the nearest
        parent that exists."""
        if not os.path.exists(self.path(LIBVIRT_DIR.lstrip("/"))):
            return ""
        at = LIBVIRT_DIR
        while not os.path.isdir(at):
            at = os.path.dirname(at)
        source = self.path(at.lstrip("/"))
        if at == LIBVIRT_DIR:
            return f" && mount --bind {source} {at}"
        return f" && mount -t overlay -o lowerdir={source}:{at} none {at}"

    def look(self, *arguments):
        """Runs a read-only command with --sysroot."""
        return run(COMMAND, arguments[0], "--sysroot", self.root, *arguments[1:])

    def json(self, command, *arguments, code=0):
        """The JSON output of a command with --sysroot."""
        return json_of(self.look(command, "--json", *arguments), command, code)

    def json_inside(self, command, *arguments, code=0):
        """The JSON output of a command that runs with the host as the running system."""
        return json_of(self.inside(COMMAND, command, "--json", *arguments), command, code)

    def entering(self, *program, read_only_run=False):
        """The command line that runs a program with the host as the running system."""
        script = f"mount --bind {self.path('sys')} /sys && mount --bind {self.path('run')} /run"
        script += self.policy_mount()
        if read_only_run:
            script += " && mount -t tmpfs -o ro none /run"
        script += ' && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *program]

    def inside(self, *program, stdin="", read_only_run=False):
        """Runs a program with the host as the running system."""
        return run(*self.entering(*program, read_only_run=read_only_run), stdin=stdin)


class Daemon:
    """Replaces vfio-variantd within its with block. Sends each client the answer (JSON or bytes), and closes the
    connection if hangs_up is set. If deaf is set, accepts no connections."""

    def __init__(self, host, answer=b"", hangs_up=True, deaf=False):
        self.path = host.path("run/vfio-variant/vfio-variantd.sock")
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.hangs_up, self.deaf = hangs_up, deaf
        self.callers = []

    def __enter__(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(0)
        if not self.deaf:
            threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:  # the with block ended
                return
            try:
                caller.sendall(self.answer)
            except OSError:  # the client closed the connection
                pass
            if self.hangs_up:
                caller.close()
            else:
                self.callers.append(caller)

    def __exit__(self, *_):
        """Keeps the socket file, as after a kill of the daemon."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for caller in self.callers:
            caller.close()


# Mounts, in its own mount namespace, a file system whose server never answers, and keeps its root open
DEAD_SERVER = """
import ctypes, os, signal, sys
options = f"fd={os.open('/dev/fuse', os.O_RDWR)},rootmode=40000,user_id=0,group_id=0"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.open(sys.argv[1], os.O_PATH)
print("open", flush=True)
signal.pause()
"""


class DeadServer:
    """Within its with block, a process has a directory of a dead file server open."""

    def __init__(self, folder):
        os.makedirs(folder)
        self.folder = folder

    def __enter__(self):
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", sys.executable, "-c", DEAD_SERVER,
                                         self.folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self.process.stdout.readline().strip()
        if said != "open":
            self.process.wait()
            raise Skip(f"no FUSE: {said}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def source_text(path):
    with open(os.path.join(os.path.dirname(SCHEMAS), path), encoding="utf-8") as file:
        return file.read()


def run(*program, stdin=""):
    return subprocess.run(program, input=stdin, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})


def durations(maximum, total, **counts):
    """A histogram as the daemon writes it; counts by the bound of the bucket in microseconds, as "up_to_100"."""
    bounds = [100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000, 30000000, None]
    return {"count": sum(counts.values()), "max_us": maximum, "sum_us": total,
            "buckets": [{"up_to_us": bound, "count": counts.get(f"up_to_{bound}", 0)} for bound in bounds]}


# vfio-variantd's answer
PHASES = ("wait_us", "find_us", "select_us", "module_us", "bind_us", "script_us", "state_us", "other_us", "reply_us")
STATUS = {
    "running": True, "version": run(COMMAND, "--version").stdout.split()[1], "pid": 123, "started": 1764000000000000,
    "gate": "on", "reason": None, "executables": ["libvirtd", "virtqemud", "virtchd"], "deadline_ms": 30000, "devices": 57,
    "monitor": "running", "policy_read": None,
    "opens": {"seen": 12, "passed": 4, "blocked": 8},
    "blocking": [{"device": "0000:02:00.0", "pid": 812, "executable": "libvirtd", "since_us": 1500}],
    "outcomes": {"detached": 3, "fell_back": 1, "reattached": 3, "left_alone": 1, "failed": 0, "refused": 0, "deadline": 0,
                 "crashed": 0},
    "blocked": durations(1600000, 1700000, up_to_3000=1, up_to_10000=4, up_to_30000=2, up_to_3000000=1),
    "own": durations(1100, 4000, up_to_300=3, up_to_1000=4, up_to_3000=1),
    "changes": [
        {"time": 1764000001500000, "device": "0000:02:00.0", "operation": "detach", "from": "e1000e", "to": "test_vfio_pci",
         "outcome": "detached", "why": "vfio_pci:v00008086d000010D3sv*sd*bc*sc*i*", "failed": None, "blocked_us": 9000,
         "own_us": 400, "phases": dict(zip(PHASES, (90, 80, 70, 0, 8500, 100, 60, 40, 60)))},
        {"time": 1764000000500000, "device": "0000:3b:00.1", "operation": "reattach", "from": None, "to": None,
         "outcome": "failed", "why": "the driver is gone", "failed": "mlx5_core at bind", "blocked_us": 30000000, "own_us": 70,
         "phases": dict.fromkeys(PHASES)},
    ],
}
QUIET = {**STATUS, "blocking": [], "blocked": durations(0, 0), "own": durations(0, 0), "changes": []}


def put_in_a_bridge(host):
    """Makes NIC's network interface part of a bridge."""
    os.makedirs(host.path(host.device("net/ens1")))
    host.link("sys/class/net/ens1", f"../../devices/pci0000:00/0000:00:01.0/{NIC}/net/ens1")
    host.link("sys/class/net/ens1/master", "../br0")


def needs_namespace():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with Host() as host:
        if host.inside("true").returncode != 0:
            raise Skip("mount namespaces are not allowed")


def needs_policy():
    needs_namespace()
    with Host() as host:
        host.policy("")
        if host.inside("true").returncode != 0:
            raise Skip("the policy's folder cannot be mounted")


def as_nobody():
    """The command prefix that runs a program without privileges."""
    if os.geteuid() == 0 and shutil.which("setpriv"):
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    elif os.geteuid() != 0:
        become = []
    else:
        raise Skip("no setpriv")
    if run(*become, COMMAND, "--version").returncode != 0:
        raise Skip("the build directory is not for all")
    return become


def exits(result, code, *texts):
    """Asserts the exit code, and that the output contains each of the texts."""
    printed = result.stdout + result.stderr
    assert result.returncode == code, f"exit {result.returncode}, not {code}: {printed[:2000]}"
    for text in texts:
        assert text in printed, f"{text!r} is not in: {printed[:2000]}"


def json_of(result, command, code=0):
    """The command's JSON output, validated against its schema."""
    exits(result, code)
    found = json.loads(result.stdout)
    valid(found, f"{'change' if command in ('bind', 'restore') else command}.schema.json")
    return found


def valid(document, schema):
    """Validates against a JSON Schema, if schema and validator are installed. Runs in this process, because starting one
    for each document is slow."""
    path = os.path.join(SCHEMAS, schema)
    if not os.path.exists(path):
        print(f"# no {schema}")
        return
    try:
        import jsonschema
    except ImportError:
        print("# no jsonschema")
        return
    with open(path, encoding="utf-8") as file:
        jsonschema.validate(document, json.load(file))
