"""What a report says, section by section, whether it becomes Markdown or HTML."""

import dataclasses
from collections.abc import Callable

from symtune.report.results import PairedResults
from symtune.report.tables import Table, to_markdown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
  """A figure.

  Attributes:
    file: name of its file beside report.md.
    alt: what it shows, for those who cannot see it.
    draw: gives it in one of `canvas.FORMS`.
  """

  file: str
  alt: str
  draw: Callable[[str], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
  """A question with the answers of several models, each a free text.

  Attributes:
    where: what it belongs to, such as its encoding and task.
    asked: what was asked, as (title, text); empty texts are not shown.
    answers: the text of each model.
    notes: how good each answer is, in words.
    right: whether each answer is right.
  """

  where: str
  asked: tuple[tuple[str, str], ...]
  answers: tuple[str, ...]
  notes: tuple[str, ...]
  right: tuple[bool, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SideBySide:
  """Answers side by side: the page shows and filters them, Markdown has a table.

  Attributes:
    models: names of the models.
    questions: questions with one answer per model.
    sample: what these questions are of, as a sentence.
    table: some of them, for Markdown.
  """

  models: tuple[str, ...]
  questions: tuple[Answered, ...]
  sample: str
  table: Table


Part = Table | Drawing | SideBySide | str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """A part of a report.

  Attributes:
    title: its heading; None continues the section before.
    parts: tables, figures, answers and texts; a text is a list with dashes, or a
      paragraph. A report has answers side by side at most once.
  """

  title: str | None = None
  parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
  """A whole report.

  Attributes:
    title: its title.
    remarks: paragraphs below the title.
    sections: the sections, the most important ones first.
    results: the answers that it is about, whose episodes the page shows; None if there
      are none.
    headlines: the tables that the terminal shows.
  """

  title: str
  remarks: tuple[str, ...]
  sections: tuple[Section, ...]
  results: PairedResults | None
  headlines: tuple[Table, ...]


def of_table(table: Table) -> Section:
  """A section with one table, under its title."""
  return Section(title=table.title, parts=(table,))


def content_to_markdown(content: Content) -> str:
  """The report as report.md; figures are the files beside it."""
  parts = [f"# {content.title}\n", *content.remarks]
  for section in content.sections:
    if section.title is not None:
      parts.append(f"## {section.title}\n")
    parts += [_to_markdown(part) for part in section.parts]
  return "\n".join(parts)


def _to_markdown(part: Part) -> str:
  if isinstance(part, SideBySide):
    return to_markdown(part.table)
  if isinstance(part, Table):
    return to_markdown(part)
  return f"![{part.alt}]({part.file})\n" if isinstance(part, Drawing) else part
