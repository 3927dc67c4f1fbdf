"""Prints what a report on instructions says first, and where it lies."""

import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from symtune.report.lab.content import Content


def show(content: "Content", out: pathlib.Path, text_width: int = 12) -> None:
  """Prints the first tables of a report, and where it is.

  Args:
    content: what the report says.
    out: its folder.
    text_width: characters of a text in a line of a table.
  """
  import rich.console

  from symtune.report.tables import to_terminal

  console = rich.console.Console()
  for table in content.headlines:
    console.print(to_terminal(table, text_width))
    console.line()
  console.print(f"report: {out / 'report.md'}", highlight=False)
  page = (out / "report.html").resolve().as_uri()
  console.print(f"lab report: {page}", soft_wrap=True, highlight=False)
