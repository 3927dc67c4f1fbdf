"""The commands that only show things."""

import sys

import pytest

from symtune.cards.load import load_suite
from symtune.cli.main import main


@pytest.fixture
def run_cli(monkeypatch, capsys):
  """Runs a command that ends with a code; its output, one space between words."""

  def run(*arguments, code=0):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["symtune", *arguments])
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    assert (stop.value.code or 0) == code, printed.err
    return " ".join(printed.out.split())

  return run


def test_tasks_lists_every_card(run_cli):
  printed = run_cli("tasks")
  assert "36 tasks" in printed
  for word in ("sst2", "tweet_eval_stance_atheism", "nli", "Positive Sentiment"):
    assert word in printed


def test_tasks_of_a_suite(run_cli):
  assert "11 tasks" in run_cli("tasks", "--suite", "symbol_tuning_eval")
  assert "48 tasks" in run_cli("tasks", "--suite", "microworld_eval")


def test_preview_shows_prompt_labels_and_tokens(run_cli):
  task = load_suite("microworld_eval", None)[0]
  printed = run_cli("preview", task.card.name, "--count", "1", "--shots", "1")
  first, second = task.card.labels
  assert f"labels: {first} -> " in printed
  assert f", {second} -> " in printed
  assert "tokens: " in printed
  assert "▁the" in printed
  assert "target: ▁" in printed


def test_preview_of_natural_labels_with_instruction(run_cli):
  task = load_suite("microworld_eval", None)[0]
  printed = run_cli(
    "preview", task.card.name, "--labels", "natural", "--instruction", "--count", "1"
  )
  assert printed.count(task.card.instruction) == 5
  assert f"labels: {task.card.labels[0]} -> {task.card.labels[0]}" in printed


def test_preview_flips(run_cli):
  task = load_suite("microworld_eval", None)[0]
  first, second = task.card.labels
  printed = run_cli("preview", task.card.name, "--labels", "flipped")
  assert f"labels: {first} -> {second}, {second} -> {first}" in printed


def test_preview_of_known_words_does_not_warn(run_cli):
  task = load_suite("microworld_eval", None)[0]
  assert "warning" not in run_cli("preview", task.card.name)


@pytest.mark.shared
def test_preview_of_real_rows_warns_of_unknown_pieces(run_cli, shared_data):
  vocab = str(shared_data / "t5_tokenizer" / "spiece.model")
  printed = run_cli(
    *("preview", "ag_news", "--data", str(shared_data / "tasks"), "--vocab", vocab),
    *("--count", "200"),
  )
  assert "words have pieces that are not in the vocabulary" in printed


def test_doctor_finds_nothing_wrong_here(run_cli):
  printed = run_cli("doctor")
  assert "no problems found" in printed
  assert "jax" in printed
  assert "cpu" in printed


@pytest.mark.parametrize(
  ("wanted", "problem"),
  [
    ("numpy>=999", "expected >=999. Install it: pip install 'numpy>=999'."),
    ("numpy<1,>=0.5", "pip install 'numpy<1,>=0.5'."),
    ("nosuchthing", "nosuchthing is missing, expected any version."),
    ("nosuchthing; extra == 'hf'", None),
    ("nosuchthing; python_version < '3'", None),
    ("numpy!=0.1,>=1", None),
  ],
)
def test_doctor_reads_requirements(run_cli, monkeypatch, wanted, problem):
  monkeypatch.setattr("importlib.metadata.requires", lambda _: [wanted])
  printed = run_cli("doctor", code=1 if problem else 0)
  assert (problem or "no problems found") in printed


def test_doctor_names_the_fix_for_a_missing_extra(run_cli, monkeypatch):
  import importlib.util

  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
  )
  assert "pip install 'symtune[hf]'" in run_cli("doctor")
