# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds the literal blocks of the documentation and their kinds.

The kind of a block is the language of its code-block directive, or is derived from its text. Blocks that cannot be
checked are marked ".. code-block:: text", or in Markdown "<!-- text -->" above the block.
"""
import functools
import glob
import os
import re
import textwrap

import docutils.core
from docutils import nodes
from docutils.parsers.rst import Directive, directives, roles

# Kind and pattern of the block's beginning; the first match counts
LOOKS = [
    ("xml", r"<"),
    ("keyfile", r"\[\w+( \d+)?\]\n"),
    ("json", r"[{\[]"),
    ("console", r"(?:[\w:/]*# |\$ )"),
    ("script", r"#!"),
    ("udev", r"[A-Z]+(?:\{[^}]*\})?[=!]="),
    ("environment", r"[A-Z]+=\""),
    ("log", r"(?:vfio-variant\[\d+\]: )?(?:[0-9a-f]{4}:[0-9a-f]{2}:\S+ |gate, |hook /|domain )"),
]
CHECKED = {kind for kind, _ in LOOKS} | {"ini", "sh", "text", "yaml"}


class Nothing(Directive):
    """Replaces Sphinx's directives and ours."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {name: directives.unchanged for name in ("caption", "glob", "hidden", "maxdepth", "start-after",
                                                           "end-before")}

    def run(self):
        return []


for _name in ("include", "schemas", "toctree"):
    directives.register_directive(_name, Nothing)
for _name in ("doc", "download", "ref"):
    roles.register_generic_role(_name, nodes.emphasis)


class Block:
    """A literal block: its file and line, kind and text."""

    def __init__(self, path, line, kind, text):
        self.path, self.place, self.kind, self.text = path, f"{path}:{line}", kind or look(text), text


def look(text):
    for kind, pattern in LOOKS:
        if re.match(pattern, text):
            return kind
    return "sh"


def pages(source):
    """The paths of the pages, relative to the source directory."""
    found = glob.glob(f"{source}/docs/**/*.rst", recursive=True)
    assert found, source
    return sorted(os.path.relpath(path, source) for path in found)


def markdown_pages(source):
    """The paths of the Markdown pages at the top level, without NEWS.md, which describes past releases."""
    return sorted({os.path.basename(path) for path in glob.glob(f"{source}/*.md")} - {"NEWS.md"})


def read(source, path):
    with open(os.path.join(source, path), encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def tree(source, path):
    """The docutils tree of a page. Markup errors are left to sphinx-build and rst2man."""
    return docutils.core.publish_doctree(
        read(source, path), settings_overrides={"report_level": 5, "halt_level": 5, "syntax_highlight": "none",
                                                "input_encoding": "unicode"})


def line_of(text, block):
    first = block.split("\n", 1)[0]
    return text.count("\n", 0, text.index(first)) + 1


def rst_blocks(source, path):
    text = read(source, path)
    for node in tree(source, path).findall(nodes.literal_block):
        languages = [name for name in node["classes"] if name != "code"]
        yield Block(path, line_of(text, node.astext()), languages[0] if languages else None, node.astext())


def markdown_blocks(source, path):
    text = read(source, path)
    for match in re.finditer(r"(?:\n<!-- (\w+) -->)?\n\n((?:    [^\n]*\n|\n(?=    ))+)", text):
        line = text.count("\n", 0, match.start(2)) + 1
        yield Block(path, line, match[1], textwrap.dedent(match[2]).strip("\n"))


def blocks(source):
    for path in pages(source):
        yield from rst_blocks(source, path)
    for path in markdown_pages(source):
        yield from markdown_blocks(source, path)
