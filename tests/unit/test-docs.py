#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the documentation: its commands can be run, its XML, JSON and other data is valid, and the messages that it
explains are in the sources.

Usage: test-docs.py FAKE-HOST VFIO-VARIANT HOOK DAEMON SCHEMAS SYSCONFDIR; prints TAP. (test-policy-files.py tests that the
library accepts the policies and requests.)
"""
import configparser
import errno
import functools
import glob
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import xml.etree.ElementTree

from docutils import nodes

from doc_blocks import CHECKED, blocks, markdown_pages, pages, read, tree
from programs import COMMAND, DAEMON, SCHEMAS, STATUS, Daemon, Host, exits, run
from tap import Skip, equal, run_tests

SOURCE = os.path.dirname(SCHEMAS)
LIBVIRT_SCHEMAS = "/usr/share/libvirt/schemas"

# The number of blocks per page marked as not checkable: diagrams, Prometheus queries, lines of modprobe.d
UNCHECKED = {
    "README.md": 1,
    "docs/design.rst": 4,
    "docs/guides/others.rst": 1,
    "docs/guides/xe.rst": 1,
    "docs/metrics.rst": 1,
    "docs/nodedev-hooks.rst": 2,
}

# Findings of shellcheck about parts of scripts only: cd that may fail, variables set elsewhere
OF_WHOLE_SCRIPTS = "SC2164,SC2154,SC2046"

# Known commands whose options are not checked
OTHER_COMMANDS = set("""
    apparmor_parser apt apt-get awk bash cat chmod chown cp cut depmod dmesg dnf dpkg dpkg-buildpackage echo env exit export
    find grep head ip jq ln logger ls lspci make meson mkdir modinfo modprobe msginit mstconfig mv ninja ps readlink restorecon rm rpm
    rpmbuild sed semodule sh sleep sort sudo tail tee test touch true udevadm uname update-initramfs xmllint
""".split())
HELPERS = set("bdf start_libvirt devices start_domain qemu_vfio_driver".split())  # of tests/host/lib.sh
DEVLINK = ["dev eswitch set", "dev eswitch show", "dev info", "port function set", "port show"]

ADDRESS = re.compile(r"^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f*]")

ALL = list(blocks(SOURCE))


def of_kind(*kinds):
    found = [block for block in ALL if block.kind in kinds]
    assert found, kinds
    return found


def for_each(found, check):
    """Runs check on each block, and reports every failure."""
    wrong = []
    for block in found:
        try:
            check(block)
        except AssertionError as error:
            wrong.append(f"{block.place}: {error}")
    assert not wrong, "\n" + "\n".join(wrong)


# --- kinds ---


def each_block_is_of_a_kind_that_is_checked():
    def check(block):
        assert block.kind in CHECKED, f"what is {block.kind!r}? It can be one of {', '.join(sorted(CHECKED))}"

    for_each(ALL, check)


def blocks_that_are_not_checked_do_not_become_more():
    found = {}
    for block in of_kind("text"):
        found[block.path] = found.get(block.path, 0) + 1
    equal(found, UNCHECKED)


# --- commands ---


def shell_lines(block):
    """The commands of a block, each in one line, without prompts and output."""
    lines = block.text.replace("\\\n", " ").split("\n")
    if block.kind == "console":
        lines = [match[1] for line in lines if (match := re.match(r"(?:[\w:/]*# |\$ )(.*)", line))]
    return [line for line in lines if line.strip()]


def simple_commands(line):
    """The words of each command in a line, without assignments and redirections. Skips commands in $( )."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#" if re.search(r"\s#\s|^#", line) else ""
    words = []
    tokens = iter(lexer)
    for token in tokens:
        if re.fullmatch(r"\d*[<>]+&?", token):
            next(tokens)
        elif re.fullmatch(r"[;&|()]+", token):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def commands(block):
    for line in shell_lines(block):
        for words in simple_commands(line):
            while words and re.match(r"[A-Za-z_]\w*=", words[0]):
                words = words[1:]
            if words:
                yield words


def shell_blocks_are_shell():
    with tempfile.TemporaryDirectory() as folder:
        for block in of_kind("sh", "console", "script"):
            script = block.text if block.kind == "script" else "\n".join(shell_lines(block))
            with open(os.path.join(folder, block.place.replace("/", "-")), "w", encoding="utf-8") as file:
                file.write(script + "\n")
        paths = sorted(glob.glob(f"{folder}/*"))
        for path in paths:
            exits(run("bash", "-n", path), 0)
        if shutil.which("shellcheck"):
            exits(run("shellcheck", "--shell=bash", "--severity=warning", f"--exclude={OF_WHOLE_SCRIPTS}", *paths), 0)


