"""`symtune ask`, `show` and `data import`: no recipe, no tuning rows."""

import sys

import pytest

from symtune.cli.main import main
from symtune.probe.results import read_results

QUICK = ("--queries", "2", "--seeds", "0", "--shots", "2")
TABLE = ("--task", "reviews.csv", "--text", "review", "--label", "stars")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
  """Runs a command in a folder with a table; its exit code and what it printed."""
  lines = [f"text {i},{('bad', 'good')[i % 2]}" for i in range(40)]
  (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *lines]))
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("COLUMNS", "160")

  def run(*arguments):
    monkeypatch.setattr(sys, "argv", ["symtune", *arguments])
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out + printed.err

  return run


def _ask(run, *more, models=("baseline:context", "baseline:prior")):
  named = [word for name in models for word in ("--model", name)]
  return run("ask", *named, "--out", "out", *QUICK, *more)


def test_own_table_to_report_and_episodes(run, tmp_path):
  probes = ("--probes", "flipped_labels,label_semantics", "--labels-as", "poor, fine")
  code, printed = _ask(run, *TABLE, *probes)
  assert code == 0, printed
  assert (tmp_path / "out" / "report.html").resolve().as_uri() in printed
  rows = read_results(tmp_path / "out" / "results.jsonl")
  assert {r.choices for r in rows if r.setting == "poor, fine"} == {("poor", "fine")}
  code, printed = run("show", "out", "--probe", "flipped_labels", "--limit", "1")
  assert code == 0
  for words in ("follows context", "follows prior", "log p(bad)", "reviews"):
    assert words in printed
  code, printed = run("show", "out", "--changed", "wrong-right")
  assert "no such episodes" in printed
  code, printed = run("report", "out", "--rule", "token")
  assert code == 0, printed


def test_an_imported_table_is_asked_by_its_card(run, tmp_path):
  code, printed = run("data", "import", "reviews.csv", "--to", "data", *TABLE[2:])
  assert code == 0, printed
  assert "40 rows (bad 20, good 20)" in printed
  code, printed = _ask(run, "--task", "data/reviews.yaml")
  assert code == 0, printed
  first = (tmp_path / "out" / "results.jsonl").read_bytes()
  code, printed = _ask(run, *TABLE)  # the same task, settings and answers
  assert code == 0, printed
  assert (tmp_path / "out" / "results.jsonl").read_bytes() == first


def test_a_card_of_the_working_folder_is_asked_by_its_name(run, tmp_path):
  assert run("data", "import", "reviews.csv", "--to", ".", *TABLE[2:])[0] == 0
  suite = "name: mine\nversion: 1\ndescription: Mine.\ntasks: [reviews]\n"
  (tmp_path / "mine.yaml").write_text(suite)
  code, printed = _ask(run, "--task", "reviews")
  assert code == 0, printed
  first = (tmp_path / "out" / "results.jsonl").read_bytes()
  code, printed = _ask(run, "--suite", "mine", "--data", ".")
  assert code == 0, printed
  assert (tmp_path / "out" / "results.jsonl").read_bytes() == first


PROBE = """
from symtune.probe.ask import Asker, Question, TaskProbe
from symtune.data.episodes import Episode


class MyProbe(TaskProbe):
  name = "my_probe"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    label = episode.query.label
    return [Question(setting="mine", episode=episode, context=label, prior=label)]
"""


def test_a_probe_of_ones_own_is_asked_by_its_file(run, tmp_path):
  (tmp_path / "my_probe.py").write_text(PROBE)
  mine = "my_probe.py:MyProbe"
  code, printed = _ask(run, *TABLE, "--probes", f"{mine},flipped_labels")
  assert code == 0, printed
  assert "| my probe: mine |" in (tmp_path / "out" / "report.md").read_text()
  rows = read_results(tmp_path / "out" / "results.jsonl")
  assert {r.probe for r in rows} == {"my_probe", "flipped_labels"}
  code, printed = run("preview", "micro_bird_fish", "--probe", mine, "--count", "1")
  assert code == 0, printed
  assert "my probe: mine, micro_bird_fish" in printed
  code, printed = run(
    *("probe", "microworld", "--out", "probed", "--probes", mine),
    *("--checkpoint", "baseline:majority", "--gin.probe.max_queries=1"),
  )
  assert code == 0, printed
  rows = read_results(tmp_path / "probed" / "results.jsonl")
  assert {r.probe for r in rows} == {"my_probe"}


