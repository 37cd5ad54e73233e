"""How Sphinx makes a site of the Markdown files beside this file: `make docs`.

The files read well without it, so it adds only what they cannot have: navigation, search, and a link wherever
a file names another one in backticks. It loads nothing from the network, and the built pages do not either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

project = "Dragoman"
author = "the Dragoman contributors"
project_copyright = "the Dragoman contributors, Apache-2.0"
language = "en"

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["conf.py"]

html_theme = "furo"
html_title = "Dragoman"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"sidebar_hide_name": False}

_DOCUMENT = re.compile(r"docs/([a-z.-]+)\.md")


class NamedDocuments(SphinxTransform):
    """`docs/api.md` in backticks becomes a link to that page; a page that is not there is a warning."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Wrap each such literal of the document."""
        for literal in list(self.document.findall(nodes.literal)):
            named = _DOCUMENT.fullmatch(literal.astext())
            if named is None or isinstance(literal.parent, nodes.reference | pending_xref):
                continue
            link = pending_xref(
                "",
                literal.deepcopy(),
                refdomain="std",
                reftype="doc",
                refdoc=self.env.docname,
                reftarget=f"/{named[1]}",
                refexplicit=True,
                refwarn=True,
            )
            literal.replace_self(link)


def name_language(_app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Say of a Chinese page that it is one, so that it is read out and set as such."""
    if Path(page).suffix == ".zh":
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both with Sphinx."""
    app.add_transform(NamedDocuments)
    app.connect("html-page-context", name_language)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
