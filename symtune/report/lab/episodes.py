"""PairedResults and question texts -> episodes: each question with all its answers."""

import dataclasses
import enum
from collections.abc import Iterator, Mapping

import numpy as np

from symtune.errors import SymtuneError
from symtune.probe.columns import MISSING
from symtune.probe.results import Results
from symtune.probe.run import CheckpointLabel
from symtune.probe.texts import QuestionText
from symtune.report.outcomes import NO_OUTCOME, OUTCOMES, Outcome, judge_rows
from symtune.report.results import PairedResults, SettingRows, TaskRows


class Change(enum.StrEnum):
  """How the last checkpoint's answer differs from the first one's."""

  ANY = "any"
  RIGHT_WRONG = "right-wrong"
  WRONG_RIGHT = "wrong-right"
  NONE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What one checkpoint answered.

  Attributes:
    checkpoint: who answered.
    prediction: index of the answered choice; None if the generated text is no choice.
    correct: whether that is the right choice.
    text: the generated text, or None.
    log_likelihoods: log p(choice and its end | prompt) in nats, one per choice; empty
      if the answer was generated.
    outcome: which hypothesis was followed; None where the hypotheses do not differ.
    exemplars: exemplars that the model saw.
  """

  checkpoint: CheckpointLabel
  prediction: int | None
  correct: bool
  text: str | None
  log_likelihoods: tuple[float, ...]
  outcome: Outcome | None
  exemplars: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnsweredEpisode:
  """One question and every checkpoint's answer.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    task: name of the task.
    seed: seed of exemplars, format and symbols.
    query: row of the query.
    question: what was shown; None where the run did not keep it.
    choices: the label words.
    label: index of the right choice.
    context: index of the choice that the exemplars imply, or None.
    prior: index of the choice that the words' meaning implies, or None.
    answers: one per checkpoint, in the order of the results.
  """

  probe: str
  setting: str
  task: str
  seed: int
  query: int
  question: QuestionText | None
  choices: tuple[str, ...]
  label: int
  context: int | None
  prior: int | None
  answers: tuple[Answer, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
  """Which episodes are looked for; None and "" accept everything.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    task: name of the task.
    changed: how the last checkpoint differs from the first.
    text: must occur in the prompt, ignoring case.
  """

  probe: str | None = None
  setting: str | None = None
  task: str | None = None
  changed: Change | None = None
  text: str = ""


def find_episodes(
  results: PairedResults, texts: Mapping[int, QuestionText], wanted: Wanted
) -> Iterator[AnsweredEpisode]:
  """The episodes of a run, one after another.

  Args:
    results: answers of every checkpoint.
    texts: what was shown, by hash (`probe.texts.read_questions`).
    wanted: which of them.

  Yields:
    Episodes in the order of the report: by setting, task, seed and query.

  Raises:
    SymtuneError: there is no such probe, setting or task, a text is looked for but the
      run did not keep its questions, or a change with only one checkpoint.
  """
  _check(results, texts, wanted)
  for setting in results.settings:
    if wanted.probe not in (None, setting.probe):
      continue
    if wanted.setting not in (None, setting.setting):
      continue
    for task in setting.tasks:
      if wanted.task in (None, task.task):
        places = np.flatnonzero(has_changed(task, wanted.changed))
        for episode in read_episodes(results, setting, task, places, texts):
          if _holds(episode, wanted.text):
            yield episode


def has_changed(task: TaskRows, changed: Change | None) -> np.ndarray:
  """Whether each question changed in a way, [questions]; None accepts all."""
  first, last = task.by_checkpoint[0], task.by_checkpoint[-1]
  if changed is None:
    return np.ones(len(first), bool)
  before, after = first.numbers("correct"), last.numbers("correct")
  if changed is Change.RIGHT_WRONG:
    return before & ~after
  if changed is Change.WRONG_RIGHT:
    return ~before & after
  is_other = first.numbers("prediction") != last.numbers("prediction")
  return is_other if changed is Change.ANY else ~is_other


def read_episodes(
  results: PairedResults,
  setting: SettingRows,
  task: TaskRows,
  places: np.ndarray,
  texts: Mapping[int, QuestionText],
) -> Iterator[AnsweredEpisode]:
  """The questions at some places of a task's rows, with all their answers.

  Args:
    results: names the checkpoints.
    setting: the setting.
    task: one of its tasks.
    places: numbers of the rows.
    texts: what was shown, by hash.
  """
  rows = [of_one.take(places) for of_one in task.by_checkpoint]
  first = rows[0]
  columns = [
    first.numbers(n).tolist() for n in ("seed", "query", "prompt_hash", "label")
  ]
  hypotheses = [_optional(first, name) for name in ("context", "prior")]
  choices = first.words("choices")
  answers = map(_read_answers, results.checkpoints, rows)
  cells = zip(*columns, *hypotheses, zip(*answers, strict=True), strict=True)
  for number, cell in enumerate(cells):
    seed, query, prompt_hash, label, context, prior, given = cell
    yield AnsweredEpisode(
      probe=setting.probe,
      setting=setting.setting,
      task=task.task,
      seed=seed,
      query=query,
      question=texts.get(prompt_hash),
      choices=choices.value(number),
      label=label,
      context=context,
      prior=prior,
      answers=given,
    )


def _read_answers(label: CheckpointLabel, rows: Results) -> Iterator[Answer]:
  """One checkpoint's answers, column by column: rows would take four times as long."""
  nats, texts = rows.lists("log_likelihoods"), rows.words("text")
  outcomes = judge_rows(rows).tolist()
  correct, exemplars = (rows.numbers(n).tolist() for n in ("correct", "exemplars"))
  for number, prediction in enumerate(_optional(rows, "prediction")):
    outcome = outcomes[number]
    yield Answer(
      checkpoint=label,
      prediction=prediction,
      correct=correct[number],
      text=texts.value(number),
      log_likelihoods=nats.value(number),
      outcome=None if outcome == NO_OUTCOME else OUTCOMES[outcome],
      exemplars=exemplars[number],
    )


def _optional(rows: Results, name: str) -> list[int | None]:
  return [None if v == MISSING else v for v in rows.numbers(name).tolist()]


def _holds(episode: AnsweredEpisode, text: str) -> bool:
  if not text:
    return True
  question = episode.question
  return question is not None and text.casefold() in question.text.casefold()


def _check(
  results: PairedResults, texts: Mapping[int, QuestionText], wanted: Wanted
) -> None:
  settings = results.settings
  there = {
    "probe": {s.probe for s in settings},
    "setting": {s.setting for s in settings if wanted.probe in (None, s.probe)},
    "task": {task.task for s in settings for task in s.tasks},
  }
  for kind, names in there.items():
    name = getattr(wanted, kind)
    if name is not None and name not in names:
      raise SymtuneError(
        f"--{kind} {name}: the results have none, expected one of "
        f"{', '.join(sorted(names))}."
      )
  if wanted.changed is not None and len(results.checkpoints) < 2:
    raise SymtuneError(
      f"--changed {wanted.changed}: the results have one checkpoint, expected at least "
      "two to compare."
    )
  if wanted.text and not texts:
    raise SymtuneError(
      "the run has no questions.jsonl.gz, so no text can be looked for. Probe it again "
      "into its folder: answers are kept, and questions are written."
    )
