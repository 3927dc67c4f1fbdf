"""Settings of the documentation site: `make docs` builds it without warnings."""

import importlib.metadata
import pathlib

from docutils import nodes
from pygments.lexers.python import PythonLexer
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = pathlib.Path(__file__).resolve().parents[1]

project = "symtune"
release = version = importlib.metadata.version("symtune")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "symtune"
html_show_copyright = False
exclude_patterns = ["build"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_use_ivar = True  # fields are described once, in their class's docstring


def name_outside_pages(app: Sphinx, doctree: nodes.document) -> None:
  """A link to a page of the repository that is not of the site becomes its path.

  Args:
    app: the build; its source folder is `docs/`.
    doctree: a page that was read.
  """
  for link in list(doctree.findall(addnodes.pending_xref)):
    target = pathlib.Path(link["reftarget"])
    if target.is_relative_to(ROOT) and not target.is_relative_to(app.srcdir):
      path = f"{target.relative_to(ROOT)}.md"
      link.replace_self(nodes.literal(path, path))


def keep_drawings(app, what, name, value, options, lines: list[str]) -> None:
  """What a docstring draws, indented after a colon and a blank line, is kept as it is.

  Args:
    app: see Sphinx's event autodoc-process-docstring, like the next four.
    what: the kind of object.
    name: its name.
    value: the object.
    options: of the directive.
    lines: the docstring, which is changed.
  """
  del app, what, name, value, options
  for i, line in enumerate(lines[:-2]):
    is_before = line.endswith(":") and not line.endswith("::") and not lines[i + 1]
    if is_before and lines[i + 2].startswith("  "):
      lines[i] += ":"


def setup(app: Sphinx) -> None:
  """Connects the above, and highlights gin as Python, whose words it has."""
  app.add_lexer("gin", PythonLexer)
  app.connect("doctree-read", name_outside_pages)
  app.connect("autodoc-process-docstring", keep_drawings)
