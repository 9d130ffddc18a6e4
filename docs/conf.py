"""Configuration of the documentation site, for Sphinx: `make docs`.

The source folder is the root of the repository, so that links between its Markdown files lead to pages of the site.
"""

import re
from typing import Any

from chexnet import __version__

project = "Paddle-CheXNet"
author = "The Paddle-CheXNet developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "dataset/*.md", "logs/*.md", "pretrained_models/*.md", "examples/**.md"]
exclude_patterns = ["build", ".venv*", ".pytest_cache", "save", "**/node_modules"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

default_role = "code"  # of `name` in docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give shapes and dtypes
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"Paddle-CheXNet {__version__}"
html_search_language = "zh"  # splits Chinese into words with jieba; English words as well
html_copy_source = False
html_show_sphinx = False
html_extra_path = ["site"]  # index.html of the site


def mark_code(app: object, what: str, name: str, part: object, options: object, lines: list[str]) -> None:
    """Mark the indented lines of a docstring as code; napoleon has converted its sections before."""
    marked: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("    ") and not before.strip() and not _in_field(marked):
            marked += [".. code-block:: python", ""]
        marked.append(line)
    lines[:] = marked


def _in_field(lines: list[str]) -> bool:
    outer = [line for line in lines if line and not line.startswith(" ")]
    return bool(outer) and outer[-1].startswith((":", ".."))


def leave_out_of_index(app: object, docname: str, source: list[str]) -> None:
    """Add `:no-index:` to the autodoc directives of the Chinese pages; those of the English pages are in the index."""
    if docname.startswith("docs/zh/"):
        source[0] = re.sub(r"^\.\. auto\w+::.*$", r"\g<0>\n   :no-index:", source[0], flags=re.MULTILINE)


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", mark_code, priority=900)
    app.connect("source-read", leave_out_of_index)
