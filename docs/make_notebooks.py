"""Writes notebooks/*.ipynb, without outputs, from their .py pairs."""

import pathlib

import jupytext

NOTEBOOKS = pathlib.Path(__file__).resolve().parents[1] / "notebooks"


def to_ipynb(script: pathlib.Path) -> str:
  """The notebook of a script in percent format; the same bytes every time."""
  notebook = jupytext.read(script)
  for number, cell in enumerate(notebook.cells):
    cell["id"] = f"cell-{number}"  # jupytext draws ids at random
  return jupytext.writes(notebook, fmt="ipynb")


def main() -> None:
  """Writes every notebook beside its script."""
  for script in sorted(NOTEBOOKS.glob("*.py")):
    script.with_suffix(".ipynb").write_text(to_ipynb(script), encoding="utf-8")


if __name__ == "__main__":
  main()
