"""Notebooks are their scripts, run from top to bottom, and draw; on small settings."""

import ast
import importlib.util
import pathlib
import tempfile

import jupytext
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
# What replaces the values of a cell with the tag "parameters".
SMALL = {"STEPS": 2, "MAX_QUERIES": 1, "NUM_TASKS": 2, "WIDTHS": (8,)}


def _maker():
  spec = importlib.util.spec_from_file_location(
    "maker", ROOT / "docs/make_notebooks.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _run(source: str, namespace: dict) -> object:
  """Runs a cell; returns the value of its last expression, which Jupyter shows."""
  body = ast.parse(source).body
  shown = body.pop() if isinstance(body[-1], ast.Expr) else None
  exec(compile(ast.Module(body, []), "cell", "exec"), namespace)
  if shown is None:
    return None
  return eval(compile(ast.Expression(shown.value), "cell", "eval"), namespace)


def test_each_pair_is_one_notebook_without_outputs():
  written = {p.stem: p.read_text() for p in (ROOT / "notebooks").glob("*.ipynb")}
  assert written == {script.stem: _maker().to_ipynb(script) for script in SCRIPTS}, (
    "python docs/make_notebooks.py"
  )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_runs_and_draws(script, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path.parent))
  cells = jupytext.read(script).cells
  namespace = {}
  pictures = 0
  for cell in cells:
    if cell.cell_type == "code":
      shown = _run(cell.source, namespace)
      if "parameters" in cell.metadata.get("tags", ()):
        namespace |= {name: SMALL[name] for name in SMALL if name in namespace}
      if hasattr(shown, "_repr_html_"):
        assert isinstance(shown._repr_html_(), str)
      if hasattr(shown, "_repr_svg_"):
        pictures += shown._repr_svg_().startswith("<?xml")
  assert pictures
  assert cells[-1].source.startswith("## Try")
  assert not list(tmp_path.iterdir())
