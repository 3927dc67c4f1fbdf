"""Prints the tables that a report says first, and where the report lies."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from symtune.report.tables import Table


def print_report(
  tables: "Sequence[Table]", report: pathlib.Path, text_width: int = 12
) -> None:
  """Prints tables, the report's path, and a link to the lab report beside it.

  Args:
    tables: the first tables of the report.
    report: the file report.md, or another with an HTML page beside it.
    text_width: characters of a text in a line of a table.
  """
  import rich.console

  from symtune.report.tables import to_terminal

  console = rich.console.Console()
  for table in tables:
    console.print(to_terminal(table, text_width))
    console.line()
  console.print(f"report: {report}", highlight=False)
  page = report.with_suffix(".html").resolve().as_uri()
  console.print(f"lab report: {page}", soft_wrap=True, highlight=False)
