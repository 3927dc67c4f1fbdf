"""Several runs in one report: what is paired is compared, and the rest is counted."""

import pytest

import symtune as st
from symtune.errors import SymtuneError
from symtune.lab.tasks import LabTask
from symtune.probe.results import read_results
from symtune.report.lab.join import join_runs, keep_paired
from symtune.report.report import write_report

QUICK = {"k": 2, "max_queries": 3, "seeds": [0], "quiet": True}


@pytest.fixture
def ask(make_task, tmp_path):
  """Asks baselines into a folder."""

  def ask(name, models, probes, labels=("animal", "fruit")):
    task = LabTask(task=make_task(labels))
    st.ask(models, task, probes, out=tmp_path / name, **QUICK)
    return tmp_path / name

  return ask


def test_runs_are_joined_and_a_shared_checkpoint_is_taken_once(ask, tmp_path):
  first = ask("a", ["baseline:prior", "baseline:context"], ["flipped_labels"])
  second = ask("b", ["baseline:prior", "baseline:copy"], ["flipped_labels", "shots"])
  join_runs([first, second], tmp_path / "both")
  write_report(tmp_path / "both")
  report = (tmp_path / "both" / "report.md").read_text()
  assert report.startswith("# a + b\n")
  rows = read_results(tmp_path / "both" / "results.jsonl")
  flipped = [r.checkpoint for r in rows if r.probe == "flipped_labels"]
  assert {name: flipped.count(name) for name in flipped} == {
    "baseline:prior": 3,
    "baseline:context": 3,
    "baseline:copy": 3,
  }
  assert "of every checkpoint" in report  # `shots` was asked of one
  assert "shots" in report
  results = st.LabResults.load(tmp_path / "both")
  assert len(results.episodes(limit=99)) == 3
  with pytest.raises(SymtuneError, match="has results already"):
    join_runs([first, second], tmp_path / "both")


def test_checkpoints_of_one_name_are_told_apart(ask, tmp_path, rename):
  first = ask("a", ["baseline:prior"], ["settings"])
  second = ask("b", ["baseline:context"], ["settings"])
  for folder in (first, second):
    rename(folder, "after")
  join_runs([first, second], tmp_path / "both")
  rows = read_results(tmp_path / "both" / "results.jsonl")
  assert {r.checkpoint for r in rows} == {"a: after", "b: after"}


def test_runs_without_a_common_question_are_refused(ask, tmp_path):
  first = ask("a", ["baseline:prior"], ["settings"])
  second = ask("b", ["baseline:context"], ["settings"], ("fruit", "tool"))
  with pytest.raises(SymtuneError, match="none of which was asked of all 2"):
    join_runs([first, second], tmp_path / "both")
  assert not (tmp_path / "both").exists()


def test_what_every_checkpoint_was_asked_is_kept_whole(ask):
  rows = read_results(
    ask("a", ["baseline:prior", "baseline:copy"], "settings") / "results.jsonl"
  )
  whole = keep_paired(rows)
  assert whole.remark is None
  assert whole.rows == rows
  part = keep_paired(rows[: len(rows) - 2])
  assert len(part.rows) == len(rows) - 4
  assert "2 of 18 questions" in part.remark
