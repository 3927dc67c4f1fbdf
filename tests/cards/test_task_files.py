"""The contract that every card in tasks/ meets."""

import collections

import pytest

from symtune.cards import card as card_lib
from symtune.cards import load
from symtune.cards.card import Example, TaskType
from symtune.cards.resources import resource_dir

RAFT = {
  "ade_corpus_v2",
  "overruling",
  "semiconductor_org_types",
  "terms_of_service",
  "twitter_complaints",
}


@pytest.mark.parametrize("name", load.list_cards())
def test_every_card_renders_its_fields_in_order(name):
  card = load.load_card(name)
  fields = {field: f"[{field}]" for field in card.fields}
  example = Example(row=0, fields=fields, label=0, split="train")
  expected = card.template.replace("{", "[").replace("}", "]")
  assert card.input_text(example) == expected


@pytest.mark.parametrize("name", load.list_cards())
def test_every_card_has_distinct_labels_also_without_case(name):
  card = load.load_card(name)
  assert len({label.casefold() for label in card.labels}) == len(card.labels)


def test_the_template_to_copy_is_a_valid_card():
  card_lib.read_card(resource_dir("tasks") / "_template.yaml")


def test_the_suites_are_the_22_and_11_tasks_of_the_paper():
  tuning = load.read_suite("symbol_tuning_train").tasks
  evaluation = load.read_suite("symbol_tuning_eval").tasks
  assert (len(tuning), len(evaluation)) == (22, 11)
  names = [card.name for card in (*tuning, *evaluation)]
  assert len(set(names)) == 33  # disjoint
  assert len({card.rows for card in (*tuning, *evaluation)}) == 33
  counts = collections.Counter(card.task_type for card in tuning)
  assert counts == {
    TaskType.NLI: 6,
    TaskType.SENTIMENT: 3,
    TaskType.PARAPHRASE: 3,
    TaskType.COMMON_SENSE: 2,
    TaskType.TOPIC: 2,
    TaskType.COREFERENCE: 2,
    TaskType.MISCELLANEOUS: 4,
  }


def test_evaluation_has_6_two_way_and_5_three_way_tasks():
  # Chance level 42.4% of the paper: (6 / 2 + 5 / 3) / 11.
  sizes = [len(card.labels) for card in load.read_suite("symbol_tuning_eval").tasks]
  assert collections.Counter(sizes) == {2: 6, 3: 5}


def test_splits_are_those_of_the_paper():
  for card in load.read_suite("symbol_tuning_train").tasks:
    assert (card.exemplar_splits, card.query_splits) == (("train",), ("train",))
  for card in load.read_suite("symbol_tuning_eval").tasks:
    both = ("train", "validation")
    expected = (both, both) if card.name in RAFT else (("train",), ("validation",))
    assert (card.exemplar_splits, card.query_splits) == expected


def test_every_card_is_in_a_suite():
  suites = [load.read_suite(name) for name in load.list_suites()]
  assert {card.name for suite in suites for card in suite.tasks} == set(
    load.list_cards()
  )


@pytest.mark.parametrize("name", load.list_cards())
def test_every_card_says_where_rows_and_words_come_from(name):
  source = load.load_card(name).source
  assert source.download is not None
  assert source.wording.startswith(("labels: ", "labels and instruction: "))


@pytest.mark.parametrize("name", load.list_cards())
def test_the_readme_table_says_what_the_card_says(name):
  card = load.load_card(name)
  config = f" / `{card.source.config}`" if card.source.config else ""
  abbreviation = card.title.split(":")[0]
  row = (
    f"| {abbreviation} | `{card.name}` | `{card.source.hub}`{config} "
    f"| `{card.rows}.jsonl` | {card.licence} |"
  )
  readme = (resource_dir("tasks") / "README.md").read_text(encoding="utf-8")
  assert row in readme.splitlines()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["symbol_tuning_train", "symbol_tuning_eval"])
def test_every_real_task_is_read_and_renders(name, shared_data):
  tasks = load.load_suite(name, shared_data / "tasks")
  assert [task.card for task in tasks] == list(load.read_suite(name).tasks)
  for task in tasks:
    assert task.examples
    for example in task.examples:
      text = task.card.input_text(example)
      assert all(text.count(value) for value in example.fields.values())


@pytest.mark.shared
def test_evaluation_has_704_queries_at_100_a_task(shared_data):
  # arXiv 2305.08298, appendix D.2.
  tasks = load.load_suite("symbol_tuning_eval", shared_data / "tasks")
  counts = [
    sum(example.split in task.card.query_splits for example in task.examples)
    for task in tasks
  ]
  assert [min(count, 100) for count in counts] == [100, 100, 66, 52, 67, 69] + [50] * 5
  assert sum(min(count, 100) for count in counts) == 704
