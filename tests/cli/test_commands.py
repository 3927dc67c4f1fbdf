"""The commands that only show things."""

import json
import re
import sys

import family_tokenizers
import pytest

from symtune.cards.load import list_cards, load_card, load_suite
from symtune.cards.resources import resource_dir
from symtune.cli.cards import MICROWORLD_CATEGORIES
from symtune.cli.gin_config import load_recipe
from symtune.cli.main import main
from symtune.data.text.symbols import PoolSplit, make_pool


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
    return " ".join((printed.out + printed.err).split())

  return run


def test_tasks_lists_every_card(run_cli):
  printed = run_cli("tasks")
  assert "36 tasks" in printed
  for word in ("sst2", "tweet_eval_stance_atheism", "nli", "Positive Sentiment"):
    assert word in printed


def test_tasks_of_a_suite(run_cli):
  assert "11 tasks" in run_cli("tasks", "--suite", "symbol_tuning_eval")
  printed = run_cli("tasks", "--suite", "microworld_eval")
  assert "56 tasks" in printed
  for group in ("known categories", "unseen categories"):
    assert f"group '{group}', 28 tasks: micro_" in printed


def test_names_are_not_cut_however_narrow_the_terminal(monkeypatch, capsys):
  def lines(*options):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "argv", ["symtune", "tasks", *options])
    with pytest.raises(SystemExit):
      main()
    return capsys.readouterr().out

  names = [load_card(name).name for name in list_cards()]
  narrow, wide = lines(), lines("--wide")
  assert all(name in narrow for name in names)
  (row,) = [line for line in wide.splitlines() if "ag_news" in line]
  card = load_card("ag_news")
  assert all(word in row for word in (*card.labels, card.licence))
  assert "…" not in narrow + wide
  records = json.loads(lines("--json"))
  assert [record["task"] for record in records] == names
  assert records[names.index("ag_news")]["labels"] == list(card.labels)


def test_json_names_the_group_of_a_task(monkeypatch, capsys):
  options = ["tasks", "--suite", "microworld_eval", "--json"]
  monkeypatch.setattr(sys, "argv", ["symtune", *options])
  with pytest.raises(SystemExit):
    main()
  groups = {record["group"] for record in json.loads(capsys.readouterr().out)}
  assert groups == {"known categories", "unseen categories"}


def test_preview_shows_prompt_labels_and_tokens(run_cli):
  task = load_suite("microworld_eval", None)[0]
  printed = run_cli("preview", task.card.name, "--count", "1", "--shots", "1")
  first, second = task.card.labels
  assert f"labels: {first} -> " in printed
  assert f", {second} -> " in printed
  assert "tokens: " in printed
  assert "▁the" in printed
  assert "target: ▁" in printed


@pytest.mark.parametrize("family", ["smollm2", "llama2"])
def test_words_are_shown_and_checked_as_a_decoder_reads_them(
  run_cli, own_card, tmp_path, family
):
  for name, content in family_tokenizers.make_files(family).items():
    (tmp_path / name).write_text(json.dumps(content))
  vocab = ("--vocab", str(tmp_path))
  data = ("--data", str(own_card), "--labels", "natural", "--count", "1")
  printed = run_cli("preview", str(own_card / "mine.yaml"), *data, *vocab)
  assert "▁ is a space, ↵ a newline" in printed
  targets = {
    "smollm2": "target: ▁№ ▁ 1 ↵ ↵ target: ▁ N o ▁ 1 ↵ ↵",
    "llama2": "target: ▁№ ▁1 <0x0A> <0x0A> target: ▁ <0x4E> o ▁1 <0x0A> <0x0A>",
  }
  assert targets[family] in printed
  check = ("symbols", "check", *vocab, "--size", "5")
  suite = ("--suite", str(own_card / "my_suite.yaml"))
  printed = run_cli(*check, *suite, "--category", "integers")
  assert "the contract holds" in printed
  assert "tasks whose label words are alike to the model: 0" in printed


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


def _shown_words(printed, task):
  """The words that stand for the classes, prompt by prompt."""
  return re.findall(rf"labels: {task.card.labels[0]} -> (\w+), \S+ -> (\w+)", printed)


