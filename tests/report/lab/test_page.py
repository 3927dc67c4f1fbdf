"""report.html: whole, self-contained, the same bytes, and a fair sample."""

import base64
import gzip
import html.parser
import json
import re

import pytest

from symtune.report.lab.browser import sample_episodes
from symtune.report.lab.page import write_page
from symtune.report.report import make_content, write_report


@pytest.fixture(scope="module")
def page(asked):
  """The page beside report.md."""
  write_report(asked.folder)
  return (asked.folder / "report.html").read_text(encoding="utf-8")


def _data(page):
  packed = re.search(r'id="data">([^<]*)<', page)
  return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_nothing_is_read_from_elsewhere(page):
  kept = re.sub(r'id="data">[^<]*<', "", page)
  names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
  assert set(re.findall(r"https?://[\w./#]+", kept)) <= names
  assert not re.search(r"""(src|href)=["'](?!#)""", kept)
  assert "default-src 'none'" in page
  html.parser.HTMLParser().feed(page)


def test_tables_of_the_report_are_in_the_page(page, asked):
  text = re.sub(r"<[^>]*>", "", page)
  report = (asked.folder / "report.md").read_text()
  headings = re.findall(r"^## (.*)$", report, re.MULTILINE)
  assert len(headings) > 5
  for heading in headings:
    assert heading in text
  for cell in re.findall(r"\| ([^|\n]*\[[^|\n]*) \|", report):
    assert cell in text
  assert page.count("<svg") == 1


def test_every_episode_can_be_read_back(page, asked):
  data = _data(page)
  assert data["checkpoints"] == [
    "baseline:context (step 0)",
    "baseline:prior (step 0)",
  ]
  assert len(data["episodes"]) == len(asked.rows) / 2
  first = asked.episodes(limit=1)[0]
  setting, task, seed, query, turns, choices, label, *_ = data["episodes"][0]
  assert data["settings"][setting][:2] == [first.probe, first.setting]
  assert (data["tasks"][task], seed, query) == (first.task, first.seed, first.query)
  texts = [data["texts"][i] for i in turns]
  exemplars = ["".join(pair) for pair in zip(texts[0:-1:2], texts[1::2], strict=True)]
  assert "\n\n".join([*exemplars, texts[-1]]) == first.question.text
  assert tuple(data["texts"][i] for i in choices) == first.choices
  assert label == first.label
  assert "All 126 questions" in page


def test_the_same_results_give_the_same_bytes(page, asked):
  write_report(asked.folder)
  assert (asked.folder / "report.html").read_text(encoding="utf-8") == page


def test_a_sample_is_fair_and_says_so(asked, tmp_path):
  content = make_content(asked.folder)
  chosen = sample_episodes(content.results, 50)
  sizes = {len(places) for *_, places in chosen}
  assert sizes == {2}  # 21 cells of 6 questions
  assert [p.tolist() for *_, p in sample_episodes(content.results, 50)] == [
    p.tolist() for *_, p in chosen
  ]
  write_page(tmp_path / "small.html", content, {}, most=50)
  small = (tmp_path / "small.html").read_text(encoding="utf-8")
  assert "A sample: 42 of 126 questions, at most 2" in small
  assert "did not keep the text" in small
  assert len(_data(small)["episodes"]) == 42
