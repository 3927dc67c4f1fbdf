"""Answers and question texts -> the browser of single episodes in report.html.

The episodes are JSON, compressed and in base64, which browser.js unpacks and shows
(`_pack` describes the JSON).
"""

import base64
import gzip
import html
import json
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.probe.texts import QuestionText
from symtune.report.lab.episodes import Answer, read_episodes
from symtune.report.outcomes import OUTCOMES
from symtune.report.results import (
  PairedResults,
  SettingRows,
  TaskRows,
  checkpoint_title,
  setting_title,
)

MOST_EPISODES = 20_000
_FILES = pathlib.Path(__file__).parent


def browser_parts(
  results: PairedResults, texts: Mapping[int, QuestionText], most: int
) -> tuple[str, str]:
  """The section that shows episodes, and its data and script.

  Args:
    results: answers of every checkpoint.
    texts: what the questions showed, by hash; may be empty.
    most: largest number of episodes; of more, a sample of every setting and task.

  Returns:
    HTML for the page, and HTML for its end.
  """
  chosen = sample_episodes(results, most)
  packed = _pack(results, chosen, texts)
  data = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
  encoded = base64.b64encode(gzip.compress(data.encode("utf-8"), mtime=0)).decode()
  section = string.Template((_FILES / "browser.html").read_text(encoding="utf-8"))
  sample = html.escape(_describe_sample(results, chosen, texts))
  script = (_FILES / "browser.js").read_text(encoding="utf-8")
  return section.substitute(sample=sample), (
    f'<script type="application/octet-stream" id="data">{encoded}</script>\n'
    f"<script>\n{script}</script>"
  )


_Chosen = list[tuple[SettingRows, TaskRows, np.ndarray]]


def sample_episodes(results: PairedResults, most: int) -> _Chosen:
  """Which questions of each setting and task a page holds.

  Args:
    results: answers of every checkpoint.
    most: largest number of questions.

  Returns:
    (setting, its task, places of the questions, ascending). If there are more than
    `most` questions, small cells are whole and large ones have an equal number, drawn
    at random.
  """
  cells = [(s, t, len(t.by_checkpoint[0])) for s in results.settings for t in s.tasks]
  limit = _fair_limit([size for *_, size in cells], most)
  chosen = []
  for setting, task, size in cells:
    places = np.arange(size)
    if size > limit:
      key = ("report", "page", setting.probe, setting.setting, task.task)
      drawn = keyed_generator(*key).choice(size, size=limit, replace=False)
      places = np.sort(drawn)
    chosen.append((setting, task, places))
  return chosen


def _fair_limit(sizes: Sequence[int], most: int) -> int:
  """The largest number per cell with which no more than `most` are taken in all."""
  low, high = 0, max(sizes, default=0)
  while low < high:
    middle = (low + high + 1) // 2
    if sum(min(size, middle) for size in sizes) <= most:
      low = middle
    else:
      high = middle - 1
  return low


def _describe_sample(
  results: PairedResults, chosen: _Chosen, texts: Mapping[int, QuestionText]
) -> str:
  total = sum(len(t.by_checkpoint[0]) for s in results.settings for t in s.tasks)
  held = sum(len(places) for *_, places in chosen)
  said = f"All {total:,} questions of the run."
  if held < total:
    most = max(len(places) for *_, places in chosen)
    said = (
      f"A sample: {held:,} of {total:,} questions, at most {most} of each setting and "
      "task, drawn at random. The tables count all of them."
    )
  if not texts:
    said += " The run did not keep the text of its questions."
  return said


class _Names:
  """Numbers for texts, in the order in which they are first asked for."""

  def __init__(self):
    self._numbers: dict[str, int] = {}

  def __call__(self, text: str) -> int:
    return self._numbers.setdefault(text, len(self._numbers))

  def texts(self) -> list[str]:
    return list(self._numbers)


def _pack(
  results: PairedResults, chosen: _Chosen, texts: Mapping[int, QuestionText]
) -> dict[str, Any]:
  """The episodes as JSON, in which every text stands once and is named by its number.

  An episode is a list: number of its setting; task; seed; query; the turns, as
  (text before the label word, label word) per exemplar and then the query's text, or
  null; the choices; right choice, exemplars' choice, prior's choice (-1 for none); and
  for each checkpoint [answered choice or -1, outcome or -1, right or not, exemplars
  seen, generated text or -1, then nats per choice]; and the query's own text, without
  cues, or -1.
  """
  names, tasks = _Names(), _Names()
  settings: list[list[str]] = []
  episodes = []
  for setting, task, places in chosen:
    about = [
      setting.probe,
      setting.setting,
      setting_title(setting.probe, setting.setting),
    ]
    if about not in settings:
      settings.append(about)
    for found in read_episodes(results, setting, task, places, texts):
      question = found.question
      episodes.append(
        [
          settings.index(about),
          tasks(found.task),
          found.seed,
          found.query,
          None if question is None else _pack_turns(question, names),
          [names(word) for word in found.choices],
          found.label,
          -1 if found.context is None else found.context,
          -1 if found.prior is None else found.prior,
          [_pack_answer(answer, names) for answer in found.answers],
          -1 if question is None else names(_query_text(question)),
        ]
      )
  return {
    "checkpoints": [checkpoint_title(label) for label in results.checkpoints],
    "settings": settings,
    "tasks": tasks.texts(),
    "outcomes": [str(outcome) for outcome in OUTCOMES],
    "texts": names.texts(),
    "episodes": episodes,
  }


def _pack_turns(question: QuestionText, names: _Names) -> list[int]:
  *exemplars, query = question.turns
  packed = []
  for turn in exemplars:
    packed += [names("".join(turn[:-1])), names(turn[-1])]
  return [*packed, names("".join(query))]


def _query_text(question: QuestionText) -> str:
  """The query without its cues and instruction."""
  parts = list(question.turns[-1])
  return parts[-2] if len(parts) > 1 else parts[0]


def _pack_answer(answer: Answer, names: _Names) -> list[float | int]:
  return [
    -1 if answer.prediction is None else answer.prediction,
    -1 if answer.outcome is None else OUTCOMES.index(answer.outcome),
    int(answer.correct),
    answer.exemplars,
    -1 if answer.text is None else names(answer.text),
    *(round(value, 3) for value in answer.log_likelihoods),
  ]
