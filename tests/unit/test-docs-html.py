#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the HTML documentation: sphinx-build prints no warning, each internal link has a target, and no page loads
anything from the network.

Usage: test-docs-html.py SPHINX-BUILD SOURCE; prints TAP.
"""
import html.parser
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse

from tap import equal, run_tests

SPHINX_BUILD, SOURCE = sys.argv[1:3]
OUTPUT = tempfile.TemporaryDirectory()


class Page(html.parser.HTMLParser):
    """The links of a page, the resources that it loads, and its link targets."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], {""}
        with open(path, encoding="utf-8") as file:
            self.feed(file.read())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "link" and attributes.get("rel") == "stylesheet":
            self.loads.append(attributes["href"])
        elif "src" in attributes:
            self.loads.append(attributes["src"])


def paths(ending):
    for folder, _, names in os.walk(OUTPUT.name):
        for name in names:
            if name.endswith(ending) and ".doctrees" not in folder:
                yield os.path.join(folder, name)


def it_is_made_without_a_warning():
    result = subprocess.run([SPHINX_BUILD, "-W", "--keep-going", "-n", "-q", "-b", "html", f"{SOURCE}/docs", OUTPUT.name],
                            capture_output=True, text=True, check=False)
    equal((result.returncode, result.stderr), (0, ""))


def each_link_inside_leads_somewhere():
    pages = {path: Page(path) for path in paths(".html")}
    assert len(pages) > 20, pages
    lost = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme:
                continue
            target = path
            if parts.path:
                target = os.path.normpath(os.path.join(os.path.dirname(path), urllib.parse.unquote(parts.path)))
            if not os.path.exists(target):
                lost.append(f"{os.path.relpath(path, OUTPUT.name)}: {link}")
            elif target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].anchors:
                lost.append(f"{os.path.relpath(path, OUTPUT.name)}: {link}: no such anchor")
    assert not lost, "\n".join(lost)


def nothing_comes_from_the_network():
    for path in paths(".html"):
        for what in Page(path).loads:
            assert not urllib.parse.urlsplit(what).netloc, f"{path}: {what}"
    for path in paths(".css"):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", text), path


run_tests([it_is_made_without_a_warning, each_link_inside_leads_somewhere, nothing_comes_from_the_network])