def test_suites_are_asked_about(run):
  code, printed = _ask(run, "--suite", "microworld_eval", models=["baseline:majority"])
  assert code == 0, printed
  assert "known" in printed


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((), "got no task"),
    (("--task", "reviews.csv"), "needs the names of its columns"),
    ((*TABLE, "--label", "rating"), "no column 'rating'"),
    ((*TABLE, "--labels-as", "poor,fine"), "--probes settings,label_semantics"),
    ((*TABLE, "--probes", "label_semantics", "--labels-as", "a"), "1 words for 2"),
    ((*TABLE, "--probes", "moods"), "expected some of settings"),
    ((*TABLE, "--seeds", "x"), "expected whole numbers"),
    ((*TABLE, "--symbols", "runes"), "symbols"),
    ((*TABLE, "--words", "poor"), "expected 2: one for each of bad, good"),
    (("--task", "nowhere.csv", *TABLE[2:]), "no such file"),
    (("--task", "nowhere"), "unknown task card 'nowhere'"),
  ],
)
def test_mistakes_are_one_line(run, tmp_path, arguments, message):
  code, printed = _ask(run, *arguments)
  assert code == 2
  assert message in " ".join(printed.split())
  assert "Traceback" not in printed
  assert not (tmp_path / "out" / "run.json").exists()


def test_show_needs_results_and_known_names(run):
  code, printed = run("show", "nowhere")
  assert code == 2
  assert "no results at" in printed
  assert _ask(run, *TABLE, models=["baseline:majority"])[0] == 0
  for options, message in (
    (["--probe", "moods"], "expected one of settings"),
    (["--changed", "any"], "at least two to compare"),
    (["--changed", "often"], "changed"),
  ):
    code, printed = run("show", "out", *options)
    assert code == 2
    assert message in printed


def test_preview_shows_what_a_probe_asks(run):
  name = "micro_bird_fish"
  code, printed = run("preview", name, "--probe", "flipped_labels", "--count", "2")
  assert code == 0, printed
  assert printed.count("flipped labels, micro_bird_fish") == 2
  assert "the meaning implies" in printed
  code, printed = run("preview", name, "--probe", "settings", "--count", "1")
  for setting in ("instruction + labels", "neither, fixed format"):
    assert f"{setting}, {name}" in printed
  code, printed = run("preview", name, "--probe", "linear_classification")
  assert code == 0, printed
  code, printed = run("preview", name, "--probe", "moods")
  assert code == 2
  assert "expected some of settings" in printed


def test_tables_and_figures_are_exported(run, tmp_path):
  assert _ask(run, *TABLE)[0] == 0
  code, printed = run("report", "out", "--format", "csv")
  assert code == 0
  assert printed.startswith("over,probe,setting,")
  code, printed = run("report", "out", "--format", "latex", "--out", "table.tex")
  assert (code, printed) == (0, "")
  assert r"\toprule" in (tmp_path / "table.tex").read_text()
  code, printed = run("report", "out", "--figures", "svg,pdf")
  assert code == 0, printed
  assert {"report.svg", "report.pdf"} <= {p.name for p in (tmp_path / "out").iterdir()}
  for arguments, message in (
    (["--format", "word"], "'csv', 'json', 'latex'"),
    (["--figures", "gif"], "'png', 'svg', 'pdf'"),
    (["--format", "csv", "--figures", "svg"], "expected one"),
    (["out", "--format", "csv"], "takes one run"),
    (["--format", "csv", "--out", "out"], "is a folder"),
    (["--format", "csv", "--rule", "best"], "rule"),
  ):
    code, printed = run("report", "out", *arguments)
    assert code == 2
    assert message in printed


def test_several_runs_become_one_report(run, tmp_path):
  assert _ask(run, *TABLE, models=["baseline:majority"])[0] == 0
  (tmp_path / "out").rename(tmp_path / "a")
  assert _ask(run, *TABLE, models=["baseline:copy"])[0] == 0
  code, printed = run("report", "a", "out")
  assert code == 2
  assert "expected --out" in printed
  code, printed = run("report", "a", "out", "--out", "both")
  assert code == 0, printed
  text = (tmp_path / "both" / "report.md").read_text()
  assert "baseline:majority" in text
  assert "baseline:copy" in text
