#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of translations, with one that puts each message in «marks»: user messages are translated, machine-readable output
and the log are not, and no message is unmarked in the sources.

Usage: test-translation.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR LOCALEDIR; prints TAP. Runs the command in a
mount namespace in which the translation is the only installed one.
"""
import functools
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from programs import COMMAND, DAEMON, HOOK, NIC, SCHEMAS, Host, exits, needs_namespace, run
from tap import Skip, equal, run_tests

SOURCE = os.path.dirname(SCHEMAS)
LOCALE_DIR = sys.argv[7]
COMMANDS = re.findall(r"^  ([a-z]+) ", run(COMMAND, "--help").stdout, re.MULTILINE)
# The keywords of meson's preset "glib"
KEYWORDS = ["_", "N_", "C_:1c,2", "NC_:1c,2", "g_dcgettext:2", "g_dngettext:2,3", "g_dpgettext2:2c,3"]


def sources():
    """Path and text of each source file that may have user messages."""
    for path in sorted(glob.glob(os.path.join(SOURCE, "plugin/*/*.[ch]"))):
        if path.split("/")[-2] in ("daemon", "monitor"):
            continue
        with open(path, encoding="utf-8") as file:
            yield os.path.relpath(path, SOURCE), file.read()


@functools.lru_cache(maxsize=None)
def translation():
    """A directory with the translation, which exists until the process exits."""
    if not all(shutil.which(tool) for tool in ("xgettext", "msginit", "msgfilter", "msgfmt")):
        raise Skip("no gettext")
    if not os.path.exists("/usr/share/i18n/locales/en_US"):
        raise Skip("no sources of locales")
    if not os.path.isdir(LOCALE_DIR):
        raise Skip(f"no {LOCALE_DIR}")
    folder = tempfile.TemporaryDirectory()
    template, plain, marked = (os.path.join(folder.name, name) for name in ("pot", "plain.po", "marked.po"))
    with open(os.path.join(SOURCE, "po/POTFILES.in"), encoding="utf-8") as file:
        listed = [line.strip() for line in file if not line.startswith("#")]
    messages = os.path.join(folder.name, "xx/LC_MESSAGES/vfio-variant.mo")
    os.makedirs(os.path.dirname(messages))
    for program in (
            ["xgettext", "--from-code=UTF-8", f"--directory={SOURCE}", f"--output={template}", "--flag=_:1:pass-c-format",
             "--flag=N_:1:pass-c-format", *(f"--keyword={word}" for word in KEYWORDS), *listed],
            ["msginit", "--no-translator", "--locale=en_US.UTF-8", f"--input={template}", f"--output-file={plain}"],
            ["sed", "-i", "s/charset=ASCII/charset=UTF-8/", plain],
            ["msgfilter", "--keep-header", f"--input={plain}", f"--output-file={marked}", "sed", "-e", "1s/^/«/", "-e",
             "$s/$/»/"],
            # glibc translates nothing in the locales C and C.UTF-8
            ["localedef", "--no-archive", "-i", "en_US", "-f", "UTF-8", os.path.join(folder.name, "en_US.UTF-8")],
            ["msgfmt", "--check-format", f"--output-file={messages}", marked]):
        result = subprocess.run(program, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
        exits(result, 0)
    return folder


def translated(*program):
    """Runs a program in the translation's language."""
    script = f'mount --bind {translation().name} {LOCALE_DIR} && exec env "$@"'
    language = [f"LOCPATH={translation().name}", "LC_ALL=en_US.UTF-8", "LANGUAGE=xx"]
    return run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *language, *program)


def untranslated(text, *, but=()):
    """The lines with words outside of marks."""
    left = re.sub(r"«[^»]*»", "", re.sub(r"«[^«»]*»", "", text))
    return [line for line in left.splitlines() if re.search(r"[a-z]{2,} [a-z]{2,}", line) and not any(
        re.search(pattern, line) for pattern in but)]


def help_is_translated():
    needs_namespace()
    result = translated(COMMAND, "--help")
    exits(result, 0, "«Usage: vfio-variant COMMAND", *(f"  {name:<9} «" for name in COMMANDS))
    equal(untranslated(result.stdout), [])
    for name in COMMANDS:
        result = translated(COMMAND, name, "--help")
        exits(result, 0, f"vfio-variant {name}")
        equal(untranslated(result.stdout, but=[r"^  vfio-variant "]), [])
        for line in re.findall(r"^  (?:-., )?--.*", result.stdout, re.MULTILINE):
            assert "«" in line, line


def errors_are_translated():
    needs_namespace()
    usage = {"list": ["--output", "X"], "match": [], "probe": [], "check": [], "bind": [], "restore": [],
             "policy": ["--sysroot", "/", "x"], "status": ["x"], "metrics": ["--format", "x"]}
    equal(sorted(usage), sorted(COMMANDS))
    for name, arguments in usage.items():
        result = translated(COMMAND, name, *arguments)
        exits(result, 2, "«", "vfio-variant")
        equal(untranslated(result.stderr), [])
    with Host() as host:
        for name in ("list", "match", "check"):
            exits(translated(COMMAND, name, "--sysroot", host.root, "0000:ff:00.0"), 3, "«0000:ff:00.0: no such PCI device")
        path = host.policy("<device/>")
        result = translated(COMMAND, "policy", path)
        exits(result, 1, "«", "<device> selects no devices")
        equal(untranslated(result.stderr), [])
    exits(translated(COMMAND, "lst"), 2, "«vfio-variant: unknown command 'lst'; did you mean 'list'?")


