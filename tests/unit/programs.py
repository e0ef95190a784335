# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the programs share: a fake host on disk, running a program on it, and what is expected of its output.

Reads the arguments of the test: FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from tap import Skip

FAKE_HOST, COMMAND, HOOK, DAEMON, SCHEMAS = sys.argv[1:6]
NOBODY = 65534


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

    def look(self, *arguments):
        """A read-only command below the fake host's root."""
        return run(COMMAND, arguments[0], "--sysroot", self.root, *arguments[1:])

    def inside(self, *program, stdin="", read_only_run=False):
        """A program for which this is the running system."""
        script = f"mount --bind {self.path('sys')} /sys && mount --bind {self.path('run')} /run"
        if read_only_run:
            script += " && mount -t tmpfs -o ro none /run"
        script += ' && exec "$@"'
        return run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *program, stdin=stdin)


def run(*program, stdin=""):
    return subprocess.run(program, input=stdin, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})


def needs_namespace():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with Host() as host:
        if host.inside("true").returncode != 0:
            raise Skip("mount namespaces are not allowed")


def as_nobody():
    """What to put before a program so that it runs without privilege."""
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
    """The exit code, and every one of the texts somewhere in what it printed."""
    printed = result.stdout + result.stderr
    assert result.returncode == code, f"exit {result.returncode}, not {code}: {printed[:2000]}"
    for text in texts:
        assert text in printed, f"{text!r} is not in: {printed[:2000]}"


def valid(document, schema):
    """Validates against a JSON Schema when it and a validator are there."""
    path = os.path.join(SCHEMAS, schema)
    if not os.path.exists(path):
        print(f"# no {schema}")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        result = run(sys.executable, "-W", "ignore", "-m", "jsonschema", "-i", file.name, path)
    if "No module named" in result.stderr:
        print("# no jsonschema")
        return
    exits(result, 0)
