"""A run folder -> report.md and report.png; all accuracies are from results.jsonl."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import rich.table

from symtune.errors import SymtuneError
from symtune.files import DATA_FILE, RESULTS_FILE, RUN_FILE, write_whole
from symtune.probe.results import ResultRow, read_results
from symtune.report.figures import draw_accuracy
from symtune.report.results import pair_rows
from symtune.report.summary import summarize_settings, summarize_tasks
from symtune.report.tables import (
  Table,
  headline_table,
  task_table,
  to_markdown,
  to_terminal,
)

REPORT_FILE = "report.md"
FIGURE_FILE = "report.png"

_STATISTICS = """\
## How to read the numbers

- Accuracy over tasks is the mean of the tasks' accuracies: every task weighs the same.
- n is the number of answers of each checkpoint. Chance is a uniform guesser's accuracy.
- Intervals are 95%. Over tasks: a bootstrap that draws queries again inside each task.
  They hold for these tasks, not for others. They have no width where every answer of a
  task is right or every one wrong, nor where tasks have one query each, and are a
  little narrow below some ten queries per task. By task: Wilson's interval.
- The difference is the last checkpoint minus the first, in percentage points, on the
  same questions, with a paired bootstrap interval.
- p is McNemar's exact test over the queries of all tasks, not corrected for the number
  of rows. It weighs queries alike, not tasks, so it may disagree with the interval.
- Answers to one query under several seeds count as one draw, not as several.
"""


def write_report(run_dir: pathlib.Path) -> rich.table.Table:
  """Writes report.md and report.png of a run.

  Args:
    run_dir: holds results.jsonl; run.json and data.json are used when they exist.

  Returns:
    The headline table, for the terminal.

  Raises:
    SymtuneError: no results, damaged files, or checkpoints that were not asked the same
      questions.
  """
  results_path = run_dir / RESULTS_FILE
  rows = read_results(results_path)
  about = _read_object(run_dir / RUN_FILE, ("recipe", "config_hash"))
  data = _read_data(run_dir / DATA_FILE)
  try:
    results = pair_rows(rows)
  except SymtuneError as error:
    raise SymtuneError(f"{results_path}: {error}") from error
  settings = summarize_settings(results)
  headline = headline_table(settings, results.checkpoints)
  by_task = task_table(summarize_tasks(results), results.checkpoints)
  write_whole(run_dir / FIGURE_FILE, draw_accuracy(settings, results.checkpoints))
  write_whole(
    run_dir / REPORT_FILE,
    _to_text(about, data, _describe_shortened(rows), headline, by_task),
  )
  return to_terminal(headline)


def _to_text(
  about: dict[str, Any] | None,
  data: str | None,
  shortened: str,
  headline: Table,
  by_task: Table,
) -> str:
  parts = ["# Report\n"]
  if about is not None:
    parts = [f"# {about['recipe']}\n", f"Configuration `{about['config_hash']}`.\n"]
  parts += [
    f"## {headline.title}\n",
    to_markdown(headline),
    f"![Accuracy by setting and checkpoint, with chance levels]({FIGURE_FILE})\n",
    _STATISTICS,
  ]
  parts += ["## Probe prompts\n", shortened]
  if data is not None:
    parts += ["## Tuning data\n", data]
  parts += [f"## {by_task.title}\n", to_markdown(by_task)]
  return "\n".join(parts)


def _describe_shortened(rows: Sequence[ResultRow]) -> str:
  """Which prompts lost exemplars: they had fewer than their setting says."""
  lines = []
  for probe, setting in dict.fromkeys((row.probe, row.setting) for row in rows):
    asked = [row for row in rows if (row.probe, row.setting) == (probe, setting)]
    lost = [row.demos_asked - row.demos for row in asked if row.demos < row.demos_asked]
    if lost:
      lines.append(
        f"- {probe}, {setting}: {len(lost)} of {len(asked)} prompts lost {sum(lost)} "
        f"exemplars to fit.\n"
      )
  return "".join(lines) or "- No prompt lost exemplars.\n"


def _describe_data(data: dict[str, Any]) -> str:
  """What became of the tuning prompts; nothing is lost unseen."""
  counts = data["prompts"]
  lines = [
    f"- {counts['prompts']} prompts built; {counts['shortened']} of them lost "
    f"{counts['demos_dropped']} exemplars to fit; {counts['skipped']} did not fit.",
    *(
      f"- {leak['rows']} rows of {leak['tuning']} dropped: {leak['evaluation']} has "
      f"the same texts."
      for leak in data["leaks_dropped"]
    ),
  ]
  if not data["leaks_dropped"]:
    lines.append("- No tuning text is in an evaluation task.")
  return "\n".join(lines) + "\n"


def _read_data(path: pathlib.Path) -> str | None:
  data = _read_object(path, ("prompts", "leaks_dropped"))
  if data is None:
    return None
  try:
    return _describe_data(data)
  except (KeyError, TypeError) as error:
    raise SymtuneError(
      f"{path} is damaged: no {error}. Remove it; the report does without."
    ) from error


def _read_object(path: pathlib.Path, keys: tuple[str, ...]) -> dict[str, Any] | None:
  """A JSON object that has these keys, or None if there is no file."""
  if not path.exists():
    return None
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise SymtuneError(
      f"{path} is damaged ({error}). Remove it; the report does without."
    ) from error
  if not isinstance(values, dict) or any(key not in values for key in keys):
    raise SymtuneError(
      f"{path} is damaged: expected an object with the keys {', '.join(keys)}. Remove "
      f"it; the report does without."
    )
  return values