def findings_are_translated():
    needs_namespace()
    with Host() as host:
        os.unlink(host.path(f"sys/devices/pci0000:00/0000:00:01.0/{NIC}/iommu_group"))
        result = translated(COMMAND, "check", "--sysroot", host.root, NIC)
        exits(result, 1, "«problem» ", "«")
        equal(untranslated(result.stdout), [])
        result = translated(COMMAND, "status", "--sysroot", host.root)
        equal(untranslated(result.stdout, but=[r"-> (systemctl|ln -s)", r"/hooks/qemu\.d/"]), [])


def what_machines_read_is_not():
    needs_namespace()
    with Host() as host:
        host.write("etc/modprobe.d/test.conf", "blacklist special_vfio_pci\n")
        host.policy("<device/>")
        for arguments in (["list", "--all"], ["match", NIC], ["check", NIC], ["status"], ["policy"]):
            command = [COMMAND, arguments[0], "--json", "--sysroot", host.root, *arguments[1:]]
            here, there = run(*command), translated(*command)
            equal((there.stdout, there.stderr, there.returncode), (here.stdout, here.stderr, here.returncode))
        command = [COMMAND, "metrics", "--sysroot", host.root]
        equal(translated(*command).stdout, run(*command).stdout)


def what_is_logged_is_not():
    """A rebind is logged, so its messages are not translated."""
    needs_namespace()
    with Host() as host:
        result = translated(*host.entering(COMMAND, "bind", NIC))
        exits(result, 1, "the kernel accepted the bind")
        assert "«" not in result.stdout + result.stderr, result.stderr
    for program in ([DAEMON, "--deadline", "0"], [DAEMON, "--help"], [HOOK], [HOOK, "vm1", "prepare", "begin", "-"]):
        result = translated(*program)
        assert "«" not in result.stdout + result.stderr, result.stderr


def all_files_are_listed():
    marks = re.compile(r"\b(?:N?_|g_dngettext) \(")
    with open(os.path.join(SOURCE, "po/POTFILES.in"), encoding="utf-8") as file:
        equal([line.strip() for line in file if not line.startswith("#")],
              [path for path, text in sources() if marks.search(text)])


# --- unmarked messages ---

LITERAL = r'"(?:[^"\\\n]|\\.)*"'
# Literals with words that are not user messages: arguments of these functions, and whole literals.
NOT_FOR_USERS = {"g_debug", "g_warning", "g_warning_once", "g_message", "g_log_structured", "strstr", "sscanf", "vv_json_string", "g_dngettext"}
NOT_WORDS = re.compile(
    r"(%s )*%s$|echo |grep |modprobe |mkdir -p |driver=\$|rm |depmod |systemctl (enable|reload)|ln -s |virsh edit|\${EDITOR|restorecon |vfio-variant (bind|probe|"
    r"policy|restore) %s( &&[^,]*)?$|vfio-variant(:? %s)?\\?n?$|vfio-variant $|alias $|For the tests$|%s \(pid %d\)$| \(deleted\)$|open for writing|version |\\nbtime |"
    r"(blocking|change|file) %[ud]$|%s(/%s)?: (mkdir|open|flock|connect)$|policy %s:%u$|~Module |vfio-variant: %s\\n$|"
    r"built with $|kernel (%s|lockdown)|domain %s$|libvirt %u|the answer of vfio-variantd$|DEVICE\.\.\. \| |%s%s on %s$|<%s %s='%s'>")
# Machine-readable output and log messages
UNTRANSLATED_FILES = ("plugin/bind/metrics.c", "plugin/bind/nodedev-xml.c", "plugin/bind/change.c", "plugin/domain/domain-life.c")


def enclosing_call(text, at):
    """The name of the function that has the text at this position as an argument."""
    depth = 0
    for i in range(at - 1, -1, -1):
        if text[i] == ")":
            depth += 1
        elif text[i] == "(" and depth == 0:
            return re.search(r"(\w*)\s*$", text[:i]).group(1)
        elif text[i] == "(":
            depth -= 1
        elif text[i] in ";{}" and depth == 0:
            return ""
    return ""


def forgotten(text):
    """The phrases in a source file that are not marked for translation."""
    blank = re.sub(r"/\*.*?\*/", lambda comment: re.sub(r"[^\n]", " ", comment.group()), text, flags=re.DOTALL)
    hidden = re.sub(LITERAL, lambda literal: '"' + "x" * (len(literal.group()) - 2) + '"', blank)
    for found in re.finditer(rf"{LITERAL}(?:\s*{LITERAL})*", blank):
        phrase = "".join(part[1:-1] for part in re.findall(LITERAL, found.group()))
        words = re.sub(r"%[-0-9.*' ]*l*[a-zA-Z]", "", phrase)
        if " " in phrase and re.search(r"[A-Za-z]{2,}", words) and not NOT_WORDS.match(phrase):
            call = enclosing_call(hidden, found.start())
            if call not in NOT_FOR_USERS and not re.fullmatch(r"N?_", call):
                yield phrase


def no_message_was_forgotten():
    equal(list(forgotten('f (_ ("is marked"), N_ ("so is " "this"), "%s: %s", "this is not"); /* "nor this" */')), ["this is not"])
    equal({path: phrases for path, phrases in ((path, list(forgotten(text))) for path, text in sources()
                                               if path not in UNTRANSLATED_FILES) if phrases}, {})


run_tests([
    help_is_translated, errors_are_translated, findings_are_translated, what_machines_read_is_not, what_is_logged_is_not,
    all_files_are_listed, no_message_was_forgotten,
])
