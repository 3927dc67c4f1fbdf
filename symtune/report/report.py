"""A run folder -> report.md, report.html and figures, all from results.jsonl."""

import functools
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import rich.table

from symtune.bounded import read_json
from symtune.checksums import check_object
from symtune.errors import SymtuneError
from symtune.files import (
  DATA_FILE,
  QUESTIONS_FILE,
  RESULTS_FILE,
  RUN_FILE,
)
from symtune.probe.contrasts import read_contrasts
from symtune.probe.probes.format_sensitivity import FormatSensitivity
from symtune.probe.probes.order_sensitivity import OrderSensitivity
from symtune.probe.results import Results, read_results
from symtune.probe.run import CheckpointLabel
from symtune.probe.texts import read_questions
from symtune.report.canvas import Form
from symtune.report.contrasts import compare_settings, contrast_table
from symtune.report.figures import draw_accuracy
from symtune.report.hypotheses import agreement, hypothesis_table
from symtune.report.lab.content import (
  Content,
  Drawing,
  Section,
  of_table,
)
from symtune.report.lab.join import keep_paired
from symtune.report.lab.page import write_content
from symtune.report.labels.reliance import measure_reliance
from symtune.report.labels.tables import (
  READING,
  reliance_change_table,
  reliance_table,
)
from symtune.report.notes import write_notes
from symtune.report.open_answers import generated_table, rule_table
from symtune.report.results import PairedResults, keep_common_tasks, pair_rows
from symtune.report.rules import Rule, apply_rule
from symtune.report.scaling import (
  Slope,
  draw_scaling,
  fit_slopes,
  has_sizes,
  slope_table,
  why_no_slope,
)
from symtune.report.summary import (
  Summary,
  summarize_groups,
  summarize_settings,
  summarize_tasks,
)
from symtune.report.tables import (
  Table,
  change_table,
  group_table,
  headline_table,
  show_percent,
  task_table,
  to_terminal,
)

_STEM = "report"
REPORT_FILE = f"{_STEM}.md"
PAGE_FILE = f"{_STEM}.html"
FIGURE_FILE = "report.png"
SCALING_FILE = "scaling.png"

_MAX_BYTES = 100_000_000
_STATISTICS = """\
- Accuracy over tasks is the mean of the tasks' accuracies: every task weighs the same.
- n is the number of answers of each checkpoint. Chance is a uniform guesser's accuracy;
  an open answer has none, so a table shows how often rules without insight are right.
- Intervals are 95%. An accuracy has Wilson's interval for its clustered variance:
  answers to one query, and answers under one exemplar seed, belong together. It holds
  for these tasks. With few seeds the effect of a seed is uncertain, which widens it.
- A difference is a later checkpoint minus the first, in percentage points, on the
  same questions, with a paired bootstrap interval, or Newcombe's where fewer than ten
  queries set them apart. "new tasks" is its interval for other tasks of this kind, from
  how much the tasks differ. Tasks that share something, such as a category of words,
  are not taken to be independent.
- A group holds tasks that the suite names together, and "new tasks" is then for tasks
  like these. A small p in one group and a large p in another do not show that the
  groups differ.
- detectable is the smallest true difference that such a comparison calls significant at
  5% in 80 of 100 repetitions: a smaller one is likely to be missed. "none" says that
  there are too few answers to find any.
- p is McNemar's exact test over the queries of all tasks where there is one exemplar
  seed. It weighs queries alike, not tasks, so it may disagree with the interval. With
  several seeds it is Student's test of the clustered error, as queries under one seed
  are not independent. p (Holm) is corrected for all rows of its table; two settings
  that ask the same questions count as one.
"""


def write_report(
  run_dir: pathlib.Path,
  rule: Rule = Rule.SUM,
  order: Sequence[tuple[str, int]] = (),
  forms: Sequence[Form] = (),
) -> tuple[rich.table.Table, ...]:
  """Writes report.md, report.html, report.png and, for several sizes, scaling.png.

  Args:
    run_dir: holds results.jsonl; run.json, data.json and the texts of the questions
      are used when they exist.
    rule: how log-likelihoods become answers.
    order: order of the checkpoints by name and step, see `pair_rows`.
    forms: what figures are written as besides PNG.

  Returns:
    For the terminal: label reliance where it was asked, the headline table, and the
    table of groups if there are several.

  Raises:
    SymtuneError: there are no results, files are damaged, or no question was asked of
      all checkpoints. Questions that only some were asked are left out, and counted.
  """
  texts = read_questions(run_dir / QUESTIONS_FILE)  # refused before anything is written
  content = make_content(run_dir, rule, order)
  write_content(run_dir / _STEM, content, texts, forms)
  return tuple(map(to_terminal, content.headlines))


