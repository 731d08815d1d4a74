# SPDX-License-Identifier: LGPL-2.1-or-later
"""How `make manual` makes a site of these pages.

The pages are plain Markdown, as a forge shows it, without a directive of Sphinx's. What the site needs beyond that,
the order of its pages, is taken from the lists of `index.md`: whoever adds a page adds it there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent

project = "Glasshub"
author = copyright = "the Glasshub maintainers"
release = re.search(r'__version__ = "(.+?)"', (_HERE.parent / "hub/glasshub/__init__.py").read_text("utf-8"))[1]

extensions = ["myst_parser"]
exclude_patterns = ["requirements.txt", "static"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_heading_anchors = 4  # the anchors of a forge
smartquotes = False  # would make a dash of the two of an option
highlight_language = "none"  # indented blocks are what somebody types, or a figure

html_theme = "furo"
html_title = f"Glasshub {release}"
html_static_path = ["static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}


def contents(index: str) -> str:
    """The hidden tables of contents that the lists of the index amount to, one for each heading."""
    tables = ""
    for title, text in re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", index, re.MULTILINE):
        pages = re.findall(r"^\* \[[^\]]+\]\(([\w-]+)\.md\)", text, re.MULTILINE)
        if pages:
            tables += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {title}\n", *pages, "```\n"])
    return tables


def _add_contents(app: Any, name: str, source: list[str]) -> None:
    if name == "index":
        source[0] += contents(source[0])


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx read the index with its tables of contents."""
    app.connect("source-read", _add_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
