# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sphinx: the documentation as HTML, without anything from the network. ./run docs builds it."""
import importlib.util
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "vfio-variant"
author = "The vfio-variant developers"
project_copyright = "2026, The vfio-variant developers"
version = release = re.search(r"^\s*version: '([^']+)'", (DOCS.parent / "meson.build").read_text(), re.MULTILINE)[1]

extensions = ["vfio_variant_docs"]
exclude_patterns = ["_*", "performance/figures.rst"]  # the figures are included by performance.rst
highlight_language = "none"
html_title = f"vfio-variant {version}"
html_static_path = ["_static"]
html_css_files = ["vfio-variant.css"]
html_copy_source = False
html_show_sphinx = False
html_use_index = False
smartquotes = False

# Of Debian's themes the one with a dark side and a menu on a phone; alabaster comes with Sphinx itself.
if importlib.util.find_spec("furo"):
    html_theme = "furo"
    html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}
else:
    html_theme = "alabaster"
    html_theme_options = {"fixed_sidebar": True, "page_width": "70em", "sidebar_width": "16em"}
