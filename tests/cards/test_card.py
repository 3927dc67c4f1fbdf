import dataclasses
import pathlib
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from symtune.cards.card import Example, Slot, Source, TaskCard, TaskType, read_card
from symtune.errors import SymtuneError

GOOD = {
  "name": "pairs",
  "title": "Pairs",
  "version": 1,
  "task_type": "nli",
  "fields": ["premise", "hypothesis"],
  "template": "{premise}\nso {hypothesis}",
  "labels": ["Yes", "Not At All"],
  "label_names": ["yes", "no"],
  "instruction": "Does the first follow?",
  "exemplar_splits": ["train"],
  "query_splits": ["validation"],
  "rows": "pairs",
  "source": {"hub": "owner/pairs", "config": None, "reference": "Nobody 2020"},
  "licence": "unknown",
}


def write(folder: pathlib.Path, **changes) -> pathlib.Path:
  path = folder / "pairs.yaml"
  values = {key: value for key, value in (GOOD | changes).items() if value != "DROP"}
  path.write_text(yaml.safe_dump(values), encoding="utf-8")
  return path


def example(**fields: str) -> Example:
  return Example(row=0, fields=fields, label=0, split="train")


def test_a_card_file_becomes_a_card(tmp_path):
  card = read_card(write(tmp_path))
  assert card == TaskCard(
    name="pairs",
    title="Pairs",
    version=1,
    task_type=TaskType.NLI,
    fields=("premise", "hypothesis"),
    template="{premise}\nso {hypothesis}",
    labels=("Yes", "Not At All"),
    label_names=("yes", "no"),
    instruction="Does the first follow?",
    exemplar_splits=("train",),
    query_splits=("validation",),
    rows="pairs",
    source=Source(hub="owner/pairs", config=None, reference="Nobody 2020"),
    licence="unknown",
  )


def test_what_a_task_shares_is_optional(tmp_path):
  assert read_card(write(tmp_path)).shares == ()
  assert read_card(write(tmp_path, shares=["tweets"])).shares == ("tweets",)
  with pytest.raises(SymtuneError, match=r"pairs\.yaml.*'shares'"):
    read_card(write(tmp_path, shares="tweets"))


def test_the_template_is_parsed_into_literals_and_slots(tmp_path):
  card = read_card(write(tmp_path))
  assert card.parts == (Slot(field="premise"), "\nso ", Slot(field="hypothesis"))
  text = card.input_text(example(premise="It rains.", hypothesis="it pours"))
  assert text == "It rains.\nso it pours"


@given(
  premise=st.text(alphabet="{}premishypothslabel \n\\%$", max_size=40),
  hypothesis=st.sampled_from(["{premise}", "{label}", "{}", "%s", "$premise", "{{0}}"]),
)
def test_the_text_of_a_field_is_never_rewritten(premise, hypothesis):
  values = GOOD | {"task_type": TaskType.NLI, "source": Source(**GOOD["source"])}
  lists = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
  card = TaskCard(**(values | lists))
  text = card.input_text(example(premise=premise, hypothesis=hypothesis))
  assert text == premise + "\nso " + hypothesis


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"colour": "red"}, "key 'colour': unknown key; allowed: name, title"),
    ({"label": "x"}, "key 'label': unknown key; did you mean 'labels'?"),
    ({"rows": "DROP"}, "key 'rows': missing; required: name"),
    ({"source": {"hub": "a", "config": None}}, "key 'source.reference': missing"),
    ({"source": "a"}, "key 'source': got 'a' (str), expected a mapping"),
    ({"title": 3}, "key 'title': got 3 (int), expected text"),
    ({"version": "one"}, "key 'version': got 'one' (str), expected a whole number"),
    ({"version": 0}, "key 'version': got 0, expected >= 1"),
    ({"labels": [True, "No"]}, "key 'labels[0]': got True (bool), expected text"),
    ({"fields": "premise"}, "key 'fields': got 'premise' (str), expected a list"),
    ({"task_type": "poetry"}, "key 'task_type': got 'poetry', allowed: nli, sentim"),
    ({"name": "Pairs 2"}, "key 'name': got 'Pairs 2', expected lower-case letters"),
    ({"rows": "../secret"}, "key 'rows': got '../secret', expected lower-case"),
    ({"fields": []}, "key 'fields': empty"),
    ({"fields": ["premise", "hypothesis", "label"]}, "key 'fields': 'label' is not"),
    ({"fields": ["premise", "premise"]}, "key 'fields': 'premise' occurs twice"),
    (
      {"template": "{premise} {hypo}"},
      "key 'template': the slot {hypo} is not a field",
    ),
    ({"template": "{premise}"}, "key 'template': the field 'hypothesis' is never used"),
    ({"template": "{premise}, {hypothesis} }"}, "key 'template': holds } outside"),
    ({"template": "{premise} ~ {hypothesis}"}, "key 'template': holds ~ outside"),
    ({"template": "{premise}-{hypothesis}"}, "no white space between {premise} and"),
    ({"template": "{premise} {hypothesis}\n"}, "key 'template': begins or ends with"),
    ({"labels": ["Yes", "Yes"]}, "key 'labels': the label 'Yes' occurs twice"),
    ({"labels": ["Yes"], "label_names": ["yes"]}, "key 'labels': got 1 labels"),
    ({"labels": ["Yes", " No"]}, "key 'labels': got ' No', expected one line"),
    ({"labels": ["Yes", "<no>"]}, "key 'labels': '<no>' holds <, which T5's"),
    ({"labels": ["Yes", ""]}, "key 'labels': empty"),
    ({"label_names": ["yes"]}, "key 'label_names': got 1 names for 2 labels"),
    ({"label_names": ["a", "a"]}, "key 'label_names': the name 'a' occurs twice"),
    ({"instruction": "Two\nlines"}, "key 'instruction': got 'Two\\nlines', expected"),
    ({"exemplar_splits": []}, "key 'exemplar_splits': empty; allowed: train, valid"),
    ({"query_splits": ["test"]}, "key 'query_splits': got 'test', allowed: train, v"),
    ({"query_splits": ["train", "train"]}, "key 'query_splits': 'train' occurs twice"),
    ({"title": " "}, "key 'title': empty"),
    ({"licence": ""}, "key 'licence': empty; say 'unknown'"),
  ],
)
def test_a_bad_card_is_an_error_that_names_file_and_key(tmp_path, changes, message):
  path = write(tmp_path, **changes)
  with pytest.raises(SymtuneError, match=re.escape(message)) as caught:
    read_card(path)
  assert str(caught.value).startswith(f"{path}: ")


def test_a_repeated_key_is_an_error(tmp_path):
  path = write(tmp_path)
  path.write_text(path.read_text() + "name: other\n", encoding="utf-8")
  with pytest.raises(SymtuneError, match="the key 'name' occurs twice"):
    read_card(path)


def test_a_card_made_in_python_is_checked_too(tmp_path):
  card = read_card(write(tmp_path))
  with pytest.raises(SymtuneError, match="card 'pairs': key 'labels': the label 'A'"):
    dataclasses.replace(card, labels=("A", "A"))
