"""Results -> CSV, JSON or LaTeX, for papers, spreadsheets and other programs."""

import enum
import json

from symtune.report.export.latex import PREAMBLE, to_latex
from symtune.report.export.records import (
  accuracy_records,
  contrast_records,
  reliance_records,
)
from symtune.report.lab.content import Content
from symtune.report.results import PairedResults
from symtune.report.rules import Rule
from symtune.report.tables import Table


class ExportFormat(enum.StrEnum):
  """What results become."""

  CSV = "csv"  # accuracies as numbers
  JSON = "json"  # the same, differences between settings, label reliance
  LATEX = "latex"  # the tables of the report, rounded as there


def accuracies_to_csv(results: PairedResults) -> str:
  """One line per setting, group or task and checkpoint (`accuracy_records`)."""
  import pandas

  frame = pandas.DataFrame(accuracy_records(results))
  return frame.to_csv(index=False, lineterminator="\n")


def results_to_json(results: PairedResults, rule: Rule) -> str:
  """An object with the checkpoints and lists of records; absent numbers are null."""
  about = {
    "rule": str(rule),
    "checkpoints": [{"name": c.name, "step": c.step} for c in results.checkpoints],
    "accuracies": accuracy_records(results),
    "contrasts": contrast_records(results),
    "label_reliance": reliance_records(results),
  }
  return json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def content_to_latex(content: Content) -> str:
  """All tables of the report, in its order."""
  tables = [
    part
    for section in content.sections
    for part in section.parts
    if isinstance(part, Table)
  ]
  made = [to_latex(t, f"tab:symtune-{i}") for i, t in enumerate(tables, start=1)]
  return "\n".join((PREAMBLE, *made))
