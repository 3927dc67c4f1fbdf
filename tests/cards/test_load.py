import json
import re
import shutil

import pytest

from symtune.cards import load
from symtune.cards.microworld import Part, Plan
from symtune.cards.resources import resource_dir
from symtune.errors import SymtuneError

SUITE = "name: mine\nversion: 1\ndescription: Mine.\n"


def suite(folder, text: str):
  path = folder / "mine.yaml"
  path.write_text(text, encoding="utf-8")
  return path


def write_rows(folder, card) -> None:
  rows = []
  for split in ("train", "validation"):
    for label, name in enumerate(card.label_names):
      texts = {field: f"{field} {label} {split}" for field in card.fields}
      rows.append(texts | {"label": label, "label_name": name, "split": split})
  path = folder / f"{card.rows}.jsonl"
  path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def test_cards_are_found_by_name_and_by_path():
  card = load.load_card("rte")
  assert card.name == "rte"
  assert load.load_card(resource_dir("tasks") / "train" / "rte.yaml") == card


def test_an_unknown_card_is_an_error_that_lists_close_names():
  with pytest.raises(
    SymtuneError,
    match=r"unknown task card 'rotten_tomato'\. Did you"
    r" mean 'rotten_tomatoes'\? There are: ade_corpus_v2, ag_news",
  ):
    load.load_card("rotten_tomato")
  with pytest.raises(SymtuneError, match=r"unknown task card 'zzz'\. There are: "):
    load.load_card("zzz")


def test_a_name_that_differs_from_its_file_is_an_error(tmp_path):
  shutil.copy(resource_dir("tasks") / "train" / "rte.yaml", tmp_path / "other.yaml")
  with pytest.raises(
    SymtuneError, match=r"other\.yaml: key 'name': got 'rte', expecte"
  ):
    load.load_card(tmp_path / "other.yaml")


@pytest.mark.parametrize("folder", [".", "tasks"])
def test_a_card_of_the_working_folder_is_found_by_name(tmp_path, monkeypatch, folder):
  monkeypatch.chdir(tmp_path)
  text = (resource_dir("tasks") / "train" / "rte.yaml").read_text(encoding="utf-8")
  (tmp_path / folder).mkdir(exist_ok=True)
  path = tmp_path / folder / "mine.yaml"
  path.write_text(text.replace("name: rte", "name: mine"), encoding="utf-8")
  card = load.load_card("mine")
  assert card == load.load_card(path)
  write_rows(tmp_path / folder, card)
  assert len(load.load_task("mine", None).examples) == 4  # rows lie beside the card
  assert not load.is_for_evaluation("mine")


def test_a_name_that_may_mean_two_files_is_refused(tmp_path, monkeypatch):
  """A recipe means the same tasks in every folder, or says that it does not."""
  monkeypatch.chdir(tmp_path)
  shutil.copy(resource_dir("tasks") / "train" / "rte.yaml", "rte.yaml")
  with pytest.raises(SymtuneError, match=r"'rte' may be .* and rte\.yaml: give the pa"):
    load.load_card("rte")
  assert load.load_card("./rte.yaml").name == "rte"
  (tmp_path / "tasks").mkdir()
  for folder in (".", "tasks"):
    (tmp_path / folder / "mine.yaml").write_text(SUITE + "tasks: [wnli]\n")
  with pytest.raises(SymtuneError, match=r"suite 'mine' may be tasks/mine\.yaml and m"):
    load.read_suite("mine")
  (tmp_path / "mine.yaml").unlink()
  assert [card.name for card in load.read_suite("mine").tasks] == ["wnli"]


def test_a_file_that_a_shipped_name_stands_for_is_no_second_one(monkeypatch):
  """In `tasks/train` of a checkout, rte.yaml is the shipped card itself."""
  monkeypatch.chdir(resource_dir("tasks") / "train")
  assert load.load_card("rte").name == "rte"


