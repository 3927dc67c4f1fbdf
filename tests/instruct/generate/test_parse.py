"""Texts in the layouts that prompts ask for, and in others that models write."""

import pytest

from symtune.errors import SymtuneError
from symtune.instruct.generate.filters import Instance
from symtune.instruct.generate.parse import (
  parse_field,
  parse_input_first,
  parse_instructions,
  parse_is_classification,
  parse_output_first,
)
from symtune.instruct.generate.templates import (
  FOLDER,
  PLACES,
  read_templates,
)


def _pairs(instances):
  return [(one.input, one.output) for one in instances]


@pytest.mark.parametrize(
  ("text", "instructions"),
  [
    (" Name a river.\n10. Go on.\n11 . say it", ["Name a river.", "Go on.", "Say it"]),
    # Proper nouns keep their capitals.
    (" translate it to\n French", ["Translate it to French"]),
    # "3. " inside a line is no new number.
    (" Use rule 3. Then stop.", ["Use rule 3. Then stop."]),
    ("", [""]),
    (" a\n10. \n11. b", ["A", "", "B"]),
  ],
)
def test_instructions_of_a_numbered_list(text, instructions):
  assert parse_instructions(text) == instructions


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    (" Yes", True),
    ("yes.", True),
    (" NO, it is", False),
    (" Yesterday", None),
    ("", None),
    (" Maybe yes", None),
  ],
)
def test_yes_and_no(text, answer):
  assert parse_is_classification(text) is answer


@pytest.mark.parametrize(
  ("text", "pairs"),
  [
    (
      "\nExample 1\nWord: a\nOutput: b\n\nExample 2\nWord: c\nOutput: d\n\n",
      [("Word: a", "b"), ("Word: c", "d")],
    ),
    ("\nOutput: only this\n", [("", "only this")]),
    ("\nText: a\nOutput 1: b\nOutput 2: c", [("Text: a", "b")]),
    ("\nExample\nno mark", [("", "no mark")]),
    # "Example" splits only where a line begins.
    ("\nText: for Example this\nOutput: b", [("Text: for Example this", "b")]),
    ("just a text", []),
    ("", []),
  ],
)
def test_examples_with_the_input_first(text, pairs):
  assert _pairs(parse_input_first(text)) == pairs


@pytest.mark.parametrize(
  ("text", "pairs"),
  [
    (
      "\nClass label: yes\nText: a\nb\nClass label: no\nText: c",
      [("Text: a\nb", "yes"), ("Text: c", "no")],
    ),
    ("\nClass label: yes\n", [("", "yes")]),
    ("\nClass label:\nText: a", [("", "Text: a")]),
    ("\nText: a", []),
  ],
)
def test_examples_with_the_label_first(text, pairs):
  assert _pairs(parse_output_first(text)) == pairs


@pytest.mark.parametrize(
  ("text", "field"),
  [(" a pear ", "a pear"), ("None.", ""), ("<noinput>", ""), ("", ""), ("no", "no")],
)
def test_fields(text, field):
  assert parse_field(text) == field
  assert Instance(input=field, output="").input == field


def test_braces_in_a_value_are_no_places():
  made = read_templates().fill(
    "one_output", instruction="Say {input}.", input="{label}"
  )
  assert made == "Task: Say {input}.\nInput: {label}\nWrite the output."


def test_prompts_end_where_the_model_goes_on():
  texts = read_templates().texts
  assert set(texts) == set(PLACES)
  assert all(text == text.rstrip() for text in texts.values())
  assert texts["classify"].count("? Yes\n") == 12  # as in the paper's prompt
  assert texts["classify"].count("? No\n") == 19


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("Task: {task}", r"places \['task'\], expected each of {instruction} once"),
    ("{instruction} {instruction}", "once"),
    ("no place", "once"),
  ],
)
def test_templates_with_other_places_are_refused(tmp_path, text, message):
  for name in PLACES:
    content = (FOLDER / f"{name}.txt").read_text()
    (tmp_path / f"{name}.txt").write_text(text if name == "classify" else content)
  with pytest.raises(SymtuneError, match=message):
    read_templates(tmp_path)
