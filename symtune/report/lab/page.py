"""Content and question texts -> report.html: tables, figures and a browser of episodes.

The page is one file that needs no network and no server. Its tables and figures are
plain HTML and SVG; browser.py makes its episodes, if there are any.
"""

import html
import pathlib
import re
import string
from collections.abc import Mapping, Sequence

from symtune.files import write_whole
from symtune.probe.texts import QuestionText
from symtune.report.canvas import Form
from symtune.report.lab.answers import answers_to_html
from symtune.report.lab.browser import MOST_EPISODES, browser_parts
from symtune.report.lab.content import (
  Content,
  Drawing,
  Part,
  Section,
  SideBySide,
  content_to_markdown,
)
from symtune.report.tables import Table

_LONG_TABLE = 40  # rows; longer tables are folded
_FILES = pathlib.Path(__file__).parent
_CODE = re.compile(r"`([^`]*)`")
_TO_EPISODES = '<a class="skip" href="#episodes">Skip to the episodes</a>'
_EPISODES_LINK = '<li><a href="#episodes">Episodes</a></li>'


def write_content(
  stem: pathlib.Path,
  content: Content,
  texts: Mapping[int, QuestionText] | None = None,
  forms: Sequence[Form] = (),
) -> None:
  """Writes a report as Markdown and as a page, with its figures beside them.

  Args:
    stem: path without an ending, such as RUN/report for RUN/report.md and .html.
    content: what the report says.
    texts: what the questions showed, by hash.
    forms: what figures are written as besides PNG.

  Raises:
    SymtuneError: the disk is full.
  """
  for section in content.sections:
    for part in section.parts:
      if isinstance(part, Drawing):
        for form in dict.fromkeys((Form.PNG, *forms)):
          path = (stem.parent / part.file).with_suffix(f".{form}")
          write_whole(path, part.draw(form))
  write_whole(stem.with_suffix(".md"), content_to_markdown(content))
  write_page(stem.with_suffix(".html"), content, texts or {})


def write_page(
  path: pathlib.Path,
  content: Content,
  texts: Mapping[int, QuestionText],
  most: int = MOST_EPISODES,
) -> None:
  """Writes the page; the same results give the same bytes.

  Args:
    path: the file.
    content: tables and figures, and the answers whose episodes can be looked at.
    texts: what the questions showed, by hash; may be empty.
    most: largest number of episodes; of more, a sample of every setting and task.

  Raises:
    SymtuneError: the disk is full.
  """
  page = string.Template((_FILES / "page.html").read_text(encoding="utf-8"))
  first = 1 + max(_figure_places(content), default=0)
  browser, scripts, skip, link = "", "", "", ""
  if content.results is not None:
    browser, scripts = browser_parts(content.results, texts, most)
    skip, link = _TO_EPISODES, _EPISODES_LINK
  write_whole(
    path,
    page.substitute(
      title=html.escape(content.title),
      style=(_FILES / "page.css").read_text(encoding="utf-8"),
      skip=skip,
      remarks="".join(_text_to_html(remark) for remark in content.remarks),
      first="".join(map(_section_to_html, content.sections[:first])),
      browser=browser,
      others="".join(map(_section_to_html, content.sections[first:])),
      links=_links(content) + link,
      script=(_FILES / "page.js").read_text(encoding="utf-8"),
      scripts=scripts,
    ),
  )


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


def _part_to_html(part: Part) -> str:
  if isinstance(part, SideBySide):
    return answers_to_html(part)
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
