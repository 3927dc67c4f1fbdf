"""A report holds the run's numbers, or says why there is none."""

import dataclasses
import io

import matplotlib.image
import pytest

from symtune.errors import SymtuneError
from symtune.report.report import write_report


def test_report_says_what_was_run_and_found(run_dir):
  write_report(run_dir)
  text = (run_dir / "report.md").read_text()
  assert text.startswith("# toy_recipe\n\nConfiguration `c0ffee`.\n")
  assert "| neither | 2 | 14 | 37.5 | 42.5 [" in text
  assert "| neither | ten | 10 | 50.0 | 10.0 [1.8, 40.4] | 90.0 [59.6, 98.2] |" in text
  assert "](report.png)" in text
  assert "McNemar" in text
  assert "800 prompts built; 7 of them lost 12 exemplars to fit; 3 did not fit" in text
  assert "5 rows of old dropped: ten has the same texts" in text


def test_figure_is_a_png(run_dir):
  write_report(run_dir)
  png = io.BytesIO((run_dir / "report.png").read_bytes())
  assert matplotlib.image.imread(png, format="png").ndim == 3


def test_terminal_gets_the_headline(run_dir):
  reliance, table = write_report(run_dir)
  assert reliance.row_count == 1
  assert table.row_count == 5
  assert "mean over tasks" in str(table.title)


def test_second_report_is_equal_and_leaves_no_temporary_files(run_dir):
  write_report(run_dir)
  first = {p.name: p.read_bytes() for p in run_dir.iterdir()}
  write_report(run_dir)
  assert {p.name: p.read_bytes() for p in run_dir.iterdir()} == first
  assert set(first) == {
    "data.json",
    "report.html",
    "report.md",
    "report.png",
    "results.jsonl",
    "run.json",
  }


def test_results_alone_are_enough(run_dir):
  (run_dir / "run.json").unlink()
  (run_dir / "data.json").unlink()
  write_report(run_dir)
  text = (run_dir / "report.md").read_text()
  assert text.startswith("# Report\n")
  assert "Tuning data" not in text


def test_one_checkpoint_is_enough(run_dir):
  path = run_dir / "results.jsonl"
  lines = [line for line in path.read_text().splitlines() if '"before"' in line]
  path.write_text("\n".join(lines) + "\n")
  write_report(run_dir)
  text = (run_dir / "report.md").read_text()
  assert "(minus before)" not in text
  assert "after" not in text


def test_lost_exemplars_are_counted_for_each_answerer(
  run_dir, both_checkpoints, write_rows
):
  write_report(run_dir)
  assert "- No prompt lost exemplars." in (run_dir / "report.md").read_text()
  short = [
    dataclasses.replace(row, exemplars=row.exemplars - 3)
    if (row.checkpoint, row.setting, row.query) == ("after", "labels", 1)
    else row
    for row in both_checkpoints
  ]
  write_rows(run_dir, short)
  write_report(run_dir)
  text = (run_dir / "report.md").read_text()
  assert "- after (step 40), settings, labels: 2 of 14 prompts lost 6 exemplars" in text
  assert "- before (step 0), settings" not in text


def test_no_results_are_an_error(tmp_path):
  with pytest.raises(SymtuneError, match=r"no results at .*symtune run"):
    write_report(tmp_path)


def test_empty_results_are_an_error_that_names_the_file(run_dir):
  (run_dir / "results.jsonl").write_text("")
  with pytest.raises(SymtuneError, match=r"results\.jsonl: no results"):
    write_report(run_dir)


def test_a_half_probed_checkpoint_is_reported_for_what_it_has(run_dir):
  path = run_dir / "results.jsonl"
  path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
  write_report(run_dir)
  for name in ("report.md", "report.html"):
    text = (run_dir / name).read_text()
    assert "3 of 66 questions were not asked of every checkpoint" in text


def test_checkpoints_with_nothing_in_common_are_an_error(run_dir):
  path = run_dir / "results.jsonl"
  lines = path.read_text().splitlines(keepends=True)
  before = [x for x in lines if '"before"' in x and "flipped" in x]
  after = [x for x in lines if '"after"' in x and "flipped" not in x]
  path.write_text("".join(before + after))
  with pytest.raises(SymtuneError, match=r"results\.jsonl: got \d+ questions, none"):
    write_report(run_dir)
  assert not (run_dir / "report.md").exists()


def test_damaged_counts_are_named(run_dir):
  (run_dir / "data.json").write_text('{"prompts": {}, "leaks_dropped": []}')
  with pytest.raises(SymtuneError, match=r"data\.json is damaged: 'prompts' is"):
    write_report(run_dir)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"recipe": "x"}'])
@pytest.mark.parametrize("name", ["run.json", "data.json"])
def test_damaged_files_are_named(run_dir, name, text):
  (run_dir / name).write_text(text)
  with pytest.raises(SymtuneError, match=f"{name} is damaged"):
    write_report(run_dir)


def test_curves_over_different_tasks_are_repeated_for_common_ones(
  make_rows, write_rows, tmp_path
):
  few, many = (f"symbols, {n:02d} per class" for n in (1, 32))
  rows = make_rows("a", 0, "small", [0, 0, 0, 0], "shots", few)
  rows += make_rows("a", 0, "large", [1, 1, 1, 0], "shots", few)
  rows += make_rows("a", 0, "large", [1, 1, 1, 1], "shots", many)
  write_rows(tmp_path, rows)
  write_report(tmp_path)
  text = (tmp_path / "report.md").read_text()
  whole, common = text.split("on the tasks that all settings of a probe share")
  common = common.split("##")[0]
  assert "| shots: symbols, 01 per class | 2 | 8 | 50.0 | 37.5 [" in whole
  assert "| shots: symbols, 01 per class | 1 | 4 | 50.0 | 75.0 [" in common
  assert "| shots: symbols, 32 per class | 1 | 4 | 50.0 | 100.0 [" in common
