"""Settings of one checkpoint are compared on the questions that both were asked."""

import dataclasses

import pytest

from symtune.cards.card import Task
from symtune.errors import SymtuneError
from symtune.lab.ask import ask
from symtune.lab.results import LabResults
from symtune.lab.tasks import LabTask
from symtune.probe.ask import Question, TaskProbe
from symtune.probe.contrasts import of_catalog, read_contrasts
from symtune.probe.probe import Compared
from symtune.report.contrasts import compare_settings, contrast_table
from symtune.report.report import write_report
from symtune.report.results import pair_rows

NAMES = ("instruction+labels", "labels", "instruction", "neither")


def _cells(rows):
  table = contrast_table(compare_settings(pair_rows(rows)))
  titles = [column.title for column in table.columns]
  return {row[:2]: dict(zip(titles, row, strict=True)) for row in table.rows}


def test_what_labels_and_instructions_add(make_rows):
  right = {"instruction+labels": 9, "labels": 8, "instruction": 4, "neither": 2}
  rows = [
    row
    for name in NAMES
    for row in make_rows("a", 0, "t", [1] * right[name] + [0] * (10 - right[name]),
                         setting=name)
  ]  # fmt: skip
  found = _cells(rows)
  shown = {key[0]: cells["difference"].split(" ")[0] for key, cells in found.items()}
  assert shown == {
    "labels (minus neither)": "+60.0",
    "instruction + labels (minus instruction)": "+50.0",
    "instruction (minus neither)": "+20.0",
    "instruction + labels (minus labels)": "+10.0",
  }
  labels = found["labels (minus neither)", "a (step 0)"]
  assert labels["p"] == "0.031"  # McNemar of 6 better and none worse: 2 / 2^6
  assert labels["p (Holm)"] == "0.125"  # times four contrasts
  assert (labels["tasks"], labels["n"]) == ("1", "10")


def test_what_an_instruction_adds_is_also_shown_at_equal_format(make_rows):
  """In the paper's design the format changes with the instruction."""
  right = {
    "instruction+labels": 9,
    "labels": 8,
    "instruction": 4,
    "neither": 2,
    "labels, fixed format": 6,
    "neither, fixed format": 3,
  }
  rows = [
    row
    for name, count in right.items()
    for row in make_rows("a", 0, "t", [1] * count + [0] * (10 - count), setting=name)
  ]
  found = _cells(rows)
  shown = {key[0]: cells["difference"].split(" ")[0] for key, cells in found.items()}
  assert list(shown.items())[2:] == [
    ("instruction (minus neither)", "+20.0"),
    ("instruction (minus neither, fixed format)", "+10.0"),
    ("instruction + labels (minus labels)", "+10.0"),
    ("instruction + labels (minus labels, fixed format)", "+30.0"),
  ]


def test_natural_is_compared_with_every_other_kind_of_label(make_rows):
  """Pairs are found by seed and query; a task that one lacks is left out of both."""
  rows = []
  for name, right in (("before", [1, 1, 1, 0]), ("after", [1, 1, 1, 1])):
    of = {"probe": "label_semantics"}
    rows += make_rows(name, 0, "one", right, setting="natural", **of)
    rows += make_rows(name, 0, "two", [0, 0], setting="natural", **of)
    rows += make_rows(name, 0, "one", [0, 0, 1, 1], setting="integers", **of)
    rows += make_rows(name, 0, "one", right, setting="synonym", **of)
  found = compare_settings(pair_rows(rows))
  changes = {(c.settings, c.checkpoint.name): c.change.difference for c in found}
  assert changes == {
    (("integers", "natural"), "before"): pytest.approx(0.25),
    (("integers", "natural"), "after"): pytest.approx(0.5),
    (("synonym", "natural"), "before"): 0.0,
    (("synonym", "natural"), "after"): 0.0,
  }
  assert {c.tasks for c in found} == {("one",)}
  assert all(c.change.low < c.change.difference < c.change.high for c in found)


def test_settings_without_a_counterpart_have_no_contrast(make_rows):
  rows = make_rows("a", 0, "t", [1, 0], setting="labels")
  rows += make_rows("a", 0, "t", [1, 0], "label_semantics", "integers")
  assert compare_settings(pair_rows(rows)) == ()
  apart = make_rows("a", 0, "one", [1], setting="labels")
  apart += make_rows("a", 0, "two", [1], setting="neither")
  assert compare_settings(pair_rows(apart)) == ()


def test_report_has_the_table(run_dir):
  write_report(run_dir)
  text = (run_dir / "report.md").read_text()
  assert "## Settings compared, in points [95% interval]" in text
  assert "| labels (minus neither) | after (step 40) | 2 | 14 | +0.0 [" in text


class FewOrMany(TaskProbe):
  """Two exemplars or all of them; the last two settings are never asked."""

  name = "few_or_many"
  contrasts = (
    Compared(setting="many", minus="few", reliance="many minus few"),
    Compared(setting="many", minus="none"),
  )

  def questions(self, asker, seed, episode):
    label = episode.query.label
    few = dataclasses.replace(episode, exemplars=episode.exemplars[:2])
    return [
      Question(setting=name, episode=shown, context=label, prior=label)
      for name, shown in (("few", few), ("many", episode))
    ]


@pytest.fixture
def own(toy_task: Task, tmp_path):
  """The answers of an oracle to that probe, in a folder."""
  task = LabTask(task=toy_task)
  return ask(
    "baseline:oracle",
    task,
    [FewOrMany()],
    max_queries=3,
    out=tmp_path / "own",
    quiet=True,
  )


def test_a_probe_of_ones_own_declares_what_is_compared(own, tmp_path):
  page = own.report(tmp_path / "lab.html").read_text(encoding="utf-8")
  assert "few or many: many (minus few)" in page
  assert "(minus none)" not in page
  assert [row[0] for row in own.label_reliance().table.rows] == ["many minus few"]
  assert read_contrasts(own.folder) == {"few_or_many": FewOrMany.contrasts}
  saved = LabResults.load(own.save(tmp_path / "saved"))
  assert saved.label_reliance().table == own.label_reliance().table


def test_a_damaged_file_of_contrasts_is_named(own):
  for content in ("[]", '{"few_or_many": [{"minus": "few"}]}', "{"):
    (own.folder / "contrasts.json").write_text(content)
    with pytest.raises(SymtuneError, match=r"contrasts\.json is damaged"):
      own.label_reliance()


def test_what_shipped_probes_compare_names_their_settings(own):
  declared = of_catalog()
  assert declared["settings"]
  assert declared["label_semantics"][0] == Compared(setting="natural")
  assert not (own.folder / "contrasts.json").read_text().count("settings")


def test_a_contrast_that_is_no_contrast_is_refused(toy_task):
  class Wrong(FewOrMany):
    contrasts = (("many", "few"),)

  with pytest.raises(SymtuneError, match="probe few_or_many: got the contrast"):
    ask("baseline:oracle", LabTask(task=toy_task), [Wrong()], max_queries=1, quiet=True)