def make_content(
  run_dir: pathlib.Path, rule: Rule = Rule.SUM, order: Sequence[tuple[str, int]] = ()
) -> Content:
  """What report.md and report.html of a run say; see `write_report`."""
  results_path = run_dir / RESULTS_FILE
  rows = read_results(results_path)
  about = _read_object(run_dir / RUN_FILE, ("recipe", "config_hash"))
  data = _read_data(run_dir / DATA_FILE)
  try:
    paired = keep_paired(rows)
    rows = paired.rows
    results = pair_rows(apply_rule(rows, rule), order, read_contrasts(run_dir))
  except SymtuneError as error:
    raise SymtuneError(f"{results_path}: {error}") from error
  settings = summarize_settings(results)
  slopes = fit_slopes(results) if has_sizes(results) else ()
  accuracy = Drawing(
    file=FIGURE_FILE,
    alt="Accuracy by setting and checkpoint, with chance levels",
    draw=functools.partial(draw_accuracy, settings, results.checkpoints),
  )
  headline = headline_table(settings, results.checkpoints)
  reliance, groups = _reliance_tables(results), _group_tables(results)
  sections = [
    *_describe_reliance(reliance),
    of_table(headline),
    *_describe_changes(settings, results.checkpoints),
    *map(of_table, groups),
    Section(parts=(accuracy,)),
    *_describe_notes(write_notes(rows, results.checkpoints, rule)),
    Section(title="How to read the numbers", parts=(_STATISTICS,)),
    *_describe_common_tasks(results),
    *_describe_contrasts(results),
    *_describe_hypotheses(results),
    *_describe_generated(results),
    *_describe_slopes(slopes, results.checkpoints),
    Section(title="Probe prompts", parts=(_describe_shortened(rows),)),
    *([] if data is None else [Section(title="Tuning data", parts=(data,))]),
    of_table(task_table(summarize_tasks(results), results.checkpoints)),
  ]
  return Content(
    title="Report" if about is None else about["recipe"],
    remarks=(*_head(about, rule), *([paired.remark] if paired.remark else [])),
    sections=tuple(sections),
    results=results,
    headlines=(*reliance[:1], headline, *groups[:1]),
  )


def _head(about: dict[str, Any] | None, rule: Rule) -> tuple[str, ...]:
  parts = []
  if about is not None:
    parts.append(f"Configuration `{about['config_hash']}`.\n")
  if rule is not Rule.SUM:
    parts.append(f"Answers follow the rule `{rule}`, not `sum`.\n")
  return tuple(parts)


def _group_tables(results: PairedResults) -> list[Table]:
  """Accuracy by group of tasks, if there are several groups.

  More than two checkpoints have a second table, of differences.
  """
  summaries = summarize_groups(results)
  if len({s.group for s in summaries} - {None}) < 2:
    return []
  tables = [group_table(summaries, results.checkpoints)]
  if len(results.checkpoints) > 2:
    tables.append(change_table(summaries, results.checkpoints, by_group=True))
  return tables


def _reliance_tables(results: PairedResults) -> list[Table]:
  """Label reliance where it was asked; more than two checkpoints have two tables."""
  found = measure_reliance(results)
  if not found:
    return []
  tables = [reliance_table(found, results.checkpoints)]
  if len(results.checkpoints) > 2:
    tables.append(reliance_change_table(found, results.checkpoints))
  return tables


def _describe_reliance(tables: Sequence[Table]) -> list[Section]:
  if not tables:
    return []
  first, *others = tables
  opening = Section(title=first.title, parts=(first, READING))
  return [opening, *map(of_table, others)]


def _describe_common_tasks(results: PairedResults) -> list[Section]:
  """Where settings of a probe have different tasks: accuracy on the common tasks."""
  common = keep_common_tasks(results)
  if not common.settings:
    return []
  table = headline_table(
    summarize_settings(common),
    common.checkpoints,
    "Accuracy in % on the tasks that all settings of a probe share [95% interval]",
  )
  return [of_table(table)]


