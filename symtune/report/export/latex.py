"""Table -> LaTeX with booktabs: one table environment, or a longtable of many rows."""

import re
from collections.abc import Sequence

from symtune.report.tables import Table

PREAMBLE = "% \\usepackage{booktabs,longtable}  % emoji and the like need LuaLaTeX\n"
_LONG = 40  # rows; more do not fit on a page
_SPECIAL = {
  "\\": r"\textbackslash{}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"\textless{}",
  ">": r"\textgreater{}",
  "|": r"\textbar{}",
  **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_ESCAPED = re.compile("|".join(map(re.escape, _SPECIAL)))
_MINUS = re.compile(r"(?<!\w)-(?=\d)")


def to_latex(table: Table, label: str) -> str:
  """A table with its title as caption; columns that the terminal lacks are left out.

  Args:
    table: cells with intervals, as the report shows them.
    label: what the text refers to it by.
  """
  kept = [i for i, column in enumerate(table.columns) if not column.is_detail]
  columns = [table.columns[i] for i in kept]
  spec = "".join("r" if column.is_number else "l" for column in columns)
  titles = _line([column.title for column in columns])
  rows = "".join(_line([row[i] for i in kept]) for row in table.rows)
  caption = f"\\caption{{{escape(table.title)}}}\\label{{{label}}}"
  head = f"\\toprule\n{titles}\\midrule\n"
  if len(table.rows) > _LONG:
    return (
      f"{{\\footnotesize\n\\begin{{longtable}}{{{spec}}}\n{caption}\\\\\n{head}"
      f"\\endhead\n\\bottomrule\n\\endfoot\n{rows}\\end{{longtable}}\n}}\n"
    )
  return (
    f"\\begin{{table}}\n\\centering\\footnotesize\n{caption}\n"
    f"\\begin{{tabular}}{{{spec}}}\n{head}{rows}\\bottomrule\n\\end{{tabular}}\n"
    f"\\end{{table}}\n"
  )


def escape(text: str) -> str:
  """Text that LaTeX shows as it is, on one line, with real minus signs of numbers."""
  plain = _ESCAPED.sub(lambda found: _SPECIAL[found.group()], " ".join(text.split()))
  return _MINUS.sub("$-$", plain)


def _line(cells: Sequence[str]) -> str:
  line = " & ".join(map(escape, cells))
  # The end of the line before would take a bracket or a star as its argument.
  return f"{'{}' if line.startswith(('[', '*')) else ''}{line} \\\\\n"