def test_a_missing_card_file_is_an_error(tmp_path):
  with pytest.raises(SymtuneError, match=r"none\.yaml: cannot be read"):
    load.load_card(tmp_path / "none.yaml")


def test_suites_are_listed():
  suites = load.list_suites()
  assert list(suites) == sorted(suites)
  assert {
    "larger_lms_icl",
    "microworld_base",
    "microworld_eval",
    "microworld_train",
    "mmlu",
    "symbol_tuning_eval",
    "symbol_tuning_train",
  }.issubset(suites)


def test_a_suite_keeps_its_order_and_takes_own_cards_by_relative_path(tmp_path):
  text = (resource_dir("tasks") / "train" / "rte.yaml").read_text(encoding="utf-8")
  own = tmp_path / "own.yaml"
  own.write_text(text.replace("name: rte", "name: own"), encoding="utf-8")
  path = suite(tmp_path, SUITE + "tasks: [wnli, own.yaml, cola]\n")
  for card in load.read_suite(path).tasks:
    write_rows(tmp_path, card)
  tasks = load.load_suite(path, tmp_path)
  assert [task.card.name for task in tasks] == ["wnli", "own", "cola"]
  assert [len(task.examples) for task in tasks] == [4, 4, 4]


GROUPS = "tasks: [wnli, rte, cola]\ngroups: {pairs: [rte, wnli], single: [cola]}\n"


def test_tasks_carry_the_group_of_their_suite(tmp_path):
  path = suite(tmp_path, SUITE + GROUPS)
  for card in load.read_suite(path).tasks:
    write_rows(tmp_path, card)
  grouped = load.load_suite(path, tmp_path)
  assert [task.group for task in grouped] == ["pairs", "pairs", "single"]
  plain = load.load_suite(
    suite(tmp_path, SUITE + "tasks: [wnli, rte, cola]\n"), tmp_path
  )
  assert [task.group for task in plain] == [None] * 3
  assert [t.fingerprint for t in grouped] == [t.fingerprint for t in plain]


def test_groups_list_own_cards_by_name_or_as_tasks_does(tmp_path):
  text = (resource_dir("tasks") / "train" / "rte.yaml").read_text(encoding="utf-8")
  own = tmp_path / "own.yaml"
  own.write_text(text.replace("name: rte", "name: own"), encoding="utf-8")
  tasks = "tasks: [own.yaml, cola]\n"
  for entry in ("own", "own.yaml"):
    groups = f"groups: {{mine: [{entry}], theirs: [cola]}}\n"
    found = load.read_suite(suite(tmp_path, SUITE + tasks + groups)).group_by_task
    assert found == {"own": "mine", "cola": "theirs"}


def test_a_microworld_suite_needs_no_data_folder(tmp_path):
  path = suite(tmp_path, SUITE + "world: {part: train, pairs: 2, triples: 1}\n")
  plan = load.read_suite(path).plan
  assert plan == Plan(part=Part.TRAIN, num_pairs=2, num_triples=1, num_unseen_pairs=0)
  tasks = load.load_suite(path, None)
  assert [len(task.card.labels) for task in tasks] == [2, 2, 3]


def test_a_suite_of_cards_without_data_folder_is_an_error_that_names_the_option():
  with pytest.raises(
    SymtuneError,
    match=r"'symbol_tuning_eval' reads real data.*--data "
    r"DIR, the folder that holds subj\.jsonl",
  ):
    load.load_suite("symbol_tuning_eval", None)


def test_a_data_folder_that_is_none_is_an_error(tmp_path):
  with pytest.raises(SymtuneError, match=r"nowhere' is not a folder: pass --data DIR"):
    load.load_suite("symbol_tuning_eval", tmp_path / "nowhere")


