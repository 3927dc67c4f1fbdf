"""PairedResults -> what generated answers are: labels or not, more than a rule or not.

An open question has no chance level, but rules without any insight answer some of them:
a function that ignores its input gives the last output again. A model has learned
something from its exemplars only where it is right more often than these rules.

Where choices are ranked, every answer is one of them. A generated answer may be one of
the labels that the prompt shows, a label word of the task that it does not show, or
neither.
"""

from collections.abc import Callable

import numpy as np

from symtune.probe.columns import MISSING
from symtune.probe.made import FIXED_RULES
from symtune.probe.probe import AnswerKind, parse_answer
from symtune.probe.results import Results
from symtune.report.results import (
  PairedResults,
  SettingRows,
  checkpoint_title,
  setting_title,
)
from symtune.report.summary import right_answers, task_answers
from symtune.report.tables import Column, Table, show_estimate, show_percent
from symtune.stats.means import Estimate, macro_mean


def rule_table(results: PairedResults) -> Table:
  """One row per setting with open questions: how often fixed rules are right.

  Shares are means over tasks, in per cent; the checkpoints' accuracies on the same
  questions, with their intervals, stand beside them.
  """
  return Table(
    title="Open questions: how often rules without insight are right, in %",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="tasks"),
      Column(title="n"),
      *(Column(title=rule) for rule in FIXED_RULES),
      *(Column(title=checkpoint_title(label)) for label in results.checkpoints),
    ),
    rows=tuple(
      _rule_row(setting, tasks)
      for setting in results.settings
      if (tasks := _chosen(setting, _is_open))
    ),
  )


def generated_table(results: PairedResults) -> Table:
  """One row per setting and checkpoint, for generated answers to questions with labels.

  Shares are means over tasks, in per cent, and the three sum to 100; that of natural
  labels is empty where the prompts show the natural labels themselves.
  """
  return Table(
    title="What generated answers are, in % [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="checkpoint", is_number=False),
      Column(title="n"),
      *(Column(title=title) for title in ("shown label", "natural label", "neither")),
    ),
    rows=tuple(
      (
        setting_title(setting.probe, setting.setting),
        checkpoint_title(label),
        *_label_shares([of_task[place] for of_task in tasks]),
      )
      for setting in results.settings
      if (tasks := _chosen(setting, _is_generated_label))
      for place, label in enumerate(results.checkpoints)
    ),
  )


def _chosen(
  setting: SettingRows, is_chosen: Callable[[Results], np.ndarray]
) -> list[tuple[Results, ...]]:
  """Of each task the rows of a kind, by checkpoint; tasks without such rows are out."""
  masks = [is_chosen(task.by_checkpoint[0]) for task in setting.tasks]
  return [
    tuple(rows.take(mask) for rows in task.by_checkpoint)
    for task, mask in zip(setting.tasks, masks, strict=True)
    if mask.any()
  ]


def _is_open(rows: Results) -> np.ndarray:
  return rows.words("references").mapped(bool)


def _is_generated_label(rows: Results) -> np.ndarray:
  is_generated = rows.words("kind").mapped(lambda kind: kind == AnswerKind.GENERATE)
  return is_generated & (rows.numbers("num_classes") > 1)


def _rule_row(
  setting: SettingRows, tasks: list[tuple[Results, ...]]
) -> tuple[str, ...]:
  asked = [of_task[0] for of_task in tasks]
  accuracy = [
    macro_mean([right_answers(rows) for rows in checkpoint])
    for checkpoint in zip(*tasks, strict=True)
  ]
  return (
    setting_title(setting.probe, setting.setting),
    str(len(tasks)),
    str(sum(map(len, asked))),
    *(
      show_percent(float(np.mean([_right_by_rule(rows, place) for rows in asked])))
      for place in range(len(FIXED_RULES))
    ),
    *map(show_estimate, accuracy),
  )


def _right_by_rule(rows: Results, rule: int) -> float:
  """The share of open questions of a task that a fixed rule answers."""
  references, choices = rows.words("references"), rows.words("choices")
  right = [
    parse_answer(references.values[i][rule], choices.values[j]) is not None
    for i, j in zip(references.codes.tolist(), choices.codes.tolist(), strict=True)
  ]
  return float(np.mean(right))


def _label_shares(tasks: list[Results]) -> tuple[str, ...]:
  shown = [rows.numbers("prediction") != MISSING for rows in tasks]
  natural = [
    ~is_shown & _is_natural(rows) for rows, is_shown in zip(tasks, shown, strict=True)
  ]
  neither = [~(a | b) for a, b in zip(shown, natural, strict=True)]
  has_natural = any(rows.words("natural").mapped(bool).any() for rows in tasks)
  estimates = [_share(tasks, masks) for masks in (shown, natural, neither)]
  return (
    str(estimates[0].n),
    show_estimate(estimates[0]),
    show_estimate(estimates[1]) if has_natural else "",
    show_estimate(estimates[2]),
  )


def _is_natural(rows: Results) -> np.ndarray:
  """Whether a generated text is a label word of the task."""
  texts, natural = rows.words("text"), rows.words("natural")
  found = [
    parse_answer(texts.values[i] or "", natural.values[j]) is not None
    for i, j in zip(texts.codes.tolist(), natural.codes.tolist(), strict=True)
  ]
  return np.array(found, bool)


def _share(tasks: list[Results], masks: list[np.ndarray]) -> Estimate:
  return macro_mean(
    [task_answers(rows, m) for rows, m in zip(tasks, masks, strict=True)]
  )