@functools.lru_cache(maxsize=None)
def our_command(*words):
    """Checks that the options exist, and runs read-only commands on a fake host."""
    if words[0] in ("bind", "restore", "probe") or "--watch" in words:
        exits(run(COMMAND, *words, "--help"), 0, "Usage:")
        words = ("match", *(word for word in words[1:] if ADDRESS.match(word)))
    if words in (("match",), ("--help",), ("--version",)):
        return
    if words[0] == "policy" and not words[-1].startswith("--") and len(words) > 1:
        result = run(COMMAND, *words)
    else:
        with Host() as host:
            result = host.look(*words)
    assert result.returncode in (0, 1, 3), f"exit {result.returncode}: {result.stderr}"


@functools.lru_cache(maxsize=None)
def help_of(*words):
    if not shutil.which(words[0]):
        return None
    result = run(*words)
    return result.stdout + result.stderr if result.returncode == 0 else ""


def long_options(words):
    return [word.split("=")[0] for word in words if word.startswith("--")]


def known_options(words, text):
    for option in long_options(words):
        assert option in text, f"{words[0]} has no {option}"


def virsh(words):
    name = next((word for word in words[1:] if not word.startswith("-")), None)
    text = help_of("virsh", "help", name) if name else help_of("virsh", "--help")
    if text is None:
        return
    assert text, f"virsh has no {name}"
    known_options(words, text)


def of_virt_manager(words):
    text = help_of(words[0], "--help")
    if text is not None:
        known_options(words, text)


def devlink(words):
    if words[1:] == ["-V"]:
        return
    assert any(" ".join(words[1:]).startswith(known) for known in DEVLINK), f"devlink cannot {words[1:]}"


def of_systemd(words):
    text = help_of(words[0], "--help")
    if text is None:
        return
    known_options(words, text)
    if words[0] == "systemctl":
        verb = next(word for word in words[1:] if not word.startswith("-"))
        assert re.search(rf"^ +{verb} ", text, re.MULTILINE), f"systemctl has no {verb}"


def front_door(words):
    text = help_of(os.path.join(SOURCE, "run"), "help")
    name = words[1]
    assert re.search(rf"^  {name}( |$)", text, re.MULTILINE) or name in COMMANDS_TO_COME, f"./run has no {name}"


COMMANDS_TO_COME = {"package"}  # of ./run


def built_here(words):
    path = words[0]
    assert path.startswith("build/") or os.path.exists(os.path.join(SOURCE, path)), f"there is no {path}"


KNOWN = {
    "./run": front_door,
    "devlink": devlink,
    "journalctl": of_systemd,
    "systemctl": of_systemd,
    "systemd-analyze": of_systemd,
    "vfio-variant": lambda words: our_command(*words[1:]),
    "virsh": virsh,
    "virt-install": of_virt_manager,
    "virt-xml": of_virt_manager,
}


def each_command_is_one():
    def check(block):
        for words in commands(block):
            if words[0] in KNOWN:
                KNOWN[words[0]](words)
            elif words[0].startswith(("tests/", "build/")):
                built_here(words)
            else:
                assert words[0].startswith("/") or words[0] in OTHER_COMMANDS | HELPERS or re.match(r"\w+=\$", words[0]), (
                    f"what is {words[0]}? See OTHER_COMMANDS")

    for_each(of_kind("sh", "console"), check)


def options_of_the_daemon_are_its_own():
    def check(block):
        options = re.fullmatch(r'OPTIONS="(.*)"', block.text)
        assert options, block.text
        exits(run(DAEMON, *options[1].split(), "--help"), 0, "Usage:")

    for_each(of_kind("environment"), check)


def what_is_shown_has_the_form_of_today():
    """Compares table headings and counter names in example output with the real ones."""
    with Host() as host, Daemon(host, STATUS):
        columns = host.look("list").stdout.split("\n", 1)[0].split()
        outcomes = re.search(r"^outcomes .*$", host.look("status").stdout, re.MULTILINE)[0]
    names = re.findall(r"[a-z]+[a-z ]*", outcomes)

    def check(block):
        for line in block.text.splitlines():
            if re.match(r"DEVICE .*HOST", line):
                equal(line.split(), columns)
            if line.startswith("outcomes "):
                equal(re.findall(r"[a-z]+[a-z ]*", line), names)

    for_each(of_kind("console"), check)


# --- data ---


def valid_by(text, schema):
    result = run("xmllint", "--noout", "--nonet", "--relaxng", schema, "-", stdin=text)
    assert result.returncode == 0, result.stderr.replace("\n", "; ")