def _describe_contrasts(results: PairedResults) -> list[Section]:
  """What one setting adds to another, for one checkpoint."""
  table = contrast_table(compare_settings(results))
  return [of_table(table)] if table.rows else []


def _describe_hypotheses(results: PairedResults) -> list[Section]:
  """What answers follow, and how stable they are across orders and formats."""
  table = hypothesis_table(results)
  parts = [of_table(table)] if table.rows else []
  lines = [
    f"- {probe}, {checkpoint}: {show_percent(share)}% of pairs.\n"
    for probe in (OrderSensitivity.name, FormatSensitivity.name)
    for checkpoint, share in agreement(results, probe)
  ]
  if lines:
    title = "Same answer in another order or format"
    parts.append(Section(title=title, parts=("".join(lines),)))
  return parts


def _describe_generated(results: PairedResults) -> list[Section]:
  """What generated answers are, and what fixed rules would have answered."""
  tables = [table(results) for table in (rule_table, generated_table)]
  return [of_table(table) for table in tables if table.rows]


def _describe_changes(
  summaries: Sequence[Summary], checkpoints: Sequence[CheckpointLabel]
) -> list[Section]:
  """A table of differences, if there are more than two checkpoints."""
  if len(checkpoints) < 3:
    return []
  return [of_table(change_table(summaries, checkpoints))]


def _describe_slopes(
  slopes: tuple[Slope, ...], checkpoints: Sequence[CheckpointLabel]
) -> list[Section]:
  """A table and a figure of slopes, and why some models have none."""
  table = slope_table(slopes, checkpoints)
  figure = Drawing(
    file=SCALING_FILE,
    alt="Accuracy by model size",
    draw=functools.partial(draw_scaling, slopes, checkpoints),
  )
  parts = [table, figure] if slopes else []
  parts += [f"{reason}\n" for reason in why_no_slope(checkpoints)]
  return [Section(title=table.title, parts=tuple(parts))] if parts else []


def _describe_notes(notes: Sequence[str]) -> list[Section]:
  """What to know of these answers, and where they deviate from the papers."""
  wrap = textwrap.TextWrapper(
    width=88,
    initial_indent="- ",
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
  )
  lines = "".join(wrap.fill(note) + "\n" for note in notes)
  return [Section(title="Notes", parts=(lines,))] if lines else []


def _describe_shortened(rows: Results) -> str:
  """Which prompts lost exemplars, so that they have fewer than their setting says.

  Each answerer has lines of its own: tokenizers and limits differ.
  """
  lost = rows.numbers("exemplars_asked") - rows.numbers("exemplars")
  names = [rows.words(name) for name in ("checkpoint", "probe", "setting")]
  steps = rows.numbers("step")
  keys = np.stack([*(name.codes for name in names), steps], axis=1)
  lines = []
  for *codes, step in np.unique(keys[lost > 0], axis=0).tolist():
    who, *what = (n.values[code] for n, code in zip(names, codes, strict=True))
    here = (keys == [*codes, step]).all(axis=1)
    lines.append(
      f"- {who} (step {step}), {', '.join(what)}: {(lost[here] > 0).sum()} of "
      f"{here.sum()} prompts lost {lost[here].sum()} exemplars to fit.\n"
    )
  return "".join(lines) or "- No prompt lost exemplars.\n"


def _describe_data(data: dict[str, Any]) -> str:
  """What became of the tuning prompts, so that no loss goes unnoticed."""
  counts = data["prompts"]
  lines = [
    f"- {counts['prompts']} prompts built; {counts['shortened']} of them lost "
    f"{counts['exemplars_dropped']} exemplars to fit; {counts['skipped']} did not fit.",
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
      f"{path} is damaged: {error} is missing. Remove it: it is optional."
    ) from error


def _read_object(path: pathlib.Path, keys: tuple[str, ...]) -> dict[str, Any] | None:
  """A JSON object that has these keys, or None if there is no file."""
  if not path.exists():
    return None
  try:
    values = read_json(path, _MAX_BYTES)
  except SymtuneError as error:
    raise SymtuneError(
      f"{path} is damaged ({error}). Remove it: the report does not need it."
    ) from error
  if not isinstance(values, dict) or any(key not in values for key in keys):
    raise SymtuneError(
      f"{path} is damaged: expected an object with the keys {', '.join(keys)}. Remove "
      f"it: the report does not need it."
    )
  check_object(values, str(path))
  return values
