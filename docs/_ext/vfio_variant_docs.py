# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Sphinx extension: turns what these pages say in plain reStructuredText, for man pages and for readers of the sources,
into what a browser can do.

The reader of the sources writes, and sees              here it becomes
**vfio-variantd**\\(8)                                   a link to the man page, ours or Debian's
*gate.rst*                                              a link to the page, by its title
.. contents::                                           nothing, the theme has that beside the text
a man page: title, subtitle, :Manual section: N         the title NAME(N), and the subtitle as a sentence
an SVG with the class diagram                           part of the page, so that it takes on the colours of the theme
.. schemas::                                            what the schemas in schemas/ are, with links to them
"""
import html
import json
import pathlib
import re
import xml.etree.ElementTree

from docutils import nodes
from docutils.transforms.parts import Contents
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

OTHERS_MAN_PAGES = "https://manpages.debian.org/{name}.{section}"
SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"


def link_to_page(docname, from_docname, child, explicit):
    return addnodes.pending_xref("", child, refdomain="std", reftype="doc", reftarget="/" + docname, refdoc=from_docname,
                                 refexplicit=explicit, refwarn=True)


class ManPageTitle(SphinxTransform):
    """Before the sections get their numbers and names: docutils' own titles of a man page."""

    default_priority = 10

    def apply(self, **kwargs):
        if not self.env.docname.startswith("man/"):
            return
        page = next(self.document.findall(nodes.section))
        inner = next(node for node in page.children if isinstance(node, nodes.section))
        subtitle = next(inner.findall(nodes.title))
        fields = next(inner.findall(nodes.field_list))
        section = re.search(r"Manual section\n*\s*(\d)", fields.astext())[1]
        title = next(page.findall(nodes.title))
        title += nodes.Text(f"({section})")
        inner.remove(subtitle)
        inner.remove(fields)
        page.replace(inner, [nodes.paragraph("", subtitle.astext(), classes=["subtitle"])] + inner.children)


class NoContents(SphinxTransform):
    """And the titles do not link back to it."""

    default_priority = Contents.default_priority + 1

    def apply(self, **kwargs):
        for topic in list(self.document.findall(nodes.topic)):
            if "contents" in topic["classes"]:
                topic.parent.remove(topic)
        for title in self.document.findall(nodes.title):
            title.attributes.pop("refid", None)


class Links(SphinxTransform):
    default_priority = 20

    def apply(self, **kwargs):
        for node in list(self.document.findall(nodes.strong)):
            self.link_man_page(node)
        for node in list(self.document.findall(nodes.emphasis)):
            self.link_page(node)

    def link_man_page(self, node):
        after = node.next_node(siblings=True, descend=False)
        match = re.match(r"\x00?\((\d)\)", str(after)) if isinstance(after, nodes.Text) else None
        if not match or isinstance(node.parent, nodes.title):
            return
        name, section = node.astext(), match[1]
        parent, at = node.parent, node.parent.index(node)
        label = nodes.inline("", f"{name}({section})", classes=["manpage"])
        if f"man/{name}" in self.env.found_docs:
            link = link_to_page(f"man/{name}", self.env.docname, label, explicit=True)
        else:
            link = nodes.reference("", "", label, refuri=OTHERS_MAN_PAGES.format(name=name, section=section))
        parent.replace(after, nodes.Text(str(after)[match.end():]))
        parent[at] = link

    def link_page(self, node):
        match = re.fullmatch(r"(?:docs/)?([\w./-]+)\.rst", node.astext())
        if match and match[1] in self.env.found_docs:
            label = nodes.inline("", match[1] + ".rst", classes=["doc"])
            node.parent.replace(node, link_to_page(match[1], self.env.docname, label, explicit=False))


class Diagrams(SphinxTransform):
    """Only where the output is HTML: an <img> cannot know which colours the page has."""

    default_priority = 900

    def apply(self, **kwargs):
        if self.app.builder.format != "html":
            return
        folder = pathlib.Path(self.env.srcdir, self.env.docname).parent
        for node in list(self.document.findall(nodes.image)):
            if "diagram" not in node["classes"]:
                continue
            path = folder / node["uri"]
            self.env.note_dependency(str(path))
            svg = re.search(r"<svg.*</svg>", path.read_text(encoding="utf-8"), re.DOTALL)[0]
            svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(node["alt"])}" ', 1)
            node.parent.replace(node, nodes.raw("", f'<div class="diagram">{svg}</div>', format="html"))


class Schemas(SphinxDirective):
    """A list of the files in schemas/: the name, what it describes, the file itself."""

    def run(self):
        rows = []
        for path in sorted(SCHEMAS.glob("*.schema.json")):
            rows.append((path, json.loads(path.read_text(encoding="utf-8"))["title"]))
        for path in sorted(SCHEMAS.glob("*.rng")):
            root = xml.etree.ElementTree.parse(path).getroot()
            rows.append((path, self.first_comment(path) or root.tag))
        listed = nodes.bullet_list()
        for path, title in rows:
            self.env.note_dependency(str(path))
            name = addnodes.download_reference("", "", nodes.literal("", path.name), reftarget=f"../schemas/{path.name}",
                                               refdoc=self.env.docname)
            listed += nodes.list_item("", nodes.paragraph("", "", name, nodes.Text(": " + title)))
        return [listed]

    @staticmethod
    def first_comment(path):
        """The first sentence of what the schema says of itself."""
        for comment in re.findall(r"<!--(.*?)-->", path.read_text(encoding="utf-8"), re.DOTALL):
            text = " ".join(comment.split())
            text = re.sub(r"^SPDX-License-Identifier: \S+\s*", "", text)
            if text:
                return re.split(r"\.(?:\s|$)", text)[0]
        return ""


def setup(app):
    for transform in (ManPageTitle, NoContents, Links, Diagrams):
        app.add_transform(transform)
    app.add_directive("schemas", Schemas)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
