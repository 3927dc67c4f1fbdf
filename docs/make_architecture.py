"""Writes the module tree of ARCHITECTURE.md from the first lines of the docstrings.

python docs/make_architecture.py           rewrites the tree
python docs/make_architecture.py --check   exits with 1 if it is out of date
"""

import argparse
import ast
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- tree: begin -->\n", "<!-- tree: end -->\n"
# In the order of the flow; imports go from later to earlier ones.
PACKAGES = (
  "cards",
  "retrieve",
  "data",
  "fetch",
  "model",
  "train",
  "convert",
  "stats",
  "probe",
  "report",
  "regression",
  "experiment",
  "ralm",
  "instruct",
  "lab",
  "cli",
  "bridges",
)


def first_line(path: pathlib.Path) -> str:
  """The first line of a module's docstring, or "" if it has none."""
  docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
  return docstring.split("\n", 1)[0]


def make_rooms(folder: pathlib.Path) -> list[pathlib.Path]:
  """A package and the packages inside it, at any depth."""
  return [path.parent for path in sorted(folder.rglob("__init__.py"))]


def make_tree(package: pathlib.Path) -> str:
  """One line for each module, grouped by package, as a fenced block."""
  lines = ["```"]
  rooms = [room for name in PACKAGES for room in make_rooms(package / name)]
  for folder in (package, *rooms):
    modules = [p for p in sorted(folder.glob("*.py")) if p.name != "__init__.py"]
    if modules:
      lines.append(f"{folder.relative_to(package.parent)}/")
    lines += [f"  {p.name:<19} {first_line(p)}" for p in modules]
  return "\n".join([*lines, "```"]) + "\n"


def replace_tree(document: str, tree: str) -> str:
  """The document with a new tree between its markers."""
  before, rest = document.split(BEGIN)
  _, after = rest.split(END)
  return before + BEGIN + tree + END + after


def main() -> int:
  """Writes or checks ARCHITECTURE.md."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--check", action="store_true")
  found = DOCUMENT.read_text(encoding="utf-8")
  wanted = replace_tree(found, make_tree(ROOT / "symtune"))
  if parser.parse_args().check:
    if found != wanted:
      print("ARCHITECTURE.md is out of date: run python docs/make_architecture.py")
      return 1
    return 0
  DOCUMENT.write_text(wanted, encoding="utf-8")
  return 0


if __name__ == "__main__":
  sys.exit(main())
