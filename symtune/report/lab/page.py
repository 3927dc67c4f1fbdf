"""Content and question texts -> report.html: tables, figures and a browser of episodes.

The page is one file that needs no network and no server. Its tables and figures are
plain HTML and SVG; its episodes are JSON, compressed and in base64, which page.js
unpacks and shows (`_pack` describes the JSON).
"""

import base64
import gzip
import html
import json
import pathlib
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symtune.data.rng import keyed_generator
from symtune.files import write_whole
from symtune.probe.texts import QuestionText
from symtune.report.lab.content import Content, Drawing, Section
from symtune.report.lab.episodes import Answer, read_episodes
from symtune.report.outcomes import OUTCOMES
from symtune.report.results import (
  PairedResults,
  SettingRows,
  TaskRows,
  checkpoint_title,
  setting_title,
)
from symtune.report.tables import Table

MOST_EPISODES = 20_000
_LONG_TABLE = 40  # rows; longer tables are folded
_FILES = pathlib.Path(__file__).parent
_CODE = re.compile(r"`([^`]*)`")


def write_page(
  path: pathlib.Path,
  content: Content,
  texts: Mapping[int, QuestionText],
  most: int = MOST_EPISODES,
) -> None:
  """Writes the page; the same results give the same bytes.

  Args:
    path: the file.
    content: tables and figures.
    texts: what the questions showed, by hash; may be empty.
    most: largest number of episodes; of more, a sample of every setting and task.

  Raises:
    SymtuneError: the disk is full.
  """
  results = content.results
  chosen = sample_episodes(results, most)
  packed = _pack(results, chosen, texts)
  page = string.Template((_FILES / "page.html").read_text(encoding="utf-8"))
  first = 1 + max(_figure_places(content), default=0)
  data = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
  write_whole(
    path,
    page.substitute(
      title=html.escape(content.title),
      style=(_FILES / "page.css").read_text(encoding="utf-8"),
      remarks="".join(_text_to_html(remark) for remark in content.remarks),
      first="".join(map(_section_to_html, content.sections[:first])),
      others="".join(map(_section_to_html, content.sections[first:])),
      links=_links(content),
      sample=html.escape(_describe_sample(results, chosen, texts)),
      data=base64.b64encode(gzip.compress(data.encode("utf-8"), mtime=0)).decode(),
      script=(_FILES / "page.js").read_text(encoding="utf-8"),
    ),
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


def _links(content: Content) -> str:
  """Links to the sections that have a title."""
  titles = [s.title for s in content.sections if s.title is not None]
  return "".join(
    f'<li><a href="#{_slug(title)}">{html.escape(_short(title))}</a></li>'
    for title in titles
  )


def _figure_places(content: Content) -> list[int]:
  """The place of the section with the first figure; the episodes follow it."""
  return [
    place
    for place, section in enumerate(content.sections)
    if any(isinstance(part, Drawing) for part in section.parts)
  ][:1]


def _section_to_html(section: Section) -> str:
  inside = "".join(map(_part_to_html, section.parts))
  if section.title is None:
    return f"<section>{inside}</section>"
  name = html.escape(section.title)
  return f'<section><h2 id="{_slug(section.title)}">{name}</h2>{inside}</section>'


def _part_to_html(part: Table | Drawing | str) -> str:
  if isinstance(part, Table):
    return _table_to_html(part)
  if isinstance(part, Drawing):
    svg = part.draw("svg").decode("utf-8")
    drawing = svg[svg.index("<svg") :]
    return (
      f'<figure role="img" aria-label="{html.escape(part.alt)}"><div>{drawing}</div>'
      f"<figcaption>{html.escape(part.alt)}</figcaption></figure>"
    )
  return _text_to_html(part)


def _table_to_html(table: Table) -> str:
  kinds = ["number" if column.is_number else "name" for column in table.columns]
  head = "".join(
    f'<th class="{kind}" scope="col">{html.escape(column.title)}</th>'
    for kind, column in zip(kinds, table.columns, strict=True)
  )
  body = "".join(
    "<tr>"
    + "".join(
      f'<td class="{kind}">{_cell_to_html(cell)}</td>'
      for kind, cell in zip(kinds, row, strict=True)
    )
    + "</tr>"
    for row in table.rows
  )
  shown = (
    f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
    f"<tbody>{body}</tbody></table></div>"
  )
  if len(table.rows) > _LONG_TABLE:
    return f"<details><summary>{len(table.rows)} rows</summary>{shown}</details>"
  return shown


def _cell_to_html(cell: str) -> str:
  """A cell whose interval, in brackets, is set small."""
  return re.sub(r" (\[[^\]]*\])", r" <small>\1</small>", html.escape(cell))


def _text_to_html(text: str) -> str:
  """A list with dashes, or paragraphs; backticks mark code."""
  lines = text.strip().split("\n")
  if not lines[0].startswith("- "):
    return "".join(f"<p>{_inline(part)}</p>" for part in text.strip().split("\n\n"))
  items: list[str] = []
  for line in lines:
    if line.startswith("- "):
      items.append(line[2:])
    else:
      items[-1] += " " + line.strip()
  return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"


def _inline(text: str) -> str:
  return _CODE.sub(r"<code>\1</code>", html.escape(text))


def _slug(title: str) -> str:
  return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _short(title: str) -> str:
  """A title without what stands in brackets or after a comma."""
  return re.split(r"[\[,(]", title)[0].strip()
