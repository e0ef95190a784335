#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the completion in bash and zsh, on a terminal, with the built command and the devices of a fake host.

Usage: test-completion.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP.
"""
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time

from programs import COMMAND, DAEMON, SCHEMAS, run
from tap import Skip, equal, run_tests

SOURCE = os.path.join(os.path.dirname(SCHEMAS), "packaging/completion")
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"
COMMANDS = re.findall(r"^  ([a-z]+) ", run(COMMAND, "--help").stdout, re.MULTILINE)
FIRST, SECOND = "0000:3b:00.1", "0000:3b:00.2"
# The shells run this script to list devices: its device names do not depend on the machine's hardware database.
DEVICES = f"""#!/bin/sh
case "$*" in
  'list --all --noheadings --output DEVICE,NAME')
    printf '%s\\n' '{FIRST} Mellanox ConnectX VF' '{SECOND} -' '0000:04:00.0 Some disk' ;;
  *) exec "{COMMAND}" "$@" ;;
esac
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\x07\r]")


class Shell:
    """An interactive shell on a terminal of its own. It prints results after a mark."""

    def __init__(self, program, start):
        self.directory = tempfile.TemporaryDirectory()
        path = os.path.join(self.directory.name, "vfio-variant")
        with open(path, "w", encoding="utf-8") as file:
            file.write(DEVICES)
        os.chmod(path, 0o755)
        environment = {**os.environ, "PATH": f"{self.directory.name}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ ",
                       "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null", "HOME": self.directory.name}
        self.terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 1000, 200, 0, 0))
        self.process = subprocess.Popen(program, stdin=end, stdout=end, stderr=end, env=environment, close_fds=True,
                                        start_new_session=True)
        os.close(end)
        self.type(start + "\necho rea''dy\n")
        self.read("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        self.directory.cleanup()

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def read(self, until, deadline=20):
        """Reads the output up to a pattern and the prompt after it."""
        text, deadline = "", time.monotonic() + deadline
        while not re.search(until + r"\n\$ $", ESCAPES.sub("", text)):
            ready = select.select([self.terminal], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"no {until!r} in {text!r}"
            text += os.read(self.terminal, 65536).decode(errors="replace")
        return ESCAPES.sub("", text)

    def completed(self, line):
        """The command line after the tab key, as the shell prints it."""
        self.type(line + "\t")
        self.type("\x01echo '<\x05>'\n")
        found = re.search(r"\n<(.*)>", self.read(r"\n<.*>"))
        return found.group(1).rstrip()  # zsh removes the space that it added

    def listed(self, line):
        """The candidates listed below the command line."""
        self.type(line + self.LIST)
        self.type("\x15echo en''d\n")
        return self.read(r"\nend").partition("\n")[2]


class Bash(Shell):
    LIST = "\t\t"

    def __init__(self):
        if not os.path.exists(BASH_COMPLETION):
            raise Skip("no bash-completion")
        super().__init__(["bash", "--norc", "--noprofile", "-i"],
                         f"bind 'set completion-query-items 0'; bind 'set page-completions off'; . {BASH_COMPLETION}; "
                         f". {SOURCE}/vfio-variant; . {SOURCE}/vfio-variantd")


class Zsh(Shell):
    LIST = "\x04"

    def __init__(self):
        if not shutil.which("zsh"):
            raise Skip("no zsh")
        super().__init__(["zsh", "-f", "-i"],
                         f"PS1='$ '; unsetopt prompt_cr prompt_sp zle_bracketed_paste 2>/dev/null; bindkey -e; "
                         f"fpath=({SOURCE} $fpath); autoload -U compinit; compinit -u -D; LISTMAX=0; "
                         "zstyle ':completion:*' list-prompt ''; zstyle ':completion:*' menu no")


def options_of(program, *arguments):
    helped = re.findall(r"^  (?:-., )?(--[a-z-]+)", run(program, *arguments, "--help").stdout, re.MULTILINE)
    return sorted({*helped, "--version"} if arguments == () else helped)


def completes_options(shell):
    """Exactly the options of --help."""
    with shell() as sh:
        for command in COMMANDS:
            offered = sh.listed(f"vfio-variant {command} --")
            equal(sorted(set(re.findall(r"(?<![^\s])--[a-z][a-z-]*", offered))), options_of(COMMAND, command))
        offered = sh.listed("vfio-variantd --")
        equal(sorted(set(re.findall(r"(?<![^\s])--[a-z][a-z-]*", offered))), options_of(DAEMON))


def bash_completes_options():
    completes_options(Bash)


def zsh_completes_options():
    completes_options(Zsh)


def completes_commands(shell):
    with shell() as sh:
        offered = sh.listed("vfio-variant ")
        for command in COMMANDS:
            assert re.search(rf"(?<!\S){command}\s", offered), f"{command} is not in {offered}"
        equal(sh.completed("vfio-variant res"), "vfio-variant restore")
        equal(sh.completed("vfio-variant help metr"), "vfio-variant help metrics")


def bash_completes_commands():
    completes_commands(Bash)


def zsh_completes_commands():
    completes_commands(Zsh)


def completes_devices(shell):
    """Completes addresses with or without the domain, and lists device names."""
    with shell() as sh:
        for command in ("list", "match", "probe", "check", "bind", "restore"):
            equal(sh.completed(f"vfio-variant {command} 0000:04"), f"vfio-variant {command} 0000:04:00.0")
        equal(sh.completed("vfio-variant bind 3"), "vfio-variant bind 3")
        equal(sh.completed("vfio-variant bind 0000:3"), "vfio-variant bind 0000:3b:00.")
        equal(sh.completed("vfio-variant bind 04:"), "vfio-variant bind 04:00.0")
        equal(sh.completed("vfio-variant bind 0000:04:00.0 0000:3b:00.1"), f"vfio-variant bind 0000:04:00.0 {FIRST}")
        offered = sh.listed("vfio-variant bind 0000:3b:00.")
        assert re.search(r"00\.1 +-- Mellanox ConnectX VF", offered), offered
        assert not re.search(r"00\.2 *-- *-", offered), offered


def bash_completes_devices():
    completes_devices(Bash)


def zsh_completes_devices():
    completes_devices(Zsh)


def completes_values(shell):
    with shell() as sh:
        equal(sh.completed("vfio-variant list --color=ne"), "vfio-variant list --color=never")
        equal(sh.completed("vfio-variant metrics --format=pro"), "vfio-variant metrics --format=prometheus")
        equal(sh.completed("vfio-variant list -o DEVICE,MIG"), "vfio-variant list -o DEVICE,MIGRATABLE")
        equal(sh.completed("vfio-variantd --serve virtq"), "vfio-variantd --serve virtqemud")


def bash_completes_values():
    completes_values(Bash)


def zsh_completes_values():
    completes_values(Zsh)


def completes_columns(shell):
    columns = re.search(r"these columns: ([A-Z, ]+)", run(COMMAND, "list", "--help").stdout).group(1).split(", ")
    with shell() as sh:
        offered = sh.listed("vfio-variant list --output ")
        equal(sorted(re.findall(r"\b[A-Z]{2,}\b", offered)), sorted(columns))


def bash_completes_columns():
    completes_columns(Bash)


def zsh_completes_columns():
    completes_columns(Zsh)


run_tests([
    bash_completes_options, zsh_completes_options, bash_completes_commands, zsh_completes_commands, bash_completes_devices,
    zsh_completes_devices, bash_completes_values, zsh_completes_values, bash_completes_columns, zsh_completes_columns,
])