def test_an_unknown_suite_is_an_error_that_lists_close_names():
  with pytest.raises(
    SymtuneError, match=r"unknown suite 'symbol_tuning'\. Did you mean 'symbol_tuning_"
  ):
    load.load_suite("symbol_tuning", None)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (SUITE, "key 'tasks': give either 'tasks' (cards) or 'world'"),
    (SUITE + "tasks: [rte]\nworld: {}\n", "key 'tasks': give either"),
    (SUITE + "tasks: []\n", "key 'tasks': empty; list at least one card"),
    (SUITE + "tasks: [rte, rte]\n", "key 'tasks': the task 'rte' occurs twice"),
    (
      SUITE + "tasks: [rtee]\n",
      "key 'tasks[0]': unknown task card 'rtee'. Did you mean",
    ),
    (SUITE + "tasks: [rte, 3]\n", "key 'tasks[1]': got 3 (int), expected text"),
    (SUITE + "task: [rte]\n", "key 'task': unknown key; did you mean 'tasks'?"),
    ("name: mine\ntasks: [rte]\n", "key 'version': missing"),
    (SUITE.replace("mine", "other") + "tasks: [rte]\n", "got 'other', expected 'mine'"),
    (
      SUITE + "world: {pairs: 1}\n",
      "key 'world.part': got None, allowed: base, train, eval",
    ),
    (
      SUITE + "world: {part: test}\n",
      "key 'world.part': got 'test', allowed: base, train",
    ),
    (SUITE + "world: {part: train, pairs: 1}\n", "key 'world.triples': missing"),
    (SUITE + "world: {part: eval, pairs: 1}\n", "key 'world.pairs': unknown key; did"),
    (SUITE + "tasks: [rte]\ngroups: [rte]\n", "key 'groups': got ['rte'] (list), exp"),
    (SUITE + "tasks: [rte]\ngroups: {}\n", "key 'groups': no group has rte; list ev"),
    (
      SUITE + "tasks: [rte, cola, wnli]\ngroups: {a: [rte]}\n",
      "key 'groups': no group has cola, wnli; list every task",
    ),
    (
      SUITE + "tasks: [rte, cola]\ngroups: {a: [rte, cola], b: [rte]}\n",
      "key 'groups.b[0]': the task 'rte' is already in 'a'; list it once",
    ),
    (
      SUITE + "tasks: [rte]\ngroups: {a: [rte, rte]}\n",
      "key 'groups.a[1]': the task 'rte' is already in 'a'; list it once",
    ),
    (
      SUITE + "tasks: [rte, cola]\ngroups: {a: [rte, colla]}\n",
      "key 'groups.a[1]': got 'colla', expected one of 'tasks': ",
    ),
    (SUITE + "tasks: [rte]\ngroups: {a: [rte], b: []}\n", "key 'groups.b': empty; li"),
    (SUITE + "tasks: [rte]\ngroups: {a: rte}\n", "key 'groups.a': got 'rte' (str), e"),
    (SUITE + "tasks: [rte]\ngroups: {a: [1]}\n", "key 'groups.a[0]': got 1 (int), ex"),
    (
      SUITE + "tasks: [rte]\ngroups: {7: [rte]}\n",
      "key 'groups.7': got the name 7, expected text on one line, in quotes",
    ),
    (
      SUITE + 'tasks: [rte]\ngroups: {"two\\nlines": [rte]}\n',
      "got the name 'two\\nlines', expected text on one line",
    ),
    (SUITE + "tasks: [rte]\ngroups: {'': [rte]}\n", "key 'groups.': got the name ''"),
    (
      SUITE + "world: {part: train, pairs: 2, triples: 1}\ngroups: {a: [rte]}\n",
      "key 'groups': only a suite of cards names groups; remove the key",
    ),
  ],
)
def test_a_bad_suite_is_an_error_that_names_file_and_key(tmp_path, text, message):
  path = suite(tmp_path, text)
  with pytest.raises(SymtuneError, match=re.escape(message)) as caught:
    load.read_suite(path)
  assert str(caught.value).startswith(f"{path}: key ")