class LibvirtSchema:
    """Within its with block, the path of a RELAX NG schema for one element of libvirt's XML."""

    def __init__(self, element):
        self.element = element

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".rng")
        self.file.write(f"""<grammar xmlns='http://relaxng.org/ns/structure/1.0'>
                            <include href='{LIBVIRT_SCHEMAS}/domaincommon.rng'/>
                            <start><ref name='{self.element}'/></start></grammar>""")
        self.file.flush()
        return self.file.name

    def __exit__(self, *_):
        self.file.close()


MODEL = ("<hostdev mode='subsystem' type='pci'><driver model='x'/>"
         "<source><address domain='0' bus='1' slot='0' function='0'/></source></hostdev>")


def valid_by_libvirt(text, element):
    if not os.path.isdir(LIBVIRT_SCHEMAS):
        print("# no schemas of libvirt's")
        return
    with LibvirtSchema("hostdev" if element == "hostdev" else "interface") as schema:
        if run("xmllint", "--noout", "--relaxng", schema, "-", stdin=MODEL).returncode != 0:
            text = re.sub(r"<driver model='[^']*'/>", "", text)  # not in the schema before libvirt 10.0
        valid_by(text, schema)


def xml_is_valid():
    if not shutil.which("xmllint"):
        raise Skip("no xmllint")

    def check(block):
        root = xml.etree.ElementTree.fromstring(re.sub(r"^(<metadata)>", r"\1>", block.text))
        ours = {"vfio-variant": "vfio-variant.rng", "device": "nodedev-hook.rng"}
        if root.tag in ours:
            valid_by(block.text, os.path.join(SCHEMAS, ours[root.tag]))
        elif root.tag in ("hostdev", "interface"):
            valid_by_libvirt(block.text, root.tag)
        else:
            assert root.tag in ("domain", "metadata"), f"no schema for <{root.tag}>"
            for kind in ("hostdev", "interface"):
                for device in root.iter(kind):
                    valid_by_libvirt(xml.etree.ElementTree.tostring(device, encoding="unicode"), kind)

    for_each(of_kind("xml"), check)


def json_is_valid():
    """Valid by any of the schemas, because the block does not name its schema."""
    def check(block):
        document = json.loads(block.text)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(document, file)
            file.flush()
            results = [run(sys.executable, "-W", "ignore", "-m", "jsonschema", "-i", file.name, schema)
                       for schema in glob.glob(f"{SCHEMAS}/*.schema.json")]
        if any("No module named" in result.stderr for result in results):
            raise Skip("no jsonschema")
        assert any(result.returncode == 0 for result in results), "valid by no schema"

    for_each(of_kind("json"), check)


def key_files_can_be_read():
    def check(block):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(block.text)
        except configparser.Error as error:
            raise AssertionError(error) from error

    for_each(of_kind("keyfile", "ini"), check)


def rules_of_udev_have_its_form():
    part = r'[A-Z_]+(?:\{[^}]+\})?(?:==|!=|\+=|-=|:=|=)"[^"]*"'

    def check(block):
        for line in block.text.replace("\\\n", " ").splitlines():
            assert not line or line.startswith("#") or re.fullmatch(rf"{part}(?:\s*,\s*{part})*\s*", line), line

    for_each([block for block in ALL if block.kind == "udev"], check)


def rules_of_alerts_name_metrics_that_there_are():
    try:
        import yaml
    except ImportError as error:
        raise Skip("no yaml") from error
    with Host() as host, Daemon(host, STATUS):
        text = host.look("metrics").stdout
    families = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)

    def check(block):
        rules = [rule for group in yaml.safe_load(block.text)["groups"] for rule in group["rules"]]
        assert rules
        for rule in rules:
            for name in re.findall(r"vfio_variant_\w+", rule["expr"]):
                assert re.sub(r"_(total|bucket|count|sum|info)$", "", name) in families, name

    for_each(of_kind("yaml"), check)


# --- messages ---

# Replaces a variable part of a message
VARIES = "\0"
CONVERSION = r"%[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:hh?|ll?|[zjt])?[a-zA-Z]"


@functools.lru_cache(maxsize=None)
def literals():
    """All string literals of the sources, one per line, with VARIES for printf conversions."""
    text = ""
    for path in glob.glob(f"{SOURCE}/plugin/**/*.c", recursive=True) + glob.glob(f"{SOURCE}/hooks/*.c"):
        source = read("", path)
        # adjacent literals are one string, also with a format macro between them
        for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:\w+\s*)?"(?:[^"\\\n]|\\.)*")*', source):
            parts = re.findall(r'"((?:[^"\\\n]|\\.)*)"', match[0])
            text += "".join(parts).replace('\\"', '"').replace("\\n", " ") + "\n"
    for path in glob.glob(f"{SOURCE}/hooks/nodedev/*"):
        text += re.sub(r"\$(?:\w+|\{[^}]*\})", VARIES, read("", path))
    return re.sub(CONVERSION, VARIES, text)