@pytest.mark.parametrize(
  ("suite", "options", "split"),
  [
    ("microworld_eval", (), PoolSplit.EVALUATION),
    ("microworld_eval", ("--pool", "tuning"), PoolSplit.TUNING),
    ("microworld_train", (), PoolSplit.TUNING),
  ],
)
def test_preview_shows_the_symbols_that_recipes_draw(run_cli, suite, options, split):
  assert load_recipe("microworld", [])[0].symbols.categories == MICROWORLD_CATEGORIES
  task = load_suite(suite, None)[0]
  words = _shown_words(run_cli("preview", task.card.name, *options), task)
  assert len(words) == 2
  pool = make_pool(split, MICROWORLD_CATEGORIES)
  assert {w for pair in words for w in pair} <= set(pool.all_symbols())


def test_preview_of_borrowed_words_shows_those_of_the_other_tasks(run_cli):
  tasks = load_suite("microworld_train", None)
  words = _shown_words(
    run_cli("preview", tasks[0].card.name, "--labels", "borrowed"), tasks[0]
  )
  others = {label for task in tasks[1:] for label in task.card.labels}
  asked = {w for t in load_suite("microworld_eval", None) for w in t.card.labels}
  assert len(words) == 2
  assert {w for pair in words for w in pair} <= others - asked - {*tasks[0].card.labels}


def test_preview_of_text_words_shows_words_of_the_task(run_cli):
  task = load_suite("microworld_train", None)[0]
  words = _shown_words(
    run_cli("preview", task.card.name, "--labels", "text_words"), task
  )
  texts = " ".join(task.card.input_text(e) for e in task.examples).split()
  assert {w for pair in words for w in pair} <= set(texts)


@pytest.fixture
def own_card(tmp_path):
  """A card of one's own whose label words T5 reads as the same, with its rows."""
  text = (resource_dir("tasks") / "train" / "sst2.yaml").read_text()
  text = re.sub(r"^name: .*", "name: mine", text, flags=re.M)
  text = re.sub(r"^rows: .*", "rows: mine", text, flags=re.M)
  text = re.sub(
    r"^labels:.*\n(  - .*\n)*", 'labels: ["№ 1", "No 1"]\n', text, flags=re.M
  )
  (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
  suite = "name: my_suite\nversion: 1\ndescription: Mine.\ntasks: [mine.yaml, rte]\n"
  (tmp_path / "my_suite.yaml").write_text(suite)
  names = load_card("sst2").label_names
  rows = [
    {
      "text": f"film {i}",
      "label": i % 2,
      "label_name": names[i % 2],
      "split": split,
    }
    for split in ("train", "validation")
    for i in range(8)
  ]
  (tmp_path / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
  return tmp_path


def test_words_that_are_the_same_to_a_vocabulary_are_named(
  run_cli, own_card, small_vocab_path
):
  vocab = ("--vocab", str(small_vocab_path))
  suite, card = str(own_card / "my_suite.yaml"), str(own_card / "mine.yaml")
  problem = "label words '№ 1' and 'No 1' have the same token ids"
  printed = run_cli("tasks", "--suite", suite, *vocab, code=2)
  assert f"task mine: {problem}" in printed
  data = ("--data", str(own_card))
  printed = run_cli("preview", card, *data, *vocab, "--labels", "natural", code=2)
  assert f"task mine: {problem}" in printed
  assert "film" not in printed  # nothing is shown first
  check = ("symbols", "check", *vocab, "--size", "5", "--suite", suite)
  printed = run_cli(*check, "--category", "integers", code=1)
  assert f"task mine: {problem}" in printed
  assert "the contract is broken" in printed


def test_words_that_only_borrow_from_no_suite_are_refused(run_cli, own_card):
  card, suite = str(own_card / "mine.yaml"), str(own_card / "my_suite.yaml")
  asked = ("preview", card, "--data", str(own_card), "--labels", "borrowed")
  assert "Name a suite or its file with --suite" in run_cli(*asked, code=2)
  words = re.findall(
    r"labels: № 1 -> (.*?), No 1 -> ", run_cli(*asked, "--suite", suite)
  )
  assert words
  assert set(words) <= set(load_card("rte").labels)


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