def is_said(fragment):
    """Whether the sources contain the fragment, in one piece or in pieces that end with a punctuation mark."""
    fragment = fragment.strip(" .,;:()'\"")
    if not re.search("[A-Za-z]", fragment) or fragment in literals() or fragment in GLIB:
        return True
    return any(is_said(fragment[:cut.start()]) and is_said(fragment[cut.end():])
               for cut in re.finditer(r"[:;,] |(?<=\w) \(|\) ", fragment))


# Values of a %s in a message: system errors, steps, rules, numbers, paths
GIVEN = re.compile("|".join(
    [re.escape(os.strerror(number)) for number in sorted(errno.errorcode)]
    + [r"(?<=failed at )\w+", rf"policy {VARIES}:{VARIES}", r"\b\d+\b", r"(?<!\w)/[\w/.-]+"]))
GLIB = ["Failed to open file"]


def check_message(message):
    message = GIVEN.sub(VARIES, message)
    fragments = [part for part in re.split(rf"{VARIES}|\.\.\.|…", message) if part.strip()]
    for fragment in fragments:
        assert is_said(fragment), f"no source says {fragment.strip()!r} of {message.replace(VARIES, '*')!r}"
    assert max(map(len, fragments), default=0) >= 8, f"{message!r} could be anything"


OURS = re.compile(r"DIAGNOSTICS|vfio-variant.*|Node-device hooks")


def messages(path):
    """The terms of the definition lists that explain our messages. Variable parts are emphasised."""
    for section in tree(SOURCE, path).findall(nodes.section):
        if not OURS.fullmatch(section.next_node(nodes.title).astext()):
            continue
        for listed in section.children:
            if isinstance(listed, nodes.definition_list):
                for term in listed.findall(nodes.term):
                    text = "".join(VARIES if isinstance(part, nodes.emphasis) else part.astext() for part in term.children)
                    yield re.sub(r" \((?:also at|the start is refused).*\)$", "", text)


def messages_that_are_explained_are_in_the_sources():
    wrong, count = [], 0
    for path in ["docs/troubleshooting.rst", *(page for page in pages(SOURCE) if page.startswith("docs/man/"))]:
        for message in messages(path):
            count += 1
            try:
                check_message(message)
            except AssertionError as error:
                wrong.append(f"{path}: {error}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert count > 60, count


# Variable parts of example log lines: addresses, aliases, drivers and so on, and durations
EXAMPLES = re.compile(r"\b(?:[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|vfio_pci:\S+|(?:test_)?vfio[-_]pci|e1000e"
                      r"|virtio-pci|guest|\d[\d.]*|N|modules\.alias|no licence for this card|bind|Input/output error)(?![\w/])"
                      r"|/\S+|\([^()]*\)\s*$")


def lines_of_logs_are_in_the_sources():
    def check(block):
        for line in block.text.splitlines():
            in_syslog = re.match(r"vfio-variant\[\d+\]: ", line)
            if block.kind == "log" or in_syslog:
                line = GIVEN.sub(VARIES, EXAMPLES.sub(VARIES, line[in_syslog.end() if in_syslog else 0:]))
                for fragment in line.split(VARIES):
                    assert len(fragment.split()) < 2 or is_said(fragment), f"no source says {fragment!r}"

    for_each(of_kind("log", "console"), check)


# --- pages ---

PAGES_TO_COME = {"install.rst"}


def pages_that_are_named_exist():
    """*gate.rst* becomes a link only if that page exists. Markdown pages use explicit links."""
    wrong = [f"{path}: {link}" for path in markdown_pages(SOURCE)
             for link in re.findall(r"\]\(([^)#:]+)\)", read(SOURCE, path))
             if not os.path.exists(os.path.join(SOURCE, link))]
    for path in pages(SOURCE):
        for node in tree(SOURCE, path).findall(nodes.emphasis):
            name = node.astext()
            if re.fullmatch(r"[\w/.-]+\.rst", name) and name not in PAGES_TO_COME:
                if not os.path.exists(os.path.join(SOURCE, "docs", re.sub("^docs/", "", name))):
                    wrong.append(f"{path}: {name}")
    assert not wrong, wrong


TESTS = [
    each_block_is_of_a_kind_that_is_checked, blocks_that_are_not_checked_do_not_become_more, shell_blocks_are_shell,
    each_command_is_one, options_of_the_daemon_are_its_own, what_is_shown_has_the_form_of_today, xml_is_valid, json_is_valid,
    key_files_can_be_read, rules_of_udev_have_its_form, rules_of_alerts_name_metrics_that_there_are,
    messages_that_are_explained_are_in_the_sources, lines_of_logs_are_in_the_sources, pages_that_are_named_exist,
]

run_tests(TESTS)
